/* core/security/permissions_make.c - permissions that no configuration file has written: those of a token,
 * and those that deny something more (permissions.h). */
#include "core/security/permissions.h"

#include "core/subject/subject.h"

/* ---- lists of a token ---- */

static struct bytes text_next(struct bytes *rest)
{
    size_t count = strnlen((const char *)rest->data, rest->count);
    struct bytes one = bytes_of(rest->data, count);
    size_t used = count < rest->count ? count + 1 : count;
    *rest = bytes_of(rest->data + used, rest->count - used);
    return one;
}

/* "subject", or "subject queue" with one blank between. */
static bool entry_read(struct bytes written, bool queues, struct permission_queue *entry)
{
    const uint8_t *blank = memchr(written.data, ' ', written.count);
    *entry = (struct permission_queue){.pattern = written};
    if (blank != NULL && !queues)
        return false;
    if (blank != NULL) {
        entry->pattern = bytes_of(written.data, (size_t)(blank - written.data));
        entry->queue = bytes_of(blank + 1, written.count - entry->pattern.count - 1);
        if (!subject_valid_pattern(entry->queue))
            return false;
    }
    return subject_valid_pattern(entry->pattern);
}

enum err permission_list_make(struct permission_list *list, struct bytes texts, bool queues,
                              struct arena *arena, struct bytes *wrong)
{
    uint32_t count = 0, plain_count = 0, queue_count = 0;
    *list = (struct permission_list){0};
    for (size_t i = 0; i < texts.count; i++)
        count += texts.data[i] == 0;
    if (count == 0)
        return ERR_OK;
    struct bytes rest = bytes_of(arena_copy(arena, texts), texts.count);
    struct bytes *patterns = arena_new(arena, count * sizeof *patterns);
    struct permission_queue *pairs = arena_new(arena, count * sizeof *pairs);
    if (rest.data == NULL || patterns == NULL || pairs == NULL)
        return ERR_MEMORY;
    while (rest.count > 0) {
        struct permission_queue entry;
        struct bytes written = text_next(&rest);
        if (!entry_read(written, queues, &entry)) {
            *wrong = written;
            return ERR_INVALID;
        }
        if (entry.queue.count > 0)
            pairs[queue_count++] = entry;
        else
            patterns[plain_count++] = entry.pattern;
    }
    *list = (struct permission_list){.given = true,
                                     .patterns = patterns,
                                     .pattern_count = plain_count,
                                     .queues = pairs,
                                     .queue_count = queue_count};
    return pattern_set_make(&list->plain, patterns, plain_count, arena);
}

/* ---- what is denied besides ---- */

static MUST_USE enum err list_extend(struct permission_list *list, const struct bytes *more, uint32_t count,
                                     struct arena *arena)
{
    struct bytes *patterns = arena_new(arena, (list->pattern_count + count) * sizeof *patterns);
    if (patterns == NULL)
        return ERR_MEMORY;
    if (list->pattern_count > 0)
        memcpy(patterns, list->patterns, list->pattern_count * sizeof *patterns);
    memcpy(patterns + list->pattern_count, more, count * sizeof *patterns);
    list->patterns = patterns;
    list->pattern_count += count;
    list->given = true;
    list->plain = (struct pattern_set){0};
    return pattern_set_make(&list->plain, patterns, list->pattern_count, arena);
}

const struct security_permissions *permissions_denying(const struct security_permissions *permissions,
                                                       const struct bytes *patterns, uint32_t count,
                                                       bool subscribing, struct arena *arena)
{
    struct security_permissions *made = arena_new(arena, sizeof *made);
    if (made == NULL)
        return NULL;
    if (permissions != NULL)
        *made = *permissions;
    bool good = list_extend(&made->publish.deny, patterns, count, arena) == ERR_OK;
    if (good && subscribing)
        good = list_extend(&made->subscribe.deny, patterns, count, arena) == ERR_OK;
    return good ? made : NULL;
}
