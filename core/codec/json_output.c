/* core/codec/json_output.c - see json_output.h. */
#include "core/codec/json_output.h"

#include "core/base/memory.h"
#include "core/codec/json_writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { FIRST_BYTES = 4096, NUMBER_BYTES = 32, ESCAPED_MOST = 6 /* of one byte */ };

void json_output_init(struct json_output *document, unsigned indent, size_t bytes_most)
{
    *document = (struct json_output){.indent = indent, .bytes_most = bytes_most};
}

void json_output_close(struct json_output *document)
{
    memory_free(document->data);
    document->data = NULL;
    document->count = document->capacity = 0;
}

char *json_output_take(struct json_output *document, size_t *count)
{
    char *data = document->data;
    *count = document->count;
    document->data = NULL;
    document->count = document->capacity = 0;
    return data;
}

/* Room for so many bytes behind what is there. */
static bool reserve(struct json_output *document, size_t bytes)
{
    if (document->failed)
        return false;
    size_t needed = document->count + bytes;
    if (needed <= document->capacity && needed <= document->bytes_most)
        return true;
    size_t capacity = document->capacity == 0 ? FIRST_BYTES : document->capacity;
    while (capacity < needed)
        capacity *= 2;
    char *data = needed > document->bytes_most ? NULL : memory_grow(document->data, capacity);
    if (data == NULL) {
        document->failed = true;
        return false;
    }
    document->data = data;
    document->capacity = capacity;
    return true;
}

void json_output_add(struct json_output *document, struct bytes bytes)
{
    if (bytes.count == 0 || !reserve(document, bytes.count))
        return;
    memcpy(document->data + document->count, bytes.data, bytes.count);
    document->count += bytes.count;
}

/* Bytes that stand for themselves, a bit for each: printable ASCII but for `"`, `\`, `<`, `>` and `&`. */
static const uint64_t plain_bytes[4] = {
    [0] = 0xffffffff00000000 &
          ~(UINT64_C(1) << '"' | UINT64_C(1) << '&' | UINT64_C(1) << '<' | UINT64_C(1) << '>'),
    [1] = UINT64_MAX & ~(UINT64_C(1) << ('\\' - 64) | UINT64_C(1) << 63),
};

/* Nearly all texts, and all keys but a few. */
static bool all_plain(struct bytes value)
{
    uint64_t good = 1;
    for (size_t i = 0; i < value.count; i++)
        good &= plain_bytes[value.data[i] >> 6] >> (value.data[i] & 63);
    return good != 0;
}

/* Writes into what is reserved: the value in quotes, as it is, or with its escapes. */
static void put_quoted(struct json_output *document, struct bytes value, bool is_plain)
{
    char *at = document->data + document->count;
    if (is_plain) {
        at[0] = '"';
        if (value.count > 0)
            memcpy(at + 1, value.data, value.count);
        at[value.count + 1] = '"';
        document->count += value.count + 2;
        return;
    }
    struct json_writer writer;
    json_writer_init(&writer, at, document->capacity - document->count);
    json_write_text(&writer, value);
    document->count += json_writer_count(&writer);
}

static size_t quoted_most(struct bytes value, bool is_plain)
{
    return 2 + (is_plain ? value.count : value.count * ESCAPED_MOST);
}

/* Writes into what is reserved: a line, and what it is indented by. */
static void put_line(struct json_output *document, size_t spaces)
{
    document->data[document->count++] = '\n';
    memset(document->data + document->count, ' ', spaces);
    document->count += spaces;
}

/* Comma, line, key: all that comes before a value, with room for the value behind it. One look for room and
 * one pass over the key: a page of connections is 20,000 members. */
static bool begin(struct json_output *document, const char *key, size_t value_bytes)
{
    struct bytes name = key == NULL ? TEXT("") : text(key);
    bool is_plain = all_plain(name), lines = document->indent > 0 && document->depth > 0;
    size_t spaces = lines ? (size_t)document->indent * document->depth : 0;
    size_t most = spaces + (lines ? 1 : 0) + (document->comma ? 1 : 0) + value_bytes;
    if (!reserve(document, key == NULL ? most : most + quoted_most(name, is_plain) + 2))
        return false;
    if (document->comma)
        document->data[document->count++] = ',';
    if (lines)
        put_line(document, spaces);
    document->comma = true;
    if (key == NULL)
        return true;
    put_quoted(document, name, is_plain);
    document->data[document->count++] = ':';
    if (document->indent > 0)
        document->data[document->count++] = ' ';
    return true;
}

/* A member whose value is these bytes as they are. */
static void put_raw(struct json_output *document, const char *key, struct bytes value)
{
    if (!begin(document, key, value.count))
        return;
    memcpy(document->data + document->count, value.data, value.count);
    document->count += value.count;
}

static void scope_open(struct json_output *document, const char *key, struct bytes bracket)
{
    put_raw(document, key, bracket);
    document->depth++;
    document->comma = false;
}

static void scope_close(struct json_output *document, struct bytes bracket)
{
    bool empty = !document->comma;
    document->depth--;
    size_t spaces = (size_t)document->indent * document->depth;
    if (!empty && document->indent > 0 && reserve(document, spaces + 1))
        put_line(document, spaces);
    json_output_add(document, bracket);
    document->comma = true;
}

void json_put_object(struct json_output *document, const char *key)
{
    scope_open(document, key, TEXT("{"));
}

void json_put_array(struct json_output *document, const char *key)
{
    scope_open(document, key, TEXT("["));
}

void json_put_object_end(struct json_output *document)
{
    scope_close(document, TEXT("}"));
}

void json_put_array_end(struct json_output *document)
{
    scope_close(document, TEXT("]"));
}

void json_put_text(struct json_output *document, const char *key, struct bytes value)
{
    bool is_plain = all_plain(value);
    if (begin(document, key, quoted_most(value, is_plain)))
        put_quoted(document, value, is_plain);
}

/* The digits end where `end` points. */
static struct bytes digits_of(uint64_t value, bool negative, char *end)
{
    char *at = end;
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    if (negative)
        *--at = '-';
    return bytes_of(at, (size_t)(end - at));
}

void json_put_int(struct json_output *document, const char *key, int64_t value)
{
    char digits[NUMBER_BYTES];
    uint64_t size = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    put_raw(document, key, digits_of(size, value < 0, digits + sizeof digits));
}

void json_put_unsigned(struct json_output *document, const char *key, uint64_t value)
{
    char digits[NUMBER_BYTES];
    put_raw(document, key, digits_of(value, false, digits + sizeof digits));
}

void json_put_bool(struct json_output *document, const char *key, bool value)
{
    put_raw(document, key, value ? TEXT("true") : TEXT("false"));
}

void json_put_null(struct json_output *document, const char *key)
{
    put_raw(document, key, TEXT("null"));
}

/* The least digits that are read back as the same number, as "d.ddde[+-]xx". */
static void shortest(double value, char out[NUMBER_BYTES])
{
    for (int precision = 0; precision <= 16; precision++) {
        snprintf(out, NUMBER_BYTES, "%.*e", precision, value);
        if (strtod(out, NULL) == value)
            return;
    }
}

void json_put_double(struct json_output *document, const char *key, double value)
{
    char number[NUMBER_BYTES];
    char plain[NUMBER_BYTES * 2];
    if (!isfinite(value))
        value = 0; /* JSON has no word for it */
    double size = fabs(value);
    shortest(value, number);
    if (size != 0 && (size < 1e-6 || size >= 1e21)) {
        put_raw(document, key, text(number));
        return;
    }
    const char *exponent = strchr(number, 'e');
    const char *point = strchr(number, '.');
    long digits = point == NULL ? 0 : (long)(exponent - point) - 1;
    long decimals = digits - strtol(exponent + 1, NULL, 10);
    int count = snprintf(plain, sizeof plain, "%.*f", decimals > 0 ? (int)decimals : 0, value);
    put_raw(document, key, bytes_of(plain, (size_t)count));
}

void json_put_text_some(struct json_output *document, const char *key, struct bytes value)
{
    if (value.count > 0)
        json_put_text(document, key, value);
}

void json_put_unsigned_some(struct json_output *document, const char *key, uint64_t value)
{
    if (value > 0)
        json_put_unsigned(document, key, value);
}

void json_put_true(struct json_output *document, const char *key, bool value)
{
    if (value)
        json_put_bool(document, key, true);
}
