/* shards/control/gateways_members.c - what gateway connections say, and what follows: who is let in, whom we
 * are connected to, who is told of whom (spec/gateways.md 5, 6). */
#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/security/password.h"
#include "net/error_text.h"
#include "net/route_host.h"
#include "shards/control/cluster_internal.h"
#include "shards/control/control_internal.h"
#include "shards/control/gateways_internal.h"
#include "shards/mail.h"

#include <stdio.h>
#include <string.h>

static struct gateway_link *link_by_rid(const struct gateway_core *core, uint64_t rid)
{
    for (struct list_link *at = list_first(&core->links); at != NULL; at = list_next(&core->links, at)) {
        struct gateway_link *link = LIST_ELEMENT(at, struct gateway_link, all);
        if (link->rid == rid)
            return link;
    }
    return NULL;
}

const struct gateway_link *gateways_link_find(const struct control *control, uint64_t rid)
{
    return link_by_rid(&control->gateways, rid);
}

uint32_t gateways_number(const struct gateway_core *core, const struct gateway_cluster *cluster)
{
    return (uint32_t)(cluster - core->clusters);
}

static uint8_t number_of(const struct gateway_core *core, const struct gateway_cluster *cluster)
{
    return (uint8_t)gateways_number(core, cluster);
}

/* ---- CONNECT ---- */

/* The login was good, or none is asked for. */
static void connect_settled(struct control *control, struct gateway_link *link)
{
    char error[MAIL_ERROR_BYTES];
    struct bytes name = link->connect.gateway;
    bool unknown =
        control->snapshot->options->gateway.reject_unknown && gateways_configured(control, name) == 0;
    if (name.count == 0 || name.count >= GATEWAY_NAME_BYTES) {
        gateways_link_end(control, link, CLOSED_INCORRECT_PORT, error_text(ERROR_GATEWAY_PORT));
    } else if (unknown) {
        log_error(control->log, "Rejecting connection from gateway \"%.*s\"", BYTES_PRINTF(name));
        struct bytes own =
            text(control->snapshot->options->gateway.name); /* as nats-server: not the peer's */
        snprintf(error, sizeof error, "Connection to gateway \"%.*s\" rejected", BYTES_PRINTF(own));
        gateways_link_end(control, link, CLOSED_WRONG_GATEWAY, error);
    } else {
        memcpy(link->name, name.data, name.count);
        gateways_link_go_on(control, link);
    }
    json_close(&link->document);
    link->connect = (struct route_connect){0};
}

static void login_failed(struct control *control, struct gateway_link *link)
{
    gateways_link_end(control, link, CLOSED_AUTHENTICATION_FAILURE,
                      error_text(ERROR_AUTHORIZATION_VIOLATION));
    json_close(&link->document);
    link->connect = (struct route_connect){0};
}

/* A hash is the worker's to check. */
static void password_ask(struct control *control, struct gateway_link *link, struct bytes stored)
{
    link->password_asked = peer_password_ask(control, link->rid, stored, link->connect.password);
    if (!link->password_asked)
        login_failed(control, link); /* it dials again */
}

bool gateways_password_checked(struct control *control, uint64_t rid, bool matches)
{
    struct gateway_link *link = link_by_rid(&control->gateways, rid);
    if (link == NULL || !link->password_asked)
        return link != NULL;
    link->password_asked = false;
    if (matches)
        connect_settled(control, link);
    else
        login_failed(control, link);
    return true;
}

static void connect_said(struct control *control, struct gateway_link *link, struct bytes json,
                         bool certified)
{
    const struct gateway_options *options = &control->snapshot->options->gateway;
    json_close(&link->document);
    link->connect = (struct route_connect){0};
    if (route_connect_read(&link->document, json, &link->connect) != ERR_OK) {
        gateways_link_end(control, link, CLOSED_PROTOCOL_VIOLATION, NULL);
        return;
    }
    bool by_certificate = options->tls.known_urls || options->tls.map; /* not by login, as in nats-server */
    if (by_certificate && !certified) {
        login_failed(control, link);
        return;
    }
    if (by_certificate || options->user.count == 0) {
        connect_settled(control, link);
        return;
    }
    bool user = password_compare_plain(options->user, link->connect.user);
    if (user && password_is_bcrypt(options->password))
        password_ask(control, link, options->password);
    else if (user & password_compare_plain(options->password, link->connect.password))
        connect_settled(control, link);
    else
        login_failed(control, link);
}

/* ---- who hears of whom ---- */

/* What others are told of a cluster that we are connected to. */
static struct route_info gossip_of(const struct gateway_cluster *cluster, struct config_text *urls,
                                   struct bytes server_id)
{
    gateways_addresses_write(cluster, urls);
    return (struct route_info){.server_id = server_id,
                               .gateway = text(cluster->name),
                               .gateway_urls = bytes_of(urls->data, urls->count),
                               .gateway_command = GATEWAY_COMMAND_GOSSIP};
}

/* Who has just come hears of all others (spec/gateways.md 6.1). */
static void gossip_to_inbound(struct control *control, struct gateway_link *link)
{
    struct gateway_core *core = &control->gateways;
    char line[ROUTE_INFO_BYTES_MAX];
    for (size_t i = 0; i < GATEWAYS_MAX; i++) {
        const struct gateway_cluster *cluster = &core->clusters[i];
        struct config_text urls = {0};
        if (cluster->state == GATEWAY_IDLE || cluster->forget || strcmp(cluster->name, link->name) == 0)
            continue;
        struct route_info info = gossip_of(cluster, &urls, text(control->server_id));
        size_t count = gateway_info_write(line, sizeof line, &info);
        if (count > 0)
            (void)gateways_link_write(control, link, bytes_of(line, count));
        config_text_close(&urls);
    }
}

/* The line about a cluster for the own one's servers (6.2); 0: none. */
static size_t route_line(const struct control *control, const struct gateway_cluster *cluster, bool to_all,
                         char line[ROUTE_INFO_BYTES_MAX])
{
    struct config_text urls = {0};
    char id[128];
    snprintf(id, sizeof id, "GW%s", control->server_id);
    struct route_info info = gossip_of(cluster, &urls, text(id));
    if (to_all)
        info.server_name = text(control->server_name);
    size_t count = route_info_write(line, ROUTE_INFO_BYTES_MAX, &info);
    config_text_close(&urls);
    return count;
}

static void gossip_to_cluster(struct control *control, const struct gateway_cluster *cluster)
{
    char line[ROUTE_INFO_BYTES_MAX];
    size_t count = route_line(control, cluster, true, line);
    if (count > 0)
        cluster_tell_members(control, bytes_of(line, count));
}

void gateways_tell_route(struct control *control, struct cluster_route *route)
{
    struct gateway_core *core = &control->gateways;
    char line[ROUTE_INFO_BYTES_MAX];
    for (size_t i = 0; core->clusters != NULL && i < GATEWAYS_MAX; i++) {
        size_t count =
            core->clusters[i].registered ? route_line(control, &core->clusters[i], false, line) : 0;
        if (count > 0)
            (void)cluster_send(control, route, bytes_of(line, count));
    }
}

/* A cluster that somebody told of: it is dialled, or more of its addresses are known. */
static void learned(struct control *control, struct bytes name, struct bytes urls)
{
    struct gateway_core *core = &control->gateways;
    const struct gateway_options *options = &control->snapshot->options->gateway;
    if (bytes_equal(name, text(options->name)) || control->state == CONTROL_STOPPING)
        return;
    struct gateway_cluster *cluster = gateways_find(core, name);
    if (cluster != NULL) {
        gateways_addresses_add(control, cluster, urls);
        return;
    }
    cluster = gateways_cluster_new(control, name);
    if (cluster == NULL)
        return;
    gateways_addresses_add(control, cluster, urls);
    gateways_dial_in(control, cluster, 0);
}

void gateways_told(struct control *control, const struct route_info *info, struct bytes from)
{
    if (control->gateways.clusters == NULL)
        log_error(control->log,
                  "Received information about gateway \"%.*s\" from %.*s, but gateway is not configured",
                  BYTES_PRINTF(info->gateway), BYTES_PRINTF(from));
    else if (info->gateway_command == GATEWAY_COMMAND_GOSSIP)
        learned(control, info->gateway, info->gateway_urls);
    else
        log_error(control->log, "Unknown command %lld from server %.*s", (long long)info->gateway_command,
                  BYTES_PRINTF(from));
}

/* ---- INFO ---- */

/* One name on both sides would make two servers one to the rest. */
static bool duplicate_name(struct control *control, struct gateway_link *link, struct bytes name)
{
    const struct cluster *cluster = &control->cluster;
    bool same = bytes_equal(name, text(control->server_name));
    for (size_t i = 0; !same && i < REMOTES_MAX; i++)
        same = cluster->members[i].line_count > 0 && bytes_equal(cluster->members[i].info.server_name, name);
    if (!same)
        return false;
    log_error(control->log, "Remote server has a duplicate name: \"%.*s\"", BYTES_PRINTF(name));
    gateways_link_end(control, link, CLOSED_DUPLICATE_SERVER_NAME, NULL);
    return true;
}

static void inbound_info(struct control *control, struct gateway_link *link, const struct route_info *info)
{
    if (duplicate_name(control, link, info->server_name))
        return;
    struct mail_route_answer answer = {
        .kind = MAIL_ROUTE_ANSWER, .rid = link->rid, .registers = true, .headers = info->headers};
    if (!control_tell(control, link->shard, &answer, sizeof answer)) {
        gateways_link_end(control, link, CLOSED_WRITE_ERROR, NULL);
        return;
    }
    link->registered = true;
    snprintf(link->server_id, sizeof link->server_id, "%.*s", BYTES_PRINTF(info->server_id));
    log_notice(control->log, "%s:%u - gid:%llu - Inbound gateway connection from \"%s\" (%.*s) registered",
               link->address, link->port, (unsigned long long)link->rid, link->name,
               BYTES_PRINTF(info->server_id));
    learned(control, text(link->name), info->gateway_urls);
    gossip_to_inbound(control, link);
}

/* Room for all that a new connection costs, so that nobody hears half of it. */
static bool room_to_register(struct control *control)
{
    for (uint32_t to = 0; to < control->shard_count; to++) {
        if (!mailbox_has_room_for(post_box(&control->post, to), sizeof(struct mail_route_answer), 3))
            return false;
    }
    return true;
}

/* CONNECT and INFO, which wait for what the peer says (spec/gateways.md 5). False: no memory or no room. */
static bool introduce(struct control *control, struct gateway_link *link)
{
    const struct gateway_options *options = &control->snapshot->options->gateway;
    struct route_info info = gateways_own_info(control);
    const struct gateway_address *at = &link->cluster->at;
    bool own = at->user.count == 0; /* the URL has no login: the block's */
    struct route_connect connect = {
        .name = info.server_id,
        .gateway = info.gateway,
        .tls_required = info.tls_required,
        .user = own ? options->user : at->user,
        .password = own ? options->password : at->password,
    };
    char *lines = memory_new(2 * ROUTE_INFO_BYTES_MAX);
    if (lines == NULL)
        return false;
    size_t count = gateway_connect_write(lines, ROUTE_INFO_BYTES_MAX, &connect);
    size_t more = count == 0 ? 0 : gateway_info_write(lines + count, ROUTE_INFO_BYTES_MAX, &info);
    bool good = more > 0 && gateways_link_write(control, link, bytes_of(lines, count + more));
    memory_free(lines);
    return good;
}

static void outbound_registers(struct control *control, struct gateway_link *link,
                               const struct route_info *info)
{
    struct gateway_cluster *cluster = link->cluster;
    struct mail_gateway up = {.kind = MAIL_GATEWAY,
                              .number = number_of(&control->gateways, cluster),
                              .up = true,
                              .lists = info->gateway_lists,
                              .shard = link->shard,
                              .rid = link->rid};
    struct mail_route_answer answer = {.kind = MAIL_ROUTE_ANSWER,
                                       .rid = link->rid,
                                       .registers = true,
                                       .remote = up.number,
                                       .headers = info->headers};
    bool good = cluster->untold == 0 && room_to_register(control) &&
                server_hash(text(cluster->name), up.hash) == ERR_OK && introduce(control, link);
    if (!good) {
        gateways_link_end(control, link, CLOSED_WRITE_ERROR, NULL);
        return;
    }
    for (uint32_t to = 0; to < control->shard_count; to++) {
        bool told = control_tell(control, to, &up, sizeof up);
        ASSERT(told); /* room was asked for */
    }
    bool told = control_tell(control, link->shard, &answer, sizeof answer);
    ASSERT(told);
    link->registered = cluster->registered = cluster->was_connected = true;
    cluster->attempts = 0;
    cluster->delay_ns = 0;
    memcpy(link->name, cluster->name, sizeof link->name);
    snprintf(link->server_id, sizeof link->server_id, "%.*s", BYTES_PRINTF(info->server_id));
    log_notice(control->log, "%s:%u - gid:%llu - Outbound gateway connection to \"%s\" (%.*s) registered",
               link->address, link->port, (unsigned long long)link->rid, cluster->name,
               BYTES_PRINTF(info->server_id));
    gateways_addresses_replace(control, cluster, info->gateway_urls);
    gossip_to_cluster(control, cluster);
}

static void outbound_first(struct control *control, struct gateway_link *link, const struct route_info *info)
{
    char error[MAIL_ERROR_BYTES]; /* what long names make too long is cut */
    struct bytes wanted = text(link->cluster->name);
    struct bytes own = text(control->snapshot->options->gateway.name);
    if (info->gateway.count == 0) {
        snprintf(error, sizeof error, "Attempt to connect to gateway \"%.*s\" using wrong port",
                 BYTES_PRINTF(wanted));
        gateways_link_end(control, link, CLOSED_INCORRECT_PORT, error);
    } else if (!bytes_equal(info->gateway, wanted)) {
        log_error(control->log, "Failing connection to gateway \"%.*s\", remote gateway name is \"%.*s\"",
                  BYTES_PRINTF(wanted), BYTES_PRINTF(info->gateway));
        snprintf(error, sizeof error,
                 "Connection from \"%.*s\" rejected, wanted to connect to \"%.*s\", this is \"%.*s\"",
                 BYTES_PRINTF(own), BYTES_PRINTF(wanted), BYTES_PRINTF(info->gateway));
        gateways_link_end(control, link, CLOSED_WRONG_GATEWAY, error);
    } else if (!duplicate_name(control, link, info->server_name)) {
        outbound_registers(control, link, info);
    }
}

static void outbound_again(struct control *control, struct gateway_link *link, const struct route_info *info)
{
    bool own = bytes_equal(info->gateway, text(link->cluster->name));
    bool refused =
        control->snapshot->options->gateway.reject_unknown &&
        gateways_configured(control, info->gateway) == 0; /* members of the own cluster are believed */
    if (info->gateway_command == GATEWAY_COMMAND_GOSSIP && !own) {
        if (!refused)
            learned(control, info->gateway, info->gateway_urls);
    } else if (info->gateway_command == GATEWAY_COMMAND_NONE && own) {
        gateways_addresses_replace(control, link->cluster, info->gateway_urls);
        gossip_to_cluster(control, link->cluster);
    }
    gateways_link_go_on(control, link);
}

static void info_said(struct control *control, struct gateway_link *link, struct bytes json)
{
    struct json_document document = {0};
    struct route_info info = {0};
    if (route_info_read(&document, json, &info) != ERR_OK)
        gateways_link_end(control, link, CLOSED_PROTOCOL_VIOLATION, NULL);
    else if (!link->solicited)
        inbound_info(control, link, &info);
    else if (link->registered)
        outbound_again(control, link, &info);
    else
        outbound_first(control, link, &info);
    json_close(&document);
}

bool gateways_mail_said(struct control *control, const uint8_t *bytes)
{
    struct mail_route_said mail;
    struct block_pool none = {0};
    memcpy(&mail, bytes, sizeof mail);
    struct gateway_link *link = link_by_rid(&control->gateways, mail.rid);
    if (link == NULL)
        return false;
    struct bytes json = bytes_of(mail.block->bytes, mail.count);
    if (mail.said == ROUTE_SAID_CONNECT)
        connect_said(control, link, json, mail.certified);
    else
        info_said(control, link, json);
    block_release(&none, mail.block);
    block_pool_close(&none);
    return true;
}

/* ---- the own cluster changes, connections go ---- */

void gateways_cluster_changed(struct control *control)
{
    control->gateways.urls_changed = control->gateways.clusters != NULL;
}

/* All who are connected here hear where else they could be. False: not all of them, for want of room. */
static bool urls_tell(struct control *control)
{
    struct gateway_core *core = &control->gateways;
    struct config_text urls = {0};
    char line[ROUTE_INFO_BYTES_MAX];
    gateways_own_urls(control, &urls);
    bool same = urls.failed ||
                bytes_equal(bytes_of(urls.data, urls.count), bytes_of(core->urls.data, core->urls.count));
    bool failed = urls.failed;
    if (same) {
        config_text_close(&urls);
        return !failed;
    }
    config_text_close(&core->urls);
    core->urls = urls;
    struct route_info info = gateways_own_info(control);
    size_t count = gateway_info_write(line, sizeof line, &info);
    for (struct list_link *at = list_first(&core->links); at != NULL; at = list_next(&core->links, at)) {
        struct gateway_link *link = LIST_ELEMENT(at, struct gateway_link, all);
        if (count > 0 && !link->solicited && link->registered)
            (void)gateways_link_write(control, link, bytes_of(line, count));
    }
    return true;
}

/* Tells shards that a cluster has no connection, those that have room. */
static void gone_tell(struct control *control, struct gateway_cluster *cluster)
{
    struct mail_gateway mail = {.kind = MAIL_GATEWAY, .number = number_of(&control->gateways, cluster)};
    for (uint64_t left = cluster->untold; left != 0; left &= left - 1) {
        uint32_t to = (uint32_t)__builtin_ctzll(left);
        if (control_tell(control, to, &mail, sizeof mail))
            cluster->untold &= ~(1ULL << to);
    }
}

bool gateways_mail_closed(struct control *control, const uint8_t *bytes)
{
    struct mail_route_closed mail;
    struct gateway_core *core = &control->gateways;
    memcpy(&mail, bytes, sizeof mail);
    struct gateway_link *link = link_by_rid(core, mail.rid);
    if (link == NULL)
        return false;
    struct gateway_cluster *cluster = link->cluster;
    core->links_on[link->shard]--;
    core->link_count--;
    list_remove(&link->all);
    if (cluster != NULL) {
        bool registered = cluster->registered;
        cluster->link = NULL;
        cluster->registered = false;
        if (registered) {
            cluster->untold = (1ULL << control->shard_count) - 1;
            gone_tell(control, cluster);
        }
        cluster->forget |= control->state == CONTROL_STOPPING || control->state == CONTROL_STOPPED;
        gateways_dial_again(control, cluster, registered);
    }
    json_close(&link->document);
    memory_free(link);
    return true;
}

bool gateways_step(struct control *control)
{
    struct gateway_core *core = &control->gateways;
    bool left = false;
    for (size_t i = 0; core->clusters != NULL && i < GATEWAYS_MAX; i++) {
        if (core->clusters[i].untold != 0)
            gone_tell(control, &core->clusters[i]);
        left |= core->clusters[i].untold != 0;
    }
    for (struct list_link *at = core->clusters == NULL ? NULL : list_first(&core->links); at != NULL;
         at = list_next(&core->links, at)) {
        struct gateway_link *link = LIST_ELEMENT(at, struct gateway_link, all);
        left |= peer_answer_again(control, link->shard, &link->answer);
    }
    if (core->urls_changed && urls_tell(control))
        core->urls_changed = false;
    return left || core->urls_changed;
}
