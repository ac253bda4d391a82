/* tests/unit/bench/test_stan_wire.c - what is written is what protobuf says, byte for byte, and is read back;
 * what is none ends the reading. */
#include "bench/stan_wire.h"

#include <criterion/criterion.h>

Test(bench_stan_wire, fields_are_written_as_protobuf_says)
{
    static const uint8_t golden[] = {0x08, 0x96, 0x01, 0x12, 0x07, 't', 'e', 's', 't', 'i', 'n', 'g'};
    uint8_t room[64];
    struct stan_writer writer = {.at = room, .end = room + sizeof room};
    stan_put_number(&writer, 1, 150);
    stan_put_text(&writer, 2, TEXT("testing"));
    stan_put_number(&writer, 3, 0);
    stan_put_text(&writer, 4, TEXT(""));
    cr_assert(!writer.full);
    cr_assert_eq((size_t)(writer.at - room), sizeof golden);
    cr_expect_arr_eq(room, golden, sizeof golden);
}

Test(bench_stan_wire, what_was_written_is_read_back)
{
    uint8_t room[128];
    struct stan_writer writer = {.at = room, .end = room + sizeof room};
    stan_put_number(&writer, 1, UINT64_MAX);
    stan_put_text(&writer, 2, TEXT("bench.7"));
    stan_put_number(&writer, 900, 1);
    struct stan_reader reader = {.rest = bytes_of(room, (size_t)(writer.at - room))};
    struct stan_field field;
    cr_assert(stan_next(&reader, &field));
    cr_expect(field.number == 1 && !field.is_text && field.value == UINT64_MAX);
    cr_assert(stan_next(&reader, &field));
    cr_expect(field.number == 2 && field.is_text && bytes_equal(field.text, TEXT("bench.7")));
    cr_assert(stan_next(&reader, &field));
    cr_expect(field.number == 900 && field.value == 1);
    cr_expect(!stan_next(&reader, &field));
    cr_expect(!reader.broken);
    cr_expect(bytes_equal(stan_text(bytes_of(room, (size_t)(writer.at - room)), 2), TEXT("bench.7")));
    cr_expect_eq(stan_text(bytes_of(room, (size_t)(writer.at - room)), 3).count, 0);
}

Test(bench_stan_wire, a_text_that_was_cut_keeps_its_length)
{
    struct stan_reader reader = {.rest = bytes_of("\x22\x80\x01xyz", 6)};
    struct stan_field field;
    cr_assert(stan_next(&reader, &field));
    cr_expect(field.number == 4 && field.value == 128 && bytes_equal(field.text, TEXT("xyz")));
    cr_expect(!stan_next(&reader, &field));
}

Test(bench_stan_wire, what_is_no_field_ends_the_reading)
{
    static const char *const rows[] = {"\x0b", "\x09xxxxxxxx", "\x08", "\x08\xff",
                                       "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct stan_reader reader = {.rest = text(rows[i])};
        struct stan_field field;
        cr_expect(!stan_next(&reader, &field), "row %zu", i);
        cr_expect(reader.broken, "row %zu", i);
    }
}

Test(bench_stan_wire, a_writer_without_room_says_so_and_writes_nothing)
{
    uint8_t room[24];
    struct stan_writer writer = {.at = room, .end = room + sizeof room};
    stan_put_text(&writer, 1, TEXT("1234"));
    cr_expect(!writer.full);
    uint8_t *before = writer.at;
    stan_put_text(&writer, 2, TEXT("1"));
    cr_expect(writer.full && writer.at == before);
}
