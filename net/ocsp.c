/* net/ocsp.c - see ocsp.h. */
#include "net/ocsp.h"

#include "core/base/clock.h"
#include "net/tls_context.h"

#include <stdio.h>
#include <time.h>

#define REST_DEFAULT_NS (24 * 3600 * NS_PER_SECOND)
#define REST_LEAST_NS (120 * NS_PER_SECOND)

/* ---- the option ---- */

static void parse_mode(struct ocsp_options *options, const struct config_entry *entry,
                       struct option_errors *errors)
{
    static const struct {
        const char *name;
        enum ocsp_mode mode;
    } modes[] = {{"auto", OCSP_AUTO}, {"must", OCSP_MUST}, {"always", OCSP_ALWAYS}, {"never", OCSP_NEVER}};
    if (!option_want(errors, entry, CONFIG_STRING))
        return;
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        if (config_name_equal(entry->value->string, modes[i].name)) {
            options->mode = (int)modes[i].mode;
            return;
        }
    }
    option_fail(errors, entry->position, "error parsing ocsp config: unsupported ocsp mode string");
}

static bool url_add(struct ocsp_options *options, const struct config_entry *entry, struct arena *arena,
                    struct option_errors *errors)
{
    struct bytes url = {0};
    size_t before = errors->errors.count;
    if (!option_want(errors, entry, CONFIG_STRING))
        return false;
    if (options->urls == NULL)
        options->urls = arena_new(arena, OCSP_URLS_MAX * sizeof options->urls[0]);
    if (options->urls == NULL || options->url_count == OCSP_URLS_MAX) {
        option_fail(errors, entry->position, "error parsing ocsp config: at most %d urls", OCSP_URLS_MAX);
        return false;
    }
    option_read_string(&url, entry, arena, errors);
    if (errors->errors.count > before)
        return false;
    options->urls[options->url_count++] = (const char *)url.data;
    return true;
}

/* nats-server knows the key and refuses every value of it: its reader makes lists of another type. */
static void parse_urls(struct ocsp_options *options, const struct config_entry *entry, struct arena *arena,
                       struct option_errors *errors)
{
    if (!option_want(errors, entry, CONFIG_ARRAY))
        return;
    options->url_count = 0;
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next) {
        if (!url_add(options, item, arena, errors))
            return;
    }
}

void ocsp_options_parse(struct ocsp_options *options, const struct config_entry *entry, struct arena *arena,
                        struct option_errors *errors)
{
    const struct config_value *value = entry->value;
    *options = (struct ocsp_options){.mode = OCSP_AUTO};
    if (value->kind == CONFIG_BOOL) {
        options->mode = value->boolean ? OCSP_AUTO : OCSP_NEVER;
        return;
    }
    if (value->kind != CONFIG_MAP) {
        option_fail(errors, entry->position, "error parsing ocsp config: unsupported type %s",
                    config_type_name(value));
        return;
    }
    for (const struct config_entry *item = value->entries.first; item != NULL; item = item->next) {
        if (bytes_equal(item->key, TEXT("mode"))) {
            parse_mode(options, item, errors);
        } else if (bytes_equal(item->key, TEXT("urls"))) {
            parse_urls(options, item, arena, errors);
        } else if (bytes_equal(item->key, TEXT("url"))) {
            options->url_count = 0;
            (void)url_add(options, item, arena, errors); /* what is wrong has been noted */
        } else {
            option_fail(errors, item->position, "error parsing ocsp config: unsupported field string");
            return;
        }
    }
}

bool ocsp_options_same(const struct ocsp_options *a, const struct ocsp_options *b)
{
    bool same = a->mode == b->mode && a->url_count == b->url_count;
    for (uint32_t i = 0; same && i < a->url_count; i++)
        same = strcmp(a->urls[i], b->urls[i]) == 0;
    return same;
}

bool ocsp_staples(const struct tls_options *tls, const struct ocsp_options *options)
{
    if (!tls->on || tls->pair_count == 0 || options->mode == OCSP_NEVER)
        return false;
    return options->mode == OCSP_ALWAYS || tls_context_must_staple(tls->context);
}

bool ocsp_ends_revoked(const struct tls_options *tls, const struct ocsp_options *options)
{
    return ocsp_staples(tls, options) && (options->mode == OCSP_ALWAYS || options->mode == OCSP_MUST);
}

bool ocsp_disregarded(const struct tls_options *tls, const struct ocsp_options *options)
{
    return options->mode == OCSP_NEVER && tls_context_must_staple(tls->context);
}

/* ---- answers ---- */

const char *ocsp_status_text(enum ocsp_status status)
{
    switch (status) {
    case OCSP_STATUS_GOOD:
        return "good";
    case OCSP_STATUS_REVOKED:
        return "revoked";
    case OCSP_STATUS_UNKNOWN:
        return "unknown";
    }
    return "unknown";
}

bool ocsp_answer_current(const struct ocsp_answer *answer, int64_t now_ns, int64_t skew_ns, int64_t lasts_ns)
{
    int64_t end_ns = answer->next_update_ns != 0 ? answer->next_update_ns : answer->this_update_ns + lasts_ns;
    return end_ns >= now_ns - skew_ns && answer->this_update_ns <= now_ns + skew_ns;
}

bool ocsp_answer_staples(const struct ocsp_answer *answer, int64_t now_ns, char *why, size_t why_bytes)
{
    char at[OCSP_TIME_BYTES];
    if (answer->next_update_ns != 0 && answer->next_update_ns < now_ns) {
        snprintf(why, why_bytes, "invalid ocsp NextUpdate, is past time: %s",
                 ocsp_time_text(at, answer->next_update_ns));
        return false;
    }
    if (answer->this_update_ns > now_ns) {
        snprintf(why, why_bytes, "invalid ocsp ThisUpdate, is future time: %s",
                 ocsp_time_text(at, answer->this_update_ns));
        return false;
    }
    return true;
}

int64_t ocsp_answer_rest_ns(const struct ocsp_answer *answer, int64_t now_ns)
{
    if (answer->next_update_ns == 0)
        return REST_DEFAULT_NS;
    int64_t rest_ns = (answer->next_update_ns - now_ns) / 2;
    return rest_ns < 0 ? REST_LEAST_NS : rest_ns;
}

const char *ocsp_time_text(char text[OCSP_TIME_BYTES], int64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / NS_PER_SECOND);
    struct tm parts;
    if (wall_ns == 0 || gmtime_r(&seconds, &parts) == NULL ||
        strftime(text, OCSP_TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        snprintf(text, OCSP_TIME_BYTES, "0001-01-01T00:00:00Z");
    return text;
}
