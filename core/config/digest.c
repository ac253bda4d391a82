/* core/config/digest.c - the tree as JSON exactly as Go's encoder prints it, and its SHA-256 from OpenSSL. */
#include "core/config/digest.h"

#include "core/base/check.h"
#include "core/base/memory.h"

#include <math.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>

static enum err add_value(struct config_text *json, const struct config_value *value, int depth);

/* Bytes of the UTF-8 sequence here; 0 when there is none. */
static size_t utf8_size(struct bytes rest)
{
    uint8_t first = rest.data[0];
    if (first < 0x80)
        return 1;
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || rest.count < size)
        return 0;
    for (size_t i = 1; i < size; i++) {
        if ((rest.data[i] & 0xc0) != 0x80)
            return 0;
    }
    uint8_t second = rest.data[1];
    bool odd = (first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
               (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f);
    return odd ? 0 : size;
}

static void add_string(struct config_text *json, struct bytes string)
{
    config_text_add(json, "\"");
    for (size_t at = 0; at < string.count;) {
        struct bytes rest = bytes_of(string.data + at, string.count - at);
        size_t size = utf8_size(rest);
        uint8_t c = rest.data[0];
        static const char special[] = "\"\\\b\f\n\r\t";
        static const char names[] = "\"\\bfnrt";
        const char *found = c == 0 ? NULL : strchr(special, c);
        if (size == 0)
            config_text_add(json, "\\ufffd");
        else if (found != NULL && c < 0x80)
            config_text_add(json, "\\%c", names[found - special]);
        else if (c < 0x20 || c == '<' || c == '>' || c == '&')
            config_text_add(json, "\\u%04x", c);
        else if (size == 3 &&
                 (memcmp(rest.data, "\xe2\x80\xa8", 3) == 0 || memcmp(rest.data, "\xe2\x80\xa9", 3) == 0))
            config_text_add(json, "\\u%04x", rest.data[2] == 0xa8 ? 0x2028 : 0x2029);
        else
            config_text_add_bytes(json, bytes_of(rest.data, size));
        at += size == 0 ? 1 : size;
    }
    config_text_add(json, "\"");
}

/* The shortest digits that read back as the same number; with an exponent below 1e-6 and from 1e21 on. */
static void add_float(struct config_text *json, double number)
{
    char shortest[64];
    if (number == 0) {
        config_text_add(json, signbit(number) ? "-0" : "0");
        return;
    }
    for (int digits = 0; digits < 17; digits++) {
        snprintf(shortest, sizeof(shortest), "%.*e", digits, number);
        if (strtod(shortest, NULL) == number)
            break;
    }
    char *e = strchr(shortest, 'e');
    ASSERT(e != NULL);
    int exponent = (int)strtol(e + 1, NULL, 10);
    double size = fabs(number);
    if (size < 1e-6 || size >= 1e21) {
        *e = 0;
        config_text_add(json, "%se%c%s%d", shortest, exponent < 0 ? '-' : '+',
                        exponent > -10 && exponent < 10 && exponent > 0 ? "0" : "", abs(exponent));
        return;
    }
    int digits = (int)(e - shortest) - (number < 0 ? 1 : 0);
    digits = digits > 1 ? digits - 1 : 1; /* without the point */
    int decimals = digits - 1 - exponent;
    char plain[400];
    snprintf(plain, sizeof(plain), "%.*f", decimals > 0 ? decimals : 0, number);
    config_text_add(json, "%s", plain);
}

static int compare_keys(const void *left, const void *right)
{
    const struct config_entry *a = *(const struct config_entry *const *)left;
    const struct config_entry *b = *(const struct config_entry *const *)right;
    size_t shared = a->key.count < b->key.count ? a->key.count : b->key.count;
    int order = shared == 0 ? 0 : memcmp(a->key.data, b->key.data, shared);
    return order != 0 ? order : (a->key.count > b->key.count) - (a->key.count < b->key.count);
}

static enum err add_map(struct config_text *json, const struct config_value *map, int depth)
{
    size_t count = 0;
    for (const struct config_entry *entry = map->entries.first; entry != NULL; entry = entry->next)
        count++;
    const struct config_entry **sorted = memory_new(count * sizeof(*sorted));
    if (sorted == NULL)
        return ERR_MEMORY;
    size_t at = 0;
    for (const struct config_entry *entry = map->entries.first; entry != NULL; entry = entry->next)
        sorted[at++] = entry;
    qsort(sorted, count, sizeof(sorted[0]), compare_keys);
    enum err err = ERR_OK;
    config_text_add(json, "{");
    for (at = 0; at < count && err == ERR_OK; at++) {
        if (at > 0)
            config_text_add(json, ",");
        add_string(json, sorted[at]->key);
        config_text_add(json, ":");
        err = add_value(json, sorted[at]->value, depth);
    }
    config_text_add(json, "}");
    memory_free(sorted);
    return err;
}

static enum err add_array(struct config_text *json, const struct config_value *array, int depth)
{
    enum err err = ERR_OK;
    config_text_add(json, "[");
    for (const struct config_entry *item = array->entries.first; item != NULL && err == ERR_OK;
         item = item->next) {
        if (item != array->entries.first)
            config_text_add(json, ",");
        err = add_value(json, item->value, depth);
    }
    config_text_add(json, "]");
    return err;
}

/* `depth` levels are above; the parser's bound ends the recursion. */
static enum err add_value(struct config_text *json, const struct config_value *value, int depth)
{
    ASSERT(depth <= CONFIG_NESTING_MAX + 1);
    switch (value->kind) {
    case CONFIG_STRING:
    case CONFIG_DATETIME:
        add_string(json, value->string);
        return ERR_OK;
    case CONFIG_BOOL:
        config_text_add(json, value->boolean ? "true" : "false");
        return ERR_OK;
    case CONFIG_INTEGER:
        config_text_add(json, "%lld", (long long)value->integer);
        return ERR_OK;
    case CONFIG_FLOAT:
        add_float(json, value->number);
        return ERR_OK;
    case CONFIG_ARRAY:
        return add_array(json, value, depth + 1);
    case CONFIG_MAP:
        return add_map(json, value, depth + 1);
    }
    return ERR_INVALID;
}

enum err digest_json(const struct config_value *root, struct config_text *json)
{
    enum err err = add_value(json, root, 0);
    return err == ERR_OK && json->failed ? ERR_MEMORY : err;
}

enum err digest_tree(const struct config_value *root, char out[DIGEST_TEXT_BYTES])
{
    struct config_text json = {0};
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned int count = 0;
    out[0] = 0;
    enum err err = digest_json(root, &json);
    config_text_add(&json, "\n");
    if (err == ERR_OK && json.failed)
        err = ERR_MEMORY;
    if (err == ERR_OK &&
        (EVP_Digest(json.data, json.count, hash, &count, EVP_sha256(), NULL) != 1 || count != 32))
        err = ERR_SYSTEM;
    config_text_close(&json);
    if (err != ERR_OK)
        return err;
    memcpy(out, "sha256:", 7);
    for (size_t i = 0; i < count; i++)
        snprintf(out + 7 + 2 * i, 3, "%02x", hash[i]);
    return ERR_OK;
}
