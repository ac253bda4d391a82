/* shards/streaming/wire_hot.h - the four messages that come by the million, without protobuf-c: its general
 * way (a table of fields, a pass to count, a pass to fill, a piece of memory for each text) was a third of
 * what a publish, its acknowledgement and its delivery cost. In the flow: wire.c asks here first. Reading
 * knows the plain form only, known fields of the type that they have; of anything else it says false, and
 * protobuf-c decides. Writing is the whole of it. Thread: any. */
#ifndef SHARDS_STREAMING_WIRE_HOT_H
#define SHARDS_STREAMING_WIRE_HOT_H

#include "shards/streaming/wire.h"

/* False: not the plain form, nothing is said about it. Texts point into `from`. */
MUST_USE bool wire_hot_publish_read(struct bytes from, struct wire_publish *to);
MUST_USE bool wire_hot_ack_read(struct bytes from, struct wire_ack *to);

#endif
