/* core/loop/mailbox.h - bytes from one thread to one other, in order, without a lock.
 * In the flow:  router_publish() -> mailbox_reserve() .. mailbox_flush() || mailbox_next() ->
 * router_deliver() A ring of bytes with one writer and one reader. Positions run freely and are compared by
 * difference only. Each side's position stands on a cache line of its own, together with that side's copy of
 * the other's. At the bound: mailbox_reserve() answers NULL and writes nothing; its caller stops reading the
 * publisher (docs/architecture.md). The last MAILBOX_SPARE_BYTES are only for mailbox_reserve_spare(): puts
 * that are made while draining an inbox and cannot wait. */
#ifndef CORE_LOOP_MAILBOX_H
#define CORE_LOOP_MAILBOX_H

#include "core/base/err.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    MAILBOX_RECORD_BYTES_MAX = 8 * 1024, /* larger things travel as a counted block */
    MAILBOX_SPARE_BYTES = 32 * 1024,
    MAILBOX_BYTES_LEAST = 64 * 1024,
};
_Static_assert(MAILBOX_SPARE_BYTES >= 2 * MAILBOX_RECORD_BYTES_MAX, "the spare part holds some records");
_Static_assert(MAILBOX_BYTES_LEAST >= 2 * MAILBOX_SPARE_BYTES, "half of the smallest ring is for everyone");

struct mailbox {
    uint8_t *ring;
    uint64_t ring_bytes; /* a power of two */

    CACHE_LINE_ALIGNED _Atomic uint64_t written; /* the writer's, shown by mailbox_flush() */
    uint64_t write_at;                           /* the writer's, not shown yet */
    uint64_t read_seen;                          /* the writer's copy of `read` */

    CACHE_LINE_ALIGNED _Atomic uint64_t read; /* the reader's */
    uint64_t read_at;                         /* the reader's, not shown yet */
    uint64_t written_seen;                    /* the reader's copy of `written` */
} CACHE_LINE_ALIGNED;

/* `bytes` is rounded up to a power of two of at least MAILBOX_BYTES_LEAST. Before any thread uses it. */
MUST_USE enum err mailbox_init(struct mailbox *mailbox, uint64_t bytes);
void mailbox_close(struct mailbox *mailbox);

/* Room for one record of `bytes` (at most MAILBOX_RECORD_BYTES_MAX), aligned to 8; NULL when full. The record
 * counts from mailbox_commit() on; the reader sees it after mailbox_flush(). Thread: the writer's. */
uint8_t *mailbox_reserve(struct mailbox *mailbox, uint32_t bytes);

/* The same, from the spare part too. */
uint8_t *mailbox_reserve_spare(struct mailbox *mailbox, uint32_t bytes);

/* Whether mailbox_reserve() would find room now, `records` times in a row; more than the ring
 * can ever hold asks for an empty ring. Thread: the writer's. */
bool mailbox_has_room_for(struct mailbox *mailbox, uint32_t bytes, uint64_t records);

/* The same for records of two sizes, in any order. */
bool mailbox_has_room_for_both(struct mailbox *mailbox, uint32_t bytes, uint64_t records,
                               uint32_t other_bytes, uint64_t other_records);

/* `stamp` goes with the record; what it means is the writer's and the reader's business. Completes the record
 * reserved last, which needed only `bytes` of what was reserved. Thread: the writer's.
 */
void mailbox_commit(struct mailbox *mailbox, uint32_t bytes, uint64_t stamp);

/* Shows all that was committed to the reader. True when that was anything. Thread: the writer's. */
bool mailbox_flush(struct mailbox *mailbox);

/* Looks what the writer has shown by now. True when that is more than the last time. Thread: the reader's. */
bool mailbox_collect(struct mailbox *mailbox);

/* The oldest collected record not taken yet, its size and its stamp, or NULL. It stays in place until
 * mailbox_done(). Thread: the reader's. */
const uint8_t *mailbox_next(struct mailbox *mailbox, uint32_t *bytes, uint64_t *stamp);

/* Takes the record that mailbox_next() gave. Thread: the reader's. */
void mailbox_take(struct mailbox *mailbox);

/* Gives the room of all taken records back to the writer; once a turn. Thread: the reader's. */
void mailbox_done(struct mailbox *mailbox);

/* Whether a record waits, as far as can be seen at once. Thread: the reader's. */
bool mailbox_pending(const struct mailbox *mailbox);

/* Bytes of the records that wait, heads included. Thread: the reader's. */
uint64_t mailbox_waiting_bytes(const struct mailbox *mailbox);

/* Whether a record waits, asked with full order against a flush (before sleeping). Thread: the reader's. */
bool mailbox_empty(struct mailbox *mailbox);

#endif
