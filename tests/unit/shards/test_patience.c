/* Tests shards/patience.h: when a shard looks for work instead of sleeping at once. */
#include "shards/patience.h"

#include <criterion/criterion.h>

enum { MOST_NS = 30000 };

struct patience_case {
    const char *waits; /* s: short; l: long; z: slept, woken within twice the time; Z: slept longer */
    bool looks;
};

static const struct patience_case cases[] = {
    {"", false},
    {"sss", false},
    {"ssss", true},
    {"zzzz", true}, /* looking would have found it: the waking alone made it longer */
    {"ZZZZZZ", false},
    {"ssssl", false}, /* one long wait outweighs two short ones */
    {"sssssl", false},
    {"ssssssl", true},
    {"slslslslslsl", false},
    {"ssssssssssssssssssssssl", true}, /* and what is long past counts for nothing */
    {"ssssssssssssssssssssssll", true},
    {"sssssssssssssssssssssslll", false},
    {"llllllllllllllllllllllssss", true},
};

static int64_t wait_of(char kind)
{
    switch (kind) {
    case 's':
        return MOST_NS;
    case 'l':
        return MOST_NS + 1;
    case 'z':
        return 2 * MOST_NS;
    default:
        return 2 * MOST_NS + 1;
    }
}

Test(patience, looks_after_short_waits_and_sleeps_after_long_ones)
{
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct patience patience = {0};
        for (const char *at = cases[i].waits; *at != 0; at++)
            patience_waited(&patience, wait_of(*at), MOST_NS, *at == 'z' || *at == 'Z');
        cr_expect_eq(patience_looks(&patience), cases[i].looks, "waits %s", cases[i].waits);
    }
}

/* ---- what waking costs ---- */

struct judge_case {
    const char *what;
    struct patience_sums looking, sleeping;
    bool pays;
};

static const struct judge_case judged[] = {
    {"the same CPU, half the latency", {1000, 500, 100}, {2000, 500, 100}, true},
    {"a tenth more CPU", {1000, 550, 100}, {1000, 500, 100}, true},
    {"a fifth more CPU for nothing", {1000, 600, 100}, {1000, 500, 100}, false},
    {"a fifth more CPU, half as much again gets done", {1000, 900, 160}, {1000, 500, 100}, true},
    {"more CPU, and less is done", {1000, 900, 90}, {1000, 500, 100}, false},
    {"twice the work in twice the time", {2000, 1000, 200}, {1000, 500, 100}, true},
    {"no work to compare by", {1000, 500, 0}, {1000, 500, 100}, false},
    {"none on the other side", {1000, 500, 100}, {1000, 500, 0}, false},
};

Test(patience, judges_by_cpu_and_by_what_gets_done)
{
    for (size_t i = 0; i < COUNT_OF(judged); i++)
        cr_expect_eq(patience_judge(&judged[i].looking, &judged[i].sleeping), judged[i].pays, "%s",
                     judged[i].what);
}

/* A world in which a wait takes so long and costs so much, for one byte of work. */
struct world {
    struct patience patience;
    int64_t now_ns, cpu_ns;
    uint64_t work;
    int64_t look_ns, look_cpu_ns, sleep_ns, sleep_cpu_ns;
    uint32_t looked;
};

static void live(struct world *world, uint32_t waits)
{
    world->looked = 0;
    while (waits-- > 0) {
        bool looks = patience_looks(&world->patience);
        int64_t wait_ns = looks ? world->look_ns : world->sleep_ns;
        world->looked += looks;
        world->now_ns += wait_ns;
        world->cpu_ns += looks ? world->look_cpu_ns : world->sleep_cpu_ns;
        world->work++;
        patience_waited(&world->patience, wait_ns, MOST_NS, !looks);
        if (patience_asks(&world->patience))
            patience_measured(&world->patience, world->now_ns, world->cpu_ns, world->work);
    }
}

enum { MEASURING = PATIENCE_ROUNDS * PATIENCE_ROUND_WAITS + 10 };

Test(patience, looks_where_cores_sleep_deeply)
{
    struct world world = {.look_ns = 20000, .look_cpu_ns = 20000, .sleep_ns = 55000, .sleep_cpu_ns = 20000};
    live(&world, MEASURING);
    cr_expect(world.looked > MEASURING / 3 && world.looked < MEASURING * 2 / 3, "both are tried");
    cr_expect(world.patience.pays);
    live(&world, PATIENCE_KEPT_WAITS / 2);
    cr_expect_eq(world.looked, PATIENCE_KEPT_WAITS / 2);
}

Test(patience, sleeps_where_waking_is_cheap_and_asks_again_later)
{
    struct world world = {.look_ns = 14000, .look_cpu_ns = 14000, .sleep_ns = 14500, .sleep_cpu_ns = 7000};
    live(&world, MEASURING);
    cr_expect_not(world.patience.pays);
    live(&world, PATIENCE_KEPT_WAITS / 2);
    cr_expect_eq(world.looked, 0);
    world.sleep_cpu_ns = 20000; /* the others on these cores have gone home */
    world.sleep_ns = 50000;
    live(&world, PATIENCE_KEPT_WAITS / 2 + MEASURING);
    cr_expect(world.patience.pays);
}

/* Trying how sleeping does makes waits longer; that alone does not end the trial. */
Test(patience, a_pause_begins_a_round_anew)
{
    struct world world = {.look_ns = 20000, .look_cpu_ns = 20000, .sleep_ns = 50000, .sleep_cpu_ns = 20000};
    live(&world, 10);
    world.sleep_ns = 200000;
    live(&world, MEASURING);
    cr_expect(world.patience.pays, "woken after 200 us each time, it measured to the end");
    world = (struct world){.look_ns = 20000, .look_cpu_ns = 20000, .sleep_ns = 20000, .sleep_cpu_ns = 9000};
    live(&world, PATIENCE_ROUND_WAITS / 2);
    world.look_ns = world.sleep_ns = 1000000;
    live(&world, 20);
    cr_expect_not(patience_looks(&world.patience), "a quiet server never looks");
    cr_expect_not(world.patience.begun);
    cr_expect_eq(world.patience.round, 0);
}
