/* shards/reports_matches.c - the subjects whose matches a shard remembers, and to how many of its subscribers
 * each goes: what /subsz makes its fan-outs of (docs/monitoring.md 2). */
#include "core/subject/index.h"
#include "shards/reports_internal.h"
#include "shards/shard.h"

/* A place of the cache is a third of a line where it is empty, and they lie in a row: this many are looked at
 * for one item. */
enum { PLACES_PER_ITEM = 16 };

_Static_assert((REPORT_ITEMS_MAX + 4) * sizeof(struct report_match) <= BLOCK_STANDARD_BYTES,
               "what is visited has room on the page");

static void tell(void *context, const struct match *match)
{
    struct answering *answering = context;
    uint64_t fanout = match_fanout(match);
    struct report_match record = {
        .account = match->owner - 1,
        .fanout = fanout < UINT32_MAX ? (uint32_t)fanout : UINT32_MAX,
    };
    if (page_put(&answering->page, &record, sizeof record) && answering->items_left > 0)
        answering->items_left--; /* without memory the page fails as a whole */
}

/* minor: the place. */
void reports_matches_page(struct answering *answering)
{
    const struct match_cache *matches = answering->shard->matches;
    uint32_t places_left = PLACES_PER_ITEM;
    while (answering->items_left > 0) {
        answering->at.minor = match_cache_step(matches, answering->at.minor, tell, answering);
        if (answering->at.minor == 0) {
            answering->at.major = UINT64_MAX;
            return;
        }
        if (--places_left == 0) {
            answering->items_left--;
            places_left = PLACES_PER_ITEM;
        }
    }
}
