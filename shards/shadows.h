/* shards/shadows.h - stream imports: a subscription that could match what its account imports gets a shadow
 * in the exporter's index, narrowed to what both patterns cover; what the shadow receives is delivered to the
 * subscription under the subject by which its account knows it (spec/security.md 5.3, docs/accounts.md).
 * In the flow:  host subscribe() -> shadows_subscribe() || router: foreign_deliver() -> client_deliver()
 *               snapshot -> shadows_snapshot_use() -> connections in shard->resyncing -> shadows_resync()
 * A shadow is a subscription like any other to the exporter's index and to the other shards; the queue group
 * is the exporter's and all importers' together. At the bound: memory out is HOST_MEMORY and nothing has
 * changed. Thread: the shard's. */
#ifndef SHARDS_SHADOWS_H
#define SHARDS_SHADOWS_H

#include "core/base/list.h"
#include "core/subject/index_table.h"
#include "net/sids.h"
#include "shards/accounts.h"

struct connection;

/* What stands in an index and is no client's own subscription; marked by subscription.foreign. */
enum foreign_kind { FOREIGN_SHADOW, FOREIGN_REPLIES, FOREIGN_HALVES, FOREIGN_SYSTEM, FOREIGN_CALLOUTS };
struct foreign {
    struct subscription base;
    uint8_t kind; /* enum foreign_kind */
};

enum { SHADOW_SUBJECT_BYTES = 112 }; /* a longer translated subject is made anew for each message */

struct shadow {
    struct foreign foreign;
    const struct stream_import
        *import; /* the present snapshot's; NULL: imported no longer, delivers nothing */
    struct shard_account *importer;
    struct shard_account *exporter;
    struct client_subscription *of;
    struct list_link all;   /* in shard.shadows */
    uint32_t hash;          /* of `of`, in shard.shadow_table; several may have the same */
    uint16_t subject_count; /* the translation for `line_serial`, in `subject`; 0: none */
    uint8_t subject[SHADOW_SUBJECT_BYTES];
    uint64_t line_serial;
    struct client_subscription own; /* what its client's session delivers to: the sid of `of`. Last: its sid
                                       follows */
};

/* Puts a subscription into its account's index, and its shadows into those of exporters. */
enum host_result shadows_subscribe(struct shard *shard, struct shard_account *account,
                                   struct client_subscription *subscription, struct bytes subject,
                                   struct bytes queue);

/* Takes the shadows out; HOST_FULL: some are left, ask again. */
enum host_result shadows_remove(struct shard *shard, struct client_subscription *subscription);

/* Visits each of a subscription's shadows. `visit` must not change any. */
typedef void shadow_visit(void *context, const struct shadow *shadow);
void shadows_visit(const struct shard *shard, const struct client_subscription *of, shadow_visit *visit,
                   void *context);

/* Delivers a message, or a run of them, to the shadow's subscription. */
bool shadow_deliver(struct shard *shard, struct shadow *shadow, const struct message *run);

/* The accounts have learned a new snapshot; `before` is the old one. Shadows whose import is still there go
 * on with the new one at once, others deliver nothing any more. Connections for which something is to be done
 * are in shard->resyncing afterwards. */
void shadows_snapshot_use(struct shard *shard, const struct security_accounts *before);

/* Brings a connection's shadows to what is configured, as far as mailboxes have room. True: done. */
bool shadows_resync(struct shard *shard, struct connection *connection);

#endif
