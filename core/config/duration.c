/* core/config/duration.c - Go's duration texts, both ways. */
#include "core/config/duration.h"

#include <stdio.h>

struct unit {
    const char *name;
    int64_t ns;
};

static const struct unit units[] = {
    {"ns", 1},           {"us", 1000},      {"\xc2\xb5s", 1000}, /* micro sign */
    {"\xce\xbcs", 1000},                                         /* Greek mu */
    {"ms", 1000000},     {"s", 1000000000}, {"m", 60000000000},  {"h", 3600000000000},
};

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* The number in front of a unit: *whole, and a fraction of at most nine digits, as billionths. */
static bool scan_number(struct bytes written, size_t *at, int64_t *whole, int64_t *billionths)
{
    size_t start = *at;
    *whole = 0;
    *billionths = 0;
    for (; *at < written.count && is_digit(written.data[*at]); (*at)++) {
        if (*whole > INT64_MAX / 10 - 1)
            return false;
        *whole = *whole * 10 + (written.data[*at] - '0');
    }
    size_t digits = *at - start;
    if (*at < written.count && written.data[*at] == '.') {
        (*at)++;
        for (int64_t place = 100000000; *at < written.count && is_digit(written.data[*at]);
             (*at)++, digits++) {
            *billionths += (written.data[*at] - '0') * place;
            place /= 10; /* further digits are below a nanosecond, or nearly */
        }
    }
    return digits > 0;
}

static const struct unit *find_unit(struct bytes name)
{
    for (size_t i = 0; i < COUNT_OF(units); i++) {
        if (bytes_equal(name, text(units[i].name)))
            return &units[i];
    }
    return NULL;
}

static bool invalid(struct bytes written, char *why, size_t why_bytes)
{
    snprintf(why, why_bytes, "time: invalid duration \"%.*s\"", BYTES_PRINTF(written));
    return false;
}

bool duration_parse(struct bytes written, int64_t *duration_ns, char *why, size_t why_bytes)
{
    size_t at = 0;
    __int128 sum = 0;
    bool negative = written.count > 0 && written.data[0] == '-';
    if (written.count > 0 && (written.data[0] == '-' || written.data[0] == '+'))
        at++;
    *duration_ns = 0;
    if (written.count == at + 1 && written.data[at] == '0')
        return true;
    if (at == written.count)
        return invalid(written, why, why_bytes);
    while (at < written.count) {
        int64_t whole, billionths;
        if (!scan_number(written, &at, &whole, &billionths))
            return invalid(written, why, why_bytes);
        size_t start = at;
        while (at < written.count && !is_digit(written.data[at]) && written.data[at] != '.')
            at++;
        struct bytes name = bytes_of(written.data + start, at - start);
        const struct unit *unit = find_unit(name);
        if (name.count == 0) {
            snprintf(why, why_bytes, "time: missing unit in duration \"%.*s\"", BYTES_PRINTF(written));
            return false;
        }
        if (unit == NULL) {
            snprintf(why, why_bytes, "time: unknown unit \"%.*s\" in duration \"%.*s\"", BYTES_PRINTF(name),
                     BYTES_PRINTF(written));
            return false;
        }
        sum += (__int128)whole * unit->ns + (__int128)billionths * unit->ns / 1000000000;
        if (sum > INT64_MAX)
            return invalid(written, why, why_bytes);
    }
    *duration_ns = negative ? -(int64_t)sum : (int64_t)sum;
    return true;
}

/* `number` billionths of `unit`, without trailing zeros. */
static void print_fraction(char *out, size_t bytes, const char *sign, uint64_t number, uint64_t unit,
                           const char *name)
{
    char fraction[24] = "";
    uint64_t rest = number % unit;
    if (rest > 0) {
        int digits = unit == 1000 ? 3 : unit == 1000000 ? 6 : 9;
        snprintf(fraction, sizeof(fraction), ".%0*llu", digits, (unsigned long long)rest);
        for (size_t end = strlen(fraction) - 1; fraction[end] == '0'; end--)
            fraction[end] = 0;
    }
    snprintf(out, bytes, "%s%llu%s%s", sign, (unsigned long long)(number / unit), fraction, name);
}

const char *duration_print(int64_t duration_ns, char text[DURATION_TEXT_BYTES_MAX])
{
    const char *sign = duration_ns < 0 ? "-" : "";
    uint64_t number = duration_ns < 0 ? 0 - (uint64_t)duration_ns : (uint64_t)duration_ns;
    if (number == 0) {
        snprintf(text, DURATION_TEXT_BYTES_MAX, "0s");
        return text;
    }
    if (number < 1000000000) {
        uint64_t unit = number < 1000 ? 1 : number < 1000000 ? 1000 : 1000000;
        const char *name = unit == 1 ? "ns" : unit == 1000 ? "\xc2\xb5s" : "ms";
        print_fraction(text, DURATION_TEXT_BYTES_MAX, sign, number, unit, name);
        return text;
    }
    const uint64_t minute = 60000000000, hour = 60 * minute;
    char seconds[48];
    print_fraction(seconds, sizeof(seconds), "", number % minute, 1000000000, "s");
    if (number >= hour)
        snprintf(text, DURATION_TEXT_BYTES_MAX, "%s%lluh%llum%s", sign, (unsigned long long)(number / hour),
                 (unsigned long long)(number % hour / minute), seconds);
    else if (number >= minute)
        snprintf(text, DURATION_TEXT_BYTES_MAX, "%s%llum%s", sign, (unsigned long long)(number / minute),
                 seconds);
    else
        snprintf(text, DURATION_TEXT_BYTES_MAX, "%s%s", sign, seconds);
    return text;
}
