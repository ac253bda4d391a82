/* shards/control/gateways_internal.h - what the files of the gateways' control share. */
#ifndef SHARDS_CONTROL_GATEWAYS_INTERNAL_H
#define SHARDS_CONTROL_GATEWAYS_INTERNAL_H

#include "net/closed_reason.h"
#include "shards/control/control.h"

/* gateways.c: a socket becomes a connection of some shard. NULL: no memory or room, the socket is closed. */
struct gateway_link *gateways_link_new(struct control *control, int fd, const struct sockaddr *peer,
                                       struct gateway_cluster *cluster);

/* gateways.c: what this server says of itself; all texts in place until the cluster changes. */
struct route_info gateways_own_info(const struct control *control);

/* gateways.c: lines for a connection. False: no memory or no room for them, and the connection ends. */
bool gateways_link_write(struct control *control, struct gateway_link *link, struct bytes lines);

/* gateways.c: the answer to what a connection has said: it goes on, or ends; `error` NULL: without -ERR. One
 * may be ended unasked. What finds no room is said later. */
void gateways_link_go_on(struct control *control, struct gateway_link *link);
void gateways_link_end(struct control *control, struct gateway_link *link, enum closed_reason reason,
                       const char *error);

/* gateways_dial.c: begins to dial in so long. */
void gateways_dial_in(struct control *control, struct gateway_cluster *cluster, int64_t wait_ns);

/* gateways_dial.c: its connection has ended. */
void gateways_dial_again(struct control *control, struct gateway_cluster *cluster, bool registered);

/* gateways_dial.c: dials it no more; its place is free when all is home. */
void gateways_dial_drop(struct control *control, struct gateway_cluster *cluster);

/* gateways_clusters.c: by name, or NULL. */
struct gateway_cluster *gateways_find(struct gateway_core *core, struct bytes name);

/* gateways_clusters.c: a place for another cluster, with the addresses that are configured. NULL: there is no
 * room, which was said. */
struct gateway_cluster *gateways_cluster_new(struct control *control, struct bytes name);

/* gateways_clusters.c: more addresses, as texts with a zero behind each; or what is configured and these. */
void gateways_addresses_add(struct control *control, struct gateway_cluster *cluster, struct bytes urls);
void gateways_addresses_replace(struct control *control, struct gateway_cluster *cluster, struct bytes urls);

/* gateways_clusters.c: the addresses of a cluster, a zero behind each. */
void gateways_addresses_write(const struct gateway_cluster *cluster, struct config_text *out);

/* gateways_clusters.c: the own cluster's. */
void gateways_own_urls(const struct control *control, struct config_text *out);

/* gateways_clusters.c: the place of a name in the configuration, from 1; 0: it is not there. */
uint16_t gateways_configured(const struct control *control, struct bytes name);

#endif
