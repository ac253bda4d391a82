/* shards/control/cluster_members.c - what routes say, and what follows: who becomes a member, under which
 * name, who is told of whom (spec/routes.md 5.2, 6, 7, 8). */
#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/security/password.h"
#include "net/route_host.h"
#include "shards/control/cluster_internal.h"
#include "shards/control/control_internal.h"
#include "shards/mail.h"

#include <stdio.h>
#include <string.h>

static void go_on(struct control *control, const struct cluster_route *route)
{
    struct mail_route_answer mail = {.kind = MAIL_ROUTE_ANSWER, .rid = route->rid};
    if (!control_tell(control, route->shard, &mail, sizeof mail))
        log_error(control->log, "rid:%llu - no room to answer this route: it waits for ever",
                  (unsigned long long)route->rid);
}

/* ---- the cluster's name (routes.md 7.2) ---- */

/* Takes another name: routes under the old one end. */
static void name_adopt(struct control *control, const struct cluster_route *but, struct bytes name,
                       bool dynamic)
{
    struct cluster *cluster = &control->cluster;
    snprintf(cluster->name, sizeof cluster->name, "%.*s", BYTES_PRINTF(name));
    cluster->dynamic = dynamic;
    log_notice(control->log, "Cluster name updated to %s", cluster->name);
    cluster_urls_tell(control);
    for (struct list_link *at = list_first(&cluster->routes); at != NULL;
         at = list_next(&cluster->routes, at)) {
        struct cluster_route *route = LIST_ELEMENT(at, struct cluster_route, all);
        if (route != but)
            cluster_route_end(control, route, CLOSED_CLUSTER_NAME_CONFLICT, NULL);
    }
}

/* Whether two names are one, maybe because ours has just changed. */
static bool name_settled(struct control *control, const struct cluster_route *route, struct bytes theirs,
                         bool dynamic)
{
    struct cluster *cluster = &control->cluster;
    struct bytes mine = text(cluster->name);
    if (bytes_equal(mine, theirs))
        return true;
    size_t common = mine.count < theirs.count ? mine.count : theirs.count;
    int order = common == 0 ? 0 : memcmp(mine.data, theirs.data, common);
    bool greater = order < 0 || (order == 0 && mine.count < theirs.count);
    if (!cluster->dynamic || (dynamic && !greater) || theirs.count == 0 || theirs.count >= CLUSTER_NAME_BYTES)
        return false;
    name_adopt(control, route, theirs, dynamic);
    return true;
}

/* ---- CONNECT ---- */

/* The login was good, or none is asked for. */
static void connect_settled(struct control *control, struct cluster_route *route)
{
    char error[MAIL_ERROR_BYTES];
    struct route_connect *connect = &route->connect;
    if (!name_settled(control, route, connect->cluster, connect->cluster_dynamic)) {
        struct bytes mine = text(control->cluster.name);
        snprintf(error, sizeof error, "Rejecting connection, cluster name \"%.*s\" does not match \"%.*s\"",
                 BYTES_PRINTF(connect->cluster), BYTES_PRINTF(mine));
        cluster_route_end(control, route, CLOSED_CLUSTER_NAME_CONFLICT, error);
    } else {
        go_on(control, route);
    }
    json_close(&route->document);
    route->connect = (struct route_connect){0};
}

static void login_failed(struct control *control, struct cluster_route *route)
{
    cluster_route_end(control, route, CLOSED_AUTHENTICATION_FAILURE, "Authorization Violation");
    json_close(&route->document);
    route->connect = (struct route_connect){0};
}

/* A hash is the worker's to check. */
static void password_ask(struct control *control, struct cluster_route *route, struct bytes stored)
{
    struct block_pool none = {0};
    struct bytes given = route->connect.password;
    struct mail_password mail = {
        .kind = MAIL_PASSWORD,
        .stored_count = (uint16_t)stored.count,
        .given_count = (uint32_t)given.count,
        .place = {.cid = route->rid, .shard = control->shard_count},
        .block = block_take(&none, stored.count + given.count),
    };
    bool good = mail.block != NULL;
    if (good) {
        memcpy(mail.block->bytes, stored.data, stored.count);
        if (given.count > 0)
            memcpy(mail.block->bytes + stored.count, given.data, given.count);
        good = control_tell(control, control->shard_count + 1, &mail, sizeof mail);
    }
    if (!good) {
        block_release(&none, mail.block);
        login_failed(control, route); /* it dials again */
    }
    route->password_asked = good;
    block_pool_close(&none);
}

void cluster_password_checked(struct control *control, uint64_t rid, bool matches)
{
    struct cluster_route *route = cluster_route_by_rid(&control->cluster, rid);
    if (route == NULL || !route->password_asked)
        return;
    route->password_asked = false;
    if (matches)
        connect_settled(control, route);
    else
        login_failed(control, route);
}

static void connect_said(struct control *control, struct cluster_route *route, struct bytes json)
{
    char error[MAIL_ERROR_BYTES];
    const struct cluster_options *options = &control->snapshot->options->cluster;
    struct route_connect *connect = &route->connect;
    json_close(&route->document);
    *connect = (struct route_connect){0};
    if (route_connect_read(&route->document, json, connect) != ERR_OK) {
        cluster_route_end(control, route, CLOSED_PROTOCOL_VIOLATION, NULL);
        return;
    }
    if (connect->language.count > 0) {
        cluster_route_end(control, route, CLOSED_INCORRECT_PORT, "attempted to connect to route port");
        return;
    }
    if (connect->gateway.count > 0) {
        snprintf(error, sizeof error, "Rejecting connection from gateway \"%.*s\" on the Route port",
                 BYTES_PRINTF(connect->gateway));
        cluster_route_end(control, route, CLOSED_WRONG_GATEWAY, error);
        return;
    }
    if (options->user.count == 0) {
        connect_settled(control, route);
        return;
    }
    bool user = password_compare_plain(options->user, connect->user);
    if (user && password_is_bcrypt(options->password))
        password_ask(control, route, options->password);
    else if (user & password_compare_plain(options->password, connect->password))
        connect_settled(control, route);
    else
        login_failed(control, route);
}

/* ---- INFO ---- */

static struct cluster_member *member_by_id(struct cluster *cluster, struct bytes server_id)
{
    for (size_t i = 0; i < REMOTES_MAX; i++) {
        if (cluster->members[i].route != NULL && bytes_equal(cluster->members[i].info.server_id, server_id))
            return &cluster->members[i];
    }
    return NULL;
}

static uint8_t member_number(const struct cluster *cluster, const struct cluster_member *member)
{
    return (uint8_t)(member - cluster->members);
}

static struct cluster_member *member_free(struct cluster *cluster)
{
    for (size_t i = 0; i < REMOTES_MAX; i++) {
        if (cluster->members[i].route == NULL && cluster->members[i].untold == 0)
            return &cluster->members[i];
    }
    return NULL;
}

/* A second connection of a server that is here already: the first one stays. The address that was dialled
 * rests until that one is lost (routes.md 7.4). */
static void duplicate(struct control *control, struct cluster_route *route, struct cluster_member *member)
{
    struct dial *dial = route->dial;
    cluster_route_end(control, route, CLOSED_DUPLICATE_ROUTE, NULL);
    if (dial == NULL)
        return;
    member->route->shown_solicited = true;
    member->route->shown_configured |= dial->configured;
    route->dial = NULL;
    if (!dial->configured && member->dialled) {
        cluster_dial_drop(control, dial);
        return;
    }
    member->dialled = true;
    dial->rid = member->route->rid;
}

/* The newcomer's INFO for the others (routes.md 8.1). */
static void gossip(struct control *control, const struct cluster_member *newcomer)
{
    struct cluster *cluster = &control->cluster;
    char line[ROUTE_INFO_BYTES_MAX];
    char ip[CLUSTER_ADDRESS_BYTES + 32];
    struct route_info info = newcomer->info;
    if (newcomer->route->implicit)
        return; /* whoever told us of it has told the others */
    info.nonce = (struct bytes){NULL, 0};
    info.compression = info.route_account = (struct bytes){NULL, 0};
    info.pool_index = info.gossip_mode = 0;
    if (info.ip.count == 0) {
        bool six = strchr(newcomer->route->address, ':') != NULL;
        int count = snprintf(ip, sizeof ip, six ? "nats-route://[%s]:%u/" : "nats-route://%s:%u/",
                             newcomer->route->address, (unsigned)info.port & 0xffff);
        info.ip = bytes_of(ip, (size_t)count);
    }
    size_t count = route_info_write(line, sizeof line, &info);
    for (size_t i = 0; count > 0 && i < REMOTES_MAX; i++) {
        const struct cluster_member *member = &cluster->members[i];
        if (member->route != NULL && member != newcomer &&
            !cluster_send(control, member->route, bytes_of(line, count)))
            log_warning(control->log, "Another server could not be told of a new one");
    }
}

/* Room for all that a new member costs, so that nobody hears half of it. */
static bool room_to_register(struct control *control)
{
    for (uint32_t to = 0; to < control->shard_count; to++) {
        if (!mailbox_has_room_for(post_box(&control->post, to), sizeof(struct mail_route_answer), 2))
            return false;
    }
    return true;
}

static void registered(struct control *control, struct cluster_route *route, struct cluster_member *member)
{
    struct mail_remote up = {.kind = MAIL_REMOTE, .up = true, .shard = route->shard, .rid = route->rid};
    struct mail_route_answer answer = {
        .kind = MAIL_ROUTE_ANSWER, .rid = route->rid, .registers = true, .headers = member->info.headers};
    up.remote = answer.remote = member_number(&control->cluster, member);
    for (uint32_t to = 0; to < control->shard_count; to++) {
        bool told = control_tell(control, to, &up, sizeof up);
        ASSERT(told); /* room was asked for */
    }
    bool told = control_tell(control, route->shard, &answer, sizeof answer);
    ASSERT(told);
    route->member = up.remote;
    if (route->dial != NULL) {
        route->dial->attempts = 0;
        route->dial->delay_ns = 0;
        route->dial->was_connected = true;
    }
    gossip(control, member);
    cluster_urls_tell(control);
}

/* The first INFO decides; the document becomes the member's. True: it did. */
static bool first_info(struct control *control, struct cluster_route *route, struct json_document *document,
                       const struct route_info *info)
{
    char error[MAIL_ERROR_BYTES];
    struct cluster *cluster = &control->cluster;
    struct cluster_member *member = member_by_id(cluster, info->server_id);
    if (info->route_account.count > 0) {
        snprintf(error, sizeof error,
                 "Not possible to have a dedicated route for account \"%.*s\" between those servers",
                 BYTES_PRINTF(info->route_account));
        cluster_route_end(control, route, CLOSED_DUPLICATE_ROUTE, error);
    } else if (!route->solicited && bytes_equal(info->server_name, text(control->server_name))) {
        log_error(control->log, "Remote server has a duplicate name: \"%s\"", control->server_name);
        cluster_route_end(control, route, CLOSED_DUPLICATE_SERVER_NAME, NULL);
    } else if (member != NULL) {
        duplicate(control, route, member);
    } else if ((member = member_free(cluster)) == NULL) {
        log_error(control->log, "The cluster has more than %d other servers: one more is refused",
                  REMOTES_MAX);
        cluster_route_end(control, route, CLOSED_MAXIMUM_CONNECTIONS, NULL);
    } else if (!room_to_register(control)) {
        cluster_route_end(control, route, CLOSED_WRITE_ERROR, NULL);
    } else {
        *member = (struct cluster_member){.route = route,
                                          .document = *document,
                                          .info = *info,
                                          .dialled = route->dial != NULL,
                                          .lame_duck = info->lame_duck};
        registered(control, route, member);
        return true;
    }
    return false;
}

/* Another server told of one that we may not know (routes.md 8.2). */
static void told_of(struct control *control, const struct route_info *info)
{
    struct cluster *cluster = &control->cluster;
    struct arena arena = {0};
    struct route_url url;
    char given[CLUSTER_HOST_BYTES + 64];
    bool known = member_by_id(cluster, info->server_id) != NULL || info->route_account.count > 0;
    if (info->ip.count > 0)
        snprintf(given, sizeof given, "%.*s", BYTES_PRINTF(info->ip));
    else
        snprintf(given, sizeof given, "nats-route://%.*s:%u/", BYTES_PRINTF(info->host),
                 (unsigned)info->port & 0xffff);
    if (known || control->state == CONTROL_STOPPING)
        return;
    if (!route_url_parse(text(given), &arena, &url))
        log_error(control->log, "Error parsing URL from INFO: %s", given);
    else if (!cluster_dial_known(control, url.host, url.port))
        cluster_dial_new(control, &url, false);
    arena_close(&arena);
}

static void info_said(struct control *control, struct cluster_route *route, struct bytes json)
{
    struct cluster *cluster = &control->cluster;
    struct json_document document = {0};
    struct route_info info = {0};
    if (route_info_read(&document, json, &info) != ERR_OK || info.server_id.count == 0) {
        cluster_route_end(control, route, CLOSED_PROTOCOL_VIOLATION, NULL);
        json_close(&document);
        return;
    }
    struct cluster_member *member =
        route->member == CLUSTER_NO_MEMBER ? NULL : &cluster->members[route->member];
    if (bytes_equal(info.server_id, text(control->server_id))) {
        log_debug(control->log, "Detected route to self, ignoring");
        cluster_route_end(control, route, CLOSED_DUPLICATE_ROUTE, NULL);
        if (route->dial != NULL)
            cluster_dial_drop(control, route->dial);
    } else if (info.cluster.count > 0 && !name_settled(control, route, info.cluster, info.cluster_dynamic)) {
        cluster_route_end(control, route, CLOSED_CLUSTER_NAME_CONFLICT, NULL);
    } else if (member == NULL) {
        if (first_info(control, route, &document, &info))
            return;
    } else {
        if (info.gateway.count == 0 && !bytes_equal(info.server_id, member->info.server_id)) {
            told_of(control, &info);
        } else if (info.gateway.count == 0 && info.lame_duck && !member->lame_duck) {
            member->lame_duck = true;
            cluster_urls_tell(control);
        }
        go_on(control, route);
    }
    json_close(&document);
}

void cluster_mail_said(struct control *control, const uint8_t *bytes)
{
    struct mail_route_said mail;
    struct block_pool none = {0};
    memcpy(&mail, bytes, sizeof mail);
    struct cluster_route *route = cluster_route_by_rid(&control->cluster, mail.rid);
    struct bytes json = bytes_of(mail.block->bytes, mail.count);
    if (route != NULL && mail.said == ROUTE_SAID_CONNECT)
        connect_said(control, route, json);
    else if (route != NULL)
        info_said(control, route, json);
    block_release(&none, mail.block);
    block_pool_close(&none);
}

/* ---- going ---- */

/* Tells shards that the server is gone, those that have room; its number is free when all know. */
static void gone_tell(struct control *control, struct cluster_member *member)
{
    struct mail_remote mail = {.kind = MAIL_REMOTE, .remote = member_number(&control->cluster, member)};
    for (uint64_t left = member->untold; left != 0; left &= left - 1) {
        uint32_t to = (uint32_t)__builtin_ctzll(left);
        if (control_tell(control, to, &mail, sizeof mail))
            member->untold &= ~(1ULL << to);
    }
}

/* All addresses of it that rested are dialled again. */
static void dials_resume(struct control *control, uint64_t rid)
{
    struct cluster *cluster = &control->cluster;
    for (struct list_link *at = list_first(&cluster->dials), *next = NULL; at != NULL; at = next) {
        struct dial *dial = LIST_ELEMENT(at, struct dial, all);
        next = list_next(&cluster->dials, at);
        if (dial->state == DIAL_CONNECTED && dial->rid == rid)
            cluster_dial_again(control, dial, true);
    }
}

static void member_gone(struct control *control, struct cluster_member *member)
{
    uint64_t rid = member->route->rid;
    member->route = NULL;
    member->dialled = false;
    member->untold = (1ULL << control->shard_count) - 1;
    json_close(&member->document);
    member->info = (struct route_info){0};
    gone_tell(control, member);
    cluster_urls_tell(control);
    if (control->state != CONTROL_STOPPING && control->state != CONTROL_STOPPED)
        dials_resume(control, rid);
}

void cluster_mail_closed(struct control *control, const uint8_t *bytes)
{
    struct mail_route_closed mail;
    struct cluster *cluster = &control->cluster;
    memcpy(&mail, bytes, sizeof mail);
    struct cluster_route *route = cluster_route_by_rid(cluster, mail.rid);
    if (route == NULL)
        return;
    struct dial *dial = route->dial;
    cluster->routes_on[route->shard]--;
    list_remove(&route->all);
    if (route->member != CLUSTER_NO_MEMBER) {
        member_gone(control, &cluster->members[route->member]);
    } else if (dial != NULL) {
        cluster_dial_again(control, dial, false);
    }
    json_close(&route->document);
    memory_free(route);
}

bool cluster_step(struct control *control)
{
    struct cluster *cluster = &control->cluster;
    bool left = false;
    if (!cluster->on)
        return false;
    for (size_t i = 0; i < REMOTES_MAX; i++) {
        if (cluster->members[i].untold != 0)
            gone_tell(control, &cluster->members[i]);
        left |= cluster->members[i].untold != 0;
    }
    if (cluster->urls_changed && cluster_urls_mail(control))
        cluster->urls_changed = false;
    return left || cluster->urls_changed;
}
