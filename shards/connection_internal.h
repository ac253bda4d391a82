/* shards/connection_internal.h - what the files of a connection share with each other and with nobody else.
 */
#ifndef SHARDS_CONNECTION_INTERNAL_H
#define SHARDS_CONNECTION_INTERNAL_H

#include "shards/connection.h"

/* Gives bytes in clear to the session; what it does not take is held. */
void connection_give(struct shard *shard, struct connection *connection, struct bytes bytes);

/* Receives, unless a receive is in flight or the peer has said its last. */
void connection_receive_arm(struct shard *shard, struct connection *connection);

/* The peer will send no more, or reading failed. */
void connection_input_ended(struct shard *shard, struct connection *connection, bool failed);

#endif
