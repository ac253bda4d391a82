/* shards/accounts.c - see accounts.h. */
#include "shards/accounts.h"

#include "core/base/check.h"
#include "core/base/memory.h"
#include "shards/replies.h"
#include "shards/services.h"
#include "shards/shard.h"

enum { CAPACITY_FIRST = 16 };

static bool table_grow(struct shard_accounts *accounts, uint32_t id)
{
    uint32_t capacity = accounts->capacity == 0 ? CAPACITY_FIRST : accounts->capacity;
    while (capacity <= id && capacity <= UINT32_MAX / 2)
        capacity *= 2;
    struct shard_account **by_id = memory_grow(accounts->by_id, capacity * sizeof(struct shard_account *));
    if (by_id == NULL || capacity <= id)
        return false;
    for (uint32_t i = accounts->capacity; i < capacity; i++)
        by_id[i] = NULL;
    accounts->by_id = by_id;
    accounts->capacity = capacity;
    return true;
}

/* What is configured for an id in the present snapshot. Linear: when an account is met, not later. */
static const struct security_account *configured(const struct shard *shard, uint32_t id)
{
    const struct security_accounts *accounts = &shard->context.security->accounts;
    for (uint32_t i = 0; i < accounts->count; i++) {
        if (accounts->all[i]->id == id)
            return accounts->all[i];
    }
    return NULL;
}

struct shard_account *accounts_get(struct shard *shard, uint32_t id)
{
    struct shard_accounts *accounts = &shard->accounts;
    if (LIKELY(id < accounts->capacity && accounts->by_id[id] != NULL))
        return accounts->by_id[id];
    if (id >= accounts->capacity && !table_grow(accounts, id))
        return NULL;
    struct shard_account *account = memory_new(sizeof *account);
    if (account == NULL)
        return NULL;
    account->index = index_new();
    if (account->index == NULL) {
        memory_free(account);
        return NULL;
    }
    account->id = id;
    account->host.configured = configured(shard, id);
    accounts->by_id[id] = account;
    return account;
}

struct shard_account *accounts_open(struct shard *shard, const struct security_account *wanted)
{
    struct shard_account *account = accounts_get(shard, wanted == NULL ? 0 : wanted->id);
    if (account == NULL || account->opened)
        return account;
    account->opened = true;
    if (services_make(shard, account) == ERR_OK)
        return account;
    account->opened = false;
    return NULL;
}

bool accounts_snapshot_use(struct shard *shard)
{
    const struct security_accounts *configured_now = &shard->context.security->accounts;
    struct shard_accounts *accounts = &shard->accounts;
    bool good = true;
    for (uint32_t i = 0; i < accounts->capacity; i++) {
        if (accounts->by_id[i] != NULL)
            accounts->by_id[i]->host.configured = NULL;
    }
    for (uint32_t i = 0; i < configured_now->count; i++) {
        uint32_t id = configured_now->all[i]->id;
        if (id < accounts->capacity && accounts->by_id[id] != NULL)
            accounts->by_id[id]->host.configured = configured_now->all[i];
    }
    for (uint32_t i = 0; i < accounts->capacity; i++) {
        struct shard_account *account = accounts->by_id[i];
        if (account == NULL || !account->opened)
            continue;
        services_forget(account);
        good = services_make(shard, account) == ERR_OK && good;
    }
    return good;
}

void accounts_close(struct shard *shard)
{
    struct shard_accounts *accounts = &shard->accounts;
    for (uint32_t i = 0; i < accounts->capacity; i++) {
        struct shard_account *account = accounts->by_id[i];
        if (account == NULL)
            continue;
        ASSERT(account->shadow_count == 0);
        services_forget(account);
        replies_prefix_close(account);
        index_free(account->index);
        memory_free(account);
    }
    memory_free(accounts->by_id);
    *accounts = (struct shard_accounts){0};
}
