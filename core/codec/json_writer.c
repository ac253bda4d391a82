/* core/codec/json_writer.c - see json_writer.h. */
#include "core/codec/json_writer.h"

#include "core/codec/utf8.h"

#include <stdio.h>

static void append(struct json_writer *writer, struct bytes bytes)
{
    if (writer->overflow || bytes.count > writer->capacity - writer->count) {
        writer->overflow = true;
        return;
    }
    memcpy(writer->buffer + writer->count, bytes.data, bytes.count);
    writer->count += bytes.count;
}

/* A value, or a key: behind a comma if something is before it. */
static void append_item(struct json_writer *writer, struct bytes bytes)
{
    if (writer->comma)
        append(writer, TEXT(","));
    append(writer, bytes);
    writer->comma = true;
}

void json_writer_init(struct json_writer *writer, char *buffer, size_t capacity)
{
    *writer = (struct json_writer){.buffer = buffer, .capacity = capacity};
}

size_t json_writer_count(const struct json_writer *writer)
{
    return writer->overflow ? 0 : writer->count;
}

void json_write_object_begin(struct json_writer *writer)
{
    append_item(writer, TEXT("{"));
    writer->comma = false;
}

void json_write_object_end(struct json_writer *writer)
{
    append(writer, TEXT("}"));
    writer->comma = true;
}

void json_write_array_begin(struct json_writer *writer)
{
    append_item(writer, TEXT("["));
    writer->comma = false;
}

void json_write_array_end(struct json_writer *writer)
{
    append(writer, TEXT("]"));
    writer->comma = true;
}

void json_write_key(struct json_writer *writer, const char *key)
{
    json_write_text(writer, text(key));
    append(writer, TEXT(":"));
    writer->comma = false;
}

/* What stands for an ASCII byte that does not stand for itself: a short escape or \u00XX in `scratch`. */
static struct bytes ascii_escaped(uint8_t byte, char scratch[8])
{
    switch (byte) {
    case '"':
        return TEXT("\\\"");
    case '\\':
        return TEXT("\\\\");
    case '\b':
        return TEXT("\\b");
    case '\f':
        return TEXT("\\f");
    case '\n':
        return TEXT("\\n");
    case '\r':
        return TEXT("\\r");
    case '\t':
        return TEXT("\\t");
    }
    snprintf(scratch, 8, "\\u%04x", byte);
    return bytes_of(scratch, 6);
}

/* How many bytes from the first on stand for themselves. */
static size_t plain_bytes(struct bytes text)
{
    size_t at = 0;
    while (at < text.count) {
        uint8_t byte = text.data[at];
        if (byte < 0x20 || byte >= 0x80 || byte == '"' || byte == '\\' || byte == '<' || byte == '>' ||
            byte == '&')
            break;
        at++;
    }
    return at;
}

void json_write_text(struct json_writer *writer, struct bytes text)
{
    char scratch[8];
    append_item(writer, TEXT("\""));
    for (size_t at = 0; at < text.count && !writer->overflow;) {
        struct bytes rest = {text.data + at, text.count - at};
        size_t plain = plain_bytes(rest);
        if (plain > 0) {
            append(writer, bytes_of(rest.data, plain));
            at += plain;
            continue;
        }
        size_t sequence_bytes = utf8_sequence_bytes(rest);
        if (sequence_bytes == 0)
            append(writer, TEXT("\\ufffd"));
        else if (sequence_bytes == 1)
            append(writer, ascii_escaped(rest.data[0], scratch));
        else if (bytes_start_with(rest, TEXT("\xe2\x80\xa8")))
            append(writer, TEXT("\\u2028"));
        else if (bytes_start_with(rest, TEXT("\xe2\x80\xa9")))
            append(writer, TEXT("\\u2029"));
        else
            append(writer, bytes_of(rest.data, sequence_bytes));
        at += sequence_bytes == 0 ? 1 : sequence_bytes;
    }
    append(writer, TEXT("\""));
}

/* Digits by hand: printf costs a request between accounts more than anything else that is written of it. */
static void append_number(struct json_writer *writer, bool negative, uint64_t magnitude)
{
    char digits[24];
    char *at = digits + sizeof digits;
    do {
        *--at = (char)('0' + magnitude % 10);
        magnitude /= 10;
    } while (magnitude > 0);
    if (negative)
        *--at = '-';
    append_item(writer, bytes_of(at, (size_t)(digits + sizeof digits - at)));
}

void json_write_int(struct json_writer *writer, int64_t value)
{
    append_number(writer, value < 0, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

void json_write_unsigned(struct json_writer *writer, uint64_t value)
{
    append_number(writer, false, value);
}

void json_write_bool(struct json_writer *writer, bool value)
{
    append_item(writer, value ? TEXT("true") : TEXT("false"));
}

void json_write_null(struct json_writer *writer)
{
    append_item(writer, TEXT("null"));
}

void json_write_raw(struct json_writer *writer, struct bytes json)
{
    append_item(writer, json);
}

void json_write_member(struct json_writer *writer, const char *key, struct bytes value)
{
    if (value.count == 0)
        return;
    json_write_key(writer, key);
    json_write_text(writer, value);
}

void json_write_member_int(struct json_writer *writer, const char *key, int64_t value)
{
    json_write_key(writer, key);
    json_write_int(writer, value);
}
