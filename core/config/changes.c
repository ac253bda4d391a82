/* core/config/changes.c - what differs between two snapshots, row by row: lines for the log, or the sentence
 * that refuses the reload (configuration.md 5.2, 5.3). */
#include "core/base/check.h"
#include "core/config/duration.h"
#include "core/config/option.h"

#include <inttypes.h>

static const char *text_or_empty(const void *field)
{
    const char *text = *(const char *const *)field;
    return text == NULL ? "" : text;
}

static bool fields_equal(const struct option *row, const void *old, const void *new)
{
    switch (row->kind) {
    case OPTION_BOOL:
        return *(const bool *)old == *(const bool *)new;
    case OPTION_INTEGER:
    case OPTION_BYTES:
    case OPTION_DURATION:
    case OPTION_DURATION_ONLY:
        return *(const int64_t *)old == *(const int64_t *)new;
    case OPTION_STRING:
        return bytes_equal(*(const struct bytes *)old, *(const struct bytes *)new);
    case OPTION_TEXT:
        return strcmp(text_or_empty(old), text_or_empty(new)) == 0;
    case OPTION_WORD:
        return *(const int *)old == *(const int *)new;
    case OPTION_CUSTOM:
    case OPTION_IGNORED:
    case OPTION_NOT_BUILT:
        break;
    }
    return true; /* what has no field of its own has nothing to compare */
}

/* A field as Go's %v shows it. */
static void add_field(struct config_text *text, const struct option *row, const void *field)
{
    char printed[DURATION_TEXT_BYTES_MAX];
    switch (row->kind) {
    case OPTION_BOOL:
        config_text_add(text, "%s", *(const bool *)field ? "true" : "false");
        return;
    case OPTION_INTEGER:
    case OPTION_BYTES:
        config_text_add(text, "%" PRId64, *(const int64_t *)field);
        return;
    case OPTION_DURATION:
    case OPTION_DURATION_ONLY:
        config_text_add(text, "%s", duration_print(*(const int64_t *)field, printed));
        return;
    case OPTION_STRING:
        config_text_add_bytes(text, *(const struct bytes *)field);
        return;
    case OPTION_TEXT:
        config_text_add(text, "%s", text_or_empty(field));
        return;
    case OPTION_WORD:
        config_text_add(text, "%s", row->words[*(const int *)field]);
        return;
    case OPTION_CUSTOM:
    case OPTION_IGNORED:
    case OPTION_NOT_BUILT:
        break;
    }
    ASSERT(false && "only rows with a field of their own differ");
}

static void compare_row(const struct option *row, const void *old, const void *new,
                        struct option_changes *changes)
{
    if (row->compare != NULL) {
        row->compare(old, new, changes);
        return;
    }
    const void *old_field = (const char *)old + row->offset;
    const void *new_field = (const char *)new + row->offset;
    if (row->name == NULL || row->reload == RELOAD_FREE || fields_equal(row, old_field, new_field))
        return;
    if (row->reload == RELOAD_NOW) {
        config_text_add(&changes->lines, "Reloaded: %s = ", row->name);
        add_field(&changes->lines, row, new_field);
        config_text_add(&changes->lines, "\n");
        return;
    }
    if (changes->refusal.count > 0) /* one is enough to refuse */
        return;
    config_text_add(&changes->refusal, "config reload not supported for %s: old=",
                    row->internal == NULL ? row->name : row->internal);
    add_field(&changes->refusal, row, old_field);
    config_text_add(&changes->refusal, ", new=");
    add_field(&changes->refusal, row, new_field);
}

enum err options_compare(const struct option_table *table, const void *old, const void *new,
                         struct option_changes *changes)
{
    for (size_t g = 0; g < table->count; g++) {
        const struct option_group *group = &table->groups[g];
        for (size_t i = 0; i < group->count; i++)
            compare_row(&group->rows[i], (const char *)old + group->offset, (const char *)new + group->offset,
                        changes);
    }
    return changes->refusal.failed || changes->lines.failed ? ERR_MEMORY : ERR_OK;
}
