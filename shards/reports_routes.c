/* shards/reports_routes.c - pages about routes: the figures of each, and what the server behind one wants;
 * see reports.h. The second walks the accounts' indexes of other servers' interest in steps (index_step()),
 * because an index changes between two pages: what is there all the time is told, what moves in the table
 * meanwhile perhaps twice. */
#include "core/security/account.h"
#include "core/subject/index.h"
#include "shards/reports_internal.h"
#include "shards/route_connection.h"
#include "shards/shard.h"

/* major: the lowest rid that has not been told. */
void reports_routes_page(struct answering *answering)
{
    struct list *routes = &answering->shard->remotes.routes;
    for (struct list_link *at = list_first(routes); at != NULL; at = list_next(routes, at)) {
        const struct route_connection *connection = LIST_ELEMENT(at, struct route_connection, all);
        const struct route *route = &connection->route;
        if (connection->remote == ROUTE_NONE || route->rid < answering->at.major)
            continue;
        struct report_route figures = {
            .rid = route->rid,
            .start_ns = route->start_ns,
            .last_activity_ns = route->last_activity_ns,
            .rtt_ns = route->rtt_ns,
            .in_messages = route->in_messages,
            .in_bytes = route->in_bytes,
            .out_messages = route->out_messages,
            .out_bytes = route->out_bytes,
            .pending_bytes = route->output.pending_bytes,
            .subscriptions = connection->subscription_count,
        };
        if (answering->items_left-- == 0 || !page_put(&answering->page, &figures, sizeof figures))
            return; /* new routes stand at the end of the list: rids go up */
        answering->at.major = route->rid + 1;
    }
    answering->at.major = UINT64_MAX;
}

/* Those of one step of the walk that are not told yet. */
struct telling {
    struct answering *answering;
    struct bytes account;
    uint32_t remote;
    uint64_t rid;
    uint64_t told; /* of this step, on the pages before too */
    uint64_t met;
    bool full;
};

static void put(struct telling *telling, struct bytes subject, struct bytes queue)
{
    struct bytes parts[] = {telling->account, subject, queue};
    size_t blanks = queue.count > 0 ? 2 : 1;
    struct report_subscription record = {
        .cid = telling->rid,
        .subject_count = (uint32_t)subject.count,
        .queue_count = (uint32_t)queue.count,
        .sid_count = (uint32_t)(telling->account.count + subject.count + queue.count + blanks),
    };
    struct report_record head = {.kind = REPORT_RECORD_SUBSCRIPTION};
    if (telling->met++ < telling->told || telling->full)
        return;
    head.bytes = (uint32_t)(sizeof head + sizeof record + subject.count + queue.count + record.sid_count);
    uint8_t *to = page_reserve(&telling->answering->page, head.bytes);
    if (to == NULL) {
        telling->full = true;
        return;
    }
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, &record, sizeof record);
    to += sizeof head + sizeof record;
    memcpy(to, subject.data, subject.count);
    to += subject.count;
    if (queue.count > 0)
        memcpy(to, queue.data, queue.count);
    to += queue.count;
    /* The sid, as nats-server has it: "account subject [queue]". */
    for (size_t i = 0; i < 1 + blanks; i++) {
        if (i > 0)
            *to++ = ' ';
        memcpy(to, parts[i].data, parts[i].count);
        to += parts[i].count;
    }
    telling->told++;
}

static void tell(void *context, struct interest *interest)
{
    struct telling *telling = context;
    struct bytes none = {NULL, 0};
    if (telling->answering->items_left > 0)
        telling->answering->items_left--;
    if ((interest->remote_shards >> telling->remote & 1) != 0)
        put(telling, interest_pattern(interest), none);
    for (const struct queue_group *group = interest->groups; group != NULL; group = group->next_in_interest) {
        if (queue_group_remote(group, telling->remote) > 0)
            put(telling, interest_pattern(interest), queue_group_name(group));
    }
}

static const struct route_connection *route_by_rid(struct shard *shard, uint64_t rid)
{
    struct list *routes = &shard->remotes.routes;
    for (struct list_link *at = list_first(routes); at != NULL; at = list_next(routes, at)) {
        const struct route_connection *connection = LIST_ELEMENT(at, struct route_connection, all);
        if (connection->route.rid == rid && connection->remote != ROUTE_NONE)
            return connection;
    }
    return NULL;
}

/* What it wants of one account. False: the page is full, or it has looked at enough. */
static bool tell_account(struct answering *answering, const struct shard_account *account,
                         const struct route_connection *connection)
{
    struct report_cursor *at = &answering->at;
    struct telling telling = {
        .answering = answering,
        .account = account->host.configured->name,
        .remote = connection->remote,
        .rid = connection->route.rid,
        .told = at->skip,
    };
    do {
        if (answering->items_left == 0)
            return false;
        answering->items_left--; /* empty places are looked at too */
        uint32_t next = index_step(account->remote, (uint32_t)at->minor, tell, &telling);
        if (telling.full) {
            at->skip = telling.told;
            return false;
        }
        at->minor = next;
        at->skip = telling.told = telling.met = 0;
    } while (at->minor != 0);
    return true;
}

/* major: the account, from 0; minor: where in its index; skip: so many of that place are told. */
void reports_route_subscriptions_page(struct answering *answering)
{
    struct shard *shard = answering->shard;
    const struct route_connection *connection = route_by_rid(shard, answering->query->cid);
    for (; connection != NULL && answering->at.major < shard->accounts.capacity; answering->at.major++) {
        const struct shard_account *account = shard->accounts.by_id[answering->at.major];
        if (answering->items_left == 0)
            return;
        answering->items_left--;
        if (account != NULL && account->host.configured != NULL && account->remote != NULL &&
            account->remotes.lines[connection->remote] == connection->line &&
            index_remote_count(account->remote, connection->remote) > 0 &&
            !tell_account(answering, account, connection))
            return;
    }
    answering->at.major = UINT64_MAX;
}
