/* core/codec/json.c - Go's rules on top of jansson.
 * jansson keeps one of several equal keys, and refuses invalid UTF-8, lone surrogates and numbers that
 * overflow. So a first pass copies the text and rewrites those, and a walk over the object's members then
 * hands jansson one key and one value at a time, in document order. Grammar is jansson's business in both. */
#include "core/codec/json.h"

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/codec/utf8.h"

#include <jansson.h>
#include <string.h>

/* The copy in the making. */
struct rewrite {
    struct bytes text;
    size_t at;
    uint8_t *out;
    size_t count;
};

/* The members still to be read. */
struct walk {
    uint8_t *at;
    const uint8_t *end;
};

static enum err document_rewrite(struct json_document *document, struct bytes text);
static enum err document_walk(struct walk *walk, const struct json_shape *shape, void *into);

static const struct json_shape shape_of_nothing = {NULL, 0};

enum err json_read(struct json_document *document, struct bytes text, const struct json_shape *shape,
                   void *into)
{
    enum err err = document_rewrite(document, text);
    if (err != ERR_OK)
        return err;
    struct walk walk = {document->text, document->text + document->count};
    err = document_walk(&walk, shape, into);
    if (err != ERR_OK)
        json_close(document);
    return err;
}

void json_close(struct json_document *document)
{
    if (document->text != NULL)
        explicit_bzero(document->text, document->count);
    memory_free(document->text);
    *document = (struct json_document){0};
}

bool json_valid(struct bytes text)
{
    struct json_document document = {0};
    bool valid = json_read(&document, text, &shape_of_nothing, NULL) == ERR_OK;
    json_close(&document);
    return valid;
}

bool json_name_matches(struct bytes key, const char *name)
{
    size_t at = 0;
    for (; *name != 0; name++) {
        struct bytes rest = {key.data + at, key.count - at};
        char known = *name >= 'A' && *name <= 'Z' ? (char)(*name | 0x20) : *name;
        if (rest.count == 0)
            return false;
        char letter = (char)rest.data[0];
        if (letter >= 'A' && letter <= 'Z')
            letter = (char)(letter | 0x20);
        if (letter == known)
            at += 1;
        else if (known == 's' && bytes_start_with(rest, TEXT("\xc5\xbf")))
            at += 2;
        else if (known == 'k' && bytes_start_with(rest, TEXT("\xe2\x84\xaa")))
            at += 3;
        else
            return false;
    }
    return at == key.count;
}

/* ---- the first pass ---- */

static void rewrite_copy(struct rewrite *rewrite, size_t count)
{
    memcpy(rewrite->out + rewrite->count, rewrite->text.data + rewrite->at, count);
    rewrite->count += count;
    rewrite->at += count;
}

/* `replacement` stands for the next `count` bytes. */
static void rewrite_replace(struct rewrite *rewrite, size_t count, struct bytes replacement)
{
    memcpy(rewrite->out + rewrite->count, replacement.data, replacement.count);
    rewrite->count += replacement.count;
    rewrite->at += count;
}

/* The value of a \uXXXX at the start of the text, or -1. */
static int escaped_unit(struct bytes text)
{
    int unit = 0;
    if (text.count < 6 || text.data[0] != '\\' || text.data[1] != 'u')
        return -1;
    for (size_t i = 2; i < 6; i++) {
        uint8_t digit = text.data[i];
        if (digit >= '0' && digit <= '9')
            unit = unit * 16 + (digit - '0');
        else if ((digit | 0x20) >= 'a' && (digit | 0x20) <= 'f')
            unit = unit * 16 + ((digit | 0x20) - 'a' + 10);
        else
            return -1;
    }
    return unit;
}

static void rewrite_escape(struct rewrite *rewrite)
{
    struct bytes rest = {rewrite->text.data + rewrite->at, rewrite->text.count - rewrite->at};
    int unit = escaped_unit(rest);
    if (unit < 0xd800 || unit > 0xdfff) {
        rewrite_copy(rewrite, rest.count < 2 ? rest.count : 2);
        return;
    }
    int next = rest.count < 12 ? -1 : escaped_unit(bytes_of(rest.data + 6, 6));
    if (unit < 0xdc00 && next >= 0xdc00 && next <= 0xdfff)
        rewrite_copy(rewrite, 12);
    else
        rewrite_replace(rewrite, 6, TEXT("\\ufffd"));
}

/* From one quote to the other, or to the end of the text. */
static void rewrite_string(struct rewrite *rewrite)
{
    rewrite_copy(rewrite, 1);
    while (rewrite->at < rewrite->text.count) {
        struct bytes rest = {rewrite->text.data + rewrite->at, rewrite->text.count - rewrite->at};
        size_t sequence_bytes = utf8_sequence_bytes(rest);
        if (rest.data[0] == '\\') {
            rewrite_escape(rewrite);
        } else if (sequence_bytes == 0) {
            rewrite_replace(rewrite, 1, TEXT("\xef\xbf\xbd"));
        } else {
            rewrite_copy(rewrite, sequence_bytes);
            if (rest.data[0] == '"')
                return;
        }
    }
}

static size_t digits_count(struct bytes token, size_t from)
{
    size_t at = from;
    while (at < token.count && token.data[at] >= '0' && token.data[at] <= '9')
        at++;
    return at - from;
}

static bool integer_fits(struct bytes token)
{
    bool negative = token.data[0] == '-';
    int64_t value = 0;
    for (size_t i = negative ? 1 : 0; i < token.count; i++) {
        int digit = token.data[i] - '0';
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, negative ? -digit : digit, &value))
            return false;
    }
    return true;
}

/* Whether the token is a number by the grammar, but not an int64: it has a fraction, an exponent or too many
 * digits. */
static bool number_not_integer(struct bytes token)
{
    size_t at = token.data[0] == '-' ? 1 : 0;
    size_t digits = digits_count(token, at);
    if (digits == 0 || (digits > 1 && token.data[at] == '0'))
        return false;
    at += digits;
    if (at == token.count)
        return !integer_fits(token);
    if (token.data[at] == '.') {
        digits = digits_count(token, at + 1);
        if (digits == 0)
            return false;
        at += 1 + digits;
    }
    if (at < token.count && (token.data[at] | 0x20) == 'e') {
        at++;
        if (at < token.count && (token.data[at] == '+' || token.data[at] == '-'))
            at++;
        digits = digits_count(token, at);
        if (digits == 0)
            return false;
        at += digits;
    }
    return at == token.count;
}

/* No field takes a real number so far, so any stands for all of them; that way none can overflow, which only
 * matters to Go where a field wants the number. */
static void rewrite_number(struct rewrite *rewrite)
{
    struct bytes token = {rewrite->text.data + rewrite->at, 1};
    while (rewrite->at + token.count < rewrite->text.count &&
           memchr("0123456789+-.eE", token.data[token.count], sizeof "0123456789+-.eE" - 1) != NULL)
        token.count++;
    if (number_not_integer(token))
        rewrite_replace(rewrite, token.count, TEXT("0.5"));
    else
        rewrite_copy(rewrite, token.count);
}

static enum err document_rewrite(struct json_document *document, struct bytes text)
{
    uint32_t depth = 0;
    *document = (struct json_document){0};
    if (text.count > JSON_BYTES_MAX)
        return ERR_INVALID;
    /* At most an invalid byte becomes three; a number's stand-in is no longer than the shortest real. */
    uint8_t *out = memory_new(text.count * 3 + 1);
    if (out == NULL)
        return ERR_MEMORY;
    struct rewrite rewrite = {.text = text, .out = out};
    while (rewrite.at < text.count && depth <= JSON_DEPTH_MAX) {
        uint8_t byte = text.data[rewrite.at];
        if (byte == '"') {
            rewrite_string(&rewrite);
        } else if (byte == '-' || (byte >= '0' && byte <= '9')) {
            rewrite_number(&rewrite);
        } else {
            depth += byte == '{' || byte == '[' ? 1 : 0;
            depth -= (byte == '}' || byte == ']') && depth > 0 ? 1 : 0;
            rewrite_copy(&rewrite, 1);
        }
    }
    *document = (struct json_document){out, rewrite.count};
    if (depth <= JSON_DEPTH_MAX)
        return ERR_OK;
    json_close(document);
    return ERR_INVALID;
}

/* ---- the walk ---- */

/* The next byte that is no blank, without taking it; 0 at the end (a zero byte is an error as well). */
static uint8_t walk_peek(struct walk *walk)
{
    while (walk->at < walk->end && memchr(" \t\r\n", *walk->at, 4) != NULL)
        walk->at++;
    return walk->at < walk->end ? *walk->at : 0;
}

static bool walk_take(struct walk *walk, uint8_t byte)
{
    if (walk_peek(walk) != byte)
        return false;
    walk->at++;
    return true;
}

/* Decodes the next value and steps over it. */
static enum err walk_value(struct walk *walk, json_t **value)
{
    json_error_t error = {0};
    *value = json_loadb((const char *)walk->at, (size_t)(walk->end - walk->at),
                        JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, &error);
    if (*value == NULL)
        return json_error_code(&error) == json_error_out_of_memory ? ERR_MEMORY : ERR_INVALID;
    ASSERT(error.position > 0 && error.position <= walk->end - walk->at);
    walk->at += error.position;
    return ERR_OK;
}

/* Drops a value; strings may be secrets. */
static void value_drop(json_t *value)
{
    if (json_is_string(value))
        explicit_bzero((char *)(uintptr_t)json_string_value(value), json_string_length(value));
    json_decref(value);
}

static const struct json_field *field_find(const struct json_shape *shape, const json_t *key)
{
    struct bytes name = bytes_of(json_string_value(key), json_string_length(key));
    for (size_t i = 0; i < shape->count; i++)
        if (json_name_matches(name, shape->fields[i].name))
            return &shape->fields[i];
    return NULL;
}

static bool texts_only(const json_t *array)
{
    for (size_t i = 0; i < json_array_size(array); i++) {
        const json_t *element = json_array_get(array, i);
        if (!json_is_string(element) && !json_is_null(element))
            return false;
    }
    return json_is_array(array);
}

/* `source` is where the value's text began: a decoded string is shorter, so it takes that place. */
static bool field_store(const struct json_field *field, const json_t *value, uint8_t *source, void *into)
{
    uint8_t *target = (uint8_t *)into + field->offset;
    if (json_is_null(value))
        return true;
    switch (field->kind) {
    case JSON_KIND_BOOL:
        *(bool *)(void *)target = json_is_true(value);
        return json_is_boolean(value);
    case JSON_KIND_INT64:
        *(int64_t *)(void *)target = json_integer_value(value);
        return json_is_integer(value);
    case JSON_KIND_TEXT:
        if (!json_is_string(value))
            return false;
        memcpy(source, json_string_value(value), json_string_length(value));
        *(struct bytes *)(void *)target = bytes_of(source, json_string_length(value));
        return true;
    case JSON_KIND_TEXTS_CHECKED:
        return texts_only(value);
    case JSON_KIND_OBJECT:
        return false; /* objects are walked, so this is another type */
    }
    return false;
}

static enum err object_walk(struct walk *walk, const struct json_shape *shape, void *into);

/* `"key": value`. */
static enum err member_walk(struct walk *walk, const struct json_shape *shape, void *into)
{
    json_t *key = NULL;
    json_t *value = NULL;
    if (walk_peek(walk) != '"')
        return ERR_INVALID;
    enum err err = walk_value(walk, &key);
    if (err != ERR_OK)
        return err;
    const struct json_field *field = field_find(shape, key);
    json_decref(key);
    if (!walk_take(walk, ':'))
        return ERR_INVALID;
    if (walk_peek(walk) == '{' && field != NULL && field->kind == JSON_KIND_OBJECT)
        return object_walk(walk, field->shape, (uint8_t *)into + field->offset);
    uint8_t *source = walk->at;
    err = walk_value(walk, &value);
    if (err == ERR_OK && field != NULL && !field_store(field, value, source, into))
        err = ERR_INVALID;
    value_drop(value);
    return err;
}

/* Nested only as deep as the shapes are. */
static enum err object_walk(struct walk *walk, const struct json_shape *shape, void *into)
{
    if (!walk_take(walk, '{'))
        return ERR_INVALID;
    if (walk_take(walk, '}'))
        return ERR_OK;
    do {
        enum err err = member_walk(walk, shape, into);
        if (err != ERR_OK)
            return err;
    } while (walk_take(walk, ','));
    return walk_take(walk, '}') ? ERR_OK : ERR_INVALID;
}

static enum err document_walk(struct walk *walk, const struct json_shape *shape, void *into)
{
    enum err err = ERR_OK;
    if (walk_peek(walk) == '{') {
        err = object_walk(walk, shape, into);
    } else {
        json_t *value = NULL;
        err = walk_value(walk, &value);
        if (err == ERR_OK && !json_is_null(value))
            err = ERR_INVALID;
        value_drop(value);
    }
    if (err == ERR_OK && (walk_peek(walk) != 0 || walk->at != walk->end))
        err = ERR_INVALID;
    return err;
}
