/* tests/fuzz/fuzz_streaming_replica.c - the replicated machine: bytes from other nodes, and whether all nodes
 * do the same.
 *
 * Three machines. One leads and gets requests, a second one follows it: at the end, and whenever the first
 * has ceased to lead, both must say the same of themselves. The third gets what comes from a network:
 * entries, snapshots, pieces.
 *
 * An input is a row of steps: a byte that says what, one that says how much, and so many bytes. What: 0 to 7
 * a request of that kind to the leader; 8 the answer to a heartbeat, 9 that nobody is there; 10 moves the
 * clock, in units of 100 ms; 11 another one leads; 12 commits from here on late (odd) or at once; 13 an entry
 * for the third, 14 its own snapshot, 15 another's, 16 a piece; 17 the leader's own snapshot for it. */
#include "core/base/check.h"
#include "core/base/memory.h"
#include "shards/streaming/machine.h"
#include "shards/streaming/wire.h"

#include <stdio.h>

enum { INBOXES = 16, INBOX_BYTES = 64, REPLY_BYTES = 512, STEPS_MAX = 400, ENTRIES_MAX = 4096, MACHINES = 3 };
enum what {
    ANSWER = 8,
    NOBODY,
    CLOCK,
    LEAD,
    LATE,
    ENTRY,
    OWN_SNAPSHOT,
    SNAPSHOT,
    PIECE,
    INSTALL,
    WHATS,
};

struct entry {
    uint8_t *bytes;
    size_t count;
    uint32_t term;
};

struct fuzz {
    struct store *stores[MACHINES];
    struct streaming *machines[MACHINES];
    struct streaming_now now;
    struct entry entries[ENTRIES_MAX];
    uint64_t entry_count, applied[2];
    uint32_t term;
    int leader;
    bool late, replace_durable;
    bool fooled; /* the third had bytes that no leader sent: it may hold other messages than they do */
    char inboxes[INBOXES][INBOX_BYTES];
    uint32_t inbox_count;
    char beat[REPLY_BYTES];
};

/* ---- machines ---- */

static void machine_open(struct fuzz *fuzz, int machine)
{
    char why[STORE_WHY_BYTES];
    struct store_options options = {
        .kind = STORE_MEMORY,
        .limits = {.messages_max = 8, .subscriptions_max = 4, .inactivity_max_ns = 3000000000},
    };
    struct streaming_setup setup = {
        .cluster_id = "c",
        .discover_prefix = "d",
        .replace_durable = fuzz->replace_durable,
        .heartbeat_interval_ns = 1000000000,
        .heartbeat_timeout_ns = 500000000,
        .heartbeat_fail_max = 1,
        .server_id = TEXT("s"),
        .now = fuzz->now,
        .replicated = true,
        .channels_max = 5,
        .seed = (uint64_t)machine,
    };
    ASSERT(store_open(&setup.store, &options, fuzz->now.wall_ns, why, sizeof why) == ERR_OK);
    fuzz->stores[machine] = setup.store;
    ASSERT(streaming_new(&fuzz->machines[machine], &setup, why, sizeof why) == ERR_OK);
}

static void machine_close(struct fuzz *fuzz, int machine)
{
    streaming_free(fuzz->machines[machine]);
    ASSERT(store_close(fuzz->stores[machine]) == ERR_OK);
}

/* ---- the log ---- */

static void outputs_take(struct fuzz *fuzz, int machine)
{
    struct streaming_output output;
    while (streaming_output_next(fuzz->machines[machine], &output)) {
        if (output.kind == STREAMING_OUTPUT_LISTEN && output.subject.count < INBOX_BYTES)
            snprintf(fuzz->inboxes[fuzz->inbox_count++ % INBOXES], INBOX_BYTES, "%.*s",
                     BYTES_PRINTF(output.subject));
        if (output.kind == STREAMING_OUTPUT_PUBLISH && output.reply.count > 0 &&
            output.reply.count < REPLY_BYTES)
            snprintf(fuzz->beat, sizeof fuzz->beat, "%.*s", BYTES_PRINTF(output.reply));
        if (output.kind == STREAMING_OUTPUT_PROPOSE) {
            ASSERT(machine == fuzz->leader && fuzz->entry_count < ENTRIES_MAX);
            struct entry *entry = &fuzz->entries[fuzz->entry_count++];
            *entry = (struct entry){memory_copy(output.body.data, output.body.count), output.body.count,
                                    fuzz->term};
            ASSERT(entry->bytes != NULL);
        }
    }
}

static bool apply(struct fuzz *fuzz, int machine)
{
    bool any = false;
    for (; fuzz->applied[machine] < fuzz->entry_count; any = true) {
        const struct entry *entry = &fuzz->entries[fuzz->applied[machine]++];
        ASSERT(streaming_apply(fuzz->machines[machine], fuzz->now, fuzz->applied[machine],
                               bytes_of(entry->bytes, entry->count),
                               machine == fuzz->leader && entry->term == fuzz->term) == ERR_OK);
    }
    return any;
}

static void settle(struct fuzz *fuzz)
{
    bool more = true;
    for (int i = 0; i < 64 && more; i++) {
        for (int machine = 0; machine < 2; machine++) {
            more = streaming_step(fuzz->machines[machine], fuzz->now);
            outputs_take(fuzz, machine);
        }
        bool leaders = !fuzz->late && apply(fuzz, fuzz->leader);
        more = (!fuzz->late && apply(fuzz, 1 - fuzz->leader)) || leaders || more;
    }
}

/* ---- comparing ---- */

static struct bytes snapshot_of(struct streaming *machine)
{
    uint8_t *bytes = NULL;
    size_t count = 0;
    ASSERT(streaming_snapshot_write(machine, &bytes, &count) == ERR_OK);
    return bytes_of(bytes, count);
}

static void snapshot_free(struct bytes snapshot)
{
    union {
        const uint8_t *read;
        uint8_t *written;
    } data = {.read = snapshot.data};
    memory_free(data.written);
}

static void compare(struct fuzz *fuzz)
{
    if (fuzz->applied[0] != fuzz->applied[1])
        return;
    struct bytes one = snapshot_of(fuzz->machines[0]), other = snapshot_of(fuzz->machines[1]);
    ASSERT(bytes_equal(one, other));
    snapshot_free(one);
    snapshot_free(other);
}

static void lead(struct fuzz *fuzz, int next)
{
    streaming_lead(fuzz->machines[fuzz->leader], fuzz->now, false);
    fuzz->term++; /* what was proposed is committed by the next one */
    outputs_take(fuzz, fuzz->leader);
    (void)apply(fuzz, 0);
    (void)apply(fuzz, 1);
    compare(fuzz);
    fuzz->leader = next;
    streaming_lead(fuzz->machines[next], fuzz->now, true);
}

/* ---- steps ---- */

static void request(struct fuzz *fuzz, uint8_t kind, struct bytes payload, uint32_t number)
{
    struct streaming_request request = {.kind = kind, .reply = TEXT("r"), .payload = payload};
    if (request.kind == STREAMING_REQUEST_ACK)
        request.subject = text(fuzz->inboxes[number % INBOXES]);
    streaming_request(fuzz->machines[fuzz->leader], fuzz->now, &request);
}

/* The third takes what the leader says of itself: that must always do. */
static void third_follow(struct fuzz *fuzz, struct bytes snapshot)
{
    struct streaming *third = fuzz->machines[2];
    struct streaming_missing missing;
    ASSERT(streaming_restore(third, fuzz->now, snapshot, false) == ERR_OK);
    while (streaming_missing(third, &missing)) {
        uint8_t *piece = NULL;
        size_t count = 0;
        ASSERT(streaming_fetch(fuzz->machines[fuzz->leader], &missing, 64, &piece, &count) == ERR_OK);
        ASSERT(streaming_fill(third, fuzz->now, bytes_of(piece, count)) == ERR_OK);
        memory_free(piece);
    }
}

/* A third that was told of messages that the leader does not have, or that they are gone, gives others than
 * the leader from then on: it must take the snapshot, and a new one shows whether the snapshot is whole. */
static void install(struct fuzz *fuzz)
{
    struct bytes snapshot = snapshot_of(fuzz->machines[fuzz->leader]);
    third_follow(fuzz, snapshot);
    if (fuzz->fooled) {
        machine_close(fuzz, 2);
        machine_open(fuzz, 2);
        fuzz->fooled = false;
        third_follow(fuzz, snapshot);
    }
    struct bytes again = snapshot_of(fuzz->machines[2]);
    ASSERT(bytes_equal(snapshot, again));
    snapshot_free(snapshot);
    snapshot_free(again);
}

static void third_restore(struct fuzz *fuzz, struct bytes bytes, bool own)
{
    enum err err = streaming_restore(fuzz->machines[2], fuzz->now, bytes, own);
    ASSERT(err == ERR_OK || err == ERR_DAMAGED);
    struct bytes again = snapshot_of(fuzz->machines[2]); /* may be asked of whatever it became */
    snapshot_free(again);
}

static void third_apply(struct fuzz *fuzz, struct bytes bytes)
{
    uint64_t next = streaming_applied_index(fuzz->machines[2]) + 1;
    if (next == 0)
        return;
    enum err err = streaming_apply(fuzz->machines[2], fuzz->now, next, bytes, false);
    ASSERT(err == ERR_OK || err == ERR_DAMAGED || err == ERR_INVALID);
}

static void third_fill(struct fuzz *fuzz, struct bytes bytes)
{
    enum err err = streaming_fill(fuzz->machines[2], fuzz->now, bytes);
    ASSERT(err == ERR_OK || err == ERR_DAMAGED || err == ERR_INVALID);
}

static void step(struct fuzz *fuzz, uint8_t what, struct bytes bytes, uint8_t size, uint32_t number)
{
    fuzz->fooled = fuzz->fooled || (what >= ENTRY && what <= PIECE);
    switch (what) {
    case ANSWER:
    case NOBODY:
        streaming_answer(fuzz->machines[fuzz->leader], fuzz->now, text(fuzz->beat), what == NOBODY);
        return;
    case CLOCK:
        fuzz->now.now_ns += (int64_t)size * 100000000;
        fuzz->now.wall_ns += (int64_t)size * 100000000;
        return;
    case LEAD:
        lead(fuzz, size % 2);
        return;
    case LATE:
        fuzz->late = size % 2 == 1;
        return;
    case ENTRY:
        third_apply(fuzz, bytes);
        return;
    case OWN_SNAPSHOT:
    case SNAPSHOT:
        third_restore(fuzz, bytes, what == OWN_SNAPSHOT);
        return;
    case PIECE:
        third_fill(fuzz, bytes);
        return;
    case INSTALL:
        install(fuzz);
        return;
    default:
        request(fuzz, what, bytes, number);
    }
}

/* Steps that hold no bytes use the second one as a number. */
static bool has_bytes(uint8_t what)
{
    return what < ANSWER || (what >= ENTRY && what <= PIECE);
}

static bool take(struct fuzz *fuzz, struct bytes *input, uint32_t number)
{
    if (input->count < 2)
        return false;
    uint8_t what = input->data[0] % WHATS, size = input->data[1];
    *input = bytes_of(input->data + 2, input->count - 2);
    size_t count = !has_bytes(what) ? 0 : size < input->count ? size : input->count;
    step(fuzz, what, bytes_of(input->data, count), size, number);
    *input = bytes_of(input->data + count, input->count - count);
    return true;
}

/* ---- beginning and end ---- */

static void open_all(struct fuzz *fuzz)
{
    for (int i = 0; i < MACHINES; i++)
        machine_open(fuzz, i);
    streaming_lead(fuzz->machines[0], fuzz->now, true);
}

static void connect_first(struct fuzz *fuzz)
{
    uint8_t payload[64];
    struct wire_connect_request first = {
        .client_id = TEXT("me"), .heartbeat_inbox = TEXT("hb"), .protocol = 1};
    size_t count = wire_connect_request_bytes(&first);
    ASSERT(count <= sizeof payload);
    wire_connect_request_write(&first, payload);
    request(fuzz, STREAMING_REQUEST_CONNECT, bytes_of(payload, count), 0);
    settle(fuzz);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    static struct fuzz fuzz;
    fuzz = (struct fuzz){.now = {.now_ns = 1, .wall_ns = 1500000000000000000},
                         .replace_durable = count % 2 == 1};
    open_all(&fuzz);
    connect_first(&fuzz);
    struct bytes input = bytes_of(data, count);
    for (uint32_t i = 0; i < STEPS_MAX && fuzz.entry_count < ENTRIES_MAX / 2 && take(&fuzz, &input, i); i++)
        settle(&fuzz);
    fuzz.late = false;
    settle(&fuzz);
    compare(&fuzz);
    lead(&fuzz, 1);
    settle(&fuzz);
    compare(&fuzz);
    for (int i = 0; i < MACHINES; i++)
        machine_close(&fuzz, i);
    for (uint64_t i = 0; i < fuzz.entry_count; i++)
        memory_free(fuzz.entries[i].bytes);
    return 0;
}
