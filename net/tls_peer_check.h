/* net/tls_peer_check.h - whether a peer's chain of certificates still holds, by the word of the responders
 * that these name (spec/security.md 4.8). In the flow: shard: tls_stream_chain() -> peer_chain_pack() -> mail
 * -> control core: peer_check_open(), what is remembered
 *   -> peer_check_run(), on a thread that may block -> its verdict, and what is to be remembered
 * A chain holds if no certificate in it names a responder, or all that do are good; the root is not asked
 * about. At the bounds: TLS_CHAIN_MAX certificates, OCSP_URLS_MAX responders each. Thread: one at a time. */
#ifndef NET_TLS_PEER_CHECK_H
#define NET_TLS_PEER_CHECK_H

#include "core/base/block.h"
#include "core/base/log.h"
#include "net/ocsp_peer.h"
#include "net/tls_context.h"
#include "net/tls_ocsp.h"

enum { PEER_REASON_BYTES = 512, PEER_SUBJECT_BYTES = 512 };

/* A response that was got before, counted by its block. */
struct peer_remembered {
    struct block *block; /* the response; NULL: there is none */
    uint32_t count;
    struct ocsp_answer answer; /* what it is thought to say: the check reads it again */
};

/* One certificate of the chain. */
struct peer_link {
    struct bytes certificate;
    uint8_t fingerprint[OCSP_FINGERPRINT_BYTES];
    uint8_t responder_count;           /* that it names; 0 for the last, about which nobody is asked */
    bool spoiled;                      /* what was remembered is not to be used again */
    struct peer_remembered remembered; /* before the check; the holder's */
    struct bytes fetched;              /* what is to be remembered now; empty: nothing */
    struct ocsp_answer answer;         /* with `fetched` */
};

struct peer_check {
    struct arena arena;
    struct log *log;
    struct ocsp_peer_options rules;
    struct peer_link links[TLS_CHAIN_MAX]; /* the peer's own first */
    uint32_t link_count;
    const char
        *urls[OCSP_URLS_MAX]; /* with own_only: in place of those in the certificate, when there are any */
    uint32_t url_count;
    bool remembered_only;           /* nobody is asked: peer_check_remembered() */
    bool undecided;                 /* then somebody would have to be */
    bool own_only;                  /* only the peer's own certificate, which has to have a responder */
    uint32_t bad_link;              /* when it is not good: whose fault it is */
    bool good;                      /* the verdict */
    char reason[PEER_REASON_BYTES]; /* when it is not good */
};

/* The chain in one block, for another thread. NULL: no memory. *responder_count: of all certificates
 * together; 0: nobody is to be asked. */
struct block *peer_chain_pack(const struct bytes *chain, uint32_t count, struct block_pool *pool,
                              uint32_t *responder_count);

/* For how long a client may wait for its verdict: a question's time for each responder, and that of a login
 * for the way, the look-up of names, and the queue behind others. */
int64_t peer_check_patience_ns(const struct ocsp_peer_options *rules, uint32_t responder_count,
                               int64_t login_ns);

/* Takes a packed chain apart; certificates point into the block. */
void peer_check_open(struct peer_check *check, const struct block *block);
void peer_check_close(struct peer_check *check);

/* The verdict, when what is remembered is enough for it: no call blocks, a signature is checked for each
 * certificate. False: responders have to be asked. */
bool peer_check_remembered(struct peer_check *check);

/* Blocks: net/tls_responder.h says for how long. */
void peer_check_run(struct peer_check *check, int stop_fd);

/* The subject of a certificate as Go writes it; empty when it is none, or too long. Returns `into`. */
const char *peer_subject(struct bytes certificate, char into[PEER_SUBJECT_BYTES]);

#endif
