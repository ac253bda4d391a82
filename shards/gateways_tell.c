/* shards/gateways_tell.c - what this cluster wants, as other clusters hear it (spec/gateways.md 8.6, 8.7, 9);
 * see gateways.h. The interest of this server's shards and that of all routed servers stand in two indexes;
 * told is when their sum begins or ends. Every inbound connection is told everything from its beginning. */
#include "shards/gateways.h"

#include "core/base/log.h"
#include "core/codec/base64.h"
#include "core/security/account.h"
#include "net/route_info.h"
#include "shards/route_connection.h"
#include "shards/shard.h"

enum { COMMAND_BYTES = 4096, PAYLOAD_BYTES = 2048 };

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
    if (other > 0 || (before > 0) == (now > 0) || account->host.configured == NULL)
        return;
    for (struct route_connection *at = next_inbound(shard, NULL); at != NULL; at = next_inbound(shard, at))
        route_tell_interest(&at->route, account->host.configured->name, pattern, queue, now > 0);
}

void gateways_tell_forgotten(void *context, struct bytes pattern, struct bytes queue, bool last)
{
    const struct gateways_loss *of = context;
    if (last && of->shard->gateways.inbound_count > 0)
        gateways_tell(of->shard, of->account, pattern, queue, 1, 0,
                      index_wanted(of->account->index, pattern, queue));
}

/* ---- everything ---- */

static void tell_queues(struct route_connection *connection, struct bytes name, struct index *index,
                        const struct index *told)
{
    for (struct interest *at = index_next(index, NULL); at != NULL; at = index_next(index, at)) {
        for (const struct queue_group *group = at->groups; group != NULL; group = group->next_in_interest) {
            struct bytes pattern = interest_pattern(at), queue = queue_group_name(group);
            bool wanted = group->members.count + group->remote_total > 0;
            if (wanted && (told == NULL || index_wanted(told, pattern, queue) == 0))
                route_tell_interest(&connection->route, name, pattern, queue, 1);
        }
    }
}

static void tell_plain(struct route_connection *connection, struct bytes name, struct index *index,
                       const struct index *told)
{
    for (struct interest *at = index_next(index, NULL); at != NULL; at = index_next(index, at)) {
        struct bytes pattern = interest_pattern(at);
        bool wanted = at->plain.count > 0 || at->remote_shards != 0;
        if (wanted && (told == NULL || index_wanted(told, pattern, plainly) == 0))
            route_tell_interest(&connection->route, name, pattern, plainly, 1);
    }
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

/* Its plain interest, between the two commands; empty accounts are named too. */
static void tell_account(struct shard *shard, struct route_connection *connection,
                         const struct security_account *configured)
{
    const struct shard_account *account = met(shard, configured);
    tell_command(shard, connection, configured->name, GATEWAY_COMMAND_LIST_BEGINS);
    if (account != NULL) {
        tell_plain(connection, configured->name, account->index, NULL);
        if (account->remote != NULL)
            tell_plain(connection, configured->name, account->remote, account->index);
    }
    tell_command(shard, connection, configured->name, GATEWAY_COMMAND_LIST_ENDS);
}

static void tell_account_queues(const struct shard *shard, struct route_connection *connection,
                                const struct security_account *configured)
{
    const struct shard_account *account = met(shard, configured);
    if (account == NULL)
        return;
    tell_queues(connection, configured->name, account->index, NULL);
    if (account->remote != NULL)
        tell_queues(connection, configured->name, account->remote, account->index);
}

void gateways_tell_all(struct shard *shard, struct route_connection *connection)
{
    const struct security_accounts *accounts = &shard->context.security->accounts;
    for (uint32_t i = 0; i < accounts->count; i++)
        tell_account_queues(shard, connection, accounts->all[i]);
    for (uint32_t i = 0; i < accounts->count; i++)
        tell_account(shard, connection, accounts->all[i]);
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
            tell_account_queues(shard, at, accounts->all[i]);
            tell_account(shard, at, accounts->all[i]);
        }
    }
}
