/* net/ocsp_peer.c - see ocsp_peer.h. */
#include "net/ocsp_peer.h"

#include "core/base/clock.h"
#include "core/config/duration.h"
#include "net/ocsp.h"

#include <stdio.h>

#define TIMEOUT_DEFAULT_NS (2 * NS_PER_SECOND)

const struct ocsp_peer_options ocsp_peer_default = {
    .timeout_ns = TIMEOUT_DEFAULT_NS,
    .skew_ns = OCSP_SKEW_DEFAULT_NS,
    .lasts_ns = OCSP_LASTS_DEFAULT_NS,
};

static const struct {
    const char *name;
    size_t offset;
    bool time; /* else a boolean */
} keys[] = {
    {"verify", INTO(struct ocsp_peer_options, verify), false},
    {"warn_only", INTO(struct ocsp_peer_options, warn_only), false},
    {"unknown_is_good", INTO(struct ocsp_peer_options, unknown_is_good), false},
    {"allow_when_ca_unreachable", INTO(struct ocsp_peer_options, allow_unreachable), false},
    {"ca_timeout", INTO(struct ocsp_peer_options, timeout_ns), true},
    {"allowed_clockskew", INTO(struct ocsp_peer_options, skew_ns), true},
    {"cache_ttl_when_next_update_unset", INTO(struct ocsp_peer_options, lasts_ns), true},
};

/* Seconds, or a duration as text. A negative one is as good as none. */
static bool time_read(int64_t *field, const struct config_value *value, char *why, size_t why_bytes)
{
    char cause[256];
    int64_t ns = 0;
    double seconds = value->kind == CONFIG_INTEGER ? (double)value->integer : value->number;
    if (value->kind == CONFIG_STRING) {
        if (!duration_parse(value->string, &ns, cause, sizeof cause)) {
            snprintf(why, why_bytes, "error parsing tls peer config, conversion error: %s", cause);
            return false;
        }
    } else if (value->kind == CONFIG_INTEGER || value->kind == CONFIG_FLOAT) {
        ns = seconds >= 0 && seconds <= 9e9 ? (int64_t)(seconds * 1e9) : -1;
    } else {
        snprintf(why, why_bytes, "error parsing tls peer config, conversion error: unexpected type");
        return false;
    }
    if (ns >= 0)
        *field = ns;
    return true;
}

static bool key_read(struct ocsp_peer_options *options, const struct config_entry *entry, char *why,
                     size_t why_bytes)
{
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        void *field = (uint8_t *)options + keys[i].offset;
        if (!config_name_equal(entry->key, keys[i].name))
            continue;
        if (keys[i].time)
            return time_read(field, entry->value, why, why_bytes);
        if (entry->value->kind != CONFIG_BOOL)
            break;
        *(bool *)field = entry->value->boolean;
        return true;
    }
    snprintf(why, why_bytes, "error parsing tls peer config, unknown field [\"%.*s\"]",
             BYTES_PRINTF(entry->key));
    return false;
}

bool ocsp_peer_parse(struct ocsp_peer_options *options, const struct config_entry *entry,
                     struct config_position *at, char *why, size_t why_bytes)
{
    const struct config_value *value = entry->value;
    *options = ocsp_peer_default;
    *at = entry->position;
    if (value->kind == CONFIG_BOOL) {
        options->verify = value->boolean;
        return true;
    }
    if (value->kind != CONFIG_MAP) {
        snprintf(why, why_bytes, "error parsing ocsp peer config: unsupported type %s",
                 config_type_name(value));
        return false;
    }
    for (const struct config_entry *item = value->entries.first; item != NULL; item = item->next) {
        *at = item->position;
        if (!key_read(options, item, why, why_bytes))
            return false;
    }
    if (options->timeout_ns == 0)
        options->timeout_ns = TIMEOUT_DEFAULT_NS;
    return true;
}

bool ocsp_peer_same(const struct ocsp_peer_options *a, const struct ocsp_peer_options *b)
{
    return a->verify == b->verify && a->warn_only == b->warn_only &&
           a->unknown_is_good == b->unknown_is_good && a->allow_unreachable == b->allow_unreachable &&
           a->timeout_ns == b->timeout_ns && a->skew_ns == b->skew_ns && a->lasts_ns == b->lasts_ns;
}
