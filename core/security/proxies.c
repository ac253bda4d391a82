/* core/security/proxies.c - see proxies.h. */
#include "core/security/proxies.h"

#include "core/base/quote.h"
#include "core/codec/base64.h"

enum {
    QUOTED_BYTES = 256, /* a longer key, which is none, is cut */
    SIGNATURE_BYTES_MAX =
        256, /* decoded, to tell a wrong signature from what is no base64; longer is neither */
};

static option_parse parse_key, parse_trusted;

/* ---- the block ---- */

static const struct option proxy_rows[] = {
    {.name = "key", .aliases = "public_key", .kind = OPTION_CUSTOM, .parse = parse_key},
};

static const struct option block_rows[] = {
    {.name = "trusted", .kind = OPTION_CUSTOM, .parse = parse_trusted},
};

/* A curve key is a public key too, but signs nothing: nobody could come in by it. */
static void parse_key(void *target, const struct config_entry *entry, struct arena *arena,
                      struct option_errors *errors)
{
    struct trusted_proxy *proxy = target;
    char quoted[QUOTED_BYTES];
    enum nkey_type type;
    if (!option_want(errors, entry, CONFIG_STRING))
        return;
    struct bytes key = entry->value->string;
    if (nkey_decode(key, &type, proxy->raw) == ERR_OK && type != NKEY_CURVE) {
        proxy->key = option_copy(key, entry->position, arena, errors);
        return;
    }
    (void)quote(nkey_may_be_seed(key) ? TEXT("xxxxx") : key, quoted, sizeof quoted);
    option_fail(errors, entry->position, "invalid proxy key %s", quoted);
}

static void parse_proxy(struct trusted_proxies *proxies, const struct config_entry *item, struct arena *arena,
                        struct option_errors *errors)
{
    if (item->value->kind != CONFIG_MAP) {
        option_fail(errors, item->position, "expected proxies' trusted entry to be a map/struct, got %s",
                    config_type_name(item->value));
        return;
    }
    struct trusted_proxy proxy = {0};
    size_t before = errors->errors.count;
    option_map_apply(proxy_rows, COUNT_OF(proxy_rows), &proxy, item->value, arena, errors);
    if (errors->errors.count != before)
        return;
    if (proxy.key.count == 0)
        option_fail(errors, item->position, "proxy trusted key \"\" is invalid");
    else
        proxies->at[proxies->count++] = proxy;
}

static void parse_trusted(void *target, const struct config_entry *entry, struct arena *arena,
                          struct option_errors *errors)
{
    struct trusted_proxies *proxies = target;
    if (entry->value->kind != CONFIG_ARRAY) {
        option_fail(errors, entry->position, "expected proxies' trusted field to be an array, got %s",
                    config_type_name(entry->value));
        return;
    }
    size_t count = 0;
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next)
        count++;
    if (count > PROXIES_TRUSTED_MAX) {
        option_fail(errors, entry->position, "at most %d proxies can be trusted, not %zu",
                    PROXIES_TRUSTED_MAX, count);
        return;
    }
    proxies->count = 0;
    proxies->at = arena_new(arena, count * sizeof *proxies->at);
    if (proxies->at == NULL && count > 0) {
        option_fail(errors, entry->position, "out of memory");
        return;
    }
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next)
        parse_proxy(proxies, item, arena, errors);
}

void trusted_proxies_parse(struct trusted_proxies *proxies, const struct config_entry *entry,
                           struct arena *arena, struct option_errors *errors)
{
    if (entry->value->kind != CONFIG_MAP) {
        option_fail(errors, entry->position, "expected proxies to be a map/struct, got %s",
                    config_type_name(entry->value));
        return;
    }
    *proxies = (struct trusted_proxies){.given = true};
    option_map_apply(block_rows, COUNT_OF(block_rows), proxies, entry->value, arena, errors);
}

/* ---- who it is ---- */

const struct trusted_proxy *trusted_proxies_find(const struct trusted_proxies *proxies, struct bytes nonce,
                                                 struct bytes signature, const char **why)
{
    uint8_t binary[SIGNATURE_BYTES_MAX];
    size_t bytes = base64_url_decode(binary, sizeof binary, signature);
    *why = bytes == 0 ? "Proxy signature not valid base64" : NULL;
    /* Who came before there were keys had no nonce to sign: such a signature could come from anywhere. */
    if (bytes != NKEY_SIGNATURE_BYTES || nonce.count == 0)
        return NULL;
    for (uint32_t i = 0; i < proxies->count; i++) {
        if (nkey_verify(proxies->at[i].raw, nonce, binary))
            return &proxies->at[i];
    }
    return NULL;
}

const struct trusted_proxy *trusted_proxies_again(const struct trusted_proxies *proxies,
                                                  const struct trusted_proxy *proxy)
{
    for (uint32_t i = 0; proxy != NULL && i < proxies->count; i++) {
        if (bytes_equal(proxies->at[i].key, proxy->key))
            return &proxies->at[i];
    }
    return NULL;
}

/* ---- reload ---- */

/* Those that are not among the others: `Reloaded: proxies trusted keys ["A" "B"] were added`. */
static void note_missing(const struct trusted_proxies *proxies, const struct trusted_proxies *others,
                         const char *what, struct config_text *lines)
{
    bool any = false;
    for (uint32_t i = 0; i < proxies->count; i++) {
        const struct trusted_proxy *proxy = &proxies->at[i];
        if (trusted_proxies_again(others, proxy) != NULL)
            continue;
        config_text_add(lines, "%s\"%.*s\"", any ? " " : "Reloaded: proxies trusted keys [",
                        BYTES_PRINTF(proxy->key));
        any = true;
    }
    if (any)
        config_text_add(lines, "] were %s\n", what);
}

void trusted_proxies_compare(const struct trusted_proxies *before, const struct trusted_proxies *after,
                             struct option_changes *changes)
{
    note_missing(before, after, "removed", &changes->lines);
    note_missing(after, before, "added", &changes->lines);
}
