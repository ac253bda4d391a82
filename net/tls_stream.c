/* net/tls_stream.c - OpenSSL between two chains of bytes; see tls_stream.h.
 * A BIO of our own reads straight from the receive buffer and writes straight into the output's blocks:
 * against memory BIOs that is one copy less each way. */
#include "net/tls_stream.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "net/tls_internal.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>

enum {
    GATHER_BELOW_BYTES = 4096,    /* pieces from this size on are records of their own, uncopied */
    NAMES_BYTES_MAX = 256 * 1024, /* more than any certificate that OpenSSL takes has */
    CHAIN_BYTES_MAX = 1024 * 1024,
};

struct tls_stream {
    SSL *ssl;
    struct tls_context *context;
    struct output_pool *pool;
    struct bytes input; /* of the call under way */
    struct output output;
    bool open;
    bool failed;
    bool shut; /* close_notify is out */
    char error[TLS_ERROR_BYTES];
};

/* ---- the BIO ---- */

static int bio_read(BIO *bio, char *into, int room)
{
    struct tls_stream *stream = BIO_get_data(bio);
    size_t count = stream->input.count < (size_t)room ? stream->input.count : (size_t)room;
    BIO_clear_retry_flags(bio);
    if (count == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(into, stream->input.data, count);
    stream->input = bytes_of(stream->input.data + count, stream->input.count - count);
    return (int)count;
}

/* Fills the last block before it takes another, so blocks leave full. */
static int bio_write(BIO *bio, const char *from, int count)
{
    struct tls_stream *stream = BIO_get_data(bio);
    struct bytes left = bytes_of(from, (size_t)count);
    BIO_clear_retry_flags(bio);
    if (stream->output.pending_bytes + left.count > TLS_UNSENT_BYTES_MAX)
        return -1;
    while (left.count > 0) {
        const struct output_segment *last = stream->output.last;
        size_t room = last == NULL ? 0 : last->room;
        size_t part = room > 0 && room < left.count ? room : left.count;
        if (part > (size_t)BLOCK_STANDARD_BYTES)
            part = (size_t)BLOCK_STANDARD_BYTES;
        if (output_append(&stream->output, stream->pool, bytes_of(left.data, part)) != ERR_OK)
            return -1;
        left = bytes_of(left.data + part, left.count - part);
    }
    return count;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *tls_bio_method_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");
    if (method == NULL)
        return NULL;
    if (BIO_meth_set_read(method, bio_read) == 1 && BIO_meth_set_write(method, bio_write) == 1 &&
        BIO_meth_set_ctrl(method, bio_control) == 1)
        return method;
    BIO_meth_free(method);
    return NULL;
}

/* ---- beginning and end ---- */

/* A client says whom it wants, and holds the server to it. */
static bool set_host(struct tls_stream *stream, const char *host)
{
    static const struct bytes digits = {(const uint8_t *)"0123456789.:", 12};
    bool address = true;
    for (const char *at = host; *at != 0; at++) {
        bool hex = strchr(host, ':') != NULL && strchr("abcdefABCDEF", *at) != NULL;
        address = address && (hex || memchr(digits.data, *at, digits.count) != NULL);
    }
    if (address)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(stream->ssl), host) == 1;
    return SSL_set_tlsext_host_name(stream->ssl, host) == 1 && SSL_set1_host(stream->ssl, host) == 1;
}

enum err tls_stream_new(struct tls_stream **stream, struct tls_context *context, struct output_pool *pool,
                        const char *host)
{
    struct tls_stream *made = memory_new(sizeof *made);
    *stream = NULL;
    if (made == NULL)
        return ERR_MEMORY;
    made->context = tls_context_hold(context);
    made->pool = pool;
    made->ssl = SSL_new(context->ssl);
    BIO *bio = made->ssl == NULL ? NULL : BIO_new(context->method);
    if (bio == NULL || (host != NULL && !set_host(made, host))) {
        BIO_free(bio);
        tls_stream_free(made);
        ERR_clear_error();
        return ERR_MEMORY;
    }
    BIO_set_data(bio, made);
    BIO_set_init(bio, 1);
    SSL_set_bio(made->ssl, bio, bio);
    if (context->role == TLS_SERVER)
        SSL_set_accept_state(made->ssl);
    else
        SSL_set_connect_state(made->ssl);
    *stream = made;
    return ERR_OK;
}

void tls_stream_free(struct tls_stream *stream)
{
    if (stream == NULL)
        return;
    SSL_free(stream->ssl);
    output_clear(&stream->output, stream->pool);
    tls_context_release(stream->context);
    memory_free(stream);
}

/* ---- work ---- */

static enum tls_result fail(struct tls_stream *stream)
{
    stream->failed = true;
    stream->open = false;
    tls_error_describe(SSL_get_verify_result(stream->ssl), stream->error, sizeof stream->error);
    return TLS_FAILED;
}

/* What a call of OpenSSL's that did not succeed means. */
static enum tls_result judge(struct tls_stream *stream, int returned)
{
    switch (SSL_get_error(stream->ssl, returned)) {
    case SSL_ERROR_WANT_READ:
        return TLS_MORE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_ENDED;
    default:
        return fail(stream);
    }
}

enum tls_result tls_stream_handshake(struct tls_stream *stream, struct bytes *ciphertext)
{
    if (stream->failed)
        return TLS_FAILED;
    ASSERT(!stream->open);
    ERR_clear_error(); /* SSL_get_error() looks at the thread's queue */
    stream->input = *ciphertext;
    int returned = SSL_do_handshake(stream->ssl);
    *ciphertext = stream->input;
    stream->input = (struct bytes){0};
    if (returned != 1)
        return judge(stream, returned);
    stream->open = true;
    return TLS_DONE;
}

enum tls_result tls_stream_read(struct tls_stream *stream, struct bytes *ciphertext, uint8_t *into,
                                size_t room, size_t *count)
{
    enum tls_result result = TLS_DONE;
    *count = 0;
    if (stream->failed)
        return TLS_FAILED;
    ASSERT(stream->open && room > 0);
    ERR_clear_error();
    stream->input = *ciphertext;
    while (*count < room && result == TLS_DONE) {
        size_t got = 0;
        int returned = SSL_read_ex(stream->ssl, into + *count, room - *count, &got);
        *count += got;
        if (returned != 1)
            result = judge(stream, returned);
    }
    *ciphertext = stream->input;
    stream->input = (struct bytes){0};
    return result;
}

/* The bytes for the next record: where they lie if that is a large piece, else gathered. */
static struct bytes next_record(const struct output *plain, uint8_t gathered[TLS_RECORD_PLAIN_BYTES])
{
    const struct output_segment *at = plain->first;
    size_t count = 0;
    while (at != NULL && at->at == at->end)
        at = at->next;
    if (at == NULL)
        return (struct bytes){0};
    size_t first = (size_t)(at->end - at->at);
    if (first >= GATHER_BELOW_BYTES || at->next == NULL)
        return bytes_of(at->at, first < TLS_RECORD_PLAIN_BYTES ? first : TLS_RECORD_PLAIN_BYTES);
    for (; at != NULL && count < TLS_RECORD_PLAIN_BYTES; at = at->next) {
        size_t part = (size_t)(at->end - at->at);
        part = part < TLS_RECORD_PLAIN_BYTES - count ? part : TLS_RECORD_PLAIN_BYTES - count;
        memcpy(gathered + count, at->at, part);
        count += part;
    }
    return bytes_of(gathered, count);
}

bool tls_stream_write(struct tls_stream *stream, struct output *plain, uint64_t unsent_bytes_most)
{
    uint8_t gathered[TLS_RECORD_PLAIN_BYTES];
    if (stream->failed)
        return false;
    ASSERT(stream->open && unsent_bytes_most <= TLS_UNSENT_BYTES_MAX / 2);
    ERR_clear_error();
    while (!output_empty(plain) && stream->output.pending_bytes < unsent_bytes_most) {
        struct bytes record = next_record(plain, gathered);
        size_t written = 0;
        if (SSL_write_ex(stream->ssl, record.data, record.count, &written) != 1) {
            (void)fail(stream);
            return false;
        }
        output_sent(plain, stream->pool, written);
    }
    return true;
}

bool tls_stream_put(struct tls_stream *stream, struct bytes *plain, uint64_t unsent_bytes_most)
{
    if (stream->failed)
        return false;
    ASSERT(stream->open && unsent_bytes_most <= TLS_UNSENT_BYTES_MAX / 2);
    ERR_clear_error();
    while (plain->count > 0 && stream->output.pending_bytes < unsent_bytes_most) {
        size_t count = plain->count < TLS_RECORD_PLAIN_BYTES ? plain->count : TLS_RECORD_PLAIN_BYTES;
        size_t written = 0;
        if (SSL_write_ex(stream->ssl, plain->data, count, &written) != 1) {
            (void)fail(stream);
            return false;
        }
        *plain = bytes_of(plain->data + written, plain->count - written);
    }
    return true;
}

void tls_stream_shutdown(struct tls_stream *stream)
{
    if (!stream->open || stream->failed || stream->shut)
        return;
    stream->shut = true;
    (void)SSL_shutdown(stream->ssl); /* says it; what the peer answers nobody waits for */
    ERR_clear_error();
}

struct output *tls_stream_output(struct tls_stream *stream)
{
    return &stream->output;
}

bool tls_stream_open(const struct tls_stream *stream)
{
    return stream->open;
}

bool tls_stream_shut(const struct tls_stream *stream)
{
    return stream->shut;
}

const char *tls_stream_error(const struct tls_stream *stream)
{
    return stream->error;
}

/* ---- facts ---- */

const char *tls_stream_version(const struct tls_stream *stream)
{
    switch (SSL_version(stream->ssl)) {
    case TLS1_3_VERSION:
        return "1.3";
    case TLS1_2_VERSION:
        return "1.2";
    default:
        return "Unknown";
    }
}

const char *tls_stream_suite(const struct tls_stream *stream)
{
    const SSL_CIPHER *suite = SSL_get_current_cipher(stream->ssl);
    return suite == NULL ? "" : SSL_CIPHER_standard_name(suite);
}

bool tls_stream_resumed(const struct tls_stream *stream)
{
    return SSL_session_reused(stream->ssl) == 1;
}

bool tls_stream_peer_current(const struct tls_stream *stream)
{
    const X509 *peer = SSL_get0_peer_certificate(stream->ssl);
    return peer == NULL || (X509_cmp_current_time(X509_get0_notBefore(peer)) < 0 &&
                            X509_cmp_current_time(X509_get0_notAfter(peer)) > 0);
}

static bool key_digest(const X509 *certificate, uint8_t digest[TLS_PIN_BYTES])
{
    uint8_t *der = NULL;
    unsigned count = 0;
    int der_bytes = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(certificate), &der);
    bool good = der_bytes > 0 && EVP_Digest(der, (size_t)der_bytes, digest, &count, EVP_sha256(), NULL) == 1;
    OPENSSL_free(der);
    return good;
}

bool tls_stream_pin(const struct tls_stream *stream, uint8_t pin[TLS_PIN_BYTES])
{
    const X509 *peer = SSL_get0_peer_certificate(stream->ssl);
    return peer != NULL && key_digest(peer, pin);
}

static void peer_describe(const X509 *certificate, struct tls_peer *peer)
{
    struct arena arena = {.limit_bytes = NAMES_BYTES_MAX};
    struct certificate_names names = {0};
    unsigned count = 0;
    *peer = (struct tls_peer){0};
    (void)key_digest(certificate, peer->spki_sha256);
    (void)X509_digest(certificate, EVP_sha256(), peer->cert_sha256, &count);
    if (tls_names_take(certificate, &names, &arena) == ERR_OK)
        peer->subject_count =
            (uint32_t)certificate_subject_text(peer->subject, sizeof peer->subject, &names, false);
    arena_close(&arena);
}

uint32_t tls_stream_peers(const struct tls_stream *stream, struct tls_peer peers[TLS_PEERS_MAX])
{
    const X509 *own = SSL_get0_peer_certificate(stream->ssl);
    const STACK_OF(X509) *chain = SSL_get_peer_cert_chain(stream->ssl);
    uint32_t count = 0;
    if (own == NULL)
        return 0;
    peer_describe(own, &peers[count++]);
    for (int i = 0; chain != NULL && i < sk_X509_num(chain) && count < TLS_PEERS_MAX; i++) {
        const X509 *next = sk_X509_value(chain, i);
        if (X509_cmp(next, own) != 0) /* a client's chain begins with it, a server's does not */
            peer_describe(next, &peers[count++]);
    }
    return count;
}

uint32_t tls_stream_chain(const struct tls_stream *stream, struct bytes chain[TLS_CHAIN_MAX],
                          struct arena *arena)
{
    const STACK_OF(X509) *verified = SSL_get0_verified_chain(stream->ssl);
    int count = sk_X509_num(verified); /* -1 of none */
    if (count > TLS_CHAIN_MAX || SSL_get_verify_result(stream->ssl) != X509_V_OK)
        return 0;
    for (int i = 0; i < count; i++) {
        unsigned char *der = NULL;
        int der_bytes = i2d_X509(sk_X509_value(verified, i), &der);
        const char *copy = der_bytes <= 0 ? NULL : arena_copy(arena, bytes_of(der, (size_t)der_bytes));
        OPENSSL_free(der);
        if (copy == NULL)
            return 0;
        chain[i] = bytes_of(copy, (size_t)der_bytes);
    }
    return count < 0 ? 0 : (uint32_t)count;
}

/* NULL, or what is wrong with a staple; the clocks may differ as much as for peers' certificates. */
static const char *staple_problem(struct bytes staple, const struct ocsp_link *link,
                                  struct ocsp_answer *answer, char why[TLS_ERROR_BYTES])
{
    if (tls_ocsp_judge(staple, link, answer, why, TLS_ERROR_BYTES) != OCSP_ANSWERED)
        return "failed to parse OCSP response";
    if (!ocsp_answer_current(answer, clock_wall_ns(), OCSP_SKEW_DEFAULT_NS, OCSP_LASTS_DEFAULT_NS))
        return "OCSP staple not current";
    return answer->status == OCSP_STATUS_GOOD ? NULL : "bad status for OCSP Staple";
}

bool tls_stream_stapled(struct tls_stream *stream, const char *kind)
{
    struct arena arena = {.limit_bytes = CHAIN_BYTES_MAX};
    struct bytes chain[TLS_CHAIN_MAX] = {0};
    struct ocsp_answer answer = {.status = OCSP_STATUS_GOOD};
    char why[TLS_ERROR_BYTES] = "";
    unsigned char *bytes = NULL;
    if (!stream->context->asks_staple)
        return true;
    long count = SSL_get_tlsext_status_ocsp_resp(stream->ssl, &bytes);
    uint32_t links = count > 0 ? tls_stream_chain(stream, chain, &arena) : 0;
    struct ocsp_link link = {.certificate = chain[0], .issuer = chain[links > 1]};
    const char *problem = count <= 0   ? "missing OCSP Staple"
                          : links == 0 ? "missing TLS verified chains"
                                       : staple_problem(bytes_of(bytes, (size_t)count), &link, &answer, why);
    if (problem != NULL && answer.status != OCSP_STATUS_GOOD) /* signed, by whom it may */
        snprintf(stream->error, sizeof stream->error, "%s from %s peer: %s", problem, kind,
                 ocsp_status_text(answer.status));
    else if (problem != NULL)
        snprintf(stream->error, sizeof stream->error, "%s peer %s%s%.128s", kind, problem,
                 why[0] == 0 ? "" : ": ", why);
    arena_close(&arena);
    return problem == NULL;
}

/* Nothing (data NULL): memory is out. */
static struct bytes pem_write(X509 *certificate, struct arena *arena)
{
    struct bytes pem = {NULL, 0};
    char *written;
    BIO *memory = BIO_new(BIO_s_mem());
    if (memory != NULL && PEM_write_bio_X509(memory, certificate) == 1) {
        long count = BIO_get_mem_data(memory, &written);
        pem = bytes_of(arena_copy(arena, bytes_of(written, (size_t)count)), (size_t)count);
    }
    BIO_free(memory);
    return pem;
}

uint32_t tls_stream_certificates(const struct tls_stream *stream, struct bytes pem[TLS_PEERS_MAX],
                                 bool *verified, struct arena *arena)
{
    X509 *own = SSL_get0_peer_certificate(stream->ssl);
    STACK_OF(X509) *chain = SSL_get0_verified_chain(stream->ssl);
    uint32_t count = 0;
    *verified = own != NULL && chain != NULL && SSL_get_verify_result(stream->ssl) == X509_V_OK;
    if (own == NULL)
        return 0;
    if (!*verified)
        chain = SSL_get_peer_cert_chain(stream->ssl);
    pem[count++] = pem_write(own, arena);
    for (int i = 0; chain != NULL && i < sk_X509_num(chain) && count < TLS_PEERS_MAX; i++) {
        X509 *next = sk_X509_value(chain, i);
        if (X509_cmp(next, own) != 0)
            pem[count++] = pem_write(next, arena);
    }
    while (count > 0 && pem[count - 1].data == NULL)
        count--;
    return count;
}

enum err tls_stream_names(const struct tls_stream *stream, struct certificate_names *names,
                          struct arena *arena)
{
    const X509 *peer = SSL_get0_peer_certificate(stream->ssl);
    *names = (struct certificate_names){0};
    return peer == NULL ? ERR_NOT_FOUND : tls_names_take(peer, names, arena);
}
