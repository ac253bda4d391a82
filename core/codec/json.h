/* core/codec/json.h - JSON objects into structs, by a table of fields, with the rules of Go's decoder
 * (spec/client-protocol.md 4), because that is what NATS peers expect:
 *   keys match whatever their case, the last one wins in document order, unknown keys are skipped; null
 * leaves a field as it is; `null` for the whole document changes nothing; types are strict (1.0 and "1" are
 * no integers); invalid UTF-8 becomes U+FFFD; nothing may follow the value.
 * In the flow: the arguments of CONNECT and INFO lines. At the bounds: text above JSON_BYTES_MAX or nested
 * deeper than JSON_DEPTH_MAX is ERR_INVALID; memory out is ERR_MEMORY and never half a string. */
#ifndef CORE_CODEC_JSON_H
#define CORE_CODEC_JSON_H

#include "core/base/bytes.h"
#include "core/base/err.h"

enum { JSON_BYTES_MAX = 64 * 1024 * 1024, JSON_DEPTH_MAX = 256 };

enum json_kind {
    JSON_KIND_BOOL,          /* bool */
    JSON_KIND_INT64,         /* int64_t */
    JSON_KIND_TEXT,          /* struct bytes, in the document's memory; may hold zero bytes */
    JSON_KIND_TEXTS_CHECKED, /* an array of strings: its form is checked, nothing is stored */
    JSON_KIND_TEXTS,         /* struct bytes: the strings of an array, a zero byte behind each */
    JSON_KIND_TEXT_OR_TEXTS, /* the same, or one string without an array around it */
    JSON_KIND_WRITTEN,       /* struct bytes: any value as it is written: in the text that is read, not in the
                                document */
    JSON_KIND_OBJECT,        /* an object with a shape of its own, in the struct at `offset` */
    JSON_KIND_ARRAY,         /* struct bytes: what is between the brackets, for json_array_next() */
};

struct json_shape;

struct json_field {
    const char *name; /* ASCII */
    enum json_kind kind;
    size_t offset;                  /* in the struct that is filled */
    const struct json_shape *shape; /* of JSON_KIND_OBJECT */
};

struct json_shape {
    const struct json_field *fields;
    size_t count;
};

/* What was read. Texts point in here. All zero is closed. */
struct json_document {
    uint8_t *text;
    size_t count;
};

/* Reads an object, or null, into the struct `into`, which holds the values to keep for absent fields.
 * Owner: the caller; texts live until json_close(). On error the document is closed and `into` is undefined.
 * ERR_INVALID: syntax, type or bound; ERR_MEMORY. Thread: any. Cost: one allocation, of three times the text.
 */
MUST_USE enum err json_read(struct json_document *document, struct bytes text, const struct json_shape *shape,
                            void *into);

/* The next element's text, which `array` then goes behind: for JSON_KIND_ARRAY, whose form was checked.
 * False: there is none. Owner: both point into what json_read() was given. Thread: any. */
MUST_USE bool json_array_next(struct bytes *array, struct bytes *element);

/* Wipes and frees; legal when closed. */
void json_close(struct json_document *document);

/* Whether the text is one JSON object, or null. False also when memory is out. Thread: any. */
bool json_valid(struct bytes text);

/* Whether a decoded key means the ASCII name: equal but for case, where Go's folding also takes U+017F for s
 * and U+212A for k. */
bool json_name_matches(struct bytes key, const char *name);

#endif
