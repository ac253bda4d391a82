/* shards/streaming/replica_restore.c - a machine becomes what a snapshot says: our own at the start, the
 * leader's when this node is too far behind. A snapshot has no messages, so those that the store lacks are
 * asked of the leader, a piece at a time, until streaming_missing() names none (docs/streaming-cluster.md 4).
 * Meanwhile nothing is applied. A request, 8 bytes each, little-endian: the snapshot's index, channel id,
 * first, last; then the name. Any node that has applied as much can answer; who leads is asked, also before
 * anything of its own term is committed: that may take this very node. */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "shards/control/control_internal.h"
#include "shards/streaming/replica_inside.h"
#include "store/record.h"

#include <inttypes.h>
#include <stdio.h>

#define ANSWER_NS (NS_PER_SECOND / 2)   /* for an answer to come; a lost piece costs so much */
#define LEADER_NS (NS_PER_SECOND / 10)  /* until somebody leads */
#define GIVE_UP_NS (20 * NS_PER_SECOND) /* without any progress */

#define PACE_NS (NS_PER_SECOND / 10) /* over which it is measured how much is published */

static void give(struct replica *replica, uint64_t to_id, struct bytes request);

enum { FIELDS_BYTES = 32, PIECE_BYTES = 256 * 1024 };
/* A peer gets 3 bytes while publishers bring 2, so that it comes nearer; and no less than 8 MB a second. */
enum { GIVE_MORE = 3, GIVE_LESS = 2, GIVE_BYTES_PER_SECOND_MIN = 8 * 1024 * 1024 };

/* ---- what is missing ---- */

/* The state is whole. */
static void finished(struct replica *replica)
{
    struct replica_restore *restore = &replica->restore;
    bool installing = restore->installing;
    *restore = (struct replica_restore){0};
    replica->changed = true;
    log_notice(replica->control->log, "STREAM: done restoring from snapshot");
    if (!installing)
        return;
    enum err err = replica_log_install(&replica->log);
    if (err != ERR_OK)
        raft_driver_installed(&replica->driver, err);
}

/* False: there is nobody to ask, or no memory. */
static bool ask(struct replica *replica, const struct streaming_missing *missing)
{
    struct raft_status status;
    size_t count = FIELDS_BYTES + missing->channel.count;
    raft_status(replica->driver.raft, &status);
    uint8_t *request =
        status.leader == 0 || status.leader == replica->id ? NULL : peers_reserve(&replica->peers, count);
    if (request == NULL)
        return false;
    put_u64(request, replica->restore.index);
    put_u64(request + 8, missing->channel_id);
    put_u64(request + 16, missing->first);
    put_u64(request + 24, missing->last);
    memcpy(request + FIELDS_BYTES, missing->channel.data, missing->channel.count);
    return peers_send(&replica->peers, status.leader, PEERS_FETCH, count);
}

static void proceed(struct replica *replica, const struct streaming_missing *missing)
{
    enum err err = streaming_forgo(replica->machine, replica->now);
    if (err == ERR_FULL) { /* when the store has had time */
        replica->restore.next_ns = replica->now.now_ns + LEADER_NS;
        return;
    }
    if (err != ERR_OK)
        replica_abort(replica, "what is missing could not be noted", err);
    log_error(replica->control->log,
              "STREAM: channel \"%.*s\" - was not able to restore from the leader, proceeding anyway",
              BYTES_PRINTF(missing->channel));
    finished(replica);
}

/* No leader could give it. The original's trap is not ours: a node whose own store is whole needs nobody. */
static void failed(struct replica *replica, const struct streaming_missing *missing)
{
    char sentence[REPLICA_WHY_BYTES];
    if (replica->control->snapshot->options->streaming.cluster.proceed_on_restore_failure) {
        proceed(replica, missing);
        return;
    }
    snprintf(sentence, sizeof sentence, "channel \"%.*s\" - unable to restore messages, aborting",
             BYTES_PRINTF(missing->channel));
    replica->restore.next_ns = INT64_MAX;
    replica_give_up(replica, sentence);
}

/* Asks for what is missing next, or is done. */
static void fetch(struct replica *replica)
{
    struct replica_restore *restore = &replica->restore;
    struct streaming_missing missing;
    if (!streaming_missing(replica->machine, &missing)) {
        finished(replica);
        return;
    }
    if (replica->now.now_ns >= restore->give_up_ns) {
        failed(replica, &missing);
        return;
    }
    restore->next_ns = replica->now.now_ns + ANSWER_NS;
    if (replica->raft_leads) { /* by an election that it should not have won: others have what it lacks */
        struct raft_event event = {.kind = RAFT_EVENT_TRANSFER};
        raft_driver_step(&replica->driver, &event, NULL);
        return;
    }
    if (!ask(replica, &missing))
        restore->next_ns = replica->now.now_ns + LEADER_NS;
}

static void begin_fetching(struct replica *replica)
{
    struct streaming_missing missing;
    replica->restore.fetching = true;
    replica->restore.give_up_ns = replica->now.now_ns + GIVE_UP_NS;
    if (!streaming_missing(replica->machine, &missing))
        return; /* the next step finds nothing to do */
    log_notice(replica->control->log, "STREAM: restoring channel \"%.*s\" from snapshot",
               BYTES_PRINTF(missing.channel));
}

/* ---- pace ---- */

/* A piece of `count` bytes has left. Without publishers there is nothing to wait for. */
static void pace(struct replica *replica, size_t count)
{
    struct replica_giving *giving = &replica->giving;
    int64_t now_ns = replica->now.now_ns, passed_ns = now_ns - giving->from_ns;
    if (passed_ns >= PACE_NS) {
        giving->bytes_per_second =
            (int64_t)((double)giving->proposed_bytes * NS_PER_SECOND / (double)passed_ns);
        giving->proposed_bytes = 0;
        giving->from_ns = now_ns;
    }
    int64_t rate = giving->bytes_per_second * GIVE_MORE / GIVE_LESS;
    rate = rate < GIVE_BYTES_PER_SECOND_MIN ? GIVE_BYTES_PER_SECOND_MIN : rate;
    giving->free_ns = giving->bytes_per_second == 0 ? now_ns : now_ns + (int64_t)count * NS_PER_SECOND / rate;
}

/* ---- turns ---- */

/* A snapshot has come in. */
static void install(struct replica *replica)
{
    struct bytes incoming = replica_log_incoming(&replica->log);
    enum err err = streaming_restore(replica->machine, replica->now, incoming, false);
    if (err == ERR_FULL)
        return; /* in the next turn */
    if (err == ERR_DAMAGED) {
        log_error(replica->control->log, "STREAM: error restoring from snapshot: %s", err_text(err));
        replica->log.install_wanted = false;
        raft_driver_installed(&replica->driver, err);
        return;
    }
    if (err != ERR_OK)
        replica_abort(replica, "error restoring from snapshot", err);
    log_notice(replica->control->log, "STREAM: restoring from snapshot");
    replica->restore =
        (struct replica_restore){.installing = true, .index = replica->log.snapshots.incoming.about.index};
    replica->changed = true;
    begin_fetching(replica);
}

void restore_step(struct replica *replica)
{
    struct replica_restore *restore = &replica->restore;
    if (replica->log.install_wanted && !restore->installing)
        install(replica);
    if (restore->fetching && restore->next_ns <= replica->now.now_ns)
        fetch(replica);
    struct replica_giving *giving = &replica->giving;
    if (giving->to != 0 && giving->free_ns <= replica->now.now_ns) {
        uint64_t to = giving->to;
        giving->to = 0;
        give(replica, to, bytes_of(giving->request, giving->request_bytes));
    }
}

int64_t restore_next_ns(const struct replica *replica)
{
    int64_t give_ns = replica->giving.to != 0 ? replica->giving.free_ns : INT64_MAX;
    int64_t next_ns = replica->restore.fetching ? replica->restore.next_ns : INT64_MAX;
    return give_ns < next_ns ? give_ns : next_ns;
}

/* ---- the two ends of a fetch ---- */

static void give(struct replica *replica, uint64_t to_id, struct bytes request)
{
    uint8_t *piece = NULL;
    size_t count = 0;
    struct streaming_missing wanted = {
        .channel = bytes_of(request.data + FIELDS_BYTES, request.count - FIELDS_BYTES),
        .channel_id = get_u64(request.data + 8),
        .first = get_u64(request.data + 16),
        .last = get_u64(request.data + 24),
    };
    struct raft_status status;
    if (replica->restore.fetching || !replica_raft_status(replica, &status) ||
        status.applied_index < get_u64(request.data))
        return; /* what it asks for may not be here yet: it asks again */
    enum err err = streaming_fetch(replica->machine, &wanted, PIECE_BYTES, &piece, &count);
    uint8_t *to = err != ERR_OK ? NULL : peers_reserve(&replica->peers, count);
    if (to != NULL) {
        memcpy(to, piece, count);
        (void)peers_send(&replica->peers, to_id, PEERS_PIECE, count);
    }
    if (err != ERR_OK)
        log_error(replica->control->log, "STREAM: Snapshot restore request error for channel \"%.*s\", %s",
                  BYTES_PRINTF(wanted.channel), err_text(err));
    memory_free(piece);
    pace(replica, count);
}

void restore_asked(struct replica *replica, uint64_t from, struct bytes request)
{
    struct replica_giving *giving = &replica->giving;
    if (request.count <= FIELDS_BYTES || request.count > FETCH_REQUEST_BYTES_MAX) {
        log_error(replica->control->log, "STREAM: Invalid snapshot request, data len=%zu", request.count);
        return;
    }
    if (giving->free_ns <= replica_moment(replica).now_ns) {
        give(replica, from, request);
    } else {
        giving->to = from;
        giving->request_bytes = request.count;
        memcpy(giving->request, request.data, request.count);
    }
}

void restore_piece(struct replica *replica, struct bytes piece)
{
    struct replica_restore *restore = &replica->restore;
    if (!restore->fetching)
        return;
    enum err err = streaming_fill(replica->machine, replica_moment(replica), piece);
    if (err == ERR_MEMORY || err == ERR_SYSTEM)
        replica_abort(replica, "messages of the leader could not be stored", err);
    if (err == ERR_OK) /* with ERR_FULL the same is asked for when the store has had time */
        restore->give_up_ns = replica->now.now_ns + GIVE_UP_NS;
    restore->next_ns = err == ERR_OK ? replica->now.now_ns : replica->now.now_ns + LEADER_NS;
}

/* ---- at the start ---- */

enum err restore_own(struct replica *replica, char *why, size_t why_bytes)
{
    uint8_t *bytes = NULL;
    enum err err = snapshots_load(&replica->log.snapshots, &bytes);
    if (err == ERR_OK && bytes != NULL) {
        log_notice(replica->control->log, "STREAM: restoring from snapshot");
        err = streaming_restore(replica->machine, replica->now,
                                bytes_of(bytes, replica->log.snapshots.newest.size_bytes), true);
        replica->restore.index = replica->log.snapshots.newest.index;
        if (err == ERR_OK)
            begin_fetching(replica);
    }
    memory_free(bytes);
    if (err != ERR_OK)
        snprintf(why, why_bytes, "error restoring from snapshot: %s", err_text(err));
    return err;
}
