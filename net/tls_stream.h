/* net/tls_stream.h - one connection's TLS, either side of it: ciphertext in, plaintext out; plaintext in,
 * ciphertext out. No socket, no thread, no clock: bytes that were received go in, bytes to be sent gather in
 * a chain of blocks. In the flow: connection_received() -> tls_stream_handshake() .. tls_stream_read() ->
 * client_receive() client_deliver() -> tls_stream_write() -> tls_stream_output() -> loop_send() At the
 * bounds: a handshake message larger than OpenSSL takes fails; more than TLS_UNSENT_BYTES_MAX waiting for a
 * peer that does not read fails (a peer can ask for answers, as with KeyUpdate, and not take them).
 * Thread: one, its connection's. The pool is the thread's. */
#ifndef NET_TLS_STREAM_H
#define NET_TLS_STREAM_H

#include "core/base/arena.h"
#include "core/security/certificate_names.h"
#include "net/output.h"
#include "net/tls_context.h"

struct tls_stream; /* opaque */

enum {
    TLS_UNSENT_BYTES_MAX = 1024 * 1024,
    TLS_RECORD_PLAIN_BYTES = 16 * 1024, /* the most that one record holds */
    TLS_RECORD_HANDSHAKE = 22,          /* first byte of a TLS connection */
    TLS_ERROR_BYTES = 256,
};

enum tls_result {
    TLS_DONE,   /* handshake: complete. read: `room` is used up, there may be more */
    TLS_MORE,   /* all given bytes were taken, more are needed */
    TLS_ENDED,  /* the peer has said that it will send no more (close_notify) */
    TLS_FAILED, /* tls_stream_error() says why; what is in the output (an alert) may still be sent */
};

/* Begins a stream. `host` is whom a TLS_CLIENT wants to talk to: for SNI, and checked against the certificate
 * unless the options are insecure; NULL for a server. The stream holds the context. ERR_MEMORY. */
MUST_USE enum err tls_stream_new(struct tls_stream **stream, struct tls_context *context,
                                 struct output_pool *pool, const char *host);

/* Frees it with what was not sent. NULL is allowed. */
void tls_stream_free(struct tls_stream *stream);

/* Goes on with the handshake; takes from the front of `ciphertext`. After TLS_DONE what is left belongs to
 * tls_stream_read(). A client calls it once without bytes to begin. Cost: a signature and key agreement,
 * once. */
MUST_USE enum tls_result tls_stream_handshake(struct tls_stream *stream, struct bytes *ciphertext);

/* Decrypts from the front of `ciphertext` into `into`, `*count` bytes. To be called until it says TLS_MORE.
 */
MUST_USE enum tls_result tls_stream_read(struct tls_stream *stream, struct bytes *ciphertext, uint8_t *into,
                                         size_t room, size_t *count);

/* Encrypts from the front of `plain`, in records as full as there are bytes, until so many bytes of
 * ciphertext wait to be sent. False: failed. */
MUST_USE bool tls_stream_write(struct tls_stream *stream, struct output *plain, uint64_t unsent_bytes_most);

/* The same for bytes that lie in one piece; takes from the front of `plain`. */
MUST_USE bool tls_stream_put(struct tls_stream *stream, struct bytes *plain, uint64_t unsent_bytes_most);

/* Says that nothing more will be sent (close_notify). Once; later calls do nothing, nor does it on a stream
 * that is not open. */
void tls_stream_shutdown(struct tls_stream *stream);

/* Whether it has said so. */
bool tls_stream_shut(const struct tls_stream *stream);

/* The chain of bytes to be sent, for output_gather(), output_sent(), and for bytes in clear before the
 * handshake. */
struct output *tls_stream_output(struct tls_stream *stream);

/* Whether the handshake is complete and the stream good for reading and writing. */
bool tls_stream_open(const struct tls_stream *stream);

/* Why it failed; never NULL. */
const char *tls_stream_error(const struct tls_stream *stream);

/* "1.3", and the IANA name of the suite; of an open stream. */
const char *tls_stream_version(const struct tls_stream *stream);
const char *tls_stream_suite(const struct tls_stream *stream);
bool tls_stream_resumed(const struct tls_stream *stream);

/* SHA-256 of the SubjectPublicKeyInfo of the peer's certificate; false when it has shown none. */
MUST_USE bool tls_stream_pin(const struct tls_stream *stream, uint8_t pin[TLS_PIN_BYTES]);

/* The names in the peer's certificate, copied into the arena. ERR_NOT_FOUND: it has shown none. ERR_MEMORY.
 */
MUST_USE enum err tls_stream_names(const struct tls_stream *stream, struct certificate_names *names,
                                   struct arena *arena);

/* What monitoring tells of a certificate. */
enum { TLS_PEERS_MAX = 8, TLS_SUBJECT_BYTES = 512 };
struct tls_peer {
    uint8_t spki_sha256[TLS_PIN_BYTES];
    uint8_t cert_sha256[TLS_PIN_BYTES];
    uint32_t subject_count;
    char subject[TLS_SUBJECT_BYTES]; /* as Go writes it; empty when it is longer */
};

/* The peer's certificates, its own first; how many, at most TLS_PEERS_MAX. 0: it has shown none. Cost: two
 * hashes of each. */
uint32_t tls_stream_peers(const struct tls_stream *stream, struct tls_peer peers[TLS_PEERS_MAX]);

/* The peer's certificates as PEM, its own first, copied into the arena; how many, at most TLS_PEERS_MAX. When
 * they were verified these are the chain up to the authority, *verified, else what the peer has shown. Fewer
 * when memory is out. Cost: writes each anew. */
uint32_t tls_stream_certificates(const struct tls_stream *stream, struct bytes pem[TLS_PEERS_MAX],
                                 bool *verified, struct arena *arena);

/* Whether a host name in a certificate means that host: label by label in any case, as many of each, and a
 * first label of "*" is any one label (verify_cert_and_check_known_urls, spec/security.md 4.7). */
bool tls_host_matches(struct bytes name, struct bytes host);

/* The peer's certificates as they were verified, its own first, a root last, as DER in the arena; how many.
 * 0: it has shown none, the session was resumed, they were not verified, or there is no memory. */
uint32_t tls_stream_chain(const struct tls_stream *stream, struct bytes chain[TLS_CHAIN_MAX],
                          struct arena *arena);

/* Where the context asks for staples (tls_context_ask_staple()): whether the server has sent one that says
 * that its certificate is good. False: tls_stream_error() says why, of a peer of that kind. */
MUST_USE bool tls_stream_stapled(struct tls_stream *stream, const char *kind);

/* Whether the peer's certificate is within its dates now: a resumed session does not ask again. True without.
 */
bool tls_stream_peer_current(const struct tls_stream *stream);

#endif
