/* tests/server/disk_faults.c - a disk that fails under a whole server: preloaded into it (LD_PRELOAD), and
 * told by a file what shall go wrong. In the flow:  loop_write(), loop_sync() -> liburing's submit functions,
 * which are these -> what is to fail is done here as far as it gets, the kernel has a NOP in its place -> its
 * completion gets the fault's result
 *
 * The file is what the environment's DISK_FAULTS names. When it is there, its word is the fault of the next
 * write or sync of the ring that the fault is for; then the file is removed, so that a test sees that it has
 * come to that. Words:
 *   sync-eio      of a write that is its own sync half of the bytes are there, the rest is given up: EIO
 *   fsync-eio     the sync behind a write of its own says EIO
 *   write-eio     half of the bytes, and EIO
 *   write-enospc  nothing, and ENOSPC
 *   write-short   a third of the bytes, and so many are said
 *   make-enospc   the room for a new file is not there, nor for the header of one that was used before
 *   torn          some of the sectors that the write covers, in no order; then the process dies
 *   end-eio       the sync behind the last blocking write, when the server ends, says EIO
 * Only the control core writes files through its ring, so one thread is here at a time; the others pass. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WORD_BYTES = 32, SECTOR_BYTES = 512, TORN_BYTES_MAX = 8 * 1024 * 1024 };

/* The operation whose completion is to say something else; one is under way at a time. */
static _Thread_local struct {
    uint64_t user_data;
    int32_t result;
    bool waits;
} answer;

/* Whether this is what shall fail now; then it is asked for once. */
static bool wanted(const char *fault)
{
    const char *path = getenv("DISK_FAULTS");
    char word[WORD_BYTES] = "";
    int file = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return false;
    ssize_t count = read(file, word, sizeof word - 1);
    (void)close(file);
    return count > 0 && strcmp(word, fault) == 0 && unlink(path) == 0;
}

/* ---- what is done of a write ---- */

static size_t parts_bytes(const struct iovec *parts, uint32_t count)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += parts[i].iov_len;
    return bytes;
}

/* The first `bytes` of the parts. */
static void write_some(const struct io_uring_sqe *sqe, size_t bytes)
{
    const struct iovec *parts = (const struct iovec *)(uintptr_t)sqe->addr;
    off_t at = (off_t)sqe->off;
    for (uint32_t i = 0; i < sqe->len && bytes > 0; i++) {
        size_t count = parts[i].iov_len < bytes ? parts[i].iov_len : bytes;
        if (pwrite(sqe->fd, parts[i].iov_base, count, at) != (ssize_t)count)
            abort();
        at += (off_t)count;
        bytes -= count;
    }
}

/* Each sector or not, by chance; bytes of a sector that the write does not cover stay. */
static void tear(const struct io_uring_sqe *sqe)
{
    static uint8_t bytes[TORN_BYTES_MAX];
    static uint8_t chances[TORN_BYTES_MAX / SECTOR_BYTES + 1];
    const struct iovec *parts = (const struct iovec *)(uintptr_t)sqe->addr;
    size_t count = 0;
    for (uint32_t i = 0; i < sqe->len && count + parts[i].iov_len <= sizeof bytes; i++) {
        memcpy(bytes + count, parts[i].iov_base, parts[i].iov_len);
        count += parts[i].iov_len;
    }
    for (size_t got = 0; got < sizeof chances;)
        got += (size_t)getrandom(chances + got, sizeof chances - got < 256 ? sizeof chances - got : 256, 0);
    for (size_t done = 0, sector = 0; done < count; sector++) {
        size_t room = SECTOR_BYTES - (sqe->off + done) % SECTOR_BYTES;
        size_t piece = count - done < room ? count - done : room;
        if (chances[sector] & 1 && pwrite(sqe->fd, bytes + done, piece, (off_t)(sqe->off + done)) < 0)
            abort();
        done += piece;
    }
    (void)kill(getpid(), SIGKILL);
}

/* ---- the way of an operation ---- */

static void fail(struct io_uring_sqe *sqe, int32_t result)
{
    answer.user_data = sqe->user_data;
    answer.result = result;
    answer.waits = true;
    io_uring_prep_nop(sqe);
    sqe->user_data = answer.user_data;
}

static void look_at_write(struct io_uring_sqe *sqe)
{
    size_t bytes = parts_bytes((const struct iovec *)(uintptr_t)sqe->addr, sqe->len);
    if (wanted("torn"))
        tear(sqe);
    if (wanted("write-enospc") || (sqe->off == 0 && wanted("make-enospc"))) {
        fail(sqe, -ENOSPC);
    } else if (wanted("write-eio")) {
        write_some(sqe, bytes / 2);
        fail(sqe, -EIO);
    } else if (bytes > 2 && wanted("write-short")) {
        write_some(sqe, bytes / 3);
        fail(sqe, (int32_t)(bytes / 3));
    } else if (sqe->rw_flags & RWF_DSYNC && wanted("sync-eio")) {
        write_some(sqe, bytes / 2);
        fail(sqe, -EIO);
    }
}

static void look_at_submissions(struct io_uring *ring)
{
    for (unsigned at = ring->sq.sqe_head; at != ring->sq.sqe_tail; at++) {
        struct io_uring_sqe *sqe = &ring->sq.sqes[at & *ring->sq.kring_mask];
        if (sqe->opcode == IORING_OP_WRITEV)
            look_at_write(sqe);
        else if (sqe->opcode == IORING_OP_FSYNC && wanted("fsync-eio"))
            fail(sqe, -EIO);
        else if (sqe->opcode == IORING_OP_FALLOCATE && wanted("make-enospc"))
            fail(sqe, -ENOSPC);
    }
}

static int look_at_completions(struct io_uring *ring, int result)
{
    unsigned head = *ring->cq.khead, count = answer.waits ? io_uring_cq_ready(ring) : 0;
    for (unsigned i = 0; i < count; i++) {
        struct io_uring_cqe *cqe = &ring->cq.cqes[(head + i) & *ring->cq.kring_mask];
        if (cqe->user_data != answer.user_data)
            continue;
        cqe->res = answer.result;
        answer.waits = false;
    }
    return result;
}

/* ---- in the place of liburing's and libc's ---- */

static void *next(const char *name)
{
    void *function = dlsym(RTLD_NEXT, name);
    if (function == NULL)
        abort();
    return function;
}

int io_uring_submit(struct io_uring *ring)
{
    int (*real)(struct io_uring *) = next("io_uring_submit");
    look_at_submissions(ring);
    return look_at_completions(ring, real(ring));
}

int io_uring_submit_and_get_events(struct io_uring *ring)
{
    int (*real)(struct io_uring *) = next("io_uring_submit_and_get_events");
    look_at_submissions(ring);
    return look_at_completions(ring, real(ring));
}

int io_uring_submit_and_wait_timeout(struct io_uring *ring, struct io_uring_cqe **cqe, unsigned wanted_count,
                                     struct __kernel_timespec *limit, sigset_t *mask)
{
    int (*real)(struct io_uring *, struct io_uring_cqe **, unsigned, struct __kernel_timespec *, sigset_t *) =
        next("io_uring_submit_and_wait_timeout");
    look_at_submissions(ring);
    return look_at_completions(ring, real(ring, cqe, wanted_count, limit, mask));
}

int fdatasync(int file)
{
    int (*real)(int) = next("fdatasync");
    if (!wanted("end-eio"))
        return real(file);
    errno = EIO;
    return -1;
}
