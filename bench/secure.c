/* bench/secure.c - TLS over the generator's sockets; see secure.h. */
#include "bench/secure.h"

#include "core/base/check.h"
#include "core/base/memory.h"
#include "net/tls_stream.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    CIPHER_BYTES = 64 * 1024,  /* one read() */
    UNSENT_BYTES = 256 * 1024, /* made ahead of the socket */
    PARTS_MAX = 32,            /* of one gathered send */
};

struct secure_context {
    struct tls_context *context;
    struct output_pool pool;
    uint8_t cipher[CIPHER_BYTES];
};

struct secure {
    struct secure_context *shared;
    struct tls_stream *stream;
    size_t sealed; /* bytes at the front of the caller's that are ciphertext already, and not all sent */
};

enum err secure_context_new(struct secure_context **context, const struct options *options,
                            struct failure *failure)
{
    char why[512];
    struct tls_pair pair = {.cert_file = options->tls_cert, .key_file = options->tls_key};
    struct tls_options tls = {
        .pairs = &pair,
        .pair_count = options->tls_cert != NULL,
        .ca_file = options->tls_ca,
        .insecure = options->insecure,
    };
    *context = memory_new(sizeof **context);
    if (*context == NULL)
        return failure_set(failure, ERR_MEMORY, "out of memory");
    if (tls_context_new(&(*context)->context, &tls, TLS_CLIENT, why, sizeof why) == ERR_OK)
        return ERR_OK;
    memory_free(*context);
    *context = NULL;
    return failure_set(failure, ERR_INVALID, "%s", why);
}

void secure_context_free(struct secure_context *context)
{
    if (context == NULL)
        return;
    tls_context_release(context->context);
    output_pool_close(&context->pool);
    memory_free(context);
}

/* What is ready goes to the socket; false: it takes no more now, or failed, then errno says why. */
static bool push(struct secure *secure, int fd, bool *failed)
{
    struct output *output = tls_stream_output(secure->stream);
    *failed = false;
    while (!output_empty(output)) {
        struct iovec parts[PARTS_MAX];
        struct msghdr message = {.msg_iov = parts, .msg_iovlen = output_gather(output, parts, PARTS_MAX)};
        ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0) {
            *failed = errno != EAGAIN && errno != EWOULDBLOCK && errno != EPIPE && errno != ECONNRESET;
            return false;
        }
        output_sent(output, &secure->shared->pool, (uint64_t)sent);
    }
    return true;
}

/* What came behind the server's last word of the handshake: Go sends its tickets there. */
static enum err rest_take(struct secure *secure, struct bytes *cipher, struct failure *failure)
{
    uint8_t plain[64];
    size_t got = 0;
    enum tls_result result = tls_stream_read(secure->stream, cipher, plain, sizeof plain, &got);
    if (result == TLS_MORE && got == 0)
        return ERR_OK;
    return failure_set(failure, ERR_INVALID, "the server spoke before it was asked");
}

static enum err shake(struct secure *secure, int fd, struct failure *failure)
{
    struct bytes cipher = {0};
    bool failed;
    for (;;) {
        enum tls_result result = tls_stream_handshake(secure->stream, &cipher);
        bool pushed = push(secure, fd, &failed);
        if (result == TLS_DONE && !pushed)
            return failure_set_errno(failure, "the TLS handshake cannot be sent");
        if (result == TLS_DONE)
            return rest_take(secure, &cipher, failure);
        if (result != TLS_MORE)
            return failure_set(failure, ERR_DENIED, "TLS handshake: %s", tls_stream_error(secure->stream));
        ssize_t got = recv(fd, secure->shared->cipher, CIPHER_BYTES, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return failure_set(failure, ERR_SYSTEM, "the server ends the TLS handshake");
        cipher = bytes_of(secure->shared->cipher, (size_t)got);
    }
}

enum err secure_shake(struct secure **secure, struct secure_context *context, const char *host, int fd,
                      struct failure *failure)
{
    *secure = memory_new(sizeof **secure);
    if (*secure == NULL)
        return failure_set(failure, ERR_MEMORY, "out of memory");
    (*secure)->shared = context;
    enum err err = tls_stream_new(&(*secure)->stream, context->context, &context->pool, host);
    if (err != ERR_OK)
        return failure_set(failure, err, "out of memory");
    return shake(*secure, fd, failure);
}

void secure_free(struct secure *secure, int fd)
{
    bool failed;
    if (secure == NULL)
        return;
    if (secure->stream != NULL) {
        tls_stream_shutdown(secure->stream);
        (void)push(secure, fd, &failed);
        tls_stream_free(secure->stream);
    }
    memory_free(secure);
}

enum err secure_write(struct secure *secure, int fd, const uint8_t *bytes, size_t count, size_t *taken,
                      struct failure *failure)
{
    bool failed = false;
    *taken = 0;
    while (push(secure, fd, &failed)) {
        *taken += secure->sealed;
        secure->sealed = 0;
        struct bytes left = bytes_of(bytes + *taken, count - *taken);
        if (left.count == 0)
            return ERR_OK;
        if (!tls_stream_put(secure->stream, &left, UNSENT_BYTES))
            return failure_set(failure, ERR_INVALID, "TLS: %s", tls_stream_error(secure->stream));
        secure->sealed = count - *taken - left.count;
    }
    return failed ? failure_set_errno(failure, "sending to the server failed") : ERR_OK;
}

enum err secure_read(struct secure *secure, int fd, uint8_t *into, size_t room, size_t *got, bool *ended,
                     struct failure *failure)
{
    ASSERT(room > 2 * TLS_RECORD_PLAIN_BYTES);
    size_t most = room - TLS_RECORD_PLAIN_BYTES; /* a record of which most came before */
    *got = 0;
    *ended = false;
    ssize_t count = recv(fd, secure->shared->cipher, most < CIPHER_BYTES ? most : CIPHER_BYTES, 0);
    if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
        return ERR_OK;
    if (count < 0)
        return failure_set_errno(failure, "receiving from the server failed");
    *ended = count == 0;
    if (count == 0)
        return ERR_OK;
    struct bytes cipher = bytes_of(secure->shared->cipher, (size_t)count);
    switch (tls_stream_read(secure->stream, &cipher, into, room, got)) {
    case TLS_MORE:
        return ERR_OK;
    case TLS_ENDED:
        *ended = *got == 0;
        return ERR_OK;
    case TLS_DONE:
    case TLS_FAILED:
        break;
    }
    return failure_set(failure, ERR_INVALID, "TLS: %s", tls_stream_error(secure->stream));
}
