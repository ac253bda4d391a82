/* net/cluster_permissions.c - see cluster_permissions.h. */
#include "net/cluster_permissions.h"

#include "net/cluster_options.h"

#include <string.h>

/* The patterns of a list, a zero byte behind each. False: memory is out. */
static bool texts_make(struct bytes *texts, const struct permission_list *list, struct arena *arena)
{
    size_t count = 0;
    for (uint32_t i = 0; i < list->pattern_count; i++)
        count += list->patterns[i].count + 1;
    uint8_t *at = count == 0 ? NULL : arena_new(arena, count);
    *texts = bytes_of(at, at == NULL ? 0 : count);
    for (uint32_t i = 0; at != NULL && i < list->pattern_count; i++) {
        memcpy(at, list->patterns[i].data, list->patterns[i].count);
        at += list->patterns[i].count;
        *at++ = 0;
    }
    return count == 0 || at != NULL;
}

static bool lists_make(struct route_info_lists *lists, const struct permission_direction *direction,
                       struct arena *arena)
{
    return texts_make(&lists->allow, &direction->allow, arena) &&
           texts_make(&lists->deny, &direction->deny, arena);
}

void cluster_permissions_parse(struct cluster_options *options, const struct config_entry *entry,
                               struct arena *arena, struct option_errors *errors)
{
    const struct security_permissions *permissions = security_permissions_parse(entry, arena, errors);
    options->permissions = permissions;
    if (permissions == NULL)
        return;
    if (permissions->responses.given)
        option_fail(errors, entry->position, "Cluster permissions do not support dynamic responses");
    if (digest_tree(entry->value, options->permissions_digest) != ERR_OK ||
        !lists_make(&options->imports, &permissions->publish, arena) ||
        !lists_make(&options->exports, &permissions->subscribe, arena))
        option_fail(errors, entry->position, "out of memory");
}
