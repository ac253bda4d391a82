/* core/codec/json.c - see json.h. One walk over the text in document order; strings that somebody wants are
 * decoded into one piece of memory that is taken before anything else.
 *
 * Why no library: jansson 2.14, which stood here, does not look whether its buffer could grow. When memory is
 * out while a string is read, characters go missing in silence, and when it is the closing quote that got
 * lost, it writes on behind its memory; CONNECT lets anybody choose that string. It also had to be led around
 * what Go sees differently: equal keys, lone surrogates, invalid UTF-8, large numbers. */
#include "core/codec/json.h"

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/codec/utf8.h"

#include <string.h>

/* The text still to be read, and where decoded strings go. */
struct walk {
    const uint8_t *at;
    const uint8_t *end;
    struct json_document *document; /* has room for all that the text can become */
    uint32_t depth;                 /* open objects and arrays */
};

static bool document_walk(struct walk *walk, const struct json_shape *shape, void *into);
static bool object_walk(struct walk *walk, const struct json_shape *shape, void *into);
static bool member_walk(struct walk *walk, const struct json_shape *shape, void *into);
static bool value_store(struct walk *walk, const struct json_field *field, void *into);
static bool texts_take(struct walk *walk, struct bytes *texts);
static bool array_take(struct walk *walk, struct bytes *array);
static bool text_or_texts_take(struct walk *walk, struct bytes *texts);
static bool written_take(struct walk *walk, struct bytes *value);
static bool value_skip(struct walk *walk);
static bool scalar_skip(struct walk *walk);
static bool key_skip(struct walk *walk);
static bool literal_take(struct walk *walk, struct bytes literal);
static bool number_take(struct walk *walk, struct bytes *number);
static bool integer_parse(struct bytes number, int64_t *value);
static bool string_take(struct walk *walk, struct bytes *decoded);
static uint32_t escape_take(struct walk *walk);
static uint8_t walk_peek(struct walk *walk);
static bool walk_take(struct walk *walk, uint8_t byte);

static const struct json_shape shape_of_nothing = {NULL, 0};

enum { CODE_POINT_NONE = 0x110000, REPLACEMENT = 0xfffd };

enum err json_read(struct json_document *document, struct bytes text, const struct json_shape *shape,
                   void *into)
{
    *document = (struct json_document){0};
    if (text.count == 0 || text.count > JSON_BYTES_MAX)
        return ERR_INVALID;
    /* An invalid byte becomes three, everything else gets shorter, and behind each string stands a zero where
     * its two quotes were. */
    document->text = memory_new(text.count * 3 + 1);
    if (document->text == NULL)
        return ERR_MEMORY;
    struct walk walk = {.at = text.data, .end = text.data + text.count, .document = document};
    if (document_walk(&walk, shape, into))
        return ERR_OK;
    json_close(document);
    return ERR_INVALID;
}

bool json_array_next(struct bytes *array, struct bytes *element)
{
    struct json_document nothing = {0}; /* strings are skipped */
    if (array->count == 0)
        return false;
    struct walk walk = {.at = array->data, .end = array->data + array->count, .document = &nothing};
    (void)walk_peek(&walk);
    const uint8_t *start = walk.at;
    bool good = value_skip(&walk);
    *element = bytes_of(start, (size_t)(walk.at - start));
    (void)walk_take(&walk, ',');
    *array = bytes_of(walk.at, (size_t)(walk.end - walk.at));
    return good;
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

/* ---- what somebody wants ---- */

static bool document_walk(struct walk *walk, const struct json_shape *shape, void *into)
{
    bool good = walk_peek(walk) == '{' ? object_walk(walk, shape, into) : literal_take(walk, TEXT("null"));
    return good && walk_peek(walk) == 0 && walk->at == walk->end;
}

/* Nested only as deep as the shapes are. */
static bool object_walk(struct walk *walk, const struct json_shape *shape, void *into)
{
    if (!walk_take(walk, '{'))
        return false;
    if (walk_take(walk, '}'))
        return true;
    walk->depth++;
    do {
        if (!member_walk(walk, shape, into))
            return false;
    } while (walk_take(walk, ','));
    walk->depth--;
    return walk_take(walk, '}');
}

/* `"key": value`. */
static bool member_walk(struct walk *walk, const struct json_shape *shape, void *into)
{
    struct bytes key;
    const struct json_field *field = NULL;
    if (walk_peek(walk) != '"' || !string_take(walk, &key) || !walk_take(walk, ':'))
        return false;
    for (size_t i = 0; i < shape->count && field == NULL; i++)
        field = json_name_matches(key, shape->fields[i].name) ? &shape->fields[i] : NULL;
    if (field == NULL)
        return value_skip(walk);
    if (walk_peek(walk) == 'n') /* leaves the field as it is */
        return literal_take(walk, TEXT("null"));
    return value_store(walk, field, into);
}

static bool value_store(struct walk *walk, const struct json_field *field, void *into)
{
    uint8_t *target = (uint8_t *)into + field->offset;
    struct bytes number;
    switch (field->kind) {
    case JSON_KIND_BOOL:
        *(bool *)(void *)target = walk_peek(walk) == 't';
        return literal_take(walk, *(bool *)(void *)target ? TEXT("true") : TEXT("false"));
    case JSON_KIND_INT64:
        return number_take(walk, &number) && integer_parse(number, (int64_t *)(void *)target);
    case JSON_KIND_TEXT:
        return walk_peek(walk) == '"' && string_take(walk, (struct bytes *)(void *)target);
    case JSON_KIND_TEXTS_CHECKED:
        return texts_take(walk, NULL);
    case JSON_KIND_TEXTS:
        return texts_take(walk, (struct bytes *)(void *)target);
    case JSON_KIND_TEXT_OR_TEXTS:
        return text_or_texts_take(walk, (struct bytes *)(void *)target);
    case JSON_KIND_WRITTEN:
        return written_take(walk, (struct bytes *)(void *)target);
    case JSON_KIND_OBJECT:
        return object_walk(walk, field->shape, target);
    case JSON_KIND_ARRAY:
        return array_take(walk, (struct bytes *)(void *)target);
    }
    return false;
}

/* An array of strings; a null is an empty one. They lie one behind the other in the document, each with its
 * zero. */
static bool texts_take(struct walk *walk, struct bytes *texts)
{
    size_t start = walk->document->count;
    struct bytes one;
    if (!walk_take(walk, '['))
        return false;
    bool good = walk_take(walk, ']');
    while (!good) {
        uint8_t byte = walk_peek(walk);
        if (byte != '"' && byte != 'n')
            return false;
        if (byte == '"' ? !string_take(walk, texts == NULL ? NULL : &one) : !scalar_skip(walk))
            return false;
        good = walk_take(walk, ']');
        if (!good && !walk_take(walk, ','))
            return false;
    }
    if (texts != NULL)
        *texts = bytes_of(walk->document->text + start, walk->document->count - start);
    return true;
}

/* What is between the brackets. */
static bool array_take(struct walk *walk, struct bytes *array)
{
    if (walk_peek(walk) != '[')
        return false;
    const uint8_t *start = walk->at;
    if (!value_skip(walk))
        return false;
    *array = bytes_of(start + 1, (size_t)(walk->at - start) - 2);
    return true;
}

static bool text_or_texts_take(struct walk *walk, struct bytes *texts)
{
    if (walk_peek(walk) != '"')
        return texts_take(walk, texts);
    if (!string_take(walk, texts))
        return false;
    texts->count++; /* its zero */
    return true;
}

static bool written_take(struct walk *walk, struct bytes *value)
{
    (void)walk_peek(walk);
    const uint8_t *start = walk->at;
    if (!value_skip(walk))
        return false;
    *value = bytes_of(start, (size_t)(walk->at - start));
    return true;
}

/* ---- what nobody wants: its form is checked ---- */

static bool value_skip(struct walk *walk)
{
    uint8_t closers[JSON_DEPTH_MAX]; /* of what is open in here */
    uint32_t open = 0;
    for (;;) {
        uint8_t byte = walk_peek(walk);
        if (byte == '{' || byte == '[') {
            if (walk->depth + open >= JSON_DEPTH_MAX)
                return false;
            walk->at++;
            closers[open] = byte == '{' ? '}' : ']';
            if (!walk_take(walk, closers[open])) {
                open++;
                if (byte == '{' && !key_skip(walk))
                    return false;
                continue; /* with the value that comes first in it */
            }
        } else if (!scalar_skip(walk)) {
            return false;
        }
        while (open > 0 && walk_take(walk, closers[open - 1]))
            open--;
        if (open == 0)
            return true;
        if (!walk_take(walk, ',') || (closers[open - 1] == '}' && !key_skip(walk)))
            return false;
    }
}

static bool scalar_skip(struct walk *walk)
{
    struct bytes number;
    switch (walk_peek(walk)) {
    case '"':
        return string_take(walk, NULL);
    case 't':
        return literal_take(walk, TEXT("true"));
    case 'f':
        return literal_take(walk, TEXT("false"));
    case 'n':
        return literal_take(walk, TEXT("null"));
    }
    return number_take(walk, &number);
}

static bool key_skip(struct walk *walk)
{
    return walk_peek(walk) == '"' && string_take(walk, NULL) && walk_take(walk, ':');
}

/* ---- scalars; all start at their first byte or behind blanks ---- */

static bool literal_take(struct walk *walk, struct bytes literal)
{
    (void)walk_peek(walk);
    if (!bytes_start_with(bytes_of(walk->at, (size_t)(walk->end - walk->at)), literal))
        return false;
    walk->at += literal.count;
    return true;
}

static size_t digits_take(struct walk *walk)
{
    const uint8_t *start = walk->at;
    while (walk->at < walk->end && *walk->at >= '0' && *walk->at <= '9')
        walk->at++;
    return (size_t)(walk->at - start);
}

/* Whether one of two bytes is next, which is then taken. */
static bool either_take(struct walk *walk, uint8_t one, uint8_t other)
{
    bool is = walk->at < walk->end && (*walk->at == one || *walk->at == other);
    walk->at += is;
    return is;
}

static bool number_take(struct walk *walk, struct bytes *number)
{
    (void)walk_peek(walk);
    const uint8_t *start = walk->at;
    (void)either_take(walk, '-', '-');
    const uint8_t *first = walk->at;
    size_t digits = digits_take(walk);
    if (digits == 0 || (digits > 1 && *first == '0'))
        return false;
    if (either_take(walk, '.', '.') && digits_take(walk) == 0)
        return false;
    if (either_take(walk, 'e', 'E')) {
        (void)either_take(walk, '+', '-');
        if (digits_take(walk) == 0)
            return false;
    }
    *number = bytes_of(start, (size_t)(walk->at - start));
    return true;
}

/* False when it has a fraction, an exponent or too many digits. */
static bool integer_parse(struct bytes number, int64_t *value)
{
    bool negative = number.data[0] == '-';
    *value = 0;
    for (size_t i = negative ? 1 : 0; i < number.count; i++) {
        int digit = number.data[i] - '0';
        if (digit < 0 || digit > 9 || __builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, negative ? -digit : digit, value))
            return false;
    }
    return true;
}

static void document_add(struct json_document *document, const uint8_t *bytes, size_t count)
{
    memcpy(document->text + document->count, bytes, count);
    document->count += count;
}

static void document_add_code_point(struct json_document *document, uint32_t code_point)
{
    uint8_t bytes[4];
    size_t count = code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    static const uint8_t marks[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = count; i-- > 1; code_point >>= 6)
        bytes[i] = (uint8_t)(0x80 | (code_point & 0x3f));
    bytes[0] = (uint8_t)(marks[count] | code_point);
    document_add(document, bytes, count);
}

/* From one quote to the other. `decoded` NULL: checked only. */
static bool string_take(struct walk *walk, struct bytes *decoded)
{
    struct json_document *document = walk->document;
    size_t start = document->count;
    ASSERT(*walk->at == '"');
    for (walk->at++; walk->at < walk->end;) {
        struct bytes rest = bytes_of(walk->at, (size_t)(walk->end - walk->at));
        size_t sequence_bytes = utf8_sequence_bytes(rest);
        uint32_t code_point = CODE_POINT_NONE;
        if (rest.data[0] == '"') {
            walk->at++;
            if (decoded != NULL) {
                *decoded = bytes_of(document->text + start, document->count - start);
                document_add(document, (const uint8_t *)"", 1); /* so that an empty string has a place, too */
            }
            return true;
        }
        if (rest.data[0] < 0x20)
            return false;
        if (rest.data[0] == '\\') {
            code_point = escape_take(walk);
            if (code_point == CODE_POINT_NONE)
                return false;
        } else if (sequence_bytes == 0) {
            code_point = REPLACEMENT;
            walk->at++;
        } else {
            walk->at += sequence_bytes;
        }
        if (decoded != NULL && code_point == CODE_POINT_NONE)
            document_add(document, rest.data, sequence_bytes);
        else if (decoded != NULL)
            document_add_code_point(document, code_point);
    }
    return false;
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

/* What stands for an escape; half of a surrogate pair alone is U+FFFD. CODE_POINT_NONE: there is none such.
 */
static uint32_t escape_take(struct walk *walk)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    struct bytes rest = bytes_of(walk->at, (size_t)(walk->end - walk->at));
    const char *letter = rest.count < 2 || rest.data[1] == 0 ? NULL : strchr(letters, rest.data[1]);
    if (letter != NULL) {
        walk->at += 2;
        return (uint32_t)meanings[letter - letters];
    }
    int unit = escaped_unit(rest);
    if (unit < 0)
        return CODE_POINT_NONE;
    walk->at += 6;
    if (unit < 0xd800 || unit > 0xdfff)
        return (uint32_t)unit;
    int next = unit < 0xdc00 ? escaped_unit(bytes_of(rest.data + 6, rest.count - 6)) : -1;
    if (next < 0xdc00 || next > 0xdfff)
        return REPLACEMENT;
    walk->at += 6;
    return 0x10000 + ((uint32_t)(unit - 0xd800) << 10) + (uint32_t)(next - 0xdc00);
}

/* ---- the text ---- */

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
