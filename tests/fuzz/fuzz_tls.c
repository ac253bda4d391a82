/* TLS records at a stream, in cuts that the input chooses. Either any bytes at a server that waits for a
 * handshake, or a true client's bytes, cut, changed, repeated and dropped as the input says: nothing crashes,
 * what is held stays bounded, and what comes out is the beginning of what went in, never anything else. The
 * first byte chooses which of the two, the rest are the bytes, or one choice for each piece that crosses. */
#include "core/base/check.h"
#include "net/tls_stream.h"

#include <openssl/pem.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIECE_BYTES = 32 * 1024, PLAIN_BYTES = 16 * 1024, SAID_BYTES = 40 * 1024, TURNS_MAX = 200 };

int LLVMFuzzerInitialize(int *argument_count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What all inputs share: a certificate that signs itself, and contexts that use it. */
static struct tls_context *server_context, *client_context;

static void certificate_write(const char *cert_file, const char *key_file)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    FILE *out = fopen(cert_file, "w");
    FILE *key_out = fopen(key_file, "w");
    ASSERT(key != NULL && out != NULL && key_out != NULL);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 86400);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"fuzz", -1, -1, 0);
    X509_set_issuer_name(certificate, name);
    X509_set_pubkey(certificate, key);
    ASSERT(X509_sign(certificate, key, EVP_sha256()) > 0);
    ASSERT(PEM_write_X509(out, certificate) == 1 && fclose(out) == 0);
    ASSERT(PEM_write_PrivateKey(key_out, key, NULL, NULL, 0, NULL, NULL) == 1 && fclose(key_out) == 0);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

int LLVMFuzzerInitialize(int *argument_count, char ***arguments)
{
    (void)argument_count, (void)arguments;
    char folder[] = "/tmp/myelin-fuzz-XXXXXX";
    char cert_file[64], key_file[64], why[512];
    ASSERT(mkdtemp(folder) != NULL);
    snprintf(cert_file, sizeof cert_file, "%s/cert", folder);
    snprintf(key_file, sizeof key_file, "%s/key", folder);
    certificate_write(cert_file, key_file);
    struct tls_pair pair = {cert_file, key_file};
    struct tls_options options = {.pairs = &pair, .pair_count = 1, .insecure = true};
    enum err err = tls_context_new(&server_context, &options, TLS_SERVER, why, sizeof why);
    ASSERT(err == ERR_OK);
    options.pair_count = 0;
    err = tls_context_new(&client_context, &options, TLS_CLIENT, why, sizeof why);
    ASSERT(err == ERR_OK);
    (void)unlink(cert_file);
    (void)unlink(key_file);
    (void)rmdir(folder);
    return 0;
}

/* One end of the conversation, and what has come out of it so far. */
struct end {
    struct tls_stream *stream;
    uint8_t heard[SAID_BYTES + PLAIN_BYTES];
    size_t heard_count;
    bool over;
};

static void give(struct end *end, struct bytes cipher)
{
    enum tls_result result = TLS_DONE;
    if (!tls_stream_open(end->stream) && !end->over) {
        result = tls_stream_handshake(end->stream, &cipher);
        ASSERT(result == TLS_DONE || cipher.count == 0 || result == TLS_FAILED);
    }
    while (result == TLS_DONE && tls_stream_open(end->stream) && end->heard_count < SAID_BYTES) {
        size_t got = 0;
        result = tls_stream_read(end->stream, &cipher, end->heard + end->heard_count, PLAIN_BYTES, &got);
        ASSERT(got <= PLAIN_BYTES);
        end->heard_count += got;
    }
    end->over = end->over || result == TLS_FAILED || result == TLS_ENDED;
    ASSERT(tls_stream_output(end->stream)->pending_bytes <= TLS_UNSENT_BYTES_MAX);
    ASSERT(result != TLS_FAILED || tls_stream_error(end->stream)[0] != 0);
}

/* Takes a piece of what `from` has to send, as `choice` says. */
static struct bytes take(struct end *from, struct output_pool *pool, uint8_t *piece, uint8_t choice)
{
    struct output *output = tls_stream_output(from->stream);
    struct iovec part;
    if (output_gather(output, &part, 1) == 0)
        return (struct bytes){0};
    size_t most = (choice & 15) == 15 ? PIECE_BYTES : (size_t)(choice & 15) * (choice & 15) * 8 + 1;
    size_t count = part.iov_len < most ? part.iov_len : most;
    memcpy(piece, part.iov_base, count);
    if ((choice & 0xe0) != 0x60) /* else it comes once more */
        output_sent(output, pool, count);
    if ((choice & 0xe0) == 0x20)
        piece[count / 2] ^= 1;
    if ((choice & 0xe0) == 0x40)
        return (struct bytes){0}; /* lost */
    return bytes_of(piece, count);
}

static void converse(const uint8_t *choices, size_t count)
{
    static struct end server, client;
    static uint8_t said[SAID_BYTES], piece[PIECE_BYTES];
    struct output_pool pool = {0};
    struct output plain = {0};
    struct bytes nothing = {0};
    bool spoken = false;
    server = client = (struct end){0};
    for (size_t i = 0; i < sizeof said; i++)
        said[i] = (uint8_t)(i * 11);
    ASSERT(tls_stream_new(&server.stream, server_context, &pool, NULL) == ERR_OK);
    ASSERT(tls_stream_new(&client.stream, client_context, &pool, "fuzz") == ERR_OK);
    ASSERT(tls_stream_handshake(client.stream, &nothing) == TLS_MORE);
    ASSERT(output_append(&plain, &pool, bytes_of(said, sizeof said)) == ERR_OK);
    for (size_t turn = 0; turn < TURNS_MAX; turn++) {
        uint8_t choice = count == 0 ? 15 : choices[turn % count];
        give(&server, take(&client, &pool, piece, choice));
        give(&client, take(&server, &pool, piece, (uint8_t)(choice | 15)));
        if (!spoken && tls_stream_open(client.stream))
            spoken = tls_stream_write(client.stream, &plain, TLS_UNSENT_BYTES_MAX / 2);
        ASSERT(server.heard_count <= sizeof said && memcmp(server.heard, said, server.heard_count) == 0);
    }
    ASSERT(client.heard_count == 0);
    ASSERT(count > 0 || server.heard_count == sizeof said); /* whole and in order, all of it arrives */
    output_clear(&plain, &pool);
    tls_stream_free(server.stream);
    tls_stream_free(client.stream);
    output_pool_close(&pool);
}

static void listen_to(const uint8_t *data, size_t size)
{
    static struct end server;
    struct output_pool pool = {0};
    server = (struct end){0};
    ASSERT(tls_stream_new(&server.stream, server_context, &pool, NULL) == ERR_OK);
    for (size_t from = 0, turn = 1; from < size; turn++) {
        size_t count = turn * 7 % 97 < size - from ? turn * 7 % 97 + 1 : size - from;
        count = count < size - from ? count : size - from;
        uint8_t *copy = malloc(count);
        ASSERT(copy != NULL);
        memcpy(copy, data + from, count);
        give(&server, bytes_of(copy, count));
        free(copy);
        from += count;
    }
    ASSERT(server.heard_count == 0); /* nobody can know the keys */
    tls_stream_free(server.stream);
    output_pool_close(&pool);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (data[0] & 1)
        converse(data + 1, size - 1);
    else
        listen_to(data + 1, size - 1);
    return 0;
}
