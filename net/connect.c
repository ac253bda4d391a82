/* net/connect.c - CONNECT's table of fields, and the packing of its strings into one allocation. */
#include "net/connect.h"

#include "core/base/memory.h"

#include <stdio.h>

/* What the JSON is read into: the options with their strings spread out. */
struct connect_fields {
    struct bytes texts[CONNECT_TEXTS];
    int64_t protocol;
    bool verbose, pedantic, echo, headers, no_responders, tls_required, new_account;
    struct bytes remote_account;
};

/* Permissions of routes and leaf nodes, which a client port reads and does not use. */
static const struct json_field subject_permission_fields[] = {
    {"allow", JSON_KIND_TEXTS_CHECKED, 0, NULL},
    {"deny", JSON_KIND_TEXTS_CHECKED, 0, NULL},
};
static const struct json_shape subject_permission_shape = {subject_permission_fields,
                                                           COUNT_OF(subject_permission_fields)};

#define FIELD(member) offsetof(struct connect_fields, member)
#define FIELD_TEXT(which) (offsetof(struct connect_fields, texts) + (which) * sizeof(struct bytes))

static const struct json_field connect_json_fields[] = {
    {"verbose", JSON_KIND_BOOL, FIELD(verbose), NULL},
    {"pedantic", JSON_KIND_BOOL, FIELD(pedantic), NULL},
    {"echo", JSON_KIND_BOOL, FIELD(echo), NULL},
    {"headers", JSON_KIND_BOOL, FIELD(headers), NULL},
    {"no_responders", JSON_KIND_BOOL, FIELD(no_responders), NULL},
    {"tls_required", JSON_KIND_BOOL, FIELD(tls_required), NULL},
    {"new_account", JSON_KIND_BOOL, FIELD(new_account), NULL},
    {"protocol", JSON_KIND_INT64, FIELD(protocol), NULL},
    {"name", JSON_KIND_TEXT, FIELD_TEXT(CONNECT_NAME), NULL},
    {"lang", JSON_KIND_TEXT, FIELD_TEXT(CONNECT_LANG), NULL},
    {"version", JSON_KIND_TEXT, FIELD_TEXT(CONNECT_VERSION), NULL},
    {"user", JSON_KIND_TEXT, FIELD_TEXT(CONNECT_USER), NULL},
    {"pass", JSON_KIND_TEXT, FIELD_TEXT(CONNECT_PASS), NULL},
    {"auth_token", JSON_KIND_TEXT, FIELD_TEXT(CONNECT_AUTH_TOKEN), NULL},
    {"nkey", JSON_KIND_TEXT, FIELD_TEXT(CONNECT_NKEY), NULL},
    {"sig", JSON_KIND_TEXT, FIELD_TEXT(CONNECT_SIG), NULL},
    {"proxy_sig", JSON_KIND_TEXT, FIELD_TEXT(CONNECT_PROXY_SIG), NULL},
    {"jwt", JSON_KIND_TEXT, FIELD_TEXT(CONNECT_JWT), NULL},
    {"account", JSON_KIND_TEXT, FIELD_TEXT(CONNECT_ACCOUNT), NULL},
    {"remote_account", JSON_KIND_TEXT, FIELD(remote_account), NULL},
    {"import", JSON_KIND_OBJECT, 0, &subject_permission_shape},
    {"export", JSON_KIND_OBJECT, 0, &subject_permission_shape},
};
static const struct json_shape connect_shape = {connect_json_fields, COUNT_OF(connect_json_fields)};

void connect_init(struct connect_options *options)
{
    *options = (struct connect_options){
        .verbose = true, .pedantic = true, .echo = true, .credentials_changed = true};
}

static size_t texts_bytes(const struct connect_options *options, size_t texts)
{
    size_t bytes = 0;
    for (size_t i = 0; i < texts; i++)
        bytes += options->text_bytes[i];
    return bytes;
}

struct bytes connect_text(const struct connect_options *options, enum connect_text which)
{
    if (options->text_bytes[which] == 0)
        return (struct bytes){0};
    return bytes_of(options->texts + texts_bytes(options, which), options->text_bytes[which]);
}

static void fields_spread(struct connect_fields *fields, const struct connect_options *options)
{
    *fields = (struct connect_fields){
        .protocol = options->protocol,
        .verbose = options->verbose,
        .pedantic = options->pedantic,
        .echo = options->echo,
        .headers = options->headers,
        .no_responders = options->no_responders,
        .tls_required = options->tls_required,
        .new_account = options->new_account,
    };
    for (size_t i = 0; i < CONNECT_TEXTS; i++)
        fields->texts[i] = connect_text(options, (enum connect_text)i);
}

static MUST_USE enum err fields_pack(struct connect_options *options, const struct connect_fields *fields)
{
    size_t bytes = 0;
    for (size_t i = 0; i < CONNECT_TEXTS; i++)
        bytes +=
            fields->texts[i].count; /* each at most JSON_BYTES_MAX, so neither this nor uint32_t overflows */
    uint8_t *texts = NULL;
    if (bytes > 0) {
        texts = memory_new(bytes);
        if (texts == NULL)
            return ERR_MEMORY;
    }
    *options = (struct connect_options){
        .texts = texts,
        .protocol = fields->protocol,
        .verbose = fields->verbose,
        .pedantic = fields->pedantic,
        .echo = fields->echo,
        .headers = fields->headers,
        .no_responders = fields->no_responders,
        .tls_required = fields->tls_required,
        .new_account = fields->new_account,
    };
    size_t at = 0;
    for (size_t i = 0; i < CONNECT_TEXTS; i++) {
        struct bytes from = fields->texts[i];
        if (from.count > 0)
            memcpy(texts + at, from.data, from.count);
        options->text_bytes[i] = (uint32_t)from.count;
        at += from.count;
    }
    return ERR_OK;
}

/* Whether the document had the key; an empty string counts. */
static bool text_sent(const struct json_document *document, struct bytes value)
{
    return value.data >= document->text && value.data < document->text + document->count;
}

/* Sending the same name again without a secret is no new login: nats-server would check it with the secret
 * that came before. */
static bool credentials_change(const struct json_document *document, const struct connect_fields *fields,
                               const struct connect_options *before)
{
    for (size_t i = CONNECT_TEXTS_PUBLIC; i < CONNECT_TEXTS; i++)
        if (text_sent(document, fields->texts[i]))
            return true;
    return !bytes_equal(fields->texts[CONNECT_USER], connect_text(before, CONNECT_USER)) ||
           !bytes_equal(fields->texts[CONNECT_NKEY], connect_text(before, CONNECT_NKEY));
}

enum err connect_parse(struct connect_options *options, struct bytes json)
{
    struct connect_fields fields;
    struct connect_options merged;
    struct json_document document;
    fields_spread(&fields, options);
    enum err err = json_read(&document, json, &connect_shape, &fields);
    if (err != ERR_OK)
        return err;
    err = fields_pack(&merged, &fields);
    if (err == ERR_OK) {
        merged.credentials_changed =
            options->credentials_changed || credentials_change(&document, &fields, options);
        connect_close(options);
        *options = merged;
    }
    json_close(&document);
    return err;
}

void connect_forget_secrets(struct connect_options *options)
{
    size_t all_bytes = texts_bytes(options, CONNECT_TEXTS);
    options->credentials_changed = false;
    size_t public_bytes = texts_bytes(options, CONNECT_TEXTS_PUBLIC);
    if (all_bytes == public_bytes)
        return;
    explicit_bzero(options->texts + public_bytes, all_bytes - public_bytes);
    for (size_t i = CONNECT_TEXTS_PUBLIC; i < CONNECT_TEXTS; i++)
        options->text_bytes[i] = 0;
    if (public_bytes == 0) {
        memory_free(options->texts);
        options->texts = NULL;
        return;
    }
    uint8_t *smaller = memory_grow(options->texts, public_bytes);
    if (smaller != NULL) /* otherwise the larger one stays, which is as good */
        options->texts = smaller;
}

void connect_close(struct connect_options *options)
{
    connect_forget_secrets(options);
    memory_free(options->texts);
    *options = (struct connect_options){0};
}

struct credentials connect_credentials(const struct connect_options *options)
{
    return (struct credentials){
        .user = connect_text(options, CONNECT_USER),
        .pass = connect_text(options, CONNECT_PASS),
        .token = connect_text(options, CONNECT_AUTH_TOKEN),
        .nkey = connect_text(options, CONNECT_NKEY),
        .signature = connect_text(options, CONNECT_SIG),
        .proxy_signature = connect_text(options, CONNECT_PROXY_SIG),
    };
}

bool connect_names_account(const struct connect_options *options)
{
    return options->new_account || options->text_bytes[CONNECT_ACCOUNT] > 0;
}

void connect_describe(const struct connect_options *options, char *out, size_t capacity)
{
    static const struct {
        enum connect_text which;
        const char *before;
    } parts[] = {{CONNECT_VERSION, "v"}, {CONNECT_LANG, ""}, {CONNECT_NAME, ""}};
    size_t count = 0;
    if (capacity == 0)
        return;
    out[0] = 0;
    for (size_t i = 0; i < COUNT_OF(parts) && count < capacity - 1; i++) {
        struct bytes part = connect_text(options, parts[i].which);
        if (part.count == 0)
            continue;
        int written = snprintf(out + count, capacity - count, "%s%s", count > 0 ? ":" : "", parts[i].before);
        count += written > 0 ? (size_t)written : 0;
        for (size_t at = 0; at < part.count && count + 1 < capacity; at++) {
            bool breaks = part.data[at] < 0x20 || part.data[at] == 0x7f || part.data[at] == '"';
            out[count++] = breaks ? '?' : (char)part.data[at];
        }
        if (count > capacity - 1)
            count = capacity - 1;
        out[count] = 0;
    }
}
