/* net/tls_options.c - reading a `tls` map, key by key; the first thing that is wrong ends it, as in
 * nats-server. The files themselves are tls_context.c's. */
#include "net/tls_options.h"

#include "core/config/duration.h"
#include "net/tls_context.h"
#include "net/tls_suites.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char tls_ocsp_peer_wants_verify[] =
    "OCSP peer verification for client connections requires TLS verify (mTLS) to be enabled";

enum { WHY_BYTES = 1024, SUITES_BYTES = 2048 };

/* One map being read. */
struct block {
    struct tls_options *options;
    struct arena *arena;
    struct option_errors *errors;
    const struct config_entry *entry; /* the pair at hand */
    enum tls_place place;
    bool failed;
};

typedef void take_key(struct block *block);
static take_key take_cert_file, take_key_file, take_ca_file, take_certs, take_verify, take_map,
    take_known_urls, take_insecure, take_allow_insecure, take_timeout, take_suites, take_curves,
    take_min_version, take_pins, take_rate_limit, take_first, take_ocsp_peer, refuse_store, refuse_match,
    take_skip_invalid;

static const struct key {
    const char *names; /* separated by spaces */
    take_key *take;
} keys[] = {
    {"cert_file", take_cert_file},
    {"key_file", take_key_file},
    {"ca_file", take_ca_file},
    {"certs certificates", take_certs},
    {"verify", take_verify},
    {"verify_and_map", take_map},
    {"verify_cert_and_check_known_urls", take_known_urls},
    {"insecure", take_insecure},
    {"allow_insecure_cipher_suites", take_allow_insecure},
    {"timeout", take_timeout},
    {"cipher_suites", take_suites},
    {"curve_preferences", take_curves},
    {"min_version", take_min_version},
    {"pinned_certs", take_pins},
    {"connection_rate_limit", take_rate_limit},
    {"handshake_first first immediate", take_first},
    {"ocsp_peer", take_ocsp_peer},
    {"cert_store", refuse_store},
    {"cert_match_by", refuse_match},
    {"cert_match ca_certs_match", refuse_match},
    {"cert_match_skip_invalid", take_skip_invalid},
};

static const struct key *find_key(struct bytes name)
{
    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        if (option_name_in(keys[i].names, name, true))
            return &keys[i];
    }
    return NULL;
}

#define FAIL(block, ...) fail_at((block), (block)->entry->position, __VA_ARGS__)

PRINTF_LIKE(3, 4) static void fail_at(struct block *block, struct config_position at, const char *format, ...)
{
    char sentence[WHY_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof sentence, format, arguments);
    va_end(arguments);
    option_fail(block->errors, at, "%s", sentence);
    block->failed = true;
}

/* ---- plain values ---- */

static const char *take_path(struct block *block)
{
    struct bytes path = {0};
    size_t before = block->errors->errors.count;
    if (block->entry->value->kind != CONFIG_STRING) {
        FAIL(block, "error parsing tls config, expected '%.*s' to be filename",
             BYTES_PRINTF(block->entry->key));
        return NULL;
    }
    option_read_string(&path, block->entry, block->arena, block->errors);
    block->failed = block->errors->errors.count > before;
    return (const char *)path.data;
}

static void take_bool(struct block *block, bool *field, const char *wanted)
{
    if (block->entry->value->kind == CONFIG_BOOL)
        *field = block->entry->value->boolean;
    else
        FAIL(block, "error parsing tls config, expected '%.*s' to be %s", BYTES_PRINTF(block->entry->key),
             wanted);
}

/* The one pair of cert_file and key_file, made at the first of the two. */
static struct tls_pair *own_pair(struct block *block)
{
    struct tls_options *options = block->options;
    if (options->pairs == NULL) {
        options->pairs = arena_new(block->arena, sizeof options->pairs[0]);
        if (options->pairs == NULL)
            FAIL(block, "out of memory");
    }
    return options->pairs;
}

static void take_cert_file(struct block *block)
{
    struct tls_pair *pair = own_pair(block);
    if (pair != NULL)
        pair->cert_file = take_path(block);
}

static void take_key_file(struct block *block)
{
    struct tls_pair *pair = own_pair(block);
    if (pair != NULL)
        pair->key_file = take_path(block);
}

static void take_ca_file(struct block *block)
{
    block->options->ca_file = take_path(block);
}

/* nats-server 2.15 also knows `verify: optional`: a certificate that is shown is checked, none is fine. */
static void take_verify(struct block *block)
{
    const struct config_value *value = block->entry->value;
    block->options->verify_optional =
        value->kind == CONFIG_STRING && config_name_equal(value->string, "optional");
    if (block->options->verify_optional)
        block->options->verify = false;
    else
        take_bool(block, &block->options->verify, "a boolean or 'optional'");
}

static void take_map(struct block *block)
{
    take_bool(block, &block->options->map, "a boolean");
}

static void take_known_urls(struct block *block)
{
    bool wanted = false;
    take_bool(block, &wanted, "a boolean");
    if (block->failed)
        return;
    if (block->place != TLS_FOR_CLUSTER && block->place != TLS_FOR_GATEWAY) {
        FAIL(block, "verify_cert_and_check_known_urls not supported in this context");
        return;
    }
    block->options->known_urls = wanted;
}

static void take_insecure(struct block *block)
{
    take_bool(block, &block->options->insecure, "a boolean");
}

static void take_allow_insecure(struct block *block)
{
    take_bool(block, &block->options->allow_insecure, "a boolean");
}

static void take_rate_limit(struct block *block)
{
    if (block->entry->value->kind != CONFIG_INTEGER)
        FAIL(block, "error parsing tls config, 'connection_rate_limit' wrong type");
    else if (block->entry->value->integer < 0)
        FAIL(block, "error parsing tls config, 'connection_rate_limit' must be at least 0, not %" PRId64,
             block->entry->value->integer);
    else
        block->options->rate_limit = block->entry->value->integer;
}

static void take_timeout(struct block *block)
{
    const struct config_value *value = block->entry->value;
    char why[WHY_BYTES / 2];
    double seconds = value->kind == CONFIG_INTEGER ? (double)value->integer : value->number;
    switch (value->kind) {
    case CONFIG_STRING:
        if (!duration_parse(value->string, &block->options->timeout_ns, why, sizeof why))
            FAIL(block, "error parsing tls config, 'timeout' %s", why);
        else if (block->options->timeout_ns < 0)
            FAIL(block, "error parsing tls config, 'timeout' must not be negative");
        return;
    case CONFIG_INTEGER:
    case CONFIG_FLOAT:
        if (!(seconds >= 0 && seconds <= 9e9))
            FAIL(block, "error parsing tls config, 'timeout' must be from 0 to 9000000000 seconds");
        else
            block->options->timeout_ns = (int64_t)(seconds * 1e9);
        return;
    default:
        FAIL(block, "error parsing tls config, 'timeout' wrong type");
    }
}

static void take_min_version(struct block *block)
{
    struct bytes word = block->entry->value->string;
    if (block->entry->value->kind != CONFIG_STRING)
        FAIL(block, "error parsing tls config: 'min_version' wrong type: %s",
             config_type_name(block->entry->value));
    else if (bytes_equal(word, TEXT("1.3")))
        block->options->tls13_only = true;
    else if (bytes_equal(word, TEXT("1.2")))
        block->options->tls13_only = false;
    else if (bytes_equal(word, TEXT("1.0")) || bytes_equal(word, TEXT("1.1")))
        FAIL(block, "error parsing tls config: unsupported TLS version: TLS %.*s", BYTES_PRINTF(word));
    else
        FAIL(block, "error parsing tls config: unknown version: %.*s", BYTES_PRINTF(word));
}

static void take_first(struct block *block)
{
    struct tls_options *options = block->options;
    const struct config_value *value = block->entry->value;
    char why[WHY_BYTES / 2];
    options->first_wait_ns = 0;
    if (value->kind == CONFIG_BOOL) {
        options->first = value->boolean;
    } else if (value->kind != CONFIG_STRING) {
        FAIL(block, "field \"%.*s\" should be a boolean or a string, got %s", BYTES_PRINTF(block->entry->key),
             config_type_name(value));
    } else if (option_name_in("true on", value->string, true)) {
        options->first = true;
    } else if (option_name_in("false off", value->string, true)) {
        options->first = false;
    } else if (option_name_in("auto auto_fallback", value->string, true)) {
        options->first = true;
        options->first_wait_ns = TLS_FIRST_AUTO_NS;
    } else if (duration_parse(value->string, &options->first_wait_ns, why, sizeof why) &&
               options->first_wait_ns >= 0) {
        options->first = true;
    } else {
        FAIL(block, "field \"%.*s\"'s value \"%.*s\" is invalid", BYTES_PRINTF(block->entry->key),
             BYTES_PRINTF(value->string));
    }
}

/* ---- lists ---- */

static bool wants_list(struct block *block)
{
    const struct config_value *value = block->entry->value;
    if (value->kind != CONFIG_ARRAY)
        FAIL(block, "interface conversion: interface {} is %s, not []interface {}", config_type_name(value));
    else if (value->entries.first == NULL)
        FAIL(block, "error parsing tls config, '%.*s' cannot be empty", BYTES_PRINTF(block->entry->key));
    return !block->failed;
}

/* Adds a name of OpenSSL's to a list with colons. */
static void join(char *list, size_t list_bytes, const char *name)
{
    size_t used = strlen(list);
    snprintf(list + used, list_bytes - used, "%s%s", used == 0 ? "" : ":", name);
}

static const char *keep(struct block *block, const char *list)
{
    const char *kept = arena_copy(block->arena, text(list));
    if (kept == NULL)
        FAIL(block, "out of memory");
    return kept;
}

static void take_suites(struct block *block)
{
    char list[SUITES_BYTES] = "";
    if (!wants_list(block))
        return;
    for (const struct config_entry *item = block->entry->value->entries.first; item != NULL;
         item = item->next) {
        struct bytes name = item->value->kind == CONFIG_STRING ? item->value->string : (struct bytes){0};
        const struct tls_suite *suite = tls_suite_find(name);
        if (suite == NULL) {
            fail_at(block, item->position, "unrecognized cipher %.*s", BYTES_PRINTF(name));
            return;
        }
        if (suite->openssl != NULL && strlen(list) + 64 < sizeof list)
            join(list, sizeof list, suite->openssl);
    }
    block->options->suites = keep(block, list);
}

static void take_curves(struct block *block)
{
    char list[SUITES_BYTES] = "";
    if (!wants_list(block))
        return;
    for (const struct config_entry *item = block->entry->value->entries.first; item != NULL;
         item = item->next) {
        struct bytes name = item->value->kind == CONFIG_STRING ? item->value->string : (struct bytes){0};
        const struct tls_curve *curve = tls_curve_find(name);
        if (curve == NULL) {
            fail_at(block, item->position, "unrecognized curve preference %.*s", BYTES_PRINTF(name));
            return;
        }
        if (curve->openssl != NULL && strstr(list, curve->openssl) == NULL)
            join(list, sizeof list, curve->openssl);
        else if (curve->openssl == NULL)
            option_warn(block->errors, item->position, "curve_preferences",
                        "%s is left out: the OpenSSL that this server was built with does not have it",
                        curve->name);
    }
    if (list[0] == 0)
        FAIL(block, "error parsing tls config, 'curve_preferences' names no curve that OpenSSL here has");
    else
        block->options->groups = keep(block, list);
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    uint8_t lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static bool pin_decode(struct bytes digits, struct tls_pin *pin)
{
    if (digits.count != (size_t)2 * TLS_PIN_BYTES)
        return false;
    for (size_t i = 0; i < TLS_PIN_BYTES; i++) {
        int high = hex_digit(digits.data[2 * i]);
        int low = hex_digit(digits.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        pin->digest[i] = (uint8_t)(high * 16 + low);
    }
    return true;
}

static int compare_pins(const void *left, const void *right)
{
    return memcmp(left, right, TLS_PIN_BYTES);
}

static void take_pins(struct block *block)
{
    struct tls_options *options = block->options;
    const struct config_value *value = block->entry->value;
    static const char wrong_type[] =
        "error parsing tls config, expected 'pinned_certs' to be a list of hex-encoded "
        "sha256 of DER encoded SubjectPublicKeyInfo";
    uint32_t count = 0;
    if (value->kind != CONFIG_ARRAY) {
        FAIL(block, "%s", wrong_type);
        return;
    }
    for (const struct config_entry *item = value->entries.first; item != NULL; item = item->next)
        count++;
    options->pins = arena_new(block->arena, count * sizeof options->pins[0]);
    options->pin_count = 0;
    if (options->pins == NULL || count > TLS_PINS_MAX) {
        FAIL(block, "out of memory");
        return;
    }
    for (const struct config_entry *item = value->entries.first; item != NULL; item = item->next) {
        struct bytes digits = item->value->kind == CONFIG_STRING ? item->value->string : (struct bytes){0};
        if (!pin_decode(digits, &options->pins[options->pin_count])) {
            fail_at(block, item->position,
                    "error parsing tls config, 'pinned_certs' key %.*s does not look like hex-encoded sha256 "
                    "of DER "
                    "encoded SubjectPublicKeyInfo",
                    BYTES_PRINTF(digits));
            return;
        }
        options->pin_count++;
    }
    qsort(options->pins, options->pin_count, sizeof options->pins[0], compare_pins);
}

/* ---- several certificates ---- */

static void take_pair(struct block *block, const struct config_entry *item, struct tls_pair *pair)
{
    if (item->value->kind != CONFIG_MAP) {
        fail_at(block, item->position, "error parsing certificates config: unsupported type %s",
                config_type_name(item->value));
        return;
    }
    const struct config_entry *first = item->value->entries.first;
    for (const struct config_entry *at = first; at != NULL; at = at->next) {
        bool cert = config_name_equal(at->key, "cert_file");
        struct bytes path = {0};
        if (!cert && !config_name_equal(at->key, "key_file")) {
            fail_at(block, at->position, "error parsing tls certs config, unknown field \"%.*s\"",
                    BYTES_PRINTF(at->key));
            return;
        }
        if (at->value->kind != CONFIG_STRING) {
            fail_at(block, at->position, "error parsing certificates config: unsupported type %s",
                    config_type_name(at->value));
            return;
        }
        option_read_string(&path, at, block->arena, block->errors);
        *(cert ? &pair->cert_file : &pair->key_file) = (const char *)path.data;
    }
    if (pair->cert_file == NULL || pair->key_file == NULL)
        fail_at(block, first == NULL ? item->position : first->position,
                "error parsing certificates config: both 'cert_file' and 'cert_key' options are required");
}

static void take_certs(struct block *block)
{
    struct tls_options *options = block->options;
    const struct config_value *value = block->entry->value;
    uint32_t count = 0;
    if (value->kind != CONFIG_ARRAY) {
        FAIL(block, "error parsing certificates config: unsupported type %s", config_type_name(value));
        return;
    }
    for (const struct config_entry *item = value->entries.first; item != NULL; item = item->next)
        count++;
    if (count > TLS_PAIRS_MAX) {
        FAIL(block, "error parsing certificates config: at most %d certificates", TLS_PAIRS_MAX);
        return;
    }
    struct tls_pair *pairs = arena_new(block->arena, count * sizeof pairs[0]);
    if (pairs == NULL) {
        FAIL(block, "out of memory");
        return;
    }
    options->listed_pairs = pairs;
    options->pair_count = count;
    for (const struct config_entry *item = value->entries.first; item != NULL && !block->failed;
         item = item->next)
        take_pair(block, item, pairs++);
}

/* ---- what is not for Linux, or not built ---- */

/* For whoever accepts. nats-server takes the key in `cluster` and `gateway` too, and there it does nothing.
 */
static void take_ocsp_peer(struct block *block)
{
    struct config_position at = block->entry->position;
    char why[WHY_BYTES / 2];
    if (!ocsp_peer_parse(&block->options->ocsp_peer, block->entry, &at, why, sizeof why))
        fail_at(block, at, "%s", why);
    else if (block->options->ocsp_peer.verify && block->place != TLS_FOR_CLIENTS)
        FAIL(block,
             "field \"ocsp_peer\" is for client connections; those of servers are checked by \"ocsp\"");
}

static void refuse_store(struct block *block)
{
    FAIL(block, "cert store type not implemented");
}

static void refuse_match(struct block *block)
{
    FAIL(block, "cert match by type not implemented");
}

static void take_skip_invalid(struct block *block)
{
    bool ignored = false;
    take_bool(block, &ignored, "a boolean");
}

/* ---- the whole block ---- */

/* What has to hold between keys. */
static void check_pairs(struct block *block)
{
    struct tls_options *options = block->options;
    if (options->pair_count > 0 && options->pairs != NULL) {
        FAIL(block, "error parsing tls config, cannot combine 'cert_file' option with 'certs' option");
    } else if (options->pair_count > 0) {
        options->pairs = options->listed_pairs;
    } else if (options->pairs != NULL && options->pairs->key_file == NULL) {
        FAIL(block, "missing 'key_file' in TLS configuration");
    } else if (options->pairs != NULL && options->pairs->cert_file == NULL) {
        FAIL(block, "missing 'cert_file' in TLS configuration");
    } else {
        options->pair_count = options->pairs != NULL;
    }
}

/* Who wants to know the names in a certificate wants one, in whatever order the keys stand. */
static void check_verify(struct block *block)
{
    struct tls_options *options = block->options;
    bool names = options->map || options->known_urls;
    if (names && options->verify_optional)
        FAIL(block,
             "error parsing tls config, cannot combine 'verify: optional' with options requiring client "
             "certificates");
    bool always = block->place == TLS_FOR_CLUSTER || block->place == TLS_FOR_GATEWAY;
    options->verify = options->verify || names || always;
    if (options->ocsp_peer.verify && !options->verify && !block->failed)
        FAIL(block, "%s", tls_ocsp_peer_wants_verify);
}

/* Which of the suites named are weak. */
static void check_suites(struct block *block, const struct config_value *map)
{
    char weak[SUITES_BYTES] = "";
    for (const struct config_entry *at = map->entries.first; at != NULL; at = at->next) {
        if (!config_name_equal(at->key, "cipher_suites") || block->options->allow_insecure)
            continue;
        for (const struct config_entry *item = at->value->entries.first; item != NULL; item = item->next) {
            const struct tls_suite *suite = tls_suite_find(item->value->string);
            size_t used = strlen(weak);
            if (suite != NULL && suite->kind == TLS_SUITE_INSECURE)
                snprintf(weak + used, sizeof weak - used, "%s%s", used == 0 ? "" : ", ", suite->name);
        }
    }
    if (weak[0] != 0)
        FAIL(block, "insecure cipher suites configured without 'allow_insecure_cipher_suites' option set: %s",
             weak);
}

void tls_options_parse(struct tls_options *options, enum tls_place place, const struct config_entry *entry,
                       struct arena *arena, struct option_errors *errors)
{
    struct block block = {.options = options, .arena = arena, .errors = errors, .place = place};
    char why[WHY_BYTES];
    tls_options_close(options);
    *options = (struct tls_options){0};
    block.entry = entry;
    if (entry->value->kind != CONFIG_MAP) {
        FAIL(&block, "interface conversion: interface {} is %s, not map[string]interface {}",
             config_type_name(entry->value));
        return;
    }
    for (const struct config_entry *at = entry->value->entries.first; at != NULL && !block.failed;
         at = at->next) {
        const struct key *key = find_key(at->key);
        block.entry = at;
        if (key == NULL)
            FAIL(&block, "error parsing tls config, unknown field \"%.*s\"", BYTES_PRINTF(at->key));
        else
            key->take(&block);
    }
    block.entry = entry;
    if (!block.failed)
        check_pairs(&block);
    if (!block.failed)
        check_verify(&block);
    if (!block.failed)
        check_suites(&block, entry->value);
    if (!block.failed && !tls_options_load(options, place, why, sizeof why))
        FAIL(&block, "%s", why);
    options->on = !block.failed;
}

static bool load(struct tls_context **context, const struct tls_options *options, enum tls_role role,
                 bool wanted, char *why, size_t why_bytes)
{
    *context = NULL;
    return !wanted || tls_context_new(context, options, role, why, why_bytes) == ERR_OK;
}

bool tls_options_load(struct tls_options *options, enum tls_place place, char *why, size_t why_bytes)
{
    struct tls_context *context = NULL, *dialler = NULL;
    bool dials = place == TLS_FOR_CLUSTER || place == TLS_FOR_GATEWAY || place == TLS_FOR_REMOTE;
    if (!load(&context, options, TLS_SERVER, place != TLS_FOR_REMOTE, why, why_bytes) ||
        !load(&dialler, options, TLS_CLIENT, dials, why, why_bytes)) {
        tls_context_release(context);
        return false;
    }
    tls_options_close(options);
    options->context = context;
    options->dialler = dialler;
    return true;
}

int64_t tls_options_timeout_ns(const struct tls_options *options)
{
    return options->timeout_ns == 0 ? TLS_TIMEOUT_DEFAULT_NS : options->timeout_ns;
}

bool tls_options_pinned(const struct tls_options *options, const uint8_t digest[TLS_PIN_BYTES])
{
    return options->pin_count == 0 ||
           bsearch(digest, options->pins, options->pin_count, sizeof options->pins[0], compare_pins) != NULL;
}

bool tls_options_same_pins(const struct tls_options *a, const struct tls_options *b)
{
    return a->pin_count == b->pin_count &&
           (a->pin_count == 0 || memcmp(a->pins, b->pins, a->pin_count * sizeof a->pins[0]) == 0);
}

bool tls_options_same(const struct tls_options *a, const struct tls_options *b)
{
    return a->on == b->on && a->known_urls == b->known_urls && a->map == b->map &&
           tls_context_same(a->context, b->context) && tls_context_same(a->dialler, b->dialler) &&
           tls_options_same_pins(a, b) && tls_options_timeout_ns(a) == tls_options_timeout_ns(b);
}

void tls_options_close(struct tls_options *options)
{
    tls_context_release(options->context);
    tls_context_release(options->dialler);
    options->context = options->dialler = NULL;
}
