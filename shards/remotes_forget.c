/* shards/remotes_forget.c - what another server wanted is forgotten in steps; see remotes.h and leaving.h. */
#include "shards/gateways.h"
#include "shards/remotes.h"
#include "shards/shard.h"

void remotes_forget(struct shard *shard, uint32_t remote, uint8_t line)
{
    for (uint32_t id = 0; id < shard->accounts.capacity; id++) {
        struct shard_account *account = shard->accounts.by_id[id];
        if (account == NULL || account->remote == NULL || account->remotes.lines[remote] != line)
            continue;
        account->remotes.up &= ~(1ULL << remote);
        account->remotes.lines[remote] = ROUTE_LINE_NONE;
        leaving_begin(&shard->remotes.leaving, &account->remotes.leaving, account->remote, remote);
    }
}

void remotes_forget_rest(struct shard *shard, struct shard_account *account, uint32_t remote)
{
    struct gateways_loss loss = {shard, account};
    if (account != NULL)
        leaving_settle(&shard->remotes.leaving, &account->remotes.leaving, account->remote, remote,
                       gateways_tell_forgotten, &loss);
}

bool remotes_forgetting(const struct shard *shard, uint32_t remote)
{
    for (uint32_t id = 0; shard->remotes.leaving.count > 0 && id < shard->accounts.capacity; id++) {
        const struct shard_account *account = shard->accounts.by_id[id];
        if (account != NULL && leaving_has(&account->remotes.leaving, remote))
            return true;
    }
    return false;
}

void remotes_forget_on(struct shard *shard)
{
    struct leaving_walk *walk = &shard->remotes.leaving;
    for (uint32_t looks = LEAVING_LOOKS_MAX; walk->count > 0 && looks > 0;) {
        struct shard_account *account = shard->accounts.by_id[walk->account];
        if (account != NULL && account->remotes.leaving.numbers != 0) {
            struct gateways_loss loss = {shard, account};
            leaving_step(walk, &account->remotes.leaving, account->remote, &looks, gateways_tell_forgotten,
                         &loss);
        } else {
            looks--;
            walk->account = walk->account + 1 < shard->accounts.capacity ? walk->account + 1 : 0;
        }
    }
}
