/* shards/control/system_options.c - what a request of the system account may say, as JSON, and the same as
 * the parameters by which monitoring's endpoints are asked, so that each is read in one place
 * (spec/monitoring.md 6.2, 6.3). */
#include "core/base/memory.h"
#include "shards/control/control.h"
#include "shards/control/system_services.h"

#include <inttypes.h>
#include <stdio.h>

#define FIELD(key, kind, member)                                                                             \
    {                                                                                                        \
        key, JSON_KIND_##kind, offsetof(struct system_options, member), NULL                                 \
    }
#define FIELDS_OF_ALL                                                                                        \
    FIELD("server_name", TEXT, server_name), FIELD("cluster", TEXT, cluster), FIELD("host", TEXT, host),     \
        FIELD("domain", TEXT, domain), FIELD("tags", TEXTS, tags), FIELD("exact_match", BOOL, exact_match),  \
        FIELD("sort", TEXT, sort), FIELD("user", TEXT, user), FIELD("acc", TEXT, acc),                       \
        FIELD("account", TEXT, account), FIELD("account_name", TEXT, account_name),                          \
        FIELD("filter_subject", TEXT, filter_subject), FIELD("mqtt_client", TEXT, mqtt_client),              \
        FIELD("test", TEXT, test), FIELD("name", TEXT, name), FIELD("stream", TEXT, stream),                 \
        FIELD("offset", INT64, offset), FIELD("limit", INT64, limit), FIELD("cid", INT64, cid),              \
        FIELD("state", INT64, state), FIELD("auth", BOOL, auth),                                             \
        FIELD("subscriptions", BOOL, subscriptions),                                                         \
        FIELD("subscriptions_detail", BOOL, subscriptions_detail), FIELD("details", BOOL, details),          \
        FIELD("include_unused", BOOL, include_unused), FIELD("leader_only", BOOL, leader_only)

static const struct json_field fields[] = {FIELDS_OF_ALL, FIELD("accounts", BOOL, accounts)};
static const struct json_field fields_with_list[] = {FIELDS_OF_ALL,
                                                     FIELD("accounts", TEXTS, accounts_listed)};
static const struct json_shape shape = {fields, COUNT_OF(fields)};
static const struct json_shape shape_with_list = {fields_with_list, COUNT_OF(fields_with_list)};

bool system_options_read(const struct system_service *service, struct bytes body,
                         struct json_document *document, struct system_options *options)
{
    *options = (struct system_options){0};
    *document = (struct json_document){0};
    if (body.count == 0)
        return true;
    return json_read(document, body, service->accounts_listed ? &shape_with_list : &shape, options) == ERR_OK;
}

static bool matches(struct bytes own, struct bytes wanted, bool exactly)
{
    if (wanted.count == 0)
        return true;
    if (exactly)
        return bytes_equal(own, wanted);
    return own.count >= wanted.count && memmem(own.data, own.count, wanted.data, wanted.count) != NULL;
}

static bool tag_is_there(const struct server_options *options, struct bytes tag)
{
    for (uint32_t i = 0; i < options->server_tag_count; i++) {
        if (bytes_equal(options->server_tags[i], tag))
            return true;
    }
    return false;
}

bool system_options_match(const struct control *control, const struct system_options *options)
{
    const struct server_options *own = control->snapshot->options;
    struct bytes cluster = control_cluster_name(control);
    if (!matches(text(control->server_name), options->server_name, options->exact_match) ||
        !matches(cluster, options->cluster, options->exact_match) ||
        !matches(control->snapshot->info.host, options->host, options->exact_match) ||
        options->domain.count > 0)
        return false;
    const uint8_t *at = options->tags.data, *end = at + options->tags.count;
    while (at < end) {
        struct bytes tag = text((const char *)at);
        if (!tag_is_there(own, tag))
            return false;
        at += tag.count + 1;
    }
    return true;
}

/* ---- two words ---- */

static bool blank(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

void system_words_read(struct bytes body, struct bytes *subject, struct bytes *queue, bool *queue_given)
{
    while (body.count > 0 && blank(body.data[0]))
        body = bytes_of(body.data + 1, body.count - 1);
    while (body.count > 0 && blank(body.data[body.count - 1]))
        body.count--;
    const uint8_t *first = body.count == 0 ? NULL : memchr(body.data, ' ', body.count);
    *subject = body;
    *queue_given = first != NULL;
    if (first == NULL)
        return;
    subject->count = (size_t)(first - body.data);
    *queue = bytes_of(first + 1, body.count - subject->count - 1);
    const uint8_t *second = queue->count == 0 ? NULL : memchr(queue->data, ' ', queue->count);
    if (second != NULL)
        queue->count = (size_t)(second - queue->data);
}

/* ---- as a query ---- */

static void add_key(struct json_output *query, const char *key)
{
    if (query->count > 0)
        json_output_add(query, TEXT("&"));
    json_output_add(query, text(key));
    json_output_add(query, TEXT("="));
}

static void add_text(struct json_output *query, const char *key, struct bytes value)
{
    if (value.count == 0)
        return;
    add_key(query, key);
    for (size_t i = 0; i < value.count; i++) {
        char escaped[4];
        int count = snprintf(escaped, sizeof escaped, "%%%02X", value.data[i]);
        json_output_add(query, bytes_of(escaped, (size_t)count));
    }
}

static void add_number(struct json_output *query, const char *key, int64_t value)
{
    char digits[24];
    if (value == 0)
        return;
    int count = snprintf(digits, sizeof digits, "%" PRId64, value);
    add_key(query, key);
    json_output_add(query, bytes_of(digits, (size_t)count));
}

static void add_flag(struct json_output *query, const char *key, bool value)
{
    add_number(query, key, value);
}

char *system_options_query(const struct system_options *options, struct bytes account, size_t *count)
{
    static const char *const states[] = {"open", "closed", "any"};
    struct json_output query;
    json_output_init(&query, 0, JSON_BYTES_MAX);
    add_text(&query, "sort", options->sort);
    add_text(&query, "user", options->user);
    add_text(&query, "acc",
             account.count > 0        ? account
             : options->acc.count > 0 ? options->acc
                                      : options->account);
    add_text(&query, "acc_name", options->account_name);
    add_text(&query, "filter_subject", options->filter_subject);
    add_text(&query, "mqtt_client", options->mqtt_client);
    add_text(&query, "test", options->test);
    add_text(&query, "gw_name", options->name);
    add_text(&query, "account", options->account);
    add_text(&query, "stream", options->stream);
    add_number(&query, "offset", options->offset);
    add_number(&query, "limit", options->limit);
    add_number(&query, "cid", options->cid < 0 ? 0 : options->cid);
    if (options->state > 0)
        add_text(&query, "state", text(states[options->state > 2 ? 2 : options->state]));
    add_flag(&query, "auth", options->auth);
    if (options->subscriptions_detail)
        add_text(&query, "subs", TEXT("detail"));
    else
        add_flag(&query, "subs", options->subscriptions);
    add_flag(&query, "accs", options->accounts);
    add_flag(&query, "unused", options->include_unused);
    add_flag(&query, "details", options->details);
    add_flag(&query, "leader-only", options->leader_only);
    *count = 0;
    bool failed = query.failed;
    char *words = failed ? NULL : json_output_take(&query, count);
    json_output_close(&query);
    return words == NULL && !failed ? memory_new(1) : words;
}
