/* shards/streaming/sharing.h - a clustered node writes a message once: the record of the log's entry that
 * publishes it is the message's too (docs/streaming-cluster.md 4). In the flow:  entry -> streaming_apply()
 * -> store_append_shared() || store_lookup() -> sharing_of().make: the message as a client gets it, of the
 * entry and of what was decided when it was applied. Whoever opens a store that a node may have written gives
 * this to store_set_sharing(), also a server that is in no cluster any more. Thread: the store's. */
#ifndef SHARDS_STREAMING_SHARING_H
#define SHARDS_STREAMING_SHARING_H

#include "store/store.h"

/* The message made last. All zero is empty. */
struct sharing {
    uint8_t *bytes;
    size_t capacity;
};

/* `sharing` stays where it is as long as the store asks. */
struct store_sharing sharing_of(struct sharing *sharing);
void sharing_close(struct sharing *sharing);

#endif
