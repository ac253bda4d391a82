/* shards/planned_rows.c - what nats-server can be told and this version cannot, so that a file which asks for
 * it is refused with a sentence and never half obeyed. A row leaves for its module when the thing gets built.
 */
#include "shards/options.h"

#define PLANNED(field, other)                                                                                \
    {                                                                                                        \
        .name = field, .aliases = other, .kind = OPTION_NOT_BUILT                                            \
    }
#define PLANNED_FLAG(names, value)                                                                           \
    {                                                                                                        \
        .kind = OPTION_NOT_BUILT, .flags = names, .argument = value                                          \
    }
#define IGNORED(field)                                                                                       \
    {                                                                                                        \
        .name = field, .kind = OPTION_IGNORED                                                                \
    }

static const struct option rows[] = {
    PLANNED("feature_flags", NULL),
    PLANNED("proxy_protocol", NULL),
    PLANNED("prof_port", NULL),
    PLANNED("disable_sublist_cache", "no_sublist_cache"),
    PLANNED("operator", "operators root roots root_operator root_operators"),
    PLANNED("trusted_keys", "trusted"),
    PLANNED("resolver", "account_resolver accounts_resolver"),
    PLANNED("resolver_tls", NULL),
    PLANNED("resolver_preload", NULL),
    PLANNED("resolver_pinned_accounts", NULL),
    PLANNED("default_sentinel", NULL),
    PLANNED("default_js_domain", NULL),
    PLANNED("jetstream", NULL),
    PLANNED("leafnodes", "leaf"),
    PLANNED("websocket", "ws"),
    PLANNED("mqtt", NULL),
    PLANNED_FLAG("js jetstream", NULL),
    PLANNED_FLAG("profile", "<port>"),
    IGNORED("prof_block_rate"), /* of Go's profiler */
};

const struct option *planned_option_rows(size_t *count)
{
    *count = COUNT_OF(rows);
    return rows;
}
