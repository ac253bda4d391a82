/* bench/log_floor.c - see log_floor.h. Plain calls, no ring: a ring hands a sync to another thread, which
 * costs more than it saves when nothing else is to be done meanwhile. */
#include "bench/log_floor.h"

#include "bench/measure.h"
#include "bench/progress.h"
#include "core/base/clock.h"
#include "core/base/memory.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };

struct log_floor {
    const struct options *options;
    struct failure *failure;
    int fd;
    uint8_t *group;
    size_t group_bytes;
    int64_t offset;
    uint64_t messages;
    uint64_t syncs;
    struct progress progress;
    struct histogram latency; /* of a group */
};

static enum err write_whole(struct log_floor *floor, size_t count)
{
    for (size_t done = 0; done < count;) {
        ssize_t written = pwrite(floor->fd, floor->group + done, count - done, floor->offset);
        if (written <= 0)
            return failure_set_errno(floor->failure, "writing failed");
        done += (size_t)written;
        floor->offset += written;
    }
    if (floor->offset + (int64_t)floor->group_bytes > LOG_FLOOR_BYTES_MAX)
        floor->offset = 0;
    return ERR_OK;
}

/* The file as long as it will be, on disk. */
static enum err reserve(struct log_floor *floor)
{
    uint64_t left = floor->options->messages * floor->options->size_bytes;
    enum err err = ERR_OK;
    do {
        size_t count = left < floor->group_bytes ? (size_t)left : floor->group_bytes;
        err = write_whole(floor, count);
        left -= count;
    } while (err == ERR_OK && left > 0 && floor->offset > 0);
    floor->offset = 0;
    if (err == ERR_OK && fsync(floor->fd) < 0)
        return failure_set_errno(floor->failure, "syncing failed");
    return err;
}

static enum err groups(struct log_floor *floor)
{
    const struct options *options = floor->options;
    uint64_t goal = options->duration_ns > 0 ? UINT64_MAX : options->messages;
    int64_t now_ns = clock_monotonic_ns();
    int64_t start_ns = now_ns, end_ns = options->duration_ns > 0 ? now_ns + options->duration_ns : INT64_MAX;
    uint64_t group_count = floor->group_bytes / options->size_bytes;
    while (floor->messages < goal && now_ns < end_ns) {
        uint64_t left = goal - floor->messages;
        uint64_t count = left < group_count ? left : group_count;
        enum err err = write_whole(floor, (size_t)(count * options->size_bytes));
        if (err == ERR_OK && fdatasync(floor->fd) < 0)
            err = failure_set_errno(floor->failure, "syncing failed");
        if (err != ERR_OK)
            return err;
        int64_t done_ns = clock_monotonic_ns();
        histogram_record(&floor->latency, (uint64_t)(done_ns - now_ns));
        now_ns = done_ns;
        floor->messages += count;
        floor->syncs++;
        progress_show(&floor->progress, now_ns,
                      goal == UINT64_MAX ? (double)(now_ns - start_ns) : (double)floor->messages,
                      goal == UINT64_MAX ? (double)options->duration_ns : (double)goal);
    }
    return ERR_OK;
}

static enum err measured(struct log_floor *floor, struct report *report)
{
    const struct options *options = floor->options;
    struct measure measure = {0};
    enum err err = options->reserve ? reserve(floor) : ERR_OK;
    if (err == ERR_OK)
        err = measure_start(&measure, (uint64_t)getpid(), floor->failure);
    if (err == ERR_OK)
        err = groups(floor);
    if (err == ERR_OK)
        err = measure_stop(&measure, floor->failure);
    if (err != ERR_OK)
        return err;
    report_add_text(report, "command", options_command_name(options->command));
    report_add_count(report, "size_bytes", options->size_bytes);
    report_add_count(report, "publishers", options->publishers);
    report_add_count(report, "messages", floor->messages);
    report_add_count(report, "syncs", floor->syncs);
    measure_report(&measure, report, floor->messages, 0);
    report_add_latency(report, &floor->latency);
    return ERR_OK;
}

enum err log_floor_run(const struct options *options, struct report *report, struct failure *failure)
{
    struct log_floor *floor = memory_new(sizeof(*floor));
    char path[PATH_BYTES];
    if (floor == NULL)
        return failure_set(failure, ERR_MEMORY, "out of memory");
    *floor = (struct log_floor){.options = options, .failure = failure, .fd = -1};
    int count = snprintf(path, sizeof(path), "%s/log-floor-%lld", options->dir, (long long)getpid());
    floor->group_bytes =
        options->publishers * (options->in_flight > 0 ? options->in_flight : 1) * options->size_bytes;
    enum err err = ERR_OK;
    if (count < 0 || (size_t)count >= sizeof(path) || floor->group_bytes > LOG_FLOOR_BYTES_MAX / 2)
        err = failure_set(failure, ERR_INVALID, "--dir is too long, or a group too large");
    if (err == ERR_OK) {
        floor->group = memory_new(floor->group_bytes);
        if (floor->group == NULL)
            err = failure_set(failure, ERR_MEMORY, "out of memory");
        else
            memset(floor->group, 'x', floor->group_bytes);
    }
    if (err == ERR_OK) {
        floor->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (floor->fd < 0)
            err = failure_set_errno(failure, "%s cannot be made", path);
    }
    progress_init(&floor->progress, options->quiet, clock_monotonic_ns());
    if (err == ERR_OK)
        err = measured(floor, report);
    progress_end(&floor->progress);
    if (floor->fd >= 0) {
        (void)close(floor->fd);
        (void)unlink(path);
    }
    memory_free(floor->group);
    memory_free(floor);
    return err;
}
