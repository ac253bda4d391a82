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

static void new_line(struct json_output *document)
{
    size_t spaces = (size_t)document->indent * document->depth;
    if (document->indent == 0 || !reserve(document, spaces + 1))
        return;
    document->data[document->count++] = '\n';
    memset(document->data + document->count, ' ', spaces);
    document->count += spaces;
}

/* Whether a byte stands for itself. */
static bool plain(uint8_t byte)
{
    return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\' && byte != '<' && byte != '>' &&
           byte != '&';
}

static void add_escaped(struct json_output *document, struct bytes value)
{
    struct json_writer writer;
    size_t plain_count = 0;
    while (plain_count < value.count && plain(value.data[plain_count]))
        plain_count++;
    if (plain_count == value.count) { /* nearly all texts, and all keys but a few */
        json_output_add(document, TEXT("\""));
        json_output_add(document, value);
        json_output_add(document, TEXT("\""));
        return;
    }
    if (!reserve(document, value.count * ESCAPED_MOST + 2))
        return;
    json_writer_init(&writer, document->data + document->count, document->capacity - document->count);
    json_write_text(&writer, value);
    document->count += json_writer_count(&writer);
}

/* Comma, line, key: all that comes before a value. */
static void begin(struct json_output *document, const char *key)
{
    if (document->comma)
        json_output_add(document, TEXT(","));
    if (document->depth > 0)
        new_line(document);
    document->comma = true;
    if (key == NULL)
        return;
    add_escaped(document, text(key));
    json_output_add(document, document->indent > 0 ? TEXT(": ") : TEXT(":"));
}

static void scope_open(struct json_output *document, const char *key, struct bytes bracket)
{
    begin(document, key);
    json_output_add(document, bracket);
    document->depth++;
    document->comma = false;
}

static void scope_close(struct json_output *document, struct bytes bracket)
{
    bool empty = !document->comma;
    document->depth--;
    if (!empty)
        new_line(document);
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
    begin(document, key);
    add_escaped(document, value);
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
    begin(document, key);
    json_output_add(document, digits_of(size, value < 0, digits + sizeof digits));
}

void json_put_unsigned(struct json_output *document, const char *key, uint64_t value)
{
    char digits[NUMBER_BYTES];
    begin(document, key);
    json_output_add(document, digits_of(value, false, digits + sizeof digits));
}

void json_put_bool(struct json_output *document, const char *key, bool value)
{
    begin(document, key);
    json_output_add(document, value ? TEXT("true") : TEXT("false"));
}

void json_put_null(struct json_output *document, const char *key)
{
    begin(document, key);
    json_output_add(document, TEXT("null"));
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
    begin(document, key);
    if (!isfinite(value))
        value = 0; /* JSON has no word for it */
    double size = fabs(value);
    shortest(value, number);
    if (size != 0 && (size < 1e-6 || size >= 1e21)) {
        json_output_add(document, text(number));
        return;
    }
    const char *exponent = strchr(number, 'e');
    const char *point = strchr(number, '.');
    long digits = point == NULL ? 0 : (long)(exponent - point) - 1;
    long decimals = digits - strtol(exponent + 1, NULL, 10);
    int count = snprintf(plain, sizeof plain, "%.*f", decimals > 0 ? (int)decimals : 0, value);
    json_output_add(document, bytes_of(plain, (size_t)count));
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
