/* bench/secure.h - TLS for the generator's connections: the server's own stream (net/tls_stream.h) from the
 * other side, over a socket. In the flow: main() -> secure_context_new(); connection_open() ->
 * secure_shake(); connection_flush() -> secure_write(); connection_receive() -> secure_read(). One thread's.
 */
#ifndef BENCH_SECURE_H
#define BENCH_SECURE_H

#include "bench/options.h"

struct secure;         /* of one connection; opaque */
struct secure_context; /* of all; opaque */

/* What --tls and its family ask for. Owner: the caller. ERR_INVALID: a file is not as it should be. */
MUST_USE enum err secure_context_new(struct secure_context **context, const struct options *options,
                                     struct failure *failure);
void secure_context_free(struct secure_context *context);

/* Shakes hands over a socket that blocks, with time limits. Owner: the caller. */
MUST_USE enum err secure_shake(struct secure **secure, struct secure_context *context, const char *host,
                               int fd, struct failure *failure);

/* Says goodbye if the socket takes it, and frees. NULL is allowed. */
void secure_free(struct secure *secure, int fd);

/* Sends from the front of `bytes`; `*taken` of them are with the kernel. The same bytes, or more behind them,
 * have to be given again for the rest. A socket that is full or closed takes nothing, as connection_flush()
 * has it. */
MUST_USE enum err secure_write(struct secure *secure, int fd, const uint8_t *bytes, size_t count,
                               size_t *taken, struct failure *failure);

/* One read() of the socket, decrypted into `into`: `*got` bytes, 0 when nothing is there; `*ended` at the end
 * of the stream. `room` is more than twice a TLS record, so nothing stays behind. */
MUST_USE enum err secure_read(struct secure *secure, int fd, uint8_t *into, size_t room, size_t *got,
                              bool *ended, struct failure *failure);

#endif
