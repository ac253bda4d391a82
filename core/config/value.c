/* core/config/value.c - questions about the values of a configuration file. */
#include "core/config/value.h"

#include "core/config/text.h"

#include <inttypes.h>
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

void config_value_show(const struct config_value *value, char *shown, size_t bytes)
{
    struct config_text text = {0};
    switch (value->kind) {
    case CONFIG_STRING:
    case CONFIG_DATETIME:
        config_text_add_bytes(&text, value->string);
        break;
    case CONFIG_BOOL:
        config_text_add(&text, "%s", value->boolean ? "true" : "false");
        break;
    case CONFIG_INTEGER:
        config_text_add(&text, "%" PRId64, value->integer);
        break;
    case CONFIG_FLOAT:
        config_text_add(&text, "%g", value->number);
        break;
    case CONFIG_ARRAY:
        config_text_add(&text, "an array");
        break;
    case CONFIG_MAP:
        config_text_add(&text, "a map");
        break;
    }
    const char *whole = config_text_string(&text);
    size_t count = strnlen(whole, bytes - 1);
    memcpy(shown, whole, count);
    shown[count] = 0;
    config_text_close(&text);
}
