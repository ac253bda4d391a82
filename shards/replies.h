/* shards/replies.h - from a service's reply back to the requester in another account (spec/security.md 5.4).
 * In the flow:  services_publish() -> reply_new() || router: foreign_deliver() -> replies_note()
 *               -> replies_run() -> backlog_publish() in the requester's account
 * The exporter sees `_R_.<prefix>.<token>`. The prefix is this shard's and exporter's own and stands in the
 * exporter's index as a wildcard subscription, so that a reply from any shard is routed here like any
 * message; the token says the place in the shard's table. Of a request that is measured (latency.h)
 * `.<hash>.T` follows, by which the shard or server of the responder knows that it has to tell, and whom: the
 * hash is the server's name's, as in nats-server, but for the last letter, which says the shard. At the
 * bounds: REPLIES_MAX outstanding on a shard, further requests are not delivered; an unanswered one is
 * forgotten after the export's threshold. Thread: the shard's. */
#ifndef SHARDS_REPLIES_H
#define SHARDS_REPLIES_H

#include "core/loop/timers.h"
#include "net/gateway_reply.h"
#include "shards/latency.h"
#include "shards/router_memo.h"
#include "shards/shadows.h"

enum {
    REPLIES_MAX = 1 << 20,
    REPLIES_PENDING_MAX = 64, /* noted while one message is delivered: one for each prefix that it hits */
    REPLY_PREFIX_BYTES = 11,  /* "_R_.", six letters, "." */
    REPLY_TOKEN_BYTES = 12,   /* 48 bits, four to a letter */
    REPLY_SUBJECT_BYTES = REPLY_PREFIX_BYTES + REPLY_TOKEN_BYTES,
    REPLY_END_BYTES = 1 + SERVER_HASH_LONG_BYTES + 2, /* ".", the hash, ".T" */
    REPLY_SUBJECT_BYTES_MAX = REPLY_SUBJECT_BYTES + REPLY_END_BYTES,
};

/* An exporter's interest in the replies to requests that came from this shard. */
struct reply_prefix {
    struct foreign foreign;
    struct shard_account *account;
    struct router_memo memo; /* of whatever subject with this prefix */
    char text[REPLY_PREFIX_BYTES];
};

struct reply {
    struct shard_account *exporter;
    struct shard_account *importer;
    struct latency *latency; /* NULL: not sampled */
    struct responder *told;  /* who answers, as his shard told just before his answer; NULL: nothing */
    const struct responder *answered; /* the same while replies_run() passes the answer on; or of the reply
                                         that this one answers, or of `by` */
    const struct client *by;          /* likewise, of this shard */
    struct timer timer;
    uint64_t token;  /* its slot in the lower bits */
    int64_t used_ns; /* when the last reply came, or the request */
    int64_t threshold_ns;
    uint8_t response; /* enum response_type */
    bool done;        /* its last reply is being passed on, or was */
    bool measured;    /* its subject ends with the hash and ".T" */
    bool doubtful;    /* a subscription that would get it goes: replies_doubt() */
    struct reply *next_spent;
    char answer[REPLY_SUBJECT_BYTES_MAX]; /* where the requester may answer a reply */
    uint32_t subject_count;
    uint8_t subject[]; /* the requester's reply */
};

/* A reply that was delivered to the server. A view, as a message is. */
struct pending_reply {
    struct reply *reply; /* there until replies_run() has ended: see `spent`. NULL: what another server
                            has measured */
    const struct reply
        *through; /* which was just passed on, likewise; NULL: none, this comes from a client */
    struct message message;
};

/* All outstanding replies of a shard. All zero is empty. */
struct replies {
    struct reply **slots;
    uint32_t *free_slots;
    uint32_t slot_count;
    uint32_t free_count;
    struct pending_reply *pending; /* room for REPLIES_PENDING_MAX; made with the first prefix */
    uint32_t pending_count;
    const struct reply *passing; /* what replies_run() is passing on */
    struct foreign halves;       /* in the system account: what other servers have measured for this shard */
    struct shard_account *halves_in; /* NULL: it is not */
    bool halves_missing;             /* but shall be */
    char end[REPLY_END_BYTES];       /* of those that are measured */
    struct reply *spent;             /* done; freed when nothing that is pending can point into them */
    bool running;                    /* replies_run() is under way */
};

/* Whether a subject has the form that services are asked to reply to. */
static inline bool reply_is(struct bytes subject)
{
    return (subject.count == REPLY_SUBJECT_BYTES || subject.count == REPLY_SUBJECT_BYTES_MAX) &&
           memcmp(subject.data, "_R_.", 4) == 0 && subject.data[REPLY_PREFIX_BYTES - 1] == '.';
}

/* Whether a reply is that of a request which is being measured, here or on any other server. */
static inline bool reply_is_measured(struct bytes reply)
{
    return reply.count > REPLY_END_BYTES && reply.data[reply.count - 1] == 'T' &&
           reply.data[reply.count - 2] == '.' && memcmp(reply.data, "_R_.", 4) == 0;
}

/* What the reply of a message that came to this thread is. */
static inline void replies_mark(struct message *message)
{
    message->mapped_reply = gateway_reply_is(message->reply);
    message->measured_reply =
        reply_is_measured(message->mapped_reply ? gateway_reply_stripped(message->reply) : message->reply);
}

/* Makes the end of measured replies' subjects; `clustered`: there may be other servers. On an error
 * (ERR_MEMORY) there is nothing to close. */
MUST_USE enum err replies_init(struct replies *replies, struct bytes server_name, uint32_t shard,
                               bool clustered);

/* Once a turn, while `halves_missing`: puts this shard's interest in what other servers measure in place.
 * Long before the first request: between servers accounts have connections of their own, so what the system
 * account wants could come behind a request, and behind its answer. At the bound: a mailbox is full: the next
 * turn asks again; memory out: the same. */
void replies_halves_open(struct shard *shard);

/* The shard of this server that waits for such a reply; SHARDS_MAX: none does, or it is another server. */
uint32_t replies_shard_of(const struct shard *shard, struct bytes reply);

/* A client of another shard is about to publish this reply: who he is. Takes `responder`, which may be NULL.
 */
void replies_told(struct shard *shard, struct shard_account *exporter, struct bytes reply,
                  struct responder *responder);

/* Puts the exporter's prefix of this shard in place. HOST_FULL: a mailbox is full. */
enum host_result replies_prefix_open(struct shard *shard, struct shard_account *exporter);

/* A mapping for a request's reply; the exporter's prefix is in place. What it has of `latency` is the
 * caller's to put in; until it is published or freed the mapping owns it. NULL: memory is out, or the bound
 * is reached. */
MUST_USE struct reply *reply_new(struct shard *shard, struct shard_account *exporter,
                                 struct shard_account *importer, struct bytes subject);

/* Begins to wait for it. HOST_MEMORY: it is not waited for; free it. */
enum host_result reply_wait(struct shard *shard, struct reply *reply, enum response_type response,
                            int64_t threshold_ns);

/* What the exporter is to reply to. Returns its bytes. */
size_t reply_subject(const struct shard *shard, const struct reply *reply, char out[REPLY_SUBJECT_BYTES_MAX]);

/* Forgets it. */
void reply_free(struct shard *shard, struct reply *reply);

/* A message came to a prefix; true: an outstanding reply waits for it. It is passed on by replies_run(),
 * which must follow as soon as nobody looks at a match any more. */
bool replies_note(struct shard *shard, struct reply_prefix *prefix, const struct message *message);
void replies_run(struct shard *shard);

/* The same of what another server has measured. */
bool replies_note_half(struct shard *shard, const struct message *message);

/* The timer of a reply is due. */
void reply_due(struct shard *shard, struct timer *timer);

/* A subscription of that account is about to go: notes the replies that may be waited for no more; true:
 * there are some, so that replies_interest_gone() is to follow when it has gone. Looks at a bounded number
 * only. */
bool replies_doubt(struct shard *shard, const struct shard_account *importer,
                   const struct subscription *subscription);

/* Forgets those of the noted ones that nobody wants now. */
void replies_interest_gone(struct shard *shard, struct shard_account *importer);

/* Takes the prefix out of the account's index. For accounts_close(). */
void replies_prefix_close(struct shard_account *account);

/* Forgets all. */
void replies_close(struct shard *shard);

#endif
