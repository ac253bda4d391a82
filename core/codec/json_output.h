/* core/codec/json_output.h - JSON for people and tools, in memory that grows: indented as Go's
 * MarshalIndent does it, strings escaped as Go's encoder does. In the flow:  monitoring's endpoints ->
 * json_put_*() -> the body of a reply. At the bound: above `bytes_most`, or when memory is out, `failed` is
 * set for good and nothing more is written; ask once, at the end. Thread: its owner's. */
#ifndef CORE_CODEC_JSON_OUTPUT_H
#define CORE_CODEC_JSON_OUTPUT_H

#include "core/base/bytes.h"
#include "core/base/language.h"

struct json_output {
    char *data; /* owned; NULL while empty */
    size_t count;
    size_t capacity;
    size_t bytes_most;
    unsigned indent; /* spaces per level; 0: all on one line, without any */
    unsigned depth;
    bool comma; /* the next member or element needs one before it */
    bool failed;
};

/* An empty document. Owner: the caller, until json_output_close(). */
void json_output_init(struct json_output *document, unsigned indent, size_t bytes_most);
void json_output_close(struct json_output *document);

/* Gives the memory away, to be freed by memory_free(); the document is empty afterwards. NULL: it is empty.
 */
char *json_output_take(struct json_output *document, size_t *count);

/* Bytes as they are: what stands around a document. */
void json_output_add(struct json_output *document, struct bytes bytes);

/* A member of an object with that key, or an element of an array when `key` is NULL. */
void json_put_object(struct json_output *document, const char *key); /* opens it */
void json_put_array(struct json_output *document, const char *key);
void json_put_object_end(struct json_output *document);
void json_put_array_end(struct json_output *document);
void json_put_text(struct json_output *document, const char *key, struct bytes value);
void json_put_int(struct json_output *document, const char *key, int64_t value);
void json_put_unsigned(struct json_output *document, const char *key, uint64_t value);
void json_put_bool(struct json_output *document, const char *key, bool value);
void json_put_null(struct json_output *document, const char *key);
/* The shortest text that is read back as the same number; an exponent only below 1e-6 and from 1e21 on. */
void json_put_double(struct json_output *document, const char *key, double value);

/* The same, but left out when empty, zero or false. */
void json_put_text_some(struct json_output *document, const char *key, struct bytes value);
void json_put_unsigned_some(struct json_output *document, const char *key, uint64_t value);
void json_put_true(struct json_output *document, const char *key, bool value);

#endif
