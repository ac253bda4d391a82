/* raft/election.c - timers, votes, and every change of role (paper 5.2, 5.4.1; dissertation 4.2.3, 9.6). */
#include "raft/machine.h"

#define TO(role) (1U << (role))

static const uint8_t moves[RAFT_ROLES] = {
    [RAFT_FOLLOWER] = TO(RAFT_FOLLOWER) | TO(RAFT_PRE_CANDIDATE) | TO(RAFT_CANDIDATE) | TO(RAFT_HALTED),
    [RAFT_PRE_CANDIDATE] = TO(RAFT_FOLLOWER) | TO(RAFT_PRE_CANDIDATE) | TO(RAFT_CANDIDATE) | TO(RAFT_HALTED),
    [RAFT_CANDIDATE] =
        TO(RAFT_FOLLOWER) | TO(RAFT_PRE_CANDIDATE) | TO(RAFT_CANDIDATE) | TO(RAFT_LEADER) | TO(RAFT_HALTED),
    [RAFT_LEADER] = TO(RAFT_FOLLOWER) | TO(RAFT_HALTED),
    [RAFT_HALTED] = 0,
};

void raft_timeout_draw(struct raft *raft)
{
    bool stands = raft->role == RAFT_PRE_CANDIDATE || raft->role == RAFT_CANDIDATE;
    uint32_t ticks = stands ? raft->options.candidate_ticks : raft->options.election_ticks;
    raft->timeout_ticks = ticks + random_below(&raft->random, ticks);
}

void raft_move(struct raft *raft, enum raft_role next)
{
    ASSERT(moves[raft->role] & TO(next));
    if (raft->role == RAFT_LEADER) {
        raft_reads_fail(raft);
        raft->transfer_to = 0;
        raft->pinned = (struct raft_snapshot){0};
    }
    raft->role_changed |= raft->role != next;
    raft->role = next;
    raft->elapsed_ticks = 0;
    raft_timeout_draw(raft);
}

/* What was to be said in another term, or as a leader, is of no use any more. */
static void enter_term(struct raft *raft, uint64_t term)
{
    ASSERT(term > raft->term);
    raft->term = term;
    raft->voted_for = 0;
    raft->hard_state_dirty = true;
    raft->outbox_count = 0;
}

void raft_follow(struct raft *raft, uint64_t term, uint64_t leader)
{
    if (term > raft->term)
        enter_term(raft, term);
    raft_move(raft, RAFT_FOLLOWER);
    raft->role_changed |= raft->leader != leader;
    raft->leader = leader;
    raft->verified_index = 0;
    raft->told_index = 0;
    raft->reply_due = false;
}

void raft_election_tick(struct raft *raft, struct raft_taken *taken)
{
    if (raft->elapsed_ticks >= raft->timeout_ticks)
        raft_campaign(raft, false, taken);
}

/* The rest of the wait is for leaders that are slow. A part of it stays, different for each, so that two do
 * not stand at once; and a lease stays what it was. Votes are held back no more: the others may have noticed
 * as well. */
void raft_leader_gone(struct raft *raft, uint64_t leader)
{
    if (raft->role != RAFT_FOLLOWER || leader == 0 || raft->leader != leader || raft->options.lease_reads)
        return;
    raft->contact = false;
    uint64_t soon =
        raft->elapsed_ticks + 1 + random_below(&raft->random, raft->options.election_ticks / 4 + 1);
    raft->timeout_ticks = raft_min(raft->timeout_ticks, soon);
}

/* Asks every other voter. Of PRE_VOTE the term is the one to come. */
static void ask_for_votes(struct raft *raft, enum raft_message_kind kind)
{
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        struct raft_peer *peer = &raft->peers[i];
        peer->vote = RAFT_NO_ANSWER;
        if (!peer->voter || peer->id == raft->options.id)
            continue;
        struct raft_message *message = raft_reply(raft, peer->id, kind);
        if (message == NULL)
            continue;
        message->term = raft->term + (kind == RAFT_MESSAGE_PRE_VOTE);
        message->vote = (struct raft_vote){.last_index = raft->log.last_index,
                                           .last_term = raft_log_last_term(&raft->log),
                                           .forced = raft->forced};
    }
}

static void stand(struct raft *raft)
{
    raft_move(raft, RAFT_CANDIDATE);
    enter_term(raft, raft->term + 1);
    raft->voted_for = raft->options.id;
    raft->leader = 0;
    ask_for_votes(raft, RAFT_MESSAGE_VOTE); /* they leave when the vote for ourselves is durable */
}

/* Who votes; and who is about to vote no more: until that change is committed its log may be the only one by
 * which the group can go on, because nobody may be elected without the entry (dissertation 4.2.2). */
static bool may_stand(const struct raft *raft)
{
    const struct raft_history *newest = &raft->history[raft->history_count - 1];
    uint64_t id = raft->options.id;
    if (raft_removed(raft))
        return false;
    if (raft_membership_votes(&newest->membership, id))
        return true;
    return raft->history_count > 1 && newest->index > raft->commit_index &&
           raft_membership_votes(&raft->history[raft->history_count - 2].membership, id);
}

/* With pre-vote first, a node that cannot win changes no term, so it disturbs nobody when it comes back. What
 * is being installed holds entries that our log lacks: we could not win anyway. */
void raft_campaign(struct raft *raft, bool forced, struct raft_taken *taken)
{
    if (raft->role == RAFT_LEADER || raft->installing || !may_stand(raft)) {
        raft->elapsed_ticks = 0;
        return;
    }
    raft->forced = forced;
    if (forced) {
        stand(raft);
    } else {
        raft_move(raft, RAFT_PRE_CANDIDATE);
        raft->role_changed |= raft->leader != 0;
        raft->leader = 0;
        ask_for_votes(raft, RAFT_MESSAGE_PRE_VOTE);
    }
    raft_count_votes(raft, taken);
}

/* Our own vote counts when it is durable, like any other. */
static uint32_t count(const struct raft *raft, enum raft_opinion opinion)
{
    uint32_t votes = 0;
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        const struct raft_peer *peer = &raft->peers[i];
        bool own = peer->id == raft->options.id;
        bool own_counts =
            opinion == RAFT_GRANTED && (raft->role == RAFT_PRE_CANDIDATE || raft_hard_state_durable(raft));
        votes += peer->voter && (own ? own_counts : peer->vote == opinion);
    }
    return votes;
}

void raft_count_votes(struct raft *raft, struct raft_taken *taken)
{
    if (raft->role != RAFT_PRE_CANDIDATE && raft->role != RAFT_CANDIDATE)
        return;
    uint32_t quorum = raft_membership_quorum(raft_members(raft));
    if (RAFT_BROKEN(raft, RAFT_RULE_QUORUM))
        quorum -= quorum > 1;
    if (count(raft, RAFT_REFUSED) >= quorum) {
        raft_follow(raft, raft->term, 0);
        return;
    }
    if (raft->role == RAFT_PRE_CANDIDATE && count(raft, RAFT_GRANTED) >= quorum)
        stand(raft);
    if (raft->role == RAFT_CANDIDATE && count(raft, RAFT_GRANTED) >= quorum)
        raft_lead(raft, taken);
}

/* Dissertation 4.2.3: while a leader is heard, nobody may replace it: it may hold a lease, and who asks was
 * removed or cut off. The leader itself holds back as long as it leads. */
bool raft_vote_held_back(const struct raft *raft, const struct raft_message *message)
{
    bool question = message->kind == RAFT_MESSAGE_PRE_VOTE || message->kind == RAFT_MESSAGE_VOTE;
    return question && !message->vote.forced && (raft->role == RAFT_LEADER || raft->contact);
}

/* Paper 5.4.1: the later term in the last entry, or the same and as many entries. */
static bool up_to_date(const struct raft *raft, const struct raft_vote *vote)
{
    uint64_t term = raft_log_last_term(&raft->log);
    if (RAFT_BROKEN(raft, RAFT_RULE_UP_TO_DATE))
        return true;
    return vote->last_term > term || (vote->last_term == term && vote->last_index >= raft->log.last_index);
}

static void answer_pre_vote(struct raft *raft, const struct raft_message *message)
{
    bool grant = message->term > raft->term && up_to_date(raft, &message->vote);
    struct raft_message *reply = raft_reply(raft, message->from, RAFT_MESSAGE_PRE_VOTE_REPLY);
    if (reply == NULL)
        return;
    reply->vote_reply.granted = grant;
    if (grant)
        reply->term = message->term; /* of the question, so that it is not taken for an old answer */
}

/* Whoever asks is answered, whether it belongs to the group as we know it or not: our log may be the one that
 * is behind (dissertation 4.1). */
static void answer_vote(struct raft *raft, const struct raft_message *message)
{
    bool free = raft->voted_for == message->from || (raft->voted_for == 0 && raft->leader == 0);
    if (RAFT_BROKEN(raft, RAFT_RULE_ONE_VOTE))
        free = true;
    bool grant = free && raft->role != RAFT_LEADER && up_to_date(raft, &message->vote);
    struct raft_message *reply = raft_reply(raft, message->from, RAFT_MESSAGE_VOTE_REPLY);
    if (reply != NULL)
        reply->vote_reply.granted = grant;
    if (!grant)
        return;
    raft->hard_state_dirty |= raft->voted_for != message->from;
    raft->voted_for = message->from;
    raft_move(raft, RAFT_FOLLOWER);
}

static void take_answer(struct raft *raft, struct raft_peer *peer, const struct raft_message *message,
                        struct raft_taken *taken)
{
    bool pre_vote = message->kind == RAFT_MESSAGE_PRE_VOTE_REPLY;
    bool granted = message->vote_reply.granted;
    bool expected = pre_vote ? raft->role == RAFT_PRE_CANDIDATE && message->term == raft->term + granted
                             : raft->role == RAFT_CANDIDATE && message->term == raft->term;
    if (!expected || peer == NULL || peer->vote != RAFT_NO_ANSWER)
        return;
    peer->vote = granted ? RAFT_GRANTED : RAFT_REFUSED;
    raft_count_votes(raft, taken);
}

/* The message's term is not below ours. True: it was about elections, and is done with. */
bool raft_election_receive(struct raft *raft, struct raft_peer *peer, const struct raft_message *message,
                           struct raft_taken *taken)
{
    switch (message->kind) {
    case RAFT_MESSAGE_PRE_VOTE:
        answer_pre_vote(raft, message);
        return true;
    case RAFT_MESSAGE_VOTE:
        answer_vote(raft, message);
        return true;
    case RAFT_MESSAGE_PRE_VOTE_REPLY:
    case RAFT_MESSAGE_VOTE_REPLY:
        take_answer(raft, peer, message, taken);
        return true;
    case RAFT_MESSAGE_TIMEOUT_NOW:
        if (raft->role == RAFT_FOLLOWER && raft->leader == message->from)
            raft_campaign(raft, true, taken);
        return true;
    case RAFT_MESSAGE_APPEND:
    case RAFT_MESSAGE_APPEND_REPLY:
    case RAFT_MESSAGE_HEARTBEAT:
    case RAFT_MESSAGE_HEARTBEAT_REPLY:
    case RAFT_MESSAGE_SNAPSHOT:
    case RAFT_MESSAGE_SNAPSHOT_REPLY:
    case RAFT_MESSAGE_REMOVED:
    case RAFT_MESSAGE_KINDS:
        break;
    }
    return false;
}
