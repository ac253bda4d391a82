/* shards/post.c - the mailboxes of all pairs of threads. */
#include "shards/post.h"

#include "core/base/check.h"
#include "core/base/memory.h"

/* Under steady traffic there is always something new; each round makes an unseen cause less likely. */
enum { COLLECT_ROUNDS_MAX = 8 };

enum err post_office_init(struct post_office *office, uint32_t threads, uint64_t mailbox_bytes)
{
    ASSERT(threads <= THREADS_MAX);
    *office = (struct post_office){.threads = threads};
    office->boxes = memory_new_aligned((size_t)threads * threads * sizeof *office->boxes);
    office->wakeups = memory_new_aligned(threads * sizeof *office->wakeups);
    if (office->boxes == NULL || office->wakeups == NULL) {
        memory_free(office->boxes);
        memory_free(office->wakeups);
        *office = (struct post_office){0};
        return ERR_MEMORY;
    }
    for (uint32_t i = 0; i < threads; i++)
        office->wakeups[i].event_fd = -1;
    enum err err = ERR_OK;
    for (uint32_t i = 0; i < threads && err == ERR_OK; i++)
        err = wakeup_init(&office->wakeups[i]);
    for (uint32_t from = 0; from < threads; from++) {
        for (uint32_t to = 0; to < threads && err == ERR_OK; to++) {
            if (from != to)
                err = mailbox_init(&office->boxes[from * threads + to], mailbox_bytes);
        }
    }
    if (err != ERR_OK)
        post_office_close(office);
    return err;
}

void post_office_close(struct post_office *office)
{
    for (uint32_t i = 0; i < office->threads * office->threads; i++)
        mailbox_close(&office->boxes[i]);
    for (uint32_t i = 0; i < office->threads; i++)
        wakeup_close(&office->wakeups[i]);
    memory_free(office->boxes);
    memory_free(office->wakeups);
    *office = (struct post_office){0};
}

uint8_t *post_reserve(struct post *post, uint32_t to, uint32_t bytes, bool spare)
{
    ASSERT_HOT(to != post->self);
    struct mailbox *box = post_box(post, to);
    return spare ? mailbox_reserve_spare(box, bytes) : mailbox_reserve(box, bytes);
}

static void show_all(struct post *post)
{
    for (uint64_t left = post->dirty; left != 0; left &= left - 1)
        (void)mailbox_flush(post_box(post, (uint32_t)__builtin_ctzll(left)));
    post->unshown_bytes = 0;
}

void post_commit(struct post *post, uint32_t to, uint32_t bytes)
{
    mailbox_commit(post_box(post, to), bytes, post->clock);
    post->dirty |= 1ULL << to;
    post->unshown_bytes += bytes;
    if (UNLIKELY(post->unshown_bytes >= POST_SHOW_BYTES))
        show_all(post);
}

void post_flush(struct post *post)
{
    show_all(post);
    for (uint64_t left = post->dirty; left != 0; left &= left - 1)
        (void)wakeup_wake(&post->office->wakeups[__builtin_ctzll(left)]);
    post->dirty = 0;
}

/* What all senders have shown, as of one moment: looked at again until nothing is new, so that no effect is
 * seen without its cause. */
static void collect(struct post *post)
{
    bool more = true;
    for (int round = 0; more && round < COLLECT_ROUNDS_MAX; round++) {
        more = false;
        for (uint32_t from = 0; from < post->office->threads; from++) {
            if (from != post->self)
                more |= mailbox_collect(post_inbox(post, from));
        }
    }
}

/* The sender whose next mail has the lowest stamp, and the lowest of the others' stamps. False: no mail is
 * left. */
static bool earliest(const struct post *post, uint32_t *sender, uint64_t *others)
{
    uint64_t lowest = UINT64_MAX;
    bool found = false;
    *others = UINT64_MAX;
    for (uint32_t from = 0; from < post->office->threads; from++) {
        uint32_t bytes;
        uint64_t stamp;
        if (from == post->self || mailbox_next(post_inbox(post, from), &bytes, &stamp) == NULL)
            continue;
        if (!found || stamp < lowest) {
            *others = found ? lowest : UINT64_MAX;
            lowest = stamp;
            *sender = from;
            found = true;
        } else if (stamp < *others) {
            *others = stamp;
        }
    }
    return found;
}

void post_drain(struct post *post, post_taker *taker, void *context)
{
    uint32_t from = 0;
    uint64_t others = 0;
    collect(post);
    while (earliest(post, &from, &others)) {
        struct mailbox *box = post_inbox(post, from);
        uint32_t bytes = 0;
        uint64_t stamp = 0;
        const uint8_t *mail;
        while ((mail = mailbox_next(box, &bytes, &stamp)) != NULL && stamp <= others) {
            if (stamp >= post->clock)
                post->clock = stamp + 1;
            taker(context, from, mail, bytes);
            mailbox_take(box);
        }
    }
    for (from = 0; from < post->office->threads; from++) {
        if (from != post->self)
            mailbox_done(post_inbox(post, from));
    }
}

bool post_pending(const struct post *post)
{
    for (uint32_t from = 0; from < post->office->threads; from++) {
        if (from != post->self && mailbox_pending(post_inbox(post, from)))
            return true;
    }
    return false;
}

void post_end_announce(struct post *post)
{
    atomic_store_explicit(&post->office->ending, true, memory_order_relaxed);
}

bool post_end_announced(const struct post *post)
{
    return atomic_load_explicit(&post->office->ending, memory_order_relaxed);
}

uint64_t post_waiting_bytes(const struct post *post)
{
    uint64_t sum = 0;
    for (uint32_t from = 0; from < post->office->threads; from++) {
        if (from != post->self)
            sum += mailbox_waiting_bytes(post_inbox(post, from));
    }
    return sum;
}

bool post_may_sleep(struct post *post)
{
    wakeup_prepare_sleep(&post->office->wakeups[post->self]);
    for (uint32_t from = 0; from < post->office->threads; from++) {
        if (from != post->self && !mailbox_empty(post_inbox(post, from))) {
            post_awake(post);
            return false;
        }
    }
    return true;
}

void post_awake(struct post *post)
{
    wakeup_awake(&post->office->wakeups[post->self]);
}

int post_event_fd(const struct post *post)
{
    return post->office->wakeups[post->self].event_fd;
}
