/* tests/unit/net/test_tls_faults.c - TLS while memory runs out: contexts and streams fail, say so, and lose
 * nothing; what does come out of a stream is the beginning of what went in. */
#include "net/tls_stream.h"
#include "tests/unit/faults.h"
#include "tests/unit/net/tls_certificates.h"

enum { SAID_BYTES = 60000, PIECE_BYTES = 16 * 1024, TURNS = 40 };

Test(tls_faults, a_context_that_cannot_be_made_is_none)
{
    struct certificates all;
    certificates_open(&all);
    struct tls_pair pairs[] = {{all.server.cert_file, all.server.key_file},
                               {all.client.cert_file, all.client.key_file}};
    struct tls_options options = {.pairs = pairs, .pair_count = 2, .ca_file = all.authority.cert_file};
    FOR_EACH_FAULT(plan)
    {
        char why[512];
        struct tls_context *context;
        enum err err = tls_context_new(&context, &options, TLS_SERVER, why, sizeof why);
        cr_expect_eq(err == ERR_OK, context != NULL);
        cr_expect(err == ERR_OK || (faults_met() && why[0] != 0));
        tls_context_release(context);
    }
    certificates_close(&all);
}

/* What `from` has to send goes to `to`, in pieces. */
static enum tls_result cross(struct tls_stream *from, struct tls_stream *to, struct output_pool *pool,
                             uint8_t *heard, size_t *heard_count)
{
    enum tls_result result = TLS_MORE;
    struct iovec part;
    while (result == TLS_MORE && output_gather(tls_stream_output(from), &part, 1) == 1) {
        struct bytes cipher = bytes_of(part.iov_base, part.iov_len);
        size_t got = 0;
        if (!tls_stream_open(to))
            result = tls_stream_handshake(to, &cipher);
        if (tls_stream_open(to) && result != TLS_FAILED)
            result = tls_stream_read(to, &cipher, heard + *heard_count, PIECE_BYTES * 2, &got);
        *heard_count += got;
        output_sent(tls_stream_output(from), pool, part.iov_len);
    }
    return result;
}

static void converse(struct tls_stream *client, struct tls_stream *server, struct output_pool *pool)
{
    static uint8_t said[SAID_BYTES], heard[SAID_BYTES + PIECE_BYTES * 4], answer[PIECE_BYTES * 4];
    struct output plain = {0};
    struct bytes nothing = {0};
    size_t heard_count = 0, answer_count = 0;
    for (size_t i = 0; i < sizeof said; i++)
        said[i] = (uint8_t)(i * 13);
    bool spoken = output_append(&plain, pool, bytes_of(said, sizeof said)) != ERR_OK;
    enum tls_result result = tls_stream_handshake(client, &nothing);
    for (int turn = 0; turn < TURNS && result != TLS_FAILED; turn++) {
        result = cross(client, server, pool, heard, &heard_count);
        if (result != TLS_FAILED)
            result = cross(server, client, pool, answer, &answer_count);
        if (!spoken && tls_stream_open(client) && result != TLS_FAILED) {
            spoken = true;
            result = tls_stream_write(client, &plain, TLS_UNSENT_BYTES_MAX / 2) ? TLS_MORE : TLS_FAILED;
        }
    }
    cr_expect_leq(heard_count, sizeof said);
    cr_expect_eq(memcmp(heard, said, heard_count), 0);
    cr_expect(faults_met() || heard_count == sizeof said, "without a fault all of it arrives, not %zu",
              heard_count);
    output_clear(&plain, pool);
}

Test(tls_faults, a_stream_without_memory_ends_and_loses_nothing)
{
    struct certificates all;
    struct tls_context *server_context, *client_context;
    char why[512];
    certificates_open(&all);
    struct tls_pair pair = {all.server.cert_file, all.server.key_file};
    struct tls_options server_options = {.pairs = &pair, .pair_count = 1};
    struct tls_options client_options = {.ca_file = all.authority.cert_file};
    cr_assert_eq(tls_context_new(&server_context, &server_options, TLS_SERVER, why, sizeof why), ERR_OK);
    cr_assert_eq(tls_context_new(&client_context, &client_options, TLS_CLIENT, why, sizeof why), ERR_OK);
    FOR_EACH_FAULT(plan)
    {
        struct output_pool pool = {0};
        struct tls_stream *server = NULL, *client = NULL;
        if (tls_stream_new(&server, server_context, &pool, NULL) == ERR_OK &&
            tls_stream_new(&client, client_context, &pool, "localhost") == ERR_OK)
            converse(client, server, &pool);
        tls_stream_free(server);
        tls_stream_free(client);
        output_pool_close(&pool);
    }
    tls_context_release(server_context);
    tls_context_release(client_context);
    certificates_close(&all);
}

Test(tls_faults, names_that_cannot_be_kept_are_an_error)
{
    struct certificates all;
    struct tls_context *server_context, *client_context;
    struct tls_stream *server, *client;
    struct output_pool pool = {0};
    char why[512];
    static uint8_t none[PIECE_BYTES * 4];
    size_t none_count = 0;
    struct bytes nothing = {0};
    certificates_open(&all);
    struct tls_pair pair = {all.server.cert_file, all.server.key_file},
                    own = {all.client.cert_file, all.client.key_file};
    struct tls_options server_options = {
        .pairs = &pair, .pair_count = 1, .ca_file = all.authority.cert_file, .verify = true};
    struct tls_options client_options = {.pairs = &own, .pair_count = 1, .ca_file = all.authority.cert_file};
    cr_assert_eq(tls_context_new(&server_context, &server_options, TLS_SERVER, why, sizeof why), ERR_OK);
    cr_assert_eq(tls_context_new(&client_context, &client_options, TLS_CLIENT, why, sizeof why), ERR_OK);
    cr_assert_eq(tls_stream_new(&server, server_context, &pool, NULL), ERR_OK);
    cr_assert_eq(tls_stream_new(&client, client_context, &pool, "localhost"), ERR_OK);
    cr_assert_eq(tls_stream_handshake(client, &nothing), TLS_MORE);
    for (int turn = 0; turn < TURNS; turn++) {
        cr_assert_neq(cross(client, server, &pool, none, &none_count), TLS_FAILED);
        cr_assert_neq(cross(server, client, &pool, none, &none_count), TLS_FAILED);
    }
    cr_assert(tls_stream_open(server));
    FOR_EACH_FAULT(plan)
    {
        struct arena arena = {0};
        struct certificate_names names;
        enum err err = tls_stream_names(server, &names, &arena);
        cr_expect(err == ERR_OK ? names.email_count == 2 && names.subject_count == 3
                                : err == ERR_MEMORY && faults_met());
        arena_close(&arena);
    }
    tls_stream_free(server);
    tls_stream_free(client);
    tls_context_release(server_context);
    tls_context_release(client_context);
    output_pool_close(&pool);
    certificates_close(&all);
}
