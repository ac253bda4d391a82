/* shards/gateways_host.c - what gateway connections ask of their shard, and what the control core says of
 * them; see gateways.h. */
#include "shards/gateways.h"

#include "core/base/arena.h"
#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/codec/base64.h"
#include "net/route_info.h"
#include "shards/mail.h"
#include "shards/route_connection.h"
#include "shards/router.h"
#include "shards/shard.h"

#include <stdio.h>

enum { ACCOUNT_BYTES = 1024, UNKNOWN_LINE_BYTES = 1200 };

/* Accounts of which the peer was told that they do not exist. */
struct gateway_unknown {
    struct arena arena;
    uint32_t count;
    struct bytes names[GATEWAY_UNKNOWN_MAX];
};

void gateways_unknown_free(struct gateway_unknown *unknown)
{
    if (unknown != NULL)
        arena_close(&unknown->arena);
    memory_free(unknown);
}

/* ---- what a cluster wants ---- */

/* Takes over a change, on all shards, if all of their mailboxes have room. */
static enum route_host_result change(struct route *route, struct shard_account *account,
                                     enum gateway_change what, struct bytes pattern, struct bytes queue)
{
    struct shard *shard = shard_of(route->context);
    struct mail_remote_interest mail = {
        .kind = MAIL_GATEWAY_INTEREST,
        .remote = route_connection_of(route)->gateway,
        .pattern_count = (uint32_t)pattern.count,
        .queue_count = (uint32_t)queue.count,
        .weight = what,
        .account = account->id,
    };
    enum route_host_result result = remotes_interest_mail(shard, &mail, pattern, queue);
    if (result == ROUTE_HOST_DONE)
        gateways_change(shard, account, mail.remote, what, pattern, queue);
    return result;
}

static enum route_host_result host_interest(struct route *route, const struct route_operation *operation,
                                            uint32_t weight)
{
    struct shard *shard = shard_of(route->context);
    struct shard_account *account;
    if (operation->subject.count > UINT16_MAX || operation->queue.count > UINT16_MAX)
        return ROUTE_HOST_DONE; /* nobody here can publish there */
    enum route_host_result known =
        remotes_account_wanted(shard, route_connection_of(route), operation->account, &account);
    if (known != ROUTE_HOST_DONE || account == NULL)
        return known;
    return change(route, account, weight > 0 ? GATEWAY_WANTS : GATEWAY_UNWANTS, operation->subject,
                  operation->queue);
}

static enum route_host_result host_account(struct route *route, struct bytes name, bool wanted)
{
    struct bytes none = {NULL, 0};
    struct shard *shard = shard_of(route->context);
    struct shard_account *account;
    enum route_host_result known = remotes_account_wanted(shard, route_connection_of(route), name, &account);
    return known != ROUTE_HOST_DONE || account == NULL
               ? known
               : change(route, account, wanted ? GATEWAY_ACCOUNT : GATEWAY_NO_ACCOUNT, none, none);
}

/* INFO command 2 or 3. */
static enum route_host_result list_command(struct route *route, const struct route_info *info)
{
    struct bytes none = {NULL, 0};
    uint8_t name[ACCOUNT_BYTES];
    char prefix[ROUTE_PREFIX_BYTES];
    struct shard *shard = shard_of(route->context);
    bool begins = info->gateway_command == GATEWAY_COMMAND_LIST_BEGINS;
    size_t count = base64_standard_decode(name, sizeof name, info->gateway_payload);
    if (count == 0) {
        route_close(route, CLOSED_PROTOCOL_VIOLATION,
                    begins ? "Account absent from receive-all-subscriptions-start command"
                           : "Account absent from receive-all-subscriptions-complete command");
        return ROUTE_HOST_SETTLED;
    }
    struct shard_account *account;
    enum route_host_result result =
        remotes_account_wanted(shard, route_connection_of(route), bytes_of(name, count), &account);
    result = result != ROUTE_HOST_DONE || account == NULL
                 ? result
                 : change(route, account, begins ? GATEWAY_LIST_BEGINS : GATEWAY_LIST_ENDS, none, none);
    if (result != ROUTE_HOST_DONE)
        return result;
    log_debug(shard->context.log, "%s - Gateway \"%.*s\": switching account \"%.*s\" to Interest-Only mode%s",
              route_prefix(route, prefix, sizeof prefix), BYTES_PRINTF(info->gateway), (int)count,
              (const char *)name, begins ? "" : " complete");
    return ROUTE_HOST_SETTLED;
}

static enum route_host_result host_said(struct route *route, enum route_said said, struct bytes json)
{
    struct json_document document = {0};
    struct route_info info = {0};
    enum route_host_result result = ROUTE_HOST_SETTLED;
    char prefix[ROUTE_PREFIX_BYTES];
    bool command = said == ROUTE_SAID_INFO && route->solicited && route->state == ROUTE_REGISTERED;
    if (!command)
        return remotes_host()->said(route, said, json);
    if (route_info_read(&document, json, &info) != ERR_OK)
        route_close(route, CLOSED_PROTOCOL_VIOLATION, NULL);
    else if (info.gateway_command == GATEWAY_COMMAND_LIST_BEGINS ||
             info.gateway_command == GATEWAY_COMMAND_LIST_ENDS)
        result = list_command(route, &info);
    else if (info.gateway_command == GATEWAY_COMMAND_NONE || info.gateway_command == GATEWAY_COMMAND_GOSSIP)
        result = remotes_host()->said(route, said, json);
    else
        log_warning(route->context->log, "%s - Received unknown command %lld from gateway \"%.*s\"",
                    route_prefix(route, prefix, sizeof prefix), (long long)info.gateway_command,
                    BYTES_PRINTF(info.gateway));
    json_close(&document);
    return result;
}

/* ---- messages in ---- */

/* The peer need not send more for this account, and is told so once. */
static void tell_unknown(struct route *route, const struct route_operation *operation)
{
    struct route_connection *connection = route_connection_of(route);
    struct gateway_unknown *unknown = connection->gateway_unknown;
    char line[UNKNOWN_LINE_BYTES], prefix[ROUTE_PREFIX_BYTES];
    struct bytes account = operation->account;
    log_debug(route->context->log, "%s - Unknown account \"%.*s\" for gateway message on subject: \"%.*s\"",
              route_prefix(route, prefix, sizeof prefix), BYTES_PRINTF(account),
              BYTES_PRINTF(operation->subject));
    for (uint32_t i = 0; unknown != NULL && i < unknown->count; i++) {
        if (bytes_equal(unknown->names[i], account))
            return;
    }
    if (unknown == NULL)
        unknown = connection->gateway_unknown = memory_new(sizeof *unknown);
    if (unknown == NULL || unknown->count == GATEWAY_UNKNOWN_MAX || account.count > ACCOUNT_BYTES)
        return;
    const char *copy = arena_copy(&unknown->arena, account);
    if (copy == NULL)
        return;
    unknown->names[unknown->count++] = bytes_of(copy, account.count);
    int count = snprintf(line, sizeof line, "A- %.*s\r\n", BYTES_PRINTF(account));
    route_write(route, bytes_of(line, (size_t)count));
}

static enum route_host_result host_publish(struct route *route, const struct route_operation *operation,
                                           uint32_t *done)
{
    struct shard *shard = shard_of(route->context);
    struct message message = operation->message;
    struct shard_account *account =
        remotes_account_named(shard, route_connection_of(route), operation->account);
    bool mapped = gateway_reply_is(message.subject);
    *done = 1; /* a gateway's parser makes no runs */
    if (account == NULL) {
        tell_unknown(route, operation);
        return ROUTE_HOST_DONE;
    }
    replies_mark(&message);
    message.way = MESSAGE_FROM_GATEWAY;
    message.queues = operation->queues;
    enum host_result result = mapped ? gateway_replies_take(shard, account, &operation->message, true)
                                     : router_publish_gateway(shard, account, &message);
    if (result == HOST_FULL)
        return ROUTE_HOST_FULL;
    account->gateways.in_messages++;
    account->gateways.in_bytes += operation->message.total_bytes;
    if (UNLIKELY(shard->expired_count > 0))
        shard_remove_expired(shard);
    return ROUTE_HOST_DONE; /* without memory it is lost to those that it could not be matched for */
}

/* ---- round trips ---- */

static void order_by_rtt(struct gateways *gateways)
{
    gateways->count = 0;
    for (uint64_t left = gateways->up; left != 0; left &= left - 1) {
        uint8_t number = (uint8_t)__builtin_ctzll(left);
        uint32_t at = gateways->count++;
        for (; at > 0 && gateways->all[gateways->order[at - 1]].rtt_ns > gateways->all[number].rtt_ns; at--)
            gateways->order[at] = gateways->order[at - 1];
        gateways->order[at] = number;
    }
}

void gateways_mail_rtt(struct shard *shard, const uint8_t *bytes)
{
    struct mail_gateway_rtt mail;
    memcpy(&mail, bytes, sizeof mail);
    struct gateway *gateway = &shard->gateways.all[mail.number];
    if (gateway->rid != mail.rid)
        return; /* of the one before */
    gateway->rtt_ns = mail.rtt_ns;
    order_by_rtt(&shard->gateways);
}

/* A shard whose mailbox is full orders by what it knew. */
static void host_measured(struct route *route)
{
    struct shard *shard = shard_of(route->context);
    struct route_connection *connection = route_connection_of(route);
    if (connection->gateway == ROUTE_NONE)
        return;
    struct mail_gateway_rtt mail = {
        .kind = MAIL_GATEWAY_RTT, .number = connection->gateway, .rid = route->rid, .rtt_ns = route->rtt_ns};
    for (uint32_t to = 0; to < shard->shard_count; to++) {
        uint8_t *record = to == shard->post.self ? NULL : post_reserve(&shard->post, to, sizeof mail, false);
        if (record == NULL)
            continue;
        memcpy(record, &mail, sizeof mail);
        post_commit(&shard->post, to, sizeof mail);
    }
    gateways_mail_rtt(shard, (const uint8_t *)&mail);
}

/* ---- connections ---- */

static void host_output_ready(struct route *route)
{
    remotes_host()->output_ready(route);
}

static void host_closing(struct route *route, bool flush)
{
    remotes_host()->closing(route, flush);
}

static void host_stall(struct route *route, const struct publisher_place *place, int64_t stall_ns)
{
    remotes_host()->stall(route, place, stall_ns);
}

static const struct route_host operations = {
    .said = host_said,
    .interest = host_interest,
    .publish = host_publish,
    .output_ready = host_output_ready,
    .closing = host_closing,
    .stall = host_stall,
    .account = host_account,
    .measured = host_measured,
};

const struct route_host *gateways_host(void)
{
    return &operations;
}

void gateways_mail_gateway(struct shard *shard, const uint8_t *bytes)
{
    struct mail_gateway mail;
    struct gateways *gateways = &shard->gateways;
    memcpy(&mail, bytes, sizeof mail);
    uint64_t bit = 1ULL << mail.number;
    gateways->up &= ~bit;
    gateways->lists &= ~bit;
    gateways->all[mail.number] = (struct gateway){0};
    if (mail.up) {
        gateways->all[mail.number].rid = mail.rid;
        gateways->all[mail.number].shard = mail.shard;
        memcpy(gateways->all[mail.number].hash, mail.hash, sizeof mail.hash);
        gateways->up |= bit;
        gateways->lists |= mail.lists ? bit : 0;
    } else {
        gateways_forget(shard, mail.number);
    }
    order_by_rtt(gateways);
}

void gateways_registered(struct shard *shard, struct route_connection *connection, uint32_t number)
{
    if (connection->route.solicited) {
        connection->gateway = (uint8_t)number;
        connection->waits_for_forgetting = gateways_forgetting(shard, number);
        shard->gateways.all[number].own = connection;
        return;
    }
    connection->gateway_inbound = true;
    shard->gateways.inbound_count++;
    gateways_tell_all(shard, connection);
}

void gateways_connection_closed(struct shard *shard, struct route_connection *connection)
{
    struct gateways *gateways = &shard->gateways;
    if (connection->gateway_inbound)
        gateways->inbound_count--;
    connection->gateway_inbound = false;
    connection->gateway_telling = (struct gateway_telling){0};
    if (connection->gateway == ROUTE_NONE)
        return;
    gateways->up &= ~(1ULL << connection->gateway);
    gateways->all[connection->gateway].own = NULL;
    connection->gateway = ROUTE_NONE;
    order_by_rtt(gateways);
}
