/* core/security/permissions_config.c - a `permissions` map as it is written (spec/security.md 3.1), with
 * nats-server's sentences for what is wrong. Lists are counted, copied into the arena, and made into sets
 * once.
 */
#include "core/base/check.h"
#include "core/base/quote.h"
#include "core/config/duration.h"
#include "core/security/permissions.h"
#include "core/subject/subject.h"

enum { QUOTED_BYTES = 300, WHY_BYTES = 300 };

/* Where a list goes, and what is said when it cannot. */
struct reading {
    struct permission_list *list;
    bool queues; /* entries may name one */
    struct arena *arena;
    struct option_errors *errors;
};

/* ---- entries ---- */

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r' || byte == '\f' || byte == '\v';
}

static bool has_blank(struct bytes bytes)
{
    for (size_t i = 0; i < bytes.count; i++) {
        if (is_blank(bytes.data[i]))
            return true;
    }
    return false;
}

/* Takes the next word off the front; empty at the end. */
static struct bytes next_word(struct bytes *rest)
{
    while (rest->count > 0 && is_blank(rest->data[0]))
        *rest = bytes_of(rest->data + 1, rest->count - 1);
    size_t count = 0;
    while (count < rest->count && !is_blank(rest->data[count]))
        count++;
    struct bytes word = bytes_of(rest->data, count);
    *rest = bytes_of(rest->data + count, rest->count - count);
    return word;
}

static bool fail_quoted(const struct reading *reading, struct config_position at, const char *what,
                        struct bytes text)
{
    char quoted[QUOTED_BYTES]; /* what is longer is cut */
    (void)quote(text, quoted, sizeof quoted);
    option_fail(reading->errors, at, "%s %s is not a valid %s", what, quoted, what);
    return false;
}

/* A subject, or a subject and a queue. False: it is neither, which is noted. */
static bool read_entry(const struct reading *reading, struct bytes written, struct config_position at,
                       struct permission_queue *entry)
{
    *entry = (struct permission_queue){.pattern = written};
    if (!has_blank(written) && subject_valid_pattern(written))
        return true;
    struct bytes rest = written;
    entry->pattern = next_word(&rest);
    entry->queue = next_word(&rest);
    if (!reading->queues || entry->queue.count == 0 || next_word(&rest).count > 0)
        return fail_quoted(reading, at, "subject", written);
    if (!subject_valid_pattern(entry->pattern))
        return fail_quoted(reading, at, "subject", entry->pattern);
    if (!subject_valid_pattern(entry->queue))
        return fail_quoted(reading, at, "queue", entry->queue);
    return true;
}

/* ---- lists ---- */

static bool check_kinds(const struct reading *reading, const struct config_entry *entry)
{
    if (entry->value->kind == CONFIG_STRING)
        return true;
    if (entry->value->kind != CONFIG_ARRAY) {
        option_fail(reading->errors, entry->position,
                    "Expected subject permissions to be a subject, or array of subjects, got %s",
                    config_type_name(entry->value));
        return false;
    }
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next) {
        if (item->value->kind == CONFIG_STRING)
            continue;
        option_fail(reading->errors, item->position, "Subject in permissions array cannot be cast to string");
        return false;
    }
    return true;
}

/* Room for both kinds of entries, so that one pass over the file's list fills them. */
struct entries {
    struct bytes *plain;
    struct permission_queue *queues;
    uint32_t plain_count;
    uint32_t queue_count;
};

static bool take_entry(const struct reading *reading, const struct config_entry *item,
                       struct entries *entries)
{
    struct permission_queue entry;
    struct bytes copy = option_copy(item->value->string, item->position, reading->arena, reading->errors);
    if (copy.count != item->value->string.count || !read_entry(reading, copy, item->position, &entry))
        return false;
    ASSERT(entry.queue.count == 0 ||
           entries->queues != NULL); /* read_entry() takes none where there may be none */
    if (entry.queue.count > 0)
        entries->queues[entries->queue_count++] = entry;
    else
        entries->plain[entries->plain_count++] = entry.pattern;
    return true;
}

static void read_list(const struct reading *reading, const struct config_entry *entry)
{
    struct entries entries = {0};
    const struct config_entry alone = {.value = entry->value, .position = entry->position};
    size_t count = 0;
    if (!check_kinds(reading, entry))
        return;
    const struct config_entry *first =
        entry->value->kind == CONFIG_ARRAY ? entry->value->entries.first : &alone;
    for (const struct config_entry *item = first; item != NULL; item = item->next)
        count++;
    *reading->list = (struct permission_list){.given = count > 0}; /* an empty list is none */
    entries.plain = arena_new(reading->arena, count * sizeof *entries.plain);
    entries.queues = reading->queues ? arena_new(reading->arena, count * sizeof *entries.queues) : NULL;
    if (entries.plain == NULL || (reading->queues && entries.queues == NULL)) {
        option_fail(reading->errors, entry->position, "out of memory");
        return;
    }
    for (const struct config_entry *item = first; item != NULL; item = item->next) {
        if (!take_entry(reading, item, &entries))
            return;
    }
    reading->list->queues = entries.queues;
    reading->list->queue_count = entries.queue_count;
    reading->list->patterns = entries.plain;
    reading->list->pattern_count = entries.plain_count;
    enum err err =
        pattern_set_make(&reading->list->plain, entries.plain, entries.plain_count, reading->arena);
    if (err != ERR_OK)
        option_fail(reading->errors, entry->position, "%s: %s",
                    err == ERR_FULL ? "too many permissions" : "permissions", err_text(err));
}

/* A subject, a list of them, or a map of two lists. */
static void read_direction(struct permission_direction *direction, bool queues,
                           const struct config_entry *entry, struct arena *arena,
                           struct option_errors *errors)
{
    struct reading allow = {&direction->allow, queues, arena, errors};
    struct reading deny = {&direction->deny, queues, arena, errors};
    *direction = (struct permission_direction){0};
    if (entry->value->kind != CONFIG_MAP) {
        read_list(&allow, entry);
        return;
    }
    for (const struct config_entry *list = entry->value->entries.first; list != NULL; list = list->next) {
        if (config_name_equal(list->key, "allow"))
            read_list(&allow, list);
        else if (config_name_equal(list->key, "deny"))
            read_list(&deny, list);
        else if (!list->referenced)
            option_fail(errors, list->position,
                        "Unknown field name \"%.*s\" parsing subject permissions, only 'allow' or 'deny' are "
                        "permitted",
                        BYTES_PRINTF(list->key));
    }
}

/* ---- allow_responses ---- */

static void read_expires(struct permission_responses *responses, const struct config_entry *entry,
                         struct option_errors *errors)
{
    char why[WHY_BYTES];
    int64_t expires_ns = 0;
    if (entry->value->kind != CONFIG_STRING)
        option_fail(errors, entry->position, "error parsing expires, not a duration string");
    else if (!duration_parse(entry->value->string, &expires_ns, why, sizeof why))
        option_fail(errors, entry->position, "error parsing expires: %s", why);
    else if (expires_ns != 0)
        responses->expires_ns = expires_ns;
}

static void read_responses(struct permission_responses *responses, const struct config_entry *entry,
                           struct option_errors *errors)
{
    *responses = PERMISSION_RESPONSES_DEFAULT;
    if (entry->value->kind == CONFIG_BOOL) {
        responses->given = entry->value->boolean;
        return;
    }
    if (entry->value->kind != CONFIG_MAP) {
        option_fail(errors, entry->position,
                    "error parsing response permissions, expected a boolean or a map");
        return;
    }
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next) {
        if (option_name_in("max max_msgs max_messages max_responses", item->key, true)) {
            if (option_want(errors, item, CONFIG_INTEGER) && item->value->integer != 0)
                responses->count_max = item->value->integer;
        } else if (option_name_in("expires expiration ttl", item->key, true)) {
            read_expires(responses, item, errors);
        } else if (!item->referenced) {
            option_fail(errors, item->position, "Unknown field \"%.*s\" parsing permissions",
                        BYTES_PRINTF(item->key));
        }
    }
}

/* ---- the map ---- */

const struct security_permissions *security_permissions_parse(const struct config_entry *entry,
                                                              struct arena *arena,
                                                              struct option_errors *errors)
{
    char shown[80];
    size_t before = errors->errors.count;
    if (entry->value->kind != CONFIG_MAP) {
        config_value_show(entry->value, shown, sizeof shown);
        option_fail(errors, entry->position, "Expected permissions to be a map/struct, got %s", shown);
        return NULL;
    }
    struct security_permissions *permissions = arena_new(arena, sizeof *permissions);
    if (permissions == NULL) {
        option_fail(errors, entry->position, "out of memory");
        return NULL;
    }
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next) {
        if (option_name_in("publish pub import", item->key, true))
            read_direction(&permissions->publish, false, item, arena, errors);
        else if (option_name_in("subscribe sub export", item->key, true))
            read_direction(&permissions->subscribe, true, item, arena, errors);
        else if (option_name_in("allow_responses publish_allow_responses", item->key, true))
            read_responses(&permissions->responses, item, errors);
        else if (!item->referenced)
            option_fail(errors, item->position, "Unknown field \"%.*s\" parsing permissions",
                        BYTES_PRINTF(item->key));
    }
    if (permissions->responses
            .given) /* who may answer may do nothing else, but for what is allowed by name */
        permissions->publish.allow.given = true;
    return errors->errors.count == before ? permissions : NULL;
}
