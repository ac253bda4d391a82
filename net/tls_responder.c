/* net/tls_responder.c - see tls_responder.h. OpenSSL speaks HTTP; sockets that do not block leave the waiting
 * to us, so that fractions of a second and an end of the server count. */
#include "net/tls_responder.h"

#include "core/base/clock.h"
#include "core/codec/base64.h"
#include "net/tls_ocsp.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/http.h>
#include <openssl/ocsp.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <stdio.h>

enum { PATH_BYTES_MAX = 16 * 1024, LINE_BYTES = 4096 };

/* One question under way. */
struct asking {
    const struct responder_question *question;
    BIO *bio;
    OSSL_HTTP_REQ_CTX *exchange;
    SSL_CTX *tls; /* of an https address */
    char *host;
    char *port;
    char *path;
    char *why;
    size_t why_bytes;
    int64_t end_ns;
};

static bool refuse(struct asking *asking, const char *what)
{
    unsigned long error = ERR_peek_last_error();
    const char *reason = error == 0 ? NULL : ERR_reason_error_string(error);
    snprintf(asking->why, asking->why_bytes, "%s%s%s", what, reason == NULL ? "" : ": ",
             reason == NULL ? "" : reason);
    return false;
}

/* Waits until the socket is ready; false: no longer. */
static bool ready_wait(struct asking *asking)
{
    int fd = -1;
    int64_t left_ns = asking->end_ns - clock_monotonic_ns();
    (void)BIO_get_fd(asking->bio, &fd);
    struct pollfd ready[] = {
        {.fd = fd, .events = (short)(BIO_should_read(asking->bio) ? POLLIN : POLLOUT)},
        {.fd = asking->question->stop_fd, .events = POLLIN},
    };
    ERR_clear_error();
    if (left_ns <= 0)
        return refuse(asking, "i/o timeout");
    if (fd < 0)
        return refuse(asking, "no connection");
    int64_t wait_ms = left_ns / NS_PER_MS + 1;
    int count = poll(ready, COUNT_OF(ready), wait_ms > INT32_MAX ? INT32_MAX : (int)wait_ms);
    if (count < 0 && errno != EINTR)
        return refuse(asking, "poll failed");
    if (ready[1].revents != 0)
        return refuse(asking, "the server stops");
    return true; /* a timeout is found by the next call */
}

/* ---- the address ---- */

static bool address_take(struct asking *asking)
{
    int secure = 0;
    if (OSSL_HTTP_parse_url(asking->question->url, &secure, NULL, &asking->host, &asking->port, NULL,
                            &asking->path, NULL, NULL) != 1)
        return refuse(asking, "bad address of a responder");
    if (!secure) {
        asking->bio = BIO_new_connect(asking->host);
        return asking->bio != NULL ? true : refuse(asking, "no connection");
    }
    SSL *ssl = NULL;
    asking->tls = SSL_CTX_new(TLS_client_method());
    if (asking->tls == NULL || SSL_CTX_set_default_verify_paths(asking->tls) != 1)
        return refuse(asking, "no TLS");
    SSL_CTX_set_verify(asking->tls, SSL_VERIFY_PEER, NULL);
    asking->bio = BIO_new_ssl_connect(asking->tls);
    if (asking->bio == NULL || BIO_get_ssl(asking->bio, &ssl) != 1 || SSL_set1_host(ssl, asking->host) != 1 ||
        SSL_set_tlsext_host_name(ssl, asking->host) != 1 ||
        BIO_set_conn_hostname(asking->bio, asking->host) != 1)
        return refuse(asking, "no TLS");
    return true;
}

static bool connected(struct asking *asking)
{
    if (!address_take(asking) || BIO_set_conn_port(asking->bio, asking->port) != 1 ||
        BIO_set_nbio(asking->bio, 1) != 1)
        return asking->why[0] != 0 ? false : refuse(asking, "no connection");
    while (BIO_do_connect(asking->bio) != 1) {
        if (!BIO_should_retry(asking->bio))
            return refuse(asking, "dial failed");
        if (!ready_wait(asking))
            return false;
    }
    return true;
}

/* ---- the exchange ---- */

/* The path of a GET: the request in base64, with what a URL cannot hold written as "%XX". */
static bool path_write(const struct asking *asking, char path[PATH_BYTES_MAX])
{
    char letters[LINE_BYTES];
    size_t used = strlen(asking->path);
    size_t count = base64_standard_encode(letters, sizeof letters, asking->question->request);
    if (used + 1 + 3 * count + 1 > PATH_BYTES_MAX || count == 0)
        return false;
    memcpy(path, asking->path, used);
    if (used == 0 || path[used - 1] != '/')
        path[used++] = '/';
    for (size_t i = 0; i < count; i++) {
        bool plain = strchr("+/=", letters[i]) == NULL;
        used += (size_t)snprintf(path + used, PATH_BYTES_MAX - used, plain ? "%c" : "%%%02X", letters[i]);
    }
    return true;
}

static bool body_set(struct asking *asking)
{
    const unsigned char *at = asking->question->request.data;
    OCSP_REQUEST *request = d2i_OCSP_REQUEST(NULL, &at, (long)asking->question->request.count);
    bool good = request != NULL &&
                OSSL_HTTP_REQ_CTX_set1_req(asking->exchange, "application/ocsp-request",
                                           ASN1_ITEM_rptr(OCSP_REQUEST), (const ASN1_VALUE *)request) == 1;
    OCSP_REQUEST_free(request);
    return good;
}

static bool exchange_begin(struct asking *asking)
{
    char path[PATH_BYTES_MAX];
    char host[LINE_BYTES];
    bool post = asking->question->post;
    int named = snprintf(host, sizeof host, "%s:%s", asking->host, asking->port);
    asking->exchange = OSSL_HTTP_REQ_CTX_new(asking->bio, asking->bio, LINE_BYTES);
    if (asking->exchange == NULL || named >= LINE_BYTES || (!post && !path_write(asking, path)))
        return false;
    OSSL_HTTP_REQ_CTX_set_max_response_length(asking->exchange, OCSP_RESPONSE_BYTES_MAX);
    return OSSL_HTTP_REQ_CTX_set_request_line(asking->exchange, post, NULL, NULL,
                                              post ? asking->path : path) == 1 &&
           OSSL_HTTP_REQ_CTX_add1_header(asking->exchange, "Host", host) == 1 &&
           OSSL_HTTP_REQ_CTX_add1_header(asking->exchange, "Accept", "application/ocsp-response") == 1 &&
           OSSL_HTTP_REQ_CTX_set_expected(asking->exchange, NULL, 1, 0, 0) == 1 &&
           (!post || body_set(asking));
}

static bool exchanged(struct asking *asking, struct arena *arena, struct bytes *response)
{
    int result;
    char *data = NULL;
    if (!exchange_begin(asking))
        return refuse(asking, "no request");
    while ((result = OSSL_HTTP_REQ_CTX_nbio(asking->exchange)) == -1) {
        if (!ready_wait(asking))
            return false;
    }
    BIO *memory = result == 1 ? OSSL_HTTP_REQ_CTX_get0_mem_bio(asking->exchange) : NULL;
    long count = memory == NULL ? 0 : BIO_get_mem_data(memory, &data);
    if (count <= 0 || count > OCSP_RESPONSE_BYTES_MAX)
        return refuse(asking, "bad answer by HTTP");
    const char *copy = arena_copy(arena, bytes_of(data, (size_t)count));
    *response = bytes_of(copy, (size_t)count);
    return copy != NULL ? true : refuse(asking, "out of memory");
}

bool responder_ask(const struct responder_question *question, struct arena *arena, struct bytes *response,
                   char *why, size_t why_bytes)
{
    struct asking asking = {.question = question,
                            .why = why,
                            .why_bytes = why_bytes,
                            .end_ns = clock_monotonic_ns() + question->timeout_ns};
    *response = (struct bytes){0};
    why[0] = 0;
    ERR_clear_error();
    bool good = connected(&asking) && exchanged(&asking, arena, response);
    OSSL_HTTP_REQ_CTX_free(asking.exchange);
    BIO_free_all(asking.bio);
    SSL_CTX_free(asking.tls);
    OPENSSL_free(asking.host);
    OPENSSL_free(asking.port);
    OPENSSL_free(asking.path);
    ERR_clear_error();
    return good;
}
