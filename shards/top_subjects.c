/* shards/top_subjects.c - see top_subjects.h. */
#include "shards/top_subjects.h"

#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/memory.h"

#include <string.h>

enum {
    GAP_FIRST = 16,
    GAP_MOST = 1 << 20,
    SEEN_IN_WINDOW =
        16 * 1024, /* messages to look at: 1 % of a busy subject's share is within a tenth of it */
};
#define WINDOW_NS                                                                                            \
    (NS_PER_SECOND + NS_PER_SECOND / 2) /* at least so long: people look every second or two                 \
                                         */
#define FORGOTTEN_NS (15 * NS_PER_SECOND)

/* By chance: publishers take turns, and one in step with the gap would always be met, or never. */
static void next_choose(struct top_subjects *top)
{
    uint64_t mixed = (top->seed ^ top->gap_begin) * 0x9e3779b97f4a7c15ULL;
    top->next = top->gap_begin + (mixed >> 32) % top->gap;
}

static void window_open(struct top_subjects *top, int64_t now_ns)
{
    top->open.begin_ns = now_ns;
    top->open.end_ns = 0;
    top->open.messages = 0;
    top->open.count = 0;
    top->gap_begin = 0;
    next_choose(top);
    top->watched_till_ns = now_ns + FORGOTTEN_NS;
}

struct top_subjects *top_subjects_new(uint64_t seed, int64_t now_ns)
{
    struct top_subjects *top = memory_new(sizeof *top);
    if (top == NULL)
        return NULL;
    top->seed = seed;
    top->gap = GAP_FIRST;
    window_open(top, now_ns);
    return top;
}

void top_subjects_free(struct top_subjects *top)
{
    memory_free(top);
}

/* So that the next window looks at about SEEN_IN_WINDOW messages, if it is like this one. */
static uint64_t gap_for(uint64_t messages)
{
    uint64_t gap = messages / SEEN_IN_WINDOW;
    return gap == 0 ? 1 : gap > GAP_MOST ? GAP_MOST : gap;
}

void top_subjects_ask(struct top_subjects *top, int64_t now_ns)
{
    if (now_ns >= top->watched_till_ns) { /* it was not watched meanwhile */
        top->last.end_ns = 0;
        top->last.count = 0;
        top->gap = GAP_FIRST;
        window_open(top, now_ns);
        return;
    }
    top->watched_till_ns = now_ns + FORGOTTEN_NS;
    if (now_ns - top->open.begin_ns < WINDOW_NS)
        return;
    top->open.end_ns = now_ns;
    top->last = top->open;
    top->gap = gap_for(top->last.messages);
    window_open(top, now_ns);
}

/* Replies to requests: each inbox has a name of its own, and none tells anything. */
static struct bytes subject_known_by(struct bytes subject)
{
    if (bytes_start_with(subject, TEXT("_INBOX.")))
        return TEXT("_INBOX.>");
    return subject;
}

/* The place of a subject that is not here yet: a free one, or that of the smallest. */
static uint32_t place_for(struct top_window *window)
{
    if (window->count < TOP_SUBJECTS)
        return window->count++;
    uint32_t least = 0;
    for (uint32_t i = 1; i < TOP_SUBJECTS; i++) {
        if (window->subjects[i].messages < window->subjects[least].messages)
            least = i;
    }
    return least;
}

/* The counter of a subject of at most TOP_SUBJECT_BYTES. */
static struct top_subject *subject_at(struct top_subjects *top, uint32_t account, struct bytes subject)
{
    struct top_window *window = &top->open;
    uint64_t hash = hash_bytes(subject, top->seed + account);
    for (uint32_t i = 0; i < window->count; i++) {
        /* Of 64 bits, with a secret seed: another subject with the same ones would have to be met by chance.
         */
        if (window->hashes[i] == hash)
            return &window->subjects[i];
    }
    bool full = window->count == TOP_SUBJECTS;
    uint32_t place = place_for(window);
    struct top_subject *found = &window->subjects[place];
    uint64_t inherited = full ? found->messages : 0;
    *found = (struct top_subject){.messages = inherited, .error = inherited, .account = account};
    found->count = (uint8_t)subject.count;
    memcpy(found->text, subject.data, subject.count);
    window->hashes[place] = hash;
    return found;
}

void top_subjects_see(struct top_subjects *top, uint32_t account, struct bytes subject, uint32_t bytes)
{
    struct bytes known_by = subject_known_by(subject);
    bool cut = known_by.count > TOP_SUBJECT_BYTES;
    if (cut)
        known_by.count = TOP_SUBJECT_BYTES;
    struct top_subject *found = subject_at(top, account, known_by);
    found->cut = found->cut || cut;
    uint64_t whole = (top->open.messages - top->next - 1) / top->gap * top->gap;
    uint64_t weight = whole;
    top->gap_begin += whole;
    top->next += whole;
    while (top->open.messages > top->next) {
        weight += top->gap;
        top->gap_begin += top->gap;
        next_choose(top);
    }
    found->messages += weight;
    found->bytes += weight * bytes;
}

uint32_t top_subjects_best(const struct top_subjects *top, uint32_t best[TOP_SUBJECTS_TOLD])
{
    const struct top_window *window = &top->last;
    uint32_t count = 0;
    for (uint32_t i = 0; i < window->count; i++) {
        uint64_t own = window->subjects[i].messages - window->subjects[i].error;
        uint32_t at = count < TOP_SUBJECTS_TOLD ? count++ : TOP_SUBJECTS_TOLD;
        /* Moves up from the end; what falls off the end is the smallest. */
        for (; at > 0; at--) {
            const struct top_subject *before = &window->subjects[best[at - 1]];
            if (before->messages - before->error >= own)
                break;
            if (at < TOP_SUBJECTS_TOLD)
                best[at] = best[at - 1];
        }
        if (at < TOP_SUBJECTS_TOLD)
            best[at] = i;
    }
    return count;
}
