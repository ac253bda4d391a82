/* shards/streaming/replica.c - see replica.h: a node's life, its ticks, and what the driver asks of the
 * world. */
#include "shards/streaming/replica.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/codec/nuid.h"
#include "shards/control/control_internal.h"
#include "shards/streaming/replica_inside.h"
#include "store/record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    TICKS_PER_TIMEOUT = 20,  /* of the heartbeat timeout: a tick is 100 ms by default */
    LOG_ENTRIES_MIN = 65536, /* 1 MiB of memory */
    LATE_TICKS_MAX = 64,     /* of a process that stood still: more change nothing */
    NODE_RECORD_BYTES = 8 + RAFT_NAME_BYTES_MAX,
};

#define NODE_KEY TEXT("node")
#define GROUPS_KEY TEXT("groups") /* a byte; there with several groups only */

struct streaming_now replica_moment(struct replica *replica)
{
    int64_t now_ns = replica->control->now_ns;
    if (replica->now.now_ns != now_ns)
        replica->now = (struct streaming_now){.now_ns = now_ns, .wall_ns = clock_wall_ns()};
    return replica->now;
}

/* ---- the end ---- */

void replica_abort(const struct replica *replica, const char *sentence, enum err err)
{
    log_fatal(replica->control->log, "STREAM: %s: %s%s%s", sentence, err_text(err),
              store_error(replica->store)[0] == 0 ? "" : "; ", store_error(replica->store));
    abort(); /* as when a sync fails: what was promised is safe, and nothing else is */
}

void replica_give_up(struct replica *replica, const char *sentence)
{
    log_fatal(replica->control->log, "STREAM: %s", sentence);
    control_end(replica->control, EXIT_FAILURE);
}

/* ---- what the driver asks of the world ---- */

static void send_message(void *self, const struct raft_message *message)
{
    struct replica *replica = self;
    size_t count = raft_message_bytes(message);
    uint8_t *to = peers_reserve(&replica->peers, count);
    if (to != NULL) {
        raft_message_encode(message, replica->group, to);
        if (peers_send(&replica->peers, message->to, PEERS_RAFT, count))
            return;
    }
    for (uint32_t i = 0; i < replica->unreachable_count; i++) {
        if (replica->unreachable[i] == message->to)
            return;
    }
    if (replica->unreachable_count < RAFT_MEMBERS_MAX) /* the driver may not be called back from here */
        replica->unreachable[replica->unreachable_count++] = message->to;
}

static void lead(struct replica *replica, bool leads)
{
    if (replica->leads == leads)
        return;
    replica->leads = leads;
    replica->opened = replica->opened && leads;
    replica->changed = true;
    if (!leads)
        log_notice(replica->control->log,
                   "STREAM: %sserver lost leadership, performing leader stepdown actions", replica->tag);
    streaming_lead(replica->machine, replica->now, leads);
    if (!leads)
        log_notice(replica->control->log, "STREAM: %sfinished leader stepdown actions", replica->tag);
}

/* A leader that has removed itself ends its process, as in the original; others stay without a part in the
 * cluster, for the NATS server that they may be as well. */
static void look_at_removal(struct replica *replica, const struct raft_status *status)
{
    bool removed = status->removed && !replica->removed;
    replica->removed = status->removed;
    if (!removed)
        return;
    replica->ends = replica->raft_leads;
    log_notice(replica->control->log, "STREAM: %sThis node was removed from Raft group %s%s", replica->tag,
               replica->control->snapshot->options->streaming.cluster_id,
               replica->ends ? ", shutting down"
                             : "; it will not be elected, nor hear of messages, any more");
}

/* Whose term it is decides which entries are our own, so this is called before any of a term are applied. */
static void look_at_role(struct replica *replica)
{
    struct raft_status status;
    raft_status(replica->driver.raft, &status);
    if (replica->control->snapshot->options->streaming.cluster.raft_logging)
        log_notice(replica->control->log, "STREAM: %sraft: %s in term %llu, last entry %llu, committed %llu",
                   replica->tag, replica_role(replica), (unsigned long long)status.term,
                   (unsigned long long)status.last_index, (unsigned long long)status.commit_index);
    bool leads = status.role == RAFT_LEADER;
    look_at_removal(replica, &status);
    if (replica->leads && (!leads || status.term != replica->term))
        lead(replica, false);
    if (leads && (!replica->raft_leads || status.term != replica->term))
        log_notice(replica->control->log,
                   "STREAM: %sserver became leader, performing leader promotion actions", replica->tag);
    replica->raft_leads = leads;
    replica->term = status.term;
    if (status.role == RAFT_HALTED)
        replica_abort(replica, "the log could not be written", ERR_SYSTEM);
}

static void role_changed(void *self)
{
    look_at_role(self);
}

/* The first entry of its own term is the machine's sign to lead: all before it is applied. */
static bool apply_one(struct replica *replica, uint64_t index, const struct raft_entry *entry)
{
    bool own = replica->raft_leads && entry->term == replica->term;
    if (entry->kind == RAFT_ENTRY_DATA) {
        enum err err =
            streaming_apply(replica->machine, replica->now, index, entry->data, own && replica->leads);
        if (err == ERR_FULL)
            return false;
        if (err != ERR_OK)
            replica_abort(replica, "an entry of the log could not be applied", err);
        replica->changed = true;
    }
    if (own)
        lead(replica, true);
    return true;
}

static uint32_t apply(void *self, uint64_t first_index, const struct raft_entry *entries, uint32_t count)
{
    struct replica *replica = self;
    uint32_t done = 0;
    if (replica->restore.fetching) /* the state is not whole */
        return 0;
    while (done < count && apply_one(replica, first_index + done, &entries[done]))
        done++;
    return done;
}

static void take_snapshot(void *self, const struct raft_snapshot *snapshot)
{
    struct replica *replica = self;
    struct raft_snapshot about = *snapshot;
    uint8_t *bytes = NULL;
    size_t count = 0;
    enum err err = streaming_snapshot_write(replica->machine, &bytes, &count);
    about.size_bytes = count;
    if (err == ERR_OK)
        err = replica_log_save(&replica->log, &about, bytes);
    if (err == ERR_OK)
        return;
    log_error(replica->control->log, "STREAM: unable to take a snapshot: %s", err_text(err));
    replica->failed_index = snapshot->index;
}

static void read_state(void *self, const struct raft_read_state *read)
{
    (void)self; /* nobody asks for reads: the leader's answers come from what is committed */
    (void)read;
}

/* ---- what comes in ---- */

static void take_raft(struct replica *replica, uint64_t from, struct bytes message)
{
    struct raft_decoded *decoded = replica->decoded;
    if (!replica->runs)
        return;
    enum raft_decode_result result = raft_message_decode(message, decoded);
    if (result != RAFT_DECODED || decoded->group != replica->group || decoded->message.to != replica->id ||
        decoded->message.from != from) {
        replica->peers.figures.lost++;
        return;
    }
    replica_ticks(replica, replica_moment(replica));
    (void)raft_driver_receive(&replica->driver, &decoded->message); /* its figures count what it refuses */
}

static void take(struct peers *peers, uint64_t from, enum peers_kind kind, struct bytes message)
{
    struct replica *replica = peers->host;
    switch (kind) {
    case PEERS_RAFT:
        take_raft(replica, from, message);
        return;
    case PEERS_FETCH:
        restore_asked(replica, from, message);
        return;
    case PEERS_PIECE:
        restore_piece(replica, message);
        return;
    case PEERS_KINDS:
        break;
    }
    UNREACHABLE("a frame of no kind");
}

void replica_ticks(struct replica *replica, struct streaming_now now)
{
    if (!replica->runs)
        return;
    for (int late = 0; replica->next_tick_ns <= now.now_ns && late < LATE_TICKS_MAX; late++) {
        raft_driver_tick(&replica->driver);
        replica->next_tick_ns += replica->tick_ns;
    }
    if (replica->next_tick_ns <= now.now_ns)
        replica->next_tick_ns = now.now_ns + replica->tick_ns;
}

bool replica_propose(struct replica *replica, struct streaming_now now, struct bytes command)
{
    struct raft_entry entry = {.kind = RAFT_ENTRY_DATA, .data = command};
    struct raft_event event = {.kind = RAFT_EVENT_PROPOSE, .propose = {.entries = &entry, .count = 1}};
    if (!replica->leads)
        return true; /* the machine knows, and counts on nothing */
    if (!replica_log_room(&replica->log))
        return false;
    replica_ticks(replica, now);
    switch (raft_driver_step(&replica->driver, &event, NULL)) {
    case RAFT_BUSY:
    case RAFT_NOT_READY:
        return false;
    case RAFT_INVALID:
        replica_abort(replica, "a command is larger than an entry of the log", ERR_INVALID);
        return true;
    case RAFT_OK:
        replica->giving.proposed_bytes += command.count;
        break;
    case RAFT_NOT_LEADER: /* the machine hears of it in this turn */
    case RAFT_VIOLATION:
    case RAFT_FAILED:
        break;
    }
    return true;
}

/* ---- turns ---- */

/* What could not be told from within the driver. */
static void tell_driver(struct replica *replica)
{
    for (uint32_t i = 0; i < replica->unreachable_count; i++) {
        struct raft_event event = {.kind = RAFT_EVENT_UNREACHABLE, .peer = replica->unreachable[i]};
        raft_driver_step(&replica->driver, &event, NULL);
    }
    replica->unreachable_count = 0;
    if (replica->failed_index != 0)
        raft_driver_snapshot_taken(&replica->driver, replica->failed_index, 0, ERR_SYSTEM);
    replica->failed_index = 0;
}

bool replica_turn(struct replica *replica, struct streaming_now now)
{
    replica->now = now;
    replica->changed = false;
    if (replica->runs && peers_listen(&replica->peers, replica->id)) {
        replica_ticks(replica, now);
        tell_driver(replica);
        restore_step(replica);
        replica_log_step(&replica->log, &replica->driver, now.wall_ns);
        raft_driver_turn(&replica->driver);
        change_step(replica);
        watch_step(replica);
    }
    if (replica->ends) { /* all that it had to say as a leader has left */
        replica->ends = false;
        control_end(replica->control, EXIT_SUCCESS);
    }
    if (replica->first == NULL)
        form_step(replica);
    groups_step(replica);
    return replica->changed;
}

int64_t replica_next_ns(const struct replica *replica)
{
    int64_t due_ns = replica->first == NULL ? form_next_ns(replica) : INT64_MAX;
    if (!replica->runs)
        return due_ns;
    int64_t groups_ns = groups_next_ns(replica);
    due_ns = groups_ns < due_ns ? groups_ns : due_ns;
    int64_t restore_ns = restore_next_ns(replica);
    due_ns = restore_ns < due_ns ? restore_ns : due_ns;
    return replica->next_tick_ns < due_ns ? replica->next_tick_ns : due_ns;
}

bool replica_leads(const struct replica *replica)
{
    return replica->leads;
}

void replica_subjects_opened(struct replica *replica)
{
    if (!replica->leads || replica->opened)
        return;
    replica->opened = true;
    log_notice(replica->control->log, "STREAM: %sfinished leader promotion actions", replica->tag);
    if (replica->first == NULL)
        log_notice(replica->control->log, "STREAM: Streaming Server is ready");
}

/* ---- who this is ---- */

struct node_record {
    uint8_t bytes[NODE_RECORD_BYTES];
    size_t count;         /* 0: there is none */
    bool bad;             /* it is not what was written */
    bool was_streaming;   /* the store has served alone */
    uint32_t group_count; /* 0: there is no record */
};

static enum err node_take(void *context, const struct store_state *state)
{
    struct node_record *record = context;
    record->was_streaming |= state->kind == STORE_STATE_SERVER;
    if (state->kind == STORE_STATE_RAFT && bytes_equal(state->id, GROUPS_KEY)) {
        record->bad |= state->part_count != 1 || state->parts[0].count != 1;
        record->group_count = record->bad ? 0 : state->parts[0].data[0];
        return ERR_OK;
    }
    if (state->kind != STORE_STATE_RAFT || !bytes_equal(state->id, NODE_KEY))
        return ERR_OK;
    size_t count = state->parts[0].count;
    record->bad |= state->part_count != 1 || count <= 8 || count > sizeof record->bytes;
    if (record->bad)
        return ERR_OK;
    record->count = count;
    memcpy(record->bytes, state->parts[0].data, count);
    return ERR_OK;
}

enum err replica_identify(struct replica *replica, uint64_t id)
{
    uint8_t record[NODE_RECORD_BYTES], groups = (uint8_t)replica->group_count;
    size_t name_bytes = strlen(replica->name);
    enum err err = ERR_OK;
    if (replica->group_count > 1) /* first: who is a node knows of how many groups */
        err = store_state_put(replica->store, STORE_STATE_RAFT, NULL, GROUPS_KEY, bytes_of(&groups, 1));
    else if (replica->groups_stored)
        err = store_state_delete(replica->store, STORE_STATE_RAFT, NULL, GROUPS_KEY);
    if (err != ERR_OK)
        return err;
    put_u64(record, id);
    memcpy(record + 8, replica->name, name_bytes);
    err = store_state_put(replica->store, STORE_STATE_RAFT, NULL, NODE_KEY, bytes_of(record, 8 + name_bytes));
    if (err != ERR_OK)
        return err;
    replica->id = id;
    replica->identified = true;
    return ERR_OK;
}

/* What the store says wins over the option, as in the original. */
static enum err who(struct replica *replica, char *why, size_t why_bytes)
{
    const struct streaming_cluster_options *options = &replica->control->snapshot->options->streaming.cluster;
    struct node_record record = {0};
    enum err err = store_state_each(replica->store, node_take, &record);
    if (err != ERR_OK || record.bad) {
        snprintf(why, why_bytes, "the record of the node's ID cannot be read");
        return ERR_DAMAGED;
    }
    if (record.count == 0 && record.was_streaming) {
        snprintf(why, why_bytes,
                 "stan: cannot restart server in clustered mode if it was not previously clustered");
        return ERR_INVALID;
    }
    uint32_t group_count = record.group_count == 0 ? 1 : record.group_count;
    if (record.count > 0 && group_count != replica->group_count) {
        snprintf(why, why_bytes,
                 "the store has its channels in %" PRIu32 " groups, and cluster { groups } is %" PRIu32,
                 group_count, replica->group_count);
        return ERR_INVALID;
    }
    replica->groups_stored = record.group_count > 0;
    if (record.count > 0) {
        replica->id = get_u64(record.bytes);
        memcpy(replica->name, record.bytes + 8, record.count - 8);
        replica->identified = true;
    } else if (options->node_id != NULL) {
        snprintf(replica->name, sizeof replica->name, "%s", options->node_id);
    } else {
        nuid_make(replica->name, &replica->random);
    }
    log_notice(replica->control->log, "STREAM: Cluster Node ID : %s", replica->name);
    log_notice(replica->control->log, "STREAM: Cluster Log Path: %s",
               replica->control->snapshot->options->streaming.folder);
    return ERR_OK;
}

/* ---- beginning ---- */

static uint64_t power_of_two(uint64_t at_least)
{
    uint64_t power = 1;
    while (power < at_least)
        power *= 2;
    return power;
}

static void set_options(struct replica *replica)
{
    const struct streaming_cluster_options *options = &replica->control->snapshot->options->streaming.cluster;
    struct raft_options *raft = &replica->options;
    uint64_t entries =
        (uint64_t)(options->trailing_logs > options->snapshot_entries ? options->trailing_logs
                                                                      : options->snapshot_entries);
    *raft = raft_options_default();
    replica->tick_ns = options->heartbeat_timeout_ns / TICKS_PER_TIMEOUT;
    if (replica->tick_ns < NS_PER_MS)
        replica->tick_ns = NS_PER_MS;
    raft->election_ticks = (uint32_t)(options->heartbeat_timeout_ns / replica->tick_ns);
    raft->candidate_ticks = (uint32_t)(options->election_timeout_ns / replica->tick_ns);
    /* With several groups a connect waits until followers know what is committed, twice. */
    raft->commit_ticks = options->groups > 1 ? 0 : (uint32_t)(options->commit_timeout_ns / replica->tick_ns);
    raft->heartbeat_ticks = raft->election_ticks >= TICKS_PER_TIMEOUT ? raft->election_ticks / 10 : 1;
    raft->lease_ticks = (uint32_t)(options->lease_timeout_ns / replica->tick_ns);
    if (raft->lease_ticks < 2 * raft->heartbeat_ticks) /* else one late answer would end it */
        raft->lease_ticks = 2 * raft->heartbeat_ticks;
    raft->trailing_entries = (uint64_t)options->trailing_logs;
    raft->snapshot_entries = (uint64_t)options->snapshot_entries;
    raft->log_entries_max = power_of_two(entries * 4 < LOG_ENTRIES_MIN ? LOG_ENTRIES_MIN : entries * 4);
    raft->entry_bytes_max = REPLICA_ENTRY_BYTES_MAX;
    raft->chunk_bytes = SNAPSHOT_PIECE_BYTES;
}

static void set_group(struct replica *replica, struct replica *first)
{
    replica->group_count = (uint32_t)replica->control->snapshot->options->streaming.cluster.groups;
    replica->first = first;
    if (first != NULL) {
        ASSERT(first->other_count + 1 < replica->group_count);
        first->others[first->other_count++] = replica;
        replica->group = first->other_count;
        memcpy(replica->name, first->name, sizeof replica->name);
    }
    if (replica->group_count > 1)
        snprintf(replica->tag, sizeof replica->tag, "group %" PRIu32 ": ", replica->group);
}

enum err replica_new(struct replica **out, struct control *control, struct store *store,
                     struct replica *first, struct streaming_now now, char *why, size_t why_bytes)
{
    uint64_t seed = 0;
    struct replica *replica = memory_new(sizeof *replica);
    *out = replica;
    snprintf(why, why_bytes, "out of memory");
    if (replica == NULL)
        return ERR_MEMORY;
    replica->decoded = memory_new(sizeof *replica->decoded);
    replica->control = control;
    replica->store = store;
    replica->now = now;
    enum err err = replica->decoded == NULL ? ERR_MEMORY : random_secure(&seed, sizeof seed);
    random_seed(&replica->random, seed);
    set_options(replica);
    set_group(replica, first);
    if (err == ERR_OK && first == NULL)
        err = who(replica, why, why_bytes);
    if (err == ERR_OK) {
        err = replica_log_open(&replica->log, store, replica->group, now.wall_ns);
        if (err != ERR_OK)
            snprintf(why, why_bytes, "unable to open the log of the cluster: %s", err_text(err));
    }
    if (err != ERR_OK) {
        replica_free(replica);
        *out = NULL;
    }
    return err;
}

static enum err driver_start(struct replica *replica)
{
    struct raft *raft = NULL;
    struct raft_storage storage = replica_log_storage(&replica->log);
    struct raft_transport transport = {.self = replica, .send = send_message};
    struct raft_application application = {
        .self = replica,
        .apply = apply,
        .take_snapshot = take_snapshot,
        .read = read_state,
        .role_changed = role_changed,
    };
    replica->options.id = replica->id;
    replica->options.random_seed = random_next(&replica->random);
    enum err err = replica_log_start(&replica->log, &replica->options, &raft);
    if (err != ERR_OK)
        return err;
    raft_driver_init(&replica->driver, raft, &storage, &transport, &application);
    replica->runs = true;
    replica->next_tick_ns = replica->now.now_ns + replica->tick_ns;
    return ERR_OK;
}

enum err replica_raft_start(struct replica *replica)
{
    enum err err = driver_start(replica);
    for (uint32_t i = 0; i < replica->other_count && err == ERR_OK; i++) {
        replica->others[i]->id = replica->id;
        replica->others[i]->now = replica->now;
        err = driver_start(replica->others[i]);
    }
    return err;
}

enum err replica_start(struct replica *replica, struct streaming *machine, struct streaming_now now,
                       char *why, size_t why_bytes)
{
    const struct server_options *options = replica->control->snapshot->options;
    replica->machine = machine;
    replica->now = now;
    streaming_set_log(machine, replica->log.entries);
    replica->peers.taker = take;
    replica->peers.host = replica;
    enum err err = peers_init(&replica->peers, replica->control, text(options->streaming.cluster_id),
                              replica->group, options->net.max_payload_bytes);
    if (err != ERR_OK) {
        snprintf(why, why_bytes, "the cluster ID is too long");
        return err;
    }
    err = restore_own(replica, why, why_bytes);
    return err == ERR_OK && replica->first == NULL ? form_start(replica, why, why_bytes) : err;
}

/* ---- end ---- */

void replica_stop(struct replica *replica, struct streaming_now now)
{
    struct raft_event event = {.kind = RAFT_EVENT_TRANSFER};
    replica->now = now;
    replica->stopping = true;
    if (replica->first == NULL)
        form_stop(replica);
    if (!replica->runs || !replica->raft_leads)
        return;
    (void)raft_driver_step(&replica->driver, &event, NULL); /* without anybody to lead, an election follows */
    raft_driver_turn(&replica->driver);
}

void replica_free(struct replica *replica)
{
    if (replica == NULL)
        return;
    if (replica->first != NULL)
        replica->first->others[--replica->first->other_count] = NULL; /* the last one goes first */
    for (uint32_t i = 0; i < FORM_SUBJECTS; i++)
        desk_forget(&replica->control->desk, &replica->form.listeners[i].desk);
    watch_close(replica);
    peers_close(&replica->peers);
    raft_driver_close(&replica->driver);
    replica_log_close(&replica->log);
    memory_free(replica->decoded);
    memory_free(replica);
}

/* ---- for monitoring ---- */

const char *replica_name(const struct replica *replica)
{
    return replica->name;
}

const char *replica_role(const struct replica *replica)
{
    static const char *const roles[RAFT_ROLES] = {"Follower", "Candidate", "Candidate", "Leader", "Follower"};
    struct raft_status status;
    if (!replica->runs)
        return "Candidate";
    raft_status(replica->driver.raft, &status);
    return roles[status.role];
}

bool replica_raft_status(const struct replica *replica, struct raft_status *status)
{
    if (replica->runs)
        raft_status(replica->driver.raft, status);
    return replica->runs;
}

struct peers_figures replica_peers_figures(const struct replica *replica)
{
    struct peers_figures figures = replica->peers.figures;
    figures.lost += replica->peers.assemblies.lost;
    return figures;
}
