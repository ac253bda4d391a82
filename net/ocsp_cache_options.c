/* net/ocsp_cache_options.c - see ocsp_cache_options.h. */
#include "net/ocsp_cache_options.h"

#include "core/base/clock.h"
#include "core/config/duration.h"

#define SAVE_INTERVAL_DEFAULT_NS (300 * NS_PER_SECOND)
#define SAVE_INTERVAL_LEAST_NS NS_PER_SECOND

static void parse_type(struct ocsp_cache_options *options, const struct config_entry *entry,
                       struct option_errors *errors)
{
    struct bytes word = entry->value->string;
    if (config_name_equal(word, "none"))
        options->none = true;
    else if (config_name_equal(word, "local"))
        options->none = false;
    else
        option_fail(errors, entry->position, "error parsing OCSP peer cache config, unknown type [%.*s]",
                    BYTES_PRINTF(word));
}

static void parse_interval(struct ocsp_cache_options *options, const struct config_entry *entry,
                           struct option_errors *errors)
{
    static const char failed[] = "error parsing OCSP peer cache config, conversion error: ";
    const struct config_value *value = entry->value;
    char why[256];
    double seconds = value->kind == CONFIG_INTEGER ? (double)value->integer : value->number;
    int64_t ns = 0;
    if (value->kind == CONFIG_STRING && !duration_parse(value->string, &ns, why, sizeof why)) {
        option_fail(errors, entry->position, "%s%s", failed, why);
        return;
    }
    if (value->kind == CONFIG_INTEGER || value->kind == CONFIG_FLOAT) {
        ns = seconds >= 0 && seconds <= 9e9 ? (int64_t)(seconds * 1e9) : 0;
    } else if (value->kind != CONFIG_STRING) {
        option_fail(errors, entry->position, "%sunexpected type", failed);
        return;
    }
    ns -= ns % NS_PER_SECOND; /* whole seconds, as in nats-server */
    options->save_interval_ns = ns < SAVE_INTERVAL_LEAST_NS ? SAVE_INTERVAL_LEAST_NS : ns;
}

static void parse_key(struct ocsp_cache_options *options, const struct config_entry *entry,
                      struct arena *arena, struct option_errors *errors)
{
    enum config_kind kind = entry->value->kind;
    struct bytes path = {0};
    if (config_name_equal(entry->key, "save_interval")) {
        parse_interval(options, entry, errors);
    } else if (config_name_equal(entry->key, "type") && kind == CONFIG_STRING) {
        parse_type(options, entry, errors);
    } else if (config_name_equal(entry->key, "local_store") && kind == CONFIG_STRING) {
        option_read_string(&path, entry, arena, errors);
        options->local_store = path.count == 0 ? NULL : (const char *)path.data;
    } else if (config_name_equal(entry->key, "preserve_revoked") && kind == CONFIG_BOOL) {
        options->preserve_revoked = entry->value->boolean;
    } else {
        option_fail(errors, entry->position, "error parsing OCSP peer cache config, unknown field [\"%.*s\"]",
                    BYTES_PRINTF(entry->key));
    }
}

void ocsp_cache_options_parse(struct ocsp_cache_options *options, const struct config_entry *entry,
                              struct arena *arena, struct option_errors *errors)
{
    const struct config_value *value = entry->value;
    *options = (struct ocsp_cache_options){0};
    if (value->kind == CONFIG_BOOL) {
        options->none = !value->boolean;
        return;
    }
    if (value->kind != CONFIG_MAP) {
        option_fail(errors, entry->position, "error parsing tags: unsupported type %s",
                    config_type_name(value)); /* nats-server's words */
        return;
    }
    for (const struct config_entry *item = value->entries.first; item != NULL; item = item->next)
        parse_key(options, item, arena, errors);
}

const char *ocsp_cache_store(const struct ocsp_cache_options *options)
{
    return options->local_store == NULL ? "_rc_" : options->local_store;
}

int64_t ocsp_cache_save_interval_ns(const struct ocsp_cache_options *options)
{
    return options->save_interval_ns == 0 ? SAVE_INTERVAL_DEFAULT_NS : options->save_interval_ns;
}

bool ocsp_cache_options_same(const struct ocsp_cache_options *a, const struct ocsp_cache_options *b)
{
    return a->none == b->none && a->preserve_revoked == b->preserve_revoked &&
           ocsp_cache_save_interval_ns(a) == ocsp_cache_save_interval_ns(b) &&
           strcmp(ocsp_cache_store(a), ocsp_cache_store(b)) == 0;
}
