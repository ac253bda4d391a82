/* shards/monitor_rows.c - the rows of the monitoring port (spec/configuration.md 4.2). A reload changes none
 * of them. */
#include "shards/options.h"

enum { PORT_MAX = 65535 };

static void parse_http(void *target, const struct config_entry *entry, struct arena *arena,
                       struct option_errors *errors)
{
    struct server_options *options = target;
    option_read_address(&options->http_host, &options->http_port, entry, arena, errors);
}

static void parse_https(void *target, const struct config_entry *entry, struct arena *arena,
                        struct option_errors *errors)
{
    struct server_options *options = target;
    option_read_address(&options->http_host, &options->https_port, entry, arena, errors);
}

static void compare_host(const void *old, const void *new, struct option_changes *changes)
{
    const struct server_options *before = old, *after = new;
    const char *was = before->http_host == NULL ? "" : before->http_host;
    const char *is = after->http_host == NULL ? "" : after->http_host;
    if (strcmp(was, is) != 0 && changes->refusal.count == 0)
        config_text_add(&changes->refusal, "config reload not supported for HTTPHost: old=%s, new=%s", was,
                        is);
}

#define FIELD(field) INTO(struct server_options, field)

static const struct option rows[] = {
    {.name = "http",
     .kind = OPTION_CUSTOM,
     .reload = RELOAD_NEVER,
     .parse = parse_http,
     .compare = compare_host}, /* of `https` too: they share it */
    {.name = "http_port",
     .aliases = "monitor_port",
     .kind = OPTION_INTEGER,
     .offset = FIELD(http_port),
     .fallback = "0",
     .least = -1,
     .most = PORT_MAX,
     .reload = RELOAD_NEVER,
     .internal = "HTTPPort",
     .section = SECTION_SERVER,
     .flags = "m http_port",
     .argument = "<port>",
     .help = "Port for monitoring over HTTP; -1: any free one"},
    {.name = "https", .kind = OPTION_CUSTOM, .reload = RELOAD_FREE, .parse = parse_https},
    {.name = "https_port",
     .kind = OPTION_INTEGER,
     .offset = FIELD(https_port),
     .fallback = "0",
     .least = -1,
     .most = PORT_MAX,
     .reload = RELOAD_NEVER,
     .internal = "HTTPSPort",
     .section = SECTION_SERVER,
     .flags = "ms https_port",
     .argument = "<port>",
     .help = "Port for monitoring over HTTPS; -1: any free one"},
    {.name = "http_base_path",
     .kind = OPTION_TEXT,
     .offset = FIELD(http_base_path),
     .reload = RELOAD_NEVER,
     .internal = "HTTPBasePath"},
};

const struct option *monitor_option_rows(size_t *count)
{
    *count = COUNT_OF(rows);
    return rows;
}
