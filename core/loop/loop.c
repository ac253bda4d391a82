/* core/loop/loop.c - the ring behind loop.h.
 * SINGLE_ISSUER and DEFER_TASKRUN (kernel 6.1): completions are made only when this thread asks for them, so
 * a turn's work is one system call and no interrupt of the thread. */
#include "core/loop/loop.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/memory.h"

#include <errno.h>
#include <liburing.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum {
    BUFFER_GROUP = 0,
    COMPLETIONS = LOOP_ENTRIES * 4,
    SEND_SLOTS = LOOP_ENTRIES, /* message headers that live until the next submit */
    SUBMIT_TRIES = 1000,
    /* What a turn receives is read again by the parser and written to receivers, so it had better stay in a
     * core's own cache until then. Measured with 10 publishers and 100 subscribers of 128 bytes: half a
     * megabyte 25 ns per delivery, one 37 ns, two 55 ns. */
    WINDOW_BYTES = 512 * 1024,
};

struct send_slot {
    struct msghdr header;
    struct iovec parts[LOOP_SEND_PARTS_MAX];
};

struct loop {
    struct io_uring ring;
    struct io_uring_buf_ring *buffers;
    uint8_t *buffer_memory;
    uint32_t buffer_bytes;
    uint32_t buffer_count;
    uint16_t *spare; /* buffers that the kernel does not have, the last one returned on top */
    uint32_t spare_count;
    uint32_t window; /* how many buffers the kernel is shown at most: loop_wait() fills up to it */
    uint32_t window_least;
    uint32_t shown;             /* how many it has */
    uint64_t received_bytes;    /* in this turn */
    uint64_t no_buffers;        /* receives that ended for want of buffers, */
    uint64_t no_buffers_before; /* and before this turn */
    unsigned completions_taken; /* seen, not given back to the ring yet */
    unsigned completions_ready; /* collected by the last wait */
    struct send_slot *sends;    /* the kernel copies them at submit (FEAT_SUBMIT_STABLE) */
    uint32_t sends_used;
    uint64_t enters;
    uint64_t submissions; /* until the last wait */
    uint64_t completions; /* given back to the ring */
    uint64_t overflows;
};

static void explain(int error, char *why, size_t why_bytes)
{
    const char *cause = "io_uring could not be set up";
    if (error == ENOSYS)
        cause = "this kernel has no io_uring (Linux 6.1 or newer is needed)";
    else if (error == EPERM || error == EACCES)
        cause = "io_uring is forbidden here: see sysctl kernel.io_uring_disabled, or the container's seccomp "
                "profile";
    else if (error == EINVAL)
        cause = "this kernel's io_uring lacks DEFER_TASKRUN or provided buffer rings (Linux 6.1 or newer is "
                "needed)";
    else if (error == ENOMEM)
        cause = "not enough locked memory for io_uring: raise the memlock limit (ulimit -l)";
    snprintf(why, why_bytes, "%s: %s", cause, strerror(error));
}

/* Which operations of 6.0 and 6.1 the kernel knows; multishot receive came together with SEND_ZC. */
static bool operations_known(struct io_uring *ring)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    if (probe == NULL)
        return false;
    bool known = io_uring_opcode_supported(probe, IORING_OP_SEND_ZC) &&
                 io_uring_opcode_supported(probe, IORING_OP_SENDMSG) &&
                 io_uring_opcode_supported(probe, IORING_OP_ACCEPT) &&
                 io_uring_opcode_supported(probe, IORING_OP_CONNECT) &&
                 io_uring_opcode_supported(probe, IORING_OP_ASYNC_CANCEL);
    io_uring_free_probe(probe);
    return known;
}

static int ring_open(struct loop *loop)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE |
                 IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP | IORING_SETUP_TASKRUN_FLAG,
        .cq_entries = COMPLETIONS,
    };
    int result = io_uring_queue_init_params(LOOP_ENTRIES, &loop->ring, &params);
    if (result < 0)
        return -result;
    unsigned needed = IORING_FEAT_EXT_ARG | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_NODROP;
    if ((params.features & needed) != needed || !operations_known(&loop->ring)) {
        io_uring_queue_exit(&loop->ring);
        return EINVAL;
    }
    return 0;
}

static void *map_pages(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

/* The buffers used last go first: they are in the cache still. */
static void buffers_show(struct loop *loop)
{
    int added = 0;
    for (; loop->shown < loop->window && loop->spare_count > 0; loop->shown++, added++) {
        uint16_t buffer = loop->spare[--loop->spare_count];
        io_uring_buf_ring_add(loop->buffers, loop->buffer_memory + (size_t)buffer * loop->buffer_bytes,
                              loop->buffer_bytes, buffer, io_uring_buf_ring_mask(loop->buffer_count), added);
    }
    if (added > 0)
        io_uring_buf_ring_advance(loop->buffers, added);
}

/* Many connections with a little each need many buffers; a few with much need few, and the rest of their
 * bytes waits in their sockets. So the window grows when it was too small for little data, and shrinks when
 * it let too much in. */
static void window_adapt(struct loop *loop)
{
    uint64_t window_bytes = (uint64_t)loop->window * loop->buffer_bytes;
    bool starved = loop->no_buffers != loop->no_buffers_before;
    if (starved && loop->received_bytes < window_bytes / 4 && loop->window < loop->buffer_count)
        loop->window *= 2;
    else if (loop->received_bytes > WINDOW_BYTES && loop->window > loop->window_least)
        loop->window /= 2;
    loop->no_buffers_before = loop->no_buffers;
    loop->received_bytes = 0;
}

static int buffers_open(struct loop *loop, const struct loop_options *options)
{
    loop->buffer_bytes = options->receive_buffer_bytes;
    loop->buffer_count = options->receive_buffers;
    loop->buffers = map_pages(loop->buffer_count * sizeof(struct io_uring_buf));
    loop->buffer_memory = map_pages((size_t)loop->buffer_count * loop->buffer_bytes);
    loop->spare = memory_new(loop->buffer_count * sizeof *loop->spare);
    if (loop->buffers == NULL || loop->buffer_memory == NULL || loop->spare == NULL)
        return ENOMEM;
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)loop->buffers,
        .ring_entries = loop->buffer_count,
        .bgid = BUFFER_GROUP,
    };
    int result = io_uring_register_buf_ring(&loop->ring, &registration, 0);
    if (result < 0)
        return -result;
    io_uring_buf_ring_init(loop->buffers);
    while (loop->spare_count < loop->buffer_count) {
        loop->spare[loop->spare_count] = (uint16_t)loop->spare_count;
        loop->spare_count++;
    }
    loop->window_least = WINDOW_BYTES / loop->buffer_bytes;
    if (loop->window_least > loop->buffer_count)
        loop->window_least = loop->buffer_count;
    if (loop->window_least == 0)
        loop->window_least = 1;
    loop->window = loop->window_least;
    buffers_show(loop);
    return 0;
}

static void unmap_buffers(struct loop *loop)
{
    if (loop->buffers != NULL)
        munmap(loop->buffers, loop->buffer_count * sizeof(struct io_uring_buf));
    if (loop->buffer_memory != NULL)
        munmap(loop->buffer_memory, (size_t)loop->buffer_count * loop->buffer_bytes);
    memory_free(loop->spare);
}

enum err loop_new(struct loop **out, const struct loop_options *options, char *why, size_t why_bytes)
{
    *out = NULL;
    struct loop *loop = memory_new(sizeof *loop);
    struct send_slot *sends = memory_grow(NULL, SEND_SLOTS * sizeof *sends);
    if (loop == NULL || sends == NULL) {
        memory_free(loop);
        memory_free(sends);
        explain(ENOMEM, why, why_bytes);
        return ERR_MEMORY;
    }
    loop->sends = sends;
    int error = ring_open(loop);
    if (error == 0) {
        error = buffers_open(loop, options);
        if (error != 0)
            io_uring_queue_exit(&loop->ring);
    }
    if (error != 0) {
        explain(error, why, why_bytes);
        unmap_buffers(loop);
        memory_free(sends);
        memory_free(loop);
        return error == EINVAL || error == ENOSYS ? ERR_UNSUPPORTED : ERR_SYSTEM;
    }
    *out = loop;
    return ERR_OK;
}

void loop_free(struct loop *loop)
{
    if (loop == NULL)
        return;
    io_uring_queue_exit(&loop->ring);
    unmap_buffers(loop);
    memory_free(loop->sends);
    memory_free(loop);
}

/* Hands over what is queued. EBUSY and EAGAIN pass: the kernel is out of room or memory for a moment. */
static void submit(struct loop *loop)
{
    for (int tries = 0; tries < SUBMIT_TRIES; tries++) {
        loop->enters++;
        int result = io_uring_submit(&loop->ring);
        if (result >= 0 || (result != -EBUSY && result != -EAGAIN && result != -EINTR))
            break;
    }
    if (io_uring_sq_ready(&loop->ring) == 0)
        loop->sends_used = 0;
}

static struct io_uring_sqe *entry(struct loop *loop)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&loop->ring);
    if (UNLIKELY(sqe == NULL)) {
        submit(loop);
        sqe = io_uring_get_sqe(&loop->ring);
        ASSERT(sqe != NULL); /* the kernel takes what it is given, or this process has no ring any more */
    }
    return sqe;
}

static void launch(struct io_uring_sqe *sqe, struct loop_op *op, bool multishot)
{
    ASSERT(op->in_flight == 0);
    op->in_flight = 1;
    op->multishot = multishot;
    io_uring_sqe_set_data(sqe, op);
}

void loop_accept(struct loop *loop, struct loop_op *op, int fd)
{
    struct io_uring_sqe *sqe = entry(loop);
    io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
    launch(sqe, op, true);
}

void loop_receive(struct loop *loop, struct loop_op *op, int fd)
{
    struct io_uring_sqe *sqe = entry(loop);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    launch(sqe, op, true);
}

void loop_connect(struct loop *loop, struct loop_op *op, int fd, const struct sockaddr *address,
                  uint32_t bytes)
{
    struct io_uring_sqe *sqe = entry(loop);
    io_uring_prep_connect(sqe, fd, address, bytes);
    launch(sqe, op, false);
}

void loop_read(struct loop *loop, struct loop_op *op, int fd, void *into, uint32_t bytes)
{
    struct io_uring_sqe *sqe = entry(loop);
    io_uring_prep_read(sqe, fd, into, bytes, 0);
    launch(sqe, op, false);
}

void loop_write(struct loop *loop, struct loop_op *op, int fd, const struct iovec *parts, uint32_t count,
                uint64_t offset)
{
    struct io_uring_sqe *sqe = entry(loop);
    io_uring_prep_writev(sqe, fd, parts, count, offset);
    launch(sqe, op, false);
}

void loop_write_through(struct loop *loop, struct loop_op *op, int fd, const struct iovec *parts,
                        uint32_t count, uint64_t offset)
{
    struct io_uring_sqe *sqe = entry(loop);
    io_uring_prep_writev2(sqe, fd, parts, count, offset, RWF_DSYNC);
    launch(sqe, op, false);
}

void loop_sync(struct loop *loop, struct loop_op *op, int fd)
{
    struct io_uring_sqe *sqe = entry(loop);
    io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
    launch(sqe, op, false);
}

void loop_sync_whole(struct loop *loop, struct loop_op *op, int fd)
{
    struct io_uring_sqe *sqe = entry(loop);
    io_uring_prep_fsync(sqe, fd, 0);
    launch(sqe, op, false);
}

void loop_open_at(struct loop *loop, struct loop_op *op, int folder, const char *name, int flags, mode_t mode)
{
    struct io_uring_sqe *sqe = entry(loop);
    io_uring_prep_openat(sqe, folder, name, flags, mode);
    launch(sqe, op, false);
}

void loop_reserve(struct loop *loop, struct loop_op *op, int fd, uint64_t bytes)
{
    struct io_uring_sqe *sqe = entry(loop);
    io_uring_prep_fallocate(sqe, fd, 0, 0, (off_t)bytes);
    launch(sqe, op, false);
}

void loop_rename_at(struct loop *loop, struct loop_op *op, int folder, const char *from, const char *to)
{
    struct io_uring_sqe *sqe = entry(loop);
    io_uring_prep_renameat(sqe, folder, from, folder, to, 0);
    launch(sqe, op, false);
}

void loop_remove_at(struct loop *loop, struct loop_op *op, int folder, const char *name)
{
    struct io_uring_sqe *sqe = entry(loop);
    io_uring_prep_unlinkat(sqe, folder, name, 0);
    launch(sqe, op, false);
}

void loop_send(struct loop *loop, struct loop_op *op, int fd, const struct iovec *parts, uint32_t count)
{
    ASSERT(count >= 1 && count <= LOOP_SEND_PARTS_MAX);
    if (UNLIKELY(count > 1 && loop->sends_used == SEND_SLOTS))
        submit(loop);
    struct io_uring_sqe *sqe = entry(loop);
    if (count == 1) {
        io_uring_prep_send(sqe, fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL);
    } else {
        struct send_slot *slot = &loop->sends[loop->sends_used++];
        memcpy(slot->parts, parts, count * sizeof *parts);
        slot->header = (struct msghdr){.msg_iov = slot->parts, .msg_iovlen = count};
        io_uring_prep_sendmsg(sqe, fd, &slot->header, MSG_NOSIGNAL);
    }
    launch(sqe, op, false);
}

void loop_cancel(struct loop *loop, struct loop_op *target)
{
    if (target->in_flight == 0)
        return;
    struct io_uring_sqe *sqe = entry(loop);
    io_uring_prep_cancel64(sqe, (uint64_t)(uintptr_t)target, 0);
    io_uring_sqe_set_data(sqe, NULL); /* nobody waits for the answer: the target's own completion tells */
}

/* What the kernel took since the last wait. It counts from 0 too, in 32 bits. */
static uint32_t taken_since(const struct loop *loop)
{
    return IO_URING_READ_ONCE(*loop->ring.sq.khead) - (uint32_t)loop->submissions;
}

void loop_wait(struct loop *loop, int64_t wait_ns)
{
    window_adapt(loop);
    buffers_show(loop);
    loop->enters++;
    loop->overflows += (IO_URING_READ_ONCE(*loop->ring.sq.kflags) & IORING_SQ_CQ_OVERFLOW) != 0;
    int result;
    if (wait_ns == 0) {
        result = io_uring_submit_and_get_events(&loop->ring);
    } else {
        struct __kernel_timespec limit = {.tv_sec = wait_ns / NS_PER_SECOND,
                                          .tv_nsec = wait_ns % NS_PER_SECOND};
        struct io_uring_cqe *ignored;
        result =
            io_uring_submit_and_wait_timeout(&loop->ring, &ignored, 1, wait_ns < 0 ? NULL : &limit, NULL);
    }
    (void)
        result; /* -ETIME, -EINTR: nothing came; -EBUSY, -EAGAIN: completions first, the next turn submits */
    if (io_uring_sq_ready(&loop->ring) == 0)
        loop->sends_used = 0;
    loop->submissions += taken_since(loop);
    loop->completions_ready = io_uring_cq_ready(&loop->ring);
}

void loop_submit(struct loop *loop)
{
    if (io_uring_sq_ready(&loop->ring) == 0)
        return;
    window_adapt(loop);
    buffers_show(loop);
    submit(loop);
}

bool loop_pending(const struct loop *loop)
{
    return io_uring_cq_ready(&loop->ring) > 0 ||
           (IO_URING_READ_ONCE(*loop->ring.sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

static void give_back_taken(struct loop *loop)
{
    io_uring_cq_advance(&loop->ring, loop->completions_taken);
    loop->completions += loop->completions_taken;
    loop->completions_taken = 0;
}

bool loop_next(struct loop *loop, struct loop_completion *completion)
{
    for (; loop->completions_ready > 0;) {
        unsigned head = *loop->ring.cq.khead + loop->completions_taken;
        const struct io_uring_cqe *cqe = &loop->ring.cq.cqes[head & *loop->ring.cq.kring_mask];
        struct loop_op *op = io_uring_cqe_get_data(cqe);
        completion->op = op;
        completion->result = cqe->res;
        completion->more = (cqe->flags & IORING_CQE_F_MORE) != 0;
        completion->has_buffer = (cqe->flags & IORING_CQE_F_BUFFER) != 0;
        completion->buffer = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        loop->completions_ready--;
        loop->completions_taken++;
        if (loop->completions_taken >= COMPLETIONS / 4)
            give_back_taken(loop);
        if (op == NULL) /* the answer to a cancel */
            continue;
        if (completion->has_buffer) {
            size_t count = completion->result > 0 ? (size_t)completion->result : 0;
            completion->received =
                bytes_of(loop->buffer_memory + (size_t)completion->buffer * loop->buffer_bytes, count);
            loop->received_bytes += count;
            loop->shown--;
        }
        loop->no_buffers += completion->result == -ENOBUFS;
        if (!completion->more)
            op->in_flight = 0;
        return true;
    }
    give_back_taken(loop);
    return false;
}

void loop_buffer_return(struct loop *loop, uint16_t buffer)
{
    ASSERT_HOT(loop->spare_count < loop->buffer_count);
    loop->spare[loop->spare_count++] = buffer;
}

struct loop_figures loop_figures(const struct loop *loop)
{
    return (struct loop_figures){
        .enters = loop->enters,
        .submissions = loop->submissions + taken_since(loop),
        .completions = loop->completions + loop->completions_taken,
        .overflows = loop->overflows,
        .dropped = IO_URING_READ_ONCE(*loop->ring.cq.koverflow),
        .no_buffers = loop->no_buffers,
        .buffers_shown = loop->shown,
        .buffers_spare = loop->spare_count,
    };
}
