/* tests/sim/streaming/world.c - virtual time in milliseconds: what arrives, what each node and client does,
 * and what goes wrong; see world.h. */
#include "tests/sim/streaming/world.h"

#include "core/base/memory.h"
#include "shards/streaming/groups.h"

#include <stdarg.h>

enum { REST_MS = 60000, MAILS_MAX = 1 << 16 };

void world_fail(struct world *world, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(world->result->reason, sizeof world->result->reason, format, arguments);
    va_end(arguments);
    world_trace(world, "FAILED: %s", world->result->reason);
    longjmp(*world->failed, 1);
}

void world_trace(struct world *world, const char *format, ...)
{
    va_list arguments;
    if (world->options.trace == NULL)
        return;
    fprintf(world->options.trace, "%6llu ", (unsigned long long)world->now_ms);
    va_start(arguments, format);
    vfprintf(world->options.trace, format, arguments);
    va_end(arguments);
    fputc('\n', world->options.trace);
}

uint32_t world_pick(struct world *world, uint32_t least, uint32_t most)
{
    return least + random_below(&world->random, most - least + 1);
}

bool world_chance(struct world *world, uint32_t percent)
{
    return random_below(&world->random, 100) < percent;
}

uint32_t world_group(const struct world *world, struct bytes channel)
{
    return groups_of_channel(channel, world->weather.groups);
}

struct streaming_now world_now(const struct world *world, const struct node *node)
{
    int64_t now_ns = (int64_t)(world->now_ms + 1) * 1000000;
    return (struct streaming_now){now_ns, 1500000000000000000 + now_ns + node->skew_ns};
}

/* ---- mail ---- */

static bool reaches(const struct world *world, const struct mail *mail)
{
    bool between_nodes = mail->kind <= MAIL_PIECE;
    return !between_nodes || (world->nodes[mail->from].cut & 1U << mail->to) == 0;
}

static void mail_add(struct world *world, const struct mail *mail, struct bytes bytes)
{
    if (world->mail_count == world->mail_capacity) {
        uint32_t capacity = world->mail_capacity == 0 ? 256 : world->mail_capacity * 2;
        struct mail *mails =
            capacity > MAILS_MAX ? NULL : memory_grow(world->mails, capacity * sizeof *mails);
        if (mails == NULL)
            world_fail(world, "there is too much mail");
        world->mails = mails;
        world->mail_capacity = capacity;
    }
    struct mail *kept = &world->mails[world->mail_count++];
    *kept = *mail;
    kept->bytes = memory_new(bytes.count + 1);
    kept->count = bytes.count;
    ASSERT(kept->bytes != NULL);
    if (bytes.count > 0)
        memcpy(kept->bytes, bytes.data, bytes.count);
}

void world_mail(struct world *world, struct mail mail, struct bytes bytes)
{
    const struct weather *weather = &world->weather;
    bool bad = weather->losses && !world->healed, raft = mail.kind == MAIL_RAFT;
    world->result->counts.mails++;
    if (!reaches(world, &mail) || (bad && world_chance(world, weather->loss_percent))) {
        world->result->counts.lost++;
        return;
    }
    mail.at_ms = world->now_ms + 1 + random_below(&world->random, weather->delay_ms + 1);
    if (bad && raft && world_chance(world, weather->late_percent))
        mail.at_ms += random_below(&world->random, weather->late_ms);
    mail_add(world, &mail, bytes);
    if (bad && raft && world_chance(world, weather->repeat_percent)) {
        mail.at_ms += random_below(&world->random, weather->late_ms);
        mail_add(world, &mail, bytes);
    }
}

static void mail_arrives(struct world *world, struct mail *mail)
{
    switch (mail->kind) {
    case MAIL_CLIENT:
        client_mail(world, &world->clients[mail->to], mail);
        return;
    case MAIL_REQUEST: /* whoever listens: there may be two who take themselves for the leader, or none */
        for (uint32_t i = 0; i < world->weather.nodes; i++)
            node_mail(&world->nodes[i], mail);
        return;
    case MAIL_RAFT:
    case MAIL_FETCH:
    case MAIL_PIECE:
    case MAIL_ANSWER:
        node_mail(&world->nodes[mail->to], mail);
        return;
    }
}

/* What is sent meanwhile stands behind them, and comes later. */
static void mails_step(struct world *world)
{
    uint32_t count = world->mail_count, kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct mail mail = world->mails[i];
        if (mail.at_ms > world->now_ms)
            continue;
        world->mails[i].bytes = NULL;
        mail_arrives(world, &mail); /* when that fails its bytes stay behind */
        memory_free(mail.bytes);
    }
    for (uint32_t i = 0; i < world->mail_count; i++) {
        if (world->mails[i].bytes != NULL)
            world->mails[kept++] = world->mails[i];
    }
    world->mail_count = kept;
}

/* ---- faults ---- */

static struct node *victim(struct world *world)
{
    return &world->nodes[random_below(&world->random, world->weather.nodes)];
}

static void cut(struct world *world)
{
    uint32_t nodes = world->weather.nodes;
    uint64_t side = random_below(&world->random, 1U << nodes);
    bool one_way = world_chance(world, 20);
    world->result->counts.cuts++;
    for (uint32_t i = 0; i < nodes; i++) {
        bool here = (side >> i & 1) != 0;
        world->nodes[i].cut = here ? ~side : one_way ? 0 : side;
        world->nodes[i].cut &= ~(1ULL << i);
    }
    world_trace(world, "the network is cut: %llx%s", (unsigned long long)side, one_way ? ", one way" : "");
}

static void mend(struct world *world)
{
    for (uint32_t i = 0; i < world->weather.nodes; i++)
        world->nodes[i].cut = 0;
}

static void fault(struct world *world)
{
    const struct weather *weather = &world->weather;
    struct node *node = victim(world);
    switch (random_below(&world->random, 5)) {
    case 0:
    case 1:
        if (weather->crashes && node->running) {
            node_crash(node);
            node->start_ms = world->now_ms + world_pick(world, 5, 1500);
        }
        return;
    case 2:
        if (weather->cuts)
            cut(world);
        return;
    case 3:
        mend(world);
        return;
    case 4:
        if (weather->pauses && node->running) {
            node->paused_ms = world->now_ms + world_pick(world, 50, 800);
            world->result->counts.pauses++;
        }
        return;
    }
}

static void heal(struct world *world)
{
    world->healed = true;
    mend(world);
    for (uint32_t i = 0; i < world->weather.nodes; i++) {
        world->nodes[i].paused_ms = 0;
        world->nodes[i].start_ms = world->now_ms;
    }
    world_trace(world, "no more faults");
}

/* ---- the weather ---- */

static void draw_raft(struct world *world, struct raft_options *raft)
{
    *raft = raft_options_default();
    raft->election_ticks = 10;
    raft->heartbeat_ticks = world_pick(world, 1, 3);
    raft->candidate_ticks = world_pick(world, 10, 20);
    raft->commit_ticks = world_pick(world, 0, 4);
    raft->lease_ticks = 10;
    raft->log_entries_max = 1024;
    raft->trailing_entries = world_pick(world, 0, 30);
    raft->snapshot_entries = world_chance(world, 70) ? world_pick(world, 10, 80) : 300;
    raft->append_entries = world_pick(world, 1, 16);
    raft->window = world_pick(world, 1, 8);
    raft->apply_bytes = world_pick(world, 1, 5000);
    raft->chunk_bytes = world_pick(world, 100, 2000);
    raft->entry_bytes_max = 1 << 20;
}

static void draw(struct world *world)
{
    static const uint8_t sizes[] = {1, 3, 3, 3, 3, 5};
    struct weather *weather = &world->weather;
    *weather = (struct weather){
        .nodes = sizes[random_below(&world->random, COUNT_OF(sizes))],
        .loss_percent = world_pick(world, 1, 15),
        .repeat_percent = world_pick(world, 1, 10),
        .late_percent = world_pick(world, 1, 20),
        .delay_ms = world_pick(world, 0, 8),
        .late_ms = world_pick(world, 20, 400),
        .sync_ms = world_pick(world, 0, 12),
        .client_gap_ms = world_pick(world, 2, 30),
        .fault_gap_ms = world_pick(world, 100, 1500),
        .crashes = world_chance(world, 75),
        .cuts = world_chance(world, 60),
        .pauses = world_chance(world, 50),
        .losses = world_chance(world, 50),
        .skews = world_chance(world, 50),
        .changes = world_chance(world, 40),
        .forgets = world_chance(world, 50),
    };
    weather->groups = world->options.seed % 4 == 3 ? GROUPS_MAX : 1; /* not drawn: what a seed was, it is */
    draw_raft(world, &weather->raft);
}

/* ---- a run ---- */

static void begin(struct world *world)
{
    draw(world);
    for (uint32_t i = 0; i < world->weather.nodes; i++) {
        struct node *node = &world->nodes[i];
        node->disk = sim_disk_new(random_next(&world->random));
        if (world->weather.skews)
            node->skew_ns = (int64_t)world_pick(world, 0, 4000) * 1000000 - 2000000000;
        node_found(node);
    }
    for (int i = 0; i < CLIENTS; i++)
        world->clients[i].slot = i;
}

static void step(struct world *world)
{
    world->now_ms++;
    world->result->counts.steps++;
    mails_step(world);
    for (uint32_t i = 0; i < world->weather.nodes; i++) {
        struct node *node = &world->nodes[i];
        if (!node->running && node->start_ms <= world->now_ms)
            node_start(node);
        if (node->running && node->paused_ms <= world->now_ms)
            node_step(node);
    }
    for (int i = 0; i < CLIENTS; i++)
        client_step(world, &world->clients[i]);
    if ((world->weather.changes || world->weather.groups > 1) && world->now_ms % 50 == 0)
        members_step(world);
    if (!world->healed && random_below(&world->random, world->weather.fault_gap_ms) == 0)
        fault(world);
}

static void run(struct world *world)
{
    uint64_t heal_ms = 1000ULL * world->options.seconds;
    begin(world);
    while (world->now_ms < heal_ms)
        step(world);
    heal(world);
    while (world->now_ms < heal_ms + REST_MS && !(world->now_ms % 100 == 0 && check_at_rest(world)))
        step(world);
    check_end(world);
}

static void forget(struct world *world)
{
    for (uint32_t i = 0; i < world->mail_count; i++)
        memory_free(world->mails[i].bytes);
    memory_free(world->mails);
    for (uint32_t i = 0; i < NODES_MAX; i++)
        node_close(&world->nodes[i]);
    memory_free(world);
}

void world_run(const struct world_options *options, struct world_result *result)
{
    jmp_buf failed;
    struct world *volatile world = memory_new(sizeof *world);
    *result = (struct world_result){0};
    ASSERT(world != NULL);
    world->options = *options;
    world->result = result;
    world->failed = &failed;
    random_seed(&world->random, options->seed * 0x9e3779b97f4a7c15ULL + 1);
    for (int i = 0; i < NODES_MAX; i++)
        world->nodes[i] = (struct node){.world = world, .slot = i};
    if (setjmp(failed) == 0)
        run(world);
    else
        result->failed = true;
    result->counts.virtual_ms = world->now_ms;
    forget(world);
}
