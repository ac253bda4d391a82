/* net/cluster_options.c - the rows of the `cluster` block (configuration.md 4.9), its sentences (3.3) and its
 * flags. */
#include "net/cluster_options.h"

#include "core/config/duration.h"
#include "net/cluster_changes.h"
#include "net/cluster_permissions.h"
#include "net/options.h"
#include "net/url_shown.h"

#include <stdio.h>
#include <stdlib.h>

enum { PORT_MAX = 65535 };
#define AUTHENTICATION_TIMEOUT_NS (2 * INT64_C(1000000000))
#define TLS_MORE_NS INT64_C(1000000000) /* to log in, when the handshake has taken its time */
#define PING_INTERVAL_MOST_NS (30 * INT64_C(1000000000))

#define FIELD(field) INTO(struct cluster_options, field)

/* ---- addresses ---- */

static bool port_parse(struct bytes digits, int64_t least, int64_t *port)
{
    char text[8] = "";
    char *end = NULL;
    if (digits.count == 0 || digits.count >= sizeof text)
        return false;
    memcpy(text, digits.data, digits.count);
    long value = strtol(text, &end, 10);
    if (*end != 0 || text[0] == '+' || text[0] == ' ' || value < least || value > PORT_MAX)
        return false;
    *port = value;
    return true;
}

bool cluster_address_split(struct bytes address, struct arena *arena, const char **host, int64_t *port)
{
    struct bytes name = address;
    const uint8_t *end = address.data + address.count;
    const uint8_t *colon = address.count == 0 ? NULL : memrchr(address.data, ':', address.count);
    if (address.count > 0 && address.data[0] == '[') {
        const uint8_t *bracket = memchr(address.data, ']', address.count);
        if (bracket == NULL || (bracket + 1 != end && bracket + 1 != colon))
            return false;
        name = bytes_of(address.data + 1, (size_t)(bracket - address.data) - 1);
        if (bracket + 1 == end)
            colon = NULL;
    } else if (colon != NULL) {
        name = bytes_of(address.data, (size_t)(colon - address.data));
        if (memchr(name.data, ':', name.count) != NULL)
            return false;
    }
    if (colon != NULL && !port_parse(bytes_of(colon + 1, (size_t)(end - colon) - 1), -1, port))
        return false;
    *host = arena_copy(arena, name);
    return *host != NULL;
}

bool route_url_parse(struct bytes whole, struct arena *arena, struct route_url *url)
{
    const uint8_t *scheme_end = whole.count < 3 ? NULL : memmem(whole.data, whole.count, "://", 3);
    char shown[512]; /* a longer one is cut: it is for people, and for telling two apart */
    int64_t port = 0;
    if (scheme_end == NULL || !url_is_scheme(bytes_of(whole.data, (size_t)(scheme_end - whole.data))))
        return false; /* no scheme with a login in it either: it would be shown */
    *url = (struct route_url){0};
    struct bytes rest = bytes_of(scheme_end + 3, whole.count - (size_t)(scheme_end + 3 - whole.data));
    const uint8_t *slash = rest.count == 0 ? NULL : memchr(rest.data, '/', rest.count);
    if (slash != NULL)
        rest.count = (size_t)(slash - rest.data);
    const uint8_t *at = rest.count == 0 ? NULL : memrchr(rest.data, '@', rest.count);
    if (at != NULL) {
        struct bytes login = bytes_of(rest.data, (size_t)(at - rest.data));
        const uint8_t *colon = login.count == 0 ? NULL : memchr(login.data, ':', login.count);
        struct bytes user = colon == NULL ? login : bytes_of(login.data, (size_t)(colon - login.data));
        struct bytes password =
            colon == NULL ? (struct bytes){0} : bytes_of(colon + 1, login.count - user.count - 1);
        url->user = bytes_of(arena_copy(arena, user), user.count);
        url->password = bytes_of(arena_copy(arena, password), password.count);
        if (url->user.data == NULL || url->password.data == NULL)
            return false;
        rest = bytes_of(at + 1, rest.count - login.count - 1);
    }
    if (!cluster_address_split(rest, arena, &url->host, &port) || port <= 0)
        return false;
    url->port = (uint16_t)port;
    snprintf(shown, sizeof shown, "%.*s://%.*s", (int)(scheme_end - whole.data), (const char *)whole.data,
             BYTES_PRINTF(rest));
    url->text = arena_copy(arena, text(shown));
    return url->text != NULL;
}

/* ---- the block ---- */

void cluster_listen_parse(const char **host, int64_t *port, const struct config_entry *entry,
                          struct arena *arena, struct option_errors *errors)
{
    const struct config_value *value = entry->value;
    if (value->kind == CONFIG_INTEGER) {
        *host = NULL;
        *port = value->integer;
        if (*port < -1 || *port > PORT_MAX)
            option_fail(errors, entry->position, "port must be from -1 to %d, not %lld", PORT_MAX,
                        (long long)value->integer);
    } else if (value->kind != CONFIG_STRING) {
        option_fail(errors, entry->position, "expected port or host:port, got %s", config_type_name(value));
    } else if (memchr(value->string.data, ':', value->string.count) == NULL ||
               !cluster_address_split(value->string, arena, host, port)) {
        option_fail(errors, entry->position, "could not parse address string \"%s\"",
                    url_shown(value->string).text);
    }
}

static void parse_listen(void *target, const struct config_entry *entry, struct arena *arena,
                         struct option_errors *errors)
{
    struct cluster_options *options = target;
    cluster_listen_parse(&options->host, &options->port, entry, arena, errors);
}

static void parse_name(void *target, const struct config_entry *entry, struct arena *arena,
                       struct option_errors *errors)
{
    struct cluster_options *options = target;
    struct bytes name = {0};
    option_read_string(&name, entry, arena, errors);
    options->name = name.count == 0 ? NULL : (const char *)name.data;
    if (name.count > 0 && memchr(name.data, ' ', name.count) != NULL)
        option_fail(errors, entry->position, "cluster name cannot contain spaces");
}

/* What `authorization` says that a cluster can have. */
void cluster_timeout_parse(int64_t *timeout_ns, const struct config_entry *entry,
                           struct option_errors *errors)
{
    const struct config_value *value = entry->value;
    char why[128];
    if (value->kind == CONFIG_STRING) {
        if (!duration_parse(value->string, timeout_ns, why, sizeof why))
            option_fail(errors, entry->position, "error parsing authorization config, 'timeout' %s", why);
        return;
    }
    double seconds = value->kind == CONFIG_INTEGER ? (double)value->integer : value->number;
    if (value->kind != CONFIG_INTEGER && value->kind != CONFIG_FLOAT)
        option_fail(errors, entry->position, "error parsing authorization config, 'timeout' wrong type");
    else if (seconds < 0 || seconds > 9e9)
        option_fail(errors, entry->position, "timeout must be from 0 to 9000000000 seconds");
    else
        *timeout_ns = (int64_t)(seconds * 1e9);
}

static void parse_timeout(void *target, const struct config_entry *entry, struct arena *arena,
                          struct option_errors *errors)
{
    (void)arena;
    struct cluster_options *options = target;
    cluster_timeout_parse(&options->authentication_timeout_ns, entry, errors);
}

static void refuse_users(void *target, const struct config_entry *entry, struct arena *arena,
                         struct option_errors *errors)
{
    (void)target, (void)arena;
    option_fail(errors, entry->position, "Cluster authorization does not allow multiple users");
}

static void refuse_token(void *target, const struct config_entry *entry, struct arena *arena,
                         struct option_errors *errors)
{
    (void)target, (void)arena;
    option_fail(errors, entry->position, "Cluster authorization does not support tokens");
}

static void refuse_callout(void *target, const struct config_entry *entry, struct arena *arena,
                           struct option_errors *errors)
{
    (void)target, (void)arena;
    option_fail(errors, entry->position, "Cluster authorization does not support callouts");
}

static void parse_permissions(void *target, const struct config_entry *entry, struct arena *arena,
                              struct option_errors *errors)
{
    cluster_permissions_parse(target, entry, arena, errors);
}

/* Where it stood once. */
static void parse_old_permissions(void *target, const struct config_entry *entry, struct arena *arena,
                                  struct option_errors *errors)
{
    option_warn(errors, entry->position, "permissions",
                "setting \"permissions\" within cluster authorization block is deprecated");
    parse_permissions(target, entry, arena, errors);
}

static const struct option authorization_rows[] = {
    {.name = "user", .aliases = "username", .kind = OPTION_STRING, .offset = FIELD(user)},
    {.name = "password", .aliases = "pass", .kind = OPTION_STRING, .offset = FIELD(password)},
    {.name = "timeout", .kind = OPTION_CUSTOM, .parse = parse_timeout},
    {.name = "users", .kind = OPTION_CUSTOM, .parse = refuse_users},
    {.name = "token", .kind = OPTION_CUSTOM, .parse = refuse_token},
    {.name = "auth_callout", .aliases = "auth_hook", .kind = OPTION_CUSTOM, .parse = refuse_callout},
    {.name = "permissions", .kind = OPTION_CUSTOM, .parse = parse_old_permissions},
};

static void parse_authorization(void *target, const struct config_entry *entry, struct arena *arena,
                                struct option_errors *errors)
{
    if (option_want(errors, entry, CONFIG_MAP))
        option_map_apply(authorization_rows, COUNT_OF(authorization_rows), target, entry->value, arena,
                         errors);
}

static bool route_known(const struct route_url *routes, uint32_t count, const struct route_url *url)
{
    for (uint32_t i = 0; i < count; i++) {
        if (routes[i].port == url->port && strcmp(routes[i].host, url->host) == 0)
            return true;
    }
    return false;
}

static void parse_routes(void *target, const struct config_entry *entry, struct arena *arena,
                         struct option_errors *errors)
{
    struct cluster_options *options = target;
    uint32_t count = 0;
    if (!option_want(errors, entry, CONFIG_ARRAY))
        return;
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next)
        count++;
    struct route_url *routes = arena_new(arena, (count + 1) * sizeof *routes);
    if (routes == NULL) {
        option_fail(errors, entry->position, "out of memory");
        return;
    }
    options->route_count = 0;
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next) {
        struct route_url url;
        if (!option_want(errors, item, CONFIG_STRING))
            continue;
        if (!route_url_parse(item->value->string, arena, &url))
            option_fail(errors, item->position, "error parsing route url [\"%s\"]",
                        url_shown(item->value->string).text);
        else if (route_known(routes, options->route_count, &url))
            option_warn(errors, item->position, url.text, "Duplicate route entry detected");
        else
            routes[options->route_count++] = url;
    }
    options->routes = routes;
}

static void parse_compression(void *target, const struct config_entry *entry, struct arena *arena,
                              struct option_errors *errors)
{
    route_compression_parse(&((struct cluster_options *)target)->compression, entry, arena, errors);
}

static void parse_pool_size(void *target, const struct config_entry *entry, struct arena *arena,
                            struct option_errors *errors)
{
    cluster_pool_size_parse(&((struct cluster_options *)target)->pool, entry, arena, errors);
}

static void parse_accounts(void *target, const struct config_entry *entry, struct arena *arena,
                           struct option_errors *errors)
{
    cluster_pool_accounts_parse(&((struct cluster_options *)target)->pool, entry, arena, errors);
}

static void parse_tls(void *target, const struct config_entry *entry, struct arena *arena,
                      struct option_errors *errors)
{
    struct cluster_options *options = target;
    tls_options_parse(&options->tls, TLS_FOR_CLUSTER, entry, arena, errors);
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
    {.name = "routes", .kind = OPTION_CUSTOM, .parse = parse_routes},
    {.name = "advertise", .aliases = "cluster_advertise", .kind = OPTION_TEXT, .offset = FIELD(advertise)},
    {.name = "no_advertise", .kind = OPTION_BOOL, .offset = FIELD(no_advertise)},
    {.name = "connect_retries",
     .kind = OPTION_INTEGER,
     .offset = FIELD(connect_retries),
     .least = 0,
     .most = INT32_MAX},
    {.name = "connect_backoff", .kind = OPTION_BOOL, .offset = FIELD(connect_backoff)},
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
    {.name = "compression", .kind = OPTION_CUSTOM, .parse = parse_compression},
    {.name = "pool_size", .kind = OPTION_CUSTOM, .parse = parse_pool_size},
    {.name = "accounts", .kind = OPTION_CUSTOM, .parse = parse_accounts},
    {.name = "permissions", .kind = OPTION_CUSTOM, .parse = parse_permissions},
    {.name = "tls", .kind = OPTION_CUSTOM, .parse = parse_tls},
};

static void parse_cluster(void *target, const struct config_entry *entry, struct arena *arena,
                          struct option_errors *errors)
{
    struct cluster_options *options = target;
    if (entry->value->kind != CONFIG_MAP) {
        option_fail(errors, entry->position, "Expected map to define cluster, got %s",
                    config_type_name(entry->value));
        return;
    }
    option_map_apply(block_rows, COUNT_OF(block_rows), options, entry->value, arena, errors);
    if (options->ping_interval_ns > PING_INTERVAL_MOST_NS) {
        option_warn(errors, entry->position, "ping_interval",
                    "Cluster 'ping_interval' will reset to 30s which is the max for routes");
        options->ping_interval_ns = PING_INTERVAL_MOST_NS;
    }
}

/* ---- flags ---- */

/* `--cluster`: an URL, by which the listener is set and a login replaces that of the file. */
static bool apply_listen_flag(struct cluster_options *options, struct arena *arena, struct config_text *why)
{
    struct bytes given = text(options->listen_flag);
    int64_t port = 0;
    options->port = 0;
    if (given.count == 0)
        return true;
    const char *scheme_end = strstr(options->listen_flag, "://");
    if (scheme_end == NULL) {
        config_text_add(why, "parse \"%s\": first path segment in URL cannot contain colon",
                        url_shown(given).text);
        return false;
    }
    struct bytes rest = text(scheme_end + 3);
    const uint8_t *at = rest.count == 0 ? NULL : memrchr(rest.data, '@', rest.count);
    options->user = options->password = (struct bytes){0};
    if (at != NULL) {
        struct bytes login = bytes_of(rest.data, (size_t)(at - rest.data));
        const uint8_t *colon = login.count == 0 ? NULL : memchr(login.data, ':', login.count);
        if (colon == NULL) {
            config_text_add(why, "expected cluster password to be set");
            return false;
        }
        options->user = bytes_of(login.data, (size_t)(colon - login.data));
        options->password = bytes_of(colon + 1, login.count - options->user.count - 1);
        rest = bytes_of(at + 1, rest.count - login.count - 1);
    }
    if (rest.count > 0 && rest.data[rest.count - 1] == '/')
        rest.count--;
    if (!cluster_address_split(rest, arena, &options->host, &port) || port == 0) {
        config_text_add(why, "address %s: missing port in address", url_shown(rest).text);
        return false;
    }
    options->port = port;
    return true;
}

static struct bytes trimmed(struct bytes item)
{
    while (item.count > 0 && item.data[0] == ' ')
        item = bytes_of(item.data + 1, item.count - 1);
    while (item.count > 0 && item.data[item.count - 1] == ' ')
        item.count--;
    return item;
}

/* `--routes`: URLs behind each other, in place of the file's. */
static bool apply_routes_flag(struct cluster_options *options, struct arena *arena, struct config_text *why)
{
    uint32_t most = 1;
    for (const char *at = options->routes_flag; *at != 0; at++)
        most += *at == ',';
    struct route_url *routes = arena_new(arena, most * sizeof *routes);
    options->route_count = 0;
    options->routes = routes;
    for (const char *at = options->routes_flag; routes != NULL && *at != 0;) {
        const char *end = strchrnul(at, ',');
        struct bytes item = trimmed(bytes_of(at, (size_t)(end - at)));
        struct route_url *url = &routes[options->route_count];
        if (!route_url_parse(item, arena, url)) {
            config_text_add(why, "error parsing route url [\"%s\"]", url_shown(item).text);
            return false;
        }
        if (!route_known(routes, options->route_count, url))
            options->route_count++;
        at = *end == 0 ? end : end + 1;
    }
    return routes != NULL;
}

bool cluster_options_finish(struct cluster_options *options, struct arena *arena, struct config_text *why)
{
    if (options->authentication_timeout_ns == 0)
        options->authentication_timeout_ns =
            options->tls.on ? tls_options_timeout_ns(&options->tls) + TLS_MORE_NS : AUTHENTICATION_TIMEOUT_NS;
    if (options->name != NULL && options->name[0] == 0)
        options->name = NULL;
    if (options->name != NULL && strchr(options->name, ' ') != NULL) {
        config_text_add(why, "cluster name cannot contain spaces");
        return false;
    }
    if (options->listen_flag != NULL && !apply_listen_flag(options, arena, why))
        return false;
    if (options->routes_flag != NULL && !apply_routes_flag(options, arena, why))
        return false;
    if (options->route_count > 0 && options->port == 0) {
        config_text_add(why, "solicited routes require cluster capabilities, e.g. --cluster");
        return false;
    }
    return true;
}

static const struct option rows[] = {
    {.name = "cluster",
     .kind = OPTION_CUSTOM,
     .reload = RELOAD_FREE,
     .parse = parse_cluster,
     .compare = cluster_options_compare},
    {.kind = OPTION_TEXT,
     .offset = FIELD(routes_flag),
     .reload = RELOAD_FREE,
     .section = SECTION_CLUSTER,
     .flags = "routes",
     .argument = "<url-1,url-2>",
     .help = "Routes to solicit, in place of the file's"},
    {.kind = OPTION_TEXT,
     .offset = FIELD(listen_flag),
     .reload = RELOAD_FREE,
     .section = SECTION_CLUSTER,
     .flags = "cluster cluster_listen",
     .argument = "<url>",
     .help = "Where to listen for routes: nats://[user:password@]host:port"},
    {.kind = OPTION_TEXT,
     .offset = FIELD(name),
     .reload = RELOAD_FREE,
     .section = SECTION_CLUSTER,
     .flags = "cluster_name",
     .argument = "<name>",
     .help = "Name of the cluster (default: a random one)"},
    {.kind = OPTION_TEXT,
     .offset = FIELD(advertise),
     .reload = RELOAD_FREE,
     .section = SECTION_CLUSTER,
     .flags = "cluster_advertise",
     .argument = "<host[:port]>",
     .help = "Where other servers find this one's route port"},
    {.kind = OPTION_BOOL,
     .offset = FIELD(no_advertise),
     .reload = RELOAD_FREE,
     .section = SECTION_CLUSTER,
     .flags = "no_advertise",
     .help = "Do not tell clients of the cluster's servers"},
    {.kind = OPTION_INTEGER,
     .offset = FIELD(connect_retries),
     .least = 0,
     .most = INT32_MAX,
     .reload = RELOAD_FREE,
     .section = SECTION_CLUSTER,
     .flags = "connect_retries",
     .argument = "<count>",
     .help = "Further attempts to dial a server that another one told of"},
};

const struct option *cluster_option_rows(size_t *count)
{
    *count = COUNT_OF(rows);
    return rows;
}
