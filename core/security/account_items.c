/* core/security/account_items.c - the items of `exports` and `imports` as they are written, with the
 * sentences of nats-server for what is none; see account.h. What they mean together is account_links.c. */
#include "core/config/duration.h"
#include "core/config/parser.h"
#include "core/security/account.h"

enum { WHY_BYTES = 128 };

/* Sets `out` from a string; false: noted. */
static bool read_string(struct bytes *out, const struct config_entry *entry, struct arena *arena,
                        struct option_errors *errors)
{
    if (!option_want(errors, entry, CONFIG_STRING))
        return false;
    *out = option_copy(entry->value->string, entry->position, arena, errors);
    return true;
}

static bool read_bool(bool *out, const struct config_entry *entry, struct option_errors *errors)
{
    if (!option_want(errors, entry, CONFIG_BOOL))
        return false;
    *out = entry->value->boolean;
    return true;
}

static bool named(const struct config_entry *entry, const char *names)
{
    return option_name_in(names, entry->key, true);
}

static void unknown(const struct config_entry *entry, struct option_errors *errors)
{
    if (!entry->referenced)
        option_fail(errors, entry->position, "unknown field \"%.*s\"", BYTES_PRINTF(entry->key));
}

/* ---- exports ---- */

/* While one item of `exports` is read. */
struct export_reading {
    struct export_item *item;
    const char *directive; /* the first one that only services have; NULL: none */
    struct config_position directive_at;
    bool stream;
};

static void read_export_subject(struct export_reading *reading, const struct config_entry *entry,
                                bool service, struct arena *arena, struct option_errors *errors)
{
    const char *kind = service ? "service" : "stream";
    if (entry->value->kind != CONFIG_STRING) {
        option_fail(errors, entry->position, "Expected %s name to be string, got %s", kind,
                    config_type_name(entry->value));
        return;
    }
    if (reading->item->subject.data != NULL && reading->item->service != service) {
        option_fail(errors, entry->position, "Detected %s \"%.*s\" but already saw a %s", kind,
                    BYTES_PRINTF(entry->value->string), service ? "stream" : "service");
        return;
    }
    reading->stream = !service;
    reading->item->service = service;
    reading->item->subject = option_copy(entry->value->string, entry->position, arena, errors);
}

static void read_response(struct export_item *item, const struct config_entry *entry,
                          struct option_errors *errors)
{
    if (entry->value->kind != CONFIG_STRING) {
        option_fail(errors, entry->position, "Expected response type to be string, got %s",
                    config_type_name(entry->value));
        return;
    }
    struct bytes word = entry->value->string;
    if (option_name_in("single singleton", word, true))
        item->response = RESPONSE_SINGLETON;
    else if (option_name_in("stream", word, true))
        item->response = RESPONSE_STREAM;
    else if (option_name_in("chunk chunked", word, true))
        item->response = RESPONSE_CHUNKED;
    else
        option_fail(errors, entry->position, "Unknown response type: \"%.*s\"", BYTES_PRINTF(word));
}

static void read_threshold(struct export_item *item, const struct config_entry *entry,
                           struct option_errors *errors)
{
    char why[WHY_BYTES];
    if (entry->value->kind != CONFIG_STRING)
        option_fail(errors, entry->position,
                    "Expected response threshold to be a parseable time duration, got %s",
                    config_type_name(entry->value));
    else if (!duration_parse(entry->value->string, &item->threshold_ns, why, sizeof why))
        option_fail(errors, entry->position,
                    "Expected response threshold to be a parseable time duration, got \"%.*s\"",
                    BYTES_PRINTF(entry->value->string));
}

static void read_sampling(struct service_latency *latency, const struct config_entry *entry,
                          struct option_errors *errors)
{
    int64_t percent = 0;
    if (entry->value->kind == CONFIG_INTEGER) {
        percent = entry->value->integer;
    } else if (entry->value->kind == CONFIG_STRING) {
        struct bytes digits = entry->value->string;
        bool range;
        if (config_name_equal(digits, "headers")) {
            latency->headers = true;
            latency->percent = 0;
            return;
        }
        if (digits.count > 0 && digits.data[digits.count - 1] == '%')
            digits.count--;
        if (digits.count == 0 || !config_integer_parse(digits, &percent, &range)) {
            option_fail(errors, entry->position,
                        "Failed to parse latency sample: strconv.Atoi: parsing \"%.*s\": invalid syntax",
                        BYTES_PRINTF(digits));
            return;
        }
    } else {
        option_fail(errors, entry->position, "Expected latency sample to be a string or map/struct, got %s",
                    config_type_name(entry->value));
        return;
    }
    if (percent < 1 || percent > 100)
        option_fail(errors, entry->position, "bad sampling percentage, should be 1-100");
    else
        latency->percent = (uint8_t)percent;
}

static void read_latency(struct export_item *item, const struct config_entry *entry, struct arena *arena,
                         struct option_errors *errors)
{
    struct service_latency *latency = &item->latency;
    latency->percent = 100;
    if (entry->value->kind == CONFIG_STRING) {
        latency->subject = option_copy(entry->value->string, entry->position, arena, errors);
        return;
    }
    if (entry->value->kind != CONFIG_MAP) {
        option_fail(errors, entry->position, "Expected latency entry to be a map/struct or string, got %s",
                    config_type_name(entry->value));
        return;
    }
    size_t before = errors->errors.count;
    for (const struct config_entry *at = entry->value->entries.first; at != NULL; at = at->next) {
        if (named(at, "sampling"))
            read_sampling(latency, at, errors);
        else if (!named(at, "subject"))
            unknown(at, errors);
        else if (at->value->kind == CONFIG_STRING)
            latency->subject = option_copy(at->value->string, at->position, arena, errors);
        else
            option_fail(errors, at->position, "Expected latency subject to be a string, got %s",
                        config_type_name(at->value));
    }
    if (latency->subject.count == 0 && errors->errors.count == before)
        option_fail(errors, entry->position, "Latency subject required, but missing");
}

static void note_directive(struct export_reading *reading, const struct config_entry *entry, const char *name)
{
    if (reading->directive != NULL)
        return;
    reading->directive = name;
    reading->directive_at = entry->position;
}

static void read_export(struct export_reading *reading, const struct config_entry *entry, struct arena *arena,
                        struct option_errors *errors)
{
    struct export_item *item = reading->item;
    if (named(entry, "stream")) {
        read_export_subject(reading, entry, false, arena, errors);
    } else if (named(entry, "service")) {
        read_export_subject(reading, entry, true, arena, errors);
    } else if (named(entry, "accounts")) {
        if (option_want(errors, entry, CONFIG_ARRAY))
            item->accounts = entry->value;
    } else if (named(entry, "account_token_position")) {
        if (!option_want(errors, entry, CONFIG_INTEGER))
            return;
        if (entry->value->integer < 0 || entry->value->integer > TRANSFORM_TOKENS_MAX)
            option_fail(errors, entry->position, "account_token_position must be from 0 to %d, not %lld",
                        TRANSFORM_TOKENS_MAX, (long long)entry->value->integer);
        else
            item->token_position = (uint32_t)entry->value->integer;
    } else if (named(entry, "response response_type")) {
        note_directive(reading, entry, "response");
        read_response(item, entry, errors);
    } else if (named(entry, "threshold response_threshold response_max_time response_time")) {
        note_directive(reading, entry, "response");
        read_threshold(item, entry, errors);
    } else if (named(entry, "latency")) {
        note_directive(reading, entry, "latency");
        read_latency(item, entry, arena, errors);
    } else if (named(entry, "allow_trace")) {
        bool allowed; /* messages are not traced from account to account: nothing follows from it */
        note_directive(reading, entry, "allow_trace");
        (void)read_bool(&allowed, entry, errors);
    } else {
        unknown(entry, errors);
    }
}

void account_exports_parse(void *target, const struct config_entry *entry, struct arena *arena,
                           struct option_errors *errors)
{
    struct account_block *block = target;
    if (entry->value->kind != CONFIG_ARRAY) {
        option_fail(errors, entry->position, "Exports should be an array, got %s",
                    config_type_name(entry->value));
        return;
    }
    for (const struct config_entry *item = entry->value->entries.first; item != NULL; item = item->next) {
        struct export_reading reading = {.item = arena_new(arena, sizeof *reading.item)};
        if (item->value->kind != CONFIG_MAP) {
            option_fail(errors, item->position, "Export Items should be a map with type entry, got %s",
                        config_type_name(item->value));
            continue;
        }
        if (reading.item == NULL) {
            option_fail(errors, item->position, "out of memory");
            return;
        }
        for (const struct config_entry *at = item->value->entries.first; at != NULL; at = at->next)
            read_export(&reading, at, arena, errors);
        if (reading.stream && reading.directive != NULL)
            option_fail(errors, reading.directive_at, "Detected %s directive on non-service",
                        reading.directive);
        if (reading.item->subject.data == NULL)
            continue; /* neither stream nor service: nats-server takes no notice either */
        *block->exports_end = reading.item;
        block->exports_end = &reading.item->next;
    }
}

/* ---- imports ---- */

/* {account, subject} */
static void read_import_source(struct import_item *item, const struct config_entry *entry, bool service,
                               struct arena *arena, struct option_errors *errors)
{
    if (entry->value->kind != CONFIG_MAP) {
        option_fail(errors, entry->position, "%s entry should be an account map, got %s",
                    service ? "Service" : "Stream", config_type_name(entry->value));
        return;
    }
    item->service = service;
    for (const struct config_entry *at = entry->value->entries.first; at != NULL; at = at->next) {
        if (named(at, "account"))
            (void)read_string(&item->account, at, arena, errors);
        else if (named(at, "subject"))
            (void)read_string(&item->subject, at, arena, errors);
        else
            unknown(at, errors);
    }
    if (item->account.count == 0 || item->subject.count == 0)
        option_fail(errors, entry->position, "Expect an account name and a subject");
}

/* False: it is no import, and that is noted. */
static bool read_import(struct import_item *item, const struct config_value *map, struct arena *arena,
                        struct option_errors *errors)
{
    const struct config_entry *source = NULL, *trace = NULL;
    for (const struct config_entry *at = map->entries.first; at != NULL; at = at->next) {
        bool flag;
        bool service = named(at, "service");
        if ((service || named(at, "stream")) && source != NULL) {
            option_fail(errors, at->position, "Detected %s but already saw a %s",
                        service ? "service" : "stream", item->service ? "service" : "stream");
            return false;
        }
        if (service || named(at, "stream")) {
            source = at;
            read_import_source(item, at, service, arena, errors);
        } else if (named(at, "prefix")) {
            (void)read_string(&item->prefix, at, arena, errors);
            if (item->to.count > 0)
                option_fail(errors, at->position,
                            "Stream import can not have a 'prefix' and a 'to' property");
        } else if (named(at, "to")) {
            (void)read_string(&item->to, at, arena, errors);
            if (item->prefix.count > 0)
                option_fail(errors, at->position,
                            "Stream import can not have a 'prefix' and a 'to' property");
        } else if (named(at, "share")) {
            (void)read_bool(&item->share, at, errors);
        } else if (named(at, "allow_trace")) {
            trace = at;
            (void)read_bool(&flag, at, errors);
        } else {
            unknown(at, errors);
        }
    }
    if (trace != NULL && item->service)
        option_fail(errors, trace->position, "Detected allow_trace directive on a non-stream");
    return item->account.count > 0 && item->subject.count > 0;
}

void account_imports_parse(void *target, const struct config_entry *entry, struct arena *arena,
                           struct option_errors *errors)
{
    struct account_block *block = target;
    if (entry->value->kind != CONFIG_ARRAY) {
        option_fail(errors, entry->position, "Imports should be an array, got %s",
                    config_type_name(entry->value));
        return;
    }
    for (const struct config_entry *at = entry->value->entries.first; at != NULL; at = at->next) {
        if (at->value->kind != CONFIG_MAP) {
            option_fail(errors, at->position, "Import Items should be a map with type entry, got %s",
                        config_type_name(at->value));
            continue;
        }
        struct import_item *item = arena_new(arena, sizeof *item);
        if (item == NULL) {
            option_fail(errors, at->position, "out of memory");
            return;
        }
        item->at = at->position;
        if (!read_import(item, at->value, arena, errors))
            continue;
        *block->imports_end = item;
        block->imports_end = &item->next;
    }
}
