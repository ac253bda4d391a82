/* shards/streaming/replica_change.c - who comes to a cluster and who goes, by its leader
 * (docs/streaming-cluster.md 5).
 * In the flow:  a node or an operator asks -> one entry of Raft -> it waits here -> committed, or the leader
 * is lost -> the answer
 * Who is told "+OK" before that could be told wrong: a leader that is cut off takes changes which nobody will
 * ever hear of. At the bounds: an operator who finds no room among those that wait is told to try again, a
 * node that joins asks again by itself; where a mailbox is full the answer goes in a later turn. */
#include "core/base/check.h"
#include "shards/control/control_internal.h"
#include "shards/streaming/replica_inside.h"

#include <stdio.h>

#define TRY_AGAIN "try again"

enum { ANSWER_BYTES = 256 };

enum outcome { OUTCOME_WAITS, OUTCOME_COMMITTED, OUTCOME_LOST };

/* ---- what Raft is asked ---- */

static const struct raft_member *member_named(const struct raft_status *status, struct bytes name)
{
    for (uint32_t i = 0; i < status->membership->count; i++) {
        const struct raft_member *member = &status->membership->members[i];
        if (bytes_equal(bytes_of(member->name, member->name_bytes), name))
            return member;
    }
    return NULL;
}

enum raft_result change_propose(struct replica *replica, enum raft_change_kind kind, uint64_t id,
                                struct bytes name, uint64_t *index)
{
    struct raft_event event = {.kind = RAFT_EVENT_CHANGE, .change = {.kind = kind, .id = id, .name = name}};
    replica_ticks(replica, replica->now);
    return raft_driver_step(&replica->driver, &event, index);
}

bool change_heard_lately(const struct replica *replica, const struct raft_status *status, uint64_t id)
{
    for (uint32_t i = 0; i < status->peer_count; i++) {
        if (status->peers[i].id == id)
            return status->peers[i].match_index > 0 && /* else never, since this node leads */
                   status->peers[i].contact_ticks_ago < replica->options.election_ticks;
    }
    return id == replica->id;
}

static const char *problem_of(enum raft_result result, const char *when_invalid)
{
    return result == RAFT_OK ? NULL : result == RAFT_INVALID ? when_invalid : TRY_AGAIN;
}

/* ---- answers ---- */

/* False: a mailbox is full. */
static bool answer(struct replica *replica, enum form_subject subject, struct bytes reply, struct bytes name,
                   const char *problem)
{
    char text_of[ANSWER_BYTES];
    int count = snprintf(text_of, sizeof text_of, "+OK");
    if (problem != NULL && subject == FORM_JOIN)
        count = snprintf(text_of, sizeof text_of, "-ERR %.*s: %s", BYTES_PRINTF(name), problem);
    else if (problem != NULL)
        count = snprintf(text_of, sizeof text_of, "-ERR %s node \"%.*s\": %s",
                         subject == FORM_ADD ? "adding" : "removing", BYTES_PRINTF(name), problem);
    struct bytes body = bytes_of(text_of, (size_t)count);
    return reply.count == 0 || desk_publish(replica->control, 0, reply, TEXT(""), &body, 1) == 1;
}

static void note(const struct replica *replica, enum form_subject subject, struct bytes name,
                 const char *problem)
{
    bool removes = subject == FORM_REMOVE;
    if (problem == NULL)
        log_notice(replica->control->log, "STREAM: %s node \"%.*s\"", removes ? "Removed" : "Added",
                   BYTES_PRINTF(name));
    else
        log_error(replica->control->log, "STREAM: Error %s node \"%.*s\": %s",
                  removes ? "removing" : "adding", BYTES_PRINTF(name), problem);
}

/* At once: nothing was begun. Lost when a mailbox is full; whoever asked asks again. */
static void refuse(struct replica *replica, enum form_subject subject, struct bytes reply, struct bytes name,
                   const char *problem)
{
    if (subject != FORM_JOIN)
        note(replica, subject, name, problem);
    (void)answer(replica, subject, reply, name, problem);
}

/* ---- who waits ---- */

static struct change_waiter *waiter_find(struct replica_changes *changes, struct bytes reply,
                                         struct bytes name)
{
    for (uint32_t i = 0; i < changes->count; i++) {
        struct change_waiter *waiter = &changes->waiters[i];
        if (bytes_equal(bytes_of(waiter->reply, waiter->reply_bytes), reply) &&
            bytes_equal(bytes_of(waiter->name, waiter->name_bytes), name))
            return waiter;
    }
    return NULL;
}

/* Before anything is begun; NULL: it can. */
static const char *cannot_wait(const struct replica *replica, struct bytes reply)
{
    if (reply.count > CHANGE_REPLY_BYTES_MAX)
        return "the reply subject is too long";
    return replica->changes.count == CHANGE_WAITERS_MAX ? TRY_AGAIN : NULL;
}

/* `index` 0: nothing is to be changed, and that is so for good when all that is in the log now is committed.
 */
static void wait(struct replica *replica, enum form_subject subject, uint64_t index, struct bytes name,
                 struct bytes reply)
{
    struct replica_changes *changes = &replica->changes;
    struct raft_status status;
    raft_status(replica->driver.raft, &status);
    ASSERT(changes->count < CHANGE_WAITERS_MAX);
    struct change_waiter *waiter = &changes->waiters[changes->count++];
    *waiter = (struct change_waiter){
        .subject = subject,
        .made = index != 0,
        .term = status.term,
        .index = index != 0 ? index : status.last_index,
        .name_bytes = name.count,
        .reply_bytes = reply.count,
    };
    memcpy(waiter->name, name.data, name.count);
    if (reply.count > 0)
        memcpy(waiter->reply, reply.data, reply.count);
}

static enum outcome outcome_of(const struct replica *replica, const struct raft_status *status,
                               const struct change_waiter *waiter)
{
    bool leads = status->role == RAFT_LEADER && status->term == waiter->term;
    uint64_t term = 0;
    enum raft_entry_kind kind = RAFT_ENTRY_NOOP;
    if (status->commit_index < waiter->index)
        return leads ? OUTCOME_WAITS : OUTCOME_LOST;
    /* Who leads no more may have been given another entry in that place. Who has removed itself was not. */
    bool same =
        leads || (raft_entry_term(replica->driver.raft, waiter->index, &term, &kind) && term == waiter->term);
    return same ? OUTCOME_COMMITTED : OUTCOME_LOST;
}

/* False: it waits on. */
static bool waiter_answered(struct replica *replica, const struct raft_status *status,
                            const struct change_waiter *waiter)
{
    struct bytes name = bytes_of(waiter->name, waiter->name_bytes);
    enum outcome outcome = outcome_of(replica, status, waiter);
    const char *problem = outcome == OUTCOME_COMMITTED ? NULL : "leadership lost while committing log";
    if (outcome == OUTCOME_WAITS)
        return false;
    /* A node that joins asks again by itself. */
    bool silent = outcome == OUTCOME_LOST && waiter->subject == FORM_JOIN;
    if (!silent &&
        !answer(replica, waiter->subject, bytes_of(waiter->reply, waiter->reply_bytes), name, problem))
        return false;
    if (waiter->subject != FORM_JOIN || waiter->made)
        note(replica, waiter->subject, name, problem);
    return true;
}

void change_step(struct replica *replica)
{
    struct replica_changes *changes = &replica->changes;
    struct raft_status status;
    uint32_t kept = 0;
    if (changes->count == 0)
        return;
    raft_status(replica->driver.raft, &status);
    for (uint32_t i = 0; i < changes->count; i++) {
        if (!waiter_answered(replica, &status, &changes->waiters[i]))
            changes->waiters[kept++] = changes->waiters[i];
    }
    changes->count = kept;
}

/* ---- who asks ---- */

/* Who is added before it starts has no id yet: it gets one that no disk has, and takes the place by its name.
 */
static const char *add(struct replica *replica, const struct raft_status *status, struct bytes name,
                       uint64_t *index)
{
    if (member_named(status, name) != NULL)
        return NULL;
    return problem_of(
        change_propose(replica, RAFT_CHANGE_ADD_LEARNER, form_founder_id(replica, name), name, index),
        "there is no room for another node");
}

static const char *drop(struct replica *replica, const struct raft_status *status, struct bytes name,
                        uint64_t *index)
{
    const struct raft_member *member = member_named(status, name);
    if (member == NULL)
        return NULL;
    return problem_of(change_propose(replica, RAFT_CHANGE_REMOVE, member->id, TEXT(""), index),
                      "it is the last node");
}

void change_asked(struct replica *replica, enum form_subject subject, const struct desk_message *message)
{
    struct raft_status status;
    struct bytes name = message->payload;
    uint64_t index = 0;
    raft_status(replica->driver.raft, &status);
    if (name.count == 0 || name.count > RAFT_NAME_BYTES_MAX) {
        refuse(replica, subject, message->reply, TEXT(""), "invalid node ID");
        return;
    }
    const char *problem = cannot_wait(replica, message->reply);
    if (problem == NULL && status.role != RAFT_LEADER)
        problem = TRY_AGAIN;
    if (problem == NULL)
        problem =
            subject == FORM_ADD ? add(replica, &status, name, &index) : drop(replica, &status, name, &index);
    if (problem == NULL)
        wait(replica, subject, index, name, message->reply);
    else
        refuse(replica, subject, message->reply, name, problem);
}

/* A name that comes back with another id has lost its disk: the old id goes first, and the node asks again.
 */
void change_join(struct replica *replica, uint64_t id, struct bytes name, struct bytes reply)
{
    struct raft_status status;
    uint64_t index = 0;
    raft_status(replica->driver.raft, &status);
    const struct raft_member *member = member_named(&status, name);
    if (status.role != RAFT_LEADER || cannot_wait(replica, reply) != NULL ||
        waiter_find(&replica->changes, reply, name) != NULL)
        return; /* it is answered, or asks again */
    if (member != NULL && member->id != id) {
        if (change_heard_lately(replica, &status, member->id))
            refuse(replica, FORM_JOIN, reply, name, "a node of that name is in the cluster");
        else
            (void)change_propose(replica, RAFT_CHANGE_REMOVE, member->id, TEXT(""), NULL);
        return;
    }
    enum raft_result result =
        member != NULL ? RAFT_OK : change_propose(replica, RAFT_CHANGE_ADD_LEARNER, id, name, &index);
    if (result == RAFT_INVALID)
        refuse(replica, FORM_JOIN, reply, name, "there is no room for another node");
    if (result == RAFT_OK)
        wait(replica, FORM_JOIN, index, name, reply);
}
