/* shards/accounts.c - see accounts.h. */
#include "shards/accounts.h"

#include "core/base/check.h"
#include "core/base/memory.h"
#include "net/client.h"
#include "net/error_text.h"
#include "shards/latency_answers.h"
#include "shards/mail.h"
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
    if (shard->gateways.matches != NULL && (account->gateway = gateway_account_new()) == NULL) {
        index_free(account->index);
        memory_free(account);
        return NULL;
    }
    index_owner_set(account->index, id + 1);
    account->id = id;
    account->host.configured = configured(shard, id);
    remotes_account_set(shard, account);
    latency_answers_account_set(shard, account);
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

/* ---- how many clients ---- */

/* -1: any number. */
static int64_t connections_most(const struct shard_account *account)
{
    return account->host.configured == NULL ? -1 : account->host.configured->limits.connections;
}

/* On shards from that one on, without the own one; `end` shard_count + 1: on other servers too. */
static uint64_t clients_elsewhere(const struct shard_account *account, uint32_t from, uint32_t end)
{
    uint64_t count = 0;
    for (uint32_t i = from; account->others != NULL && i < end; i++)
        count += account->others[i];
    return count;
}

static void count_changed(struct shard *shard, struct shard_account *account)
{
    if (connections_most(account) >= 0 && shard->shard_count > 1 && !list_linked(&account->telling))
        list_push_last(&shard->telling, &account->telling);
}

void accounts_leave(struct shard *shard, struct client *client)
{
    if (client->account == NULL)
        return; /* it never got so far */
    struct shard_account *account = shard_account_of(client->account);
    account->client_count--;
    count_changed(shard, account);
}

enum host_result accounts_enter(struct shard *shard, struct client *client,
                                const struct security_account *configured_for, struct host_account **account)
{
    struct shard_account *entered = accounts_open(shard, configured_for);
    if (entered == NULL)
        return HOST_MEMORY;
    *account = &entered->host;
    if (client->account == &entered->host)
        return HOST_DONE;
    int64_t most = connections_most(entered);
    uint64_t elsewhere = clients_elsewhere(entered, 0, shard->shard_count + 1);
    if (most >= 0 && entered->client_count + elsewhere >= (uint64_t)most)
        return HOST_FULL;
    accounts_leave(shard, client);
    entered->client_count++;
    count_changed(shard, entered);
    return HOST_DONE;
}

void accounts_counts_tell(struct shard *shard)
{
    struct list_link *at;
    while ((at = list_first(&shard->telling)) != NULL) {
        struct shard_account *account = LIST_ELEMENT(at, struct shard_account, telling);
        struct mail_account_count mail = {
            .kind = MAIL_ACCOUNT_COUNT, .account = account->id, .count = account->client_count};
        for (uint32_t to = 0; to < shard->shard_count; to++) {
            if (to != shard->post.self && !mailbox_has_room_for(post_box(&shard->post, to), sizeof mail, 1))
                return; /* the next turn goes on */
        }
        list_remove(at);
        for (uint32_t to = 0; to < shard->shard_count; to++) {
            if (to == shard->post.self)
                continue;
            uint8_t *record = post_reserve(&shard->post, to, sizeof mail, false);
            ASSERT(record != NULL);
            memcpy(record, &mail, sizeof mail);
            post_commit(&shard->post, to, sizeof mail);
        }
    }
}

/* Closes the newest clients of this shard that are too many; those of higher shards go first. Another server
 * does the same by itself: each closes of its own what is too many over all of them, as nats-server does. */
static void surplus_close(struct shard *shard, struct shard_account *account)
{
    int64_t most = connections_most(account);
    if (most < 0)
        return;
    uint64_t higher = clients_elsewhere(account, shard->post.self + 1, shard->shard_count);
    uint64_t total = account->client_count + clients_elsewhere(account, 0, shard->shard_count + 1);
    uint64_t surplus = total > (uint64_t)most ? total - (uint64_t)most : 0;
    surplus = surplus > higher ? surplus - higher : 0;
    for (struct list_link *at = shard->connections.ends.previous, *before = NULL;
         surplus > 0 && at != &shard->connections.ends; at = before) {
        before = at->previous;
        struct client *client = &LIST_ELEMENT(at, struct connection, all)->client;
        if (client->account != &account->host || client->state == CLIENT_CLOSED)
            continue;
        client_close(client, CLOSED_MAXIMUM_ACCOUNT_CONNECTIONS,
                     error_text(ERROR_MAXIMUM_ACCOUNT_CONNECTIONS));
        surplus--;
    }
}

void accounts_count_take(struct shard *shard, uint32_t from, uint32_t id, uint32_t count)
{
    struct shard_account *account = accounts_get(shard, id);
    if (account != NULL && account->others == NULL)
        account->others = memory_new((shard->shard_count + 1) * sizeof *account->others);
    if (account == NULL || account->others == NULL)
        return; /* without memory its limit is this shard's alone */
    ASSERT(from <= shard->shard_count);
    account->others[from] = count;
    surplus_close(shard, account);
}

/* ---- a new snapshot ---- */

bool accounts_snapshot_use(struct shard *shard)
{
    const struct security_accounts *configured_now = &shard->context.security->accounts;
    struct shard_accounts *accounts = &shard->accounts;
    bool good = true;
    for (uint32_t i = 0; i < accounts->capacity; i++) {
        if (accounts->by_id[i] == NULL)
            continue;
        accounts->by_id[i]->before = accounts->by_id[i]->host.configured;
        accounts->by_id[i]->host.configured = NULL;
    }
    for (uint32_t i = 0; i < configured_now->count; i++) {
        uint32_t id = configured_now->all[i]->id;
        if (id < accounts->capacity && accounts->by_id[id] != NULL)
            accounts->by_id[id]->host.configured = configured_now->all[i];
    }
    for (uint32_t i = 0; i < accounts->capacity; i++) {
        if (accounts->by_id[i] == NULL)
            continue;
        remotes_account_set(shard, accounts->by_id[i]);
        latency_answers_account_set(shard, accounts->by_id[i]);
    }
    for (uint32_t i = 0; i < accounts->capacity; i++) {
        struct shard_account *account = accounts->by_id[i];
        if (account == NULL || !account->opened)
            continue;
        services_forget(account);
        good = services_make(shard, account) == ERR_OK && good;
        count_changed(shard, account); /* a limit may be new: the others have not been told */
        surplus_close(shard, account);
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
        index_free(account->remote);
        memory_free(account->remotes.lines);
        gateway_account_free(account->gateway);
        memory_free(account->others);
        memory_free(account);
    }
    memory_free(accounts->by_id);
    *accounts = (struct shard_accounts){0};
}
