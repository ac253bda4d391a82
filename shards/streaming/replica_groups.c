/* shards/streaming/replica_groups.c - several groups on the same nodes: who leads one makes its members what
 * this node's copy of the first group says, and hands over to the node that is to lead
 * (docs/streaming-cluster.md 10). In the flow:  replica_turn() -> groups_step() -> changes and transfers of
 * Raft. One change at a time, and nothing is remembered but who is wanted since when: whatever is lost or
 * comes late is made good by the next look. */
#include "core/base/clock.h"
#include "shards/control/control_internal.h"
#include "shards/streaming/replica_inside.h"

#define LOOK_NS (200 * NS_PER_MS)

enum {
    RESTLESS_TIMEOUTS = 3, /* heartbeat timeouts that somebody else has been wanted for */
    LAG_MAX = 256,         /* entries: who is further behind is not asked to lead */
};

/* ---- members ---- */

/* What this node knows of the first group can be relied upon: it follows, or is, a leader. */
static bool first_is_led(const struct replica *replica, struct raft_status *status)
{
    const struct replica *first = replica->first == NULL ? replica : replica->first;
    return replica_raft_status(first, status) && !status->removed &&
           (status->role == RAFT_LEADER || (status->role == RAFT_FOLLOWER && status->leader != 0));
}

/* The first difference, made good. Where Raft cannot do it now it is asked again with the next look. */
static void members_follow(struct replica *replica, const struct raft_status *own)
{
    struct raft_status first;
    if (!first_is_led(replica, &first) || first.membership->count == 0)
        return;
    for (uint32_t i = 0; i < own->membership->count; i++) {
        uint64_t id = own->membership->members[i].id;
        if (id == replica->id || raft_member_find(first.membership, id) != NULL)
            continue;
        (void)change_propose(replica, RAFT_CHANGE_REMOVE, id, TEXT(""), NULL);
        return;
    }
    for (uint32_t i = 0; i < first.membership->count; i++) {
        const struct raft_member *member = &first.membership->members[i];
        if (raft_member_find(own->membership, member->id) != NULL)
            continue;
        (void)change_propose(replica, RAFT_CHANGE_ADD_LEARNER, member->id,
                             bytes_of(member->name, member->name_bytes), NULL);
        return;
    }
}

/* ---- who leads ---- */

static const struct raft_peer_status *peer_of(const struct raft_status *status, uint64_t id)
{
    for (uint32_t i = 0; i < status->peer_count; i++) {
        if (status->peers[i].id == id)
            return &status->peers[i];
    }
    return NULL;
}

/* Whether another node is to lead: *id, 0 is anybody. */
static bool other_wanted(const struct replica *replica, const struct raft_status *own, uint64_t *id)
{
    bool alive[RAFT_MEMBERS_MAX];
    struct raft_status first;
    *id = 0;
    if (replica->first != NULL && !first_is_led(replica, &first))
        return true; /* removed, or cut off */
    for (uint32_t i = 0; i < own->membership->count; i++)
        alive[i] = change_heard_lately(replica, own, own->membership->members[i].id);
    *id = groups_leader(own->membership, alive, replica->group);
    return *id != 0 && *id != replica->id;
}

static bool close_behind(const struct raft_status *own, uint64_t id)
{
    const struct raft_peer_status *peer = peer_of(own, id);
    return id == 0 || (peer != NULL && peer->match_index + LAG_MAX > own->last_index);
}

static void balance(struct replica *replica, const struct raft_status *own)
{
    struct replica_balance *state = &replica->balance;
    uint64_t wanted = 0;
    bool restless = other_wanted(replica, own, &wanted);
    if (!restless || !state->restless || wanted != state->wanted) {
        state->restless = restless;
        state->wanted = wanted;
        state->since_ns = replica->now.now_ns;
        return;
    }
    int64_t timeout_ns = replica->control->snapshot->options->streaming.cluster.heartbeat_timeout_ns;
    if (replica->now.now_ns - state->since_ns < RESTLESS_TIMEOUTS * timeout_ns || own->transfer_to != 0 ||
        !close_behind(own, wanted))
        return;
    struct raft_event event = {.kind = RAFT_EVENT_TRANSFER, .peer = wanted};
    log_notice(replica->control->log, "STREAM: %shanding leadership over", replica->tag);
    replica_ticks(replica, replica->now);
    (void)raft_driver_step(&replica->driver, &event, NULL); /* what fails is tried again, as long later */
    state->since_ns = replica->now.now_ns;
}

/* ---- turns ---- */

void groups_step(struct replica *replica)
{
    struct raft_status own;
    if (replica->group_count == 1 || replica->balance.next_ns > replica->now.now_ns)
        return;
    replica->balance.next_ns = replica->now.now_ns + LOOK_NS;
    if (!replica->leads || replica->stopping) {
        replica->balance.restless = false;
        return;
    }
    raft_status(replica->driver.raft, &own);
    if (replica->first != NULL) {
        members_follow(replica, &own);
        form_promote(replica);
    }
    balance(replica, &own);
}

int64_t groups_next_ns(const struct replica *replica)
{
    return replica->group_count == 1 || !replica->leads ? INT64_MAX : replica->balance.next_ns;
}
