/* shards/patience.h - whether a shard that has run out of work looks on for a moment, or sleeps at once.
 * In the flow:  shard_turn() -> wait(): patience_looks() -> looking, then perhaps sleeping ->
 * patience_waited(), and once in a while patience_measured()
 *
 * To sleep and be woken costs both sides: an interrupt between cores, an idle core that wakes up, cold
 * caches. Where the next message comes within that time anyway, looking for it may be cheaper and quicker;
 * where it does not, looking is waste. Two things decide.
 *
 * The past tells how long waits are: after some short ones the next one is taken to be short, and one long
 * wait outweighs two short ones. A server whose waits are long never looks.
 *
 * And what waking costs is measured: four rounds of waits, in turn with looking and without, by the thread's
 * CPU time and the clock, for the bytes that passed. Looking pays when it costs no more CPU, or when half as
 * much again gets done in the same time. On a virtual machine whose cores sleep deeply both are so; where
 * cores stay awake, or others use them, it is waste. The result holds for some thousand waits.
 *
 * Pure; one thread's. */
#ifndef SHARDS_PATIENCE_H
#define SHARDS_PATIENCE_H

#include "core/base/language.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    PATIENCE_SCORE_MOST = 8,
    PATIENCE_SCORE_LOOKS = 4,    /* from here on */
    PATIENCE_SLEEP_FACTOR = 2,   /* a wait that was slept through is longer by the waking than it had to be */
    PATIENCE_ROUND_WAITS = 256,  /* some milliseconds at most */
    PATIENCE_ROUNDS = 4,         /* of a measurement: with looking, without, with, without */
    PATIENCE_KEPT_WAITS = 32768, /* that its result holds */
    PATIENCE_CPU_PERCENT = 110,  /* of the CPU without looking that looking may take */
    PATIENCE_WORK_PERCENT = 150  /* of the work in the same time that pays any CPU */
};

/* Sums of the rounds of one kind. */
struct patience_sums {
    int64_t elapsed_ns, cpu_ns;
    uint64_t work;
};

struct patience {
    int32_t score;  /* 0 to PATIENCE_SCORE_MOST: how short the last waits were */
    uint32_t waits; /* of this round, or since the last result */
    uint32_t round; /* of the measurement; PATIENCE_ROUNDS: there is a result */
    bool pays;      /* the result */
    bool begun;     /* the round's begin is known */
    int64_t began_ns, began_cpu_ns;
    uint64_t began_work;
    struct patience_sums looking, sleeping;
};

/* Waits are short enough for looking to be possible. */
static inline bool patience_short(const struct patience *patience)
{
    return patience->score >= PATIENCE_SCORE_LOOKS;
}

static inline bool patience_looks(const struct patience *patience)
{
    bool looks = patience->round == PATIENCE_ROUNDS ? patience->pays : patience->round % 2 == 0;
    return looks && patience_short(patience);
}

/* Clocks are to be read, for patience_measured(): a round begins or is over. */
static inline bool patience_asks(const struct patience *patience)
{
    return patience->round < PATIENCE_ROUNDS && patience_short(patience) &&
           (!patience->begun || patience->waits >= PATIENCE_ROUND_WAITS);
}

/* A wait is over: how long it was, and whether it ended in sleep. `most_ns`: how long looking would go on.
 * While it is tried how sleeping does, waits are longer for that alone and say nothing. */
static inline void patience_waited(struct patience *patience, int64_t waited_ns, int64_t most_ns, bool slept)
{
    bool trying = patience->round < PATIENCE_ROUNDS && patience->begun;
    bool is_short = waited_ns <= (slept ? most_ns * PATIENCE_SLEEP_FACTOR : most_ns);
    if (!(trying && slept && patience->round % 2 == 1 && waited_ns <= most_ns * PATIENCE_SLEEP_FACTOR * 4))
        patience->score += is_short ? 1 : -2;
    if (patience->score > PATIENCE_SCORE_MOST)
        patience->score = PATIENCE_SCORE_MOST;
    if (patience->score < 0)
        patience->score = 0;
    if (!patience_short(patience)) {
        patience->begun = false; /* a pause: what was begun is begun anew */
        patience->waits = patience->round < PATIENCE_ROUNDS ? 0 : patience->waits;
        return;
    }
    if (++patience->waits >= PATIENCE_KEPT_WAITS && patience->round == PATIENCE_ROUNDS) {
        patience->round = patience->waits = 0;
        patience->begun = false;
        patience->looking = patience->sleeping = (struct patience_sums){0};
    }
}

/* Whether looking pays, by the sums. Without work on one side there is nothing to compare. */
static inline bool patience_judge(const struct patience_sums *looking, const struct patience_sums *sleeping)
{
    if (looking->work == 0 || sleeping->work == 0 || looking->elapsed_ns <= 0 || sleeping->elapsed_ns <= 0)
        return false;
    double cpu = ((double)looking->cpu_ns / (double)looking->work) /
                 ((double)(sleeping->cpu_ns + 1) / (double)sleeping->work);
    double rate = ((double)looking->work / (double)looking->elapsed_ns) /
                  ((double)sleeping->work / (double)sleeping->elapsed_ns);
    return cpu * 100 <= PATIENCE_CPU_PERCENT || rate * 100 >= PATIENCE_WORK_PERCENT;
}

/* Answers patience_asks(). `work`: whatever was done so far, in bytes. */
static inline void patience_measured(struct patience *patience, int64_t now_ns, int64_t cpu_ns, uint64_t work)
{
    if (patience->begun) {
        struct patience_sums *sums = patience->round % 2 == 0 ? &patience->looking : &patience->sleeping;
        sums->elapsed_ns += now_ns - patience->began_ns;
        sums->cpu_ns += cpu_ns - patience->began_cpu_ns;
        sums->work += work - patience->began_work;
        patience->round++;
        if (patience->round == PATIENCE_ROUNDS)
            patience->pays = patience_judge(&patience->looking, &patience->sleeping);
    }
    patience->begun = true;
    patience->waits = 0;
    patience->began_ns = now_ns;
    patience->began_cpu_ns = cpu_ns;
    patience->began_work = work;
}

#endif
