/* core/security/options.c - the rows of the `authorization` block and of what belongs to it
 * (configuration.md 4.4, 4.5), and their sentences (3.3). Passwords and tokens go into the snapshot and
 * nowhere else. */
#include "core/security/options.h"

#include "core/config/duration.h"
#include "core/security/nkey.h"
#include "core/security/permissions.h"

static option_parse parse_authorization, parse_users, parse_default_permissions, parse_timeout, parse_callout,
    parse_accounts, parse_mappings, parse_system, parse_proxies;

/* ---- the block ---- */

/* What `authorization` says, until all of it is read. */
struct authorization {
    struct bytes user;
    struct bytes password;
    struct bytes token;
    bool proxy_required;
    int64_t timeout_ns;
    struct security_user_list users;
    const struct security_permissions *default_permissions;
    struct callout_options callout;
};

static void parse_users(void *target, const struct config_entry *entry, struct arena *arena,
                        struct option_errors *errors)
{
    struct authorization *block = target;
    security_user_list_parse(&block->users, entry, arena, errors);
}

static void parse_default_permissions(void *target, const struct config_entry *entry, struct arena *arena,
                                      struct option_errors *errors)
{
    struct authorization *block = target;
    block->default_permissions = security_permissions_parse(entry, arena, errors);
}

static void parse_callout(void *target, const struct config_entry *entry, struct arena *arena,
                          struct option_errors *errors)
{
    struct authorization *block = target;
    callout_options_parse(&block->callout, entry, arena, errors);
}

/* Seconds as a number, or a duration as a text. */
static void parse_timeout(void *target, const struct config_entry *entry, struct arena *arena,
                          struct option_errors *errors)
{
    (void)arena;
    struct authorization *block = target;
    const struct config_value *value = entry->value;
    char why[128], shown[80];
    double seconds = value->kind == CONFIG_INTEGER ? (double)value->integer : value->number;
    if (value->kind == CONFIG_STRING) {
        if (!duration_parse(value->string, &block->timeout_ns, why, sizeof(why)))
            option_fail(errors, entry->position, "error parsing authorization config, 'timeout' %s", why);
        seconds = (double)block->timeout_ns / 1e9;
    } else if (value->kind != CONFIG_INTEGER && value->kind != CONFIG_FLOAT) {
        option_fail(errors, entry->position, "error parsing authorization config, 'timeout' wrong type");
        return;
    } else if (seconds < 0 || seconds > 9e9) {
        option_fail(errors, entry->position, "timeout must be from 0 to 9000000000 seconds");
        return;
    } else {
        block->timeout_ns = (int64_t)(seconds * 1e9);
    }
    if (seconds <= 60)
        return;
    config_value_show(value, shown, sizeof(shown));
    option_warn(
        errors, entry->position, "timeout",
        "timeout of %s (%f seconds) is high, consider keeping it under 60 seconds. possibly caused by "
        "unquoted duration; use '1m' instead of 1m, for example",
        shown, seconds);
}

static const struct option block_rows[] = {
    {.name = "user",
     .aliases = "username",
     .kind = OPTION_STRING,
     .offset = INTO(struct authorization, user)},
    {.name = "password",
     .aliases = "pass",
     .kind = OPTION_STRING,
     .offset = INTO(struct authorization, password)},
    {.name = "token", .kind = OPTION_STRING, .offset = INTO(struct authorization, token)},
    {.name = "timeout", .kind = OPTION_CUSTOM, .parse = parse_timeout},
    {.name = "users", .kind = OPTION_CUSTOM, .parse = parse_users},
    {.name = "default_permissions",
     .aliases = "default_permission permissions",
     .kind = OPTION_CUSTOM,
     .parse = parse_default_permissions},
    {.name = "auth_callout", .aliases = "auth_hook", .kind = OPTION_CUSTOM, .parse = parse_callout},
    {.name = "proxy_required", .kind = OPTION_BOOL, .offset = INTO(struct authorization, proxy_required)},
};

/* A single login or a token beside users in accounts; noted where the accounts' users are. */
static void accounts_check(const struct security_options *options, struct option_errors *errors)
{
    if (!options->accounts.has_users)
        return;
    if (options->user.count > 0 || options->password.count > 0)
        option_fail(errors, options->accounts.users_at, "Can not have a single user/pass and accounts");
    else if (options->token.count > 0)
        option_fail(errors, options->accounts.users_at, "Can not have a token and accounts");
}

static void parse_authorization(void *target, const struct config_entry *entry, struct arena *arena,
                                struct option_errors *errors)
{
    struct security_options *options = target;
    struct authorization block = {.timeout_ns = options->timeout_ns};
    if (!option_want(errors, entry, CONFIG_MAP))
        return;
    option_map_apply(block_rows, COUNT_OF(block_rows), &block, entry->value, arena, errors);
    bool single = block.user.count > 0 || block.password.count > 0;
    bool token = block.token.count > 0;
    bool users = block.users.first != NULL;
    if (single && token)
        option_fail(errors, entry->position, "Cannot have a user/pass and token");
    else if (users && single)
        option_fail(errors, entry->position, "Can not have a single user/pass and a users array");
    else if (users && token)
        option_fail(errors, entry->position, "Can not have a token and a users array");
    options->user = block.user;
    options->password = block.password;
    options->token = block.token;
    options->proxy_required = block.proxy_required;
    options->timeout_ns = block.timeout_ns;
    options->callout = block.callout;
    security_users_join(&options->users, &block.users, NULL, block.default_permissions, entry->position,
                        arena, errors);
    accounts_check(options, errors);
}

/* ---- accounts ---- */

static void parse_accounts(void *target, const struct config_entry *entry, struct arena *arena,
                           struct option_errors *errors)
{
    struct security_options *options = target;
    security_accounts_parse(&options->accounts, &options->users, entry, arena, errors);
    accounts_check(options, errors);
}

static void parse_mappings(void *target, const struct config_entry *entry, struct arena *arena,
                           struct option_errors *errors)
{
    struct security_options *options = target;
    security_mappings_parse(&options->accounts.global_mappings, entry, arena, errors);
}

static void parse_proxies(void *target, const struct config_entry *entry, struct arena *arena,
                          struct option_errors *errors)
{
    struct security_options *options = target;
    trusted_proxies_parse(&options->proxies, entry, arena, errors);
}

static void parse_system(void *target, const struct config_entry *entry, struct arena *arena,
                         struct option_errors *errors)
{
    struct security_options *options = target;
    if (entry->value->kind != CONFIG_STRING)
        option_fail(errors, entry->position, "system account name must be a string");
    else
        options->accounts.system_name = option_copy(entry->value->string, entry->position, arena, errors);
}

/* nats-server: when nobody but the system account has users, a hidden user of $G is the no_auth_user, so that
 * users for the system account do not lock out everybody else. */
static bool only_system_users(const struct security_options *options)
{
    if (options->users.count == 0 || options->no_auth_user.count > 0 || options->accounts.count != 2 ||
        options->accounts.system == NULL)
        return false;
    for (const struct security_user *user = options->users.first; user != NULL; user = user->next) {
        if (user->account != options->accounts.system)
            return false;
    }
    return true;
}

bool security_options_finish(struct security_options *options, struct arena *arena, struct config_text *why)
{
    if (!security_accounts_finish(&options->accounts, arena, why))
        return false;
    options->global_open = only_system_users(options) && !options->callout.given;
    return callout_options_finish(&options->callout, &options->accounts, &options->users, arena, why);
}

/* ---- reload ---- */

static bool has_user(const struct security_options *options, struct bytes name)
{
    return security_user_find(&options->users, name) != NULL ||
           security_user_find_nkey(&options->users, name) != NULL;
}

/* Users count as changed at every reload, in nats-server as here: whoever waits for these lines gets them. */
/* Whether there are other keys than before. What a key may do is part of "users", which are always told. */
static bool nkeys_differ(const struct security_users *before, const struct security_users *after)
{
    bool differ = before->nkey_count != after->nkey_count;
    for (const struct security_user *user = after->first; user != NULL && !differ; user = user->next)
        differ = user->nkey.count > 0 && security_user_find_nkey(before, user->nkey) == NULL;
    return differ;
}

static void compare_authorization(const void *old, const void *new, struct option_changes *changes)
{
    const struct security_options *before = old, *after = new;
    callout_options_compare(&before->callout, &after->callout, changes);
    if (nkeys_differ(&before->users, &after->users))
        config_text_add(&changes->lines, "Reloaded: authorization nkey users\n");
    config_text_add(&changes->lines, "Reloaded: authorization users\nReloaded: accounts\n");
    if (!bytes_equal(before->user, after->user))
        config_text_add(&changes->lines, "Reloaded: authorization username\n");
    if (!bytes_equal(before->password, after->password))
        config_text_add(&changes->lines, "Reloaded: authorization password\n");
    if (!bytes_equal(before->token, after->token))
        config_text_add(&changes->lines, "Reloaded: authorization token\n");
    if (before->timeout_ns != after->timeout_ns)
        config_text_add(&changes->lines, "Reloaded: authorization timeout = %g\n",
                        (double)after->timeout_ns / 1e9);
    if (before->proxy_required != after->proxy_required && changes->refusal.count == 0)
        config_text_add(&changes->refusal, "config reload not supported for ProxyRequired: old=%s, new=%s",
                        before->proxy_required ? "true" : "false", after->proxy_required ? "true" : "false");
}

static void compare_proxies(const void *old, const void *new, struct option_changes *changes)
{
    const struct security_options *before = old, *after = new;
    trusted_proxies_compare(&before->proxies, &after->proxies, changes);
}

static bool user_same(const struct security_user *user, const struct security_user *was,
                      const struct security_options *now, const struct security_options *before)
{
    return was != NULL && bytes_equal(user->password, was->password) &&
           user->connection_types == was->connection_types && user->proxy_required == was->proxy_required &&
           bytes_equal(security_account_of(&now->accounts, user)->name,
                       security_account_of(&before->accounts, was)->name);
}

void security_options_follow(struct security_options *options, const struct security_options *before)
{
    bool same = options->users.count == before->users.count && bytes_equal(options->user, before->user) &&
                bytes_equal(options->password, before->password) &&
                bytes_equal(options->token, before->token) &&
                bytes_equal(options->no_auth_user, before->no_auth_user);
    for (const struct security_user *user = options->users.first; same && user != NULL; user = user->next)
        same = user_same(user, security_user_again(&before->users, user), options, before);
    options->logins_changed = !same;
}

/* A user's name may be a public key, and what stands in its place by mistake a seed. */
static struct bytes name_shown(struct bytes name)
{
    return nkey_may_be_seed(name) ? TEXT("xxxxx") : name;
}

/* May go when its user goes too; everything else refuses the reload. */
static void compare_no_auth_user(const void *old, const void *new, struct option_changes *changes)
{
    const struct security_options *before = old, *after = new;
    bool gone = after->no_auth_user.count == 0 && !has_user(after, before->no_auth_user);
    if (bytes_equal(before->no_auth_user, after->no_auth_user) || gone || changes->refusal.count > 0)
        return;
    config_text_add(&changes->refusal, "config reload not supported for NoAuthUser: old=%.*s, new=%.*s",
                    BYTES_PRINTF(name_shown(before->no_auth_user)),
                    BYTES_PRINTF(name_shown(after->no_auth_user)));
}

/* ---- the top level ---- */

static const struct option rows[] = {
    {.name = "authorization",
     .kind = OPTION_CUSTOM,
     .reload = RELOAD_NOW,
     .parse = parse_authorization,
     .compare = compare_authorization},
    {.name = "no_auth_user",
     .kind = OPTION_STRING,
     .offset = INTO(struct security_options, no_auth_user),
     .reload = RELOAD_NEVER,
     .compare = compare_no_auth_user},
    {.name = "proxies",
     .kind = OPTION_CUSTOM,
     .reload = RELOAD_NOW,
     .parse = parse_proxies,
     .compare = compare_proxies},
    {.name = "accounts", .kind = OPTION_CUSTOM, .reload = RELOAD_FREE, .parse = parse_accounts},
    {.name = "mappings",
     .aliases = "maps",
     .kind = OPTION_CUSTOM,
     .reload = RELOAD_FREE,
     .parse = parse_mappings},
    {.name = "system_account",
     .aliases = "system",
     .kind = OPTION_STRING,
     .offset = INTO(struct security_options, accounts.system_name),
     .reload = RELOAD_NEVER,
     .internal = "SystemAccount",
     .parse = parse_system},
    {.name = "no_system_account",
     .aliases = "no_system no_sys_acc",
     .kind = OPTION_BOOL,
     .offset = INTO(struct security_options, accounts.no_system),
     .reload = RELOAD_NEVER,
     .internal = "NoSystemAccount"},
    {.kind = OPTION_STRING,
     .offset = INTO(struct security_options, user),
     .section = SECTION_AUTHORIZATION,
     .flags = "user",
     .argument = "<user>",
     .help = "User that clients have to name"},
    {.kind = OPTION_STRING,
     .offset = INTO(struct security_options, password),
     .section = SECTION_AUTHORIZATION,
     .flags = "pass",
     .argument = "<password>",
     .help = "Password that clients have to give"},
    {.kind = OPTION_STRING,
     .offset = INTO(struct security_options, token),
     .section = SECTION_AUTHORIZATION,
     .flags = "auth",
     .argument = "<token>",
     .help = "Token that clients have to give"},
};

const struct option *security_option_rows(size_t *count)
{
    *count = COUNT_OF(rows);
    return rows;
}

bool security_options_validate(const struct security_options *options, struct config_text *why)
{
    struct bytes name = options->no_auth_user;
    if (name.count == 0 || has_user(options, name))
        return true;
    if (options->users.count == 0)
        config_text_add(why, "no_auth_user: \"%.*s\" present, but users/nkeys are not defined",
                        BYTES_PRINTF(name_shown(name)));
    else
        config_text_add(
            why,
            "no_auth_user: \"%.*s\" not present as user or nkey in authorization block or account "
            "configuration",
            BYTES_PRINTF(name_shown(name)));
    return false;
}
