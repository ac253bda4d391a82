/* shards/router_memo.c - see router_memo.h. Most of what is published is wanted by no other server and no
 * other cluster, and where each message has another subject no cache ever knows it: to keep what it hits
 * there, which is nothing, costs more than to see it again. A line that comes again and again is kept in the
 * end: then the memo answers at once. */
#include "shards/router_memo.h"

enum { LOOKS_UNKEPT = 8 }; /* a message is looked up once to three times */

static const struct match nothing;

const struct match *router_memo_look(struct router_memo *memo, struct match_cache *cache, struct index *index,
                                     struct bytes subject, uint64_t line_serial)
{
    const struct match *match = NULL;
    /* In a memo of nothing the serial counts looks: with no index it is never good. */
    bool again = line_serial != 0 && memo->line_serial == line_serial && memo->match == &nothing;
    uint64_t looks = again ? memo->match_serial : 0;
    if (looks < LOOKS_UNKEPT && index_hits_nothing(index, subject)) {
        if (line_serial != 0)
            *memo = (struct router_memo){line_serial, &nothing, looks + 1};
        return &nothing;
    }
    if (match_cache_find(cache, index, subject, &match) != ERR_OK)
        return NULL;
    router_memo_set(memo, line_serial, match);
    return match;
}
