/* shards/control/cluster_members.c - what routes say, and what follows: who becomes a member, under which
 * name, who is told of whom (spec/routes.md 5.2, 6, 7, 8). */
#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/security/password.h"
#include "net/route_host.h"
#include "shards/control/cluster_internal.h"
#include "shards/control/control_internal.h"
#include "shards/mail.h"

#include <stdio.h>
#include <string.h>

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
        cluster_route_go_on(control, route, false);
    }
}

static void login_failed(struct control *control, struct cluster_route *route)
{
    cluster_route_end(control, route, CLOSED_AUTHENTICATION_FAILURE, "Authorization Violation");
}

/* A hash is the worker's to check. */
static void password_ask(struct control *control, struct cluster_route *route, struct bytes stored)
{
    route->password_asked = peer_password_ask(control, route->rid, stored, route->connect.password);
    if (!route->password_asked)
        login_failed(control, route); /* it dials again */
}

void cluster_password_checked(struct control *control, uint64_t rid, bool matches)
{
    struct cluster_route *route = cluster_route_by_rid(&control->cluster, rid);
    if (route == NULL || !route->password_asked)
        return;
    route->password_asked = false;
    if (!matches)
        login_failed(control, route);
    else if (!route->password_again)
        connect_settled(control, route);
}

/* What CONNECT said, or the peer's certificate, is compared with the configuration; what follows is in
 * connect_settled(), if not the worker has to be asked first. */
static bool login_good(struct control *control, struct cluster_route *route)
{
    const struct cluster_options *options = &control->snapshot->options->cluster;
    const struct route_connect *connect = &route->connect;
    if (options->tls.known_urls || options->tls.map) { /* instead of the login, as in nats-server */
        if (!route->certified)
            login_failed(control, route);
        return route->certified;
    }
    if (options->user.count == 0)
        return true;
    bool user = password_compare_plain(options->user, connect->user);
    if (user && password_is_bcrypt(options->password)) {
        password_ask(control, route, options->password);
        return false;
    }
    bool good = user & password_compare_plain(options->password, connect->password);
    if (!good)
        login_failed(control, route);
    return good;
}

void cluster_login_again(struct control *control, struct cluster_route *route)
{
    if (route->solicited || route->shown_solicited || !route->connect_said)
        return;
    bool map =
        control->snapshot->options->cluster.tls.map; /* its certificate was compared with another name */
    if (map || (route->password_asked && !route->password_again)) {
        login_failed(control, route); /* the answer would be about the login before; it dials again */
        return;
    }
    route->password_again = true;
    (void)login_good(control, route);
}

static void connect_said(struct control *control, struct cluster_route *route, struct bytes json)
{
    char error[MAIL_ERROR_BYTES];
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
    route->connect_said = true;
    if (login_good(control, route))
        connect_settled(control, route);
}

/* ---- INFO ---- */

/* Another server told of one that we may not know, or not yet by a route of that account (routes.md 8.2). */
static void told_of(struct control *control, const struct route_info *info)
{
    const struct cluster_pool *pool = &control->snapshot->options->cluster.pool;
    const struct cluster_member *member = cluster_member_by_id(&control->cluster, info->server_id);
    struct arena arena = {0};
    struct route_url url;
    char given[CLUSTER_HOST_BYTES + 64];
    bool shared = info->route_account.count == 0;
    uint8_t line = shared ? ROUTE_LINE_NONE : cluster_pool_dedicated(pool, info->route_account);
    bool known = member != NULL && (line == ROUTE_LINE_NONE || member->lines[line] != NULL);
    if (info->ip.count > 0)
        snprintf(given, sizeof given, "%.*s", BYTES_PRINTF(info->ip));
    else
        snprintf(given, sizeof given, "nats-route://%.*s:%u/", BYTES_PRINTF(info->host),
                 (unsigned)info->port & 0xffff);
    if (known || (!shared && line == ROUTE_LINE_NONE) || control->state == CONTROL_STOPPING)
        return;
    if (!route_url_parse(text(given), &arena, &url))
        log_error(control->log, "Error parsing URL from INFO: %s", given);
    else if (!cluster_dial_known(control, url.host, url.port, ROUTE_LINE_NONE) &&
             !cluster_dial_known(control, url.host, url.port, line))
        cluster_dial_new(control, &url, false, line, NULL);
    arena_close(&arena);
}

static bool lists_same(const struct route_info_lists *a, const struct route_info_lists *b)
{
    return bytes_equal(a->allow, b->allow) && bytes_equal(a->deny, b->deny);
}

/* A member says anew what it is: it has been reloaded, or goes. What it says of its clients' URLs is told on,
 * those of one that goes are not. True: the document was taken. */
static bool member_said_again(struct control *control, struct cluster_member *member,
                              struct json_document *document, const struct route_info *info)
{
    if (info->lame_duck && !member->lame_duck) {
        member->lame_duck = true;
        cluster_urls_tell(control);
        return false;
    }
    bool same_urls = member->lame_duck || bytes_equal(info->connect_urls, member->info.connect_urls);
    bool same_gateway = bytes_equal(info->gateway_url, member->info.gateway_url);
    if (same_urls && same_gateway && lists_same(&info->imports, &member->info.imports) &&
        lists_same(&info->exports, &member->info.exports))
        return false;
    json_close(&member->document);
    member->document = *document;
    member->info = *info;
    if (!same_urls)
        cluster_urls_tell(control);
    if (!same_gateway)
        gateways_cluster_changed(control);
    return true;
}

bool cluster_exports_changed(struct cluster_route *route, const struct route_info *info)
{
    uint64_t before = route->exports_hash;
    route->exports_hash = hash_bytes(info->exports.allow, hash_bytes(info->exports.deny, 0));
    return route->exports_hash != before;
}

static void info_said(struct control *control, struct cluster_route *route, struct bytes json)
{
    struct cluster *cluster = &control->cluster;
    struct json_document document = {0};
    struct route_info info = {0};
    bool good = route_info_read(&document, json, &info) == ERR_OK;
    if (good && route->member != CLUSTER_NO_MEMBER && info.route_account_request.count > 0) {
        cluster_account_moves(control, route, &info);
        cluster_route_go_on(control, route, false);
        json_close(&document);
        return;
    }
    if (!good || info.server_id.count == 0) {
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
        if (cluster_first_info(control, route, &document, &info))
            return;
    } else {
        if (info.gateway.count > 0)
            gateways_told(control, &info, member->info.server_id);
        if (info.gateway.count == 0 && !bytes_equal(info.server_id, member->info.server_id)) {
            told_of(control, &info);
        } else if (info.gateway.count == 0 && member_said_again(control, member, &document, &info)) {
            document = (struct json_document){0};
        }
        bool more = info.gateway.count == 0 && bytes_equal(info.server_id, member->info.server_id) &&
                    cluster_exports_changed(route, &info);
        cluster_route_go_on(control, route, more);
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
    if (route != NULL && mail.said == ROUTE_SAID_CONNECT) {
        route->certified = mail.certified;
        connect_said(control, route, json);
    } else if (route != NULL) {
        info_said(control, route, json);
    }
    block_release(&none, mail.block);
    block_pool_close(&none);
}
