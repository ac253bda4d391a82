/* net/client.h - one client's session: bytes in, operations out to the host, bytes out
 * (spec/client-protocol.md). In the flow:  connection_received() -> client_receive() -> parser_next() ->
 * host->publish() .. client_deliver() It knows no socket, thread or clock: time and everything shared come
 * with its session_context. At the bounds: output above max_pending closes it as a slow consumer; a host that
 * is full makes it stop taking bytes until client_resume(). Thread: its shard's, all of it. */
#ifndef NET_CLIENT_H
#define NET_CLIENT_H

#include "core/security/certificate_names.h"
#include "core/security/nkey.h"
#include "net/closed_reason.h"
#include "net/connect.h"
#include "net/host.h"
#include "net/parser.h"
#include "net/sids.h"

enum client_state {
    CLIENT_GREETED,        /* INFO is out; CONNECT must come first */
    CLIENT_AUTHENTICATING, /* a password is being checked elsewhere; nothing is taken meanwhile */
    CLIENT_DELEGATED,      /* a service is asked who it is; likewise */
    CLIENT_ACTIVE,
    CLIENT_CLOSED, /* nothing is taken or delivered any more */
};
enum { CLIENT_STATES = CLIENT_CLOSED + 1 };

struct client_access; /* net/client_access.h */
struct claimed_user;  /* core/security/user_claims.h */

enum { CLIENT_ADDRESS_BYTES = 48, CLIENT_LINE_BYTES = 64 };

struct client {
    struct session_context *context;
    struct host_account *account; /* whose subjects it speaks of; the host's */
    struct output output;
    struct parser parser;
    struct connect_options connect;
    struct sids sids;
    const struct security_user *user; /* as whom it is in, of the present snapshot; NULL: no list has it */
    struct client_access *access;     /* what it may do; NULL: everything */
    struct claimed_user *claimed; /* owned; `user` lies in there when a service has said who it is. NULL: the
                                     options say it */
    struct timer timer;           /* authentication timeout, then pings */
    uint64_t cid;
    uint64_t in_messages, in_bytes, out_messages, out_bytes;
    int64_t last_delivery_ns; /* of a message to it; beside what a delivery touches anyway */
    int64_t start_ns;
    int64_t last_activity_ns; /* its last own message, SUB or UNSUB */
    int64_t last_heard_ns;    /* its last own operation, PONG excepted */
    int64_t ping_sent_ns;     /* 0: none is unanswered */
    int64_t rtt_ns;           /* 0: not known */
    int64_t rtt_measured_ns;
    uint32_t stalls;       /* how often it was held back for a slow receiver */
    uint64_t run_seen;     /* the last run that was looked at for this client: session_context.runs */
    uint64_t stalled_turn; /* when it last asked for a stall, and of whom */
    uint64_t stalled_cid;
    struct publisher_place place; /* its own; the host's */
    /* The control line written last, for the next message that needs the same one. */
    uint64_t line_serial; /* message.line_serial; 0: none */
    const struct client_subscription *line_subscription;
    uint8_t line_count;
    uint8_t line[CLIENT_LINE_BYTES];
    uint32_t sids_hint;      /* where the search for subscriptions to remove goes on */
    const char *refused_why; /* while it is closed for what a service has said of it; else NULL */
    uint32_t callout;        /* the host's: its place among those that a service is asked about; 0: none */
    uint8_t state;           /* enum client_state */
    uint8_t login;           /* enum authenticate_who: as what it came in */
    uint8_t closed_reason;   /* enum closed_reason */
    uint8_t login_refusal;   /* enum authenticate_refusal: why, if what decides on it elsewhere says no */
    uint8_t pings_unanswered;
    bool login_again;  /* the options changed while its login was being decided elsewhere */
    bool login_stands; /* it is `user`, proven; before that it only says so */
    bool connect_received;
    bool pong_sent;    /* the first PONG after CONNECT is out: async INFO may follow */
    bool blocked;      /* the host was full: bytes are not taken */
    bool output_noted; /* the host knows that there is output */
    bool lame_duck_told;
    bool mapped;                                 /* its account has mappings */
    bool headers;                                /* both sides have them */
    bool echo, verbose, pedantic, no_responders; /* of `connect`, where the hot path needs them */
    uint16_t port;
    char address[CLIENT_ADDRESS_BYTES]; /* the peer's, without port */
    char nonce[NKEY_NONCE_TEXT_BYTES];  /* what it is to sign, for life; empty: nothing */
    /* The proxy that signed for it, of the present snapshot; NULL: it came without a trusted one. */
    const struct trusted_proxy *proxy;
    /* What its certificate calls it, with verify_and_map: the connection's. NULL: not asked for. */
    const struct certificate_names *certificate;
};

/* What a session does at its beginning; the rest of it is client_greet()'s and client_begin()'s. */
enum client_opening {
    CLIENT_OPENS,         /* writes INFO and takes bytes at once: in clear */
    CLIENT_ONLY_GREETS,   /* writes INFO: whether TLS follows is not known, or it does */
    CLIENT_OPENS_SILENTLY /* TLS first */
};

struct client_peer {
    const char *address;
    uint16_t port;
    uint64_t cid;
    enum client_opening opening;
};

/* Begins the session. `client` is all zero. ERR_SYSTEM: no random bytes for the nonce; the caller closes it.
 */
MUST_USE enum err client_init(struct client *client, struct session_context *context,
                              const struct client_peer *peer);

/* Writes INFO. */
void client_greet(struct client *client);

/* The connection is as it will be: bytes are taken from here on, and the login's or the pings' timer runs. */
void client_begin(struct client *client);

/* Takes bytes; returns how many. Fewer than given: blocked or closed; the rest is to be given again after
 * client_resume() said so, or dropped when closed. */
size_t client_receive(struct client *client, struct bytes bytes);

/* The host has room again. The caller gives the bytes that were left over, then new ones. */
void client_resume(struct client *client);

/* The peer will send no more (FIN), or reading failed. */
void client_input_ended(struct client *client, bool failed);

/* The answer to host->check_password(). */
void client_password_checked(struct client *client, bool matches);

/* The answer to host->ask_callout(): who it is, which the client owns from here on, or NULL, and why, for the
 * log; empty: nothing to say. */
void client_callout_answered(struct client *client, struct claimed_user *claimed, const char *why);

/* Whether its login is being decided elsewhere: no bytes are taken meanwhile, and it need not be asked again.
 */
static inline bool client_login_pending(const struct client *client)
{
    return client->state == CLIENT_AUTHENTICATING || client->state == CLIENT_DELEGATED;
}

/* What it says of itself, and how it came. */
struct credentials client_credentials(const struct client *client);

/* Asks a client whose round trip nobody knows for it, with a PING; for monitoring. */
void client_rtt_ask(struct client *client);

/* When it last was active, as monitoring tells it: by messages in or out and subscriptions, not by PINGs. */
static inline int64_t client_last_ns(const struct client *client)
{
    bool sent = client->last_delivery_ns > client->last_activity_ns;
    return sent ? client->last_delivery_ns : client->last_activity_ns;
}

/* Its timer was due. */
void client_timer_due(struct client *client);

/* Whether a message for this subscription would be taken now. */
bool client_takes(const struct client_subscription *subscription, const struct message *message);

/* Writes the message into the client's output. False: refused (closed, own message with echo off, exhausted).
 */
bool client_deliver(struct client_subscription *subscription, const struct message *message);

/* What a run became in the output of the first receiver: others whose control line is the same, because they
 * chose the same sid, refer to these bytes. It holds the blocks that they lie in. */
enum { RUN_PIECES_MAX = 8, RUN_LINE_BYTES_MOST = 256 };
struct run_written {
    uint32_t piece_count; /* 0: nothing that another one could use */
    uint32_t line_count;
    struct {
        struct block *block;
        struct bytes bytes;
    } pieces[RUN_PIECES_MAX];
    uint8_t line[RUN_LINE_BYTES_MOST];
};

static inline void run_written_init(struct run_written *written)
{
    written->piece_count = 0;
}

/* Lets go of the blocks. */
void run_written_release(struct run_written *written, struct output_pool *pool);

/* The same for all messages of a run: they have one control line, no headers, and lie in no counted block.
 * The receiver's bounds are looked at once, behind the last. `written` passes from receiver to receiver; NULL
 * where there is only one. */
bool client_deliver_run(struct client_subscription *subscription, const struct message *run,
                        struct run_written *written);

/* Sends an INFO if the client may have one now (client-protocol 3.3). */
void client_send_info(struct client *client);

/* Tells this client alone, likewise, that it had better go elsewhere. */
void client_tell_lame_duck(struct client *client);

/* Closes the session: appends `-ERR '<error>'` when there is one, tells the host. Legal when closed already.
 */
void client_close(struct client *client, enum closed_reason reason, const char *error);

/* What was to be sent did not go out within the deadline of the options that it came under: closes it as a
 * slow consumer. Of the write that was under way: its parts, and all that waits. */
void client_write_late(struct client *client, int64_t deadline_ns, uint32_t part_count, uint64_t total_bytes);

/* New options are in force; `before` are the old ones. Limits are taken over; a login that the new options do
 * not know any more is closed (spec/configuration.md 5.4). */
void client_options_changed(struct client *client, const struct security_options *before);

/* Removes a subscription that has had its last message. False: the host is full, ask again. */
bool client_remove_expired(struct client_subscription *subscription);

/* Removes up to `most` of a closed client's subscriptions. True: none is left. */
bool client_remove_subscriptions(struct client *client, uint32_t most);

/* Frees what the session holds; it must be closed and without subscriptions. */
void client_free_parts(struct client *client);

#endif
