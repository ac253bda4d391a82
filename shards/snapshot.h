/* shards/snapshot.h - the options in force as one immutable object: built by the control core, handed to
 * every shard by mailbox, freed when the last shard has let go. Only the control core counts. */
#ifndef SHARDS_SNAPSHOT_H
#define SHARDS_SNAPSHOT_H

#include "net/info.h"
#include "shards/options.h"

struct snapshot {
    struct server_options *options; /* owned */
    struct info_server info;        /* its texts lie in options or in the server's identity */
    uint32_t holders;               /* shards that have it; the control core's count */
};

#endif
