/* shards/control/monitor_task.h - one request to the monitoring port, from its path to its reply: what it
 * asks the shards, page by page, and what it makes of that (docs/monitoring.md 2). In the flow:
 * monitor_task_begin() -> endpoint.begin() -> MAIL_REPORT_ASK .. MAIL_REPORT -> endpoint.page() -> when all
 * shards have told all: endpoint.done() -> monitor_reply() At the bounds: a body above
 * MONITOR_BODY_BYTES_MAX, or memory out, is a 503. A peer that goes away meanwhile leaves its task behind,
 * which ends when the shards have answered. Thread: the control core's. */
#ifndef SHARDS_CONTROL_MONITOR_TASK_H
#define SHARDS_CONTROL_MONITOR_TASK_H

#include "core/codec/json_output.h"
#include "shards/control/monitor.h"
#include "shards/post.h"

struct control;
struct cluster_route;

/* The figures of all shards together. */
struct monitor_figures {
    struct report_shard shards[SHARDS_MAX];
    struct report_account *accounts; /* by id, summed over the shards; owned */
    uint32_t account_count;          /* the highest id that any shard has met, and one */
    struct report_account sum;       /* over the accounts */
};

/* One page, until it is used. */
struct monitor_page {
    struct block *block;
    uint32_t bytes;
    uint32_t shard;
};

struct monitor_connz {
    int64_t offset, limit;
    bool auth, subscriptions, detail;
    struct report_key
        *picks; /* the best offset + limit of them, as a heap with the last in order on top; owned */
    size_t pick_count;
    size_t pick_capacity;
    size_t sorted_from; /* picks from here on are in order */
    uint64_t total;
    size_t window_at; /* the picks that are told of now: window_count from here on */
    size_t window_count;
    uint64_t told;
    struct monitor_page *pages; /* of the window; owned */
    uint32_t page_count;
    uint32_t page_capacity;
    uint64_t page_bytes;
};

struct monitor_subsz {
    int64_t offset, limit;
    uint64_t total;
    bool listed;
};

/* A route, and whose it is. */
struct monitor_route {
    struct report_route figures;
    uint32_t shard;
};

/* All registered ones, by number. */
struct monitor_routes {
    struct monitor_route *all; /* owned */
    uint32_t count;
    uint32_t capacity;
};

struct monitor_routez {
    bool listed, detail;
    bool open;       /* an entry waits for its subscriptions, */
    bool list_begun; /* of which some are written */
    uint32_t next;   /* of the routes, to be written */
};

struct gatewayz_entry;

/* Gateway connections, and how interest is known. */
struct monitor_gatewayz {
    struct report_gateway *all; /* owned, likewise below */
    struct report_gateway_account *interest;
    struct gatewayz_entry *entries; /* in the order of the document */
    uint32_t count, capacity;
    uint32_t interest_count, interest_capacity;
    uint32_t entry_count;
    struct bytes name, account;    /* the only ones wanted; empty: all */
    bool accounts, listed, detail; /* what is asked for */
    /* How far the document is: */
    uint32_t next;         /* of the entries, */
    uint32_t next_account; /* and of the snapshot's accounts, */
    bool entry_open;       /* that entry's connection is written, */
    bool accounts_begun;   /* and accounts of it, */
    bool list_begun;       /* and subscriptions of the last one; */
    bool inbound;          /* and what is outbound. */
};

struct monitor_subject;

/* The subjects of all shards, until they are put together. */
struct monitor_topz {
    struct monitor_subject *subjects; /* owned */
    uint32_t count;
    uint32_t capacity;
    double messages_per_second;
    int64_t span_ns; /* the longest of a shard */
};

struct monitor_endpoint;
struct system_request;

struct monitor_task {
    const struct monitor_endpoint *endpoint;
    struct monitor_connection *connection; /* NULL: the peer has gone, or: */
    struct system_request *request;        /* it was asked in the system account; owned */
    struct bytes query;                    /* of the target that `target` holds */
    char *target;                          /* owned */
    struct report_query report;
    struct json_output document;
    const char *content_type; /* NULL: that of JSON */
    enum http_status status;
    bool failed;                 /* the document is the text of an error */
    bool silent;                 /* of `request`: no answer */
    bool plain;                  /* no JSONP, no CORS */
    bool browsed;                /* http_reply.browsed */
    bool step_wanted;            /* endpoint.step() is to be called in the next turn */
    bool done;                   /* reply, then forget it */
    uint32_t asked;              /* shards that have not answered */
    struct report_cursor cursor; /* for the shard that is asked next, where they are asked in turn */
    uint32_t shard_next;
    uint32_t account_next;  /* where accounts are walked through in steps */
    uint32_t metrics_row;   /* and figures of each: which of them */
    uint32_t account_found; /* for security_account_find_next() */
    struct monitor_figures figures;
    struct monitor_routes routes;
    struct report_totals totals;
    char account[HTTP_PARAMETER_BYTES];
    char user[HTTP_PARAMETER_BYTES];
    char test[HTTP_PARAMETER_BYTES];
    union {
        struct monitor_connz connz;
        struct monitor_subsz subsz;
        struct monitor_routez routez;
        struct monitor_gatewayz gatewayz;
        struct monitor_topz topz;
        bool unused;
        struct report_key pick; /* one client */
        uint64_t counted;       /* subscriptions */
    };
};

struct monitor_endpoint {
    const char *path;    /* without slash; "" is the index */
    const char *counter; /* in http_req_stats; NULL: not counted */
    bool parses_first;   /* a wrong parameter is not counted */
    /* Reads the parameters, asks the shards, or makes the reply at once by setting task->done. */
    void (*begin)(struct control *control, struct monitor_task *task);
    /* Uses a page of a shard; its block may be taken by setting mail->block to NULL. */
    void (*page)(struct control *control, struct monitor_task *task, uint32_t from, struct mail_report *mail);
    /* All that was asked has been told. */
    void (*told)(struct control *control, struct monitor_task *task);
    /* Goes on with what would take too long at once; sets step_wanted for more. */
    void (*step)(struct control *control, struct monitor_task *task);
    /* Frees what only this endpoint has. */
    void (*close)(struct control *control, struct monitor_task *task);
};

/* All endpoints; an entry's position is its counter's. */
const struct monitor_endpoint *monitor_endpoints(size_t *count);

void monitor_task_begin(struct control *control, struct monitor_connection *connection);
/* For what was asked in the system account; takes the query, which memory_free() frees, and the request.
 * False: memory is out, nothing was taken. */
MUST_USE bool monitor_task_for(struct control *control, const struct monitor_endpoint *endpoint, char *query,
                               size_t query_count, struct system_request *request);
void monitor_task_step(struct control *control);
void monitor_task_page(struct control *control, uint32_t from, struct mail_report *mail);
void monitor_task_free(struct control *control);

/* ---- for endpoints ---- */

/* The reply is that text with that status. */
void monitor_fail(struct monitor_task *task, enum http_status status, const char *why);

/* Parameters; false: the task has failed. */
MUST_USE bool monitor_bool(struct monitor_task *task, const char *name, bool *value);
MUST_USE bool monitor_int(struct monitor_task *task, const char *name, int64_t *value);
MUST_USE bool monitor_unsigned(struct monitor_task *task, const char *name, uint64_t *value);
/* Empty when it is not there. */
struct bytes monitor_text(const struct monitor_task *task, const char *name, char out[HTTP_PARAMETER_BYTES]);
/* `offset` and `limit`, with their defaults. */
MUST_USE bool monitor_paging(struct monitor_task *task, int64_t *offset, int64_t *limit);

/* Asks one shard, or all, what task->report says. */
void monitor_ask(struct control *control, struct monitor_task *task, uint32_t shard,
                 struct report_cursor from);
void monitor_ask_all(struct control *control, struct monitor_task *task);

/* The figures of all shards: for endpoint.begin() and .page() of those that want nothing else. */
void monitor_figures_ask(struct control *control, struct monitor_task *task);
void monitor_figures_page(struct control *control, struct monitor_task *task, uint32_t from,
                          struct mail_report *mail);
/* For endpoint.told() of those that also show what match caches hold: true: that is asked for now, and told()
 * is called once more. The sums are then in the accounts of task->figures, and in control->monitor.matches.
 */
bool monitor_matches_ask(struct control *control, struct monitor_task *task);
double monitor_fanout_average(uint64_t fanout, uint64_t cached);
/* Of 1: how many look-ups a cache answered. */
double monitor_hit_rate(const struct report_account *figures);
/* Open connections of all shards, likewise, summed up in task->totals. */
void monitor_totals_ask(struct control *control, struct monitor_task *task);
void monitor_totals_page(struct monitor_task *task, const struct mail_report *mail);
/* The routes of all shards, likewise. */
void monitor_routes_ask(struct control *control, struct monitor_task *task);
/* What compresses a route now; s2_auto is no answer. */
struct bytes monitor_route_compression(const struct control *control, const struct cluster_route *route,
                                       const struct report_route *figures);

void monitor_routes_page(struct control *control, struct monitor_task *task, uint32_t from,
                         const struct mail_report *mail);
/* Spaces per level of the document: over HTTP people read it. */
unsigned monitor_indent(const struct monitor_task *task);
/* What is known of an account; zeros when no shard has met it. */
struct report_account monitor_account(const struct monitor_task *task, uint32_t id);

/* A figure of each shard, as /metrics and /shardz show it. */
struct monitor_shard_row {
    const char *name; /* with "myelin_shard_" before it in /metrics */
    const char *type;
    const char *help;
    size_t offset;   /* of a uint64_t in struct report_shard */
    double per_unit; /* so many make one of what is shown */
};
const struct monitor_shard_row *monitor_shard_rows(size_t *count);
double monitor_shard_figure(const struct monitor_task *task, const struct monitor_shard_row *row,
                            uint32_t shard);

/* The endpoints' functions, by file. */
void varz_told(struct control *control, struct monitor_task *task);
void metrics_page(struct control *control, struct monitor_task *task, uint32_t from,
                  struct mail_report *mail);
void metrics_told(struct control *control, struct monitor_task *task);
void metrics_step(struct control *control, struct monitor_task *task);
void connz_begin(struct control *control, struct monitor_task *task);
void connz_page(struct control *control, struct monitor_task *task, uint32_t from, struct mail_report *mail);
void connz_told(struct control *control, struct monitor_task *task);
void connz_step(struct control *control, struct monitor_task *task);
void connz_close(struct control *control, struct monitor_task *task);
void subsz_begin(struct control *control, struct monitor_task *task);
void subsz_page(struct control *control, struct monitor_task *task, uint32_t from, struct mail_report *mail);
void subsz_told(struct control *control, struct monitor_task *task);
void accountz_begin(struct control *control, struct monitor_task *task);
void accountz_told(struct control *control, struct monitor_task *task);
void accstatz_begin(struct control *control, struct monitor_task *task);
void accstatz_told(struct control *control, struct monitor_task *task);
void index_begin(struct control *control, struct monitor_task *task);
void links_begin(struct control *control, struct monitor_task *task);
void page_file_begin(struct control *control, struct monitor_task *task);
void shardz_told(struct control *control, struct monitor_task *task);
void topz_begin(struct control *control, struct monitor_task *task);
void topz_page(struct control *control, struct monitor_task *task, uint32_t from, struct mail_report *mail);
void topz_told(struct control *control, struct monitor_task *task);
void topz_close(struct control *control, struct monitor_task *task);
void routez_begin(struct control *control, struct monitor_task *task);
void routez_page(struct control *control, struct monitor_task *task, uint32_t from, struct mail_report *mail);
void routez_told(struct control *control, struct monitor_task *task);
void gatewayz_begin(struct control *control, struct monitor_task *task);
void gatewayz_page(struct control *control, struct monitor_task *task, uint32_t from,
                   struct mail_report *mail);
void gatewayz_told(struct control *control, struct monitor_task *task);
void gatewayz_close(struct control *control, struct monitor_task *task);
void leafz_begin(struct control *control, struct monitor_task *task);
void jsz_begin(struct control *control, struct monitor_task *task);
void healthz_begin(struct control *control, struct monitor_task *task);
void raftz_begin(struct control *control, struct monitor_task *task);
void ipqueuesz_begin(struct control *control, struct monitor_task *task);
void streaming_index_begin(struct control *control, struct monitor_task *task);
void streaming_active_begin(struct control *control, struct monitor_task *task);
void streaming_server_begin(struct control *control, struct monitor_task *task);
void streaming_store_begin(struct control *control, struct monitor_task *task);
void streaming_clients_begin(struct control *control, struct monitor_task *task);
void streaming_channels_begin(struct control *control, struct monitor_task *task);
void expvarz_begin(struct control *control, struct monitor_task *task);
void stacksz_begin(struct control *control, struct monitor_task *task);

/* ---- what several documents share ---- */

/* The next text behind a record. */
struct bytes monitor_text_take(const uint8_t **at, uint32_t count);
/* The eight figures of an index; `listeners` are the server's own subscriptions. */
void monitor_put_index(struct json_output *document, const struct report_account *figures,
                       uint64_t listeners);
/* A subscription's record: its subject, or all about it. */
void monitor_put_subscription(struct json_output *document, const uint8_t *record, bool detail);

/* A moment of the monotonic clock as RFC 3339 in UTC. */
void monitor_put_time(struct json_output *document, const char *key, const struct control *control,
                      int64_t moment_ns);
/* Counts by kind of connection. */
struct monitor_kinds {
    uint64_t clients, routes, gateways;
};
void monitor_put_kinds(struct json_output *document, const char *key, const struct monitor_kinds *kinds);
/* The present moment, and the server's id before it. */
void monitor_put_now(struct json_output *document, const struct control *control);
/* "3d4h0m12s". */
void monitor_put_span(struct json_output *document, const char *key, int64_t span_ns);
/* A round trip as Go writes durations, cut to whole microseconds between one and a thousand of them. */
void monitor_put_rtt(struct json_output *document, const char *key, int64_t rtt_ns);

enum { MONITOR_TIME_BYTES = 40 };
const char *monitor_time_text(char out[MONITOR_TIME_BYTES], int64_t wall_ns);
/* Likewise of whole seconds since 1970: certificates outlive what nanoseconds can count. */
const char *monitor_date_text(char out[MONITOR_TIME_BYTES], int64_t seconds);
const char *monitor_span_text(char out[MONITOR_TIME_BYTES], int64_t span_ns);
const char *monitor_rtt_text(char out[MONITOR_TIME_BYTES], int64_t rtt_ns);

#endif
