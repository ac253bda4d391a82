/* net/cluster_pool.h - how many connections two servers of a cluster have, and which account goes over which
 * (spec/routes.md 13). In the flow:  options -> cluster_pool_finish() -> the control core, which gives each
 * connection its line || accounts_get() -> cluster_pool_line()
 * A *line* is one connection's place among those to one server: the slots of the pool from 0 on, behind them
 * one for each account that has a connection of its own. At the bounds: ROUTE_POOL_MAX slots and
 * ROUTE_ACCOUNTS_MAX accounts; a file that asks for more is refused, a server that has a larger pool too.
 * Thread: any. */
#ifndef NET_CLUSTER_POOL_H
#define NET_CLUSTER_POOL_H

#include "core/config/option.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    ROUTE_POOL_MAX = 32,
    ROUTE_ACCOUNTS_MAX = 32,
    ROUTE_LINES_MAX = ROUTE_POOL_MAX + ROUTE_ACCOUNTS_MAX,
    ROUTE_LINE_NONE = 255,
};

struct cluster_pool {
    int64_t size; /* slots; -1: one connection for all, as nats-server 2.9; never 0 once finished */
    const struct bytes *accounts; /* that have a connection of their own; the system account is among them.
                                   * Behind a reload there may be empty places */
    uint32_t account_count;
};

/* `pool_size` and `accounts` of the cluster block. What is wrong is noted in `errors`. */
void cluster_pool_size_parse(struct cluster_pool *pool, const struct config_entry *entry, struct arena *arena,
                             struct option_errors *errors);
void cluster_pool_accounts_parse(struct cluster_pool *pool, const struct config_entry *entry,
                                 struct arena *arena, struct option_errors *errors);

/* Sets defaults and checks. `system`: the system account's name, empty: there is none. False: `why` says what
 * is wrong. */
MUST_USE bool cluster_pool_finish(struct cluster_pool *pool, struct bytes system, struct arena *arena,
                                  struct config_text *why);

/* The line over which this server tells of an account: its own, or the slot by its name's hash. */
uint8_t cluster_pool_line(const struct cluster_pool *pool, struct bytes account);

/* The slot of an account, had it no line of its own. */
uint8_t cluster_pool_slot(const struct cluster_pool *pool, struct bytes account);

/* The line of an account that has one of its own; ROUTE_LINE_NONE: it has not. */
uint8_t cluster_pool_dedicated(const struct cluster_pool *pool, struct bytes account);

/* The account of such a line; empty: a reload has taken it away. */
static inline struct bytes cluster_pool_account(const struct cluster_pool *pool, uint8_t line)
{
    uint32_t at = (uint32_t)line - ROUTE_POOL_MAX;
    return at < pool->account_count ? pool->accounts[at] : (struct bytes){NULL, 0};
}

/* Gives the accounts the lines that they had in the options before, and new ones lines that were free, as far
 * as there are any. False: memory is out. */
MUST_USE bool cluster_pool_inherit(struct cluster_pool *pool, const struct cluster_pool *before,
                                   struct arena *arena);

/* Whether the accounts are the same, and the size is. */
bool cluster_pool_same_accounts(const struct cluster_pool *a, const struct cluster_pool *b);
bool cluster_pool_same(const struct cluster_pool *a, const struct cluster_pool *b);

#endif
