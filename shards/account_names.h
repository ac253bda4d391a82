/* shards/account_names.h - accounts that are not configured here, but that another server or cluster speaks
 * of. What is wanted there is kept under an id like any other's, because a reload may add the account: then
 * it has that id (control/account_register.h), and what was said before is known. In the flow:  RS+ of an
 * account without configuration -> account_names_find() -> MAIL_ACCOUNT_ASK -> the control core ->
 * MAIL_ACCOUNT_NAMED At the bound: ACCOUNT_NAMES_MAX names for the whole server; of a further account nothing
 * is kept, and what it wants is known when the other side is connected to anew. Thread: the shard's. */
#ifndef SHARDS_ACCOUNT_NAMES_H
#define SHARDS_ACCOUNT_NAMES_H

#include "core/base/arena.h"
#include "core/base/bytes.h"
#include "net/route_host.h"

#include <stdint.h>

struct shard;
struct shard_account;

enum { ACCOUNT_NAMES_MAX = 1024 };
#define ACCOUNT_NAME_NONE UINT32_MAX        /* there are too many */
#define ACCOUNT_NAME_ASKED (UINT32_MAX - 1) /* the control core has not answered yet */

struct account_name {
    struct bytes name; /* in the arena */
    uint32_t id;
};

/* All zero is empty. */
struct account_names {
    struct arena arena;
    struct account_name *all; /* [ACCOUNT_NAMES_MAX], in the arena; NULL: none yet */
    uint32_t count;
};

/* The account of that name, which is not configured. ROUTE_HOST_FULL: it is not known yet, to be asked again.
 * ROUTE_HOST_DONE with NULL: it is not kept. */
enum route_host_result account_names_find(struct shard *shard, struct bytes name,
                                          struct shard_account **account);

/* A MAIL_ACCOUNT_NAMED. */
void account_names_mail(struct shard *shard, const uint8_t *mail);

#endif
