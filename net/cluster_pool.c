/* net/cluster_pool.c - the pool's options and the choice of a slot; see cluster_pool.h. */
#include "net/cluster_pool.h"

#include "core/base/check.h"

#include <string.h>

enum { POOL_SIZE_DEFAULT = 3 };

void cluster_pool_size_parse(struct cluster_pool *pool, const struct config_entry *entry, struct arena *arena,
                             struct option_errors *errors)
{
    (void)arena;
    if (!option_want(errors, entry, CONFIG_INTEGER))
        return;
    if (entry->value->integer > ROUTE_POOL_MAX)
        option_fail(errors, entry->position, "pool_size must be at most %d, not %lld", ROUTE_POOL_MAX,
                    (long long)entry->value->integer);
    else
        pool->size = entry->value->integer;
}

static void account_add(struct bytes *accounts, uint32_t *count, const struct config_entry *item,
                        struct arena *arena, struct option_errors *errors)
{
    if (item->value->kind != CONFIG_STRING) {
        option_fail(errors, item->position, "error parsing accounts: unsupported type in array %s",
                    config_type_name(item->value));
        return;
    }
    accounts[(*count)++] = option_copy(item->value->string, item->position, arena, errors);
}

/* A list of names, or one. */
void cluster_pool_accounts_parse(struct cluster_pool *pool, const struct config_entry *entry,
                                 struct arena *arena, struct option_errors *errors)
{
    uint32_t count = 0;
    /* One more: the system account may come behind them. */
    struct bytes *accounts = arena_new(arena, (ROUTE_ACCOUNTS_MAX + 1) * sizeof *accounts);
    if (accounts == NULL) {
        option_fail(errors, entry->position, "out of memory");
        return;
    }
    if (entry->value->kind == CONFIG_STRING) {
        account_add(accounts, &count, entry, arena, errors);
    } else if (entry->value->kind == CONFIG_ARRAY) {
        for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next) {
            if (count == ROUTE_ACCOUNTS_MAX) {
                option_fail(errors, item->position, "accounts: at most %d can have routes of their own",
                            ROUTE_ACCOUNTS_MAX);
                return;
            }
            account_add(accounts, &count, item, arena, errors);
        }
    } else {
        option_fail(errors, entry->position, "error parsing accounts: unsupported type %s",
                    config_type_name(entry->value));
    }
    pool->accounts = accounts;
    pool->account_count = count;
}

/* nats-server's sentence: the list as Go shows it. */
static void say_duplicate(const struct cluster_pool *pool, struct bytes account, struct config_text *why)
{
    config_text_add(why, "found duplicate account name \"%.*s\" in pinned accounts list [",
                    BYTES_PRINTF(account));
    for (uint32_t i = 0; i < pool->account_count; i++)
        config_text_add(why, "%s\"%.*s\"", i == 0 ? "" : " ", BYTES_PRINTF(pool->accounts[i]));
    config_text_add(why, "]");
}

static bool system_add(struct cluster_pool *pool, struct bytes system, struct arena *arena,
                       struct config_text *why)
{
    struct bytes *accounts = arena_new(arena, (pool->account_count + 1) * sizeof *accounts);
    const char *name = arena_copy(arena, system);
    if (accounts == NULL || name == NULL) {
        config_text_add(why, "out of memory");
        return false;
    }
    if (pool->account_count == ROUTE_ACCOUNTS_MAX) {
        config_text_add(why,
                        "accounts: at most %d can have routes of their own, the system account among them",
                        ROUTE_ACCOUNTS_MAX);
        return false;
    }
    for (uint32_t i = 0; i < pool->account_count; i++)
        accounts[i] = pool->accounts[i];
    accounts[pool->account_count++] = bytes_of(name, system.count);
    pool->accounts = accounts;
    return true;
}

bool cluster_pool_finish(struct cluster_pool *pool, struct bytes system, struct arena *arena,
                         struct config_text *why)
{
    if (pool->account_count > 0 && pool->size < 0) {
        config_text_add(why, "pool_size cannot be negative if pinned accounts are specified");
        return false;
    }
    for (uint32_t i = 0; i < pool->account_count; i++) {
        for (uint32_t j = 0; j < i; j++) {
            if (bytes_equal(pool->accounts[i], pool->accounts[j])) {
                say_duplicate(pool, pool->accounts[i], why);
                return false;
            }
        }
    }
    if (pool->size == 0)
        pool->size = POOL_SIZE_DEFAULT;
    if (pool->size < 0) {
        pool->size = -1;
        return true;
    }
    return system.count == 0 || cluster_pool_dedicated(pool, system) != ROUTE_LINE_NONE ||
           system_add(pool, system, arena, why);
}

uint8_t cluster_pool_dedicated(const struct cluster_pool *pool, struct bytes account)
{
    for (uint32_t i = 0; account.count > 0 && i < pool->account_count; i++) {
        if (bytes_equal(pool->accounts[i], account))
            return (uint8_t)(ROUTE_POOL_MAX + i);
    }
    return ROUTE_LINE_NONE;
}

/* FNV-1a of 32 bits, which all servers have to agree on (routes.md 13.1). */
static uint32_t hash_of(struct bytes name)
{
    uint32_t hash = 0x811c9dc5U;
    for (size_t i = 0; i < name.count; i++)
        hash = (hash ^ name.data[i]) * 0x01000193U;
    return hash;
}

uint8_t cluster_pool_line(const struct cluster_pool *pool, struct bytes account)
{
    uint8_t own = cluster_pool_dedicated(pool, account);
    return own != ROUTE_LINE_NONE ? own : cluster_pool_slot(pool, account);
}

uint8_t cluster_pool_slot(const struct cluster_pool *pool, struct bytes account)
{
    ASSERT(pool->size != 0 && pool->size <= ROUTE_POOL_MAX);
    if (pool->size <= 1)
        return 0;
    return (uint8_t)(hash_of(account) % (uint32_t)pool->size);
}

static bool place_free(const struct bytes *places, uint32_t at)
{
    return at < ROUTE_ACCOUNTS_MAX && places[at].count == 0;
}

/* A place for an account that is new: first of all one that no account had before, because routes of that one
 * may not be gone yet. */
static uint32_t place_new(const struct bytes *places, const struct cluster_pool *before)
{
    uint32_t at = 0;
    while (!place_free(places, at) || (at < before->account_count && before->accounts[at].count > 0)) {
        if (++at == ROUTE_ACCOUNTS_MAX)
            break;
    }
    if (at < ROUTE_ACCOUNTS_MAX)
        return at;
    for (at = 0; !place_free(places, at); at++)
        ASSERT(at < ROUTE_ACCOUNTS_MAX); /* there are as many places as accounts at most */
    return at;
}

bool cluster_pool_inherit(struct cluster_pool *pool, const struct cluster_pool *before, struct arena *arena)
{
    uint32_t count = 0;
    struct bytes *places = arena_new(arena, ROUTE_ACCOUNTS_MAX * sizeof *places);
    if (places == NULL)
        return false;
    memset(places, 0, ROUTE_ACCOUNTS_MAX * sizeof *places);
    for (uint32_t i = 0; i < pool->account_count; i++) {
        uint8_t line = cluster_pool_dedicated(before, pool->accounts[i]);
        if (line != ROUTE_LINE_NONE)
            places[line - ROUTE_POOL_MAX] = pool->accounts[i];
    }
    for (uint32_t i = 0; i < pool->account_count; i++) {
        if (cluster_pool_dedicated(before, pool->accounts[i]) == ROUTE_LINE_NONE)
            places[place_new(places, before)] = pool->accounts[i];
    }
    for (uint32_t at = 0; at < ROUTE_ACCOUNTS_MAX; at++)
        count = places[at].count > 0 ? at + 1 : count;
    pool->accounts = places;
    pool->account_count = count;
    return true;
}

static bool has_all(const struct cluster_pool *pool, const struct cluster_pool *of)
{
    for (uint32_t i = 0; i < of->account_count; i++) {
        if (of->accounts[i].count > 0 && cluster_pool_dedicated(pool, of->accounts[i]) == ROUTE_LINE_NONE)
            return false;
    }
    return true;
}

bool cluster_pool_same_accounts(const struct cluster_pool *a, const struct cluster_pool *b)
{
    return has_all(a, b) && has_all(b, a);
}

bool cluster_pool_same(const struct cluster_pool *a, const struct cluster_pool *b)
{
    return a->size == b->size && cluster_pool_same_accounts(a, b);
}
