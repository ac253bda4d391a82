/* tests/unit/core/codec/test_s2.c - S2 as real servers write it, and as nobody may (routes.md 14.3). */
#include "core/codec/s2.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define BYTES(text)                                                                                          \
    {                                                                                                        \
        (const uint8_t *)(text), sizeof(text) - 1                                                            \
    }

struct block_case {
    struct bytes block;
    const char *plain; /* NULL: bad, whatever the length */
};

static const struct block_case block_cases[] = {
    {BYTES("\x08"
           "abc"),
     "abc"},
    {BYTES("\x08"
           "abc"
           "\x01\x03"),
     "abcabca"}, /* near copy: 4 from 3 back */
    {BYTES("\x08"
           "abc"
           "\x0e\x03\x00"),
     "abcabca"}, /* by two bytes of offset */
    {BYTES("\x08"
           "abc"
           "\x0f\x03\x00\x00\x00"),
     "abcabca"}, /* by four */
    {BYTES("\x00"
           "a"
           "\x0a\x01\x00"),
     "aaaa"}, /* over what it writes itself */
    {BYTES("\x08"
           "abc"
           "\x0a\x03\x00"
           "\x05\x00"),
     "abcabcabcab"}, /* S2: the last offset again, 5 bytes */
    {BYTES("\x00"
           "a"
           "\x02\x01\x00"
           "\x15\x00\x00"),
     "aaaaaaaaaa"}, /* the same, 8 and a byte */
    {BYTES("\xf0\x02"
           "abc"),
     "abc"}, /* a literal's length behind the tag */
    {BYTES("\x08"
           "ab"),
     NULL},
    {BYTES("\x08"
           "abc"
           "\x01"),
     NULL},
    {BYTES("\x08"
           "abc"
           "\x01\x04"),
     NULL}, /* before the beginning */
    {BYTES("\x08"
           "abc"
           "\x0e\x00\x00"),
     NULL}, /* no offset */
    {BYTES("\x08"
           "abc"
           "\x01\x00"),
     NULL}, /* again, and there was none */
    {BYTES("\x08"
           "abc"
           "\x0e\x03"),
     NULL},
    {BYTES("\xfc\xff\xff\xff\xff"
           "abc"),
     NULL}, /* a literal of 4 GiB */
};

Test(s2, blocks_are_what_they_say_or_bad)
{
    for (const struct block_case *c = block_cases; c < block_cases + COUNT_OF(block_cases); c++) {
        uint8_t plain[32] = {0};
        size_t row = (size_t)(c - block_cases);
        if (c->plain != NULL) {
            size_t count = strlen(c->plain);
            cr_expect(s2_block_decode(c->block, plain, count), "row %zu", row);
            cr_expect_str_eq((const char *)plain, c->plain, "row %zu", row);
            cr_expect_not(s2_block_decode(c->block, plain, count - 1), "row %zu, shorter", row);
            cr_expect_not(s2_block_decode(c->block, plain, count + 1), "row %zu, longer", row);
        }
        for (size_t count = 0; c->plain == NULL && count < sizeof plain; count++)
            cr_expect_not(s2_block_decode(c->block, plain, count), "row %zu of %zu", row, count);
    }
}

/* Repeats of 260 and of 65540 bytes, which their own forms say. */
Test(s2, long_repeats)
{
    static uint8_t plain[70000];
    struct bytes middle = BYTES("\x00"
                                "a"
                                "\x02\x01\x00"
                                "\x19\x00\x07\x00");
    struct bytes longest = BYTES("\x00"
                                 "a"
                                 "\x02\x01\x00"
                                 "\x1d\x00\x01\x00\x00");
    cr_expect(s2_block_decode(middle, plain, 2 + 7 + 260));
    cr_expect(s2_block_decode(longest, plain, 2 + 1 + 65540));
    for (size_t i = 0; i < 2 + 1 + 65540; i++)
        cr_assert_eq(plain[i], 'a');
}

#define IDENTIFIER "\xff\x06\x00\x00S2sTwO"

struct stream_case {
    struct bytes stream;
    const char *plain;
    enum s2_result end;
};

static const struct stream_case stream_cases[] = {
    /* Seen between real servers. */
    {BYTES(IDENTIFIER "\x01\x0a\x00\x00\xab\x90\xcc\x24PING\r\n"), "PING\r\n", S2_MORE},
    {BYTES(IDENTIFIER "\x01\x0a\x00\x00\xf5\x6f\x1b\xe4PONG\r\n"), "PONG\r\n", S2_MORE},
    {BYTES("\xff\x06\x00\x00sNaPpY\x01\x0a\x00\x00\xab\x90\xcc\x24PING\r\n"), "PING\r\n", S2_MORE},
    {BYTES(IDENTIFIER IDENTIFIER "\xfe\x02\x00\x00..\x01\x0a\x00\x00\xab\x90\xcc\x24PING\r\n"), "PING\r\n",
     S2_MORE},
    {BYTES(IDENTIFIER "\x00\x0c\x00\x00\xab\x90\xcc\x24\x06\x14PING\r\n"), "PING\r\n", S2_MORE},
    {BYTES("\x01\x0a\x00\x00\xab\x90\xcc\x24PING\r\n"), "", S2_BAD},            /* no identifier */
    {BYTES(IDENTIFIER "\x01\x0a\x00\x00\xab\x90\xcc\x25PING\r\n"), "", S2_BAD}, /* checksum */
    {BYTES("\xff\x06\x00\x00S2sTwo"), "", S2_BAD},
    {BYTES(IDENTIFIER "\x02\x00\x00\x00"), "", S2_BAD},    /* a kind that may not be skipped */
    {BYTES(IDENTIFIER "\x01\x03\x00\x00..."), "", S2_BAD}, /* no room for a checksum */
    {BYTES(IDENTIFIER "\x00\xff\xff\xff"), "", S2_BAD},    /* a chunk of 16 MiB */
    {BYTES(IDENTIFIER "\x00\x09\x00\x00....\x81\x80\x80\x02."), "", S2_BAD}, /* 4 MiB and one byte plain */
};

/* Reads it in pieces of `cut`, each in memory of its own; the result that it ended with. */
static enum s2_result read_all(struct bytes stream, size_t cut, uint8_t *plain, size_t *plain_bytes)
{
    struct s2_reader reader = {0};
    enum s2_result result = S2_MORE;
    *plain_bytes = 0;
    for (size_t at = 0; at < stream.count && result == S2_MORE; at += cut) {
        size_t count = stream.count - at < cut ? stream.count - at : cut;
        uint8_t *piece = malloc(count);
        cr_assert_not_null(piece);
        memcpy(piece, stream.data + at, count);
        struct bytes rest = bytes_of(piece, count), some = {NULL, 0};
        while ((result = s2_reader_next(&reader, &rest, &some)) == S2_DATA) {
            memcpy(plain + *plain_bytes, some.data, some.count);
            *plain_bytes += some.count;
        }
        free(piece);
    }
    s2_reader_close(&reader);
    return result;
}

Test(s2, streams_are_read_however_they_are_torn)
{
    for (const struct stream_case *c = stream_cases; c < stream_cases + COUNT_OF(stream_cases); c++) {
        for (size_t cut = 1; cut <= c->stream.count; cut++) {
            uint8_t plain[64];
            size_t count;
            size_t row = (size_t)(c - stream_cases);
            cr_expect_eq(read_all(c->stream, cut, plain, &count), c->end, "row %zu, cut %zu", row, cut);
            cr_expect(bytes_equal(bytes_of(plain, count), text(c->plain)), "row %zu, cut %zu", row, cut);
        }
    }
}

/* What is written is read: nothing that repeats, much that does, and what it is framed as. */
Test(s2, what_is_written_can_be_read)
{
    static uint8_t plain[S2_WRITE_BYTES], again[S2_WRITE_BYTES];
    uint8_t *to = malloc(s2_encode_room(S2_WRITE_BYTES));
    cr_assert_not_null(to);
    static const size_t sizes[] = {1, 5, 100, 4096, S2_WRITE_BYTES};
    for (unsigned repeats = 0; repeats < 2; repeats++) {
        for (size_t i = 0; i < sizeof plain; i++)
            plain[i] = (uint8_t)(repeats == 1 ? i % 7 : (i * 2654435761U) >> 13);
        for (size_t s = 0; s < COUNT_OF(sizes); s++) {
            for (unsigned stored = 0; stored < 2; stored++) {
                size_t count, bytes = s2_encode(bytes_of(plain, sizes[s]), true, stored == 1, to);
                cr_assert_leq(bytes, s2_encode_room(sizes[s]));
                cr_expect_eq(read_all(bytes_of(to, bytes), 1000, again, &count), S2_MORE);
                cr_expect(bytes_equal(bytes_of(plain, sizes[s]), bytes_of(again, count)), "%zu", sizes[s]);
                if (repeats == 1 && stored == 0 && sizes[s] >= 4096)
                    cr_expect_lt(bytes, sizes[s] / 4, "%zu became %zu", sizes[s], bytes);
            }
        }
    }
    free(to);
}
