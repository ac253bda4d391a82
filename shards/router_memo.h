/* shards/router_memo.h - what the router keeps between messages: the matches of what was published lately.
 * A match belongs to the cache (core/subject/index.h), which may give its place to another one: then that has
 * another serial. Thread: the shard's. */
#ifndef SHARDS_ROUTER_MEMO_H
#define SHARDS_ROUTER_MEMO_H

#include "core/subject/index.h"

/* All zero is empty. */
struct router_memo {
    uint64_t line_serial; /* 0: none */
    const struct match *match;
    uint64_t match_serial;
};

/* In place of a control line's serial, in a memo that belongs to one subject by itself. */
enum { ROUTER_MEMO_OWN = 1 };

/* Whether a memo holds what that line finds in that index now. */
static ALWAYS_INLINE bool router_memo_good(const struct router_memo *memo, uint64_t line_serial,
                                           const struct index *index)
{
    return LIKELY(line_serial != 0 && memo->line_serial == line_serial &&
                  memo->match->serial == memo->match_serial && memo->match->index == index &&
                  match_current(memo->match));
}

static ALWAYS_INLINE void router_memo_set(struct router_memo *memo, uint64_t line_serial,
                                          const struct match *match)
{
    if (line_serial != 0)
        *memo = (struct router_memo){line_serial, match, match->serial};
}

/* When the memo is not good: what a line's subject hits in an index where most hit nothing: what other
 * servers or clusters want. `line_serial` 0: of no line. Belongs to the cache, or is an empty match that
 * lasts; NULL: memory is out. */
MUST_USE const struct match *router_memo_look(struct router_memo *memo, struct match_cache *cache,
                                              struct index *index, struct bytes subject,
                                              uint64_t line_serial);

#endif
