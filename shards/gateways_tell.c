/* shards/gateways_tell.c - what this cluster wants, as other clusters hear it (spec/gateways.md 8.6, 8.7, 9);
 * see gateways.h. The interest of this server's shards and that of all routed servers stand in two indexes;
 * told is when their sum begins or ends. Every inbound connection is told everything from its beginning, by a
 * walk in steps, so that a million patterns hold up nobody. */
#include "shards/gateways.h"

#include "core/base/log.h"
#include "core/codec/base64.h"
#include "core/security/account.h"
#include "net/route_info.h"
#include "shards/route_connection.h"
#include "shards/shard.h"

enum {
    COMMAND_BYTES = 4096,
    PAYLOAD_BYTES = 2048,
    TELL_PATTERNS_MAX = 2000, /* in a turn: some 0.2 ms */
};

static const struct bytes plainly = {NULL, 0};

static struct route_connection *next_inbound(struct shard *shard, struct route_connection *at)
{
    struct list_link *link =
        at == NULL ? list_first(&shard->remotes.routes) : list_next(&shard->remotes.routes, &at->all);
    for (; link != NULL; link = list_next(&shard->remotes.routes, link)) {
        struct route_connection *connection = LIST_ELEMENT(link, struct route_connection, all);
        if (connection->gateway_inbound)
            return connection;
    }
    return NULL;
}

void gateways_tell(struct shard *shard, const struct shard_account *account, struct bytes pattern,
                   struct bytes queue, uint32_t before, uint32_t now, uint32_t other)
{
    if ((before > 0) == (now > 0) || account->host.configured == NULL)
        return;
    for (struct route_connection *at = next_inbound(shard, NULL); at != NULL; at = next_inbound(shard, at)) {
        /* Of a peer that is still being told all, nobody knows whether it has heard of the other ones': they
         * may go before the walk is there, and these have come behind it. */
        bool tell = other == 0 || (now > 0 && at->gateway_telling.going);
        if (tell)
            route_tell_interest(&at->route, account->host.configured->name, pattern, queue, now > 0);
    }
}

void gateways_tell_forgotten(void *context, struct bytes pattern, struct bytes queue, bool last)
{
    const struct gateways_loss *of = context;
    if (last && of->shard->gateways.inbound_count > 0)
        gateways_tell(of->shard, of->account, pattern, queue, 1, 0,
                      index_wanted(of->account->index, pattern, queue));
}

/* ---- everything ---- */

/* One step of a walk: `told` is the index that was walked before, with what needs not be told again. */
struct telling {
    struct route_connection *connection;
    struct bytes account;
    const struct index *told;
    uint32_t left; /* what this turn may still look at */
};

static void tell(const struct telling *telling, struct bytes pattern, struct bytes queue)
{
    if (telling->told == NULL || index_wanted(telling->told, pattern, queue) == 0)
        route_tell_interest(&telling->connection->route, telling->account, pattern, queue, 1);
}

static void tell_queues(void *context, struct interest *interest)
{
    struct telling *telling = context;
    telling->left -= telling->left > 0;
    for (const struct queue_group *group = interest->groups; group != NULL; group = group->next_in_interest) {
        if (group->members.count + group->remote_total > 0)
            tell(telling, interest_pattern(interest), queue_group_name(group));
    }
}

static void tell_plain(void *context, struct interest *interest)
{
    struct telling *telling = context;
    telling->left -= telling->left > 0;
    if (interest->plain.count > 0 || interest->remote_shards != 0)
        tell(telling, interest_pattern(interest), plainly);
}

/* False: the turn is over before the index is. */
static bool tell_index(struct telling *telling, const struct index *index, index_visit *visit,
                       uint32_t *cursor)
{
    do {
        if (telling->left == 0)
            return false;
        telling->left--;
        *cursor = index_step(index, *cursor, visit, telling);
    } while (*cursor != 0);
    return true;
}

static void tell_command(struct shard *shard, struct route_connection *connection, struct bytes account,
                         enum gateway_command command)
{
    char line[COMMAND_BYTES], payload[PAYLOAD_BYTES];
    struct route_info info = {.gateway = text(shard->snapshot->options->gateway.name),
                              .gateway_command = command};
    info.gateway_payload = bytes_of(payload, base64_standard_encode(payload, sizeof payload, account));
    size_t count = info.gateway_payload.count == 0 ? 0 : gateway_info_write(line, sizeof line, &info);
    if (count == 0)
        log_error(shard->context.log,
                  "Other clusters are not told what account \"%.*s\" wants: its name is too long",
                  BYTES_PRINTF(account));
    route_write(&connection->route, bytes_of(line, count));
}

static const struct shard_account *met(const struct shard *shard, const struct security_account *configured)
{
    return configured->id < shard->accounts.capacity ? shard->accounts.by_id[configured->id] : NULL;
}

/* Goes on with one account: its queue groups, or its plain interest between the two commands; empty accounts
 * are named too. What changes meanwhile is told at once, by gateways_tell(), and what the walk meets is as it
 * is then: so the last word about a pattern is the right one, and one that is said twice does no harm. False:
 * the turn is over before the account is. */
static bool tell_account(struct shard *shard, struct telling *telling, struct gateway_telling *at,
                         const struct security_account *configured)
{
    const struct shard_account *account = met(shard, configured);
    index_visit *visit = at->lists ? tell_plain : tell_queues;
    telling->account = configured->name;
    if (at->lists && !at->began)
        tell_command(shard, telling->connection, configured->name, GATEWAY_COMMAND_LIST_BEGINS);
    at->began = true;
    telling->told = NULL;
    if (account != NULL && !at->routed && !tell_index(telling, account->index, visit, &at->cursor))
        return false;
    at->routed = true;
    telling->told = account == NULL ? NULL : account->index;
    if (account != NULL && account->remote != NULL &&
        !tell_index(telling, account->remote, visit, &at->cursor))
        return false;
    if (at->lists)
        tell_command(shard, telling->connection, configured->name, GATEWAY_COMMAND_LIST_ENDS);
    at->began = at->routed = false;
    return true;
}

/* The same at once. */
static void tell_whole_account(struct shard *shard, struct route_connection *connection, bool lists,
                               const struct security_account *configured)
{
    struct gateway_telling at = {.lists = lists};
    struct telling telling = {.connection = connection};
    do {
        telling.left = UINT32_MAX;
    } while (!tell_account(shard, &telling, &at, configured));
}

void gateways_tell_on(struct shard *shard, struct route_connection *connection)
{
    const struct security_accounts *accounts = &shard->context.security->accounts;
    struct gateway_telling *at = &connection->gateway_telling;
    struct telling telling = {.connection = connection, .left = TELL_PATTERNS_MAX};
    while (at->going) {
        for (; at->account < accounts->count; at->account++) {
            if (telling.left == 0 || !tell_account(shard, &telling, at, accounts->all[at->account]))
                return;
            telling.left -= telling.left > 0; /* an empty one costs something too */
        }
        *at = (struct gateway_telling){.going = !at->lists, .lists = true}; /* of all accounts groups first */
    }
}

void gateways_tell_all(struct shard *shard, struct route_connection *connection)
{
    connection->gateway_telling = (struct gateway_telling){.going = true};
    gateways_tell_on(shard, connection);
}

static bool was_there(const struct security_accounts *accounts, uint32_t id)
{
    for (uint32_t i = 0; i < accounts->count; i++) {
        if (accounts->all[i]->id == id)
            return true;
    }
    return false;
}

/* What an index holds is not wanted any more. */
static void tell_none(struct route_connection *connection, struct bytes name, struct index *index)
{
    for (struct interest *at = index_next(index, NULL); at != NULL; at = index_next(index, at)) {
        struct bytes pattern = interest_pattern(at);
        if (at->plain.count > 0 || at->remote_shards != 0)
            route_tell_interest(&connection->route, name, pattern, plainly, 0);
        for (const struct queue_group *group = at->groups; group != NULL; group = group->next_in_interest)
            route_tell_interest(&connection->route, name, pattern, queue_group_name(group), 0);
    }
}

/* An account has gone: nobody here can want anything in it. */
static void tell_gone(const struct shard *shard, struct route_connection *connection,
                      const struct security_account *gone)
{
    const struct shard_account *account = met(shard, gone);
    if (account == NULL)
        return;
    tell_none(connection, gone->name, account->index);
    if (account->remote != NULL)
        tell_none(connection, gone->name, account->remote);
}

void gateways_snapshot_use(struct shard *shard, const struct security_accounts *before)
{
    const struct security_accounts *accounts = &shard->context.security->accounts;
    if (shard->gateways.inbound_count == 0)
        return;
    for (uint32_t i = 0; i < before->count; i++) {
        for (struct route_connection *at = next_inbound(shard, NULL);
             at != NULL && !was_there(accounts, before->all[i]->id); at = next_inbound(shard, at))
            tell_gone(shard, at, before->all[i]);
    }
    for (uint32_t i = 0; i < accounts->count; i++) {
        if (was_there(before, accounts->all[i]->id))
            continue;
        for (struct route_connection *at = next_inbound(shard, NULL); at != NULL;
             at = next_inbound(shard, at)) {
            tell_whole_account(shard, at, false, accounts->all[i]);
            tell_whole_account(shard, at, true, accounts->all[i]);
        }
    }
    for (struct route_connection *at = next_inbound(shard, NULL); at != NULL; at = next_inbound(shard, at)) {
        if (at->gateway_telling.going) /* accounts have other places now: once more, which does no harm */
            at->gateway_telling = (struct gateway_telling){.going = true};
    }
}
