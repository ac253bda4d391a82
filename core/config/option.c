/* core/config/option.c - the table mechanism: values into fields by kind, defaults, bounds. What differs
 * between two snapshots is in changes.c, the command line in flags.c. */
#include "core/config/option.h"

#include "core/base/check.h"
#include "core/base/quote.h"
#include "core/config/duration.h"
#include "core/config/parser.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { SENTENCE_BYTES_MAX = 512 };

static void apply_row(const struct option *row, void *target, const struct config_entry *entry,
                      struct arena *arena, struct option_errors *errors);

static void *field_of(const struct option *row, void *target)
{
    return (char *)target + row->offset;
}

/* ---- errors ---- */

static void add_line(struct config_text *to, struct config_position at, const char *field, const char *format,
                     va_list arguments)
{
    char sentence[SENTENCE_BYTES_MAX];
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    config_text_add(to, "%s:%d:%d: ", at.file, at.line, at.column);
    if (field != NULL)
        config_text_add(to, "invalid use of field \"%s\": ", field);
    config_text_add(to, "%s\n", sentence);
}

void option_fail(struct option_errors *errors, struct config_position at, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add_line(&errors->errors, at, NULL, format, arguments);
    va_end(arguments);
}

void option_warn(struct option_errors *errors, struct config_position at, const char *name,
                 const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add_line(&errors->warnings, at, name, format, arguments);
    va_end(arguments);
}

void option_errors_close(struct option_errors *errors)
{
    config_text_close(&errors->warnings);
    config_text_close(&errors->errors);
}

void option_changes_close(struct option_changes *changes)
{
    config_text_close(&changes->lines);
    config_text_close(&changes->refusal);
}

/* ---- reading values ---- */

bool option_want(struct option_errors *errors, const struct config_entry *entry, enum config_kind kind)
{
    if (entry->value->kind == kind)
        return true;
    struct config_value wanted = {.kind = kind};
    option_fail(errors, entry->position, "interface conversion: interface {} is %s, not %s",
                config_type_name(entry->value), config_type_name(&wanted));
    return false;
}

struct bytes option_copy(struct bytes bytes, struct config_position at, struct arena *arena,
                         struct option_errors *errors)
{
    char *copy = arena_copy(arena, bytes);
    if (copy == NULL) {
        option_fail(errors, at, "out of memory");
        return (struct bytes){0};
    }
    return bytes_of(copy, bytes.count);
}

void option_read_string(struct bytes *out, const struct config_entry *entry, struct arena *arena,
                        struct option_errors *errors)
{
    if (!option_want(errors, entry, CONFIG_STRING))
        return;
    if (memchr(entry->value->string.data == NULL ? (const uint8_t *)"" : entry->value->string.data, 0,
               entry->value->string.count) != NULL) { /* "\x00": a path would end there in silence */
        option_fail(errors, entry->position, "%.*s must not contain a zero byte", BYTES_PRINTF(entry->key));
        return;
    }
    *out = option_copy(entry->value->string, entry->position, arena, errors);
}

static bool is_power_of_two(int64_t number)
{
    return number > 0 && (number & (number - 1)) == 0;
}

static bool has_bounds(const struct option *row)
{
    return row->least != 0 || row->most != 0;
}

/* A bound as a user would write it. */
static const char *show_number(const struct option *row, int64_t number, char *text, size_t bytes)
{
    if (row->kind == OPTION_DURATION || row->kind == OPTION_DURATION_ONLY) {
        char printed[DURATION_TEXT_BYTES_MAX];
        snprintf(text, bytes, "%s", duration_print(number, printed));
    } else {
        snprintf(text, bytes, "%" PRId64, number);
    }
    return text;
}

/* A row's sentence with NAME and VALUE put in; cut to fit. */
static void fill_in(const char *pattern, const char *name, const char *value, char *sentence, size_t bytes)
{
    struct config_text filled = {0};
    while (*pattern != 0) {
        bool is_name = strncmp(pattern, "NAME", 4) == 0;
        bool is_value = strncmp(pattern, "VALUE", 5) == 0;
        if (is_name || is_value)
            config_text_add(&filled, "%s", is_name ? name : value);
        else
            config_text_add(&filled, "%c", *pattern);
        pattern += is_name ? 4 : is_value ? 5 : 1;
    }
    snprintf(sentence, bytes, "%s", config_text_string(&filled));
    config_text_close(&filled);
}

/* What is wrong with a number, or false. */
static bool out_of_bounds(const struct option *row, int64_t number, char *sentence, size_t bytes)
{
    char least[DURATION_TEXT_BYTES_MAX], most[DURATION_TEXT_BYTES_MAX], shown[DURATION_TEXT_BYTES_MAX];
    show_number(row, row->least, least, sizeof(least));
    show_number(row, row->most, most, sizeof(most));
    show_number(row, number, shown, sizeof(shown));
    if (has_bounds(row) && number > row->most && row->too_big != NULL)
        fill_in(row->too_big, row->name, shown, sentence, bytes);
    else if (has_bounds(row) && number < row->least && row->too_small != NULL)
        fill_in(row->too_small, row->name, shown, sentence, bytes);
    else if (has_bounds(row) && (number < row->least || number > row->most) && row->most == INT64_MAX)
        snprintf(sentence, bytes, "%s must be at least %s, not %s", row->name, least, shown);
    else if (has_bounds(row) && (number < row->least || number > row->most))
        snprintf(sentence, bytes, "%s must be from %s to %s, not %s", row->name, least, most, shown);
    else if (row->power_of_two && !is_power_of_two(number))
        snprintf(sentence, bytes, "%s must be a power of two, not %s", row->name, shown);
    else
        return false;
    return true;
}

static void apply_number(const struct option *row, void *target, const struct config_entry *entry,
                         int64_t number, struct option_errors *errors)
{
    char sentence[SENTENCE_BYTES_MAX];
    if (out_of_bounds(row, number, sentence, sizeof(sentence)))
        option_fail(errors, entry->position, "%s", sentence);
    else
        *(int64_t *)field_of(row, target) = number;
}

static void apply_duration(const struct option *row, void *target, const struct config_entry *entry,
                           struct option_errors *errors)
{
    int64_t duration_ns;
    char why[SENTENCE_BYTES_MAX];
    if (entry->value->kind == CONFIG_STRING) {
        if (duration_parse(entry->value->string, &duration_ns, why, sizeof(why)))
            apply_number(row, target, entry, duration_ns, errors);
        else
            option_fail(errors, entry->position, "error parsing %s: %s", row->name, why);
        return;
    }
    if (row->kind == OPTION_DURATION_ONLY) {
        (void)!option_want(errors, entry, CONFIG_STRING);
        return;
    }
    option_warn(errors, entry->position, row->name, "%s should be converted to a duration", row->name);
    if (!option_want(errors, entry, CONFIG_INTEGER))
        return;
    if (__builtin_mul_overflow(entry->value->integer, (int64_t)1000000000, &duration_ns))
        option_fail(errors, entry->position, "%s value is too big", row->name);
    else
        apply_number(row, target, entry, duration_ns, errors);
}

static int word_index(const struct option *row, struct bytes word)
{
    for (int i = 0; row->words[i] != NULL; i++) {
        if (config_name_equal(word, row->words[i]))
            return i;
    }
    return -1;
}

static void apply_word(const struct option *row, void *target, const struct config_entry *entry,
                       struct option_errors *errors)
{
    if (!option_want(errors, entry, CONFIG_STRING))
        return;
    int index = word_index(row, entry->value->string);
    if (index >= 0) {
        *(int *)field_of(row, target) = index;
        return;
    }
    struct config_text list = {0};
    for (int i = 0; row->words[i] != NULL; i++)
        config_text_add(&list, "%s'%s'",
                        i == 0                      ? ""
                        : row->words[i + 1] == NULL ? " or "
                                                    : ", ",
                        row->words[i]);
    option_fail(errors, entry->position, "%s must be %s", row->name, config_text_string(&list));
    config_text_close(&list);
}

/* Switched off in the file, a thing that is not built is as the file wants it. */
static bool switched_off(const struct config_value *value)
{
    return (value->kind == CONFIG_BOOL && !value->boolean) ||
           (value->kind == CONFIG_STRING && config_name_equal(value->string, "disabled"));
}

static void apply_row(const struct option *row, void *target, const struct config_entry *entry,
                      struct arena *arena, struct option_errors *errors)
{
    if (row->parse != NULL) {
        row->parse(target, entry, arena, errors);
        return;
    }
    switch (row->kind) {
    case OPTION_BOOL:
        if (option_want(errors, entry, CONFIG_BOOL))
            *(bool *)field_of(row, target) = entry->value->boolean;
        return;
    case OPTION_INTEGER:
    case OPTION_BYTES:
        if (option_want(errors, entry, CONFIG_INTEGER))
            apply_number(row, target, entry, entry->value->integer, errors);
        return;
    case OPTION_DURATION:
    case OPTION_DURATION_ONLY:
        apply_duration(row, target, entry, errors);
        return;
    case OPTION_STRING:
        option_read_string(field_of(row, target), entry, arena, errors);
        return;
    case OPTION_TEXT: {
        struct bytes bytes = {0};
        option_read_string(&bytes, entry, arena, errors);
        *(const char **)field_of(row, target) = (const char *)bytes.data;
        return;
    }
    case OPTION_WORD:
        apply_word(row, target, entry, errors);
        return;
    case OPTION_CUSTOM:
    case OPTION_IGNORED:
        return;
    case OPTION_NOT_BUILT:
        if (!switched_off(entry->value))
            option_fail(errors, entry->position, "field \"%.*s\" is not supported by this version of Myelin",
                        BYTES_PRINTF(entry->key));
        return;
    }
}

/* ---- names ---- */

bool option_name_in(const char *list, struct bytes name, bool any_case)
{
    for (const char *at = list; at != NULL && *at != 0;) {
        size_t count = strcspn(at, " ");
        if (count == name.count && count > 0 &&
            (any_case ? strncasecmp(at, (const char *)name.data, count) : memcmp(at, name.data, count)) == 0)
            return true;
        at += count;
        at += strspn(at, " ");
    }
    return false;
}

static const struct option *find_row(const struct option *rows, size_t count, struct bytes key)
{
    for (size_t i = 0; i < count; i++) {
        if (rows[i].name != NULL &&
            (config_name_equal(key, rows[i].name) || option_name_in(rows[i].aliases, key, true)))
            return &rows[i];
    }
    return NULL;
}

static void unknown_field(const struct config_entry *entry, struct option_errors *errors)
{
    char quoted[SENTENCE_BYTES_MAX / 2]; /* a longer name is cut */
    quote(entry->key, quoted, sizeof(quoted));
    option_fail(errors, entry->position, "unknown field %s", quoted);
}

void option_map_apply(const struct option *rows, size_t count, void *target, const struct config_value *map,
                      struct arena *arena, struct option_errors *errors)
{
    for (const struct config_entry *entry = map->entries.first; entry != NULL; entry = entry->next) {
        const struct option *row = find_row(rows, count, entry->key);
        if (row != NULL)
            apply_row(row, target, entry, arena, errors);
        else if (!entry->referenced)
            unknown_field(entry, errors);
    }
}

void options_apply(const struct option_table *table, void *snapshot, const struct config_value *root,
                   struct arena *arena, struct option_errors *errors)
{
    for (const struct config_entry *entry = root->entries.first; entry != NULL; entry = entry->next) {
        const struct option *row = NULL;
        for (size_t i = 0; i < table->count && row == NULL; i++) {
            const struct option_group *group = &table->groups[i];
            row = find_row(group->rows, group->count, entry->key);
            if (row != NULL)
                apply_row(row, (char *)snapshot + group->offset, entry, arena, errors);
        }
        if (row == NULL && !entry->referenced)
            unknown_field(entry, errors);
    }
}

/* ---- values as text ---- */

static bool set_bool(bool *field, const char *value)
{
    if (option_name_in("1 t T true TRUE True", text(value), false))
        *field = true;
    else if (option_name_in("0 f F false FALSE False", text(value), false))
        *field = false;
    else
        return false;
    return true;
}

static int digit_of(char c)
{
    int lower = c | 0x20;
    return c >= '0' && c <= '9' ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 99;
}

/* Go's integers: a sign, a prefix for the base, underscores between digits where there is a prefix. */
static bool set_integer(int64_t *field, const char *value, bool *range)
{
    enum { DIGITS_MAX = 80 };
    char digits[DIGITS_MAX + 1];
    size_t count = 0;
    const char *at = value;
    if (*at == '-' || *at == '+')
        digits[count++] = *at++;
    int base = 10;
    bool prefixed = at[0] == '0' && at[1] != 0;
    if (prefixed) {
        int letter = at[1] | 0x20;
        base = letter == 'x' ? 16 : letter == 'b' ? 2 : 8;
        at += letter == 'x' || letter == 'b' || letter == 'o' ? 2 : 1;
    }
    size_t before = count;
    for (; *at != 0; at++) {
        bool between = *at == '_' && prefixed && at[1] != '_' && at[1] != 0;
        if (between)
            continue;
        if (digit_of(*at) >= base || count >= DIGITS_MAX)
            return false;
        digits[count++] = *at;
    }
    if (count == before)
        return false;
    digits[count] = 0;
    errno = 0;
    int64_t number = strtoll(digits, NULL, base);
    *range = errno == ERANGE;
    if (!*range)
        *field = number;
    return !*range;
}

bool option_set(const struct option *row, void *target, const char *value, struct arena *arena, bool *range)
{
    void *field = field_of(row, target);
    char why[SENTENCE_BYTES_MAX];
    *range = false;
    switch (row->kind) {
    case OPTION_BOOL: {
        bool is_true;
        if (!set_bool(&is_true, value))
            return false;
        if (row->flag != NULL)
            row->flag(target, is_true);
        else
            *(bool *)field = is_true;
        return true;
    }
    case OPTION_INTEGER:
        return set_integer(field, value, range);
    case OPTION_BYTES:
        return set_integer(field, value, range) ||
               (!*range && config_integer_parse(text(value), field, range));
    case OPTION_DURATION:
    case OPTION_DURATION_ONLY:
        return duration_parse(text(value), field, why, sizeof(why));
    case OPTION_STRING:
    case OPTION_TEXT: {
        char *copy = arena_copy(arena, text(value));
        if (copy != NULL && row->kind == OPTION_STRING)
            *(struct bytes *)field = text(copy);
        else if (copy != NULL)
            *(const char **)field = copy;
        return copy != NULL;
    }
    case OPTION_WORD: {
        int index = word_index(row, text(value));
        if (index >= 0)
            *(int *)field = index;
        return index >= 0;
    }
    case OPTION_CUSTOM:
    case OPTION_IGNORED:
    case OPTION_NOT_BUILT:
        break;
    }
    return true;
}

enum err options_default(const struct option_table *table, void *snapshot, struct arena *arena)
{
    for (size_t g = 0; g < table->count; g++) {
        const struct option_group *group = &table->groups[g];
        for (size_t i = 0; i < group->count; i++) {
            bool range;
            const struct option *row = &group->rows[i];
            void *target = (char *)snapshot + group->offset;
            if (row->fallback != NULL && !option_set(row, target, row->fallback, arena, &range)) {
                ASSERT(row->kind == OPTION_STRING ||
                       row->kind == OPTION_TEXT); /* a default that does not parse is a wrong row */
                return ERR_MEMORY;
            }
        }
    }
    return ERR_OK;
}

static bool is_number(enum option_kind kind)
{
    return kind == OPTION_INTEGER || kind == OPTION_BYTES || kind == OPTION_DURATION ||
           kind == OPTION_DURATION_ONLY;
}

bool options_validate(const struct option_table *table, const void *snapshot, struct config_text *why)
{
    for (size_t g = 0; g < table->count; g++) {
        const struct option_group *group = &table->groups[g];
        for (size_t i = 0; i < group->count; i++) {
            const struct option *row = &group->rows[i];
            char sentence[SENTENCE_BYTES_MAX];
            const void *field = (const char *)snapshot + group->offset + row->offset;
            if (row->flags == NULL || !is_number(row->kind) ||
                !out_of_bounds(row, *(const int64_t *)field, sentence, sizeof(sentence)))
                continue;
            config_text_add(why, "%s", sentence);
            return false;
        }
    }
    return true;
}
