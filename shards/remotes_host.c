/* shards/remotes_host.c - what routes ask of their shard, what the control core says of routes, and interest
 * in both directions; see remotes.h. */
#include "shards/remotes.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/security/permissions.h"
#include "net/route.h"
#include "shards/host.h"
#include "shards/mail.h"
#include "shards/route_connection.h"
#include "shards/route_tls.h"
#include "shards/router.h"
#include "shards/shard.h"

#include <string.h>

#define RETRY_NS (100 * 1000LL) /* how soon to look again for room in a full mailbox */

static struct shard *shard_of_route(const struct route *route)
{
    return shard_of(route->context);
}

/* ---- what other servers want ---- */

/* The first word of another server about an account. */
static bool remote_made(struct shard_account *account)
{
    if (account == NULL)
        return false;
    if (account->remotes.lines == NULL) {
        account->remotes.lines = memory_new(REMOTES_MAX);
        if (account->remotes.lines == NULL)
            return false;
        memset(account->remotes.lines, ROUTE_LINE_NONE, REMOTES_MAX);
    }
    if (account->remote == NULL)
        account->remote = index_new();
    return account->remote != NULL;
}

/* What a server says last decides over which line it gets what it wants (routes.md 13.3); with that line all
 * that it wants of the account goes. */
void remotes_interest_set(struct shard *shard, struct shard_account *account, uint32_t remote, uint8_t line,
                          struct bytes pattern, struct bytes queue, uint32_t weight)
{
    if (weight == 0 && account != NULL && (account->remote == NULL || account->remotes.lines[remote] != line))
        return;
    remotes_forget_rest(shard, account, remote);
    bool made = remote_made(account);
    bool tells = made && shard->gateways.inbound_count > 0;
    uint32_t before = tells ? index_wanted(account->remote, pattern, queue) : 0;
    if (made && weight > 0) {
        account->remotes.lines[remote] = line;
        account->remotes.up |= 1ULL << remote;
    }
    if (!made || index_remote_set(account->remote, pattern, queue, remote, weight) != ERR_OK)
        log_error(shard->context.log,
                  "No memory for another server's interest in \"%.*s\": it gets no such messages",
                  BYTES_PRINTF(pattern));
    else if (tells)
        gateways_tell(shard, account, pattern, queue, before, index_wanted(account->remote, pattern, queue),
                      index_wanted(account->index, pattern, queue));
}

static uint32_t wanted_count(const struct shard_account *account, uint32_t remote)
{
    return account->remote == NULL ? 0 : index_remote_count(account->remote, remote);
}

uint64_t remotes_subscriptions(const struct shard *shard, const struct shard_account *account)
{
    uint64_t count = 0;
    if (account->remote == NULL || shard->remotes.own_count == 0)
        return 0;
    for (uint64_t left = account->remotes.up; left != 0; left &= left - 1) {
        uint32_t remote = (uint32_t)__builtin_ctzll(left);
        const struct remote_line *line = &shard->remotes.all[remote].lines[account->remotes.lines[remote]];
        count += line->own != NULL ? index_remote_count(account->remote, remote) : 0;
    }
    return count;
}

static uint32_t interest_record_bytes(size_t texts)
{
    size_t bytes = sizeof(struct mail_remote_interest) + texts;
    return bytes <= MAILBOX_RECORD_BYTES_MAX ? (uint32_t)bytes
                                             : (uint32_t)sizeof(struct mail_remote_interest);
}

/* Tells the other shards, if all of their mailboxes have room. */
enum route_host_result remotes_interest_mail(struct shard *shard, const struct mail_remote_interest *wanted,
                                             struct bytes pattern, struct bytes queue)
{
    struct mail_remote_interest header = *wanted;
    uint32_t bytes = interest_record_bytes(pattern.count + queue.count);
    bool in_block = bytes == sizeof header && pattern.count + queue.count > 0;
    for (uint32_t to = 0; to < shard->shard_count; to++) {
        if (to != shard->post.self && !mailbox_has_room_for(post_box(&shard->post, to), bytes, 1))
            return ROUTE_HOST_FULL;
    }
    if (in_block) {
        header.block = block_take(&shard->context.pool.blocks, pattern.count + queue.count);
        if (header.block == NULL)
            return ROUTE_HOST_MEMORY;
        if (pattern.count > 0)
            memcpy(header.block->bytes, pattern.data, pattern.count);
        if (queue.count > 0)
            memcpy(header.block->bytes + pattern.count, queue.data, queue.count);
    }
    for (uint32_t to = 0; to < shard->shard_count; to++) {
        if (to == shard->post.self)
            continue;
        uint8_t *record = post_reserve(&shard->post, to, bytes, false);
        ASSERT(record != NULL);
        if (in_block)
            (void)block_hold(header.block);
        memcpy(record, &header, sizeof header);
        if (!in_block) {
            if (pattern.count > 0)
                memcpy(record + sizeof header, pattern.data, pattern.count);
            if (queue.count > 0)
                memcpy(record + sizeof header + pattern.count, queue.data, queue.count);
        }
        post_commit(&shard->post, to, bytes);
    }
    block_release(&shard->context.pool.blocks, header.block);
    return ROUTE_HOST_DONE;
}

void remotes_interest_read(const uint8_t *mail, struct mail_remote_interest *header, struct bytes *pattern,
                           struct bytes *queue)
{
    memcpy(header, mail, sizeof *header);
    const uint8_t *at = header->block != NULL ? header->block->bytes : mail + sizeof *header;
    *pattern = bytes_of(at, header->pattern_count);
    *queue = bytes_of(at + header->pattern_count, header->queue_count);
}

void remotes_mail_interest(struct shard *shard, const uint8_t *mail, uint32_t bytes)
{
    struct mail_remote_interest header;
    struct bytes pattern, queue;
    ASSERT(bytes >= sizeof header);
    remotes_interest_read(mail, &header, &pattern, &queue);
    remotes_interest_set(shard, accounts_get(shard, header.account), header.remote, header.line, pattern,
                         queue, header.weight);
    block_release(&shard->context.pool.blocks, header.block);
}

/* The account of that name, which a route mostly asks for again and again; NULL: not configured here. */
struct shard_account *remotes_account_named(struct shard *shard, struct route_connection *connection,
                                            struct bytes name)
{
    uint32_t hash = (uint32_t)name.count;
    for (size_t i = 0; i < name.count; i++)
        hash = hash * 31 + name.data[i];
    if (connection->line >= ROUTE_POOL_MAX)
        name = cluster_pool_account(&shard->snapshot->options->cluster.pool, connection->line);
    struct shard_account **known = &connection->accounts[hash % ROUTE_ACCOUNTS_KNOWN];
    if (LIKELY(*known != NULL && (*known)->host.configured != NULL &&
               bytes_equal_short((*known)->host.configured->name, name)))
        return *known;
    const struct security_account *configured =
        security_account_find(&shard->context.security->accounts, name);
    *known = configured == NULL ? NULL : accounts_get(shard, configured->id);
    return *known;
}

enum route_host_result remotes_account_wanted(struct shard *shard, struct route_connection *connection,
                                              struct bytes name, struct shard_account **account)
{
    *account = remotes_account_named(shard, connection, name);
    if (LIKELY(*account != NULL))
        return ROUTE_HOST_DONE;
    if (connection->line >= ROUTE_POOL_MAX)
        name = cluster_pool_account(&shard->snapshot->options->cluster.pool, connection->line);
    return account_names_find(shard, name, account);
}

static enum route_host_result host_interest(struct route *route, const struct route_operation *operation,
                                            uint32_t weight)
{
    struct shard *shard = shard_of_route(route);
    struct route_connection *connection = route_connection_of(route);
    struct shard_account *account;
    enum route_host_result known = remotes_account_wanted(shard, connection, operation->account, &account);
    if (known != ROUTE_HOST_DONE)
        return known;
    if (account == NULL) {
        log_debug(shard->context.log, "Unknown account \"%.*s\" for remote subject \"%.*s\"",
                  BYTES_PRINTF(operation->account), BYTES_PRINTF(operation->subject));
        return ROUTE_HOST_DONE;
    }
    if (!remotes_may_export(shard, operation->subject)) {
        log_debug(shard->context.log, "Can not export \"%.*s\", ignoring remote subscription request",
                  BYTES_PRINTF(operation->subject));
        return ROUTE_HOST_DONE;
    }
    if (operation->subject.count > UINT16_MAX || operation->queue.count > UINT16_MAX)
        return ROUTE_HOST_DONE; /* longer than anything that can be published */
    struct mail_remote_interest mail = {
        .kind = MAIL_REMOTE_INTEREST,
        .remote = connection->remote,
        .line = connection->line,
        .pattern_count = (uint32_t)operation->subject.count,
        .queue_count = (uint32_t)operation->queue.count,
        .weight = weight,
        .account = account->id,
    };
    enum route_host_result result = remotes_interest_mail(shard, &mail, operation->subject, operation->queue);
    if (result == ROUTE_HOST_DONE) {
        if (weight > 0)
            remotes_forget_rest(shard, account, connection->remote);
        uint32_t before = wanted_count(account, connection->remote);
        remotes_interest_set(shard, account, connection->remote, connection->line, operation->subject,
                             operation->queue, weight);
        connection->subscription_count += wanted_count(account, connection->remote) - (uint64_t)before;
    }
    return result;
}

/* ---- what a route asks for ---- */

static enum route_host_result host_said(struct route *route, enum route_said said, struct bytes json)
{
    struct shard *shard = shard_of_route(route);
    struct mail_route_said mail = {
        .kind = MAIL_ROUTE_SAID, .said = (uint8_t)said, .rid = route->rid, .count = (uint32_t)json.count};
    if (said == ROUTE_SAID_CONNECT)
        mail.certified = route_tls_certified(shard, route_connection_of(route));
    mail.block = block_take(&shard->context.pool.blocks, json.count);
    if (mail.block == NULL)
        return ROUTE_HOST_MEMORY;
    memcpy(mail.block->bytes, json.data, json.count);
    uint8_t *record = post_reserve(&shard->post, shard->shard_count, sizeof mail, false);
    if (record == NULL) {
        block_release(&shard->context.pool.blocks, mail.block);
        return ROUTE_HOST_FULL;
    }
    memcpy(record, &mail, sizeof mail);
    post_commit(&shard->post, shard->shard_count, sizeof mail);
    return ROUTE_HOST_DONE;
}

static enum route_host_result host_publish(struct route *route, const struct route_operation *operation,
                                           uint32_t *done)
{
    struct shard *shard = shard_of_route(route);
    struct shard_account *account =
        remotes_account_named(shard, route_connection_of(route), operation->account);
    *done = message_count(&operation->message);
    if (account == NULL)
        return ROUTE_HOST_DONE;
    struct message message = operation->message;
    replies_mark(&message);
    bool mapped = UNLIKELY(shard->gateways.matches != NULL) && gateway_reply_is(message.subject);
    if (UNLIKELY(mapped || message.mapped_reply ||
                 message.measured_reply)) { /* each is looked at by itself */
        message = message_first(&message, 1);
        *done = 1;
    }
    switch (mapped ? gateway_replies_take(shard, account, &message, false)
                   : router_publish_routed(shard, account, &message, operation->queues, done)) {
    case HOST_DONE:
    case HOST_NOBODY:
    case HOST_MEMORY: /* it is lost to those that it could not be matched for */
        break;
    case HOST_FULL:
        return ROUTE_HOST_FULL;
    }
    account->routes.in_messages += *done;
    account->routes.in_bytes += (uint64_t)*done * operation->message.total_bytes;
    if (UNLIKELY(shard->expired_count > 0))
        shard_remove_expired(shard);
    return ROUTE_HOST_DONE;
}

static void host_output_ready(struct route *route)
{
    struct route_connection *connection = route_connection_of(route);
    if (!list_linked(&connection->with_output))
        list_push_last(&shard_of_route(route)->remotes.with_output, &connection->with_output);
}

static void host_closing(struct route *route, bool flush)
{
    route_connection_closing(shard_of_route(route), route_connection_of(route), flush);
}

static void host_stall(struct route *route, const struct publisher_place *place, int64_t stall_ns)
{
    shard_host()->stall(route->context, place, stall_ns);
}

static const struct route_host operations = {
    .said = host_said,
    .interest = host_interest,
    .publish = host_publish,
    .output_ready = host_output_ready,
    .closing = host_closing,
    .stall = host_stall,
};

const struct route_host *remotes_host(void)
{
    return &operations;
}

/* ---- what the control core says ---- */

static struct route_connection *connection_by_rid(struct shard *shard, uint64_t rid)
{
    for (struct list_link *at = list_first(&shard->remotes.routes); at != NULL;
         at = list_next(&shard->remotes.routes, at)) {
        struct route_connection *connection = LIST_ELEMENT(at, struct route_connection, all);
        if (connection->route.rid == rid)
            return connection;
    }
    return NULL;
}

static bool closed_tell(struct shard *shard, uint64_t rid, uint8_t reason)
{
    struct mail_route_closed mail = {.kind = MAIL_ROUTE_CLOSED, .reason = reason, .rid = rid};
    uint8_t *record = post_reserve(&shard->post, shard->shard_count, sizeof mail, true);
    if (record == NULL)
        return false;
    memcpy(record, &mail, sizeof mail);
    post_commit(&shard->post, shard->shard_count, sizeof mail);
    return true;
}

void remotes_mail_route(struct shard *shard, const uint8_t *bytes)
{
    struct mail_route mail;
    memcpy(&mail, bytes, sizeof mail);
    if (route_connection_new(shard, &mail) == NULL) {
        log_error(shard->context.log, "%s:%u - rid:%llu - no memory for a route", mail.address, mail.port,
                  (unsigned long long)mail.rid);
        if (shard->remotes.unmade_count < REMOTES_MAX) /* beyond, they are thought to be there */
            shard->remotes.unmade[shard->remotes.unmade_count++] = mail.rid;
    }
}

static void unmade_tell(struct shard *shard)
{
    struct remotes *remotes = &shard->remotes;
    while (remotes->unmade_count > 0 &&
           closed_tell(shard, remotes->unmade[remotes->unmade_count - 1], CLOSED_READ_ERROR))
        remotes->unmade_count--;
}

void remotes_mail_peer_checked(struct shard *shard, uint64_t rid, bool good)
{
    struct route_connection *connection = connection_by_rid(shard, rid);
    if (connection != NULL)
        route_tls_peer_checked(shard, connection, good);
}

void remotes_mail_answer(struct shard *shard, const uint8_t *bytes)
{
    struct mail_route_answer mail;
    memcpy(&mail, bytes, sizeof mail);
    struct route_connection *connection = connection_by_rid(shard, mail.rid);
    if (connection == NULL || connection->state != ROUTE_CONNECTION_OPEN)
        return;
    struct route_answer answer = {
        .close = mail.close,
        .registers = mail.registers,
        .headers = mail.headers,
        .dedicated = mail.registers && mail.line >= ROUTE_POOL_MAX,
        .reason = (enum closed_reason)mail.reason,
        .error = mail.error,
    };
    route_answered(&connection->route, &answer);
    if (connection->state != ROUTE_CONNECTION_OPEN)
        return;
    if (mail.compression != 0)
        route_connection_compress(shard, connection, mail.compression);
    if (connection->state != ROUTE_CONNECTION_OPEN)
        return;
    if (mail.registers && connection->route.kind == ROUTE_OF_GATEWAY) {
        gateways_registered(shard, connection, mail.remote);
    } else if (mail.registers) {
        connection->remote = mail.remote;
        connection->line = mail.line;
        connection->pooled = mail.pooled;
        memcpy(shard->remotes.all[mail.remote].hash, mail.hash, sizeof mail.hash);
        shard->remotes.all[mail.remote].lines[mail.line] =
            (struct remote_line){.shard = shard->post.self, .up = true, .own = connection};
        shard->remotes.own_count++;
        connection->waits_for_forgetting = remotes_forgetting(shard, mail.remote);
        remotes_tell_all(shard, connection);
    } else if (mail.retells) {
        remotes_tell_again(shard, connection);
    }
    route_connection_resume(shard, connection);
}

void remotes_mail_bytes(struct shard *shard, const uint8_t *bytes)
{
    struct mail_route_bytes mail;
    memcpy(&mail, bytes, sizeof mail);
    struct route_connection *connection = connection_by_rid(shard, mail.rid);
    if (connection != NULL && mail.moves && connection->remote != ROUTE_NONE) {
        remotes_drop_moving(shard, connection, mail.block, mail.count);
        return;
    }
    if (connection != NULL)
        route_write(&connection->route, bytes_of(mail.block->bytes, mail.count));
    block_release(&shard->context.pool.blocks, mail.block);
}

void remotes_mail_remote(struct shard *shard, const uint8_t *bytes)
{
    struct mail_remote mail;
    memcpy(&mail, bytes, sizeof mail);
    shard->remotes.all[mail.remote].lines[mail.line] =
        (struct remote_line){.shard = mail.shard, .up = mail.change == REMOTE_LINE_UP};
    if (mail.change != REMOTE_LINE_GONE)
        memcpy(shard->remotes.all[mail.remote].hash, mail.hash, sizeof mail.hash);
    if (mail.change == REMOTE_LINE_GONE)
        remotes_forget(shard, mail.remote, mail.line);
}

void remotes_route_closed(struct shard *shard, struct route_connection *connection)
{
    connection->told = closed_tell(shard, connection->route.rid, connection->route.closed_reason);
    connection->waits_for_forgetting = false;
    gateways_connection_closed(shard, connection);
    if (connection->remote == ROUTE_NONE)
        return;
    for (uint32_t id = 0; id < shard->accounts.capacity; id++) {
        struct shard_account *account = shard->accounts.by_id[id];
        if (account != NULL && account->remotes.lines != NULL &&
            account->remotes.lines[connection->remote] == connection->line)
            account->remotes.up &= ~(1ULL << connection->remote);
    }
    shard->remotes.all[connection->remote].lines[connection->line] =
        (struct remote_line){.shard = shard->post.self};
    shard->remotes.own_count--;
    connection->remote = ROUTE_NONE;
}

void remotes_account_set(struct shard *shard, struct shard_account *account)
{
    const struct security_account *configured = account->host.configured;
    account->remotes.line_before = account->remotes.line;
    if (configured != NULL)
        account->remotes.line = cluster_pool_line(&shard->snapshot->options->cluster.pool, configured->name);
}

void remotes_snapshot_use(struct shard *shard)
{
    for (struct list_link *at = list_first(&shard->remotes.routes); at != NULL;
         at = list_next(&shard->remotes.routes, at)) {
        struct route_connection *connection = LIST_ELEMENT(at, struct route_connection, all);
        memset(connection->accounts, 0, sizeof connection->accounts);
        route_connection_options_use(shard, connection);
        gateways_unknown_free(connection->gateway_unknown);
        connection->gateway_unknown = NULL;
    }
}

/* ---- the turn ---- */

/* Until nothing is left here of who had the peer's number before, it is not read from. */
static bool still_forgetting(const struct shard *shard, struct route_connection *connection)
{
    connection->waits_for_forgetting = connection->route.kind == ROUTE_OF_GATEWAY
                                           ? gateways_forgetting(shard, connection->gateway)
                                           : remotes_forgetting(shard, connection->remote);
    return connection->waits_for_forgetting;
}

void remotes_step(struct shard *shard)
{
    struct list_link *last = shard->remotes.full.ends.previous;
    unmade_tell(shard);
    remotes_forget_on(shard);
    gateways_forget_on(shard);
    for (bool more = !list_empty(&shard->remotes.full); more && !list_empty(&shard->remotes.full);) {
        struct list_link *at = list_first(&shard->remotes.full);
        more = at != last;
        route_connection_resume(shard, LIST_ELEMENT(at, struct route_connection, waiting));
    }
    for (struct list_link *at = list_first(&shard->remotes.routes), *next = NULL; at != NULL; at = next) {
        next = list_next(&shard->remotes.routes, at);
        struct route_connection *connection = LIST_ELEMENT(at, struct route_connection, all);
        if (connection->route.state == ROUTE_CLOSED && !connection->told)
            connection->told = closed_tell(shard, connection->route.rid, connection->route.closed_reason);
        if (connection->waits_for_forgetting && !still_forgetting(shard, connection))
            route_connection_resume(shard, connection);
        if (route_walks(connection)) {
            if (connection->gateway_telling.going)
                gateways_tell_on(shard, connection);
            else
                remotes_tell_step(shard, connection);
            route_connection_resume(shard, connection);
        }
        route_connection_step(shard, connection);
    }
    remotes_reload_step(shard);
}

void remotes_send(struct shard *shard)
{
    for (struct list_link *at; (at = list_first(&shard->remotes.with_output)) != NULL;) {
        list_remove(at);
        route_connection_send(shard, LIST_ELEMENT(at, struct route_connection, with_output));
    }
}

void remotes_stop(struct shard *shard)
{
    for (struct list_link *at = list_first(&shard->remotes.routes), *next = NULL; at != NULL; at = next) {
        next = list_next(&shard->remotes.routes, at);
        route_close(&LIST_ELEMENT(at, struct route_connection, all)->route, CLOSED_SERVER_SHUTDOWN, NULL);
    }
}

int64_t remotes_due_ns(const struct shard *shard)
{
    const struct remotes *remotes = &shard->remotes;
    int64_t due_ns = INT64_MAX;
    if (remotes->leaving.count > 0 || shard->gateways.leaving.count > 0)
        return shard->context.now_ns;
    if (remotes->unmade_count > 0 || remotes->before != NULL)
        due_ns = shard->context.now_ns + RETRY_NS;
    if (list_empty(&remotes->routes))
        return due_ns;
    if (!list_empty(&remotes->with_output))
        return shard->context.now_ns;
    if (!list_empty(&remotes->full))
        due_ns = shard->context.now_ns + RETRY_NS;
    for (struct list_link *at = list_first(&remotes->routes); at != NULL;
         at = list_next(&remotes->routes, at)) {
        const struct route_connection *connection = LIST_ELEMENT(at, struct route_connection, all);
        int64_t late_ns = connection->send_started_ns + connection->write_deadline_ns;
        if (connection->send.in_flight != 0 && late_ns < due_ns)
            due_ns = late_ns;
        if (route_walks(connection))
            return shard->context.now_ns;
        if (connection->state == ROUTE_CONNECTION_ENDING && shard->context.now_ns + RETRY_NS < due_ns)
            due_ns = shard->context.now_ns + RETRY_NS;
    }
    return due_ns;
}

void remotes_close(struct shard *shard)
{
    for (struct list_link *at;
         shard->remotes.routes.ends.next != NULL && (at = list_first(&shard->remotes.routes)) != NULL;)
        route_connection_abandon(shard, LIST_ELEMENT(at, struct route_connection, all));
    match_cache_free(shard->remotes.matches);
    memory_free(shard->remotes.all);
    shard->remotes.all = NULL;
    shard->remotes.matches = NULL;
}
