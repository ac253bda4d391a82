/* shards/errand.h - what the control core has a shard publish: its services' messages
 * (shards/control/desk.h). In the flow:  desk_publish() -> MAIL_PUBLISH -> errand_publish() ->
 * backlog_publish() At the bound: the backlog's. Thread: the shard's. */
#ifndef SHARDS_ERRAND_H
#define SHARDS_ERRAND_H

#include <stdint.h>

struct shard;

/* A MAIL_PUBLISH. A request that nobody takes is answered as a client's would be: 503 to its reply subject.
 */
void errand_publish(struct shard *shard, const uint8_t *mail);

#endif
