/* core/loop/mailbox.c - the byte ring behind mailbox.h.
 *
 * A record in the ring, aligned to 8:
 *    0  4  bytes of the record, or SKIP: the rest of the ring is empty, go on at its start
 *    4  4  nothing
 *    8  8  the stamp
 *   16  -  the record, then up to 7 bytes of nothing
 * A record never wraps round the end. */
#include "core/loop/mailbox.h"

#include "core/base/check.h"
#include "core/base/memory.h"

#include <string.h>

enum { HEADER_BYTES = 16, STAMP_AT = 8 };
static const uint32_t SKIP = UINT32_MAX;

static uint64_t record_footprint(uint32_t bytes)
{
    return HEADER_BYTES + (((uint64_t)bytes + 7) & ~7ULL);
}

enum err mailbox_init(struct mailbox *mailbox, uint64_t bytes)
{
    uint64_t rounded = MAILBOX_BYTES_LEAST;
    while (rounded < bytes)
        rounded *= 2;
    *mailbox = (struct mailbox){0};
    mailbox->ring = memory_new_aligned(rounded);
    if (mailbox->ring == NULL)
        return ERR_MEMORY;
    mailbox->ring_bytes = rounded;
    return ERR_OK;
}

void mailbox_close(struct mailbox *mailbox)
{
    memory_free(mailbox->ring);
    mailbox->ring = NULL;
}

/* Bytes that a record needs at the present place: its footprint, and the skipped end of the ring if any. */
static uint64_t needed_bytes(const struct mailbox *mailbox, uint64_t footprint)
{
    uint64_t to_end = mailbox->ring_bytes - (mailbox->write_at & (mailbox->ring_bytes - 1));
    return footprint <= to_end ? footprint : to_end + footprint;
}

static bool room_for(struct mailbox *mailbox, uint64_t needed, uint64_t usable)
{
    if (mailbox->write_at - mailbox->read_seen + needed <= usable)
        return true;
    mailbox->read_seen = atomic_load_explicit(&mailbox->read, memory_order_acquire);
    return mailbox->write_at - mailbox->read_seen + needed <= usable;
}

static uint8_t *reserve(struct mailbox *mailbox, uint32_t bytes, uint64_t usable)
{
    ASSERT(bytes <= MAILBOX_RECORD_BYTES_MAX);
    uint64_t footprint = record_footprint(bytes);
    uint64_t needed = needed_bytes(mailbox, footprint);
    if (!room_for(mailbox, needed, usable))
        return NULL;
    if (needed != footprint) {
        memcpy(mailbox->ring + (mailbox->write_at & (mailbox->ring_bytes - 1)), &SKIP, sizeof SKIP);
        mailbox->write_at += needed - footprint;
    }
    return mailbox->ring + (mailbox->write_at & (mailbox->ring_bytes - 1)) + HEADER_BYTES;
}

uint8_t *mailbox_reserve(struct mailbox *mailbox, uint32_t bytes)
{
    return reserve(mailbox, bytes, mailbox->ring_bytes - MAILBOX_SPARE_BYTES);
}

uint8_t *mailbox_reserve_spare(struct mailbox *mailbox, uint32_t bytes)
{
    return reserve(mailbox, bytes, mailbox->ring_bytes);
}

bool mailbox_has_room_for(struct mailbox *mailbox, uint32_t bytes, uint64_t records)
{
    return mailbox_has_room_for_both(mailbox, bytes, records, bytes, 0);
}

bool mailbox_has_room_for_both(struct mailbox *mailbox, uint32_t bytes, uint64_t records,
                               uint32_t other_bytes, uint64_t other_records)
{
    uint64_t footprint = record_footprint(bytes);
    uint64_t other_footprint = record_footprint(other_bytes);
    uint64_t usable = mailbox->ring_bytes - MAILBOX_SPARE_BYTES;
    uint64_t skipped =
        footprint > other_footprint ? footprint : other_footprint; /* once, at the end of the ring */
    uint64_t needed = footprint * records + other_footprint * other_records + skipped;
    return room_for(mailbox, needed < usable ? needed : usable, usable);
}

void mailbox_commit(struct mailbox *mailbox, uint32_t bytes, uint64_t stamp)
{
    uint64_t place = mailbox->write_at & (mailbox->ring_bytes - 1);
    ASSERT_HOT(place + record_footprint(bytes) <= mailbox->ring_bytes);
    memcpy(mailbox->ring + place, &bytes, sizeof bytes);
    memcpy(mailbox->ring + place + STAMP_AT, &stamp, sizeof stamp);
    mailbox->write_at += record_footprint(bytes);
}

bool mailbox_flush(struct mailbox *mailbox)
{
    uint64_t shown = atomic_load_explicit(&mailbox->written, memory_order_relaxed);
    if (shown == mailbox->write_at)
        return false;
    atomic_store_explicit(&mailbox->written, mailbox->write_at, memory_order_release);
    return true;
}

bool mailbox_collect(struct mailbox *mailbox)
{
    uint64_t before = mailbox->written_seen;
    mailbox->written_seen = atomic_load_explicit(&mailbox->written, memory_order_acquire);
    return mailbox->written_seen != before;
}

const uint8_t *mailbox_next(struct mailbox *mailbox, uint32_t *bytes, uint64_t *stamp)
{
    while (mailbox->read_at != mailbox->written_seen) { /* twice at most: a skip is followed by a record */
        uint64_t place = mailbox->read_at & (mailbox->ring_bytes - 1);
        memcpy(bytes, mailbox->ring + place, sizeof *bytes);
        if (*bytes != SKIP) {
            memcpy(stamp, mailbox->ring + place + STAMP_AT, sizeof *stamp);
            return mailbox->ring + place + HEADER_BYTES;
        }
        mailbox->read_at += mailbox->ring_bytes - place;
    }
    return NULL;
}

void mailbox_take(struct mailbox *mailbox)
{
    uint32_t bytes;
    memcpy(&bytes, mailbox->ring + (mailbox->read_at & (mailbox->ring_bytes - 1)), sizeof bytes);
    ASSERT_HOT(bytes <= MAILBOX_RECORD_BYTES_MAX);
    mailbox->read_at += record_footprint(bytes);
}

void mailbox_done(struct mailbox *mailbox)
{
    if (atomic_load_explicit(&mailbox->read, memory_order_relaxed) != mailbox->read_at)
        atomic_store_explicit(&mailbox->read, mailbox->read_at, memory_order_release);
}

bool mailbox_pending(const struct mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->written, memory_order_relaxed) != mailbox->read_at;
}

uint64_t mailbox_waiting_bytes(const struct mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->written, memory_order_relaxed) - mailbox->read_at;
}

bool mailbox_empty(struct mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->written, memory_order_seq_cst) == mailbox->read_at;
}
