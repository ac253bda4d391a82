/* core/config/value.c - questions about the values of a configuration file. */
#include "core/config/value.h"

#include <strings.h>

struct config_entry *config_map_find(const struct config_value *map, struct bytes key)
{
    for (struct config_entry *entry = map->entries.first; entry != NULL; entry = entry->next) {
        if (bytes_equal(entry->key, key))
            return entry;
    }
    return NULL;
}

bool config_name_equal(struct bytes key, const char *name)
{
    return key.count == strlen(name) && strncasecmp((const char *)key.data, name, key.count) == 0;
}

const char *config_type_name(const struct config_value *value)
{
    switch (value->kind) {
    case CONFIG_STRING:
        return "string";
    case CONFIG_BOOL:
        return "bool";
    case CONFIG_INTEGER:
        return "int64";
    case CONFIG_FLOAT:
        return "float64";
    case CONFIG_DATETIME:
        return "time.Time";
    case CONFIG_ARRAY:
        return "[]interface {}";
    case CONFIG_MAP:
        return "map[string]interface {}";
    }
    return "unknown";
}
