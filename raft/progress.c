/* raft/progress.c - the moves of progress.h. */
#include "raft/progress.h"

#include "core/base/check.h"

#define TO(state) (1U << (state))

static const uint8_t moves[RAFT_PROGRESS_STATES] = {
    [RAFT_PROBE] = TO(RAFT_PROBE) | TO(RAFT_REPLICATE) | TO(RAFT_SNAPSHOT),
    [RAFT_REPLICATE] = TO(RAFT_PROBE) | TO(RAFT_SNAPSHOT),
    [RAFT_SNAPSHOT] = TO(RAFT_PROBE) | TO(RAFT_REPLICATE),
};

static void move(struct raft_progress *progress, enum raft_progress_state next)
{
    ASSERT(moves[progress->state] & TO(next));
    progress->state = next;
    progress->waiting = false;
    progress->window.oldest = progress->window.count = 0;
    progress->window.count_bytes = 0;
    progress->snapshot = (struct raft_transfer_out){0};
}

void raft_progress_init(struct raft_progress *progress, uint64_t last_index)
{
    *progress = (struct raft_progress){.state = RAFT_PROBE, .next_index = last_index + 1};
}

static void window_release(struct raft_window *window, uint64_t index)
{
    while (window->count > 0 && window->sent[window->oldest].last_index <= index) {
        window->count_bytes -= window->sent[window->oldest].count_bytes;
        window->oldest = (window->oldest + 1) % RAFT_WINDOW_MAX;
        window->count--;
    }
}

bool raft_progress_acknowledged(struct raft_progress *progress, uint64_t index)
{
    bool news = index > progress->match_index;
    if (news)
        progress->match_index = index;
    if (progress->next_index <= index)
        progress->next_index = index + 1;
    window_release(&progress->window, index);
    /* Only news ends a probe: an old answer, or that of a peer which can take nothing now, would open the
     * window again, and what then comes back refused would probe again, in a storm without end. (Found by the
     * simulator.) */
    if (progress->state == RAFT_PROBE && news) {
        progress->next_index = progress->match_index + 1;
        move(progress, RAFT_REPLICATE);
    }
    return news;
}

bool raft_progress_refused(struct raft_progress *progress, uint64_t refused_index, uint64_t agreed_index)
{
    if (refused_index <= progress->match_index || progress->state == RAFT_SNAPSHOT)
        return false;
    if (progress->state == RAFT_PROBE && refused_index + 1 != progress->next_index)
        return false; /* the answer to an older probe */
    uint64_t agreed = agreed_index < refused_index ? agreed_index : refused_index - 1;
    if (agreed < progress->match_index)
        agreed = progress->match_index;
    progress->next_index = agreed + 1;
    move(progress, RAFT_PROBE);
    return true;
}

void raft_progress_probe(struct raft_progress *progress)
{
    progress->next_index = progress->match_index + 1;
    move(progress, RAFT_PROBE);
}

void raft_progress_snapshot(struct raft_progress *progress)
{
    move(progress, RAFT_SNAPSHOT);
}

bool raft_progress_may_send(const struct raft_progress *progress, uint32_t window, uint64_t window_bytes)
{
    switch (progress->state) {
    case RAFT_PROBE:
        return !progress->waiting;
    case RAFT_REPLICATE:
        return progress->window.count < window &&
               (progress->window.count == 0 || progress->window.count_bytes < window_bytes);
    case RAFT_SNAPSHOT:
    case RAFT_PROGRESS_STATES:
        break;
    }
    return false;
}

void raft_progress_sent(struct raft_progress *progress, uint64_t last_index, uint32_t count_bytes)
{
    if (progress->state == RAFT_PROBE) {
        progress->waiting = true;
        return;
    }
    ASSERT(progress->state == RAFT_REPLICATE && progress->window.count < RAFT_WINDOW_MAX);
    ASSERT(last_index >= progress->next_index);
    struct raft_window *window = &progress->window;
    window->sent[(window->oldest + window->count) % RAFT_WINDOW_MAX] =
        (struct raft_sent){.last_index = last_index, .count_bytes = count_bytes};
    window->count++;
    window->count_bytes += count_bytes;
    progress->next_index = last_index + 1;
}
