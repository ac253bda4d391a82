/* shards/option_rows.c - the rows that belong to no module below: address, log, lame duck, engine. */
#include "shards/options.h"

#include "net/url_shown.h"
#include "shards/post.h"

#include <inttypes.h>
#include <stdlib.h>

enum { PORT_MAX = 65535 };

/* ---- custom values ---- */

static bool parse_port_text(struct bytes digits, int64_t *port)
{
    bool range;
    return config_integer_parse(digits, port, &range) && digits.data[digits.count - 1] <= '9';
}

void option_read_address(const char **host, int64_t *port, const struct config_entry *entry,
                         struct arena *arena, struct option_errors *errors)
{
    if (entry->value->kind == CONFIG_INTEGER) {
        *host = NULL;
        *port = entry->value->integer;
    } else if (entry->value->kind == CONFIG_STRING) {
        struct bytes address = entry->value->string;
        const uint8_t *colon = address.count == 0 ? NULL : memrchr(address.data, ':', address.count);
        struct bytes name = bytes_of(address.data, colon == NULL ? 0 : (size_t)(colon - address.data));
        bool brackets = name.count >= 2 && name.data[0] == '[' && name.data[name.count - 1] == ']';
        if (brackets)
            name = bytes_of(name.data + 1, name.count - 2);
        bool torn =
            !brackets && name.count > 0 &&
            (memchr(name.data, ':', name.count) != NULL || memchr(name.data, '[', name.count) != NULL);
        if (colon == NULL || torn) {
            option_fail(errors, entry->position, "could not parse address string \"%s\"",
                        url_shown(address).text);
            return;
        }
        struct bytes digits = bytes_of(colon + 1, address.count - (size_t)(colon + 1 - address.data));
        if (digits.count == 0 || !parse_port_text(digits, port)) {
            option_fail(errors, entry->position, "could not parse port \"%s\"", url_shown(digits).text);
            return;
        }
        *host = (const char *)option_copy(name, entry->position, arena, errors).data;
    } else {
        option_fail(errors, entry->position, "expected port or host:port, got %s",
                    config_type_name(entry->value));
        return;
    }
    if (*port < -1 || *port > PORT_MAX)
        option_fail(errors, entry->position, "port must be from -1 to %d, not %" PRId64, PORT_MAX, *port);
}

static void parse_listen(void *target, const struct config_entry *entry, struct arena *arena,
                         struct option_errors *errors)
{
    struct server_options *options = target;
    option_read_address(&options->host, &options->port, entry, arena, errors);
}

static void parse_server_name(void *target, const struct config_entry *entry, struct arena *arena,
                              struct option_errors *errors)
{
    struct server_options *options = target;
    struct bytes name = {0};
    option_read_string(&name, entry, arena, errors);
    options->server_name = (const char *)name.data;
    if (name.count > 0 && memchr(name.data, ' ', name.count) != NULL)
        option_fail(errors, entry->position, "server name cannot contain spaces");
}

static void parse_tags(void *target, const struct config_entry *entry, struct arena *arena,
                       struct option_errors *errors)
{
    struct server_options *options = target;
    const struct config_value *value = entry->value;
    if (value->kind != CONFIG_STRING && value->kind != CONFIG_ARRAY) {
        option_fail(errors, entry->position, "error parsing tags: unsupported type %s",
                    config_type_name(value));
        return;
    }
    /* A single tag is taken for a list of one. */
    struct config_entry one = *entry;
    one.next = NULL;
    const struct config_entry *first = value->kind == CONFIG_STRING ? &one : value->entries.first;
    uint32_t count = 0;
    for (const struct config_entry *item = first; item != NULL; item = item->next)
        count++;
    options->server_tag_count = 0;
    options->server_tags = arena_new(arena, count * sizeof(options->server_tags[0]));
    if (options->server_tags == NULL) {
        option_fail(errors, entry->position, "out of memory");
        return;
    }
    for (const struct config_entry *item = first; item != NULL; item = item->next) {
        if (item->value->kind != CONFIG_STRING)
            option_fail(errors, item->position, "error parsing tags: unsupported type in array %s",
                        config_type_name(item->value));
        else
            option_read_string(&options->server_tags[options->server_tag_count++], item, arena, errors);
    }
}

static int metadata_order(const void *a, const void *b)
{
    const struct server_metadata *one = a, *other = b;
    return strcmp(one->key, other->key);
}

static void parse_metadata(void *target, const struct config_entry *entry, struct arena *arena,
                           struct option_errors *errors)
{
    struct server_options *options = target;
    if (entry->value->kind != CONFIG_MAP) {
        option_fail(errors, entry->position, "error parsing metadata: unsupported type %s",
                    config_type_name(entry->value));
        return;
    }
    const struct config_entry *first = entry->value->entries.first;
    uint32_t count = 0;
    for (const struct config_entry *item = first; item != NULL; item = item->next)
        count++;
    options->metadata_count = 0;
    options->metadata = arena_new(arena, (count + 1) * sizeof options->metadata[0]);
    if (options->metadata == NULL) {
        option_fail(errors, entry->position, "out of memory");
        return;
    }
    for (const struct config_entry *item = first; item != NULL; item = item->next) {
        struct server_metadata *pair = &options->metadata[options->metadata_count++];
        struct bytes key = option_copy(item->key, item->position, arena, errors);
        pair->key = key.data == NULL ? "" : (const char *)key.data;
        option_read_string(&pair->value, item, arena, errors);
    }
    if (options->metadata_count > 0)
        qsort(options->metadata, options->metadata_count, sizeof options->metadata[0], metadata_order);
}

/* Sets `trace` to the same, as nats-server does. */
static void parse_trace_headers(void *target, const struct config_entry *entry, struct arena *arena,
                                struct option_errors *errors)
{
    (void)arena;
    struct server_options *options = target;
    if (option_want(errors, entry, CONFIG_BOOL))
        options->trace = options->net.trace_headers = entry->value->boolean;
}

/* Sets `trace` to the same, as nats-server does. */
static void parse_trace_verbose(void *target, const struct config_entry *entry, struct arena *arena,
                                struct option_errors *errors)
{
    (void)arena;
    struct server_options *options = target;
    if (option_want(errors, entry, CONFIG_BOOL))
        options->trace = options->trace_verbose = entry->value->boolean;
}

/* ---- what differs ---- */

static void compare_advertise(const void *old, const void *new, struct option_changes *changes)
{
    const struct server_options *before = old, *after = new;
    const char *was = before->client_advertise == NULL ? "" : before->client_advertise;
    const char *is = after->client_advertise == NULL ? "" : after->client_advertise;
    if (strcmp(was, is) != 0)
        config_text_add(&changes->lines, "Reload: client_advertise = %s\n", is);
}

static bool same_tags(const struct server_options *before, const struct server_options *after)
{
    bool same = before->server_tag_count == after->server_tag_count;
    for (uint32_t i = 0; same && i < after->server_tag_count; i++)
        same = bytes_equal(before->server_tags[i], after->server_tags[i]);
    return same;
}

static bool same_metadata(const struct server_options *before, const struct server_options *after)
{
    bool same = before->metadata_count == after->metadata_count;
    for (uint32_t i = 0; same && i < after->metadata_count; i++)
        same = strcmp(before->metadata[i].key, after->metadata[i].key) == 0 &&
               bytes_equal(before->metadata[i].value, after->metadata[i].value);
    return same;
}

static void compare_tags(const void *old, const void *new, struct option_changes *changes)
{
    if (!same_tags(old, new))
        config_text_add(&changes->lines, "Reloaded: tags\n");
}

static void compare_metadata(const void *old, const void *new, struct option_changes *changes)
{
    if (!same_metadata(old, new))
        config_text_add(&changes->lines, "Reloaded: metadata\n");
}

bool server_options_same_labels(const struct server_options *a, const struct server_options *b)
{
    return same_tags(a, b) && same_metadata(a, b);
}

/* ---- flags that stand for several ---- */

static void flag_debug_trace(void *target, bool value)
{
    struct server_options *options = target;
    options->debug = options->trace = value;
}

static void flag_trace_verbose(void *target, bool value)
{
    struct server_options *options = target;
    options->trace = options->trace_verbose = value;
}

static void flag_debug_trace_verbose(void *target, bool value)
{
    struct server_options *options = target;
    options->debug = options->trace = options->trace_verbose = value;
}

/* ---- the rows ---- */

#define FIELD(field) INTO(struct server_options, field)

static const struct option rows[] = {
    {.name = "client_advertise",
     .kind = OPTION_TEXT,
     .offset = FIELD(client_advertise),
     .reload = RELOAD_NOW,
     .section = SECTION_SERVER,
     .flags = "client_advertise",
     .argument = "<host[:port]>",
     .help = "Address that clients are told to use",
     .compare = compare_advertise},
    {.name = "listen", .kind = OPTION_CUSTOM, .reload = RELOAD_FREE, .parse = parse_listen},
    {.name = "host",
     .aliases = "net",
     .kind = OPTION_TEXT,
     .offset = FIELD(host),
     .fallback = "0.0.0.0",
     .reload = RELOAD_NEVER,
     .internal = "Host",
     .section = SECTION_SERVER,
     .flags = "a addr net",
     .argument = "<host>",
     .help = "Address to listen on"},
    {.name = "port",
     .kind = OPTION_INTEGER,
     .offset = FIELD(port),
     .fallback = "4222",
     .least = -1,
     .most = PORT_MAX,
     .reload = RELOAD_NEVER,
     .internal = "Port",
     .section = SECTION_SERVER,
     .flags = "p port",
     .argument = "<port>",
     .help = "Port for clients; -1: any free one"},
    {.name = "server_name",
     .parse = parse_server_name,
     .kind = OPTION_TEXT,
     .offset = FIELD(server_name),
     .reload = RELOAD_NEVER,
     .internal = "ServerName",
     .section = SECTION_SERVER,
     .flags = "n name server_name",
     .argument = "<name>",
     .help = "Name of the server (default: its id)"},
    {.name = "server_tags",
     .kind = OPTION_CUSTOM,
     .reload = RELOAD_NOW,
     .parse = parse_tags,
     .compare = compare_tags},
    {.name = "server_metadata",
     .kind = OPTION_CUSTOM,
     .reload = RELOAD_NOW,
     .parse = parse_metadata,
     .compare = compare_metadata},
    {.name = "trace",
     .kind = OPTION_BOOL,
     .offset = FIELD(trace),
     .reload = RELOAD_NOW,
     .section = SECTION_LOGGING,
     .flags = "V trace",
     .help = "Log the protocol"},
    {.name = "debug",
     .kind = OPTION_BOOL,
     .offset = FIELD(debug),
     .reload = RELOAD_NOW,
     .section = SECTION_LOGGING,
     .flags = "D debug",
     .help = "Log for debugging"},
    {.name = "trace_verbose",
     .kind = OPTION_BOOL,
     .offset = FIELD(trace_verbose),
     .reload = RELOAD_NOW,
     .parse = parse_trace_verbose},
    {.name = "trace_headers",
     .kind = OPTION_BOOL,
     .offset = FIELD(net.trace_headers),
     .reload = RELOAD_NOW,
     .parse = parse_trace_headers},
    {.kind = OPTION_BOOL,
     .section = SECTION_LOGGING,
     .flags = "VV",
     .help = "Log the protocol, the system account's too",
     .flag = flag_trace_verbose},
    {.kind = OPTION_BOOL,
     .section = SECTION_LOGGING,
     .flags = "DV",
     .help = "As -D -V",
     .flag = flag_debug_trace},
    {.kind = OPTION_BOOL,
     .section = SECTION_LOGGING,
     .flags = "DVV",
     .help = "As -D -VV",
     .flag = flag_debug_trace_verbose},
    {.name = "logtime",
     .kind = OPTION_BOOL,
     .offset = FIELD(logtime),
     .fallback = "true",
     .reload = RELOAD_NOW,
     .section = SECTION_LOGGING,
     .flags = "T logtime",
     .help = "Put the time on log lines"},
    {.name = "logtime_utc",
     .kind = OPTION_BOOL,
     .offset = FIELD(logtime_utc),
     .reload = RELOAD_NOW,
     .section = SECTION_LOGGING,
     .flags = "logtime_utc",
     .help = "The time in UTC instead of local time"},
    {.name = "log_file",
     .aliases = "logfile",
     .kind = OPTION_TEXT,
     .offset = FIELD(log_file),
     .reload = RELOAD_NOW,
     .section = SECTION_LOGGING,
     .flags = "l log",
     .argument = "<file>",
     .help = "Log to a file instead of stderr"},
    {.name = "log_size_limit",
     .aliases = "logfile_size_limit",
     .kind = OPTION_BYTES,
     .offset = FIELD(log_size_limit_bytes),
     .least = 0,
     .most = INT64_MAX,
     .reload = RELOAD_NEVER,
     .internal = "LogSizeLimit",
     .section = SECTION_LOGGING,
     .flags = "log_size_limit",
     .argument = "<bytes>",
     .help = "Start a new log file above this size (default: never)"},
    {.name = "log_max_num",
     .aliases = "logfile_max_num",
     .kind = OPTION_INTEGER,
     .offset = FIELD(log_files_max),
     .least = 0,
     .most = INT64_MAX,
     .reload = RELOAD_NEVER,
     .internal = "LogMaxFiles"},
    {.name = "syslog",
     .kind = OPTION_BOOL,
     .offset = FIELD(syslog),
     .reload = RELOAD_NOW,
     .section = SECTION_LOGGING,
     .flags = "s syslog",
     .help = "Log to the local syslog"},
    {.name = "remote_syslog",
     .kind = OPTION_TEXT,
     .offset = FIELD(remote_syslog),
     .reload = RELOAD_NOW,
     .section = SECTION_LOGGING,
     .flags = "r remote_syslog",
     .argument = "<url>",
     .help = "Log to a syslog server (udp://localhost:514)"},
    {.name = "pid_file",
     .aliases = "pidfile",
     .kind = OPTION_TEXT,
     .offset = FIELD(pid_file),
     .reload = RELOAD_NOW,
     .section = SECTION_SERVER,
     .flags = "P pid",
     .argument = "<file>",
     .help = "File for the process id"},
    {.name = "ports_file_dir",
     .kind = OPTION_TEXT,
     .offset = FIELD(ports_file_dir),
     .reload = RELOAD_NOW,
     .section = SECTION_SERVER,
     .flags = "ports_file_dir",
     .argument = "<dir>",
     .help = "Folder for a file that names the ports (<program>_<pid>.ports)"},
    {.name = "connect_error_reports",
     .kind = OPTION_INTEGER,
     .offset = FIELD(connect_error_reports),
     .fallback = "3600",
     .least = 0,
     .most = INT64_MAX,
     .reload = RELOAD_NOW},
    {.name = "reconnect_error_reports",
     .kind = OPTION_INTEGER,
     .offset = FIELD(reconnect_error_reports),
     .fallback = "1",
     .least = 0,
     .most = INT64_MAX,
     .reload = RELOAD_NOW},
    {.name = "lame_duck_duration",
     .kind = OPTION_DURATION_ONLY,
     .offset = FIELD(lame_duck_duration_ns),
     .fallback = "2m",
     .least = 30000000000,
     .most = INT64_MAX,
     .reload = RELOAD_NEVER,
     .internal = "LameDuckDuration",
     .too_small = "invalid NAME of VALUE, minimum is 30 seconds"},
    {.name = "lame_duck_grace_period",
     .kind = OPTION_DURATION_ONLY,
     .offset = FIELD(lame_duck_grace_period_ns),
     .fallback = "10s",
     .least = 0,
     .most = INT64_MAX,
     .reload = RELOAD_NEVER,
     .internal = "LameDuckGracePeriod",
     .too_small = "invalid NAME, needs to be positive"},
    {.name = "shards",
     .kind = OPTION_INTEGER,
     .offset = FIELD(shards),
     .fallback = "0",
     .least = 0,
     .most = SHARDS_MAX,
     .reload = RELOAD_NEVER,
     .section = SECTION_ENGINE,
     .flags = "shards",
     .argument = "<count>",
     .help = "Threads that serve clients; 0: by the cores"},
    {.name = "busy_poll",
     .kind = OPTION_DURATION_ONLY,
     .offset = FIELD(busy_poll_ns),
     .fallback = "30us",
     .least = 0,
     .most = 1000000000,
     .reload = RELOAD_NEVER,
     .section = SECTION_ENGINE,
     .flags = "busy_poll",
     .argument = "<duration>",
     .help = "How long a shard looks for work before it sleeps, while waits are short"},
    {.name = "receive_buffer_bytes",
     .kind = OPTION_BYTES,
     .offset = FIELD(receive_buffer_bytes),
     .fallback = "32KB",
     .least = 4 * 1024,
     .most = 1024 * 1024,
     .reload = RELOAD_NEVER,
     .section = SECTION_ENGINE,
     .flags = "receive_buffer_bytes",
     .argument = "<bytes>",
     .help = "Size of one receive buffer, a power of two",
     .power_of_two = true},
    {.name = "receive_buffers",
     .kind = OPTION_INTEGER,
     .offset = FIELD(receive_buffers),
     .fallback = "256",
     .least = 8,
     .most = 32768,
     .reload = RELOAD_NEVER,
     .section = SECTION_ENGINE,
     .flags = "receive_buffers",
     .argument = "<count>",
     .help = "Receive buffers of a shard, a power of two",
     .power_of_two = true},
    {.name = "mailbox_bytes",
     .kind = OPTION_BYTES,
     .offset = FIELD(mailbox_bytes),
     .fallback = "1MB",
     .least = 64 * 1024,
     .most = 1024 * 1024 * 1024,
     .reload = RELOAD_NEVER,
     .section = SECTION_ENGINE,
     .flags = "mailbox_bytes",
     .argument = "<bytes>",
     .help = "Size of the mailbox between two threads, a power of two",
     .power_of_two = true},
    {.name = "pin",
     .kind = OPTION_BOOL,
     .offset = FIELD(pin),
     .fallback = "true",
     .reload = RELOAD_NEVER,
     .section = SECTION_ENGINE,
     .flags = "pin",
     .help = "Keep each thread on a core of its own"},
    {.name = "match_cache_entries",
     .kind = OPTION_INTEGER,
     .offset = FIELD(match_cache_entries),
     .fallback = "8192",
     .least = 0,
     .most = 1 << 24,
     .reload = RELOAD_NEVER,
     .section = SECTION_ENGINE,
     .flags = "match_cache_entries",
     .argument = "<count>",
     .help = "Subjects that a shard remembers matches of"},
};

const struct option *server_option_rows(size_t *count)
{
    *count = COUNT_OF(rows);
    return rows;
}
