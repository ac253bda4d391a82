/* shards/control/cluster_lines.c - the connections to one server: which line a new one takes, who is told of
 * it, and what follows when one is lost (spec/routes.md 7.4, 7.5, 8.1, 13; net/cluster_pool.h says what a
 * line is). */
#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/security/account.h"
#include "shards/control/cluster_internal.h"
#include "shards/control/control_internal.h"
#include "shards/mail.h"

#include <stdio.h>
#include <string.h>

enum { MAILS_TO_REGISTER = 4 };

static const struct cluster_pool *pool_of(const struct control *control)
{
    return &control->snapshot->options->cluster.pool;
}

/* ---- finding ---- */

struct cluster_member *cluster_member_by_id(struct cluster *cluster, struct bytes server_id)
{
    for (size_t i = 0; i < REMOTES_MAX; i++) {
        if (cluster->members[i].line_count > 0 && bytes_equal(cluster->members[i].info.server_id, server_id))
            return &cluster->members[i];
    }
    return NULL;
}

struct cluster_route *cluster_member_route(const struct cluster_member *member)
{
    for (size_t line = 0; line < ROUTE_LINES_MAX; line++) {
        if (member->lines[line] != NULL)
            return member->lines[line];
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
        if (cluster->members[i].line_count == 0 && cluster->members[i].untold_lines == 0)
            return &cluster->members[i];
    }
    return NULL;
}

/* Whether a new connection can have that line; one that some shard does not know to be gone it cannot. */
static bool line_free(const struct cluster_member *member, uint8_t line)
{
    return member == NULL || (member->lines[line] == NULL && (member->untold_lines >> line & 1) == 0);
}

/* ---- where a connection stands ---- */

enum place_result { PLACE_FREE, PLACE_TAKEN, PLACE_REFUSED };

struct place {
    uint8_t line;
    bool pooled;
    bool gives_up; /* when refused: it makes no sense to dial again */
    int64_t slots;
    enum closed_reason reason;
    char error[MAIL_ERROR_BYTES];
};

static enum place_result refused(struct place *place, enum closed_reason reason)
{
    place->reason = reason;
    return PLACE_REFUSED;
}

/* A connection for one account alone. */
static enum place_result account_place(const struct control *control, const struct cluster_member *member,
                                       struct bytes account, struct place *place)
{
    if (security_account_find(&control->snapshot->options->security.accounts, account) == NULL) {
        snprintf(place->error, sizeof place->error, "Unable to lookup account \"%.*s\": account missing",
                 BYTES_PRINTF(account));
        return refused(place, CLOSED_MISSING_ACCOUNT);
    }
    if (!place->pooled) {
        snprintf(place->error, sizeof place->error,
                 "Not possible to have a dedicated route for account \"%.*s\" between those servers",
                 BYTES_PRINTF(account));
        place->gives_up = true;
        return refused(place, CLOSED_PROTOCOL_VIOLATION);
    }
    place->line = cluster_pool_dedicated(pool_of(control), account);
    if (place->line == ROUTE_LINE_NONE) {
        snprintf(place->error, sizeof place->error, "No route for account \"%.*s\"", BYTES_PRINTF(account));
        return refused(place, CLOSED_PROTOCOL_VIOLATION);
    }
    return line_free(member, place->line) ? PLACE_FREE : PLACE_TAKEN;
}

/* What is wrong with a slot, in nats-server's words; false: nothing. The greater pool of the two is the one
 * that both have, so that sizes can be changed one server at a time. */
static bool slot_wrong(const struct cluster_route *route, const struct cluster_pool *pool,
                       const struct route_info *info, struct place *place)
{
    long long index = info->pool_index;
    if (place->slots > ROUTE_POOL_MAX)
        snprintf(place->error, sizeof place->error, "Mismatch route pool size: %lld vs %lld",
                 (long long)pool->size, (long long)info->pool_size);
    else if (index != 0 && (!place->pooled || route->solicited))
        snprintf(place->error, sizeof place->error, "Route pool index should not be set but is set to %lld",
                 index);
    else if (index < 0 || index >= place->slots)
        snprintf(place->error, sizeof place->error, "Invalid route pool index: %lld - pool size is %lld",
                 index, (long long)info->pool_size);
    else
        return false;
    return true;
}

/* Who dialled takes the first free slot, and tells the other one which it is. */
static enum place_result place_choose(const struct control *control, const struct cluster_route *route,
                                      const struct cluster_member *member, const struct route_info *info,
                                      struct place *place)
{
    const struct cluster_pool *pool = pool_of(control);
    struct bytes account = route->solicited ? (struct bytes){NULL, 0} : info->route_account;
    if (route->dial != NULL && route->dial->line != ROUTE_LINE_NONE)
        account = cluster_pool_account(pool, route->dial->line);
    *place = (struct place){.pooled = pool->size > 0 && info->pool_size > 0, .slots = 1};
    if (place->pooled)
        place->slots = pool->size > info->pool_size ? pool->size : info->pool_size;
    if (account.count > 0)
        return account_place(control, member, account, place);
    if (slot_wrong(route, pool, info, place))
        return refused(place, CLOSED_PROTOCOL_VIOLATION);
    place->line = (uint8_t)info->pool_index;
    while (route->solicited && place->line < place->slots && !line_free(member, place->line))
        place->line++;
    return place->line < place->slots && line_free(member, place->line) ? PLACE_FREE : PLACE_TAKEN;
}

/* ---- dials ---- */

bool cluster_dial_leads_to(struct cluster *cluster, const struct dial *dial, uint8_t member)
{
    if (dial->state == DIAL_RESTING)
        return dial->member == member;
    const struct cluster_route *route =
        dial->state == DIAL_CONNECTED ? cluster_route_by_rid(cluster, dial->rid) : NULL;
    return route != NULL && route->member == member;
}

static bool member_dialled(struct cluster *cluster, uint8_t member)
{
    for (struct list_link *at = list_first(&cluster->dials); at != NULL;
         at = list_next(&cluster->dials, at)) {
        if (cluster_dial_leads_to(cluster, LIST_ELEMENT(at, struct dial, all), member))
            return true;
    }
    return false;
}

/* For monitoring: what is dialled for one line is dialled for all. */
static void shown_dialled(const struct cluster_member *member, bool configured)
{
    for (size_t line = 0; line < ROUTE_LINES_MAX; line++) {
        if (member->lines[line] != NULL) {
            member->lines[line]->shown_solicited = true;
            member->lines[line]->shown_configured |= configured;
        }
    }
}

/* A connection too many of a server that is here already: the earlier ones stay. The address that was dialled
 * rests until one of them is lost, if nothing else keeps it in mind (routes.md 7.4). */
static void duplicate(struct control *control, struct cluster_route *route,
                      const struct cluster_member *member)
{
    struct cluster *cluster = &control->cluster;
    struct dial *dial = route->dial;
    cluster_route_end(control, route, CLOSED_DUPLICATE_ROUTE, NULL);
    if (dial == NULL)
        return;
    shown_dialled(member, dial->configured);
    route->dial = NULL;
    dial->rid = 0;
    if (dial->further || (!dial->configured && member_dialled(cluster, member_number(cluster, member)))) {
        cluster_dial_drop(control, dial);
        return;
    }
    dial->state = DIAL_RESTING;
    dial->member = member_number(cluster, member);
}

static void dials_resume(struct control *control, uint8_t member)
{
    struct cluster *cluster = &control->cluster;
    for (struct list_link *at = list_first(&cluster->dials), *next = NULL; at != NULL; at = next) {
        struct dial *dial = LIST_ELEMENT(at, struct dial, all);
        next = list_next(&cluster->dials, at);
        if (dial->state == DIAL_RESTING && dial->member == member)
            cluster_dial_again(control, dial, true);
    }
}

/* Dials to that address for slots of the pool which have not come to one yet. */
static uint32_t under_way(struct cluster *cluster, const struct dial *like)
{
    uint32_t count = 0;
    for (struct list_link *at = list_first(&cluster->dials); at != NULL;
         at = list_next(&cluster->dials, at)) {
        const struct dial *dial = LIST_ELEMENT(at, struct dial, all);
        if (dial->given_up || dial->line != ROUTE_LINE_NONE || dial->url.port != like->url.port ||
            strcmp(dial->url.host, like->url.host) != 0 || dial->state == DIAL_RESTING)
            continue;
        const struct cluster_route *route =
            dial->state == DIAL_CONNECTED ? cluster_route_by_rid(cluster, dial->rid) : NULL;
        count += route == NULL || route->member == CLUSTER_NO_MEMBER;
    }
    return count;
}

/* Who dialled sees to it that the pool becomes full, one slot after the other, and that each account that is
 * to have a route of its own gets it. */
void cluster_pool_fill(struct control *control, const struct cluster_route *route)
{
    const struct cluster_pool *pool = pool_of(control);
    const struct cluster_member *member = &control->cluster.members[route->member];
    const struct dial *dial = route->dial;
    uint32_t missing = 0;
    if (dial == NULL || control->state == CONTROL_STOPPING)
        return;
    for (uint8_t slot = 0; slot < member->slot_count; slot++)
        missing += member->lines[slot] == NULL;
    if (missing > under_way(&control->cluster, dial))
        cluster_dial_new(control, &dial->url, dial->configured, ROUTE_LINE_NONE, dial);
    for (uint32_t i = 0; i < pool->account_count; i++) {
        uint8_t line = (uint8_t)(ROUTE_POOL_MAX + i);
        if (pool->accounts[i].count > 0 && member->lines[line] == NULL &&
            !cluster_dial_known(control, dial->url.host, dial->url.port, line))
            cluster_dial_new(control, &dial->url, dial->configured, line, dial);
    }
}

/* ---- registering ---- */

/* The newcomer's INFO for the others (routes.md 8.1): once for the server, and once for each account that has
 * a route of its own, to those that have one too. */
static void gossip(struct control *control, const struct cluster_member *newcomer,
                   const struct cluster_route *route, const struct route_info *said)
{
    struct cluster *cluster = &control->cluster;
    char line[ROUTE_INFO_BYTES_MAX];
    char ip[CLUSTER_ADDRESS_BYTES + 32];
    struct route_info info = *said;
    bool dedicated = route->line >= ROUTE_POOL_MAX;
    if (route->implicit)
        return; /* whoever told us of it has told the others */
    info.nonce = info.compression = info.route_account = (struct bytes){NULL, 0};
    info.pool_index = info.gossip_mode = 0;
    if (dedicated)
        info.route_account = cluster_pool_account(pool_of(control), route->line);
    if (info.ip.count == 0) {
        bool six = strchr(route->address, ':') != NULL;
        int count = snprintf(ip, sizeof ip, six ? "nats-route://[%s]:%u/" : "nats-route://%s:%u/",
                             route->address, (unsigned)info.port & 0xffff);
        info.ip = bytes_of(ip, (size_t)count);
    }
    size_t count = route_info_write(line, sizeof line, &info);
    for (size_t i = 0; count > 0 && i < REMOTES_MAX; i++) {
        const struct cluster_member *member = &cluster->members[i];
        struct cluster_route *to = dedicated ? member->lines[route->line] : cluster_member_route(member);
        if (to != NULL && member != newcomer)
            (void)cluster_send(control, to, bytes_of(line, count));
    }
}

void cluster_tell_members(struct control *control, struct bytes line)
{
    struct cluster *cluster = &control->cluster;
    for (size_t i = 0; cluster->on && i < REMOTES_MAX; i++) {
        struct cluster_route *to = cluster_member_route(&cluster->members[i]);
        if (to != NULL)
            (void)cluster_send(control, to, line);
    }
}

/* Room for all that a new route costs, so that nobody hears half of it. */
static bool room_to_register(struct control *control)
{
    for (uint32_t to = 0; to < control->shard_count; to++) {
        if (!mailbox_has_room_for(post_box(&control->post, to), sizeof(struct mail_route_answer),
                                  MAILS_TO_REGISTER))
            return false;
    }
    return true;
}

/* What our INFO says when it is settled: the mode in use, or that it is chosen from time to time. */
static struct bytes compression_shown(const struct control *control, const struct cluster_route *route)
{
    enum route_compression_mode own =
        (enum route_compression_mode)control->snapshot->options->cluster.compression.mode;
    enum route_compression_mode now = (enum route_compression_mode)route->compression;
    bool chosen = own == ROUTE_COMPRESSION_S2_AUTO && route_compression_on(now);
    if (now == ROUTE_COMPRESSION_NOT_SUPPORTED && own != ROUTE_COMPRESSION_NOT_SUPPORTED)
        return TEXT("not supported");
    return route_compression_name(chosen ? own : now);
}

/* The first INFO of the peer settles whether the connection is compressed (routes.md 14.2). If so the INFO
 * that says so goes in clear from who dialled and is answered by a compressed one, and the peer's next INFO
 * is its real one. True: wait for that. */
static bool compression_settled(struct control *control, struct cluster_route *route,
                                const struct route_info *said)
{
    char line[ROUTE_INFO_BYTES_MAX], error[MAIL_ERROR_BYTES];
    enum route_compression_mode mode;
    struct route_info info = cluster_own_info(control);
    if (route->negotiated)
        return false;
    route->negotiated = true;
    if (!route_compression_choose(
            (enum route_compression_mode)control->snapshot->options->cluster.compression.mode,
            said->compression, &mode)) {
        snprintf(error, sizeof error, "unsupported route compression mode \"%.*s\"",
                 BYTES_PRINTF(said->compression));
        cluster_route_end(control, route, CLOSED_PROTOCOL_VIOLATION, error);
        return true;
    }
    route->compression = (uint8_t)mode;
    if (!route_compression_on(mode))
        return false;
    info.compression = compression_shown(control, route);
    if (route->dial != NULL && route->dial->line != ROUTE_LINE_NONE)
        info.route_account = cluster_pool_account(pool_of(control), route->dial->line);
    struct mail_route_answer answer = {
        .kind = MAIL_ROUTE_ANSWER, .rid = route->rid, .compression = (uint8_t)mode};
    size_t count = cluster_info_write(&info, line, sizeof line);
    bool good = count > 0 && room_to_register(control);
    good = good && (!route->solicited || cluster_send(control, route, bytes_of(line, count)));
    good = good && control_tell(control, route->shard, &answer, sizeof answer);
    good = good && (route->solicited || cluster_send(control, route, bytes_of(line, count)));
    if (!good)
        cluster_route_end(control, route, CLOSED_WRITE_ERROR, NULL);
    return true;
}

/* The INFO that waited until it was known which line it is about. */
static bool held_info_send(struct control *control, struct cluster_route *route, const struct place *place)
{
    char line[ROUTE_INFO_BYTES_MAX];
    struct route_info info = cluster_own_info(control);
    if (!route->info_held)
        return true;
    info.compression = compression_shown(control, route);
    if (place->line >= ROUTE_POOL_MAX)
        info.route_account = cluster_pool_account(pool_of(control), place->line);
    else
        info.pool_index = place->line;
    size_t count = cluster_info_write(&info, line, sizeof line);
    return count > 0 && cluster_send(control, route, bytes_of(line, count));
}

static bool slots_used(const struct cluster_member *member)
{
    bool used = false;
    for (size_t slot = 0; slot < ROUTE_POOL_MAX; slot++)
        used |= member->lines[slot] != NULL;
    return used;
}

/* For monitoring: a new line is shown as the others are, and they as it. */
static void shown_join(const struct cluster_member *member, struct cluster_route *route)
{
    for (size_t line = 0; line < ROUTE_LINES_MAX; line++) {
        if (member->lines[line] == NULL)
            continue;
        route->shown_solicited |= member->lines[line]->shown_solicited;
        route->shown_configured |= member->lines[line]->shown_configured;
    }
    if (route->shown_solicited)
        shown_dialled(member, route->shown_configured);
}

static void line_tell(struct control *control, const struct cluster_route *route,
                      enum mail_remote_change change, const char hash[SERVER_HASH_BYTES])
{
    struct mail_remote mail = {.kind = MAIL_REMOTE,
                               .remote = route->member,
                               .line = route->line,
                               .change = (uint8_t)change,
                               .shard = route->shard};
    memcpy(mail.hash, hash, sizeof mail.hash);
    for (uint32_t to = 0; to < control->shard_count; to++) {
        bool told = to == route->shard || control_tell(control, to, &mail, sizeof mail);
        ASSERT(told); /* room was asked for */
    }
}

static void registered(struct control *control, struct cluster_route *route, struct cluster_member *member,
                       const struct place *place, const struct route_info *info)
{
    uint8_t number = member_number(&control->cluster, member);
    struct mail_route_answer answer = {.kind = MAIL_ROUTE_ANSWER,
                                       .rid = route->rid,
                                       .registers = true,
                                       .headers = info->headers,
                                       .remote = number,
                                       .line = place->line,
                                       .pooled = place->pooled};
    bool first_slot = place->line < ROUTE_POOL_MAX && !slots_used(member);
    route->member = number;
    route->line = place->line;
    (void)cluster_exports_changed(route, info);
    if (server_hash(info->server_id, answer.hash) != ERR_OK)
        memset(answer.hash, 0, sizeof answer.hash); /* replies for it are delivered by whoever gets them */
    line_tell(control, route, REMOTE_LINE_KNOWN, answer.hash);
    bool told = control_tell(control, route->shard, &answer, sizeof answer);
    ASSERT(told);
    line_tell(control, route, REMOTE_LINE_UP, answer.hash);
    member->lines[place->line] = route;
    member->line_count++;
    member->slot_count = (uint32_t)place->slots; /* a reload may have changed it, here or there */
    if (route->dial != NULL) {
        route->dial->attempts = 0;
        route->dial->delay_ns = 0;
        route->dial->was_connected = true;
    }
    shown_join(member, route);
    if (route->info_owed)
        cluster_info_again(control, route);
    if (first_slot || place->line >= ROUTE_POOL_MAX)
        gossip(control, member, route, info);
    if (member->line_count == 1) {
        gateways_tell_route(control, route);
        gateways_cluster_changed(control);
        cluster_urls_tell(control);
    }
    if (place->pooled)
        cluster_pool_fill(control, route);
}

/* A place is free: the connection gets it, and its server a number if it has none. True: the document was
 * taken. */
static bool place_take(struct control *control, struct cluster_route *route, struct cluster_member *member,
                       const struct place *place, struct json_document *document,
                       const struct route_info *info)
{
    bool new = member == NULL;
    if (new)
        member = member_free(&control->cluster);
    if (member == NULL) {
        log_error(control->log, "The cluster has more than %d other servers: one more is refused",
                  REMOTES_MAX);
        cluster_route_end(control, route, CLOSED_MAXIMUM_CONNECTIONS, NULL);
        return false;
    }
    if (!room_to_register(control) || !held_info_send(control, route, place)) {
        cluster_route_end(control, route, CLOSED_WRITE_ERROR, NULL);
        return false;
    }
    if (new)
        *member = (struct cluster_member){.document = *document, .info = *info, .lame_duck = info->lame_duck};
    registered(control, route, member, place, info);
    return new;
}

bool cluster_first_info(struct control *control, struct cluster_route *route, struct json_document *document,
                        const struct route_info *info)
{
    struct cluster_member *member = cluster_member_by_id(&control->cluster, info->server_id);
    struct place place;
    if (!route->solicited && bytes_equal(info->server_name, text(control->server_name))) {
        log_error(control->log, "Remote server has a duplicate name: \"%s\"", control->server_name);
        cluster_route_end(control, route, CLOSED_DUPLICATE_SERVER_NAME, NULL);
        return false;
    }
    if (compression_settled(control, route, info))
        return false;
    switch (place_choose(control, route, member, info, &place)) {
    case PLACE_FREE:
        return place_take(control, route, member, &place, document, info);
    case PLACE_TAKEN:
        duplicate(control, route, member);
        return false;
    case PLACE_REFUSED:
        cluster_route_end(control, route, place.reason, place.error);
        if (place.gives_up && route->dial != NULL)
            cluster_dial_drop(control, route->dial);
        return false;
    }
    UNREACHABLE("a result without a name");
}

/* ---- going ---- */

/* Tells shards that lines are gone, those that have room; a line can be used again when all know. */
static void gone_tell(struct control *control, struct cluster_member *member)
{
    for (uint64_t lines = member->untold_lines; lines != 0; lines &= lines - 1) {
        uint8_t line = (uint8_t)__builtin_ctzll(lines);
        struct mail_remote mail = {.kind = MAIL_REMOTE,
                                   .remote = member_number(&control->cluster, member),
                                   .line = line,
                                   .change = REMOTE_LINE_GONE};
        for (uint64_t left = member->untold[line]; left != 0; left &= left - 1) {
            uint32_t to = (uint32_t)__builtin_ctzll(left);
            if (control_tell(control, to, &mail, sizeof mail))
                member->untold[line] &= ~(1ULL << to);
        }
        if (member->untold[line] == 0)
            member->untold_lines &= ~(1ULL << line);
    }
}

static void line_gone(struct control *control, const struct cluster_route *route)
{
    struct cluster_member *member = &control->cluster.members[route->member];
    member->lines[route->line] = NULL;
    member->line_count--;
    member->untold[route->line] = (1ULL << control->shard_count) - 1;
    member->untold_lines |= 1ULL << route->line;
    gone_tell(control, member);
    if (member->line_count == 0) {
        json_close(&member->document);
        member->info = (struct route_info){0};
        gateways_cluster_changed(control);
        cluster_urls_tell(control);
    }
    if (control->state == CONTROL_STOPPING || control->state == CONTROL_STOPPED)
        return;
    if (route->dial != NULL)
        cluster_dial_again(control, route->dial, true);
    dials_resume(control, route->member);
}

void cluster_mail_closed(struct control *control, const uint8_t *bytes)
{
    struct mail_route_closed mail;
    struct cluster *cluster = &control->cluster;
    memcpy(&mail, bytes, sizeof mail);
    struct cluster_route *route = cluster_route_by_rid(cluster, mail.rid);
    if (route == NULL)
        return;
    cluster->routes_on[route->shard]--;
    list_remove(&route->all);
    if (route->member != CLUSTER_NO_MEMBER)
        line_gone(control, route);
    else if (route->dial != NULL)
        cluster_dial_again(control, route->dial, false);
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
        if (cluster->members[i].untold_lines != 0)
            gone_tell(control, &cluster->members[i]);
        left |= cluster->members[i].untold_lines != 0;
    }
    if (cluster->urls_changed && cluster_urls_mail(control))
        cluster->urls_changed = false;
    left |= cluster_owed_tell(control);
    return left || cluster->urls_changed;
}
