/* core/codec/json_writer.h - JSON appended to the caller's memory, escaped as Go's encoder does (so that < >
 * & and U+2028/9 are \uXXXX and invalid UTF-8 is \ufffd). In the flow: INFO lines, monitoring. At the bound:
 * what does not fit sets `overflow` for good and writes no more; ask json_writer_count() once, at the end.
 * Thread: its owner's. */
#ifndef CORE_CODEC_JSON_WRITER_H
#define CORE_CODEC_JSON_WRITER_H

#include "core/base/bytes.h"

struct json_writer {
    char *buffer; /* the caller's */
    size_t capacity;
    size_t count;
    bool overflow;
    bool comma; /* the next key or element needs one before it */
};

void json_writer_init(struct json_writer *writer, char *buffer, size_t capacity);

/* Bytes written, without a terminator; 0 when they did not all fit. */
size_t json_writer_count(const struct json_writer *writer);

void json_write_object_begin(struct json_writer *writer);
void json_write_object_end(struct json_writer *writer);
void json_write_array_begin(struct json_writer *writer);
void json_write_array_end(struct json_writer *writer);

/* Inside an object: the key of the value that comes next. */
void json_write_key(struct json_writer *writer, const char *key);

void json_write_text(struct json_writer *writer, struct bytes text);
void json_write_int(struct json_writer *writer, int64_t value);
void json_write_unsigned(struct json_writer *writer, uint64_t value);
void json_write_bool(struct json_writer *writer, bool value);
void json_write_null(struct json_writer *writer);

/* A value that is JSON already; not empty. */
void json_write_raw(struct json_writer *writer, struct bytes json);

/* A key with its value; of an empty text, nothing at all. */
void json_write_member(struct json_writer *writer, const char *key, struct bytes value);
void json_write_member_int(struct json_writer *writer, const char *key, int64_t value);

#endif
