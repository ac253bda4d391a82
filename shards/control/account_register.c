/* shards/control/account_register.c - see account_register.h. */
#include "shards/control/account_register.h"

#include "core/base/log.h"
#include "core/base/memory.h"
#include "shards/control/control_internal.h"
#include "shards/mail.h"

#include <string.h>

struct account_owed {
    struct account_owed *next;
    uint32_t to;
    struct mail_account_name mail;
};

static struct account_name *find(const struct account_register *accounts, struct bytes name)
{
    for (uint32_t i = 0; i < accounts->count; i++) {
        if (bytes_equal(accounts->all[i].name, name))
            return &accounts->all[i];
    }
    return NULL;
}

/* NULL: there are too many, or memory is out. */
static const struct account_name *add(struct account_register *accounts, struct bytes name, uint32_t id)
{
    if (accounts->count == ACCOUNT_NAMES_MAX)
        return NULL;
    if (accounts->all == NULL)
        accounts->all = arena_new(&accounts->arena, ACCOUNT_NAMES_MAX * sizeof *accounts->all);
    const char *copy = accounts->all == NULL ? NULL : arena_copy(&accounts->arena, name);
    if (copy == NULL)
        return NULL;
    struct account_name *entry = &accounts->all[accounts->count++];
    *entry = (struct account_name){.name = bytes_of(copy, name.count), .id = id};
    return entry;
}

void account_register_init(struct account_register *accounts, struct server_options *options)
{
    accounts->next_id = options->security.accounts.next_id;
    options->security.accounts.next_id += ACCOUNT_NAMES_MAX;
}

void account_register_close(struct account_register *accounts)
{
    struct block_pool none = {0};
    for (struct account_owed *owed; (owed = accounts->owed) != NULL;) {
        accounts->owed = owed->next;
        block_release(&none, owed->mail.block);
        memory_free(owed);
    }
    block_pool_close(&none);
    arena_close(&accounts->arena);
}

static uint32_t id_of(struct control *control, struct bytes name)
{
    struct account_register *accounts = &control->accounts;
    const struct security_account *configured =
        security_account_find(&control->snapshot->options->security.accounts, name);
    const struct account_name *known = configured == NULL ? find(accounts, name) : NULL;
    if (configured != NULL) /* by a reload that the shard has not heard of */
        return configured->id;
    if (known == NULL) {
        known = add(accounts, name, accounts->next_id);
        accounts->next_id += known != NULL;
    }
    if (known == NULL)
        log_debug(control->log, "No room for what other servers want in account \"%.*s\", which is not here",
                  BYTES_PRINTF(name));
    return known == NULL ? ACCOUNT_NAME_NONE : known->id;
}

/* The question goes back as the answer. */
void account_register_mail(struct control *control, uint32_t from, const uint8_t *bytes)
{
    struct mail_account_name mail;
    memcpy(&mail, bytes, sizeof mail);
    mail.kind = MAIL_ACCOUNT_NAMED;
    mail.account = id_of(control, bytes_of(mail.block->bytes, mail.count));
    if (control_tell(control, from, &mail, sizeof mail))
        return;
    struct account_owed *owed = memory_new(sizeof *owed);
    if (owed == NULL) { /* the routes that wait for it are slow, and their peers will find them stale */
        struct block_pool none = {0};
        log_error(control->log, "No memory to answer a shard");
        block_release(&none, mail.block);
        block_pool_close(&none);
        return;
    }
    *owed = (struct account_owed){.next = control->accounts.owed, .to = from, .mail = mail};
    control->accounts.owed = owed;
}

bool account_register_step(struct control *control)
{
    struct account_owed **at = &control->accounts.owed;
    while (*at != NULL) {
        struct account_owed *owed = *at;
        if (control_tell(control, owed->to, &owed->mail, sizeof owed->mail)) {
            *at = owed->next;
            memory_free(owed);
        } else {
            at = &owed->next;
        }
    }
    return control->accounts.owed != NULL;
}

static bool has(const struct security_accounts *accounts, struct bytes name)
{
    return security_account_find(accounts, name) != NULL;
}

void account_register_reload(struct account_register *accounts, struct server_options *options,
                             const struct server_options *before)
{
    const struct security_accounts *now = &options->security.accounts;
    const struct security_accounts *then = &before->security.accounts;
    for (uint32_t i = 0; i < now->count; i++) {
        const struct account_name *known =
            has(then, now->all[i]->name) ? NULL : find(accounts, now->all[i]->name);
        if (known != NULL)
            now->all[i]->id = known->id;
    }
    for (uint32_t i = 0; i < then->count; i++) {
        const struct security_account *account = then->all[i];
        if (!has(now, account->name) && find(accounts, account->name) == NULL)
            (void)add(accounts, account->name, account->id); /* without room it comes back as another one */
    }
}
