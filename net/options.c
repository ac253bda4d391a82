/* net/options.c - the rows of the options that concern a client connection (configuration.md 4.2). */
#include "net/options.h"

#include <inttypes.h>

#define NEVER_BELOW_ZERO .least = 0, .most = INT64_MAX

static void parse_no_header_support(void *target, const struct config_entry *entry, struct arena *arena,
                                    struct option_errors *errors)
{
    (void)arena;
    struct net_options *options = target;
    if (option_want(errors, entry, CONFIG_BOOL))
        options->headers = !entry->value->boolean;
}

static void compare_no_header_support(const void *old, const void *new, struct option_changes *changes)
{
    const struct net_options *before = old, *after = new;
    if (before->headers != after->headers && changes->refusal.count == 0)
        config_text_add(&changes->refusal, "config reload not supported for NoHeaderSupport: old=%s, new=%s",
                        before->headers ? "false" : "true", after->headers ? "false" : "true");
}

static void compare_stall(const void *old, const void *new, struct option_changes *changes)
{
    const struct net_options *before = old, *after = new;
    if (before->no_fast_producer_stall != after->no_fast_producer_stall)
        config_text_add(&changes->lines, "Reloaded: fast producers will %sbe stalled\n",
                        after->no_fast_producer_stall ? "not " : "");
}

/* 0 in the file means that nobody may connect, as in nats-server 2.15. */
static void parse_max_connections(void *target, const struct config_entry *entry, struct arena *arena,
                                  struct option_errors *errors)
{
    (void)arena;
    struct net_options *options = target;
    if (option_want(errors, entry, CONFIG_INTEGER))
        options->max_connections = entry->value->integer == 0 ? -1 : entry->value->integer;
}

static const char *const write_timeout_words[] = {[WRITE_TIMEOUT_DEFAULT] = "default",
                                                  [WRITE_TIMEOUT_CLOSE] = "close",
                                                  [WRITE_TIMEOUT_RETRY] = "retry",
                                                  NULL};

static const struct option rows[] = {
    {.name = "max_connections",
     .aliases = "max_conn",
     .kind = OPTION_INTEGER,
     .offset = INTO(struct net_options, max_connections),
     .fallback = "65536",
     .reload = RELOAD_NOW,
     .parse = parse_max_connections},
    {.name = "max_subscriptions",
     .aliases = "max_subs",
     .kind = OPTION_INTEGER,
     .offset = INTO(struct net_options, max_subscriptions),
     .reload = RELOAD_NEVER,
     .internal = "MaxSubs",
     NEVER_BELOW_ZERO},
    {.name = "max_sub_tokens",
     .aliases = "max_subscription_tokens",
     .kind = OPTION_INTEGER,
     .offset = INTO(struct net_options, max_subscription_tokens),
     .least = 1,
     .most = 255,
     .reload = RELOAD_NEVER,
     .internal = "MaxSubTokens",
     .too_big = "NAME value is too big",
     .too_small = "NAME value can not be negative"},
    {.name = "ping_interval",
     .kind = OPTION_DURATION,
     .offset = INTO(struct net_options, ping_interval_ns),
     .fallback = "2m",
     .least = 1,
     .most = INT64_MAX,
     .reload = RELOAD_NOW},
    {.name = "ping_max",
     .kind = OPTION_INTEGER,
     .offset = INTO(struct net_options, ping_max),
     .fallback = "2",
     NEVER_BELOW_ZERO,
     .reload = RELOAD_NOW},
    {.name = "max_control_line",
     .kind = OPTION_BYTES,
     .offset = INTO(struct net_options, max_control_line_bytes),
     .fallback = "4KB",
     .least = 1,
     .most = INT32_MAX,
     .reload = RELOAD_NOW,
     .too_big = "NAME value is too big"},
    {.name = "max_payload",
     .kind = OPTION_BYTES,
     .offset = INTO(struct net_options, max_payload_bytes),
     .fallback = "1MB",
     .least = -1,
     .most = INT32_MAX,
     .reload = RELOAD_NOW,
     .too_big = "NAME value is too big"},
    {.name = "max_pending",
     .kind = OPTION_BYTES,
     .offset = INTO(struct net_options, max_pending_bytes),
     .fallback = "64MB",
     .least = 1,
     .most = INT64_MAX,
     .reload = RELOAD_NEVER,
     .internal = "MaxPending"},
    {.name = "no_fast_producer_stall",
     .kind = OPTION_BOOL,
     .offset = INTO(struct net_options, no_fast_producer_stall),
     .reload = RELOAD_NOW,
     .compare = compare_stall},
    {.name = "write_deadline",
     .kind = OPTION_DURATION,
     .offset = INTO(struct net_options, write_deadline_ns),
     .fallback = "10s",
     .least = 1,
     .most = INT64_MAX,
     .reload = RELOAD_NOW},
    {.name = "write_timeout",
     .kind = OPTION_WORD,
     .offset = INTO(struct net_options, write_timeout),
     .fallback = "default",
     .reload = RELOAD_NEVER,
     .internal = "WriteTimeout",
     .words = write_timeout_words},
    {.name = "max_traced_msg_len",
     .kind = OPTION_INTEGER,
     .offset = INTO(struct net_options, max_traced_message_bytes),
     NEVER_BELOW_ZERO,
     .reload = RELOAD_NOW,
     .section = SECTION_LOGGING,
     .flags = "max_traced_msg_len",
     .argument = "<len>",
     .help = "Bytes of a payload that a trace shows (default: all)"},
    {.name = "max_closed_clients",
     .kind = OPTION_INTEGER,
     .offset = INTO(struct net_options, max_closed_clients),
     .fallback = "10000",
     NEVER_BELOW_ZERO,
     .reload = RELOAD_NEVER,
     .internal = "MaxClosedClients"},
    {.name = "no_header_support",
     .kind = OPTION_CUSTOM,
     .reload = RELOAD_NEVER,
     .parse = parse_no_header_support,
     .compare = compare_no_header_support},
    {.kind = OPTION_BOOL, .offset = INTO(struct net_options, headers), .fallback = "true"},
};

const struct option *net_option_rows(size_t *count)
{
    *count = COUNT_OF(rows);
    return rows;
}

bool net_options_validate(const struct net_options *options, struct config_text *why)
{
    if (options->max_payload_bytes <= options->max_pending_bytes)
        return true;
    config_text_add(why, "max_payload (%" PRId64 ") cannot be higher than max_pending (%" PRId64 ")",
                    options->max_payload_bytes, options->max_pending_bytes);
    return false;
}
