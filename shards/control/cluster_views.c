/* shards/control/cluster_views.c - what others are told of the cluster: clients by way of their shards, where
 * they may connect; monitoring, how many are in it. */
#include "core/base/check.h"
#include "core/config/text.h"
#include "shards/control/cluster_internal.h"
#include "shards/control/control_internal.h"
#include "shards/mail.h"

#include <string.h>

struct cluster_route *cluster_route_by_rid(const struct cluster *cluster, uint64_t rid)
{
    for (struct list_link *at = list_first(&cluster->routes); at != NULL;
         at = list_next(&cluster->routes, at)) {
        struct cluster_route *route = LIST_ELEMENT(at, struct cluster_route, all);
        if (route->rid == rid)
            return route;
    }
    return NULL;
}

const struct cluster_route *cluster_route_find(const struct control *control, uint64_t rid)
{
    return cluster_route_by_rid(&control->cluster, rid);
}

uint32_t cluster_remote_count(const struct control *control)
{
    uint32_t count = 0;
    for (size_t i = 0; i < REMOTES_MAX; i++)
        count += control->cluster.members[i].line_count > 0;
    return count;
}

uint32_t cluster_registered_count(const struct control *control)
{
    const struct list *routes = &control->cluster.routes;
    uint32_t count = 0;
    for (struct list_link *at = list_first(routes); at != NULL; at = list_next(routes, at))
        count += LIST_ELEMENT(at, struct cluster_route, all)->member != CLUSTER_NO_MEMBER;
    return count;
}

/* ---- who clients may connect to (routes.md 8.4) ---- */

static void texts_add(struct config_text *all, struct bytes texts)
{
    struct bytes one;
    while (route_texts_next(&texts, &one)) {
        struct bytes known = bytes_of(all->data, all->count), other;
        bool there = false;
        while (!there && route_texts_next(&known, &other))
            there = bytes_equal(one, other);
        if (!there)
            config_text_add_bytes(all, bytes_of(one.data, one.count + 1));
    }
}

void cluster_urls_add(const struct control *control, struct config_text *all)
{
    const struct cluster *cluster = &control->cluster;
    if (!cluster->on || control->snapshot->options->cluster.no_advertise)
        return;
    if (!cluster->lame_duck)
        texts_add(all, bytes_of(cluster->local_urls, cluster->local_urls_bytes));
    for (size_t i = 0; i < REMOTES_MAX; i++) {
        const struct cluster_member *member = &cluster->members[i];
        if (member->line_count > 0 && !member->lame_duck)
            texts_add(all, member->info.connect_urls);
    }
}

/* All shards get the name and the URLs in one block. */
bool cluster_urls_mail(struct control *control)
{
    struct cluster *cluster = &control->cluster;
    struct config_text all = {0};
    struct block_pool none = {0};
    for (uint32_t to = 0; to < control->shard_count; to++) {
        if (!mailbox_has_room_for(post_box(&control->post, to), sizeof(struct mail_connect_urls), 1))
            return false;
    }
    config_text_add_bytes(&all, bytes_of(cluster->name, strlen(cluster->name) + 1));
    cluster_urls_add(control, &all);
    struct mail_connect_urls mail = {.kind = MAIL_CONNECT_URLS, .count = (uint32_t)all.count};
    if (!all.failed)
        mail.block = block_take(&none, all.count);
    bool good = mail.block != NULL;
    if (good)
        memcpy(mail.block->bytes, all.data, all.count);
    for (uint32_t to = 0; good && to < control->shard_count; to++) {
        (void)block_hold(mail.block);
        bool told = control_tell(control, to, &mail, sizeof mail);
        ASSERT(told); /* room was asked for */
    }
    block_release(&none, mail.block);
    block_pool_close(&none);
    config_text_close(&all);
    return good;
}

void cluster_urls_tell(struct control *control)
{
    control->cluster.urls_changed = true;
}
