/* net/host.h - what a client session needs of its host; the shard implements it, a test may too.
 * All calls run on the session's own thread. None of them calls back into the session that makes it, but for
 * client_deliver() out of publish(). */
#ifndef NET_HOST_H
#define NET_HOST_H

#include "core/base/bytes.h"
#include "core/base/random.h"
#include "core/loop/timers.h"
#include "core/security/options.h"
#include "core/security/permission_cache.h"
#include "net/info.h"
#include "net/message.h"
#include "net/options.h"
#include "net/output.h"

struct client;
struct client_subscription;
struct session_context;
struct log;

enum host_result {
    HOST_DONE,
    HOST_NOBODY, /* publish: done, and nobody took the message */
    HOST_FULL,   /* nothing was done: a mailbox is full. Ask again when client_resume() is called. */
    HOST_MEMORY, /* nothing was done: memory is out; the session closes */
};

/* What the clients of an account have sent and been sent, on this thread; for monitoring. Written once a
 * message or run beside the client's own counts, so that nobody has to add up connections. Bytes are headers
 * and payload. */
struct host_traffic {
    uint64_t in_messages, in_bytes, out_messages, out_bytes;
    uint64_t slow_consumers;
};

/* An account as the host knows it, as long as the host lives: what is configured changes with the snapshot.
 * The host embeds it in what it knows of the account. */
struct host_account {
    const struct security_account *configured; /* the present snapshot's; NULL: it is there no longer */
    struct host_traffic traffic;
};

struct host_operations {
    /* Puts a client into an account, out of the one it was in (client->account). HOST_FULL: the account has
     * as many connections as it may, HOST_MEMORY: it stays where it was. It leaves with closing(). */
    enum host_result (*enter)(struct client *, const struct security_account *, struct host_account **);
    /* Interest of this client. On HOST_DONE every thread knows of it before the client's next output is sent.
     */
    enum host_result (*subscribe)(struct client *, struct client_subscription *, struct bytes subject,
                                  struct bytes queue);
    /* Takes it out of the index and frees it from all lists of the host. */
    enum host_result (*unsubscribe)(struct client *, struct client_subscription *);
    /* Takes a run of messages, or its first ones: with HOST_DONE and HOST_NOBODY *done says how many. What it
     * says holds for all of these. */
    enum host_result (*publish)(struct client *, const struct message *run, uint32_t *done);
    /* Whether publish() of this message would find room now: HOST_DONE or HOST_FULL. For those who have
     * something to write before it. */
    enum host_result (*publish_room)(struct client *, const struct message *);
    /* A plain subscription of this client that matches, or NULL (the no-responders message goes there). */
    struct client_subscription *(*own_subscription)(struct client *, struct bytes subject);
    /* The subscription has had its last message (UNSUB max); to be removed when no delivery is under way. */
    void (*expired)(struct client *, struct client_subscription *);
    /* There is output; called when there was none noted. */
    void (*output_ready)(struct client *);
    /* A bcrypt password has to be checked off this thread; the answer is client_password_checked(). */
    enum host_result (*check_password)(struct client *, struct bytes stored, struct bytes given);
    /* A service is to be asked who this client is (auth callout), by what its CONNECT has said; the answer is
     * client_callout_answered(), which comes only as long as it waits for it. HOST_NOBODY: it cannot be
     * asked, or too many wait already; the log says which. */
    enum host_result (*ask_callout)(struct client *);
    /* The session is closed: send what is pending if `flush`, then end the connection. Called once. */
    void (*closing)(struct client *, bool flush);
    /* A receiver of this message is slow: its publisher is not to be read from for a moment. */
    void (*stall)(struct session_context *, const struct publisher_place *, int64_t stall_ns);
};

/* What all sessions of one thread share. Owned by the shard. */
struct session_context {
    const struct host_operations *host;
    const struct net_options *options; /* the present snapshot's */
    const struct security_options *security;
    const struct info_server *info;
    struct permission_cache permissions; /* to be forgotten when `security` changes */
    struct output_pool pool;
    struct timers timers;
    struct random random;
    uint64_t hash_seed; /* of its sessions' tables; random, and nobody is told */
    struct log *log;
    int64_t now_ns;        /* monotonic, of this turn */
    int64_t wall_minus_ns; /* the wall clock less the monotonic one, looked at once: a client began at the
                              same moment whenever that is said */
    uint64_t turn;         /* counts the turns of the loop */
    struct lines *lines;   /* NULL: none are remembered */
    uint64_t runs;         /* counts the runs that had more than one receiver: client.run_seen */
    bool lame_duck;
    uint8_t *mapped_subject; /* TRANSFORM_SUBJECT_BYTES_MAX for what mappings make; the host frees it. NULL:
                                none was needed yet */
    uint64_t written_bytes;  /* what deliveries have added to outputs */
    /* Figures of this thread, read by nobody else; messages are counted by account. */
    uint64_t slow_consumers;
    uint64_t stale_connections;
    uint64_t route_slow_consumers; /* writes of routes that met their deadline */
    uint64_t route_slow_episodes;  /* the same, but only the first one until the route has caught up */
    uint64_t route_stale_connections;
    uint64_t gateway_slow_consumers; /* writes of gateway connections that met theirs */
    uint64_t gateway_stale_connections;
};

#endif
