/* shards/control/account_register.h - ids for accounts that are not configured, but that other servers speak
 * of, or that a reload has removed: one that a later reload adds has the id by which shards know it already
 * (shards/account_names.h). In the flow:  MAIL_ACCOUNT_ASK -> account_register_mail() -> MAIL_ACCOUNT_NAMED
 * || control_reload() -> account_register_reload() At the bound: ACCOUNT_NAMES_MAX names; a further one has
 * no id. Thread: the control core's. */
#ifndef SHARDS_CONTROL_ACCOUNT_REGISTER_H
#define SHARDS_CONTROL_ACCOUNT_REGISTER_H

#include "shards/account_names.h"
#include "shards/options.h"

struct control;
struct account_owed;

struct account_register {
    struct arena arena;
    struct account_name *all;  /* [ACCOUNT_NAMES_MAX], in the arena; NULL: none yet */
    struct account_owed *owed; /* answers that have found no room */
    uint32_t count;
    uint32_t next_id; /* for a name that is met; as many were set aside as there may be names */
};

/* Sets ids aside, before any shard has the options. */
void account_register_init(struct account_register *accounts, struct server_options *options);
void account_register_close(struct account_register *accounts);

/* A MAIL_ACCOUNT_ASK. */
void account_register_mail(struct control *control, uint32_t from, const uint8_t *mail);

/* New options, before they are handed out: accounts that are new get their ids, those that are gone are kept
 * in mind. */
void account_register_reload(struct account_register *accounts, struct server_options *options,
                             const struct server_options *before);

/* Once a turn: answers that found no room. True: some of them are left. */
bool account_register_step(struct control *control);

#endif
