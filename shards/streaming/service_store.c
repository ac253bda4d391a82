/* shards/streaming/service_store.c - the service's store: its options, its files, and its writes and syncs on
 * the control core's ring; a part of service_inside.h. In the flow:  service_step() -> service_io_begin() ->
 * ring -> service_completed() -> store_io_done(). */
#include "shards/streaming/service_inside.h"

#include <stdlib.h>

/* Of a node's store: an entry of Raft's log and the message that it becomes, both as large as can be. */
enum { CLUSTERED_BUFFER_BYTES = 256 * 1024 * 1024 };

/* ---- the store on the ring ---- */

void service_io_begin(struct control *control)
{
    struct streaming_service *service = control->streaming;
    service->write_due_ns = INT64_MAX;
    if (service->write.in_flight != 0 || service->sync.in_flight != 0)
        return;
    /* A node's peers wait for it, and it for them: their group is what comes while a sync is under way. */
    int64_t due_ns = service->clustered ? control->now_ns : gather_due_ns(&service->gather, control->now_ns);
    if (due_ns > control->now_ns && store_position(service->store) > store_acknowledged(service->store)) {
        service->write_due_ns = due_ns;
        return;
    }
    if (!store_io_begin(service->store, service->now.wall_ns, &service->io))
        return;
    gather_begun(&service->gather, control->now_ns);
    service->written = 0;
    if (service->io.through)
        loop_write_through(control->loop, &service->write, service->io.file, service->io.parts,
                           service->io.part_count, service->io.offset);
    else if (service->io.part_count > 0)
        loop_write(control->loop, &service->write, service->io.file, service->io.parts,
                   service->io.part_count, service->io.offset);
    else if (service->io.sync)
        loop_sync(control->loop, &service->sync, service->io.file);
    else
        store_io_done(service->store, service->now.wall_ns, 0, 0);
}

static void failed_look(const struct control *control)
{
    if (!store_failed(control->streaming->store))
        return;
    log_fatal(control->log, "STREAM: unable to flush msg store: %s", store_error(control->streaming->store));
    abort(); /* what a sync that failed has left on the disk nobody knows: the next start looks */
}

static void io_done(struct control *control, int synced)
{
    struct streaming_service *service = control->streaming;
    store_io_done(service->store, service_now(control).wall_ns, service->written, synced);
    gather_done(&service->gather, control->now_ns, service->io.sync);
    failed_look(control);
}

void service_completed(struct control *control, const struct loop_completion *completion)
{
    struct streaming_service *service = control->streaming;
    if (completion->op == &service->chores.op) {
        chores_done(&service->chores, control->loop, service_now(control).wall_ns, completion->result);
        failed_look(control);
    } else if (completion->op == &service->sync) {
        io_done(control, completion->result);
    } else {
        service->written = completion->result;
        bool whole = completion->result >= 0 && (uint64_t)completion->result == service->io.bytes;
        if (whole && service->io.sync && !service->io.through)
            loop_sync(control->loop, &service->sync, service->io.file);
        else
            io_done(control, 0);
    }
}

/* ---- beginning ---- */

enum err service_store_start(struct control *control, struct streaming_service *service, char *why,
                             size_t why_bytes)
{
    const struct streaming_options *options = &control->snapshot->options->streaming;
    struct store_options store = {
        .kind = options->store == STREAMING_STORE_FILE ? STORE_FILE : STORE_MEMORY,
        .sync = options->sync_on_flush      ? WAL_SYNC_ALWAYS
                : options->auto_sync_ns > 0 ? WAL_SYNC_INTERVAL
                                            : WAL_SYNC_NEVER,
        .sync_interval_ns = options->auto_sync_ns,
        .segment_bytes = (uint32_t)options->segment_bytes,
        .cache_bytes = (uint32_t)options->cache_bytes,
        .channels_max = (uint32_t)options->channels_max,
        .limits = streaming_options_limits(options),
        .rules = options->rules,
        .rule_count = options->rule_count,
        .cut_damaged_tail = options->cut_damaged_tail,
        .outside_bytes_min = CHORES_SEGMENT_BYTES_MIN,
    };
    enum err err = ERR_OK;
    if (options->cluster.on) { /* the machine counts channels: their number has to be the same on each node */
        store.channels_max = 0;
        store.buffer_bytes_max = CLUSTERED_BUFFER_BYTES;
        store.sync = options->cluster.sync       ? WAL_SYNC_ALWAYS
                     : options->auto_sync_ns > 0 ? WAL_SYNC_INTERVAL
                                                 : WAL_SYNC_NEVER;
    }
    if (store.kind == STORE_FILE) {
        err = store_files_open(&service->files, options->folder, why, why_bytes);
        service->has_files = err == ERR_OK;
        store.files = service->files;
    }
    if (err == ERR_OK)
        err = store_open(&service->store, &store, service_now(control).wall_ns, why, why_bytes);
    if (err == ERR_OK) {
        struct store_sharing sharing = sharing_of(&service->sharing);
        store_set_sharing(service->store, &sharing);
    }
    service->chores.store = service->store;
    service->chores.files = &service->files;
    return err;
}
