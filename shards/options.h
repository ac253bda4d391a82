/* shards/options.h - all that a server is told, from its file and its command line, as one immutable
 * snapshot. In the flow:  main() -> server_options_load() -> the control core hands the snapshot to every
 * shard SIGHUP -> server_options_reload() -> a new snapshot, or one sentence that refuses it Nothing here
 * prints, exits or sends a signal: what is to be said comes back as text. Thread: main before the others
 * start, afterwards the control core. A snapshot may be read by any thread. */
#ifndef SHARDS_OPTIONS_H
#define SHARDS_OPTIONS_H

#include "core/base/arena.h"
#include "core/config/digest.h"
#include "core/config/option.h"
#include "core/config/parser.h"
#include "core/security/options.h"
#include "net/cluster_options.h"
#include "net/gateway_options.h"
#include "net/options.h"
#include "shards/streaming/options.h"

#include <stdbool.h>
#include <stdint.h>

/* A pair of `server_metadata`. */
struct server_metadata {
    const char *key;
    struct bytes value;
};

/* A text that was not given is NULL. */
struct server_options {
    struct arena arena; /* owns all that the snapshot points to */

    const char *config_file;
    char config_digest[DIGEST_TEXT_BYTES]; /* "sha256:..."; empty without a file */

    const char *host; /* never NULL */
    int64_t port;     /* -1: any free one */
    const char *client_advertise;
    const char *client_advertise_host; /* its parts; NULL: it was not given */
    int64_t client_advertise_port;     /* 0: the real one */
    int64_t connect_error_reports;     /* each n-th attempt of a dial is logged as an error, */
    int64_t reconnect_error_reports;   /* the same where the other server was there once */
    const char *server_name;
    struct bytes *server_tags;
    uint32_t server_tag_count;
    struct server_metadata *metadata; /* in the order of its keys */
    uint32_t metadata_count;
    const char *http_host; /* of monitoring; NULL or empty: as `host` */
    int64_t http_port;     /* 0: no monitoring; -1: any free one */
    int64_t https_port;    /* the same over TLS; not both */
    const char *http_base_path;
    const char *pid_file;
    const char *ports_file_dir;
    int64_t lame_duck_duration_ns;
    int64_t lame_duck_grace_period_ns;

    const char *log_file;
    const char *remote_syslog;
    int64_t log_size_limit_bytes;
    int64_t log_files_max;
    bool syslog;
    bool logtime;
    bool logtime_utc;
    bool debug;
    bool trace;
    bool trace_verbose;

    bool pin;       /* threads to cores */
    int64_t shards; /* 0: as many as there are cores, less one */
    int64_t busy_poll_ns;
    int64_t receive_buffer_bytes;
    int64_t receive_buffers;
    int64_t mailbox_bytes;
    int64_t match_cache_entries;

    struct net_options net;
    struct security_options security;
    struct cluster_options cluster;
    struct gateway_options gateway;
    struct streaming_options streaming;
};

enum options_action {
    OPTIONS_RUN,    /* start the server; `err` may hold warnings */
    OPTIONS_EXIT,   /* write the texts, exit with `exit_code` */
    OPTIONS_SIGNAL, /* send `signal`, a command with an optional "=<pid>", to another server, then exit */
};

/* What main() has to do. All zero before use. Owner: the caller, until options_outcome_close(). */
struct options_outcome {
    enum options_action action;
    int exit_code;
    struct config_text out; /* for stdout */
    struct config_text err; /* for stderr */
    const char *signal;     /* in argv */
};

/* Reads the command line and the file that it names, in the order of configuration.md 1.3. With OPTIONS_RUN
 * *options is the snapshot, else NULL. Owner: the caller, until server_options_free(). */
void server_options_load(int argc, char *const argv[], struct server_options **options,
                         struct options_outcome *outcome);

/* The same with files and environment from `source`. */
void server_options_load_from(int argc, char *const argv[], const struct config_source *source,
                              struct server_options **options, struct options_outcome *outcome);

void options_outcome_close(struct options_outcome *outcome);

/* Whether what the others are told of a server, its tags and metadata, is the same. */
bool server_options_same_labels(const struct server_options *a, const struct server_options *b);

/* Reads the file again, lays all flags over it (nats-server forgets some: configuration.md 1.4), and
 * compares. ERR_OK: *options is the new snapshot, changes->lines what to log, the closing line included.
 * ERR_INVALID: *options is NULL, `old` stays, changes->refusal is the one line for the log.
 * Owner of the new snapshot: the caller; `old` stays the caller's too. */
MUST_USE enum err server_options_reload(const struct server_options *old, int argc, char *const argv[],
                                        struct server_options **options, struct option_changes *changes);
MUST_USE enum err server_options_reload_from(const struct server_options *old, int argc, char *const argv[],
                                             const struct config_source *source,
                                             struct server_options **options, struct option_changes *changes);

/* NULL is allowed. */
void server_options_free(struct server_options *options);

/* ---- for the two files behind this header, and for tests that walk the rows ---- */

enum { SERVER_OPTION_GROUPS = 8 };

struct server_option_table {
    struct option_group groups[SERVER_OPTION_GROUPS];
    struct option_table table; /* over `groups`: must not be moved */
};

/* All rows of all modules. */
void server_option_table_init(struct server_option_table *table);

/* The rows of shards themselves, and of what nats-server has and this version has not. */
const struct option *server_option_rows(size_t *count);
const struct option *monitor_option_rows(size_t *count);
const struct option *planned_option_rows(size_t *count);

/* "host:port", "[::1]:port", or a bare port, for which *host becomes NULL. */
void option_read_address(const char **host, int64_t *port, const struct config_entry *entry,
                         struct arena *arena, struct option_errors *errors);

#endif
