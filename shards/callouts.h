/* shards/callouts.h - auth callout's way through this server: a service, here or anywhere in the cluster, is
 * asked about a login of this shard (spec/security.md 10, docs/auth-callout.md).
 * In the flow:  client_callout_ask() -> callouts_ask() -> backlog_publish() in the callout's account
 *               router: foreign_deliver() -> callouts_note() || callouts_step() -> callout_answer()
 *               -> client_callout_answered()
 * The reply subject is `$SYS._INBOX.<8 letters of this shard>.<8 letters of the question>`; the first part
 * stands in the account's index as a wildcard subscription from the first question on, so that an answer
 * finds its way as any message does. Answers are kept until nobody looks at a match any more: to let somebody
 * in changes indexes. At the bounds: CALLOUTS_MAX questions wait, one more login is refused at once and the
 * log says so; answers are read for CALLOUTS_TURN_NS a turn, the rest waits for the next. Thread: the
 * shard's. */
#ifndef SHARDS_CALLOUTS_H
#define SHARDS_CALLOUTS_H

#include "core/base/list.h"
#include "core/security/nkey.h"
#include "shards/shadows.h"

enum {
    CALLOUTS_MAX = 4096,
    CALLOUTS_INBOX_BYTES = 21, /* "$SYS._INBOX.", eight letters, "." */
    CALLOUTS_TOKEN_BYTES = 8,
};
#define CALLOUTS_TURN_NS (1000 * 1000LL) /* as long as a turn is to be, with one answer more than that */

struct connection;
struct shard;

/* The server's private halves, made at its start. */
struct server_keys {
    uint8_t seed[NKEY_RAW_BYTES];      /* of its id */
    uint8_t xkey_seed[NKEY_RAW_BYTES]; /* of its curve key */
};

struct callout_wait;

/* All zero but for `answers` is empty. */
struct callouts {
    struct foreign inbox;
    struct shard_account *in; /* the account in whose index `inbox` is; NULL: none */
    char inbox_text[CALLOUTS_INBOX_BYTES];
    struct callout_wait **waits; /* CALLOUTS_MAX; NULL before the first */
    uint32_t wait_count;
    uint32_t search_at;  /* where the search for a free one begins */
    bool full_told;      /* the log knows that there is no room */
    struct list answers; /* that are to be read */
};

/* Asks about a client: see host_operations.ask_callout. */
enum host_result callouts_ask(struct shard *shard, struct connection *connection);

/* A message came to the inbox; true: it answers a question. */
bool callouts_note(struct shard *shard, const struct message *message);

/* Reads the answers that have come. Once a turn. */
void callouts_step(struct shard *shard);

/* The client goes: nobody waits for the answer. */
void callouts_forget(struct shard *shard, struct client *client);

/* Forgets all; before the accounts go. */
void callouts_close(struct shard *shard);

#endif
