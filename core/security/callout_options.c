/* core/security/callout_options.c - see callout_options.h. The sentences are nats-server's. */
#include "core/security/callout_options.h"

#include "core/security/permissions.h"

static option_parse parse_issuer, parse_xkey, parse_users, parse_allowed;

static bool key_of_type(struct bytes words, enum nkey_type wanted, uint8_t raw[NKEY_RAW_BYTES])
{
    enum nkey_type type;
    return nkey_decode(words, &type, raw) == ERR_OK && type == wanted;
}

/* What stands in the place of a public key may be a seed. */
static struct bytes key_shown(struct bytes words)
{
    return nkey_may_be_seed(words) ? TEXT("xxxxx") : words;
}

static void parse_issuer(void *target, const struct config_entry *entry, struct arena *arena,
                         struct option_errors *errors)
{
    struct callout_options *callout = target;
    uint8_t raw[NKEY_RAW_BYTES];
    if (!option_want(errors, entry, CONFIG_STRING))
        return;
    option_read_string(&callout->issuer, entry, arena, errors);
    if (!key_of_type(callout->issuer, NKEY_ACCOUNT, raw))
        option_fail(errors, entry->position,
                    "Expected callout user to be a valid public account nkey, got \"%.*s\"",
                    BYTES_PRINTF(key_shown(callout->issuer)));
}

static void parse_xkey(void *target, const struct config_entry *entry, struct arena *arena,
                       struct option_errors *errors)
{
    struct callout_options *callout = target;
    if (!option_want(errors, entry, CONFIG_STRING))
        return;
    option_read_string(&callout->xkey, entry, arena, errors);
    if (!key_of_type(callout->xkey, NKEY_CURVE, callout->xkey_raw))
        option_fail(errors, entry->position, "Expected callout xkey to be a valid public xkey, got \"%.*s\"",
                    BYTES_PRINTF(key_shown(callout->xkey)));
}

/* A list of names. */
static void read_names(const struct bytes **names, uint32_t *count, const char *what,
                       const struct config_entry *entry, struct arena *arena, struct option_errors *errors)
{
    uint32_t wanted = 0;
    if (entry->value->kind != CONFIG_ARRAY) {
        option_fail(errors, entry->position, "Expected %s field to be an array, got %s", what,
                    config_type_name(entry->value));
        return;
    }
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next)
        wanted++;
    struct bytes *list = arena_new(arena, wanted * sizeof *list);
    if (list == NULL) {
        option_fail(errors, entry->position, "out of memory");
        return;
    }
    *names = list;
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next) {
        if (option_want(errors, item, CONFIG_STRING))
            option_read_string(&list[(*count)++], item, arena, errors);
    }
}

static void parse_users(void *target, const struct config_entry *entry, struct arena *arena,
                        struct option_errors *errors)
{
    struct callout_options *callout = target;
    read_names(&callout->users, &callout->user_count, "auth_users", entry, arena, errors);
}

static void parse_allowed(void *target, const struct config_entry *entry, struct arena *arena,
                          struct option_errors *errors)
{
    struct callout_options *callout = target;
    read_names(&callout->allowed, &callout->allowed_count, "allowed accounts", entry, arena, errors);
}

static const struct option rows[] = {
    {.name = "issuer", .kind = OPTION_CUSTOM, .parse = parse_issuer},
    {.name = "account",
     .aliases = "acc",
     .kind = OPTION_STRING,
     .offset = INTO(struct callout_options, account)},
    {.name = "auth_users", .aliases = "users", .kind = OPTION_CUSTOM, .parse = parse_users},
    {.name = "xkey", .aliases = "key", .kind = OPTION_CUSTOM, .parse = parse_xkey},
    {.name = "allowed_accounts", .kind = OPTION_CUSTOM, .parse = parse_allowed},
};

void callout_options_parse(struct callout_options *callout, const struct config_entry *entry,
                           struct arena *arena, struct option_errors *errors)
{
    size_t before = errors->errors.count;
    if (entry->value->kind != CONFIG_MAP) {
        option_fail(errors, entry->position, "Expected authorization callout to be a map/struct, got %s",
                    config_type_name(entry->value));
        return;
    }
    callout->account = TEXT("$G");
    option_map_apply(rows, COUNT_OF(rows), callout, entry->value, arena, errors);
    callout->given = true;
    if (errors->errors.count != before)
        return;
    if (callout->issuer.count == 0)
        option_fail(errors, entry->position, "Authorization callouts require an issuer to be specified");
    else if (callout->user_count == 0)
        option_fail(errors, entry->position,
                    "Authorization callouts require authorized users to be specified");
}

/* ---- finishing ---- */

/* Nobody but the server publishes a request: a user who could would learn by the answer who may come in. */
static bool users_deny(struct callout_options *callout, const struct security_accounts *accounts,
                       const struct security_users *users, struct arena *arena)
{
    static const struct bytes denied[] = {{(const uint8_t *)CALLOUT_SUBJECT, sizeof CALLOUT_SUBJECT - 1}};
    for (struct security_user *user = users->first; user != NULL; user = user->next) {
        if (security_account_of(accounts, user) != callout->in)
            continue;
        user->permissions = permissions_denying(user->permissions, denied, 1, false, arena);
        if (user->permissions == NULL)
            return false;
    }
    if (callout->in != accounts->all[0])
        return true;
    callout->unlisted = permissions_denying(NULL, denied, 1, false, arena);
    return callout->unlisted != NULL;
}

bool callout_options_finish(struct callout_options *callout, const struct security_accounts *accounts,
                            const struct security_users *users, struct arena *arena, struct config_text *why)
{
    if (!callout->given)
        return true;
    for (uint32_t i = 0; i < callout->allowed_count; i++) {
        const struct security_account *account = security_account_find(accounts, callout->allowed[i]);
        if (account != NULL && account != accounts->all[0])
            continue;
        config_text_add(why, "auth_callout allowed account \"%.*s\" not found in configured accounts",
                        BYTES_PRINTF(callout->allowed[i]));
        return false;
    }
    callout->in = security_account_find(accounts, callout->account);
    if (callout->in == NULL || users_deny(callout, accounts, users, arena))
        return true;
    config_text_add(why, "out of memory");
    return false;
}

/* ---- reload ---- */

static bool lists_equal(const struct bytes *a, uint32_t a_count, const struct bytes *b, uint32_t b_count)
{
    bool equal = a_count == b_count;
    for (uint32_t i = 0; equal && i < a_count; i++)
        equal = bytes_equal(a[i], b[i]);
    return equal;
}

static void list_add(struct config_text *out, const struct bytes *names, uint32_t count)
{
    config_text_add(out, " [");
    for (uint32_t i = 0; i < count; i++)
        config_text_add(out, "%s%.*s", i == 0 ? "" : " ", BYTES_PRINTF(key_shown(names[i])));
    config_text_add(out, "]");
}

static void describe(struct config_text *out, const struct callout_options *callout)
{
    if (!callout->given) {
        config_text_add(out, "<nil>");
        return;
    }
    config_text_add(out, "&{%.*s %.*s", BYTES_PRINTF(callout->issuer), BYTES_PRINTF(callout->account));
    list_add(out, callout->users, callout->user_count);
    config_text_add(out, " %.*s", BYTES_PRINTF(callout->xkey));
    list_add(out, callout->allowed, callout->allowed_count);
    config_text_add(out, "}");
}

void callout_options_compare(const struct callout_options *before, const struct callout_options *after,
                             struct option_changes *changes)
{
    bool same = before->given == after->given && bytes_equal(before->issuer, after->issuer) &&
                bytes_equal(before->account, after->account) && bytes_equal(before->xkey, after->xkey) &&
                lists_equal(before->users, before->user_count, after->users, after->user_count) &&
                lists_equal(before->allowed, before->allowed_count, after->allowed, after->allowed_count);
    if (same || changes->refusal.count > 0)
        return;
    config_text_add(&changes->refusal, "config reload not supported for AuthCallout: old=");
    describe(&changes->refusal, before);
    config_text_add(&changes->refusal, ", new=");
    describe(&changes->refusal, after);
}
