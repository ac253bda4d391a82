/* shards/remotes_tell.c - what this server wants, as its routes hear it: at once when it changes, by a walk
 * when a route is new, and by another one when a reload changes what may be wanted of others, or over which
 * line it is said; see remotes.h. Walks go in steps, so that a million patterns hold up nobody. */
#include "core/base/check.h"
#include "core/security/permissions.h"
#include "net/route.h"
#include "shards/mail.h"
#include "shards/route_connection.h"
#include "shards/route_s2.h"
#include "shards/shard.h"

#include <string.h>

enum { TELL_PATTERNS_MAX = 2000 /* in a turn: some 0.2 ms */ };

static const struct bytes plainly = {NULL, 0};

/* ---- what may be told ---- */

static const struct security_permissions *permissions_of(const struct snapshot *snapshot)
{
    return snapshot->options->cluster.permissions;
}

/* Whether such messages may come in (routes.md 11.1): of a pattern as of a subject, so that `>` is not under
 * `a.>`. */
static bool may_import(const struct snapshot *snapshot, struct bytes pattern)
{
    const struct security_permissions *permissions = permissions_of(snapshot);
    return permissions == NULL || permissions_publish(permissions, pattern);
}

bool remotes_may_export(const struct shard *shard, struct bytes pattern)
{
    const struct security_permissions *permissions = permissions_of(shard->snapshot);
    return permissions == NULL || permissions_subscribe(permissions, pattern, plainly) != PERMISSION_REFUSED;
}

/* Whether an account's interest is told on that route: a peer without a pool has one line for all. One that a
 * reload has removed is told on none, because nobody elsewhere can publish for it by name. */
static bool serves(const struct route_connection *connection, const struct shard_account *account)
{
    return account->host.configured != NULL &&
           (!connection->pooled || connection->line == account->remotes.line);
}

/* The same by the options before. */
static bool served(const struct route_connection *connection, const struct shard_account *account)
{
    return account->before != NULL &&
           (!connection->pooled || connection->line == account->remotes.line_before);
}

/* Whether the route may have been told of that pattern before the reload that it still hears of. */
static bool was_told(const struct shard *shard, const struct route_connection *connection,
                     const struct shard_account *account, struct bytes pattern)
{
    return connection->telling.changes && served(connection, account) &&
           may_import(shard->remotes.before, pattern);
}

/* ---- at once ---- */

void remotes_tell(struct shard *shard, const struct shard_account *account, struct bytes pattern,
                  struct bytes queue, uint32_t wanted)
{
    bool may = may_import(shard->snapshot, pattern);
    if (!may && shard->remotes.before == NULL)
        return;
    uint32_t weight = queue.count > 0 ? wanted : wanted > 0;
    for (struct list_link *at = list_first(&shard->remotes.routes); at != NULL;
         at = list_next(&shard->remotes.routes, at)) {
        struct route_connection *connection = LIST_ELEMENT(at, struct route_connection, all);
        if (connection->remote == ROUTE_NONE)
            continue;
        if (may && serves(connection, account))
            route_tell_interest(&connection->route, account->host.configured->name, pattern, queue, weight);
        else if (UNLIKELY(wanted == 0 && was_told(shard, connection, account, pattern)))
            route_tell_interest(&connection->route, account->before->name, pattern, queue, 0);
    }
}

/* ---- by and by ---- */

/* What one step of telling is about. */
struct telling {
    const struct shard *shard;
    struct route_connection *connection;
    const struct shard_account *account;
    uint32_t seen;
};

static void tell_as(const struct telling *telling, const struct interest *interest, struct bytes account,
                    bool wanted)
{
    struct route *route = &telling->connection->route;
    struct bytes pattern = interest_pattern(interest);
    if (interest->plain.count > 0 || interest->remote_shards != 0)
        route_tell_interest(route, account, pattern, plainly, wanted);
    for (const struct queue_group *group = interest->groups; group != NULL; group = group->next_in_interest)
        route_tell_interest(route, account, pattern, queue_group_name(group),
                            wanted ? group->members.count + group->remote_total : 0);
}

static void tell_one(void *context, struct interest *interest)
{
    struct telling *telling = context;
    const struct shard_account *account = telling->account;
    struct bytes pattern = interest_pattern(interest);
    bool tell = serves(telling->connection, account) && may_import(telling->shard->snapshot, pattern);
    bool told = was_told(telling->shard, telling->connection, account, pattern);
    telling->seen++;
    if (tell && (telling->connection->telling.all || !told))
        tell_as(telling, interest, account->host.configured->name, true);
    else if (!tell && told)
        tell_as(telling, interest, account->before->name, false);
}

/* Whether there may be something to tell of an account. */
static bool concerns(const struct route_connection *connection, const struct shard_account *account)
{
    const struct route_telling *telling = &connection->telling;
    return account != NULL &&
           (serves(connection, account) || (telling->changes && served(connection, account)));
}

/* Goes on telling some TELL_PATTERNS_MAX patterns. What changes meanwhile is told at once, by remotes_tell(),
 * and what the walk meets is as it is then: so the last word about a pattern is always the right one, and one
 * that is said twice does no harm. Until a new route is told all, its peer is not read from (taking()): then
 * no message can go there by what it wants, and interest stands on the wire before every message that depends
 * on it (docs/clusters.md 2). */
static void tell_on(struct shard *shard, struct route_connection *connection)
{
    struct route_walk *at = &connection->telling.at;
    struct telling telling = {.shard = shard, .connection = connection};
    for (; at->account < shard->accounts.capacity; at->account++) {
        const struct shard_account *account = shard->accounts.by_id[at->account];
        telling.seen++;
        if (!concerns(connection, account)) {
            at->cursor = 0; /* it may have gone in mid-walk, by a reload */
            continue;
        }
        telling.account = account;
        do {
            if (telling.seen++ >= TELL_PATTERNS_MAX)
                return;
            at->cursor = index_step(account->index, at->cursor, tell_one, &telling);
        } while (at->cursor != 0);
    }
    connection->telling = (struct route_telling){0};
}

void remotes_tell_all(struct shard *shard, struct route_connection *connection)
{
    connection->telling = (struct route_telling){.all = true, .holds = true};
    tell_on(shard, connection);
}

void remotes_tell_again(struct shard *shard, struct route_connection *connection)
{
    if (connection->remote == ROUTE_NONE)
        return;
    connection->telling.all = true;
    connection->telling.at = (struct route_walk){0};
    tell_on(shard, connection);
}

/* ---- what others may not want any more ---- */

/* One pattern that a server wants and may not, copied: it goes with the interest. */
struct refused {
    const struct shard *shard;
    uint32_t remote;
    bool all; /* the account is on another line now */
    uint32_t seen;
    bool found;
    uint32_t pattern_count, queue_count;
    uint8_t texts[2 * (UINT16_MAX + 1)]; /* host_interest() takes no longer ones */
};

static void find_refused(void *context, struct interest *interest)
{
    struct refused *refused = context;
    struct bytes pattern = interest_pattern(interest), queue = plainly;
    const struct queue_group *group = interest->groups;
    refused->seen++;
    if (refused->found)
        return;
    bool wanted = (interest->remote_shards >> refused->remote & 1) != 0;
    for (; !wanted && group != NULL; group = group->next_in_interest) {
        wanted = queue_group_remote(group, refused->remote) > 0;
        queue = wanted ? queue_group_name(group) : plainly;
    }
    if (!wanted || (!refused->all && remotes_may_export(refused->shard, pattern)))
        return;
    ASSERT(pattern.count + queue.count <= sizeof refused->texts);
    refused->found = true;
    refused->pattern_count = (uint32_t)pattern.count;
    refused->queue_count = (uint32_t)queue.count;
    memcpy(refused->texts, pattern.data, pattern.count);
    if (queue.count > 0)
        memcpy(refused->texts + pattern.count, queue.data, queue.count);
}

/* As RS- would. False: a mailbox is full, or memory is out; to be tried again. */
static bool drop(struct shard *shard, struct route_connection *connection, struct shard_account *account,
                 const struct refused *refused)
{
    struct bytes pattern = bytes_of(refused->texts, refused->pattern_count);
    struct bytes queue = bytes_of(refused->texts + refused->pattern_count, refused->queue_count);
    struct mail_remote_interest mail = {
        .kind = MAIL_REMOTE_INTEREST,
        .remote = connection->remote,
        .line = connection->line,
        .pattern_count = refused->pattern_count,
        .queue_count = refused->queue_count,
        .account = account->id,
    };
    if (remotes_interest_mail(shard, &mail, pattern, queue) != ROUTE_HOST_DONE)
        return false;
    remotes_interest_set(shard, account, connection->remote, connection->line, pattern, queue, 0);
    connection->subscription_count -= connection->subscription_count > 0;
    return true;
}

/* Whether that line of a pool is not the one of an account that has one of its own: what was said on it
 * before that was so is said anew on its own. */
static bool leaves(const struct route_connection *connection, const struct shard_account *account)
{
    return connection->pooled && connection->line < ROUTE_POOL_MAX &&
           account->remotes.line >= ROUTE_POOL_MAX && account->host.configured != NULL;
}

/* What is wanted here goes from all shards in the order in which the peer's own words reach them, so that no
 * shard is left with what another one has dropped. */
static void drop_on(struct shard *shard, struct route_connection *connection)
{
    struct route_walk *at = &connection->dropping.at;
    struct refused refused = {.shard = shard, .remote = connection->remote};
    for (; at->account < shard->accounts.capacity; at->account++) {
        struct shard_account *account = shard->accounts.by_id[at->account];
        refused.seen++;
        if (account == NULL || account->remote == NULL ||
            account->remotes.lines[connection->remote] != connection->line) {
            at->cursor = 0;
            continue;
        }
        refused.all = leaves(connection, account);
        do {
            refused.found = false;
            if (refused.seen++ >= TELL_PATTERNS_MAX)
                return;
            uint32_t next = index_step(account->remote, at->cursor, find_refused, &refused);
            if (!refused.found)
                at->cursor = next;
            else if (!drop(shard, connection, account, &refused))
                return;
        } while (refused.found || at->cursor != 0);
    }
    struct block *answer = connection->dropping.answer;
    if (answer != NULL)
        route_write(&connection->route, bytes_of(answer->bytes, connection->dropping.answer_bytes));
    block_release(&shard->context.pool.blocks, answer);
    connection->dropping = (struct route_dropping){0};
}

void remotes_drop_moving(struct shard *shard, struct route_connection *connection, struct block *answer,
                         uint32_t answer_bytes)
{
    block_release(&shard->context.pool.blocks,
                  connection->dropping.answer); /* asked again before it was over */
    connection->dropping =
        (struct route_dropping){.going = true, .answer = answer, .answer_bytes = answer_bytes};
    drop_on(shard, connection);
}

void remotes_tell_step(struct shard *shard, struct route_connection *connection)
{
    ASSERT(connection->remote != ROUTE_NONE);
    if (connection->telling.all || connection->telling.changes)
        tell_on(shard, connection);
    if (connection->dropping.going && connection->state == ROUTE_CONNECTION_OPEN)
        drop_on(shard, connection);
}

/* ---- a reload ---- */

static bool permissions_changed(const struct shard *shard, const struct snapshot *before)
{
    return strcmp(shard->snapshot->options->cluster.permissions_digest,
                  before->options->cluster.permissions_digest) != 0;
}

/* The connections of a pool of another size are none of this one, and an account's own is not of any use when
 * it has no own one any more (routes.md 13). Closed here and now: interest is not to be told twice, on two
 * lines. */
static void lines_close(struct shard *shard, const struct snapshot *before)
{
    const struct cluster_pool *pool = &shard->snapshot->options->cluster.pool;
    const struct cluster_pool *old = &before->options->cluster.pool;
    for (struct list_link *at = list_first(&shard->remotes.routes), *next = NULL; at != NULL; at = next) {
        struct route_connection *connection = LIST_ELEMENT(at, struct route_connection, all);
        next = list_next(&shard->remotes.routes, at);
        if (connection->remote == ROUTE_NONE || !connection->pooled)
            continue;
        bool stays = connection->line < ROUTE_POOL_MAX
                         ? pool->size == old->size
                         : bytes_equal(cluster_pool_account(pool, connection->line),
                                       cluster_pool_account(old, connection->line));
        if (!stays)
            route_close(&connection->route, CLOSED_ROUTE_REMOVED, NULL);
    }
}

/* Those that are compressed go on in the new way, if both are one; the control core ends the others. */
static void compression_change(struct shard *shard)
{
    enum route_compression_mode mode =
        (enum route_compression_mode)shard->snapshot->options->cluster.compression.mode;
    for (struct list_link *at = list_first(&shard->remotes.routes); at != NULL;
         at = list_next(&shard->remotes.routes, at)) {
        struct route_connection *connection = LIST_ELEMENT(at, struct route_connection, all);
        if (connection->s2 != NULL && route_compression_on(mode))
            connection->s2->mode = mode;
    }
}

/* Whether accounts have gone, or are told of on another line. */
static bool accounts_moved(const struct shard *shard)
{
    for (uint32_t id = 0; id < shard->accounts.capacity; id++) {
        const struct shard_account *account = shard->accounts.by_id[id];
        if (account != NULL && account->before != NULL &&
            (account->host.configured == NULL || account->remotes.line != account->remotes.line_before))
            return true;
    }
    return false;
}

void remotes_reload_begin(struct shard *shard, struct snapshot *before)
{
    struct remotes *remotes = &shard->remotes;
    lines_close(shard, before);
    if (!route_compression_same(&shard->snapshot->options->cluster.compression,
                                &before->options->cluster.compression))
        compression_change(shard);
    bool changes = permissions_changed(shard, before) || accounts_moved(shard);
    ASSERT(remotes->before == NULL); /* the control core waits with the next reload */
    remotes->before = before;
    for (struct list_link *at = list_first(&remotes->routes); at != NULL;
         at = list_next(&remotes->routes, at)) {
        struct route_connection *connection = LIST_ELEMENT(at, struct route_connection, all);
        if (connection->remote == ROUTE_NONE || !changes)
            continue;
        connection->telling.changes = true;
        connection->telling.at = (struct route_walk){0};
        connection->dropping.going = true;
        connection->dropping.at = (struct route_walk){0};
    }
    remotes_reload_step(shard);
}

void remotes_reload_step(struct shard *shard)
{
    struct remotes *remotes = &shard->remotes;
    struct mail_snapshot released = {.kind = MAIL_SNAPSHOT_RELEASED, .snapshot = remotes->before};
    if (remotes->before == NULL)
        return;
    for (struct list_link *at = list_first(&remotes->routes); at != NULL;
         at = list_next(&remotes->routes, at)) {
        const struct route_connection *connection = LIST_ELEMENT(at, struct route_connection, all);
        if (route_walks(connection) && (connection->telling.changes || connection->dropping.going))
            return;
    }
    if (!shard_tell_control(shard, &released, sizeof released))
        return; /* the next turn tries again */
    for (uint32_t id = 0; id < shard->accounts.capacity; id++) {
        if (shard->accounts.by_id[id] != NULL)
            shard->accounts.by_id[id]->before = NULL;
    }
    remotes->before = NULL;
}
