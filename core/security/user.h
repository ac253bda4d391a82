/* core/security/user.h - who may come in: the `users` arrays of `authorization` and of accounts
 * (spec/configuration.md 4.5, spec/security.md 1.7), as one table of the snapshot.
 * In the flow:  a block's `users` -> security_user_list_parse(); when the block is complete, with its default
 *               permissions known -> security_users_join() -> security_user_find(), security_user_find_nkey()
 * All of it lies in the snapshot's arena and is never changed once the snapshot is handed out. At the bound:
 * a list is no longer than a configuration's tree may be (CONFIG_WEIGHT_MAX). Thread: the control core until
 * the snapshot is handed out, then any, to read. */
#ifndef CORE_SECURITY_USER_H
#define CORE_SECURITY_USER_H

#include "core/base/err.h"
#include "core/config/option.h"

struct dn;                   /* core/security/certificate_names.h */
struct security_account;     /* core/security/account.h */
struct security_permissions; /* core/security/permissions.h */

/* Ways to connect, as bits of security_user.connection_types. */
enum connection_type {
    CONNECTION_TYPE_STANDARD = 1 << 0,
    CONNECTION_TYPE_WEBSOCKET = 1 << 1,
    CONNECTION_TYPE_LEAFNODE = 1 << 2,
    CONNECTION_TYPE_LEAFNODE_WS = 1 << 3,
    CONNECTION_TYPE_MQTT = 1 << 4,
    CONNECTION_TYPE_MQTT_WS = 1 << 5,
    CONNECTION_TYPE_IN_PROCESS = 1 << 6,
};

/* The bit for a name as configurations and tokens have it, in any case; 0: there is none such. */
uint8_t security_connection_type(struct bytes word);

struct security_user {
    struct security_user *next;    /* in its list; once joined, in security_users, in the order of joining */
    struct security_user *next_dn; /* of those whose names are DNs with the same place in the table */
    struct bytes name;             /* empty: one who comes with an NKey */
    struct bytes password;         /* plain, or bcrypt: "$2a$11$...". An empty one is a password too */
    struct bytes nkey;             /* the public key's text, "U..."; empty: one who comes by name */
    const struct security_permissions *permissions; /* NULL: may do everything */
    const struct security_account *account;         /* NULL: $G */
    uint8_t connection_types;                       /* 0: any */
    bool proxy_required;                            /* comes in through a trusted proxy only */
};

/* One `users` array. All zero is empty. */
struct security_user_list {
    struct security_user *first, *last;
};

/* All users of a snapshot, by name and by NKey: open addressing. All zero is empty. */
struct security_users {
    struct security_user *first, *last;
    struct security_user **slots;
    struct security_user **dn_slots;    /* chains of those whose names are DNs, by dn_hash() */
    const struct security_user *hashed; /* one whose password is a bcrypt hash; NULL: there is none */
    uint32_t count;
    uint32_t nkey_count; /* of them, who come with an NKey */
    uint32_t capacity;   /* a power of two, or 0 */
};

/* Reads a `users` array and appends what it holds to the list. What is wrong is noted in `errors`. */
void security_user_list_parse(struct security_user_list *list, const struct config_entry *entry,
                              struct arena *arena, struct option_errors *errors);

/* The block that held the list is complete: its users get their account, and the block's default permissions
 * when they have none of their own (NULL: there are none), and join the others. A name or key that is there
 * already is noted at `at` and left out. The list is empty afterwards. */
void security_users_join(struct security_users *users, struct security_user_list *list,
                         const struct security_account *account, const struct security_permissions *defaults,
                         struct config_position at, struct arena *arena, struct option_errors *errors);

/* Adds one user. ERR_EXISTS, ERR_MEMORY: nothing has changed. Owner: the caller, as long as the table. */
MUST_USE enum err security_users_add(struct security_users *users, struct security_user *user,
                                     struct arena *arena);

/* The user of that name, or with that NKey; NULL when there is none. Cost: one hash. */
const struct security_user *security_user_find(const struct security_users *users, struct bytes name);
const struct security_user *security_user_find_nkey(const struct security_users *users, struct bytes nkey);

/* The user whose name is that DN, in that order or in any, and who may connect in this way. */
const struct security_user *security_user_find_dn(const struct security_users *users, const struct dn *dn,
                                                  enum connection_type type);

static inline bool security_user_may_connect(const struct security_user *user, enum connection_type type)
{
    return user->connection_types == 0 || (user->connection_types & type) != 0;
}

/* The same user in another snapshot, or NULL. */
const struct security_user *security_user_again(const struct security_users *users,
                                                const struct security_user *user);

#endif
