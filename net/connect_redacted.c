/* net/connect_redacted.c - CONNECT for trace lines, without its secrets. Works on the bytes as they came,
 * since what does not parse is traced as well; where that leaves a doubt, more is hidden rather than less. */
#include "net/connect.h"

/* Longest key that can be one of a secret, escapes decoded; a longer one is compared by its start. */
enum { KEY_BYTES_MAX = 64 };

struct redaction {
    struct bytes json;
    size_t at;
    char *out;
    size_t capacity;
    size_t count;
};

static void copy(struct redaction *r, size_t until)
{
    size_t count = until - r->at;
    if (count > r->capacity - r->count)
        count = r->capacity - r->count;
    if (count > 0)
        memcpy(r->out + r->count, r->json.data + r->at, count);
    r->count += count;
    r->at = until;
}

static void put(struct redaction *r, const char *terminated)
{
    for (; *terminated != 0 && r->count < r->capacity; terminated++)
        r->out[r->count++] = *terminated;
}

/* The offset behind the string whose opening quote is at `from`; the end of the text when it is not closed.
 */
static size_t string_end(struct bytes json, size_t from)
{
    size_t at = from + 1;
    while (at < json.count && json.data[at] != '"')
        at += json.data[at] == '\\' ? 2 : 1;
    return at < json.count ? at + 1 : json.count;
}

static bool word_byte(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || (byte >= '0' && byte <= '9') ||
           byte == '_' || byte >= 0x80;
}

static size_t word_end(struct bytes json, size_t from)
{
    size_t at = from;
    while (at < json.count && word_byte(json.data[at]))
        at++;
    return at;
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* One letter of a key in lower case, \uXXXX decoded, with the two letters beyond ASCII that a JSON key may
 * use for s and k (json_name_matches); 0xff for what no secret's key holds. Returns the bytes it took. */
static size_t key_letter(struct bytes rest, uint8_t *letter)
{
    uint32_t unit = rest.data[0];
    size_t taken = 1;
    if (rest.count >= 6 && rest.data[0] == '\\' && rest.data[1] == 'u') {
        unit = 0;
        for (size_t i = 2; i < 6; i++)
            unit = unit * 16 + (uint32_t)(hex_digit(rest.data[i]) & 15);
        taken = 6;
    } else if (bytes_start_with(rest, TEXT("\xc5\xbf"))) {
        unit = 0x17f;
        taken = 2;
    } else if (bytes_start_with(rest, TEXT("\xe2\x84\xaa"))) {
        unit = 0x212a;
        taken = 3;
    }
    if (unit >= 'A' && unit <= 'Z')
        unit |= 0x20;
    *letter = unit == 0x17f ? 's' : unit == 0x212a ? 'k' : unit < 0x80 ? (uint8_t)unit : 0xff;
    return taken;
}

/* Whether the value behind this key (as written, without quotes) is a secret. */
static bool key_secret(struct bytes raw)
{
    static const struct {
        const char *name;
        bool start_is_enough;
    } secrets[] = {{"pass", true},       {"auth_token", true}, {"sig", false},
                   {"proxy_sig", false}, {"nkey", false},      {"jwt", false}};
    uint8_t letters[KEY_BYTES_MAX];
    size_t count = 0;
    for (size_t at = 0; at < raw.count && count < KEY_BYTES_MAX; count++)
        at += key_letter(bytes_of(raw.data + at, raw.count - at), &letters[count]);
    for (size_t i = 0; i < COUNT_OF(secrets); i++) {
        struct bytes name = text(secrets[i].name);
        struct bytes key = bytes_of(letters, count);
        if (bytes_start_with(key, name) && (secrets[i].start_is_enough || key.count == name.count))
            return true;
    }
    return false;
}

static size_t blanks_end(struct bytes json, size_t from)
{
    while (from < json.count && memchr(" \t\r\n", json.data[from], 4) != NULL)
        from++;
    return from;
}

/* The offset of the value if what ends at `from` is a key, else 0. */
static size_t value_of_key(struct bytes json, size_t from)
{
    if (from < json.count && (json.data[from] == '"' || json.data[from] == '\''))
        from++; /* a stray quote: the text is no JSON, but may be a typing error in some */
    from = blanks_end(json, from);
    if (from >= json.count || (json.data[from] != ':' && json.data[from] != '='))
        return 0;
    return blanks_end(json, from + 1);
}

/* The offset behind a value that is no string. Only numbers and JSON's words have an end that is certain;
 * with any other (a list, other quotes, none) the line will be refused, so nobody misses the rest of it. */
static size_t bare_value_end(struct bytes json, size_t from)
{
    static const char *const words[] = {"null", "true", "false"};
    size_t end = word_end(json, from);
    struct bytes word = bytes_of(json.data + from, end - from);
    bool certain = word.count > 0;
    for (size_t i = 0; i < word.count; i++)
        certain = certain && word.data[i] >= '0' && word.data[i] <= '9';
    for (size_t i = 0; i < COUNT_OF(words); i++)
        certain = certain || bytes_equal(word, text(words[i]));
    size_t next = blanks_end(json, end);
    return certain && next < json.count && (json.data[next] == ',' || json.data[next] == '}') ? end
                                                                                              : json.count;
}

/* Stands at a secret's value: writes the stand-in and steps over it. */
static void value_hide(struct redaction *r)
{
    uint8_t first = r->at < r->json.count ? r->json.data[r->at] : 0;
    if (first == '"') {
        put(r, "\"[REDACTED]\"");
        r->at = string_end(r->json, r->at);
        return;
    }
    put(r, "[REDACTED]");
    r->at = bare_value_end(r->json, r->at);
}

size_t connect_redacted(char *out, size_t capacity, struct bytes json)
{
    struct redaction r = {.json = json, .out = out, .capacity = capacity};
    while (r.at < json.count) {
        size_t end = r.at + 1;
        struct bytes key = {0};
        if (json.data[r.at] == '"') {
            end = string_end(json, r.at);
            if (end - r.at >= 2)
                key = bytes_of(json.data + r.at + 1, end - r.at - 2);
        } else if (word_byte(json.data[r.at])) {
            end = word_end(json, r.at);
            key = bytes_of(json.data + r.at, end - r.at);
        }
        size_t value = key.count == 0 ? 0 : value_of_key(json, end);
        if (value != 0 && key_secret(key)) {
            copy(&r, value);
            value_hide(&r);
        } else {
            copy(&r, end);
        }
    }
    return r.count;
}
