/* Tests shards/control/system_encoding.c: what a request's headers ask for (spec/monitoring.md 6.1). */
#include "shards/control/system_encoding.h"

#include "core/base/language.h"
#include "core/base/memory.h"
#include "core/codec/s2.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>
#include <zlib.h>

#define IDENTITY "NATS/1.0\r\nContent-Encoding: identity\r\n\r\n"
#define SNAPPY "NATS/1.0\r\nContent-Encoding: snappy\r\n\r\n"
#define GZIP "NATS/1.0\r\nContent-Encoding: gzip\r\n\r\n"

struct encoding_case {
    const char *headers;
    const char *answers; /* with these headers */
};

static const struct encoding_case encoding_cases[] = {
    {"", ""},
    {"NATS/1.0\r\n\r\n", ""},
    {"NATS/1.0\r\nAccept-Encoding: gzip\r\n\r\n", GZIP},
    {"NATS/1.0\r\nX: y\r\naccept-encoding:GZIP, br\r\n\r\n", GZIP},
    {"NATS/1.0\r\nAccept-Encoding: br\r\n\r\n", IDENTITY},
    {"NATS/1.0\r\nAccept-Encoding: gzip, Snappy\r\n\r\n", SNAPPY},
    {"NATS/1.0\r\nAccept-Encoding: s2\r\n\r\n", SNAPPY},
    {"NATS/1.0\r\nX-Accept-Encoding: gzip\r\n\r\n", ""},
    {"Accept-Encoding", ""},
};

Test(system_encoding, is_what_the_headers_ask_for)
{
    struct bytes body = TEXT("{\"server\":{},\"data\":{}}");
    for (size_t i = 0; i < COUNT_OF(encoding_cases); i++) {
        const struct encoding_case *c = &encoding_cases[i];
        struct system_encoded encoded;
        system_encode(text(c->headers), body, &encoded);
        cr_expect(bytes_equal(encoded.headers, text(c->answers)), "%s", c->headers);
        cr_expect_eq(encoded.body != NULL, strcmp(c->answers, GZIP) == 0 || strcmp(c->answers, SNAPPY) == 0,
                     "%s", c->headers);
        memory_free(encoded.body);
    }
}

Test(system_encoding, gzip_is_read_back_as_it_was)
{
    char body[3000], back[sizeof body];
    struct system_encoded encoded;
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)(i % 251);
    system_encode(TEXT("NATS/1.0\r\nAccept-Encoding: gzip\r\n\r\n"), bytes_of(body, sizeof body), &encoded);
    cr_assert_not_null(encoded.body);
    z_stream stream = {.next_in = encoded.body,
                       .avail_in = (uInt)encoded.body_count,
                       .next_out = (Bytef *)back,
                       .avail_out = sizeof back};
    cr_assert_eq(inflateInit2(&stream, 15 + 16), Z_OK);
    cr_expect_eq(inflate(&stream, Z_FINISH), Z_STREAM_END);
    cr_expect_eq(stream.total_out, sizeof body);
    cr_expect_arr_eq(back, body, sizeof body);
    (void)inflateEnd(&stream);
    memory_free(encoded.body);
}

Test(system_encoding, without_memory_the_answer_is_plain)
{
    FOR_EACH_FAULT(plan)
    {
        struct system_encoded encoded;
        system_encode(TEXT("NATS/1.0\r\nAccept-Encoding: gzip\r\n\r\n"), TEXT("{}"), &encoded);
        bool plain = bytes_equal(encoded.headers, text(IDENTITY));
        cr_expect(plain || bytes_equal(encoded.headers, text(GZIP)));
        cr_expect_eq(encoded.body == NULL, plain);
        memory_free(encoded.body);
    }
}

Test(system_encoding, snappy_is_read_back_as_it_was)
{
    enum { BYTES = 3 * S2_WRITE_BYTES + 17 };
    char *body = memory_new(BYTES), *back = memory_new(BYTES);
    size_t read = 0;
    struct system_encoded encoded;
    struct s2_reader reader = {0};
    for (size_t i = 0; i < BYTES; i++)
        body[i] = (char)(i % 251);
    system_encode(TEXT("NATS/1.0\r\nAccept-Encoding: snappy\r\n\r\n"), bytes_of(body, BYTES), &encoded);
    cr_assert_not_null(encoded.body);
    cr_expect_lt(encoded.body_count, BYTES / 4);
    cr_expect_arr_eq(encoded.body, "\xff\x06\0\0sNaPpY", S2_IDENTIFIER_BYTES);
    struct bytes left = bytes_of(encoded.body, encoded.body_count), plain;
    while (s2_reader_next(&reader, &left, &plain) == S2_DATA && read + plain.count <= BYTES) {
        memcpy(back + read, plain.data, plain.count);
        read += plain.count;
    }
    cr_expect_eq(read, BYTES);
    cr_expect_arr_eq(back, body, BYTES);
    s2_reader_close(&reader);
    memory_free(encoded.body);
    memory_free(body);
    memory_free(back);
}
