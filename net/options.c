/* net/options.c - the rows of the options that concern a client connection (configuration.md 4.2). */
#include "net/options.h"

#include "net/tls_context.h"

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

/* ---- TLS of the client port ---- */

static void parse_tls(void *target, const struct config_entry *entry, struct arena *arena,
                      struct option_errors *errors)
{
    struct net_options *options = target;
    tls_options_parse(&options->tls, TLS_FOR_CLIENTS, entry, arena, errors);
}

static void parse_ocsp(void *target, const struct config_entry *entry, struct arena *arena,
                       struct option_errors *errors)
{
    struct net_options *options = target;
    ocsp_options_parse(&options->ocsp, entry, arena, errors);
}

static void compare_ocsp(const void *old, const void *new, struct option_changes *changes)
{
    const struct net_options *before = old, *after = new;
    if (!ocsp_options_same(&before->ocsp, &after->ocsp))
        config_text_add(&changes->lines, "Reloaded: OCSP\n");
}

static void parse_ocsp_cache(void *target, const struct config_entry *entry, struct arena *arena,
                             struct option_errors *errors)
{
    struct net_options *options = target;
    ocsp_cache_options_parse(&options->ocsp_cache, entry, arena, errors);
}

static void compare_ocsp_cache(const void *old, const void *new, struct option_changes *changes)
{
    const struct net_options *before = old, *after = new;
    if (!ocsp_cache_options_same(&before->ocsp_cache, &after->ocsp_cache))
        config_text_add(&changes->lines, "Reloaded OCSP peer cache\n");
}

static void refuse(struct option_changes *changes, const char *name, int64_t before, int64_t after)
{
    if (before != after && changes->refusal.count == 0)
        config_text_add(&changes->refusal,
                        "config reload not supported for %s: old=%" PRId64 ", new=%" PRId64, name, before,
                        after);
}

static void refuse_bool(struct option_changes *changes, const char *name, bool before, bool after)
{
    if (before != after && changes->refusal.count == 0)
        config_text_add(&changes->refusal, "config reload not supported for %s: old=%s, new=%s", name,
                        before ? "true" : "false", after ? "true" : "false");
}

static void compare_tls(const void *old, const void *new, struct option_changes *changes)
{
    const struct tls_options *before = &((const struct net_options *)old)->tls;
    const struct tls_options *after = &((const struct net_options *)new)->tls;
    refuse_bool(changes, "TLSMap", before->map, after->map);
    refuse(changes, "TLSRateLimit", before->rate_limit, after->rate_limit);
    if (!tls_context_same(before->context, after->context) ||
        !ocsp_peer_same(&before->ocsp_peer, &after->ocsp_peer))
        config_text_add(&changes->lines, "Reloaded: tls = %s\n", after->on ? "enabled" : "disabled");
    if (tls_options_timeout_ns(before) != tls_options_timeout_ns(after))
        config_text_add(&changes->lines, "Reloaded: tls timeout = %g\n",
                        (double)tls_options_timeout_ns(after) / 1e9);
    if (!tls_options_same_pins(before, after))
        config_text_add(&changes->lines, "Reloaded: %" PRIu32 " pinned_certs\n", after->pin_count);
    if (before->first != after->first || before->first_wait_ns != after->first_wait_ns)
        config_text_add(&changes->lines, "Reloaded: Client TLS handshake first: %s\n",
                        after->first ? "true" : "false");
}

static void flag_tls(void *target, bool value)
{
    struct net_options *options = target;
    options->tls_flags.on = value;
    options->tls_flags.off = !value;
}

const char *const write_timeout_words[] = {[WRITE_TIMEOUT_DEFAULT] = "default",
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
    {.name = "ocsp",
     .kind = OPTION_CUSTOM,
     .reload = RELOAD_NOW,
     .parse = parse_ocsp,
     .compare = compare_ocsp},
    {.name = "ocsp_cache",
     .kind = OPTION_CUSTOM,
     .reload = RELOAD_NOW,
     .parse = parse_ocsp_cache,
     .compare = compare_ocsp_cache},
    {.name = "store_dir",
     .aliases = "storedir",
     .kind = OPTION_TEXT,
     .offset = INTO(struct net_options, store_dir),
     .reload = RELOAD_FREE,
     .section = SECTION_TLS,
     .flags = "sd store_dir",
     .argument = "<dir>",
     .help = "Where OCSP staples are remembered (default: nowhere)"},
    {.name = "no_header_support",
     .kind = OPTION_CUSTOM,
     .reload = RELOAD_NEVER,
     .parse = parse_no_header_support,
     .compare = compare_no_header_support},
    {.kind = OPTION_BOOL, .offset = INTO(struct net_options, headers), .fallback = "true"},
    {.name = "tls", .kind = OPTION_CUSTOM, .reload = RELOAD_NOW, .parse = parse_tls, .compare = compare_tls},
    {.name = "allow_non_tls",
     .kind = OPTION_BOOL,
     .offset = INTO(struct net_options, allow_non_tls),
     .reload = RELOAD_NEVER,
     .internal = "AllowNonTLS"},
    {.kind = OPTION_BOOL,
     .section = SECTION_TLS,
     .flags = "tls",
     .help = "Clients use TLS (default: false)",
     .flag = flag_tls},
    {.kind = OPTION_BOOL,
     .offset = INTO(struct net_options, tls_flags.verify),
     .section = SECTION_TLS,
     .flags = "tlsverify",
     .help = "They need a certificate too"},
    {.kind = OPTION_TEXT,
     .offset = INTO(struct net_options, tls_flags.cert_file),
     .section = SECTION_TLS,
     .flags = "tlscert",
     .argument = "<file>",
     .help = "Certificate of the server, with its chain (PEM)"},
    {.kind = OPTION_TEXT,
     .offset = INTO(struct net_options, tls_flags.key_file),
     .section = SECTION_TLS,
     .flags = "tlskey",
     .argument = "<file>",
     .help = "Private key of that certificate (PEM)"},
    {.kind = OPTION_TEXT,
     .offset = INTO(struct net_options, tls_flags.ca_file),
     .section = SECTION_TLS,
     .flags = "tlscacert",
     .argument = "<file>",
     .help = "Authorities that clients' certificates are checked by (PEM)"},
};

const struct option *net_option_rows(size_t *count)
{
    *count = COUNT_OF(rows);
    return rows;
}

/* Only certificates and trust come from the flags: the file's timeout, pins and the rest stay. */
static void lay_over(struct tls_options *tls, const struct tls_flags *flags, struct tls_pair *pair)
{
    *pair = (struct tls_pair){flags->cert_file, flags->key_file};
    tls->pairs = pair;
    tls->pair_count = 1;
    tls->ca_file = flags->ca_file;
    tls->suites = tls->groups = NULL;
    tls->tls13_only = tls->map = tls->verify_optional = tls->allow_insecure = false;
    tls->verify = flags->verify;
    tls->on = true;
}

static bool given(const char *path)
{
    return path != NULL && path[0] != 0;
}

bool net_options_finish(struct net_options *options, struct arena *arena, struct config_text *why)
{
    enum { REASON_BYTES = 1024 };
    const struct tls_flags *flags = &options->tls_flags;
    char reason[REASON_BYTES];
    bool others = given(flags->cert_file) || given(flags->key_file) || given(flags->ca_file) || flags->verify;
    if (flags->off && others) {
        config_text_add(why, "TLS is disabled by --tls=false, but another TLS flag asks for it");
        return false;
    }
    if (flags->off) {
        tls_options_close(&options->tls);
        options->tls = (struct tls_options){0};
    }
    if (flags->off || !(flags->on || others))
        return true;
    if (!given(flags->cert_file) || !given(flags->key_file)) {
        config_text_add(why, "TLS Server %s must be present and valid",
                        given(flags->cert_file) ? "private key" : "certificate");
        return false;
    }
    struct tls_pair *pair = arena_new(arena, sizeof *pair);
    if (pair == NULL) {
        config_text_add(why, "out of memory");
        return false;
    }
    lay_over(&options->tls, flags, pair);
    if (options->tls.ocsp_peer.verify && !options->tls.verify) {
        config_text_add(why, "%s", tls_ocsp_peer_wants_verify);
        return false;
    }
    if (tls_options_load(&options->tls, TLS_FOR_CLIENTS, reason, sizeof reason))
        return true;
    config_text_add(why, "%s", reason);
    return false;
}

void net_options_close(struct net_options *options)
{
    tls_options_close(&options->tls);
}

bool net_options_validate(const struct net_options *options, struct config_text *why)
{
    if (options->max_payload_bytes <= options->max_pending_bytes)
        return true;
    config_text_add(why, "max_payload (%" PRId64 ") cannot be higher than max_pending (%" PRId64 ")",
                    options->max_payload_bytes, options->max_pending_bytes);
    return false;
}
