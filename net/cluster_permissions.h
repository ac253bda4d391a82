/* net/cluster_permissions.h - the `permissions` of a cluster (spec/routes.md 11): `import` as what may be
 * published, `export` as what may be subscribed to, and both as the texts that other servers and monitoring
 * are told. In the flow:  the cluster block -> cluster_permissions_parse() -> struct cluster_options Thread:
 * the control core's, or the one that reads the configuration. */
#ifndef NET_CLUSTER_PERMISSIONS_H
#define NET_CLUSTER_PERMISSIONS_H

#include "core/config/option.h"

struct cluster_options;

/* Reads the map into options->permissions, its texts and digest; what is wrong is noted in `errors`. Owner:
 * the arena. */
void cluster_permissions_parse(struct cluster_options *options, const struct config_entry *entry,
                               struct arena *arena, struct option_errors *errors);

#endif
