/* net/gateway_options.c - the rows of the `gateway` block and its sentences (spec/gateways.md 3). */
#include "net/gateway_options.h"

#include "net/options.h"
#include "net/url_shown.h"

#include <strings.h>

enum { PORT_MAX = 65535 };
#define AUTHENTICATION_TIMEOUT_NS (2 * INT64_C(1000000000))
#define PING_INTERVAL_MOST_NS (15 * INT64_C(1000000000))
#define TLS_MORE_NS INT64_C(1000000000) /* to log in, when the handshake has taken its time */

#define FIELD(field) INTO(struct gateway_options, field)

/* ---- the block ---- */

static void parse_listen(void *target, const struct config_entry *entry, struct arena *arena,
                         struct option_errors *errors)
{
    struct gateway_options *options = target;
    cluster_listen_parse(&options->host, &options->port, entry, arena, errors);
}

static void parse_name(void *target, const struct config_entry *entry, struct arena *arena,
                       struct option_errors *errors)
{
    struct gateway_options *options = target;
    struct bytes name = {0};
    option_read_string(&name, entry, arena, errors);
    options->name = name.count == 0 ? NULL : (const char *)name.data;
    if (name.count > 0 && memchr(name.data, ' ', name.count) != NULL)
        option_fail(errors, entry->position, "gateway name cannot contain spaces");
}

static void parse_timeout(void *target, const struct config_entry *entry, struct arena *arena,
                          struct option_errors *errors)
{
    (void)arena;
    struct gateway_options *options = target;
    cluster_timeout_parse(&options->authentication_timeout_ns, entry, errors);
}

static void refuse_users(void *target, const struct config_entry *entry, struct arena *arena,
                         struct option_errors *errors)
{
    (void)target, (void)arena;
    option_fail(errors, entry->position, "Gateway authorization does not allow multiple users");
}

static void refuse_token(void *target, const struct config_entry *entry, struct arena *arena,
                         struct option_errors *errors)
{
    (void)target, (void)arena;
    option_fail(errors, entry->position, "Gateway authorization does not support tokens");
}

static void refuse_callout(void *target, const struct config_entry *entry, struct arena *arena,
                           struct option_errors *errors)
{
    (void)target, (void)arena;
    option_fail(errors, entry->position, "Gateway authorization does not support callouts");
}

static const struct option authorization_rows[] = {
    {.name = "user", .aliases = "username", .kind = OPTION_STRING, .offset = FIELD(user)},
    {.name = "password", .aliases = "pass", .kind = OPTION_STRING, .offset = FIELD(password)},
    {.name = "timeout", .kind = OPTION_CUSTOM, .parse = parse_timeout},
    {.name = "users", .kind = OPTION_CUSTOM, .parse = refuse_users},
    {.name = "token", .kind = OPTION_CUSTOM, .parse = refuse_token},
    {.name = "auth_callout", .aliases = "auth_hook", .kind = OPTION_CUSTOM, .parse = refuse_callout},
};

static void parse_authorization(void *target, const struct config_entry *entry, struct arena *arena,
                                struct option_errors *errors)
{
    if (option_want(errors, entry, CONFIG_MAP))
        option_map_apply(authorization_rows, COUNT_OF(authorization_rows), target, entry->value, arena,
                         errors);
}

static void parse_tls(void *target, const struct config_entry *entry, struct arena *arena,
                      struct option_errors *errors)
{
    struct gateway_options *options = target;
    tls_options_parse(&options->tls, TLS_FOR_GATEWAY, entry, arena, errors);
}

/* ---- the list of remote clusters ---- */

#define REMOTE(field) INTO(struct gateway_remote_options, field)

static void url_add(struct gateway_remote_options *remote, struct route_url *urls,
                    const struct config_entry *item, struct arena *arena, struct option_errors *errors)
{
    struct route_url url;
    if (!option_want(errors, item, CONFIG_STRING))
        return;
    if (!route_url_parse(item->value->string, arena, &url)) {
        option_fail(errors, item->position, "error parsing gateway url [\"%s\"]",
                    url_shown(item->value->string).text);
        return;
    }
    for (uint32_t i = 0; i < remote->url_count; i++) {
        if (urls[i].port == url.port && strcmp(urls[i].host, url.host) == 0) {
            option_warn(errors, item->position, url.text, "Duplicate gateway entry detected");
            return;
        }
    }
    urls[remote->url_count++] = url;
}

static void parse_urls(void *target, const struct config_entry *entry, struct arena *arena,
                       struct option_errors *errors)
{
    struct gateway_remote_options *remote = target;
    uint32_t count = 1;
    bool list = entry->value->kind == CONFIG_ARRAY;
    for (const struct config_entry *item = list ? entry->value->entries.first : NULL; item != NULL;
         item = item->next)
        count++;
    struct route_url *urls = arena_new(arena, count * sizeof *urls);
    if (urls == NULL) {
        option_fail(errors, entry->position, "out of memory");
        return;
    }
    remote->url_count = 0;
    remote->urls = urls;
    if (!list)
        url_add(remote, urls, entry, arena, errors);
    for (const struct config_entry *item = list ? entry->value->entries.first : NULL; item != NULL;
         item = item->next)
        url_add(remote, urls, item, arena, errors);
}

static void parse_remote_tls(void *target, const struct config_entry *entry, struct arena *arena,
                             struct option_errors *errors)
{
    struct gateway_remote_options *remote = target;
    tls_options_parse(&remote->tls, TLS_FOR_REMOTE, entry, arena, errors);
}

static const struct option remote_rows[] = {
    {.name = "name", .kind = OPTION_TEXT, .offset = REMOTE(name)},
    {.name = "url", .aliases = "urls", .kind = OPTION_CUSTOM, .parse = parse_urls},
    {.name = "tls", .kind = OPTION_CUSTOM, .parse = parse_remote_tls},
};

static void parse_remotes(void *target, const struct config_entry *entry, struct arena *arena,
                          struct option_errors *errors)
{
    struct gateway_options *options = target;
    uint32_t count = 1;
    if (entry->value->kind != CONFIG_ARRAY) {
        option_fail(errors, entry->position, "Expected gateways field to be an array, got %s",
                    config_type_name(entry->value));
        return;
    }
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next)
        count++;
    options->remote_count = 0;
    options->remotes = arena_new(arena, count * sizeof *options->remotes);
    if (options->remotes == NULL) {
        option_fail(errors, entry->position, "out of memory");
        return;
    }
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next) {
        if (item->value->kind != CONFIG_MAP)
            option_fail(errors, item->position, "Expected gateway entry to be a map/struct, got %s",
                        config_type_name(item->value));
        else
            option_map_apply(remote_rows, COUNT_OF(remote_rows), &options->remotes[options->remote_count++],
                             item->value, arena, errors);
    }
}

static const struct option block_rows[] = {
    {.name = "name", .kind = OPTION_CUSTOM, .parse = parse_name},
    {.name = "listen", .kind = OPTION_CUSTOM, .parse = parse_listen},
    {.name = "host", .aliases = "net", .kind = OPTION_TEXT, .offset = FIELD(host)},
    {.name = "port", .kind = OPTION_INTEGER, .offset = FIELD(port), .least = -1, .most = PORT_MAX},
    {.name = "authorization",
     .aliases = "authentication",
     .kind = OPTION_CUSTOM,
     .parse = parse_authorization},
    {.name = "tls", .kind = OPTION_CUSTOM, .parse = parse_tls},
    {.name = "advertise", .kind = OPTION_TEXT, .offset = FIELD(advertise)},
    {.name = "connect_retries",
     .kind = OPTION_INTEGER,
     .offset = FIELD(connect_retries),
     .least = INT32_MIN,
     .most = INT32_MAX},
    {.name = "connect_backoff", .kind = OPTION_BOOL, .offset = FIELD(connect_backoff)},
    {.name = "gateways", .kind = OPTION_CUSTOM, .parse = parse_remotes},
    {.name = "reject_unknown",
     .aliases = "reject_unknown_cluster",
     .kind = OPTION_BOOL,
     .offset = FIELD(reject_unknown)},
    {.name = "ping_interval",
     .kind = OPTION_DURATION,
     .offset = FIELD(ping_interval_ns),
     .least = 0,
     .most = INT64_MAX},
    {.name = "ping_max", .kind = OPTION_INTEGER, .offset = FIELD(ping_max), .least = 0, .most = UINT8_MAX},
    {.name = "write_deadline",
     .kind = OPTION_DURATION,
     .offset = FIELD(write_deadline_ns),
     .least = 0,
     .most = INT64_MAX},
    {.name = "write_timeout",
     .kind = OPTION_WORD,
     .offset = FIELD(write_timeout),
     .words = write_timeout_words},
};

static void parse_gateway(void *target, const struct config_entry *entry, struct arena *arena,
                          struct option_errors *errors)
{
    struct gateway_options *options = target;
    options->given = true;
    if (entry->value->kind != CONFIG_MAP) {
        option_fail(errors, entry->position, "Expected gateway to be a map, got %s",
                    config_type_name(entry->value));
        return;
    }
    option_map_apply(block_rows, COUNT_OF(block_rows), options, entry->value, arena, errors);
    if (options->ping_interval_ns > PING_INTERVAL_MOST_NS) {
        option_warn(errors, entry->position, "ping_interval",
                    "Gateway 'ping_interval' will reset to 15s which is the max for gateways");
        options->ping_interval_ns = PING_INTERVAL_MOST_NS;
    }
}

/* ---- reload: certificates change, for new handshakes, and nothing else, as in nats-server ---- */

static bool texts_equal(const char *a, const char *b)
{
    return strcmp(a == NULL ? "" : a, b == NULL ? "" : b) == 0;
}

static bool tls_equal(const struct tls_options *a, const struct tls_options *b)
{
    return a->on == b->on && a->known_urls == b->known_urls && a->map == b->map &&
           tls_options_timeout_ns(a) == tls_options_timeout_ns(b);
}

static bool remote_equal(const struct gateway_remote_options *a, const struct gateway_remote_options *b)
{
    bool equal = texts_equal(a->name, b->name) && a->url_count == b->url_count && tls_equal(&a->tls, &b->tls);
    for (uint32_t i = 0; equal && i < a->url_count; i++)
        equal = texts_equal(a->urls[i].text, b->urls[i].text) &&
                bytes_equal(a->urls[i].user, b->urls[i].user) &&
                bytes_equal(a->urls[i].password, b->urls[i].password);
    return equal;
}

static bool block_equal(const struct gateway_options *a, const struct gateway_options *b)
{
    bool equal = a->given == b->given && texts_equal(a->name, b->name) && texts_equal(a->host, b->host) &&
                 a->port == b->port && texts_equal(a->advertise, b->advertise) &&
                 bytes_equal(a->user, b->user) && bytes_equal(a->password, b->password) &&
                 a->authentication_timeout_ns == b->authentication_timeout_ns &&
                 tls_equal(&a->tls, &b->tls) && a->remote_count == b->remote_count &&
                 a->reject_unknown == b->reject_unknown && a->connect_backoff == b->connect_backoff &&
                 a->connect_retries == b->connect_retries && a->ping_interval_ns == b->ping_interval_ns &&
                 a->ping_max == b->ping_max && a->write_deadline_ns == b->write_deadline_ns &&
                 a->write_timeout == b->write_timeout;
    for (uint32_t i = 0; equal && i < a->remote_count; i++)
        equal = remote_equal(&a->remotes[i], &b->remotes[i]);
    return equal;
}

static void compare_gateway(const void *old, const void *new, struct option_changes *changes)
{
    const struct gateway_options *before = old, *after = new;
    if (changes->refusal.count == 0 && !block_equal(before, after))
        config_text_add(&changes->refusal, "config reload not supported for Gateway");
}

void gateway_options_inherit(struct gateway_options *options, const struct gateway_options *before)
{
    for (uint32_t i = 0; i < before->remote_count && i < options->remote_count; i++) {
        for (uint32_t j = i + 1; j < options->remote_count; j++) {
            struct gateway_remote_options here = options->remotes[i];
            if (!texts_equal(options->remotes[j].name, before->remotes[i].name) ||
                texts_equal(here.name, before->remotes[i].name))
                continue;
            options->remotes[i] = options->remotes[j];
            options->remotes[j] = here;
        }
    }
}

/* ---- between options ---- */

bool gateway_options_finish(struct gateway_options *options, struct cluster_options *cluster,
                            struct config_text *why)
{
    if (!options->given)
        return true;
    if (options->name == NULL) {
        config_text_add(why, "gateway has no name");
        return false;
    }
    if (options->port == 0) {
        config_text_add(why, "gateway \"%s\" has no port specified (select -1 for random port)",
                        options->name);
        return false;
    }
    for (uint32_t i = 0; i < options->remote_count; i++) {
        const struct gateway_remote_options *remote = &options->remotes[i];
        if (remote->name == NULL || remote->name[0] == 0)
            config_text_add(why, "gateway in the list %u has no name", i);
        else if (remote->url_count == 0)
            config_text_add(why, "gateway \"%s\" has no URL", remote->name);
        else
            continue;
        return false;
    }
    if (cluster->name != NULL && strcmp(cluster->name, options->name) != 0) {
        config_text_add(why, "cluster name conflicts between cluster and gateway definitions");
        return false;
    }
    cluster->name = options->name;
    if (options->authentication_timeout_ns == 0)
        options->authentication_timeout_ns =
            options->tls.on ? tls_options_timeout_ns(&options->tls) + TLS_MORE_NS : AUTHENTICATION_TIMEOUT_NS;
    return true;
}

void gateway_options_close(struct gateway_options *options)
{
    tls_options_close(&options->tls);
    for (uint32_t i = 0; i < options->remote_count; i++)
        tls_options_close(&options->remotes[i].tls);
}

const struct tls_options *gateway_options_tls(const struct gateway_options *options,
                                              const struct gateway_remote_options *remote)
{
    return remote != NULL && remote->tls.on ? &remote->tls : &options->tls;
}

static const struct option rows[] = {
    {.name = "gateway",
     .kind = OPTION_CUSTOM,
     .reload = RELOAD_FREE,
     .parse = parse_gateway,
     .compare = compare_gateway},
};

const struct option *gateway_option_rows(size_t *count)
{
    *count = COUNT_OF(rows);
    return rows;
}
