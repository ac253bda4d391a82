/* shards/top_subjects.h - which subjects the clients of a shard publish most, found by looking at some of the
 * messages, and only while somebody asks (docs/monitoring.md 5).
 * In the flow:  MAIL_REPORT_ASK -> top_subjects_ask() || host_publish_watched() -> top_subjects_pass()
 * The shard watches by giving its sessions another publish() for as long as somebody asks, so that a message
 * that nobody watches costs nothing at all. Of those that are watched about every top_subjects.gap-th is
 * looked at, by chance, and stands for all of them; the gap is chosen from the traffic of the window before.
 * At the bound: TOP_SUBJECTS counters in a window; a subject that finds none takes the smallest one over
 * (Metwally's "space saving"), and of what it found there nothing is told. What is longer than
 * TOP_SUBJECT_BYTES is counted by its beginning, all inboxes as one. Thread: the shard's. */
#ifndef SHARDS_TOP_SUBJECTS_H
#define SHARDS_TOP_SUBJECTS_H

#include "core/base/bytes.h"
#include "core/base/err.h"

enum {
    TOP_SUBJECTS = 128,
    TOP_SUBJECT_BYTES = 104,
    TOP_SUBJECTS_TOLD = 64,
};

struct top_subject {
    uint64_t messages; /* `error` of them at most were another subject's */
    uint64_t bytes;    /* of its own */
    uint64_t error;
    uint32_t account;
    uint8_t count;
    bool cut; /* the subject is longer */
    uint8_t text[TOP_SUBJECT_BYTES];
};

/* What was seen from one moment to another. */
struct top_window {
    int64_t begin_ns;
    int64_t end_ns; /* 0: it is still open */
    uint64_t messages;
    uint32_t count;
    uint64_t hashes[TOP_SUBJECTS]; /* of the subjects, beside one another: all are compared */
    struct top_subject subjects[TOP_SUBJECTS];
};

struct top_subjects {
    struct top_window open, last;
    uint64_t seed;
    uint64_t gap;            /* of so many messages one is looked at */
    uint64_t gap_begin;      /* where in the window those begin of which the next one is looked at */
    uint64_t next;           /* which one that is */
    int64_t watched_till_ns; /* nobody has asked for so long: watching ends */
};

/* NULL: memory is out. Its first window begins. */
MUST_USE struct top_subjects *top_subjects_new(uint64_t seed, int64_t now_ns);
void top_subjects_free(struct top_subjects *top);

/* Somebody asks. The window that is told of is `last`; an open one that is old enough takes its place first.
 * After a while without being asked everything begins anew. */
void top_subjects_ask(struct top_subjects *top, int64_t now_ns);

/* One or more of the messages that have just passed are to be looked at: they have that subject and size. */
void top_subjects_see(struct top_subjects *top, uint32_t account, struct bytes subject, uint32_t bytes);

/* How many of the last window's subjects are worth being told, the largest first: their positions. */
uint32_t top_subjects_best(const struct top_subjects *top, uint32_t best[TOP_SUBJECTS_TOLD]);

/* ---- inline: for every message that is watched ---- */

/* So many messages with that subject, of so many bytes each, are published. */
static ALWAYS_INLINE void top_subjects_pass(struct top_subjects *top, uint32_t account, struct bytes subject,
                                            uint32_t messages, uint32_t bytes)
{
    top->open.messages += messages;
    if (UNLIKELY(top->open.messages > top->next))
        top_subjects_see(top, account, subject, bytes);
}

#endif
