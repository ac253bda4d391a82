/* tests/sim/streaming/node.c - a node: its disk, store, log, driver and machine, put together as the server
 * does it (shards/streaming/replica.c), on the world's time and network; see world.h. */
#include "tests/sim/streaming/world.h"

#include "core/base/memory.h"
#include "store/record.h"

enum { SEGMENT_BYTES = 64 * 1024, PIECE_BYTES = 400, FETCH_MS = 300, OUTPUTS_PER_STEP = 512, TICK_MS = 20 };

/* ---- the disk ---- */

static int lying_sync(void *host, int file)
{
    (void)host;
    (void)file;
    return 0;
}

static const struct store_files_calls *calls_of(const struct node *node)
{
    static struct store_files_calls lying;
    lying = sim_calls;
    lying.sync = lying_sync;
    return node->world->options.sabotage == SABOTAGE_LIE ? &lying : &sim_calls;
}

static void store_start(struct node *node)
{
    static const struct store_limits_rule rules[] = {
        {TEXT("m"), 20, LIMIT_INHERITED, LIMIT_INHERITED, LIMIT_INHERITED, LIMIT_INHERITED},
        {TEXT("t"), LIMIT_INHERITED, LIMIT_INHERITED, LIMIT_INHERITED, 700000000, LIMIT_INHERITED},
    };
    char why[STORE_WHY_BYTES] = "";
    struct store_options options = {
        .kind = STORE_FILE,
        .files = {calls_of(node), node->disk},
        .segment_bytes = SEGMENT_BYTES,
        .salt = 1 + (uint32_t)node->slot,
        .rules = rules,
        .rule_count = COUNT_OF(rules),
    };
    enum err err = store_open(&node->store, &options, world_now(node->world, node).wall_ns, why, sizeof why);
    if (err != ERR_OK)
        world_fail(node->world, "node %d: its store does not open: %s", node->slot, why);
    struct store_sharing sharing = sharing_of(&node->sharing);
    store_set_sharing(node->store, &sharing);
}

static void io_step(struct node *node)
{
    struct world *world = node->world;
    int64_t wall_ns = world_now(world, node).wall_ns;
    const struct store_files_calls *calls = calls_of(node);
    if (!node->io_busy && store_io_begin(node->store, wall_ns, &node->io)) {
        node->io_busy = true;
        node->io_ms = world->now_ms + random_below(&world->random, world->weather.sync_ms + 1);
        node->io_written = node->io.part_count == 0 ? 0
                                                    : calls->write(node->disk, node->io.file, node->io.parts,
                                                                   node->io.part_count, node->io.offset);
    }
    if (!node->io_busy || node->io_ms > world->now_ms)
        return;
    int synced = node->io.sync ? calls->sync(node->disk, node->io.file) : 0;
    node->io_busy = false;
    store_io_done(node->store, wall_ns, node->io_written, synced);
    if (store_failed(node->store))
        world_fail(world, "node %d: its store has failed: %s", node->slot, store_error(node->store));
}

/* ---- what the driver asks of the world ---- */

static void send_message(void *self, const struct raft_message *message)
{
    struct node *node = self;
    struct mail mail = {.kind = MAIL_RAFT, .from = node->slot, .to = members_slot(message->to)};
    size_t count = raft_message_bytes(message);
    uint8_t *bytes = memory_new(count);
    ASSERT(bytes != NULL);
    raft_message_encode(message, 0, bytes);
    world_mail(node->world, mail, bytes_of(bytes, count));
    memory_free(bytes);
}

static void lead(struct node *node, bool leads)
{
    if (node->leads == leads)
        return;
    node->leads = leads;
    node->world->result->counts.leaders += leads;
    world_trace(node->world, "%d: %s in term %llu", node->slot, leads ? "leads" : "leads no more",
                (unsigned long long)node->term);
    streaming_lead(node->machine, world_now(node->world, node), leads);
}

static void role_changed(void *self)
{
    struct node *node = self;
    struct raft_status status;
    raft_status(node->driver.raft, &status);
    bool leads = status.role == RAFT_LEADER;
    if (node->leads && (!leads || status.term != node->term))
        lead(node, false);
    node->raft_leads = leads;
    node->term = status.term;
    if (status.role == RAFT_HALTED)
        world_fail(node->world, "node %d: Raft has halted", node->slot);
}

static void apply_one(struct node *node, uint64_t index, const struct raft_entry *entry)
{
    struct world *world = node->world;
    bool own = node->raft_leads && entry->term == node->term;
    bool skips =
        world->options.sabotage == SABOTAGE_SKIP && node->slot == 1 && !node->leads && world_chance(world, 1);
    bool twice = world->options.sabotage == SABOTAGE_TWICE && node->slot == 1 && !node->leads &&
                 world_chance(world, 1);
    for (int round = 0; entry->kind == RAFT_ENTRY_DATA && !skips && round < 1 + twice; round++) {
        enum err err =
            streaming_apply(node->machine, world_now(world, node), index, entry->data, own && node->leads);
        if (err != ERR_OK)
            world_fail(world, "node %d: entry %llu cannot be applied: %s", node->slot,
                       (unsigned long long)index, err_text(err));
    }
    node->applied = index;
    if (own)
        lead(node, true);
    check_state(node);
}

static uint32_t apply(void *self, uint64_t first_index, const struct raft_entry *entries, uint32_t count)
{
    struct node *node = self;
    if (node->fetching)
        return 0;
    for (uint32_t i = 0; i < count; i++)
        apply_one(node, first_index + i, &entries[i]);
    return count;
}

static void take_snapshot(void *self, const struct raft_snapshot *snapshot)
{
    struct node *node = self;
    struct raft_snapshot about = *snapshot;
    uint8_t *bytes = NULL;
    size_t count = 0;
    if (node->applied != snapshot->index)
        world_fail(node->world, "node %d: a snapshot of %llu is wanted at %llu", node->slot,
                   (unsigned long long)snapshot->index, (unsigned long long)node->applied);
    ASSERT(streaming_snapshot_write(node->machine, &bytes, &count) == ERR_OK);
    about.size_bytes = count;
    node->world->result->counts.snapshots++;
    if (replica_log_save(&node->log, &about, bytes) != ERR_OK)
        node->failed_index = snapshot->index;
}

static void read_state(void *self, const struct raft_read_state *read)
{
    (void)self;
    (void)read;
}

/* ---- snapshots of others ---- */

static void fetch(struct node *node)
{
    struct world *world = node->world;
    struct streaming_missing missing;
    struct raft_status status;
    uint8_t request[256];
    if (world->options.sabotage == SABOTAGE_HOLE || !streaming_missing(node->machine, &missing)) {
        node->fetching = false;
        if (node->installing && replica_log_install(&node->log) != ERR_OK)
            world_fail(world, "node %d: a snapshot cannot be saved", node->slot);
        node->installing = false;
        return;
    }
    if (node->fetch_ms > world->now_ms)
        return;
    node->fetch_ms = world->now_ms + FETCH_MS;
    raft_status(node->driver.raft, &status);
    if (status.leader == 0 || status.leader == status.id)
        return;
    put_u64(request, missing.channel_id);
    put_u64(request + 8, missing.first);
    put_u64(request + 16, missing.last);
    memcpy(request + 24, missing.channel.data, missing.channel.count);
    struct mail mail = {.kind = MAIL_FETCH, .from = node->slot, .to = members_slot(status.leader)};
    world_mail(world, mail, bytes_of(request, 24 + missing.channel.count));
}

static void restore_step(struct node *node)
{
    struct world *world = node->world;
    if (node->log.install_wanted && !node->installing) {
        struct bytes incoming = replica_log_incoming(&node->log);
        uint64_t index = node->log.snapshots.incoming.about.index;
        enum err err = streaming_restore(node->machine, world_now(world, node), incoming, false);
        if (err != ERR_OK)
            world_fail(world, "node %d: a leader's snapshot is refused: %s", node->slot, err_text(err));
        world_trace(world, "%d: installs a snapshot of %llu", node->slot, (unsigned long long)index);
        world->result->counts.installs++;
        node->applied = index;
        node->installing = node->fetching = true;
        node->fetch_ms = 0;
    }
    if (node->fetching)
        fetch(node);
}

static void fetch_asked(struct node *node, const struct mail *mail)
{
    uint8_t *piece = NULL;
    size_t count = 0;
    struct streaming_missing wanted = {
        .channel = bytes_of(mail->bytes + 24, mail->count - 24),
        .channel_id = get_u64(mail->bytes),
        .first = get_u64(mail->bytes + 8),
        .last = get_u64(mail->bytes + 16),
    };
    if (node->fetching || streaming_fetch(node->machine, &wanted, PIECE_BYTES, &piece, &count) != ERR_OK)
        return;
    node->world->result->counts.pieces++;
    struct mail answer = {.kind = MAIL_PIECE, .from = node->slot, .to = mail->from};
    world_mail(node->world, answer, bytes_of(piece, count));
    memory_free(piece);
}

/* ---- mail ---- */

static void raft_take(struct node *node, const struct mail *mail)
{
    struct raft_decoded *decoded = &node->decoded;
    if (raft_message_decode(bytes_of(mail->bytes, mail->count), decoded) != RAFT_DECODED)
        world_fail(node->world, "a message of Raft does not decode");
    (void)raft_driver_receive(&node->driver, &decoded->message);
}

void node_mail(struct node *node, const struct mail *mail)
{
    struct streaming_now now = world_now(node->world, node);
    struct bytes body = bytes_of(mail->bytes, mail->count);
    if (!node->running || node->paused_ms > node->world->now_ms)
        return; /* what comes meanwhile is lost: harder than a queue */
    switch (mail->kind) {
    case MAIL_RAFT:
        raft_take(node, mail);
        return;
    case MAIL_FETCH:
        fetch_asked(node, mail);
        return;
    case MAIL_PIECE:
        if (node->fetching && streaming_fill(node->machine, now, body) != ERR_OK)
            world_fail(node->world, "node %d: a leader's piece is refused", node->slot);
        node->fetch_ms = 0;
        return;
    case MAIL_ANSWER:
        streaming_answer(node->machine, now, text(mail->subject), mail->nobody);
        return;
    case MAIL_REQUEST:
        if (node->leads)
            streaming_request(node->machine, now,
                              &(struct streaming_request){.kind = mail->request,
                                                          .subject = text(mail->subject),
                                                          .reply = text(mail->reply),
                                                          .payload = body});
        return;
    case MAIL_CLIENT:
        return;
    }
}

/* ---- outputs ---- */

static bool propose(struct node *node, struct bytes command)
{
    struct raft_entry entry = {.kind = RAFT_ENTRY_DATA, .data = command};
    struct raft_event event = {.kind = RAFT_EVENT_PROPOSE, .propose = {.entries = &entry, .count = 1}};
    if (!node->leads)
        return true;
    enum raft_result result = raft_driver_step(&node->driver, &event, NULL);
    return result != RAFT_BUSY && result != RAFT_NOT_READY;
}

/* "<word>.<client>....": to that one. */
static void publish(struct node *node, const struct streaming_output *output)
{
    struct mail mail = {.kind = MAIL_CLIENT, .from = node->slot};
    const char *dot = memchr(output->subject.data, '.', output->subject.count);
    ASSERT(dot != NULL && output->subject.count < SUBJECT_BYTES && output->reply.count < SUBJECT_BYTES);
    memcpy(mail.subject, output->subject.data, output->subject.count);
    if (output->reply.count > 0)
        memcpy(mail.reply, output->reply.data, output->reply.count);
    mail.to = dot[1] - '0';
    world_mail(node->world, mail, output->body);
}

static void outputs_step(struct node *node)
{
    struct streaming_output output;
    for (int i = 0; i < OUTPUTS_PER_STEP && streaming_output_next(node->machine, &output); i++) {
        if (output.kind == STREAMING_OUTPUT_PUBLISH)
            publish(node, &output);
        else if (output.kind == STREAMING_OUTPUT_LOG)
            world_trace(node->world, "%d: %.*s", node->slot, BYTES_PRINTF(output.body));
        else if (output.kind == STREAMING_OUTPUT_PROPOSE && !propose(node, output.body)) {
            streaming_output_back(node->machine, 1);
            return;
        }
    }
}

/* ---- steps ---- */

void node_step(struct node *node)
{
    struct world *world = node->world;
    struct streaming_now now = world_now(world, node);
    for (; node->next_tick_ms <= world->now_ms; node->next_tick_ms += node->tick_ms)
        raft_driver_tick(&node->driver);
    if (node->failed_index != 0)
        raft_driver_snapshot_taken(&node->driver, node->failed_index, 0, ERR_SYSTEM);
    node->failed_index = 0;
    restore_step(node);
    if (store_next_tick_ns(node->store) <= now.wall_ns)
        store_tick(node->store, now.wall_ns);
    replica_log_step(&node->log, &node->driver, now.wall_ns);
    raft_driver_turn(&node->driver);
    (void)streaming_step(node->machine, now);
    outputs_step(node);
    raft_driver_turn(&node->driver);
    io_step(node);
}

/* ---- lives ---- */

static void machine_start(struct node *node)
{
    struct world *world = node->world;
    char server_id[8], why[STORE_WHY_BYTES] = "";
    snprintf(server_id, sizeof server_id, "s%d", node->slot);
    struct streaming_setup setup = {
        .store = node->store,
        .cluster_id = "c",
        .discover_prefix = "_STAN.discover",
        .heartbeat_interval_ns = 1000000000,
        .heartbeat_timeout_ns = 500000000,
        .heartbeat_fail_max = 3,
        .seed = random_next(&world->random),
        .server_id = text(server_id),
        .now = world_now(world, node),
        .replicated = true,
    };
    if (streaming_new(&node->machine, &setup, why, sizeof why) != ERR_OK)
        world_fail(world, "node %d: the machine does not start: %s", node->slot, why);
    streaming_set_log(node->machine, node->log.entries);
}

/* A node has all that its own snapshot speaks of: it can come back alone. */
static void own_restore(struct node *node)
{
    struct world *world = node->world;
    struct streaming_missing missing;
    uint8_t *bytes = NULL;
    const struct raft_snapshot *newest = &node->log.snapshots.newest;
    if (snapshots_load(&node->log.snapshots, &bytes) != ERR_OK)
        world_fail(world, "node %d: its snapshot cannot be read", node->slot);
    node->applied = newest->index;
    if (bytes == NULL || world->options.sabotage == SABOTAGE_FORGET) {
        memory_free(bytes);
        return;
    }
    enum err err =
        streaming_restore(node->machine, world_now(world, node), bytes_of(bytes, newest->size_bytes), true);
    memory_free(bytes);
    if (err != ERR_OK)
        world_fail(world, "node %d: its own snapshot is refused: %s", node->slot, err_text(err));
    if (world->options.sabotage != SABOTAGE_HOLE && streaming_missing(node->machine, &missing))
        world_fail(world, "node %d: its store lacks %.*s:%llu to %llu of its own snapshot", node->slot,
                   BYTES_PRINTF(missing.channel), (unsigned long long)missing.first,
                   (unsigned long long)missing.last);
    node->fetching = streaming_missing(node->machine, &missing);
}

void node_start(struct node *node)
{
    struct world *world = node->world;
    struct raft_options options = world->weather.raft;
    struct raft *raft = NULL;
    options.id = node->id;
    options.random_seed = random_next(&world->random);
    node->raft_leads = node->leads = node->fetching = node->installing = node->io_busy = false;
    node->term = node->failed_index = 0;
    store_start(node);
    node->running = true;
    int64_t wall_ns = world_now(world, node).wall_ns;
    if (replica_log_open(&node->log, node->store, 0, wall_ns) != ERR_OK ||
        replica_log_start(&node->log, &options, &raft) != ERR_OK)
        world_fail(world, "node %d does not start from its log", node->slot);
    struct raft_storage storage = replica_log_storage(&node->log);
    struct raft_transport transport = {node, send_message};
    struct raft_application application = {node, apply, take_snapshot, read_state, role_changed};
    raft_driver_init(&node->driver, raft, &storage, &transport, &application);
    machine_start(node);
    own_restore(node);
    node->tick_ms = TICK_MS + (world->weather.skews ? world_pick(world, 0, 4) : 0);
    node->next_tick_ms = world->now_ms + node->tick_ms;
    world_trace(world, "%d: starts behind %llu", node->slot, (unsigned long long)node->applied);
}

/* Everything but the disk. */
static void stop(struct node *node)
{
    raft_driver_close(&node->driver);
    replica_log_close(&node->log);
    streaming_free(node->machine);
    store_abandon(node->store);
    node->machine = NULL;
    node->store = NULL;
    node->running = false;
}

/* The power fails, or only the process. */
void node_crash(struct node *node)
{
    world_trace(node->world, "%d: stops", node->slot);
    node->world->result->counts.crashes++;
    stop(node);
    if (world_chance(node->world, 60))
        sim_disk_power_cut(node->disk);
    else
        sim_disk_kill(node->disk);
}

void node_replace(struct node *node)
{
    struct world *world = node->world;
    if (node->running)
        stop(node);
    sim_disk_free(node->disk);
    node->disk = sim_disk_new(random_next(&world->random));
    node->id += NODES_MAX;
    node->leaves = false;
    node->start_ms = world->now_ms + world_pick(world, 5, 500);
    world->result->counts.replaced++;
    world_trace(world, "%d: is node %llu from now on", node->slot, (unsigned long long)node->id);
}

/* The first start of a founder. */
void node_found(struct node *node)
{
    struct world *world = node->world;
    struct raft_membership founders = {0};
    node->id = (uint64_t)node->slot + 1;
    int64_t wall_ns = world_now(world, node).wall_ns;
    for (uint32_t i = 0; i < world->weather.nodes; i++) {
        if (!raft_membership_add(&founders, i + 1, RAFT_VOTER, TEXT("")))
            world_fail(world, "no founders");
    }
    store_start(node);
    if (replica_log_open(&node->log, node->store, 0, wall_ns) != ERR_OK ||
        replica_log_found(&node->log, &founders) != ERR_OK || store_flush(node->store, wall_ns) != ERR_OK)
        world_fail(world, "node %d cannot be founded", node->slot);
    replica_log_close(&node->log);
    store_abandon(node->store);
    sim_disk_kill(node->disk);
    node_start(node);
}

void node_close(struct node *node)
{
    if (node->running)
        stop(node);
    sharing_close(&node->sharing);
    if (node->disk != NULL)
        sim_disk_free(node->disk);
}
