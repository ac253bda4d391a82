/* Tests net/tls_stream.c: two streams, or a stream and OpenSSL's own, talk in memory: whole, cut at every
 * byte, broken, ended, renewed; and what a stream knows about its peer. */
#include "core/base/random.h"
#include "net/tls_stream.h"
#include "tests/unit/net/tls_certificates.h"

#include <openssl/err.h>

enum { PLAIN_BYTES = 64 * 1024, CAUGHT_BYTES = 256 * 1024 };

struct pair {
    struct certificates all;
    struct output_pool pool;
    struct tls_pair server_pair, client_pair;
    struct tls_options server_options, client_options;
    struct tls_context *server_context, *client_context;
    struct tls_stream *server, *client;
    enum tls_result server_result, client_result;
    size_t step; /* bytes that cross at once; 0: all there are */
};

static void options_set(struct pair *pair)
{
    certificates_open(&pair->all);
    pair->server_pair = (struct tls_pair){pair->all.server.cert_file, pair->all.server.key_file};
    pair->client_pair = (struct tls_pair){pair->all.client.cert_file, pair->all.client.key_file};
    pair->server_options = (struct tls_options){
        .pairs = &pair->server_pair, .pair_count = 1, .ca_file = pair->all.authority.cert_file};
    pair->client_options = (struct tls_options){.ca_file = pair->all.authority.cert_file};
}

static void contexts_make(struct pair *pair)
{
    char why[512];
    cr_assert_eq(tls_context_new(&pair->server_context, &pair->server_options, TLS_SERVER, why, sizeof why),
                 ERR_OK, "%s", why);
    cr_assert_eq(tls_context_new(&pair->client_context, &pair->client_options, TLS_CLIENT, why, sizeof why),
                 ERR_OK, "%s", why);
}

static void streams_make(struct pair *pair, const char *host)
{
    tls_stream_free(pair->server);
    tls_stream_free(pair->client);
    cr_assert_eq(tls_stream_new(&pair->server, pair->server_context, &pair->pool, NULL), ERR_OK);
    cr_assert_eq(tls_stream_new(&pair->client, pair->client_context, &pair->pool, host), ERR_OK);
    pair->server_result = pair->client_result = TLS_MORE;
}

static void pair_close(struct pair *pair)
{
    tls_stream_free(pair->server);
    tls_stream_free(pair->client);
    tls_context_release(pair->server_context);
    tls_context_release(pair->client_context);
    output_pool_close(&pair->pool);
    certificates_close(&pair->all);
}

/* Takes up to `most` bytes (0: all) out of an output. */
static size_t caught(struct pair *pair, struct output *output, uint8_t *into, size_t most)
{
    struct iovec parts[64];
    size_t count = 0;
    most = most == 0 || most > CAUGHT_BYTES ? CAUGHT_BYTES : most;
    uint32_t used = output_gather(output, parts, 64);
    for (uint32_t i = 0; i < used && count < most; i++) {
        size_t part = parts[i].iov_len < most - count ? parts[i].iov_len : most - count;
        memcpy(into + count, parts[i].iov_base, part);
        count += part;
    }
    output_sent(output, &pair->pool, count);
    return count;
}

/* One side's bytes to the other, which is still shaking hands. */
static bool cross(struct pair *pair, struct tls_stream *from, struct tls_stream *to, enum tls_result *result)
{
    static uint8_t bytes[CAUGHT_BYTES];
    uint8_t plain[256];
    size_t got = 0;
    size_t count = caught(pair, tls_stream_output(from), bytes, pair->step);
    struct bytes left = bytes_of(bytes, count);
    if (count > 0 && *result == TLS_MORE)
        *result = tls_stream_handshake(to, &left);
    if (*result == TLS_DONE &&
        left.count > 0) { /* tickets, or an alert that comes too late for the handshake */
        enum tls_result late = tls_stream_read(to, &left, plain, sizeof plain, &got);
        cr_expect((late == TLS_MORE || late == TLS_FAILED) && got == 0);
    }
    return count > 0;
}

static void shake(struct pair *pair)
{
    struct bytes nothing = {0};
    pair->client_result = tls_stream_handshake(pair->client, &nothing);
    for (bool moved = true; moved;) {
        moved = cross(pair, pair->client, pair->server, &pair->server_result);
        moved = cross(pair, pair->server, pair->client, &pair->client_result) || moved;
    }
}

static void pair_open(struct pair *pair, const char *host)
{
    *pair = (struct pair){.step = pair->step};
    options_set(pair);
    contexts_make(pair);
    streams_make(pair, host);
    shake(pair);
}

/* Sends `count` bytes one way and expects them at the other end. */
static void talk(struct pair *pair, struct tls_stream *from, struct tls_stream *to, size_t count)
{
    static uint8_t sent[PLAIN_BYTES * 4], arrived[PLAIN_BYTES * 4], cipher[CAUGHT_BYTES];
    struct output plain = {0};
    size_t at = 0;
    for (size_t i = 0; i < count; i++)
        sent[i] = (uint8_t)(i * 7 + count);
    for (size_t done = 0; done < count; done += 1000)
        cr_assert_eq(output_append(&plain, &pair->pool,
                                   bytes_of(sent + done, count - done < 1000 ? count - done : 1000)),
                     ERR_OK);
    cr_assert(tls_stream_write(from, &plain, TLS_UNSENT_BYTES_MAX / 2));
    cr_assert(output_empty(&plain));
    for (size_t piece; (piece = caught(pair, tls_stream_output(from), cipher, pair->step)) > 0;) {
        struct bytes left = bytes_of(cipher, piece);
        size_t got = 0;
        cr_assert_eq(tls_stream_read(to, &left, arrived + at, sizeof arrived - at, &got), TLS_MORE);
        cr_assert_eq(left.count, 0);
        at += got;
    }
    cr_assert_eq(at, count);
    cr_assert_arr_eq(arrived, sent, count);
}

Test(tls_stream, two_ends_shake_hands_and_talk_both_ways)
{
    struct pair pair = {0};
    pair_open(&pair, "localhost");
    cr_assert_eq(pair.server_result, TLS_DONE, "%s", tls_stream_error(pair.server));
    cr_assert_eq(pair.client_result, TLS_DONE, "%s", tls_stream_error(pair.client));
    cr_expect(tls_stream_open(pair.server) && tls_stream_open(pair.client));
    cr_expect_str_eq(tls_stream_version(pair.server), "1.3");
    cr_expect_str_eq(tls_stream_suite(pair.server), "TLS_AES_128_GCM_SHA256");
    for (size_t count = 1; count <= 200000; count = count * 3 + 1) {
        talk(&pair, pair.client, pair.server, count);
        talk(&pair, pair.server, pair.client, count);
    }
    pair_close(&pair);
}

Test(tls_stream, bytes_that_come_one_by_one_are_the_same_bytes)
{
    struct pair pair = {.step = 1};
    pair_open(&pair, "127.0.0.1");
    cr_assert_eq(pair.server_result, TLS_DONE, "%s", tls_stream_error(pair.server));
    cr_assert_eq(pair.client_result, TLS_DONE, "%s", tls_stream_error(pair.client));
    talk(&pair, pair.client, pair.server, 5000);
    talk(&pair, pair.server, pair.client, 20000);
    pair_close(&pair);
}

Test(tls_stream, a_handshake_cut_at_any_byte_goes_on)
{
    struct pair pair = {0};
    static uint8_t hello[CAUGHT_BYTES];
    struct bytes nothing = {0};
    options_set(&pair);
    contexts_make(&pair);
    for (size_t cut = 0;; cut++) {
        streams_make(&pair, "localhost");
        cr_assert_eq(tls_stream_handshake(pair.client, &nothing), TLS_MORE);
        size_t count = caught(&pair, tls_stream_output(pair.client), hello, 0);
        if (cut > count)
            break;
        struct bytes first = bytes_of(hello, cut), second = bytes_of(hello + cut, count - cut);
        cr_expect_eq(tls_stream_handshake(pair.server, &first), TLS_MORE, "cut at %zu", cut);
        cr_expect_eq(tls_stream_handshake(pair.server, &second), TLS_MORE, "cut at %zu", cut);
        cr_expect_eq(first.count + second.count, 0);
        cr_expect(!output_empty(tls_stream_output(pair.server)), "no answer, cut at %zu", cut);
    }
    pair_close(&pair);
}

/* ---- the other end is OpenSSL itself, which can do what a stream never does ---- */

struct raw {
    SSL_CTX *context;
    SSL *ssl;
    BIO *in, *out;
};

static void raw_open(struct raw *raw, struct pair *pair, int version)
{
    raw->context = SSL_CTX_new(TLS_client_method());
    cr_assert_eq(SSL_CTX_load_verify_file(raw->context, pair->all.authority.cert_file), 1);
    SSL_CTX_set_max_proto_version(raw->context, version);
    SSL_CTX_set_min_proto_version(raw->context, version);
    SSL_CTX_set_security_level(raw->context, 0); /* so that it offers old versions */
    raw->ssl = SSL_new(raw->context);
    raw->in = BIO_new(BIO_s_mem());
    raw->out = BIO_new(BIO_s_mem());
    SSL_set_bio(raw->ssl, raw->in, raw->out);
    SSL_set_connect_state(raw->ssl);
}

static void raw_close(struct raw *raw)
{
    SSL_free(raw->ssl);
    SSL_CTX_free(raw->context);
}

/* What the raw end says goes to the stream; the stream's answer back. */
static enum tls_result raw_cross(struct raw *raw, struct pair *pair, uint8_t *plain, size_t *got)
{
    static uint8_t bytes[CAUGHT_BYTES];
    enum tls_result result = TLS_MORE;
    int count = BIO_read(raw->out, bytes, sizeof bytes);
    struct bytes left = bytes_of(bytes, count > 0 ? (size_t)count : 0);
    *got = 0;
    if (!tls_stream_open(pair->server))
        result = tls_stream_handshake(pair->server, &left);
    if (tls_stream_open(pair->server))
        result = tls_stream_read(pair->server, &left, plain, PLAIN_BYTES, got);
    size_t answer = caught(pair, tls_stream_output(pair->server), bytes, 0);
    if (answer > 0)
        BIO_write(raw->in, bytes, (int)answer);
    return result;
}

static void raw_shake(struct raw *raw, struct pair *pair)
{
    static uint8_t plain[PLAIN_BYTES];
    size_t got;
    for (int i = 0; i < 6 && !(SSL_is_init_finished(raw->ssl) && tls_stream_open(pair->server)); i++) {
        (void)SSL_do_handshake(raw->ssl);
        (void)raw_cross(raw, pair, plain, &got);
    }
    cr_assert(SSL_is_init_finished(raw->ssl) && tls_stream_open(pair->server), "%s",
              tls_stream_error(pair->server));
}

static void raw_pair_open(struct raw *raw, struct pair *pair, int version)
{
    *pair = (struct pair){0};
    options_set(pair);
    contexts_make(pair);
    streams_make(pair, NULL);
    raw_open(raw, pair, version);
}

Test(tls_stream, version_1_2_is_spoken_and_its_renegotiation_refused)
{
    struct pair pair;
    struct raw raw;
    static uint8_t plain[PLAIN_BYTES];
    size_t got;
    char answer[64];
    raw_pair_open(&raw, &pair, TLS1_2_VERSION);
    raw_shake(&raw, &pair);
    cr_expect_str_eq(tls_stream_version(pair.server), "1.2");
    cr_expect_str_eq(tls_stream_suite(pair.server), "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256");
    cr_assert_eq(SSL_renegotiate(raw.ssl), 1);
    (void)SSL_do_handshake(raw.ssl);
    cr_expect_eq(raw_cross(&raw, &pair, plain, &got), TLS_MORE);
    cr_expect_leq(SSL_read(raw.ssl, answer, sizeof answer), 0);
    unsigned long error = ERR_get_error();
    cr_expect_eq(ERR_GET_REASON(error), SSL_R_NO_RENEGOTIATION, "%s", ERR_reason_error_string(error));
    raw_close(&raw);
    pair_close(&pair);
}

Test(tls_stream, an_older_version_gets_an_alert)
{
    struct pair pair;
    struct raw raw;
    static uint8_t plain[PLAIN_BYTES];
    size_t got;
    raw_pair_open(&raw, &pair, TLS1_1_VERSION);
    (void)SSL_do_handshake(raw.ssl);
    cr_expect_eq(raw_cross(&raw, &pair, plain, &got), TLS_FAILED);
    cr_expect_str_eq(tls_stream_error(pair.server), "tls: client offered only unsupported versions");
    ERR_clear_error();
    (void)SSL_do_handshake(raw.ssl);
    cr_expect_eq(ERR_GET_REASON(ERR_get_error()), SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
    raw_close(&raw);
    pair_close(&pair);
}

Test(tls_stream, keys_are_renewed_when_the_peer_asks)
{
    struct pair pair;
    struct raw raw;
    static uint8_t plain[PLAIN_BYTES];
    size_t got;
    char answer[64];
    raw_pair_open(&raw, &pair, TLS1_3_VERSION);
    raw_shake(&raw, &pair);
    for (int i = 0; i < 3; i++) {
        struct output output = {0};
        cr_assert_eq(SSL_key_update(raw.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        cr_assert_eq(SSL_write(raw.ssl, "hello", 5), 5);
        cr_assert_eq(raw_cross(&raw, &pair, plain, &got), TLS_MORE);
        cr_expect(got == 5 && memcmp(plain, "hello", 5) == 0);
        cr_assert_eq(output_append(&output, &pair.pool, TEXT("world")), ERR_OK);
        cr_assert(tls_stream_write(pair.server, &output, 4096));
        (void)raw_cross(&raw, &pair, plain, &got);
        cr_expect(SSL_read(raw.ssl, answer, sizeof answer) == 5 && memcmp(answer, "world", 5) == 0);
    }
    raw_close(&raw);
    pair_close(&pair);
}

Test(tls_stream, a_peer_that_asks_for_answers_and_does_not_take_them_fails)
{
    struct pair pair;
    struct raw raw;
    static uint8_t plain[PLAIN_BYTES], bytes[CAUGHT_BYTES];
    size_t got = 0;
    enum tls_result result = TLS_MORE;
    raw_pair_open(&raw, &pair, TLS1_3_VERSION);
    raw_shake(&raw, &pair);
    for (int i = 0; i < 200000 && result == TLS_MORE; i++) {
        cr_assert_eq(SSL_key_update(raw.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        cr_assert_eq(SSL_write(raw.ssl, "x", 1), 1);
        int count = BIO_read(raw.out, bytes, sizeof bytes);
        struct bytes left = bytes_of(bytes, (size_t)count);
        result = tls_stream_read(pair.server, &left, plain, sizeof plain, &got);
        cr_assert_leq(tls_stream_output(pair.server)->pending_bytes, (uint64_t)TLS_UNSENT_BYTES_MAX);
    }
    cr_expect_eq(result, TLS_FAILED);
    raw_close(&raw);
    pair_close(&pair);
}

/* ---- what is wrong ---- */

Test(tls_stream, what_is_no_handshake_fails_with_an_alert)
{
    static const struct bytes garbage[] = {
        TEXT("CONNECT {\"verbose\":false}\r\nPING\r\n"), TEXT("GET / HTTP/1.1\r\n\r\n"),
        TEXT("\x16\x03\x01\xff\xff and so on and on"),
        TEXT("\x80\x2e\x01\x03\x01\x00\x15"), /* as SSL 2 began: only the end of it would show what it is */
    };
    struct pair pair = {0};
    options_set(&pair);
    contexts_make(&pair);
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        struct bytes bytes = garbage[i];
        streams_make(&pair, NULL);
        enum tls_result result = tls_stream_handshake(pair.server, &bytes);
        cr_expect(result == TLS_FAILED || (i == 3 && result == TLS_MORE), "row %zu", i);
        if (result == TLS_FAILED)
            cr_expect(strlen(tls_stream_error(pair.server)) > 5, "row %zu", i);
        if (i == 0)
            cr_expect_str_eq(tls_stream_error(pair.server),
                             "tls: first record does not look like a TLS handshake");
        bytes = TEXT("more");
        if (result == TLS_FAILED)
            cr_expect_eq(tls_stream_handshake(pair.server, &bytes), TLS_FAILED,
                         "failed once is failed for ever");
    }
    pair_close(&pair);
}

Test(tls_stream, a_changed_byte_is_found)
{
    struct random random;
    random_seed(&random, 7);
    struct pair pair = {0};
    options_set(&pair);
    contexts_make(&pair);
    for (int round = 0; round < 40; round++) {
        static uint8_t cipher[CAUGHT_BYTES], plain[PLAIN_BYTES];
        struct output output = {0};
        size_t got = 0;
        streams_make(&pair, "localhost");
        shake(&pair);
        cr_assert_eq(output_append(&output, &pair.pool, TEXT("PUB foo 5\r\nhello\r\n")), ERR_OK);
        cr_assert(tls_stream_write(pair.client, &output, 4096));
        size_t count = caught(&pair, tls_stream_output(pair.client), cipher, 0);
        size_t at = 5 + random_below(&random, (uint32_t)count - 5); /* a changed length only waits for more */
        cipher[at] ^= (uint8_t)(1u << random_below(&random, 8));
        struct bytes left = bytes_of(cipher, count);
        cr_expect_eq(tls_stream_read(pair.server, &left, plain, sizeof plain, &got), TLS_FAILED, "byte %zu",
                     at);
        cr_expect_eq(got, 0);
        cr_expect(!tls_stream_open(pair.server));
    }
    pair_close(&pair);
}

Test(tls_stream, the_end_comes_behind_everything_before_it)
{
    static uint8_t cipher[CAUGHT_BYTES], plain[PLAIN_BYTES];
    struct pair pair = {0};
    struct output output = {0};
    size_t got = 0;
    pair_open(&pair, "localhost");
    cr_assert_eq(output_append(&output, &pair.pool, TEXT("last words")), ERR_OK);
    cr_assert(tls_stream_write(pair.server, &output, 4096));
    cr_expect_not(tls_stream_shut(pair.server));
    tls_stream_shutdown(pair.server);
    tls_stream_shutdown(pair.server);
    cr_expect(tls_stream_shut(pair.server));
    struct bytes left = bytes_of(cipher, caught(&pair, tls_stream_output(pair.server), cipher, 0));
    cr_expect_eq(tls_stream_read(pair.client, &left, plain, sizeof plain, &got), TLS_ENDED);
    cr_expect(got == 10 && memcmp(plain, "last words", 10) == 0);
    pair_close(&pair);
}

/* ---- records ---- */

/* The application records in a run of ciphertext. */
static size_t records(const uint8_t *bytes, size_t count)
{
    size_t found = 0;
    for (size_t at = 0; at + 5 <= count; at += 5 + (size_t)(bytes[at + 3] << 8 | bytes[at + 4]))
        found++;
    return found;
}

Test(tls_stream, small_pieces_share_records_and_large_ones_fill_them)
{
    static uint8_t cipher[CAUGHT_BYTES], large[40000];
    struct pair pair = {0};
    struct output output = {0};
    pair_open(&pair, "localhost");
    /* A hundred pieces of 100 bytes, each in a segment of its own, in front of a payload that is referred to.
     */
    for (int i = 0; i < 100; i++) {
        struct block *block = block_take(&pair.pool.blocks, 100);
        memset(block->bytes, i, 100);
        cr_assert_eq(output_share(&output, &pair.pool, block, bytes_of(block->bytes, 100)), ERR_OK);
        block_release(&pair.pool.blocks, block);
    }
    cr_assert(tls_stream_write(pair.server, &output, TLS_UNSENT_BYTES_MAX / 2));
    size_t count = caught(&pair, tls_stream_output(pair.server), cipher, 0);
    cr_expect_eq(records(cipher, count), 1);
    struct block *block = block_take(&pair.pool.blocks, sizeof large);
    memset(block->bytes, 1, sizeof large);
    cr_assert_eq(output_share(&output, &pair.pool, block, bytes_of(block->bytes, sizeof large)), ERR_OK);
    block_release(&pair.pool.blocks, block);
    cr_assert(tls_stream_write(pair.server, &output, TLS_UNSENT_BYTES_MAX / 2));
    count = caught(&pair, tls_stream_output(pair.server), cipher, 0);
    cr_expect_eq(records(cipher, count), 3, "40000 bytes are 2.4 records");
    pair_close(&pair);
}

Test(tls_stream, no_more_is_made_than_may_wait)
{
    static uint8_t much[300000];
    struct pair pair = {0};
    struct output output = {0};
    pair_open(&pair, "localhost");
    for (int i = 0; i < 30; i++)
        cr_assert_eq(output_append(&output, &pair.pool, bytes_of(much, 10000)), ERR_OK);
    cr_assert(tls_stream_write(pair.server, &output, 50000));
    cr_expect_geq(tls_stream_output(pair.server)->pending_bytes, 50000);
    cr_expect_leq(tls_stream_output(pair.server)->pending_bytes, 50000 + 17000);
    cr_expect_geq(output.pending_bytes, 300000 - 67000);
    output_clear(&output, &pair.pool);
    pair_close(&pair);
}

/* ---- who is there ---- */

Test(tls_stream, a_client_checks_whom_it_talks_to)
{
    static const struct {
        const char *host;
        bool other, insecure, good;
    } rows[] = {
        {"localhost", false, false, true},    {"127.0.0.1", false, false, true},
        {"example.org", false, false, false}, {"127.0.0.2", false, false, false},
        {"localhost", true, false, false},    {"example.org", true, true, true},
        {"::1", false, false, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pair pair = {0};
        options_set(&pair);
        pair.client_options.insecure = rows[i].insecure;
        if (rows[i].other)
            pair.client_options.ca_file = pair.all.other_authority.cert_file;
        contexts_make(&pair);
        streams_make(&pair, rows[i].host);
        shake(&pair);
        cr_expect_eq(pair.client_result == TLS_DONE, rows[i].good, "row %zu: %s", i,
                     tls_stream_error(pair.client));
        if (!rows[i].good)
            cr_expect(strstr(tls_stream_error(pair.client), "failed to verify certificate") != NULL, "%s",
                      tls_stream_error(pair.client));
        pair_close(&pair);
    }
}

Test(tls_stream, a_server_asks_for_certificates_as_it_was_told)
{
    enum { NONE, OWN, STRANGERS };
    static const struct {
        bool verify, optional;
        int shown;
        const char *error; /* of the server; NULL: good */
    } rows[] = {
        {false, false, NONE, NULL},
        {true, false, OWN, NULL},
        {true, false, NONE, "tls: client didn't provide a certificate"},
        {true, false, STRANGERS,
         "tls: failed to verify certificate: x509: certificate signed by unknown authority"},
        {false, true, NONE, NULL},
        {false, true, OWN, NULL},
        {false, true, STRANGERS,
         "tls: failed to verify certificate: x509: certificate signed by unknown authority"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pair pair = {0};
        options_set(&pair);
        pair.server_options.verify = rows[i].verify;
        pair.server_options.verify_optional = rows[i].optional;
        if (rows[i].shown == STRANGERS)
            pair.client_pair = (struct tls_pair){pair.all.stranger.cert_file, pair.all.stranger.key_file};
        pair.client_options.pairs = &pair.client_pair;
        pair.client_options.pair_count = rows[i].shown != NONE;
        contexts_make(&pair);
        streams_make(&pair, "localhost");
        shake(&pair);
        cr_expect_eq(pair.server_result, rows[i].error == NULL ? TLS_DONE : TLS_FAILED, "row %zu", i);
        cr_expect_str_eq(tls_stream_error(pair.server), rows[i].error == NULL ? "" : rows[i].error,
                         "row %zu: %s", i, tls_stream_error(pair.server));
        pair_close(&pair);
    }
}

Test(tls_stream, the_names_and_the_pin_of_a_peer_are_known)
{
    struct pair pair = {0};
    struct certificate_names names;
    struct arena arena = {0};
    uint8_t pin[TLS_PIN_BYTES], wanted[TLS_PIN_BYTES];
    options_set(&pair);
    pair.server_options.verify = true;
    pair.client_options.pairs = &pair.client_pair;
    pair.client_options.pair_count = 1;
    contexts_make(&pair);
    streams_make(&pair, "localhost");
    shake(&pair);
    cr_assert_eq(pair.server_result, TLS_DONE);
    cr_assert_eq(tls_stream_names(pair.server, &names, &arena), ERR_OK);
    cr_assert(names.email_count == 2 && names.host_count == 1 && names.uri_count == 1 &&
              names.subject_count == 3);
    cr_expect(bytes_equal(names.emails[0], TEXT("alice@example.org")));
    cr_expect(bytes_equal(names.emails[1], TEXT("a@example.org")));
    cr_expect(bytes_equal(names.hosts[0], TEXT("alice.example.org")));
    cr_expect(bytes_equal(names.uris[0], TEXT("spiffe://example.org/alice")));
    static const char *const subject[][2] = {{"C", "DE"}, {"O", "Org"}, {"CN", "alice"}};
    for (uint32_t i = 0; i < 3; i++) {
        cr_expect(bytes_equal(names.subject[i].type, text(subject[i][0])), "%u", i);
        cr_expect(bytes_equal(names.subject[i].value, text(subject[i][1])), "%u", i);
        cr_expect_eq(names.subject[i].rdn, i);
    }
    cr_assert(tls_stream_pin(pair.server, pin));
    uint8_t *der = NULL;
    int count = i2d_PUBKEY(pair.all.client.key, &der);
    cr_assert(count > 0 && EVP_Digest(der, (size_t)count, wanted, NULL, EVP_sha256(), NULL) == 1);
    cr_expect_arr_eq(pin, wanted, sizeof pin);
    OPENSSL_free(der);
    cr_expect(tls_stream_peer_current(pair.server));
    cr_assert(tls_stream_pin(pair.client, pin));
    arena_close(&arena);
    pair_close(&pair);
}

Test(tls_stream, without_a_certificate_there_are_no_names)
{
    struct pair pair = {0};
    struct certificate_names names;
    struct arena arena = {0};
    uint8_t pin[TLS_PIN_BYTES];
    pair_open(&pair, "localhost");
    cr_expect_eq(tls_stream_names(pair.server, &names, &arena), ERR_NOT_FOUND);
    cr_expect_eq(names.subject_count, 0);
    cr_expect_not(tls_stream_pin(pair.server, pin));
    cr_expect(tls_stream_peer_current(pair.server));
    pair_close(&pair);
}

Test(tls_stream, a_name_means_a_host_label_by_label)
{
    static const struct {
        const char *name, *host;
        bool matches;
    } rows[] = {
        {"a.example.org", "a.example.org", true},
        {"A.Example.org", "a.exAMPLE.ORG", true},
        {"*.example.org", "b.example.org", true},
        {"*.example.org", "example.org", false},
        {"*.example.org", "a.b.example.org", false},
        {"a.*.org", "a.example.org", false},
        {"*", "localhost", true},
        {"*", "a.b", false},
        {"a.b", "a.b.c", false},
        {"a.b.c", "a.b", false},
        {"", "", false},
        {"a.b", "a.b.", false},
        {"*.b", ".b", false},
        {"ab.c", "a.bc", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        cr_expect_eq(tls_host_matches(text(rows[i].name), text(rows[i].host)), rows[i].matches, "%s, %s",
                     rows[i].name, rows[i].host);
}

/* ---- sessions ---- */

/* Shakes hands with a raw client that offers `session` (may be NULL) and brings back the new one; whether it
 * was resumed. */
static bool session_shake(struct pair *pair, SSL_SESSION **session)
{
    static uint8_t plain[PLAIN_BYTES];
    struct raw raw;
    size_t got;
    char answer[8];
    streams_make(pair, NULL);
    raw_open(&raw, pair, TLS1_3_VERSION);
    SSL_use_certificate(raw.ssl, pair->all.client.certificate);
    SSL_use_PrivateKey(raw.ssl, pair->all.client.key);
    if (*session != NULL)
        cr_assert_eq(SSL_set_session(raw.ssl, *session), 1);
    raw_shake(&raw, pair);
    (void)raw_cross(&raw, pair, plain, &got);
    (void)SSL_read(raw.ssl, answer, sizeof answer); /* takes the ticket */
    SSL_SESSION_free(*session);
    *session = SSL_get1_session(raw.ssl);
    bool resumed = tls_stream_resumed(pair->server);
    cr_expect_eq(resumed, SSL_session_reused(raw.ssl) == 1);
    SSL_set_shutdown(raw.ssl, SSL_SENT_SHUTDOWN); /* or OpenSSL takes the session for a bad one */
    raw_close(&raw);
    return resumed;
}

Test(tls_stream, a_session_outlives_a_reload_but_not_other_rules_for_peers)
{
    char why[512];
    struct pair pair = {0};
    struct tls_ticket_keys keys;
    SSL_SESSION *session = NULL;
    options_set(&pair);
    pair.server_options.verify = true;
    contexts_make(&pair);
    cr_assert_eq(tls_ticket_keys_make(&keys), ERR_OK);
    tls_context_tickets(pair.server_context, &keys);
    cr_expect_not(session_shake(&pair, &session));
    cr_expect(session_shake(&pair, &session));

    tls_context_release(pair.server_context);
    cr_assert_eq(tls_context_new(&pair.server_context, &pair.server_options, TLS_SERVER, why, sizeof why),
                 ERR_OK);
    tls_context_tickets(pair.server_context, &keys);
    cr_expect(session_shake(&pair, &session), "the same rules and keys, a new context");
    uint8_t pin[TLS_PIN_BYTES];
    cr_expect(tls_stream_pin(pair.server, pin), "a resumed peer is still known");

    tls_context_release(pair.server_context);
    pair.server_options.map = true;
    cr_assert_eq(tls_context_new(&pair.server_context, &pair.server_options, TLS_SERVER, why, sizeof why),
                 ERR_OK);
    tls_context_tickets(pair.server_context, &keys);
    cr_expect_not(session_shake(&pair, &session), "other rules");
    SSL_SESSION_free(session);
    pair_close(&pair);
}
