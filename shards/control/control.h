/* shards/control/control.h - the control core: accepts connections and hands them over, owns signals, reload,
 * lame duck mode and the orderly end. A thread with a ring and mailboxes like a shard, without clients.
 * Thread: the main thread. */
#ifndef SHARDS_CONTROL_CONTROL_H
#define SHARDS_CONTROL_CONTROL_H

#include "core/base/log.h"
#include "core/config/option.h"
#include "core/loop/loop.h"
#include "core/loop/timers.h"
#include "net/info.h"
#include "net/tls_context.h"
#include "shards/control/account_register.h"
#include "shards/control/cluster.h"
#include "shards/control/desk.h"
#include "shards/control/gateways.h"
#include "shards/control/monitor.h"
#include "shards/control/peer_checks.h"
#include "shards/control/staples.h"
#include "shards/control/system.h"
#include "shards/inquirers.h"
#include "shards/post.h"
#include "shards/snapshot.h"
#include "shards/streaming/service.h"

enum control_state {
    CONTROL_RUNNING,
    CONTROL_LAME_DUCK, /* grace period: clients were told, nobody is accepted */
    CONTROL_EVICTING,  /* clients are closed one by one */
    CONTROL_STOPPING,  /* all threads are told to stop, at the latest when other servers know that this one
                          goes */
    CONTROL_STOPPED,
};
enum { CONTROL_STATES = CONTROL_STOPPED + 1, CONTROL_PATH_BYTES = 4096 };

struct control {
    struct post post;
    struct loop *loop;
    struct timers timers;
    struct log *log;
    struct snapshot *snapshot;     /* the one in force */
    struct snapshot *retired;      /* an older one that some shard still has; a reload waits for it */
    struct option_changes changes; /* what that reload has changed, to be logged when it is over */
    struct snapshot *pending;      /* of a reload that waits for OCSP responders; NULL: none */
    struct timer timer;            /* accept again; next eviction */
    struct timer accept_timer;
    struct timer throttle_timer;        /* end of a second with refused handshakes */
    struct tls_ticket_keys ticket_keys; /* of all contexts, so that sessions outlive a reload */
    int64_t throttle_end_ns;            /* of the window in which handshakes are counted */
    int64_t throttle_count;
    uint64_t throttle_rejected; /* since the last line about it */
    struct timer monitor_timer; /* accept on the monitoring port again */
    struct monitor monitor;
    struct block_pool blocks; /* of what came by mail */
    struct loop_op accept;
    struct loop_op signal;
    struct loop_op wakeup;
    uint64_t wakeup_value;
    uint8_t signal_bytes[128]; /* one struct signalfd_siginfo */
    uint64_t next_cid;         /* clients and routes have one row of numbers */
    uint64_t accepted_count;   /* clients, refused ones too */
    int64_t now_ns;
    int64_t accept_delay_ns;   /* after a failed accept, doubled up to a second */
    uint32_t open[SHARDS_MAX]; /* connections of each shard */
    uint32_t shard_count;
    uint32_t running_threads; /* shards and worker that have not said MAIL_STOPPED */
    uint64_t evicted;         /* clients closed by lame duck mode so far */
    uint64_t evict_total;
    int listen_fd; /* -1: closed */
    int signal_fd;
    const char *program;
    const char *server_id;
    const char *xkey; /* the public one */
    const char *server_name;
    int argument_count; /* for reload */
    char **arguments;
    uint16_t port; /* the real one */
    uint8_t state; /* enum control_state */
    bool accepting;
    bool reload_again; /* SIGHUP came while a reload was under way */
    bool retry;        /* something found no room in a mailbox */
    bool threads_told; /* all threads have been told to stop */
    int exit_code;
    struct inquirers inquirers;
    struct loop_op inquired;
    uint64_t inquired_value;
    struct staples staples;
    struct peer_checks peer_checks;
    struct cluster cluster;
    struct account_register accounts;
    struct system system;
    struct gateway_core gateways;
    struct desk desk;
    struct outer *outer; /* NULL: the desk is in the own interest index, not at a server outside */
    struct streaming_service *streaming; /* NULL: the service is off */
    char ports_path[CONTROL_PATH_BYTES]; /* of the ports file; empty: none */
};

struct control_setup {
    struct post_office *office;
    struct snapshot *snapshot;
    struct log *log;
    uint32_t shard_count;
    int argument_count;
    char **arguments;
    const char *program; /* these three outlive the control core */
    const char *server_id;
    const char *xkey; /* the public one */
    const char *server_name;
};

/* Opens the ring and signals. On error `why` says what is missing. */
MUST_USE enum err control_init(struct control *control, const struct control_setup *setup, char *why,
                               size_t why_bytes);

/* Opens the client port; control.port is the real one afterwards. On error `why` holds the line to log. */
MUST_USE enum err control_listen(struct control *control, char *why, size_t why_bytes);

/* Fills what INFO says, from the options and the identity, and gives the TLS context the keys for tickets;
 * after control_listen(). */
void control_info_make(const struct control *control, struct snapshot *snapshot);

/* Writes the pid file, if there is to be one; a failure is logged on that level. */
MUST_USE enum err control_pid_file_write(const struct control *control, enum log_level level);

/* The ports file, likewise; after control_listen(). A failure is logged and does no harm. */
void control_ports_file_write(struct control *control);
void control_ports_file_remove(struct control *control);

/* Accepts and works until everything has stopped; the exit code. */
int control_run(struct control *control);

/* The cluster's name, which is that of its gateway where it has no routes; empty: it is in none. */
struct bytes control_cluster_name(const struct control *control);

/* The snapshots are freed too. */
void control_close(struct control *control);

#endif
