/* shards/account_names.c - see account_names.h. A name is looked for among all: it is asked for when another
 * server says what an account wants that nobody has here, and no message goes through here. */
#include "shards/account_names.h"

#include "shards/mail.h"
#include "shards/shard.h"

#include <string.h>

static struct account_name *find(const struct account_names *names, struct bytes name)
{
    for (uint32_t i = 0; i < names->count; i++) {
        if (bytes_equal(names->all[i].name, name))
            return &names->all[i];
    }
    return NULL;
}

static bool ask(struct shard *shard, struct bytes name)
{
    struct mail_account_name mail = {.kind = MAIL_ACCOUNT_ASK, .count = (uint32_t)name.count};
    mail.block = block_take(&shard->context.pool.blocks, name.count);
    if (mail.block == NULL)
        return false;
    memcpy(mail.block->bytes, name.data, name.count);
    if (shard_tell_control(shard, &mail, sizeof mail))
        return true;
    block_release(&shard->context.pool.blocks, mail.block);
    return false;
}

/* False: no memory. */
static bool add(struct account_names *names, struct bytes name)
{
    if (names->all == NULL)
        names->all = arena_new(&names->arena, ACCOUNT_NAMES_MAX * sizeof *names->all);
    const char *copy = names->all == NULL ? NULL : arena_copy(&names->arena, name);
    if (copy == NULL)
        return false;
    names->all[names->count++] =
        (struct account_name){.name = bytes_of(copy, name.count), .id = ACCOUNT_NAME_ASKED};
    return true;
}

enum route_host_result account_names_find(struct shard *shard, struct bytes name,
                                          struct shard_account **account)
{
    struct account_names *names = &shard->names;
    const struct account_name *known = find(names, name);
    *account = NULL;
    if (known == NULL && (name.count == 0 || names->count == ACCOUNT_NAMES_MAX))
        return ROUTE_HOST_DONE;
    if (known == NULL && !ask(shard, name))
        return ROUTE_HOST_FULL;
    if (known == NULL) /* without memory for it the answer finds nothing, and it is asked for again */
        return add(names, name) ? ROUTE_HOST_FULL : ROUTE_HOST_MEMORY;
    if (known->id == ACCOUNT_NAME_ASKED)
        return ROUTE_HOST_FULL;
    if (known->id == ACCOUNT_NAME_NONE)
        return ROUTE_HOST_DONE;
    *account = accounts_get(shard, known->id);
    return *account == NULL ? ROUTE_HOST_MEMORY : ROUTE_HOST_DONE;
}

void account_names_mail(struct shard *shard, const uint8_t *bytes)
{
    struct mail_account_name mail;
    memcpy(&mail, bytes, sizeof mail);
    struct account_name *known = find(&shard->names, bytes_of(mail.block->bytes, mail.count));
    if (known != NULL)
        known->id = mail.account;
    block_release(&shard->context.pool.blocks, mail.block);
}
