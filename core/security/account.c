/* core/security/account.c - the `accounts` block and what holds for all accounts; see account.h. Exports and
 * imports are read in account_items.c and linked in account_links.c. */
#include "core/security/account.h"

#include "core/base/hash.h"
#include "core/security/nkey.h"
#include "core/security/permissions.h"

#define GLOBAL_NAME TEXT("$G")
#define SYSTEM_NAME TEXT("$SYS")

static option_parse parse_users, parse_limits, parse_mappings, parse_nkey, parse_default_permissions;

/* ---- one account ---- */

static const struct option block_rows[] = {
    {.name = "nkey", .kind = OPTION_CUSTOM, .parse = parse_nkey},
    {.name = "users", .kind = OPTION_CUSTOM, .parse = parse_users},
    {.name = "exports", .kind = OPTION_CUSTOM, .parse = account_exports_parse},
    {.name = "imports", .kind = OPTION_CUSTOM, .parse = account_imports_parse},
    {.name = "limits", .kind = OPTION_CUSTOM, .parse = parse_limits},
    {.name = "mappings", .aliases = "maps", .kind = OPTION_CUSTOM, .parse = parse_mappings},
    {.name = "default_permissions",
     .aliases = "default_permission permissions",
     .kind = OPTION_CUSTOM,
     .parse = parse_default_permissions},
    {.name = "jetstream", .kind = OPTION_NOT_BUILT},
    {.name = "msg_trace", .aliases = "trace_dest", .kind = OPTION_NOT_BUILT},
};

static const struct option limit_rows[] = {
    {.name = "max_connections",
     .aliases = "max_conn",
     .kind = OPTION_INTEGER,
     .offset = INTO(struct account_limits, connections)},
    {.name = "max_subscriptions",
     .aliases = "max_subs",
     .kind = OPTION_INTEGER,
     .offset = INTO(struct account_limits, subscriptions)},
    {.name = "max_payload",
     .aliases = "max_pay",
     .kind = OPTION_INTEGER,
     .offset = INTO(struct account_limits, payload_bytes)},
    {.name = "max_leafnodes",
     .aliases = "max_leafs",
     .kind = OPTION_INTEGER,
     .offset = INTO(struct account_limits, leafnodes)},
};

static void parse_nkey(void *target, const struct config_entry *entry, struct arena *arena,
                       struct option_errors *errors)
{
    struct account_block *block = target;
    enum nkey_type type = NKEY_USER;
    uint8_t raw[NKEY_RAW_BYTES];
    if (entry->value->kind == CONFIG_STRING && nkey_decode(entry->value->string, &type, raw) == ERR_OK &&
        type == NKEY_ACCOUNT) {
        block->account->nkey = option_copy(entry->value->string, entry->position, arena, errors);
        return;
    }
    /* It may be the seed. */
    option_fail(errors, entry->position, "Not a valid public nkey for an account: \"xxxxx\"");
}

static void parse_users(void *target, const struct config_entry *entry, struct arena *arena,
                        struct option_errors *errors)
{
    struct account_block *block = target;
    block->users_at = entry->position;
    security_user_list_parse(&block->users, entry, arena, errors);
}

static void parse_default_permissions(void *target, const struct config_entry *entry, struct arena *arena,
                                      struct option_errors *errors)
{
    struct account_block *block = target;
    block->account->default_permissions = security_permissions_parse(entry, arena, errors);
}

static void parse_mappings(void *target, const struct config_entry *entry, struct arena *arena,
                           struct option_errors *errors)
{
    struct account_block *block = target;
    security_mappings_parse(&block->account->mappings, entry, arena, errors);
}

static void parse_limits(void *target, const struct config_entry *entry, struct arena *arena,
                         struct option_errors *errors)
{
    struct account_block *block = target;
    char shown[80];
    if (entry->value->kind != CONFIG_MAP) {
        config_value_show(entry->value, shown, sizeof shown);
        option_fail(errors, entry->position, "Expected account limits to be a map/struct, got %s", shown);
        return;
    }
    for (const struct config_entry *at = entry->value->entries.first; at != NULL; at = at->next) {
        struct config_entry alone = *at;
        struct config_value map = {.kind = CONFIG_MAP, .entries = {&alone, &alone}};
        bool known = false;
        alone.next = NULL;
        for (size_t i = 0; i < COUNT_OF(limit_rows); i++)
            known = known || config_name_equal(at->key, limit_rows[i].name) ||
                    option_name_in(limit_rows[i].aliases, at->key, true);
        if (known)
            option_map_apply(limit_rows, COUNT_OF(limit_rows), &block->account->limits, &map, arena, errors);
        else if (!at->referenced)
            option_fail(errors, at->position, "Unknown field \"%.*s\" parsing account limits",
                        BYTES_PRINTF(at->key));
    }
}

/* ---- the block ---- */

static bool reserved(struct bytes name, struct config_position at, struct option_errors *errors)
{
    if (!bytes_equal(name, GLOBAL_NAME))
        return false;
    option_fail(errors, at, "\"$G\" is a Reserved Account");
    return true;
}

/* One more account, of that name. NULL: memory is out. */
static struct security_account *account_new(struct bytes name, struct arena *arena)
{
    struct security_account *account = arena_new(arena, sizeof *account);
    char *copy = arena_copy(arena, name);
    if (account == NULL || copy == NULL)
        return NULL;
    account->name = bytes_of(copy, name.count);
    account->limits = (struct account_limits){-1, -1, -1, -1};
    return account;
}

/* Room for the accounts of a block, and for $G and $SYS. */
static bool room_make(struct security_accounts *accounts, uint32_t count, struct arena *arena)
{
    struct security_account **all = arena_new(arena, ((size_t)accounts->count + count + 2) * sizeof *all);
    if (all == NULL)
        return false;
    for (uint32_t i = 0; i < accounts->count; i++)
        all[i] = accounts->all[i];
    accounts->all = all;
    return true;
}

static uint32_t item_count(const struct config_value *value)
{
    uint32_t count = 0;
    for (const struct config_entry *item = value->entries.first; item != NULL; item = item->next)
        count++;
    return count;
}

static void parse_names(struct security_accounts *accounts, const struct config_entry *entry,
                        struct arena *arena, struct option_errors *errors)
{
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next) {
        if (!option_want(errors, item, CONFIG_STRING) ||
            reserved(item->value->string, item->position, errors))
            continue;
        if (security_account_find(accounts, item->value->string) != NULL) {
            option_fail(errors, item->position, "Duplicate Account Entry: %.*s",
                        BYTES_PRINTF(item->value->string));
            continue;
        }
        struct security_account *account = account_new(item->value->string, arena);
        if (account == NULL) {
            option_fail(errors, item->position, "out of memory");
            return;
        }
        accounts->all[accounts->count++] = account;
    }
}

/* Reads one account's block. False: it is none. */
static bool parse_account(struct account_block *block, const struct config_entry *item, struct arena *arena,
                          struct option_errors *errors)
{
    if (reserved(item->key, item->position, errors))
        return false;
    if (item->value->kind != CONFIG_MAP) {
        option_fail(errors, item->position, "Expected map entries for accounts");
        return false;
    }
    block->account = account_new(item->key, arena);
    if (block->account == NULL) {
        option_fail(errors, item->position, "out of memory");
        return false;
    }
    block->exports_end = &block->exports;
    block->imports_end = &block->imports;
    option_map_apply(block_rows, COUNT_OF(block_rows), block, item->value, arena, errors);
    return true;
}

static void parse_map(struct security_accounts *accounts, struct security_users *users,
                      const struct config_entry *entry, struct arena *arena, struct option_errors *errors)
{
    uint32_t count = 0;
    struct account_block *blocks = arena_new(arena, item_count(entry->value) * sizeof *blocks);
    if (blocks == NULL) {
        option_fail(errors, entry->position, "out of memory");
        return;
    }
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next) {
        if (item->referenced && item->value->kind != CONFIG_MAP)
            continue; /* a variable that was set here */
        if (!parse_account(&blocks[count], item, arena, errors))
            continue;
        accounts->all[accounts->count++] = blocks[count].account;
        if (blocks[count].users.first != NULL && !accounts->has_users) {
            accounts->has_users = true;
            accounts->users_at = blocks[count].users_at;
        }
        security_users_join(users, &blocks[count].users, blocks[count].account,
                            blocks[count].account->default_permissions, blocks[count].users_at, arena,
                            errors);
        count++;
    }
    account_links_make(accounts, blocks, count, entry->position, arena, errors);
}

void security_accounts_parse(struct security_accounts *accounts, struct security_users *users,
                             const struct config_entry *entry, struct arena *arena,
                             struct option_errors *errors)
{
    enum config_kind kind = entry->value->kind;
    if (kind != CONFIG_MAP && kind != CONFIG_ARRAY) {
        option_fail(errors, entry->position, "Expected accounts to be a map or an array of names, got %s",
                    config_type_name(entry->value));
        return;
    }
    if (!room_make(accounts, item_count(entry->value), arena)) {
        option_fail(errors, entry->position, "out of memory");
        return;
    }
    if (kind == CONFIG_MAP)
        parse_map(accounts, users, entry, arena, errors);
    else
        parse_names(accounts, entry, arena, errors);
}

/* ---- all of them ---- */

struct security_account *security_account_find(const struct security_accounts *accounts, struct bytes name)
{
    for (uint32_t i = 0; i < accounts->count; i++) {
        if (bytes_equal(accounts->all[i]->name, name))
            return accounts->all[i];
    }
    return NULL;
}

const struct security_account *security_account_find_next(const struct security_accounts *accounts,
                                                          struct bytes name, uint32_t *at)
{
    for (uint32_t i = 0; i < accounts->count; i++) {
        uint32_t place = (*at + i) % accounts->count;
        if (!bytes_equal(accounts->all[place]->name, name))
            continue;
        *at = place + 1;
        return accounts->all[place];
    }
    return NULL;
}

const struct security_account *security_account_of(const struct security_accounts *accounts,
                                                   const struct security_user *user)
{
    if (user != NULL && user->account != NULL)
        return user->account;
    return accounts->count == 0 ? NULL : accounts->all[0];
}

/* The system account: the one named, or `$SYS`, which is made when the file does not have it. */
static bool system_find(struct security_accounts *accounts, struct arena *arena, struct config_text *why)
{
    bool named = accounts->system_name.count > 0;
    if (accounts->no_system && !named)
        return true;
    accounts->system = security_account_find(accounts, named ? accounts->system_name : SYSTEM_NAME);
    if (accounts->system != NULL)
        return true;
    if (named && !bytes_equal(accounts->system_name, SYSTEM_NAME)) {
        config_text_add(why, "error resolving system account: account missing");
        return false;
    }
    accounts->system = account_new(SYSTEM_NAME, arena);
    if (accounts->system == NULL) {
        config_text_add(why, "out of memory");
        return false;
    }
    accounts->all[accounts->count++] = accounts->system;
    return true;
}

/* Latencies are measured for the system account's sake, as in nats-server. */
static bool latencies_possible(const struct security_accounts *accounts, struct config_text *why)
{
    for (uint32_t i = 0; i < accounts->count && accounts->system == NULL; i++) {
        const struct security_account *account = accounts->all[i];
        for (uint32_t j = 0; j < account->service_export_count; j++) {
            if (account->service_exports[j].latency.subject.count == 0)
                continue;
            config_text_add(why,
                            "Error adding service latency sampling for \"%.*s\": system account not setup",
                            BYTES_PRINTF(account->service_exports[j].subject));
            return false;
        }
    }
    return true;
}

bool security_accounts_finish(struct security_accounts *accounts, struct arena *arena,
                              struct config_text *why)
{
    struct security_account *global = account_new(GLOBAL_NAME, arena);
    if (global == NULL || !room_make(accounts, 0, arena)) {
        config_text_add(why, "out of memory");
        return false;
    }
    for (uint32_t i = accounts->count; i > 0; i--)
        accounts->all[i] = accounts->all[i - 1];
    accounts->all[0] = global;
    accounts->count++;
    global->mappings = accounts->global_mappings;
    if (!system_find(accounts, arena, why) || !latencies_possible(accounts, why))
        return false;
    if (!account_system_links_make(accounts, arena)) {
        config_text_add(why, "out of memory");
        return false;
    }
    for (uint32_t i = 0; i < accounts->count; i++)
        accounts->all[i]->number = accounts->all[i]->id = i;
    accounts->next_id = accounts->count;
    return true;
}

/* Open addressing over the accounts that were there before. */
static void place(struct security_account **slots, uint32_t mask, struct security_account *account)
{
    uint32_t at = (uint32_t)hash_bytes(account->name, 0);
    while (slots[at & mask] != NULL)
        at++;
    slots[at & mask] = account;
}

enum err security_accounts_inherit(struct security_accounts *accounts, const struct security_accounts *before,
                                   struct arena *arena)
{
    uint32_t capacity = 8;
    while (capacity < 2 * before->count)
        capacity *= 2;
    struct security_account **slots = arena_new(arena, capacity * sizeof *slots);
    if (slots == NULL)
        return ERR_MEMORY;
    for (uint32_t i = 0; i < before->count; i++)
        place(slots, capacity - 1, before->all[i]);
    accounts->next_id = before->next_id;
    for (uint32_t i = 0; i < accounts->count; i++) {
        struct security_account *account = accounts->all[i];
        uint32_t at = (uint32_t)hash_bytes(account->name, 0);
        const struct security_account *found;
        while ((found = slots[at & (capacity - 1)]) != NULL && !bytes_equal(found->name, account->name))
            at++;
        account->id = found != NULL ? found->id : accounts->next_id++;
    }
    return ERR_OK;
}
