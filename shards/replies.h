/* shards/replies.h - from a service's reply back to the requester in another account (spec/security.md 5.4).
 * In the flow:  services_publish() -> reply_new() || router: foreign_deliver() -> replies_note()
 *               -> replies_run() -> backlog_publish() in the requester's account
 * The exporter sees `_R_.<prefix>.<token>`. The prefix is this shard's and exporter's own and stands in the
 * exporter's index as a wildcard subscription, so that a reply from any shard is routed here like any
 * message; the token says the place in the shard's table. At the bounds: REPLIES_MAX outstanding on a shard,
 * further requests are not delivered; an unanswered one is forgotten after the export's threshold. Thread:
 * the shard's. */
#ifndef SHARDS_REPLIES_H
#define SHARDS_REPLIES_H

#include "core/loop/timers.h"
#include "shards/latency.h"
#include "shards/router_memo.h"
#include "shards/shadows.h"

enum {
    REPLIES_MAX = 1 << 20,
    REPLIES_PENDING_MAX = 64, /* noted while one message is delivered: one for each prefix that it hits */
    REPLY_PREFIX_BYTES = 11,  /* "_R_.", six letters, "." */
    REPLY_TOKEN_BYTES = 12,   /* 48 bits, four to a letter */
    REPLY_SUBJECT_BYTES = REPLY_PREFIX_BYTES + REPLY_TOKEN_BYTES,
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
    struct timer timer;
    uint64_t token;  /* its slot in the lower bits */
    int64_t used_ns; /* when the last reply came, or the request */
    int64_t threshold_ns;
    uint8_t response; /* enum response_type */
    bool done;        /* its last reply is being passed on, or was */
    bool doubtful;    /* a subscription that would get it goes: replies_doubt() */
    struct reply *next_spent;
    char answer[REPLY_SUBJECT_BYTES]; /* where the requester may answer a reply */
    uint32_t subject_count;
    uint8_t subject[]; /* the requester's reply */
};

/* A reply that was delivered to the server. A view, as a message is. */
struct pending_reply {
    struct reply *reply; /* there until replies_run() has ended: see `spent` */
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
    struct reply *spent; /* done; freed when nothing that is pending can point into them */
    bool running;        /* replies_run() is under way */
};

/* Whether a subject has the form that services are asked to reply to. */
static inline bool reply_is(struct bytes subject)
{
    return subject.count == REPLY_SUBJECT_BYTES && memcmp(subject.data, "_R_.", 4) == 0 &&
           subject.data[REPLY_PREFIX_BYTES - 1] == '.';
}

/* Puts the exporter's prefix of this shard in place. HOST_FULL: a mailbox is full. */
enum host_result replies_prefix_open(struct shard *shard, struct shard_account *exporter);

/* A mapping for a request's reply; the exporter's prefix is in place. NULL: memory is out, or the bound is
 * reached. */
MUST_USE struct reply *reply_new(struct shard *shard, struct shard_account *exporter,
                                 struct shard_account *importer, struct bytes subject);

/* Begins to wait for it. HOST_MEMORY: it is not waited for; free it. */
enum host_result reply_wait(struct shard *shard, struct reply *reply, enum response_type response,
                            int64_t threshold_ns);

/* What the exporter is to reply to. */
void reply_subject(const struct reply *reply, char out[REPLY_SUBJECT_BYTES]);

/* Forgets it. */
void reply_free(struct shard *shard, struct reply *reply);

/* A message came to a prefix; true: an outstanding reply waits for it. It is passed on by replies_run(),
 * which must follow as soon as nobody looks at a match any more. */
bool replies_note(struct shard *shard, struct reply_prefix *prefix, const struct message *message);
void replies_run(struct shard *shard);

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
