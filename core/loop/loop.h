/* core/loop/loop.h - one thread's io_uring: submit, wait, collect. The only place that knows liburing.
 * In the flow:  loop_receive() / loop_send() / ... -> loop_wait() -> loop_next() -> the shard's one switch
 * A submit never completes: completions are seen only through loop_next(). An operation is embedded in its
 * owner; the owner's memory may go only when no operation of it is in flight (loop_op.in_flight is 0). At the
 * bounds: a full submission queue is submitted at once; completions beyond the queue wait in the kernel;
 * without receive buffers a receive ends with RECEIVE_NO_BUFFERS and its owner arms it again.
 * Thread: all functions are for the thread that made the loop, unless they say otherwise. */
#ifndef CORE_LOOP_LOOP_H
#define CORE_LOOP_LOOP_H

#include "core/base/bytes.h"
#include "core/base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

struct loop; /* opaque */

/* Embedded in its owner. `kind` is the owner's word for its switch. */
struct loop_op {
    uint8_t kind;
    bool multishot;     /* set by the loop: more completions follow while in_flight */
    uint16_t in_flight; /* 1 while the kernel has it */
};

struct loop_options {
    uint32_t receive_buffer_bytes;
    uint32_t receive_buffers; /* a power of two, at most 32768 */
};

struct loop_completion {
    struct loop_op *op;
    int32_t result;        /* as the system call's: negative is -errno */
    struct bytes received; /* OP of loop_receive() with data; give back by loop_buffer_return() */
    uint16_t buffer;       /* which buffer `received` lies in */
    bool has_buffer;
    bool more; /* a multishot operation goes on */
};

enum {
    LOOP_SEND_PARTS_MAX = 64, /* parts of one gathered send */
    LOOP_ENTRIES = 1024,      /* of the submission queue; completions have four times as many */
};

/* Makes the ring and its receive buffers. ERR_UNSUPPORTED or ERR_SYSTEM: `why` holds one clear line for the
 * person, what is missing or forbidden and how that is changed. */
MUST_USE enum err loop_new(struct loop **loop, const struct loop_options *options, char *why,
                           size_t why_bytes);
void loop_free(struct loop *loop);

/* ---- operations: in flight until a completion without `more` ---- */
void loop_accept(struct loop *loop, struct loop_op *op, int fd);  /* multishot */
void loop_receive(struct loop *loop, struct loop_op *op, int fd); /* multishot, provided buffers */
/* `address` stays in place until it completes. */
void loop_connect(struct loop *loop, struct loop_op *op, int fd, const struct sockaddr *address,
                  uint32_t bytes);
void loop_read(struct loop *loop, struct loop_op *op, int fd, void *into, uint32_t bytes);
void loop_send(struct loop *loop, struct loop_op *op, int fd, const struct iovec *parts, uint32_t count);
/* Writes to a place in a file; the parts stay where they are until it completes. */
void loop_write(struct loop *loop, struct loop_op *op, int fd, const struct iovec *parts, uint32_t count,
                uint64_t offset);
/* The same, and completes when these bytes are on disk (RWF_DSYNC), as if a loop_sync() of them had followed:
 * one operation to hand over, one to wait for. Bytes of earlier writes are not in it. */
void loop_write_through(struct loop *loop, struct loop_op *op, int fd, const struct iovec *parts,
                        uint32_t count, uint64_t offset);
/* Completes when the file's data are on disk (fdatasync). */
void loop_sync(struct loop *loop, struct loop_op *op, int fd);
/* The same with all that the system knows of it: for folders, whose names these are. */
void loop_sync_whole(struct loop *loop, struct loop_op *op, int fd);
/* Calls with the names of a folder, or with a file's size: the kernel makes them elsewhere, because they may
 * take milliseconds. Texts stay in place until it completes; the result of loop_open_at() is the descriptor.
 */
void loop_open_at(struct loop *loop, struct loop_op *op, int folder, const char *name, int flags,
                  mode_t mode);
void loop_reserve(struct loop *loop, struct loop_op *op, int fd, uint64_t bytes); /* from its beginning on */
void loop_rename_at(struct loop *loop, struct loop_op *op, int folder, const char *from, const char *to);
void loop_remove_at(struct loop *loop, struct loop_op *op, int folder, const char *name);
/* Asks for the end of `target`, which then completes with -ECANCELED (or with what it had). */
void loop_cancel(struct loop *loop, struct loop_op *target);

/* Submits all and waits for a completion, at most `wait_ns` (0: only looks; negative: no limit). */
void loop_wait(struct loop *loop, int64_t wait_ns);

/* Hands over what is queued, without a wait. No system call where nothing is. */
void loop_submit(struct loop *loop);

/* Whether a wait would find something: a completion is there, or can be made from what the kernel has noted.
 * A look at shared memory, no system call. */
bool loop_pending(const struct loop *loop);

/* The next completion that loop_wait() collected; false when there is none left. */
bool loop_next(struct loop *loop, struct loop_completion *completion);

/* The receive buffer may be used again. */
void loop_buffer_return(struct loop *loop, uint16_t buffer);

/* For monitoring. Counts since the beginning, unless they say otherwise. */
struct loop_figures {
    uint64_t enters;        /* system calls */
    uint64_t submissions;   /* operations that the kernel took */
    uint64_t completions;   /* that were collected, cancels' too */
    uint64_t overflows;     /* waits that found more completions than the queue holds: they cost a detour */
    uint64_t dropped;       /* completions that the kernel had no memory for: 0, or something hangs */
    uint64_t no_buffers;    /* receives that ended for want of a buffer */
    uint32_t buffers_shown; /* receive buffers that the kernel has, now */
    uint32_t buffers_spare; /* that nobody has, now */
};
struct loop_figures loop_figures(const struct loop *loop);

#endif
