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
