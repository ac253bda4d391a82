/* shards/streaming/groups.h - which Raft group a channel is in, and which node is to lead a group
 * (docs/streaming-cluster.md 10). In the flow:  the subject of a publish, or the channel in a request ->
 * groups_of_channel() -> the machine of that group || a leader, now and then -> groups_leader() -> a transfer
 * of leadership. Pure functions. */
#ifndef SHARDS_STREAMING_GROUPS_H
#define SHARDS_STREAMING_GROUPS_H

#include "core/base/bytes.h"
#include "raft/membership.h"

enum { STREAMING_GROUPS_MAX = 32 }; /* of `cluster { groups }`: two for each node that there can be */

/* From 0 to group_count - 1. Names that differ in case only are in the same one, so that the second of them
 * is refused. What a store holds depends on it: it is the same in every version. */
uint32_t groups_of_channel(struct bytes name, uint32_t group_count);

/* Who is to lead a group, by Raft id: one of the voters, of which `alive` tells (by place in `members`)
 * whether they are heard of. 0: neither of the two that are wanted first is, so whoever leads goes on. */
uint64_t groups_leader(const struct raft_membership *members, const bool *alive, uint32_t group);

#endif
