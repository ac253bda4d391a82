/* core/security/options.c - the rows of the `authorization` block and of what belongs to it
 * (configuration.md 4.4, 4.5), and their sentences (3.3). Passwords and tokens go into the snapshot and
 * nowhere else. */
#include "core/security/options.h"

#include "core/config/duration.h"

#include <inttypes.h>
#include <stdlib.h>

enum { USERS_MAX = 1 << 20 }; /* the tree's own bound is smaller */

#define NOT_BUILT(field)                                                                                     \
    {                                                                                                        \
        .name = field, .kind = OPTION_NOT_BUILT                                                              \
    }

static option_parse parse_authorization, parse_users, parse_timeout;

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
    NOT_BUILT("nkey"),
    {.name = "permissions", .aliases = "permission authorization", .kind = OPTION_NOT_BUILT},
    {.name = "allowed_connection_types", .aliases = "connection_types clients", .kind = OPTION_NOT_BUILT},
    NOT_BUILT("proxy_required"),
};

/* A value as Go's %v shows it, for the values that a mistake puts in place of a map or an array. */
static void show_value(const struct config_value *value, char *shown, size_t bytes)
{
    struct config_text text = {0};
    switch (value->kind) {
    case CONFIG_STRING:
    case CONFIG_DATETIME:
        config_text_add_bytes(&text, value->string);
        break;
    case CONFIG_BOOL:
        config_text_add(&text, "%s", value->boolean ? "true" : "false");
        break;
    case CONFIG_INTEGER:
        config_text_add(&text, "%" PRId64, value->integer);
        break;
    case CONFIG_FLOAT:
        config_text_add(&text, "%g", value->number);
        break;
    case CONFIG_ARRAY:
        config_text_add(&text, "an array");
        break;
    case CONFIG_MAP:
        config_text_add(&text, "a map");
        break;
    }
    const char *whole = config_text_string(&text);
    size_t count = strnlen(whole, bytes - 1);
    memcpy(shown, whole, count);
    shown[count] = 0;
    config_text_close(&text);
}

static void parse_user(struct security_user *user, const struct config_entry *item, struct arena *arena,
                       struct option_errors *errors)
{
    char shown[80];
    if (item->value->kind != CONFIG_MAP) {
        show_value(item->value, shown, sizeof(shown));
        option_fail(errors, item->position, "Expected user entry to be a map/struct, got %s", shown);
        return;
    }
    size_t before = errors->errors.count;
    const struct config_entry *first = item->value->entries.first;
    option_map_apply(user_rows, COUNT_OF(user_rows), user, item->value, arena, errors);
    if (user->name.count == 0 && errors->errors.count == before)
        option_fail(errors, first == NULL ? item->position : first->position, "User entry requires a user");
}

static void parse_users(void *target, const struct config_entry *entry, struct arena *arena,
                        struct option_errors *errors)
{
    struct security_options *options = target;
    char shown[80];
    if (entry->value->kind != CONFIG_ARRAY) {
        show_value(entry->value, shown, sizeof(shown));
        option_fail(errors, entry->position, "Expected users field to be an array, got %s", shown);
        return;
    }
    uint32_t count = 0;
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next)
        count++;
    options->users = arena_new(arena, count * sizeof(options->users[0]));
    if (options->users == NULL || count > USERS_MAX) {
        option_fail(errors, entry->position, "out of memory");
        return;
    }
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next)
        parse_user(&options->users[options->user_count++], item, arena, errors);
}

/* ---- the block ---- */

/* Seconds as a number, or a duration as a text. */
static void parse_timeout(void *target, const struct config_entry *entry, struct arena *arena,
                          struct option_errors *errors)
{
    (void)arena;
    struct security_options *options = target;
    const struct config_value *value = entry->value;
    char why[128], shown[80];
    double seconds = value->kind == CONFIG_INTEGER ? (double)value->integer : value->number;
    if (value->kind == CONFIG_STRING) {
        if (!duration_parse(value->string, &options->timeout_ns, why, sizeof(why)))
            option_fail(errors, entry->position, "error parsing authorization config, 'timeout' %s", why);
        seconds = (double)options->timeout_ns / 1e9;
    } else if (value->kind != CONFIG_INTEGER && value->kind != CONFIG_FLOAT) {
        option_fail(errors, entry->position, "error parsing authorization config, 'timeout' wrong type");
        return;
    } else if (seconds < 0 || seconds > 9e9) {
        option_fail(errors, entry->position, "timeout must be from 0 to 9000000000 seconds");
        return;
    } else {
        options->timeout_ns = (int64_t)(seconds * 1e9);
    }
    if (seconds <= 60)
        return;
    show_value(value, shown, sizeof(shown));
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
     .offset = INTO(struct security_options, user)},
    {.name = "password",
     .aliases = "pass",
     .kind = OPTION_STRING,
     .offset = INTO(struct security_options, password)},
    {.name = "token", .kind = OPTION_STRING, .offset = INTO(struct security_options, token)},
    {.name = "timeout", .kind = OPTION_CUSTOM, .parse = parse_timeout},
    {.name = "users", .kind = OPTION_CUSTOM, .parse = parse_users},
    {.name = "default_permissions", .aliases = "default_permission permissions", .kind = OPTION_NOT_BUILT},
    {.name = "auth_callout", .aliases = "auth_hook", .kind = OPTION_NOT_BUILT},
    NOT_BUILT("proxy_required"),
};

static int compare_users(const void *left, const void *right)
{
    const struct security_user *a = *(const struct security_user *const *)left;
    const struct security_user *b = *(const struct security_user *const *)right;
    size_t shared = a->name.count < b->name.count ? a->name.count : b->name.count;
    int order = shared == 0 ? 0 : memcmp(a->name.data, b->name.data, shared);
    return order != 0 ? order : (a->name.count > b->name.count) - (a->name.count < b->name.count);
}

/* Sorted pointers, so that a list of a hundred thousand users does not take minutes. */
static void check_duplicates(const struct security_options *options, struct config_position at,
                             struct arena *arena, struct option_errors *errors)
{
    const struct security_user **sorted = arena_new(arena, options->user_count * sizeof(*sorted));
    if (sorted == NULL) {
        option_fail(errors, at, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < options->user_count; i++)
        sorted[i] = &options->users[i];
    qsort(sorted, options->user_count, sizeof(sorted[0]), compare_users);
    for (uint32_t i = 1; i < options->user_count; i++) {
        if (sorted[i]->name.count > 0 && bytes_equal(sorted[i - 1]->name, sorted[i]->name))
            option_fail(errors, at, "Duplicate user \"%.*s\" detected", BYTES_PRINTF(sorted[i]->name));
    }
}

static void parse_authorization(void *target, const struct config_entry *entry, struct arena *arena,
                                struct option_errors *errors)
{
    struct security_options *options = target;
    if (!option_want(errors, entry, CONFIG_MAP))
        return;
    option_map_apply(block_rows, COUNT_OF(block_rows), options, entry->value, arena, errors);
    bool single = options->user.count > 0 || options->password.count > 0;
    bool token = options->token.count > 0;
    bool users = options->user_count > 0;
    if (single && token)
        option_fail(errors, entry->position, "Cannot have a user/pass and token");
    else if (users && single)
        option_fail(errors, entry->position, "Can not have a single user/pass and a users array");
    else if (users && token)
        option_fail(errors, entry->position, "Can not have a token and a users array");
    check_duplicates(options, entry->position, arena, errors);
}

/* ---- reload ---- */

static bool has_user(const struct security_options *options, struct bytes name)
{
    for (uint32_t i = 0; i < options->user_count; i++) {
        if (bytes_equal(options->users[i].name, name))
            return true;
    }
    return false;
}

/* Users count as changed at every reload, in nats-server as here: whoever waits for these lines gets them. */
static void compare_authorization(const void *old, const void *new, struct option_changes *changes)
{
    const struct security_options *before = old, *after = new;
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
}

/* May go when its user goes too; everything else refuses the reload. */
static void compare_no_auth_user(const void *old, const void *new, struct option_changes *changes)
{
    const struct security_options *before = old, *after = new;
    bool gone = after->no_auth_user.count == 0 && !has_user(after, before->no_auth_user);
    if (bytes_equal(before->no_auth_user, after->no_auth_user) || gone || changes->refusal.count > 0)
        return;
    config_text_add(&changes->refusal, "config reload not supported for NoAuthUser: old=%.*s, new=%.*s",
                    BYTES_PRINTF(before->no_auth_user), BYTES_PRINTF(after->no_auth_user));
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
    {.kind = OPTION_DURATION, .offset = INTO(struct security_options, timeout_ns), .fallback = "2s"},
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
    if (options->user_count == 0)
        config_text_add(why, "no_auth_user: \"%.*s\" present, but users/nkeys are not defined",
                        BYTES_PRINTF(name));
    else
        config_text_add(
            why,
            "no_auth_user: \"%.*s\" not present as user or nkey in authorization block or account "
            "configuration",
            BYTES_PRINTF(name));
    return false;
}
