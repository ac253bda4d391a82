/* Tests net/sids.c against a plain array of what is in it. */
#include "net/sids.h"

#include "core/base/language.h"
#include "core/base/random.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIDS = 500 };

static struct client_subscription *make(unsigned number)
{
    char text_of[16];
    int count = snprintf(text_of, sizeof text_of, "%u", number);
    struct client_subscription *s = calloc(1, sizeof *s + (size_t)count);
    s->sid_count = (uint16_t)count;
    memcpy(s->sid, text_of, (size_t)count);
    return s;
}

static unsigned number_of(const struct client_subscription *s)
{
    unsigned number = 0;
    for (unsigned i = 0; i < s->sid_count; i++)
        number = number * 10 + (unsigned)(s->sid[i] - '0');
    cr_assert_lt(number, SIDS);
    return number;
}

Test(sids, found_is_exactly_what_was_added_and_not_removed)
{
    struct sids sids = {0};
    struct client_subscription *model[SIDS] = {0};
    struct random random;
    random_seed(&random, 7);
    for (int step = 0; step < 50000; step++) {
        unsigned number = random_below(&random, SIDS);
        if (model[number] == NULL) {
            model[number] = make(number);
            cr_assert_eq(sids_add(&sids, model[number]), ERR_OK);
        } else {
            sids_remove(&sids, model[number]);
            free(model[number]);
            model[number] = NULL;
        }
        char sid[16];
        unsigned asked = random_below(&random, SIDS);
        snprintf(sid, sizeof sid, "%u", asked);
        cr_assert_eq(sids_find(&sids, text(sid)), model[asked], "step %d sid %u", step, asked);
    }
    uint32_t hint = 0;
    struct client_subscription *any;
    while ((any = sids_any(&sids, &hint)) != NULL) {
        sids_remove(&sids, any);
        model[number_of(any)] = NULL;
        free(any);
    }
    for (unsigned i = 0; i < SIDS; i++)
        cr_expect_null(model[i]);
    cr_expect_eq(sids.count, 0);
    sids_close(&sids);
}
