/* net/tls_staple.c - see tls_staple.h. */
#include "net/tls_staple.h"

#include "core/base/clock.h"
#include "core/base/errno_text.h"
#include "core/base/memory.h"
#include "net/tls_internal.h"
#include "net/tls_responder.h"
#include "net/url_shown.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, FOLDER_MODE = 0750 };

/* ---- in handshakes ---- */

struct tls_staple *tls_staple_new(struct bytes response, const struct ocsp_answer *answer)
{
    struct tls_staple *staple = memory_new(sizeof *staple + response.count);
    if (staple == NULL)
        return NULL;
    staple->answer = *answer;
    staple->count = response.count;
    memcpy(staple->response, response.data, response.count);
    return staple;
}

void tls_staple_free(struct tls_staple *staple)
{
    memory_free(staple);
}

struct tls_staple *tls_context_staple(struct tls_context *context, struct tls_staple *staple)
{
    return atomic_exchange_explicit(&context->staple, staple, memory_order_acq_rel);
}

const struct tls_staple *tls_context_stapled(const struct tls_context *context)
{
    return atomic_load_explicit(&context->staple, memory_order_acquire);
}

void tls_context_ask_staple(struct tls_context *context)
{
    context->asks_staple = true;
    (void)SSL_CTX_set_tlsext_status_type(context->ssl, TLSEXT_STATUSTYPE_ocsp);
}

/* OpenSSL asks once the certificate has been chosen: the staple is that of the first. One that holds no more
 * is worse than none: who looks at it refuses it. */
static int staple_give(SSL *ssl, void *argument)
{
    const struct tls_context *context = argument;
    const struct tls_staple *staple = tls_context_stapled(context);
    char why[STAPLE_WHY_BYTES];
    if (staple == NULL || SSL_get_certificate(ssl) != context->identities[0].certificate ||
        !ocsp_answer_staples(&staple->answer, clock_wall_ns(), why, sizeof why))
        return SSL_TLSEXT_ERR_NOACK;
    unsigned char *copy = OPENSSL_memdup(staple->response, staple->count);
    if (copy == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)staple->count) == 1) /* which it owns then */
        return SSL_TLSEXT_ERR_OK;
    OPENSSL_free(copy);
    return SSL_TLSEXT_ERR_NOACK;
}

void tls_staple_offer(struct tls_context *context)
{
    SSL_CTX_set_tlsext_status_cb(context->ssl, staple_give);
    SSL_CTX_set_tlsext_status_arg(context->ssl, context);
}

/* ---- the question ---- */

static bool refuse(struct staple_question *question, const char *why)
{
    snprintf(question->why, sizeof question->why, "%s", why);
    ERR_clear_error();
    return false;
}

static struct bytes der_copy(const X509 *certificate, struct arena *arena)
{
    unsigned char *der = NULL;
    int count = i2d_X509(certificate, &der);
    const char *copy = count <= 0 ? NULL : arena_copy(arena, bytes_of(der, (size_t)count));
    OPENSSL_free(der);
    return copy == NULL ? (struct bytes){0} : bytes_of(copy, (size_t)count);
}

/* The second certificate of the file must have signed the first. */
static X509 *issuer_in_file(const struct tls_identity *identity)
{
    X509 *second = sk_X509_num(identity->chain) > 0 ? sk_X509_value(identity->chain, 0) : NULL;
    if (second == NULL || X509_verify(identity->certificate, X509_get0_pubkey(second)) != 1)
        return NULL;
    return X509_up_ref(second) == 1 ? second : NULL;
}

static X509 *issuer_in_store(const struct tls_context *context, X509 *certificate)
{
    X509_STORE_CTX *search = X509_STORE_CTX_new();
    X509 *issuer = NULL;
    if (search == NULL ||
        X509_STORE_CTX_init(search, SSL_CTX_get_cert_store(context->ssl), certificate, NULL) != 1 ||
        X509_STORE_CTX_get1_issuer(&issuer, search, certificate) != 1)
        issuer = NULL;
    X509_STORE_CTX_free(search);
    return issuer;
}

static bool issuer_find(struct staple_question *question, const struct tls_context *context)
{
    const struct tls_identity *identity = &context->identities[0];
    X509 *issuer = sk_X509_num(identity->chain) > 0 ? issuer_in_file(identity)
                                                    : issuer_in_store(context, identity->certificate);
    if (issuer == NULL)
        return refuse(question, "no issuers found");
    bool authority = X509_check_ca(issuer) > 0;
    question->link.issuer = der_copy(issuer, &question->arena);
    X509_free(issuer);
    if (!authority)
        return refuse(question, "invalid ca basic constraints: is not ca");
    return question->link.issuer.count > 0 ? true : refuse(question, "out of memory");
}

/* <store_dir>/ocsp/<SHA-256 of the certificate, in hex>, as nats-server names it. */
static bool path_make(struct staple_question *question, const char *store_dir)
{
    char path[PATH_BYTES];
    int used = snprintf(path, sizeof path, "%s/ocsp", store_dir);
    question->folder = used < PATH_BYTES ? arena_copy(&question->arena, text(path)) : NULL;
    if (question->folder == NULL || used + 2 + 2 * OCSP_FINGERPRINT_BYTES > PATH_BYTES)
        return false;
    path[used++] = '/';
    for (size_t i = 0; i < OCSP_FINGERPRINT_BYTES; i++)
        used += snprintf(path + used, sizeof path - (size_t)used, "%02x", question->fingerprint[i]);
    question->path = arena_copy(&question->arena, text(path));
    return question->path != NULL;
}

bool staple_question_make(struct staple_question *question, const struct tls_context *context,
                          const struct ocsp_options *options, const char *store_dir)
{
    *question = (struct staple_question){0};
    question->link.certificate = der_copy(context->identities[0].certificate, &question->arena);
    if (question->link.certificate.count == 0 ||
        !tls_ocsp_fingerprint(question->link.certificate, question->fingerprint))
        return refuse(question, "out of memory");
    if (store_dir != NULL && !path_make(question, store_dir))
        return refuse(question, "store_dir is too long");
    if (!issuer_find(question, context))
        return false;
    for (uint32_t i = 0; i < options->url_count; i++) {
        question->urls[i] = arena_copy(&question->arena, text(options->urls[i]));
        if (question->urls[i] == NULL)
            return refuse(question, "out of memory");
    }
    question->url_count = options->url_count;
    if (question->url_count == 0)
        question->url_count = tls_ocsp_urls(question->link.certificate, question->urls, &question->arena);
    return true;
}

void staple_question_close(struct staple_question *question)
{
    tls_staple_free(question->staple);
    question->staple = NULL;
    arena_close(&question->arena);
}

/* ---- the file ---- */

bool staple_folder_make(const char *store_dir, char *why, size_t why_bytes)
{
    char path[PATH_BYTES];
    struct stat found;
    if (store_dir == NULL)
        return true;
    if (snprintf(path, sizeof path, "%s/ocsp", store_dir) >= PATH_BYTES) {
        snprintf(why, why_bytes, "could not create OCSP storage directory - the path is too long");
        return false;
    }
    if (stat(path, &found) == 0) {
        if (S_ISDIR(found.st_mode))
            return true;
        snprintf(why, why_bytes, "OCSP storage directory is not a directory");
        return false;
    }
    bool made = (mkdir(store_dir, FOLDER_MODE) == 0 || errno == EEXIST) &&
                (mkdir(path, FOLDER_MODE) == 0 || errno == EEXIST);
    if (!made)
        snprintf(why, why_bytes, "could not create OCSP storage directory - mkdir %s: %s", path,
                 errno_text(errno).text);
    return made;
}

/* Takes an answer that staples, else says why it does not. */
static bool take(struct staple_question *question, struct bytes response)
{
    struct ocsp_answer answer;
    if (tls_ocsp_judge(response, &question->link, &answer, question->why, sizeof question->why) !=
            OCSP_ANSWERED ||
        !ocsp_answer_staples(&answer, clock_wall_ns(), question->why, sizeof question->why))
        return false;
    question->staple = tls_staple_new(response, &answer);
    return question->staple != NULL ? true : refuse(question, "out of memory");
}

static bool file_read(struct staple_question *question)
{
    static const size_t room = OCSP_RESPONSE_BYTES_MAX + 1;
    int fd = question->path == NULL ? -1 : open(question->path, O_RDONLY | O_CLOEXEC);
    uint8_t *bytes = fd < 0 ? NULL : memory_new(room);
    size_t count = 0;
    ssize_t got = 0;
    while (bytes != NULL && count < room && (got = read(fd, bytes + count, room - count)) > 0)
        count += (size_t)got;
    bool good = bytes != NULL && got >= 0 && take(question, bytes_of(bytes, count));
    memory_free(bytes);
    if (fd >= 0)
        close(fd);
    return good;
}

static bool all_written(int fd, struct bytes bytes)
{
    while (bytes.count > 0) {
        ssize_t count = write(fd, bytes.data, bytes.count);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        bytes = bytes_of(bytes.data + count, bytes.count - (size_t)count);
    }
    return true;
}

/* Whole or not at all: written beside it, then renamed. */
static bool file_write(struct staple_question *question, struct bytes response)
{
    char temporary[PATH_BYTES];
    if (question->path == NULL)
        return true;
    (void)snprintf(temporary, sizeof temporary, "%s/tmp-cert-statusXXXXXX", question->folder);
    int fd = mkostemp(temporary, O_CLOEXEC);
    bool good = fd >= 0 && all_written(fd, response);
    int error = errno;
    if (fd >= 0 && close(fd) != 0) {
        good = false;
        error = errno;
    }
    if (good && rename(temporary, question->path) != 0) {
        good = false;
        error = errno;
    }
    if (good)
        return true;
    if (fd >= 0)
        (void)unlink(temporary);
    snprintf(question->why, sizeof question->why, "failed to write ocsp status: %s", errno_text(error).text);
    return false;
}

/* ---- responders ---- */

/* Posted first; who does not take that is asked by GET. */
static bool responder_says(struct staple_question *question, const char *url, struct bytes request,
                           struct arena *arena, struct bytes *response, int stop_fd)
{
    char posted[STAPLE_WHY_BYTES / 4], got[STAPLE_WHY_BYTES / 4];
    struct responder_question ask = {
        .url = url, .request = request, .timeout_ns = STAPLE_TIMEOUT_NS, .stop_fd = stop_fd, .post = true};
    if (responder_ask(&ask, arena, response, posted, sizeof posted))
        return true;
    ask.post = false;
    if (responder_ask(&ask, arena, response, got, sizeof got))
        return true;
    snprintf(question->why, sizeof question->why, "POST %.128s: %s; GET: %s", url_shown_good(url).text,
             posted, got);
    return false;
}

void staple_obtain(struct staple_question *question, int stop_fd)
{
    struct arena arena = {.limit_bytes = (size_t)4 * OCSP_URLS_MAX * OCSP_RESPONSE_BYTES_MAX};
    struct bytes request, response = {0};
    char cause[STAPLE_WHY_BYTES];
    bool found = false;
    if (!question->ask && file_read(question))
        return;
    request = tls_ocsp_request(&question->link, &arena);
    if (request.count == 0 || question->url_count == 0) {
        (void)refuse(question, question->url_count == 0 ? "no available ocsp servers" : "out of memory");
        arena_close(&arena);
        return;
    }
    for (uint32_t i = 0; i < question->url_count && !found; i++)
        found = responder_says(question, question->urls[i], request, &arena, &response, stop_fd) &&
                take(question, response);
    if (found && !file_write(question, response)) {
        tls_staple_free(question->staple);
        question->staple = NULL;
    } else if (!found) {
        snprintf(cause, sizeof cause, "%s", question->why);
        snprintf(question->why, sizeof question->why, "exhausted ocsp servers: %.*s", STAPLE_WHY_BYTES - 64,
                 cause);
    }
    arena_close(&arena);
}
