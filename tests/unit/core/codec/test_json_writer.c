/* core/codec/json_writer.c: the form that Go's encoder gives, and the bound. */
#include "core/base/language.h"
#include "core/codec/json_writer.h"

#include <criterion/criterion.h>

static void write_sample(struct json_writer *writer)
{
    json_write_object_begin(writer);
    json_write_member(writer, "empty", TEXT(""));
    json_write_member(writer, "text", TEXT("v"));
    json_write_member(writer, "empty", TEXT(""));
    json_write_member_int(writer, "number", -1);
    json_write_key(writer, "made");
    json_write_raw(writer, TEXT("{\"a\":[]}"));
    json_write_key(writer, "list");
    json_write_array_begin(writer);
    json_write_int(writer, INT64_MIN);
    json_write_unsigned(writer, UINT64_MAX);
    json_write_object_begin(writer);
    json_write_object_end(writer);
    json_write_array_begin(writer);
    json_write_array_end(writer);
    json_write_array_end(writer);
    json_write_key(writer, "yes");
    json_write_bool(writer, true);
    json_write_key(writer, "no");
    json_write_bool(writer, false);
    json_write_key(writer, "nothing");
    json_write_null(writer);
    json_write_object_end(writer);
}

static const char sample_json[] = "{\"text\":\"v\",\"number\":-1,\"made\":{\"a\":[]},"
                                  "\"list\":[-9223372036854775808,18446744073709551615,{},[]],"
                                  "\"yes\":true,\"no\":false,\"nothing\":null}";

Test(json_writer, commas_stand_between_values)
{
    char buffer[256];
    struct json_writer writer;
    json_writer_init(&writer, buffer, sizeof buffer);
    write_sample(&writer);
    size_t count = json_writer_count(&writer);
    cr_expect(bytes_equal(bytes_of(buffer, count), text(sample_json)), "%.*s", (int)count, buffer);
}

Test(json_writer, every_capacity_too_small_is_told_and_kept)
{
    for (size_t capacity = 0; capacity <= sizeof sample_json - 1; capacity++) {
        char buffer[sizeof sample_json];
        struct json_writer writer;
        memset(buffer, '#', sizeof buffer);
        json_writer_init(&writer, buffer, capacity);
        write_sample(&writer);
        bool fits = capacity == sizeof sample_json - 1;
        cr_expect_eq(writer.overflow, !fits, "%zu", capacity);
        cr_expect_eq(json_writer_count(&writer), fits ? capacity : 0, "%zu", capacity);
        cr_expect_eq(buffer[capacity], '#', "%zu", capacity);
    }
}

Test(json_writer, texts_are_escaped_as_go_does)
{
    static const struct {
        struct bytes text, json;
    } rows[] = {
        {TEXT(""), TEXT("\"\"")},
        {TEXT("a\"b\\c/d"), TEXT("\"a\\\"b\\\\c/d\"")},
        {TEXT("\b\f\n\r\t\0\x1f\x7f"), TEXT("\"\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\"")},
        {TEXT("<a&b>"), TEXT("\"\\u003ca\\u0026b\\u003e\"")},
        {TEXT("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xa9"), TEXT("\"\xe2\x80\xa7\\u2028\\u2029\"")},
        {TEXT("\xc3\xa9\xf0\x9f\x98\x80"), TEXT("\"\xc3\xa9\xf0\x9f\x98\x80\"")},
        {TEXT("\xff\xc3"), TEXT("\"\\ufffd\\ufffd\"")},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char buffer[64];
        struct json_writer writer;
        json_writer_init(&writer, buffer, sizeof buffer);
        json_write_text(&writer, rows[i].text);
        size_t count = json_writer_count(&writer);
        cr_expect(bytes_equal(bytes_of(buffer, count), rows[i].json), "row %zu: %.*s", i, (int)count, buffer);
    }
}
