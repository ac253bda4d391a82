/* net/http_query.c - the parameters behind '?', as nats-server reads them (spec/monitoring.md 1.4). */
#include "net/http.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Undoes %xx and '+'. False: badly escaped, or it does not fit. */
static bool decode(struct bytes in, char *out, size_t capacity, size_t *count)
{
    *count = 0;
    for (size_t at = 0; at < in.count; at++) {
        uint8_t byte = in.data[at] == '+' ? ' ' : in.data[at];
        if (byte == '%') {
            int high = at + 2 < in.count ? hex_digit(in.data[at + 1]) : -1;
            int low = high < 0 ? -1 : hex_digit(in.data[at + 2]);
            if (low < 0)
                return false;
            byte = (uint8_t)(high * 16 + low);
            at += 2;
        }
        if (*count == capacity)
            return false;
        out[(*count)++] = (char)byte;
    }
    return true;
}

bool http_parameter(struct bytes query, const char *name, char *out, size_t capacity, struct bytes *value)
{
    char key[64];
    while (query.count > 0) {
        const uint8_t *end = memchr(query.data, '&', query.count);
        size_t count = end == NULL ? query.count : (size_t)(end - query.data);
        struct bytes pair = bytes_of(query.data, count);
        query = bytes_of(query.data + count, query.count - count);
        if (query.count > 0)
            query = bytes_of(query.data + 1, query.count - 1);
        if (pair.count == 0 || memchr(pair.data, ';', pair.count) != NULL)
            continue;
        const uint8_t *equals = memchr(pair.data, '=', pair.count);
        size_t key_bytes, value_bytes;
        struct bytes left = bytes_of(pair.data, equals == NULL ? pair.count : (size_t)(equals - pair.data));
        struct bytes right = equals == NULL ? TEXT("") : bytes_of(equals + 1, pair.count - left.count - 1);
        if (!decode(left, key, sizeof key, &key_bytes) || key_bytes != strlen(name) ||
            memcmp(key, name, key_bytes) != 0)
            continue;
        if (!decode(right, out, capacity, &value_bytes))
            continue;
        *value = bytes_of(out, value_bytes);
        return true;
    }
    return false;
}

/* The value with a zero behind it; empty when it is not there. */
static struct bytes terminated(struct bytes query, const char *name, char out[HTTP_PARAMETER_BYTES])
{
    struct bytes value = {(const uint8_t *)out, 0};
    if (!http_parameter(query, name, out, HTTP_PARAMETER_BYTES - 1, &value))
        value.count = 0;
    out[value.count] = 0;
    return value;
}

static void fail(char why[HTTP_WHY_BYTES], const char *type, const char *name, const char *function,
                 struct bytes value, const char *what)
{
    snprintf(why, HTTP_WHY_BYTES, "Error decoding %s for '%s': strconv.%s: parsing \"%.*s\": %s", type, name,
             function, BYTES_PRINTF(value), what);
}

bool http_parameter_bool(struct bytes query, const char *name, bool *value, char why[HTTP_WHY_BYTES])
{
    static const char *const yes[] = {"1", "t", "T", "TRUE", "true", "True"};
    static const char *const no[] = {"0", "f", "F", "FALSE", "false", "False"};
    char given[HTTP_PARAMETER_BYTES];
    struct bytes word = terminated(query, name, given);
    *value = false;
    if (word.count == 0)
        return true;
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        *value = *value || bytes_equal(word, text(yes[i]));
        if (*value || bytes_equal(word, text(no[i])))
            return true;
    }
    fail(why, "boolean", name, "ParseBool", word, "invalid syntax");
    return false;
}

/* Digits only, perhaps with a sign where one may stand. */
static bool number_like(const char *digits, bool sign)
{
    if (sign && (*digits == '-' || *digits == '+'))
        digits++;
    if (*digits == 0)
        return false;
    for (; *digits != 0; digits++) {
        if (*digits < '0' || *digits > '9')
            return false;
    }
    return true;
}

bool http_parameter_int(struct bytes query, const char *name, int64_t *value, char why[HTTP_WHY_BYTES])
{
    char given[HTTP_PARAMETER_BYTES];
    struct bytes word = terminated(query, name, given);
    *value = 0;
    if (word.count == 0)
        return true;
    errno = 0;
    bool like = strlen(given) == word.count && number_like(given, true);
    if (like)
        *value = strtoll(given, NULL, 10);
    if (like && errno == 0)
        return true;
    fail(why, "int", name, "Atoi", word, like ? "value out of range" : "invalid syntax");
    return false;
}

bool http_parameter_unsigned(struct bytes query, const char *name, uint64_t *value, char why[HTTP_WHY_BYTES])
{
    char given[HTTP_PARAMETER_BYTES];
    struct bytes word = terminated(query, name, given);
    *value = 0;
    if (word.count == 0)
        return true;
    errno = 0;
    bool like = strlen(given) == word.count && number_like(given, false);
    if (like)
        *value = strtoull(given, NULL, 10);
    if (like && errno == 0)
        return true;
    fail(why, "uint64", name, "ParseUint", word, like ? "value out of range" : "invalid syntax");
    return false;
}
