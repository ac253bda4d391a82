/* core/security/user.c - see user.h. The table is filled while the file is read, list by list, so that a name
 * that comes twice is found at the list that repeats it, and stays as it is afterwards. */
#include "core/security/user.h"

#include "core/base/hash.h"
#include "core/base/quote.h"
#include "core/security/certificate_names.h"
#include "core/security/nkey.h"
#include "core/security/password.h"
#include "core/security/permissions.h"

#include <strings.h>

enum {
    CAPACITY_LEAST = 8,
    QUOTED_BYTES = 256,
    NAME_SEED = 0, /* no secret: the table is as full as the configuration makes it, whoever knocks */
};

static option_parse parse_connection_types, parse_permissions;

/* ---- one user ---- */

static const struct option user_rows[] = {
    {.name = "user",
     .aliases = "username",
     .kind = OPTION_STRING,
     .offset = INTO(struct security_user, name)},
    {.name = "password",
     .aliases = "pass",
     .kind = OPTION_STRING,
     .offset = INTO(struct security_user, password)},
    {.name = "nkey", .kind = OPTION_STRING, .offset = INTO(struct security_user, nkey)},
    {.name = "permissions",
     .aliases = "permission authorization",
     .kind = OPTION_CUSTOM,
     .parse = parse_permissions},
    {.name = "allowed_connection_types",
     .aliases = "connection_types clients",
     .kind = OPTION_CUSTOM,
     .parse = parse_connection_types},
    {.name = "proxy_required", .kind = OPTION_BOOL, .offset = INTO(struct security_user, proxy_required)},
};

uint8_t security_connection_type(struct bytes word)
{
    static const struct {
        const char *name;
        enum connection_type type;
    } types[] = {
        {"STANDARD", CONNECTION_TYPE_STANDARD},
        {"WEBSOCKET", CONNECTION_TYPE_WEBSOCKET},
        {"LEAFNODE", CONNECTION_TYPE_LEAFNODE},
        {"LEAFNODE_WS", CONNECTION_TYPE_LEAFNODE_WS},
        {"MQTT", CONNECTION_TYPE_MQTT},
        {"MQTT_WS", CONNECTION_TYPE_MQTT_WS},
        {"IN_PROCESS", CONNECTION_TYPE_IN_PROCESS},
    };
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        if (config_name_equal(word, types[i].name))
            return (uint8_t)types[i].type;
    }
    return 0;
}

/* A list, or one as a text. Those that nobody knows are an error all together: `["FOO" "BAR"]`, in upper case
 * as nats-server shows them. */
static void parse_connection_types(void *target, const struct config_entry *entry, struct arena *arena,
                                   struct option_errors *errors)
{
    struct security_user *user = target;
    struct config_text unknown = {0};
    const struct config_entry alone = {.value = entry->value, .position = entry->position};
    const struct config_entry *item =
        entry->value->kind == CONFIG_ARRAY ? entry->value->entries.first : &alone;
    (void)arena;
    for (; item != NULL; item = item->next) {
        if (item->value->kind != CONFIG_STRING) {
            option_fail(errors, item->position, "error parsing allowed connection types: unsupported type %s",
                        config_type_name(item->value));
            continue;
        }
        uint8_t type = security_connection_type(item->value->string);
        user->connection_types |= type;
        if (type != 0)
            continue;
        char quoted[QUOTED_BYTES]; /* a longer word is cut */
        (void)quote(item->value->string, quoted, sizeof quoted);
        for (char *at = quoted; *at != 0; at++)
            *at = *at >= 'a' && *at <= 'z' ? (char)(*at - 32) : *at;
        config_text_add(&unknown, "%s%s", unknown.count > 0 ? " " : "", quoted);
    }
    if (unknown.count > 0)
        option_fail(errors, entry->position, "invalid connection types [%s]", config_text_string(&unknown));
    config_text_close(&unknown);
}

static void parse_permissions(void *target, const struct config_entry *entry, struct arena *arena,
                              struct option_errors *errors)
{
    struct security_user *user = target;
    user->permissions = security_permissions_parse(entry, arena, errors);
}

/* What has to hold between a user's fields; NULL: it does. */
static const char *contradiction(const struct security_user *user)
{
    if (user->name.count == 0 && user->nkey.count == 0)
        return "User entry requires a user";
    if (user->nkey.count == 0)
        return NULL;
    if (!nkey_is_user(user->nkey))
        return "Not a valid public nkey for a user";
    return user->name.count > 0 || user->password.count > 0 ? "Nkey users do not take usernames or passwords"
                                                            : NULL;
}

static void parse_user(struct security_user_list *list, const struct config_entry *item, struct arena *arena,
                       struct option_errors *errors)
{
    if (item->value->kind != CONFIG_MAP) { /* what stands there may be a secret: its type is enough */
        option_fail(errors, item->position, "Expected user entry to be a map/struct, got %s",
                    config_type_name(item->value));
        return;
    }
    struct security_user *user = arena_new(arena, sizeof *user);
    if (user == NULL) {
        option_fail(errors, item->position, "out of memory");
        return;
    }
    size_t before = errors->errors.count;
    const struct config_entry *first = item->value->entries.first;
    struct config_position at = first == NULL ? item->position : first->position;
    option_map_apply(user_rows, COUNT_OF(user_rows), user, item->value, arena, errors);
    if (errors->errors.count != before)
        return;
    const char *wrong = contradiction(user);
    if (wrong != NULL) {
        option_fail(errors, at, "%s", wrong);
        return;
    }
    if (list->last == NULL)
        list->first = user;
    else
        list->last->next = user;
    list->last = user;
}

void security_user_list_parse(struct security_user_list *list, const struct config_entry *entry,
                              struct arena *arena, struct option_errors *errors)
{
    if (entry->value->kind != CONFIG_ARRAY) {
        option_fail(errors, entry->position, "Expected users field to be an array, got %s",
                    config_type_name(entry->value));
        return;
    }
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next)
        parse_user(list, item, arena, errors);
}

/* ---- the table ---- */

/* Names and keys share the table: nats-server takes a user named like another one's key for a duplicate. */
static struct bytes key_of(const struct security_user *user)
{
    return user->nkey.count > 0 ? user->nkey : user->name;
}

static struct security_user *find(const struct security_users *users, struct bytes key)
{
    if (users->count == 0)
        return NULL;
    for (uint32_t at = (uint32_t)hash_bytes(key, NAME_SEED);; at++) {
        struct security_user *found = users->slots[at & (users->capacity - 1)];
        if (found == NULL || bytes_equal(key_of(found), key))
            return found;
    }
}

static void place(struct security_users *users, struct security_user *user)
{
    struct dn dn;
    if (user->nkey.count == 0 && dn_parse(&dn, user->name)) {
        struct security_user **chain = &users->dn_slots[dn_hash(&dn) & (users->capacity - 1)];
        user->next_dn = *chain;
        *chain = user;
    }
    uint32_t at = (uint32_t)hash_bytes(key_of(user), NAME_SEED);
    while (users->slots[at & (users->capacity - 1)] != NULL)
        at++;
    users->slots[at & (users->capacity - 1)] = user;
}

/* The old slots stay in the arena: all together they are as large as the new ones. */
static MUST_USE enum err grow(struct security_users *users, struct arena *arena)
{
    uint32_t capacity = users->capacity == 0 ? CAPACITY_LEAST : users->capacity * 2;
    struct security_user **slots = arena_new(arena, capacity * sizeof(*slots));
    struct security_user **dn_slots = arena_new(arena, capacity * sizeof(*dn_slots));
    if (slots == NULL || dn_slots == NULL)
        return ERR_MEMORY;
    users->slots = slots;
    users->dn_slots = dn_slots;
    users->capacity = capacity;
    for (struct security_user *user = users->first; user != NULL; user = user->next)
        place(users, user);
    return ERR_OK;
}

enum err security_users_add(struct security_users *users, struct security_user *user, struct arena *arena)
{
    if (find(users, key_of(user)) != NULL)
        return ERR_EXISTS;
    if ((users->count + 1) * 2 > users->capacity && grow(users, arena) != ERR_OK)
        return ERR_MEMORY;
    place(users, user);
    user->next = NULL;
    if (users->last == NULL)
        users->first = user;
    else
        users->last->next = user;
    users->last = user;
    if (users->hashed == NULL && password_is_bcrypt(user->password))
        users->hashed = user;
    users->count++;
    users->nkey_count += user->nkey.count > 0;
    return ERR_OK;
}

void security_users_join(struct security_users *users, struct security_user_list *list,
                         const struct security_account *account, const struct security_permissions *defaults,
                         struct config_position at, struct arena *arena, struct option_errors *errors)
{
    for (struct security_user *user = list->first, *next = NULL; user != NULL; user = next) {
        next = user->next;
        user->account = account;
        if (user->permissions == NULL)
            user->permissions = defaults;
        enum err err = security_users_add(users, user, arena);
        if (err == ERR_EXISTS)
            option_fail(errors, at, "Duplicate %s \"%.*s\" detected", user->nkey.count > 0 ? "nkey" : "user",
                        BYTES_PRINTF(key_of(user)));
        else if (err != ERR_OK)
            option_fail(errors, at, "out of memory");
    }
    *list = (struct security_user_list){0};
}

const struct security_user *security_user_find(const struct security_users *users, struct bytes name)
{
    const struct security_user *found = find(users, name);
    return found != NULL && found->nkey.count == 0 ? found : NULL;
}

const struct security_user *security_user_find_nkey(const struct security_users *users, struct bytes nkey)
{
    const struct security_user *found = find(users, nkey);
    return found != NULL && found->nkey.count > 0 ? found : NULL;
}

const struct security_user *security_user_find_dn(const struct security_users *users, const struct dn *dn,
                                                  enum connection_type type)
{
    const struct security_user *reordered = NULL;
    if (users->count == 0)
        return NULL;
    for (const struct security_user *user = users->dn_slots[dn_hash(dn) & (users->capacity - 1)];
         user != NULL; user = user->next_dn) {
        struct dn name;
        if (!security_user_may_connect(user, type) || !dn_parse(&name, user->name))
            continue;
        if (dn_equal(&name, dn, false))
            return user;
        if (reordered == NULL && dn_equal(&name, dn, true))
            reordered = user;
    }
    return reordered;
}

const struct security_user *security_user_again(const struct security_users *users,
                                                const struct security_user *user)
{
    return user->nkey.count > 0 ? security_user_find_nkey(users, user->nkey)
                                : security_user_find(users, user->name);
}
