/* tests/server/soak.h - the soak: random work on many connections, every delivery checked against a model.
 * In the flow:  soak.c chooses operations -> soak_connection.c writes and reads them -> soak_model.c records
 * what was sent and what came, and at the end of a round says what should have come.
 *
 * Time is a tick: a counter that every operation and every PONG moves. An operation has taken effect
 * somewhere between the tick at which it was queued and the tick at which the PONG behind it arrived. So for
 * a publication a subscription is a certain member (confirmed before the one, not left before the other), a
 * possible one, or none.
 *
 * Bounds: all tables are fixed; a round ends when one is nearly full. One thread. */
#ifndef TESTS_SERVER_SOAK_H
#define TESTS_SERVER_SOAK_H

#include "core/base/language.h"
#include "core/base/random.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CONNECTIONS_MAX = 128,
    SIDS = 16, /* subscriptions of a connection at once; sids are used again */
    SUBJECTS = 48,
    SUBJECTS_LONE = 8, /* the last ones: no wildcard matches them, and half of them nothing at all */
    PATTERNS = 112,    /* the subjects themselves, then wildcards */
    GROUPS = 13,       /* queue group names; group 0 stands for none */
    ACCOUNTS_MAX = 16,
    SUBJECT_BYTES_MAX = 32,
    PUBLICATIONS_MAX = 2048,  /* per round */
    SUBSCRIPTIONS_MAX = 4096, /* of a round, those of earlier rounds that live on included */
    PAYLOAD_BYTES_MAX = 100 * 1024,
    ID_BYTES = 16,             /* payloads from this size on begin with round and number */
    PINGS_MAX = 64,            /* unanswered, per connection */
    INPUT_BYTES = 256 * 1024,  /* more than the largest message with its line */
    OUTPUT_BYTES = 1024 * 1024 /* a connection with more than half of it waiting gets no new work */
};

_Static_assert(INPUT_BYTES > PAYLOAD_BYTES_MAX + 4096, "a whole message must fit into the input");
_Static_assert(OUTPUT_BYTES / 2 > PAYLOAD_BYTES_MAX + 4096, "what passes the check for room must fit");

#define TICK_NEVER UINT64_MAX

struct soak_subscription {
    uint64_t sent;          /* tick of SUB */
    uint64_t confirmed;     /* tick of the PONG behind it */
    uint64_t end_sent;      /* tick of UNSUB; on a close, of the last PING that was answered */
    uint64_t end_confirmed; /* from here on nothing may come */
    uint64_t delivered;     /* messages since SUB */
    uint64_t certain;       /* publications that were certain to match; counted when max is set */
    uint32_t connection;    /* its serial */
    uint32_t max;           /* of UNSUB, 0: none */
    uint32_t closed_round;  /* in which its connection closed, 0: open */
    uint16_t pattern;
    uint8_t group; /* 0: plain */
    uint8_t account;
};

struct soak_publication {
    uint64_t sent;
    uint64_t confirmed;  /* TICK_NEVER where the publisher closed before */
    uint32_t connection; /* serial of the publisher */
    uint32_t size_bytes;
    int32_t next;  /* later one of the same connection that is not confirmed, -1: none */
    uint16_t slot; /* of the publisher */
    uint16_t subject;
    uint16_t no_responders; /* 503s that came for it */
    uint8_t account;
    bool reply;
    bool header;
    bool echo; /* the publisher gets its own messages */
};

enum sabotage {
    SABOTAGE_NONE,
    SABOTAGE_DROP,          /* forget a delivery */
    SABOTAGE_DUPLICATE,     /* count one twice */
    SABOTAGE_PAYLOAD,       /* change a byte */
    SABOTAGE_ORDER,         /* believe that a later one of the publisher came before */
    SABOTAGE_STRANGER,      /* book it on a subscription that does not match */
    SABOTAGE_MEMBER,        /* book a queue delivery on a second member too */
    SABOTAGE_NO_RESPONDERS, /* forget a 503 */
    SABOTAGES
};

/* What was sent, what came, and the verdicts. */
struct soak_model {
    uint64_t seed;
    uint64_t tick;
    uint32_t round; /* from 1 */
    uint32_t publication_count;
    uint32_t subscription_count;
    enum sabotage sabotage;
    uint32_t accounts;  /* 0: there are none */
    bool strict_queues; /* a group that somebody is leaving must still deliver exactly once */

    uint64_t passed;
    uint64_t failed;
    uint64_t published;
    uint64_t deliveries;
    uint64_t certain_plain; /* verdicts that allowed one outcome only */
    uint64_t certain_groups;
    uint64_t certain_no_responders;
    uint64_t lost_to_leavers; /* queue deliveries that went to a member that was leaving */
    uint64_t stragglers;      /* of a publisher that was cut off, behind the end of its round */

    char subjects[SUBJECTS][SUBJECT_BYTES_MAX];
    char patterns[PATTERNS][SUBJECT_BYTES_MAX];
    bool matches[PATTERNS][SUBJECTS];
    struct soak_subscription subscriptions[SUBSCRIPTIONS_MAX];
    struct soak_publication publications[PUBLICATIONS_MAX];
    struct soak_publication previous[PUBLICATIONS_MAX]; /* of the round before */
    uint32_t previous_count;
    uint8_t seen[PUBLICATIONS_MAX][SUBSCRIPTIONS_MAX]; /* deliveries, at most 255 counted */
    uint8_t expected[PAYLOAD_BYTES_MAX];               /* scratch */
};

enum connection_state { CONNECTION_CLOSED, CONNECTION_OPEN, CONNECTION_CLOSING };

/* The newest publication that came from one publisher. */
struct soak_last {
    uint32_t connection; /* serial */
    uint32_t publication;
    uint32_t round;
};

struct soak_connection {
    enum connection_state state;
    int descriptor;
    uint32_t serial; /* a new one with every connect, from 1 */
    bool echo;
    bool greeted;                /* INFO has come */
    int64_t paused_until_ms;     /* a slow reader reads nothing until then */
    uint64_t barrier;            /* tick of the last PING that was answered */
    int32_t subscriptions[SIDS]; /* by sid, -1: free */
    int32_t first_unconfirmed;   /* publications, -1: none */
    int32_t last_unconfirmed;
    uint64_t pings[PINGS_MAX]; /* ticks, a ring */
    uint32_t pings_sent;
    uint32_t pings_answered;
    size_t input_count;
    size_t output_start;
    size_t output_count;
    uint8_t input[INPUT_BYTES];
    uint8_t output[OUTPUT_BYTES];
};

struct soak {
    struct soak_model model;
    struct random random;
    struct sockaddr_in server;
    uint32_t connection_count;
    uint32_t serials;
    uint64_t operations;
    struct soak_last last[CONNECTIONS_MAX][CONNECTIONS_MAX]; /* by receiver and publisher slot */
    struct soak_connection connections[CONNECTIONS_MAX];
};

/* What a message brought, as parsed; the pointers are into the connection's input. */
struct soak_message {
    const char *subject;
    size_t subject_count;
    const char *reply;
    size_t reply_count; /* 0: none */
    const uint8_t *header;
    size_t header_count;
    const uint8_t *payload;
    size_t payload_count;
    uint32_t sid;
};

enum { INBOX_SID = 9999 }; /* of the subscription to the connection's own replies */

/* --- soak_model.c --- */

/* Makes subjects, patterns and the table of what matches what. `model` is all zero but for the options. */
void model_init(struct soak_model *model, struct random *random);

/* With accounts, connection slots are in them in turn: users u0, u1.. with their names as passwords. Each odd
 * one imports all streams of the one before it, under the same subjects. */
uint8_t model_account(const struct soak_model *model, uint32_t slot);
bool model_imports(uint8_t account);

/* Prints one line (the first few of a run only) and counts a failure. */
void model_fail(struct soak_model *model, const char *format, ...) PRINTF_LIKE(2, 3);

/* The bytes of a publication of this round or another; `model->expected` holds them until the next call. */
const uint8_t *model_payload(struct soak_model *model, uint32_t round, uint32_t number, size_t count);

/* Judges the round: each publication against each subscription. All connections are quiet. */
void model_judge(struct soak_model *model);

/* Starts the next round: drops subscriptions that ended. `moved[i]` becomes the new index of i, or -1. */
void model_next_round(struct soak_model *model, int32_t moved[SUBSCRIPTIONS_MAX]);

/* --- soak_receive.c --- */

/* The texts that carry a publication's number beside its payload. */
size_t soak_reply(char *reply, size_t reply_bytes, uint32_t connection, uint32_t round, uint32_t number);
size_t soak_header(char *header, size_t header_bytes, uint32_t round, uint32_t number);

/* True when the server has forgotten it because max was reached, so that its sid is free. While UNSUB is
 * under way more than max may come: the server removes the subscription at once when it reads a max that is
 * reached. */
bool soak_subscription_spent(const struct soak_subscription *s);

/* From `tick` on nothing may come for it. */
void soak_subscription_end(struct soak_subscription *s, uint64_t tick);

/* Checks a message against what was published and books it. */
void message_received(struct soak *soak, uint32_t slot, const struct soak_message *message);

/* --- soak_connection.c --- */

/* Connects and queues CONNECT, the inbox's SUB and a PING. False when the server refuses. */
bool connection_open(struct soak *soak, uint32_t slot);

/* True while there is room for one more operation. */
bool connection_has_room(const struct soak_connection *connection);

void connection_ping(struct soak *soak, uint32_t slot);
void connection_subscribe(struct soak *soak, uint32_t slot, uint16_t pattern, uint8_t group, uint32_t max);
void connection_unsubscribe(struct soak *soak, uint32_t slot, uint32_t sid);
void connection_publish(struct soak *soak, uint32_t slot, const struct soak_publication *publication);

/* Half-closes and reads on until the server has closed; `cut` resets the connection instead. */
void connection_close(struct soak *soak, uint32_t slot, bool cut);

/* Waits at most `wait_ms` for sockets, then reads and writes what is possible. */
void connections_turn(struct soak *soak, int wait_ms);

/* Milliseconds that never go back. */
int64_t soak_now_ms(void);

#endif
