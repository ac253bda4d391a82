/* net/route_compression.c - see route_compression.h. */
#include "net/route_compression.h"

#include "core/config/duration.h"

#define MS_NS INT64_C(1000000)

/* Of s2_auto where the file says none. */
static const int64_t default_thresholds_ns[] = {10 * MS_NS, 50 * MS_NS, 100 * MS_NS};

static const struct {
    const char *names; /* in a file, in any case */
    const char *told;
} modes[] = {
    [ROUTE_COMPRESSION_ACCEPT] = {"accept", "accept"},
    [ROUTE_COMPRESSION_NOT_SUPPORTED] = {"not_supported", ""},
    [ROUTE_COMPRESSION_OFF] = {"off disabled false", "off"},
    [ROUTE_COMPRESSION_S2_UNCOMPRESSED] = {"", "s2_uncompressed"},
    [ROUTE_COMPRESSION_S2_FAST] = {"s2_fast fast on enabled true", "s2_fast"},
    [ROUTE_COMPRESSION_S2_BETTER] = {"s2_better better", "s2_better"},
    [ROUTE_COMPRESSION_S2_BEST] = {"s2_best best", "s2_best"},
    [ROUTE_COMPRESSION_S2_AUTO] = {"s2_auto auto", "s2_auto"},
};

static void mode_parse(struct route_compression *compression, const struct config_entry *entry,
                       struct option_errors *errors)
{
    if (entry->value->kind != CONFIG_STRING) {
        option_fail(errors, entry->position,
                    "field \"compression\" should be a boolean or a structure, got %s",
                    config_type_name(entry->value));
        return;
    }
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        if (option_name_in(modes[i].names, entry->value->string, true)) {
            compression->mode = (int)i;
            return;
        }
    }
    option_fail(errors, entry->position, "unsupported compression mode \"%.*s\"",
                BYTES_PRINTF(entry->value->string));
}

/* Rising; a zero leaves a level out. */
static void thresholds_parse(struct route_compression *compression, const struct config_entry *entry,
                             struct option_errors *errors)
{
    char why[128];
    int64_t highest_ns = 0;
    compression->threshold_count = 0;
    if (!option_want(errors, entry, CONFIG_ARRAY))
        return;
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next) {
        int64_t wait_ns = 0;
        if (!option_want(errors, item, CONFIG_STRING))
            return;
        if (!duration_parse(item->value->string, &wait_ns, why, sizeof why)) {
            option_fail(errors, item->position, "%s", why);
            return;
        }
        wait_ns = wait_ns < 0 ? 0 : wait_ns;
        if (wait_ns != 0 && wait_ns < highest_ns) {
            option_fail(errors, item->position, "RTT threshold values should be in ascending order");
            return;
        }
        highest_ns = wait_ns != 0 ? wait_ns : highest_ns;
        if (compression->threshold_count == ROUTE_COMPRESSION_THRESHOLDS) {
            option_fail(errors, item->position,
                        "compression mode \"s2_auto\" should have no more than 4 RTT thresholds");
            return;
        }
        compression->thresholds_ns[compression->threshold_count++] = wait_ns;
    }
    if (highest_ns == 0)
        option_fail(errors, entry->position,
                    "compression mode \"s2_auto\" requires at least one RTT threshold");
}

void route_compression_parse(struct route_compression *compression, const struct config_entry *entry,
                             struct arena *arena, struct option_errors *errors)
{
    (void)arena;
    if (entry->value->kind == CONFIG_BOOL) {
        compression->mode = entry->value->boolean ? ROUTE_COMPRESSION_S2_FAST : ROUTE_COMPRESSION_OFF;
        return;
    }
    if (entry->value->kind != CONFIG_MAP) {
        mode_parse(compression, entry, errors);
        return;
    }
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next) {
        if (option_name_in("mode", item->key, true))
            mode_parse(compression, item, errors);
        else if (option_name_in("rtt_thresholds thresholds rtts rtt", item->key, true))
            thresholds_parse(compression, item, errors);
        else
            option_fail(errors, item->position, "unknown field \"%.*s\"", BYTES_PRINTF(item->key));
    }
}

struct bytes route_compression_name(enum route_compression_mode mode)
{
    return text(modes[mode].told);
}

bool route_compression_choose(enum route_compression_mode own, struct bytes theirs,
                              enum route_compression_mode *chosen)
{
    enum route_compression_mode other = ROUTE_COMPRESSION_NOT_SUPPORTED;
    *chosen = ROUTE_COMPRESSION_NOT_SUPPORTED;
    if (own == ROUTE_COMPRESSION_NOT_SUPPORTED || theirs.count == 0 ||
        bytes_equal(theirs, TEXT("not supported")))
        return true;
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        if (bytes_equal(theirs, text(modes[i].told)))
            other = (enum route_compression_mode)i;
    }
    if (other == ROUTE_COMPRESSION_NOT_SUPPORTED && own != ROUTE_COMPRESSION_OFF)
        return false;
    *chosen = ROUTE_COMPRESSION_OFF;
    if (own == ROUTE_COMPRESSION_OFF || other == ROUTE_COMPRESSION_OFF ||
        (own == ROUTE_COMPRESSION_ACCEPT && other == ROUTE_COMPRESSION_ACCEPT))
        return true;
    *chosen = own;
    if (own == ROUTE_COMPRESSION_ACCEPT)
        *chosen = other == ROUTE_COMPRESSION_S2_AUTO ? ROUTE_COMPRESSION_S2_FAST : other;
    return true;
}

enum route_compression_mode route_compression_level(const struct route_compression *compression,
                                                    enum route_compression_mode mode, int64_t rtt_ns)
{
    static const enum route_compression_mode levels[] = {
        ROUTE_COMPRESSION_S2_UNCOMPRESSED, ROUTE_COMPRESSION_S2_FAST, ROUTE_COMPRESSION_S2_BETTER,
        ROUTE_COMPRESSION_S2_BEST};
    bool told = compression->threshold_count > 0;
    const int64_t *slowest_ns = told ? compression->thresholds_ns : default_thresholds_ns;
    uint32_t count = told ? compression->threshold_count : COUNT_OF(default_thresholds_ns);
    if (mode != ROUTE_COMPRESSION_S2_AUTO)
        return mode;
    for (uint32_t i = 0; i < count; i++) {
        if (slowest_ns[i] > 0 && rtt_ns <= slowest_ns[i])
            return levels[i];
    }
    /* Slower than all: the best where all levels below it are named, else the last one named. */
    return count + 1 >= COUNT_OF(levels) ? ROUTE_COMPRESSION_S2_BEST : levels[count - 1];
}

bool route_compression_same(const struct route_compression *a, const struct route_compression *b)
{
    bool same = a->mode == b->mode && a->threshold_count == b->threshold_count;
    for (uint32_t i = 0; same && i < a->threshold_count; i++)
        same = a->thresholds_ns[i] == b->thresholds_ns[i];
    return same;
}
