/* raft/machine.c - the life of a machine, the rules of terms, and the one door for events. */
#include "raft/machine.h"

#include "core/base/memory.h"

struct raft_options raft_options_default(void)
{
    return (struct raft_options){
        .election_ticks = 10,
        .candidate_ticks = 10,
        .heartbeat_ticks = 1,
        .lease_ticks = 5,
        .log_entries_max = 32768,
        .trailing_entries = 10240, /* trailing_logs of NATS Streaming */
        .snapshot_entries = 8192,
        .snapshot_bytes = 256U << 20,
        .entry_bytes_max = 8U << 20,
        .append_bytes = 512U << 10,
        .append_entries = 64,
        .window = 32,
        .window_bytes = 4U << 20,
        .uncommitted_bytes = 64U << 20,
        .apply_bytes = 4U << 20,
        .chunk_bytes = 256U << 10,
        .chunk_window = 4,
        .promote_lag = 512,
    };
}

static bool options_valid(const struct raft_options *o)
{
    bool times = o->heartbeat_ticks > 0 && o->heartbeat_ticks < o->election_ticks && o->lease_ticks > 0 &&
                 o->lease_ticks <= o->election_ticks && o->heartbeat_ticks < o->lease_ticks &&
                 o->candidate_ticks >= o->election_ticks;
    bool log = o->log_entries_max >= 16 && o->log_entries_max <= 1U << 30 &&
               (o->log_entries_max & (o->log_entries_max - 1)) == 0 &&
               o->trailing_entries <= o->log_entries_max / 2;
    bool sizes = o->entry_bytes_max > 0 && o->append_bytes > 0 && o->append_entries > 0 &&
                 o->append_entries <= RAFT_ENTRIES_PER_MESSAGE_MAX && o->uncommitted_bytes > 0 &&
                 o->apply_bytes > 0 && o->chunk_bytes > 0;
    bool windows =
        o->window > 0 && o->window <= RAFT_WINDOW_MAX && o->window_bytes > 0 && o->chunk_window > 0;
    return o->id > 0 && o->id <= RAFT_NUMBER_MAX && times && log && sizes && windows;
}

static bool durable_valid(const struct raft_durable *durable)
{
    const struct raft_snapshot *snapshot = &durable->snapshot;
    uint64_t before = durable->log_first == 0 ? 0 : durable->log_first - 1;
    return durable->hard_state.term <= RAFT_NUMBER_MAX &&
           durable->hard_state.commit_index <= RAFT_NUMBER_MAX && snapshot->index <= RAFT_NUMBER_MAX &&
           snapshot->term <= RAFT_NUMBER_MAX && (snapshot->index == 0) == (snapshot->term == 0) &&
           before <= snapshot->index && (before == 0) == (durable->log_before_term == 0);
}

enum err raft_new(const struct raft_options *options, const struct raft_durable *durable,
                  struct raft **raft_out)
{
    *raft_out = NULL;
    if (!options_valid(options) || !durable_valid(durable))
        return ERR_INVALID;
    struct raft *raft = memory_new(sizeof *raft);
    if (raft == NULL)
        return ERR_MEMORY;
    raft->options = *options;
    if (raft_log_init(&raft->log, options->log_entries_max) != ERR_OK) {
        raft_free(raft);
        return ERR_MEMORY;
    }
    random_seed(&raft->random, options->random_seed);
    raft->term = raft->durable_term = durable->hard_state.term;
    raft->voted_for = raft->durable_voted_for = durable->hard_state.voted_for;
    raft->commit_index = durable->hard_state.commit_index; /* raft_start() looks at it */
    raft->snapshot = durable->snapshot;
    raft_log_reset(&raft->log, durable->log_first == 0 ? 0 : durable->log_first - 1,
                   durable->log_before_term);
    raft_history_reset(raft, durable->snapshot.index, &durable->snapshot.membership);
    *raft_out = raft;
    return ERR_OK;
}

enum err raft_restore(struct raft *raft, const struct raft_entry *entry)
{
    ASSERT(!raft->started);
    struct raft_membership membership;
    uint64_t index = raft->log.last_index + 1;
    bool changes = entry->kind == RAFT_ENTRY_MEMBERSHIP;
    if (raft_log_room(&raft->log) == 0)
        return ERR_FULL;
    if (entry->term == 0 || entry->term < raft_log_last_term(&raft->log) || entry->term > RAFT_NUMBER_MAX ||
        entry->data.count > UINT32_MAX || (changes && !raft_membership_decode(entry->data, &membership)))
        return ERR_INVALID;
    if (changes && index > raft->snapshot.index) { /* older ones are in the snapshot */
        if (!raft_history_room(raft))
            return ERR_FULL;
        raft_log_append(&raft->log, entry);
        raft_history_push(raft, index, &membership);
        return ERR_OK;
    }
    raft_log_append(&raft->log, entry);
    return ERR_OK;
}

enum err raft_start(struct raft *raft, uint64_t applied_index, bool *log_discarded)
{
    ASSERT(!raft->started);
    *log_discarded = !raft_log_matches(&raft->log, raft->snapshot.index, raft->snapshot.term);
    if (*log_discarded) {
        raft_log_reset(&raft->log, raft->snapshot.index, raft->snapshot.term);
        raft_history_truncate(raft, raft->snapshot.index);
    }
    if (applied_index < raft->snapshot.index || applied_index > raft->log.last_index)
        return ERR_INVALID;
    /* A crash can leave entries, or a snapshot, without the hard state that was written behind them. Their
     * term has come; no vote that was given in it has left this node. */
    if (raft_log_last_term(&raft->log) > raft->term) {
        raft->term = raft_log_last_term(&raft->log);
        raft->voted_for = 0;
        raft->hard_state_dirty = true;
    }
    raft->started = true;
    /* The hard state may be younger than what of the log became durable. */
    raft->commit_index = raft_max(raft_min(raft->commit_index, raft->log.last_index), applied_index);
    raft->written_commit_index = raft->commit_index;
    raft->applied_index = raft->apply_sent_index = applied_index;
    raft->persisted_index = raft->log.last_index;
    raft->role = RAFT_FOLLOWER;
    raft->removed_said = raft_removed(raft);
    raft->role_changed = true;
    /* It may have been part of a leader's lease before it stopped: no vote until that has run out. A node
     * that never took part in anything has nothing to wait for. */
    raft->contact = raft->options.lease_reads && raft->log.last_index > 0;
    raft_timeout_draw(raft);
    raft_check(raft);
    return ERR_OK;
}

void raft_free(struct raft *raft)
{
    if (raft == NULL)
        return;
    raft_log_close(&raft->log);
    memory_free(raft);
}

struct raft_entry raft_bootstrap_entry(const struct raft_membership *founders, uint8_t *data)
{
    size_t count = raft_membership_encode(founders, data);
    return (struct raft_entry){.term = 1, .kind = RAFT_ENTRY_MEMBERSHIP, .data = bytes_of(data, count)};
}

struct raft_peer *raft_peer_find(struct raft *raft, uint64_t id)
{
    for (uint32_t i = 0; i < raft->peer_count; i++) {
        if (raft->peers[i].id == id)
            return &raft->peers[i];
    }
    return NULL;
}

struct raft_message *raft_reply(struct raft *raft, uint64_t to, enum raft_message_kind kind)
{
    if (raft->outbox_count == RAFT_OUTBOX_MAX) {
        raft->dropped_messages++;
        return NULL;
    }
    struct raft_message *message = &raft->outbox[raft->outbox_count++];
    *message = (struct raft_message){.kind = kind, .from = raft->options.id, .to = to, .term = raft->term};
    return message;
}

bool raft_hard_state_durable(const struct raft *raft)
{
    if (RAFT_BROKEN(raft, RAFT_RULE_PERSIST_VOTE))
        return true;
    return raft->durable_term == raft->term && raft->durable_voted_for == raft->voted_for;
}

/* What holds between any two steps. */
void raft_check(const struct raft *raft)
{
    ASSERT(raft->applied_index <= raft->apply_sent_index);
    ASSERT(raft->apply_sent_index <= raft->commit_index);
    ASSERT(raft->commit_index <= raft->log.last_index);
    ASSERT(raft->persisted_index <= raft->log.last_index);
    ASSERT(raft->apply_sent_index <= raft->persisted_index);
    ASSERT(raft->snapshot.index <= raft->applied_index);
    ASSERT(raft->log.first_index <= raft->snapshot.index + 1);
    ASSERT(raft_log_last_term(&raft->log) <= raft->term);
    ASSERT(raft->durable_term <= raft->term);
    ASSERT(raft->history_count >= 1 && raft->history[0].index <= raft->snapshot.index);
    ASSERT(raft->history[raft->history_count - 1].index <= raft->log.last_index);
    ASSERT(raft->role != RAFT_LEADER || raft->leader == raft->options.id);
    ASSERT(raft->role != RAFT_CANDIDATE || raft->voted_for == raft->options.id);
    ASSERT(raft->role == RAFT_LEADER || raft->read_count == 0);
    ASSERT(raft->role == RAFT_LEADER || raft->transfer_to == 0);
    ASSERT(raft->verified_index <= raft->log.last_index);
}

static bool leaders_message(enum raft_message_kind kind)
{
    return kind == RAFT_MESSAGE_APPEND || kind == RAFT_MESSAGE_HEARTBEAT || kind == RAFT_MESSAGE_SNAPSHOT;
}

/* A message of an older term. Who believes to lead is told, so that it stops; else a node that has once seen
 * a higher term (it stood for election while it was cut off) could never be led again. */
static void answer_old(struct raft *raft, const struct raft_message *message)
{
    struct raft_message *reply = NULL;
    if (message->kind == RAFT_MESSAGE_PRE_VOTE)
        reply = raft_reply(raft, message->from, RAFT_MESSAGE_PRE_VOTE_REPLY); /* granted: false */
    else if (leaders_message(message->kind))
        reply = raft_reply(raft, message->from, RAFT_MESSAGE_APPEND_REPLY);
    if (reply != NULL && leaders_message(message->kind))
        reply->append_reply.refused = true;
}

/* Paper 5.1: a higher term makes a follower. Not for questions about a term that may come. */
static void see_term(struct raft *raft, const struct raft_message *message)
{
    bool future = message->kind == RAFT_MESSAGE_PRE_VOTE ||
                  (message->kind == RAFT_MESSAGE_PRE_VOTE_REPLY && message->vote_reply.granted);
    if (message->term > raft->term && !future)
        raft_follow(raft, message->term, leaders_message(message->kind) ? message->from : 0);
}

static enum raft_result receive_from_leader(struct raft *raft, const struct raft_message *message,
                                            struct raft_taken *taken)
{
    if (raft->role == RAFT_LEADER) { /* two leaders of one term: the paper's election safety is broken */
        raft->violations++;
        return RAFT_VIOLATION;
    }
    if (raft->role != RAFT_FOLLOWER || raft->leader != message->from)
        raft_follow(raft, raft->term, message->from);
    raft->elapsed_ticks = 0;
    raft->contact = true;
    raft->contact_tick = raft->tick;
    switch (message->kind) {
    case RAFT_MESSAGE_APPEND:
        return raft_follower_append(raft, message, taken);
    case RAFT_MESSAGE_SNAPSHOT:
        return raft_receive_chunk(raft, message, taken);
    default: /* leaders_message() knows the kinds */
        return raft_follower_heartbeat(raft, message);
    }
}

static enum raft_result receive(struct raft *raft, const struct raft_message *message,
                                struct raft_taken *taken)
{
    if (message->to != raft->options.id || message->from == raft->options.id || message->from == 0 ||
        message->term == 0 || message->term > RAFT_NUMBER_MAX || message->kind >= RAFT_MESSAGE_KINDS)
        return RAFT_INVALID;
    if (message->kind == RAFT_MESSAGE_REMOVED) { /* before terms: who was cut off may have a higher one */
        raft_removed_take(raft, &message->removed);
        return RAFT_OK;
    }
    struct raft_peer *peer = raft_peer_find(raft, message->from);
    if (peer == NULL)
        raft_removed_answer(raft, message->from);
    if (message->term > raft->term && raft_vote_held_back(raft, message))
        return RAFT_OK;
    see_term(raft, message);
    if (message->term < raft->term) {
        answer_old(raft, message);
        return RAFT_OK;
    }
    if (raft_election_receive(raft, peer, message, taken))
        return RAFT_OK;
    if (leaders_message(message->kind))
        return receive_from_leader(raft, message, taken);
    if (raft->role == RAFT_LEADER && peer != NULL)
        return raft_leader_receive(raft, peer, message);
    return RAFT_OK;
}

static void tick(struct raft *raft, struct raft_taken *taken)
{
    raft->tick++;
    raft->elapsed_ticks++;
    if (raft->contact && raft->tick - raft->contact_tick >= raft->options.election_ticks)
        raft->contact = false;
    if (raft->role == RAFT_LEADER)
        raft_leader_tick(raft);
    else
        raft_election_tick(raft, taken);
}

static void halt(struct raft *raft)
{
    raft->outbox_count = 0;
    if (raft->role == RAFT_LEADER)
        raft_hand_over(raft); /* promises nothing, and saves the others an election timeout */
    raft_move(raft, RAFT_HALTED);
}

static enum raft_result step(struct raft *raft, const struct raft_event *event, struct raft_taken *taken)
{
    switch (event->kind) {
    case RAFT_EVENT_TICK:
        tick(raft, taken);
        return RAFT_OK;
    case RAFT_EVENT_MESSAGE:
        return receive(raft, event->message, taken);
    case RAFT_EVENT_PROPOSE:
        return raft_propose(raft, event, taken);
    case RAFT_EVENT_PERSISTED:
        raft_persisted(raft, event->persist_seq);
        raft_count_votes(raft, taken);
        return RAFT_OK;
    case RAFT_EVENT_PERSIST_FAILED:
        halt(raft);
        return RAFT_OK;
    case RAFT_EVENT_APPLIED:
        raft_applied(raft, event->applied_index);
        return RAFT_OK;
    case RAFT_EVENT_READ:
        return raft_read(raft, event->read_id);
    case RAFT_EVENT_TRANSFER:
        return raft_transfer(raft, event->peer);
    case RAFT_EVENT_CHANGE:
        return raft_change(raft, &event->change, taken);
    case RAFT_EVENT_CAMPAIGN:
        raft_campaign(raft, false, taken);
        return RAFT_OK;
    case RAFT_EVENT_UNREACHABLE: {
        struct raft_peer *peer = raft->role == RAFT_LEADER ? raft_peer_find(raft, event->peer) : NULL;
        if (peer != NULL && peer->progress.state != RAFT_SNAPSHOT)
            raft_progress_probe(&peer->progress);
        return RAFT_OK;
    }
    case RAFT_EVENT_LEADER_GONE:
        raft_leader_gone(raft, event->peer);
        return RAFT_OK;
    case RAFT_EVENT_SNAPSHOT_TAKEN:
        return raft_snapshot_taken(raft, event->snapshot.index, event->snapshot.size_bytes);
    case RAFT_EVENT_SNAPSHOT_FAILED:
        raft->taking = (struct raft_snapshot){0};
        return RAFT_OK;
    case RAFT_EVENT_SNAPSHOT_INSTALLED:
        return raft_installed(raft);
    case RAFT_EVENT_INSTALL_FAILED:
        raft->installing = false;
        raft->incoming = (struct raft_snapshot){0};
        return RAFT_OK;
    }
    return RAFT_INVALID;
}

enum raft_result raft_step(struct raft *raft, const struct raft_event *event, struct raft_taken *taken)
{
    ASSERT(raft->started);
    *taken = (struct raft_taken){0};
    if (raft->role == RAFT_HALTED)
        return RAFT_FAILED;
    enum raft_result result = step(raft, event, taken);
    raft_check(raft);
    return result;
}
