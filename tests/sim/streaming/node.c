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
    struct part *part = self;
    struct mail mail = {
        .kind = MAIL_RAFT, .group = part->group, .from = part->node->slot, .to = members_slot(message->to)};
    size_t count = raft_message_bytes(message);
    uint8_t *bytes = memory_new(count);
    ASSERT(bytes != NULL);
    raft_message_encode(message, part->group, bytes);
    world_mail(part->node->world, mail, bytes_of(bytes, count));
    memory_free(bytes);
}

static void lead(struct part *part, bool leads)
{
    if (part->leads == leads)
        return;
    part->leads = leads;
    part->node->world->result->counts.leaders += leads;
    world_trace(part->node->world, "%d: %s in term %llu", part->node->slot, leads ? "leads" : "leads no more",
                (unsigned long long)part->term);
    streaming_lead(part->machine, world_now(part->node->world, part->node), leads);
}

static void role_changed(void *self)
{
    struct part *part = self;
    struct raft_status status;
    raft_status(part->driver.raft, &status);
    bool leads = status.role == RAFT_LEADER;
    if (part->leads && (!leads || status.term != part->term))
        lead(part, false);
    part->raft_leads = leads;
    part->term = status.term;
    if (status.role == RAFT_HALTED)
        world_fail(part->node->world, "node %d: Raft has halted", part->node->slot);
}

static void apply_one(struct part *part, uint64_t index, const struct raft_entry *entry)
{
    struct world *world = part->node->world;
    bool own = part->raft_leads && entry->term == part->term;
    bool skips = world->options.sabotage == SABOTAGE_SKIP && part->node->slot == 1 && !part->leads &&
                 world_chance(world, 1);
    bool twice = world->options.sabotage == SABOTAGE_TWICE && part->node->slot == 1 && !part->leads &&
                 world_chance(world, 1);
    for (int round = 0; entry->kind == RAFT_ENTRY_DATA && !skips && round < 1 + twice; round++) {
        enum err err = streaming_apply(part->machine, world_now(world, part->node), index, entry->data,
                                       own && part->leads);
        if (err != ERR_OK)
            world_fail(world, "node %d: entry %llu cannot be applied: %s", part->node->slot,
                       (unsigned long long)index, err_text(err));
    }
    part->applied = index;
    if (own)
        lead(part, true);
    check_state(part);
}

static uint32_t apply(void *self, uint64_t first_index, const struct raft_entry *entries, uint32_t count)
{
    struct part *part = self;
    if (part->fetching)
        return 0;
    for (uint32_t i = 0; i < count; i++)
        apply_one(part, first_index + i, &entries[i]);
    return count;
}

static void take_snapshot(void *self, const struct raft_snapshot *snapshot)
{
    struct part *part = self;
    struct raft_snapshot about = *snapshot;
    uint8_t *bytes = NULL;
    size_t count = 0;
    if (part->applied != snapshot->index)
        world_fail(part->node->world, "node %d: a snapshot of %llu is wanted at %llu", part->node->slot,
                   (unsigned long long)snapshot->index, (unsigned long long)part->applied);
    ASSERT(streaming_snapshot_write(part->machine, &bytes, &count) == ERR_OK);
    about.size_bytes = count;
    part->node->world->result->counts.snapshots++;
    if (replica_log_save(&part->log, &about, bytes) != ERR_OK)
        part->failed_index = snapshot->index;
}

static void read_state(void *self, const struct raft_read_state *read)
{
    (void)self;
    (void)read;
}

/* ---- snapshots of others ---- */

static void fetch(struct part *part)
{
    struct world *world = part->node->world;
    struct streaming_missing missing;
    struct raft_status status;
    uint8_t request[256];
    if (world->options.sabotage == SABOTAGE_HOLE || !streaming_missing(part->machine, &missing)) {
        part->fetching = false;
        if (part->installing && replica_log_install(&part->log) != ERR_OK)
            world_fail(world, "node %d: a snapshot cannot be saved", part->node->slot);
        part->installing = false;
        return;
    }
    if (part->fetch_ms > world->now_ms)
        return;
    part->fetch_ms = world->now_ms + FETCH_MS;
    raft_status(part->driver.raft, &status);
    if (status.leader == 0 || status.leader == status.id)
        return;
    put_u64(request, missing.channel_id);
    put_u64(request + 8, missing.first);
    put_u64(request + 16, missing.last);
    memcpy(request + 24, missing.channel.data, missing.channel.count);
    struct mail mail = {.kind = MAIL_FETCH,
                        .group = part->group,
                        .from = part->node->slot,
                        .to = members_slot(status.leader)};
    world_mail(world, mail, bytes_of(request, 24 + missing.channel.count));
}

static void restore_step(struct part *part)
{
    struct world *world = part->node->world;
    if (part->log.install_wanted && !part->installing) {
        struct bytes incoming = replica_log_incoming(&part->log);
        uint64_t index = part->log.snapshots.incoming.about.index;
        enum err err = streaming_restore(part->machine, world_now(world, part->node), incoming, false);
        if (err != ERR_OK)
            world_fail(world, "node %d: a leader's snapshot is refused: %s", part->node->slot, err_text(err));
        world_trace(world, "%d: installs a snapshot of %llu", part->node->slot, (unsigned long long)index);
        world->result->counts.installs++;
        part->applied = index;
        part->installing = part->fetching = true;
        part->fetch_ms = 0;
    }
    if (part->fetching)
        fetch(part);
}

static void fetch_asked(struct part *part, const struct mail *mail)
{
    uint8_t *piece = NULL;
    size_t count = 0;
    struct streaming_missing wanted = {
        .channel = bytes_of(mail->bytes + 24, mail->count - 24),
        .channel_id = get_u64(mail->bytes),
        .first = get_u64(mail->bytes + 8),
        .last = get_u64(mail->bytes + 16),
    };
    if (part->fetching || streaming_fetch(part->machine, &wanted, PIECE_BYTES, &piece, &count) != ERR_OK)
        return;
    part->node->world->result->counts.pieces++;
    struct mail answer = {
        .kind = MAIL_PIECE, .group = part->group, .from = part->node->slot, .to = mail->from};
    world_mail(part->node->world, answer, bytes_of(piece, count));
    memory_free(piece);
}

/* ---- mail ---- */

static void raft_take(struct part *part, const struct mail *mail)
{
    struct raft_decoded *decoded = &part->decoded;
    if (raft_message_decode(bytes_of(mail->bytes, mail->count), decoded) != RAFT_DECODED ||
        decoded->group != part->group)
        world_fail(part->node->world, "a message of Raft does not decode");
    (void)raft_driver_receive(&part->driver, &decoded->message);
}

/* As the service shares them out: a publish by the channel that its subject names. */
static void request_take(struct node *node, const struct mail *mail)
{
    struct world *world = node->world;
    struct streaming_request request = {.kind = mail->request,
                                        .subject = text(mail->subject),
                                        .reply = text(mail->reply),
                                        .payload = bytes_of(mail->bytes, mail->count)};
    uint32_t first = 0, last = world->weather.groups - 1;
    if (mail->request == STREAMING_REQUEST_PUBLISH)
        first = last = world_group(world, text(mail->subject));
    for (uint32_t group = first; group <= last; group++) {
        if (node->parts[group].leads)
            streaming_request(node->parts[group].machine, world_now(world, node), &request);
    }
}

void node_mail(struct node *node, const struct mail *mail)
{
    struct streaming_now now = world_now(node->world, node);
    struct part *part = &node->parts[mail->group];
    struct bytes body = bytes_of(mail->bytes, mail->count);
    if (!node->running || node->paused_ms > node->world->now_ms)
        return; /* what comes meanwhile is lost: harder than a queue */
    switch (mail->kind) {
    case MAIL_RAFT:
        raft_take(part, mail);
        return;
    case MAIL_FETCH:
        fetch_asked(part, mail);
        return;
    case MAIL_PIECE:
        if (part->fetching && streaming_fill(part->machine, now, body) != ERR_OK)
            world_fail(node->world, "node %d: a leader's piece is refused", node->slot);
        part->fetch_ms = 0;
        return;
    case MAIL_ANSWER: /* the first group asks */
        streaming_answer(node->parts[0].machine, now, text(mail->subject), mail->nobody);
        return;
    case MAIL_REQUEST:
        request_take(node, mail);
        return;
    case MAIL_CLIENT:
        return;
    }
}

/* ---- outputs ---- */

static bool propose(struct part *part, struct bytes command)
{
    struct raft_entry entry = {.kind = RAFT_ENTRY_DATA, .data = command};
    struct raft_event event = {.kind = RAFT_EVENT_PROPOSE, .propose = {.entries = &entry, .count = 1}};
    if (!part->leads)
        return true;
    enum raft_result result = raft_driver_step(&part->driver, &event, NULL);
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

static void outputs_step(struct part *part)
{
    struct node *node = part->node;
    struct streaming_output output;
    for (int i = 0; i < OUTPUTS_PER_STEP && streaming_output_next(part->machine, &output); i++) {
        if (output.kind == STREAMING_OUTPUT_PUBLISH)
            publish(node, &output);
        else if (output.kind == STREAMING_OUTPUT_LOG)
            world_trace(node->world, "%d: %.*s", node->slot, BYTES_PRINTF(output.body));
        else if (output.kind == STREAMING_OUTPUT_PROPOSE && !propose(part, output.body)) {
            streaming_output_back(part->machine, 1);
            return;
        }
    }
}

/* ---- steps ---- */

void node_step(struct node *node)
{
    struct world *world = node->world;
    struct streaming_now now = world_now(world, node);
    uint32_t groups = world->weather.groups;
    for (; node->next_tick_ms <= world->now_ms; node->next_tick_ms += node->tick_ms) {
        for (uint32_t group = 0; group < groups; group++)
            raft_driver_tick(&node->parts[group].driver);
    }
    for (uint32_t group = 0; group < groups; group++) {
        struct part *part = &node->parts[group];
        if (part->failed_index != 0)
            raft_driver_snapshot_taken(&part->driver, part->failed_index, 0, ERR_SYSTEM);
        part->failed_index = 0;
        restore_step(part);
    }
    if (store_next_tick_ns(node->store) <= now.wall_ns)
        store_tick(node->store, now.wall_ns);
    for (uint32_t group = 0; group < groups; group++) {
        replica_log_step(&node->parts[group].log, &node->parts[group].driver, now.wall_ns);
        raft_driver_turn(&node->parts[group].driver);
    }
    for (uint32_t group = 0; group < groups; group++)
        (void)streaming_step(node->parts[group].machine, now);
    for (uint32_t group = 0; group < groups; group++) {
        outputs_step(&node->parts[group]);
        raft_driver_turn(&node->parts[group].driver);
    }
    io_step(node);
}

/* ---- lives ---- */

static void machine_start(struct part *part)
{
    struct node *node = part->node;
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
        .group = part->group,
        .group_count = world->weather.groups,
        .registry = part->group == 0 ? NULL : node->parts[0].machine,
    };
    if (streaming_new(&part->machine, &setup, why, sizeof why) != ERR_OK)
        world_fail(world, "node %d: the machine does not start: %s", node->slot, why);
    streaming_set_log(part->machine, part->log.entries);
}

/* A node has all that its own snapshot speaks of: it can come back alone. */
static void own_restore(struct part *part)
{
    struct node *node = part->node;
    struct world *world = node->world;
    struct streaming_missing missing;
    uint8_t *bytes = NULL;
    const struct raft_snapshot *newest = &part->log.snapshots.newest;
    if (snapshots_load(&part->log.snapshots, &bytes) != ERR_OK)
        world_fail(world, "node %d: its snapshot cannot be read", node->slot);
    part->applied = newest->index;
    if (bytes == NULL || world->options.sabotage == SABOTAGE_FORGET) {
        memory_free(bytes);
        return;
    }
    enum err err =
        streaming_restore(part->machine, world_now(world, node), bytes_of(bytes, newest->size_bytes), true);
    memory_free(bytes);
    if (err != ERR_OK)
        world_fail(world, "node %d: its own snapshot is refused: %s", node->slot, err_text(err));
    if (world->options.sabotage != SABOTAGE_HOLE && streaming_missing(part->machine, &missing))
        world_fail(world, "node %d: its store lacks %.*s:%llu to %llu of its own snapshot", node->slot,
                   BYTES_PRINTF(missing.channel), (unsigned long long)missing.first,
                   (unsigned long long)missing.last);
    part->fetching = streaming_missing(part->machine, &missing);
}

static void part_start(struct part *part)
{
    struct node *node = part->node;
    struct world *world = node->world;
    struct raft_options options = world->weather.raft;
    struct raft *raft = NULL;
    options.id = node->id;
    options.random_seed = random_next(&world->random);
    part->raft_leads = part->leads = part->fetching = part->installing = false;
    part->term = part->failed_index = 0;
    int64_t wall_ns = world_now(world, node).wall_ns;
    if (replica_log_open(&part->log, node->store, part->group, wall_ns) != ERR_OK ||
        replica_log_start(&part->log, &options, &raft) != ERR_OK)
        world_fail(world, "node %d does not start from its log", node->slot);
    struct raft_storage storage = replica_log_storage(&part->log);
    struct raft_transport transport = {part, send_message};
    struct raft_application application = {part, apply, take_snapshot, read_state, role_changed};
    raft_driver_init(&part->driver, raft, &storage, &transport, &application);
    machine_start(part);
    own_restore(part);
    world_trace(world, "%d: starts behind %llu", node->slot, (unsigned long long)part->applied);
}

void node_start(struct node *node)
{
    struct world *world = node->world;
    node->io_busy = false;
    store_start(node);
    node->running = true;
    for (uint32_t group = 0; group < world->weather.groups; group++) {
        node->parts[group].node = node;
        node->parts[group].group = group;
        part_start(&node->parts[group]);
    }
    node->tick_ms = TICK_MS + (world->weather.skews ? world_pick(world, 0, 4) : 0);
    node->next_tick_ms = world->now_ms + node->tick_ms;
}

/* Everything but the disk. */
static void stop(struct node *node)
{
    for (uint32_t group = node->world->weather.groups; group > 0; group--) {
        struct part *part = &node->parts[group - 1];
        raft_driver_close(&part->driver);
        replica_log_close(&part->log);
        streaming_free(part->machine);
        part->machine = NULL;
    }
    store_abandon(node->store);
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
    for (uint32_t group = world->weather.groups; group > 0; group--) {
        struct replica_log *log = &node->parts[group - 1].log;
        if (replica_log_open(log, node->store, group - 1, wall_ns) != ERR_OK ||
            replica_log_found(log, &founders) != ERR_OK)
            world_fail(world, "node %d cannot be founded", node->slot);
        replica_log_close(log);
    }
    if (store_flush(node->store, wall_ns) != ERR_OK)
        world_fail(world, "node %d cannot be founded", node->slot);
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
