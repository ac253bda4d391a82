/* net/tls_staple.h - an OCSP responder's answer about our own certificate, as it goes into handshakes, and
 * how one is got: from a file, or from a responder (spec/security.md 4.8; docs/ocsp.md 2). In the flow:
 *   staple_question_make() -> staple_obtain() (blocks) -> tls_context_staple() -> handshakes on all threads
 * Thread: obtaining: any; publishing: the control core's. */
#ifndef NET_TLS_STAPLE_H
#define NET_TLS_STAPLE_H

#include "core/base/arena.h"
#include "core/base/err.h"
#include "net/ocsp.h"
#include "net/tls_ocsp.h"

struct tls_context;

/* Constant once it is made. */
struct tls_staple {
    struct ocsp_answer answer;
    size_t count;
    uint8_t response[];
};

/* A copy of the response. Owner: the caller, or the context that it is published by. NULL: no memory. */
MUST_USE struct tls_staple *tls_staple_new(struct bytes response, const struct ocsp_answer *answer);
void tls_staple_free(struct tls_staple *staple); /* NULL is allowed */

/* From now on new handshakes of this context get this staple, which the context owns, for as long as it
 * holds; NULL: none. Returns the one before: a handshake on another thread may be about to copy it, so it may
 * be freed when each thread has passed the end of a turn. */
MUST_USE struct tls_staple *tls_context_staple(struct tls_context *context, struct tls_staple *staple);
const struct tls_staple *tls_context_stapled(const struct tls_context *context); /* thread: who publishes */

/* Streams that dial will ask for a staple. */
void tls_context_ask_staple(struct tls_context *context);

/* ---- obtaining one ---- */

enum { STAPLE_WHY_BYTES = 512 };
#define STAPLE_TIMEOUT_NS INT64_C(30000000000) /* for each question */

/* All that is needed, in memory of its own: the options that it came from may go meanwhile. */
struct staple_question {
    struct arena arena;
    struct ocsp_link link;
    const char *urls[OCSP_URLS_MAX];
    const char *path; /* the file that remembers the answer; NULL: there is no store_dir */
    const char *folder;
    uint32_t url_count;
    uint8_t fingerprint[OCSP_FINGERPRINT_BYTES]; /* of the certificate */
    bool ask;                                    /* a responder, whatever the file says */
    char why[STAPLE_WHY_BYTES];                  /* when there is no staple */
    struct tls_staple *staple;                   /* the answer, whatever it says; whose it is, frees it */
};

/* What is to be asked for the first certificate of a context. Its issuer is the second one in its file, else
 * among the authorities. False: `why` says what is missing; close it all the same. */
MUST_USE bool staple_question_make(struct staple_question *question, const struct tls_context *context,
                                   const struct ocsp_options *options, const char *store_dir);
void staple_question_close(struct staple_question *question);

/* Fills `staple`, or `why`. Blocks: net/tls_responder.h says for how long. */
void staple_obtain(struct staple_question *question, int stop_fd);

/* Makes the folder under store_dir, if there is to be one. False: `why` is nats-server's sentence. */
MUST_USE bool staple_folder_make(const char *store_dir, char *why, size_t why_bytes);

#endif
