/* net/cluster_changes.h - what a reload changes of the `cluster` block (spec/configuration.md 5): lines for
 * the log, or why it is refused. In the flow:  options_compare() -> cluster_options_compare(), then, when the
 * new options are in force, the control core does what follows (shards/control/cluster_reload.c). Thread: the
 * control core's. */
#ifndef NET_CLUSTER_CHANGES_H
#define NET_CLUSTER_CHANGES_H

#include "net/cluster_options.h"

/* As option_compare: both are struct cluster_options. */
void cluster_options_compare(const void *old, const void *new, struct option_changes *changes);

/* Whether two URLs are one: address, as it is written, and login. */
bool route_url_same(const struct route_url *a, const struct route_url *b);

/* Whether that URL is configured. */
bool cluster_options_route(const struct cluster_options *options, const struct route_url *url);

#endif
