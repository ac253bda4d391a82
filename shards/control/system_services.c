/* shards/control/system_services.c - the table of services, from a request to its task, and the answer; see
 * system_services.h. */
#include "shards/control/system_services.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "shards/control/control_internal.h"
#include "shards/control/monitor_task.h"
#include "shards/control/system_encoding.h"
#include "shards/system_shard.h"

#include <stdio.h>

enum { PLACES = 6, AT_ACCOUNT_INDEX = 2, ERROR_WORDS_MAX = 1024 };

#define SERVER_AND_PING (SYSTEM_AT_SERVER | SYSTEM_AT_PING)
#define EVERYWHERE (SERVER_AND_PING | SYSTEM_AT_ACCOUNT)

static const struct system_service services[] = {
    {.name = "IDZ",
     .places = SERVER_AND_PING,
     .answer = SYSTEM_ANSWER_WHOLE,
     .endpoint = &system_endpoint_idz},
    {.name = "STATSZ",
     .places = SERVER_AND_PING,
     .answer = SYSTEM_ANSWER_STATSZ,
     .endpoint = &system_endpoint_statsz},
    {.name = "$SYS.REQ.SERVER.PING",
     .places = SYSTEM_AT_NAME,
     .answer = SYSTEM_ANSWER_STATSZ,
     .endpoint = &system_endpoint_statsz},
    {.name = "VARZ", .places = SERVER_AND_PING, .path = "varz"},
    {.name = "CONNZ", .places = EVERYWHERE, .path = "connz"},
    {.name = "SUBSZ", .places = EVERYWHERE, .path = "subsz"},
    {.name = "ROUTEZ", .places = SERVER_AND_PING, .path = "routez"},
    {.name = "GATEWAYZ", .places = SERVER_AND_PING, .path = "gatewayz"},
    {.name = "LEAFZ", .places = EVERYWHERE, .path = "leafz"},
    {.name = "ACCOUNTZ", .places = SERVER_AND_PING, .path = "accountz"},
    {.name = "JSZ", .places = SERVER_AND_PING, .path = "jsz"},
    {.name = "HEALTHZ", .places = SERVER_AND_PING, .path = "healthz"},
    {.name = "IPQUEUESZ", .places = SERVER_AND_PING, .path = "ipqueuesz"},
    {.name = "RAFTZ", .places = SERVER_AND_PING, .endpoint = &system_endpoint_raftz},
    {.name = "EXPVARZ", .places = SERVER_AND_PING, .path = "debug/vars"},
    {.name = "PROFILEZ", .places = SERVER_AND_PING, .endpoint = &system_endpoint_profilez},
    {.name = "KICK",
     .places = SYSTEM_AT_SERVER,
     .answer = SYSTEM_ANSWER_DONE,
     .endpoint = &system_endpoint_kick},
    {.name = "LDM",
     .places = SYSTEM_AT_SERVER,
     .answer = SYSTEM_ANSWER_DONE,
     .endpoint = &system_endpoint_lame_duck},
    {.name = "RELOAD",
     .places = SYSTEM_AT_SERVER,
     .answer = SYSTEM_ANSWER_DONE,
     .endpoint = &system_endpoint_reload},
    {.name = "INFO", .places = SYSTEM_AT_ACCOUNT, .endpoint = &system_endpoint_info},
    {.name = "JSZ", .places = SYSTEM_AT_ACCOUNT, .endpoint = &system_endpoint_account_jsz},
    {.name = "STATZ",
     .places = SYSTEM_AT_ACCOUNT,
     .endpoint = &system_endpoint_statz,
     .accounts_listed = true},
    {.name = "$SYS.REQ.ACCOUNT.PING.STATZ",
     .places = SYSTEM_AT_NAME,
     .endpoint = &system_endpoint_statz,
     .accounts_listed = true},
    {.name = "CONNS",
     .places = SYSTEM_AT_ACCOUNT,
     .answer = SYSTEM_ANSWER_NONE,
     .endpoint = &system_endpoint_conns},
    {.name = "$SYS.REQ.USER.INFO", .places = SYSTEM_AT_NAME, .endpoint = &system_endpoint_user},
    {.name = "$SYS.REQ.USER.*.INFO", .places = SYSTEM_AT_NAME, .endpoint = &system_endpoint_user},
    {.name = "$SYS.DEBUG.SUBSCRIBERS",
     .places = SYSTEM_AT_NAME,
     .answer = SYSTEM_ANSWER_NONE,
     .endpoint = &system_endpoint_subscribers,
     .words = true},
    {.name = "$SYS.REQ.ACCOUNT.NSUBS",
     .places = SYSTEM_AT_NAME,
     .answer = SYSTEM_ANSWER_NONE,
     .endpoint = &system_endpoint_nsubs,
     .words = true},
    {.name = "*", .places = SYSTEM_AT_INBOX, .take = system_survey_answered},
    {.name = "$SYS.SERVER.*.STATSZ", .places = SYSTEM_AT_PEERS, .take = system_peer_statsz},
    {.name = "$SYS.SERVER.*.SHUTDOWN", .places = SYSTEM_AT_PEERS, .take = system_peer_gone},
    {.name = "$SYS.SERVER.ACCOUNT.*.CONNS",
     .places = SYSTEM_AT_PEERS,
     .take = system_counts_take,
     .at_once = true},
    {.name = SYSTEM_COUNTS_INBOX, .places = SYSTEM_AT_INBOX, .take = system_counts_take_all, .at_once = true},
};

/* What the server asks itself; nobody is answered. */
static const struct system_service own_services[] = {
    [SYSTEM_OWN_STATSZ] = {.answer = SYSTEM_ANSWER_STATSZ, .endpoint = &system_endpoint_statsz},
    [SYSTEM_OWN_ACCOUNTS] = {.answer = SYSTEM_ANSWER_NONE, .endpoint = &system_endpoint_own_accounts},
    [SYSTEM_OWN_CHANGES] = {.answer = SYSTEM_ANSWER_NONE, .endpoint = &system_endpoint_own_changes},
};

const struct system_service *system_service_named(enum system_own own)
{
    return &own_services[own];
}

/* ---- patterns ---- */

uint32_t system_pattern_count(void)
{
    return COUNT_OF(services) * PLACES;
}

bool system_pattern(const struct control *control, uint32_t number, char *out, size_t capacity)
{
    const struct system_service *service = system_service_of(number);
    enum system_place place = (enum system_place)(1U << number % PLACES);
    int count = -1;
    bool of_peers = place == SYSTEM_AT_PEERS || place == SYSTEM_AT_INBOX;
    if ((service->places & place) == 0 || (of_peers && !system_has_peers(control)))
        return false;
    switch (place) {
    case SYSTEM_AT_SERVER:
        count = snprintf(out, capacity, "$SYS.REQ.SERVER.%s.%s", control->server_id, service->name);
        break;
    case SYSTEM_AT_PING:
        count = snprintf(out, capacity, "$SYS.REQ.SERVER.PING.%s", service->name);
        break;
    case SYSTEM_AT_ACCOUNT:
        count = snprintf(out, capacity, "$SYS.REQ.ACCOUNT.*.%s", service->name);
        break;
    case SYSTEM_AT_INBOX:
        count = snprintf(out, capacity, "$SYS._INBOX.%s.%s", control->server_id, service->name);
        break;
    case SYSTEM_AT_PEERS:
    case SYSTEM_AT_NAME:
        count = snprintf(out, capacity, "%s", service->name);
        break;
    }
    return count > 0 && (size_t)count < capacity;
}

const struct system_service *system_service_of(uint32_t number)
{
    ASSERT(number < system_pattern_count());
    return &services[number / PLACES];
}

struct bytes system_service_account(uint32_t number, struct bytes subject)
{
    const struct bytes before = TEXT("$SYS.REQ.ACCOUNT.");
    size_t count = 0;
    if (number % PLACES != AT_ACCOUNT_INDEX || !bytes_start_with(subject, before))
        return TEXT("");
    struct bytes rest = bytes_of(subject.data + before.count, subject.count - before.count);
    while (count < rest.count && rest.data[count] != '.')
        count++;
    return bytes_of(rest.data, count);
}

/* ---- answers ---- */

static void answer(struct control *control, const struct system_request *request,
                   struct json_output *document, bool may_encode)
{
    struct system_message message = {
        .account = control->snapshot->options->security.accounts.system->id,
        .subject = request->reply,
        .body = bytes_of(document->data, document->count),
    };
    struct system_encoded encoded = {0};
    if (may_encode && !document->failed)
        system_encode(request->headers, message.body, &encoded);
    message.headers = encoded.headers;
    if (encoded.body != NULL)
        message.body = bytes_of(encoded.body, encoded.body_count);
    if (!document->failed)
        (void)system_publish(control, &message);
    memory_free(encoded.body);
}

/* `data`: where the document would have been. */
static void answer_error(struct control *control, const struct system_request *request, int code,
                         struct bytes why, bool data)
{
    struct json_output document;
    json_output_init(&document, 0, SYSTEM_REPLY_BYTES_MAX);
    json_put_object(&document, NULL);
    system_put_server(&document, control, "server");
    if (data)
        json_put_null(&document, "data");
    json_put_object(&document, "error");
    json_put_int(&document, "code", code);
    json_put_text(&document, "description", why);
    json_put_object_end(&document);
    json_put_object_end(&document);
    answer(control, request, &document, false);
    json_output_close(&document);
}

/* The document behind the server's description. */
static void wrap(struct control *control, const struct monitor_task *task, const char *key,
                 struct json_output *whole)
{
    json_output_init(whole, 0, SYSTEM_REPLY_BYTES_MAX);
    json_put_object(whole, NULL);
    system_put_server(whole, control, "server");
    if (key != NULL) {
        json_output_add(whole, TEXT(",\""));
        json_output_add(whole, text(key));
        json_output_add(whole, TEXT("\":"));
        json_output_add(whole, bytes_of(task->document.data, task->document.count));
    }
    json_put_object_end(whole);
    whole->failed = whole->failed || task->document.failed;
}

/* To everybody: a heartbeat, or it was asked for without a reply. */
static void broadcast(struct control *control, struct monitor_task *task)
{
    char subject[128];
    struct json_output whole;
    int count = snprintf(subject, sizeof subject, "$SYS.SERVER.%s.STATSZ", control->server_id);
    control->system.statsz_sent_ns = control->now_ns;
    if (!system_has_peers(control) && task->figures.shards[SYSTEM_SHARD].system_listeners == 0)
        return; /* alone, and nobody listens */
    wrap(control, task, "statsz", &whole);
    system_say(control, bytes_of(subject, (size_t)count), &whole);
    json_output_close(&whole);
    system_counts_ask(control);
}

static void answer_data(struct control *control, struct monitor_task *task, const char *key)
{
    struct json_output whole;
    wrap(control, task, key, &whole);
    if (whole.failed)
        answer_error(control, task->request, 500,
                     TEXT("the reply would be too large, or memory is out: ask for less"), true);
    else
        answer(control, task->request, &whole, key != NULL && strcmp(key, "data") == 0);
    json_output_close(&whole);
}

void system_task_done(struct control *control, struct monitor_task *task)
{
    const struct system_request *request = task->request;
    enum system_answer kind = (enum system_answer)request->service->answer;
    if (task->silent)
        return;
    if (task->failed) {
        if (request->reply.count > 0)
            answer_error(control, request, 500, bytes_of(task->document.data, task->document.count),
                         kind == SYSTEM_ANSWER_DATA);
        return;
    }
    switch (kind) {
    case SYSTEM_ANSWER_DATA:
        answer_data(control, task, "data");
        return;
    case SYSTEM_ANSWER_STATSZ:
        if (request->reply.count == 0)
            broadcast(control, task);
        else
            answer_data(control, task, "statsz");
        return;
    case SYSTEM_ANSWER_DONE:
        answer_data(control, task, NULL);
        return;
    case SYSTEM_ANSWER_WHOLE:
        answer(control, request, &task->document, false);
        return;
    case SYSTEM_ANSWER_NONE:
        return;
    }
}

/* ---- from a request to its task ---- */

static const struct monitor_endpoint *endpoint_of(const struct system_service *service)
{
    size_t count;
    const struct monitor_endpoint *endpoints = monitor_endpoints(&count);
    if (service->endpoint != NULL)
        return service->endpoint;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(endpoints[i].path, service->path) == 0)
            return &endpoints[i];
    }
    UNREACHABLE("a service whose endpoint is no row of the endpoints");
}

/* Whether it is for this server, and what it asks for as a query. False: it has been answered, or is to have
 * no answer. */
static bool request_read(struct control *control, struct system_request *request, char **query, size_t *count)
{
    const struct system_service *service = request->service;
    struct system_options options;
    struct json_document document;
    struct bytes body = service->words ? TEXT("") : request->body;
    bool good = system_options_read(service, body, &document, &options);
    if (!good)
        answer_error(control, request, 400, TEXT("invalid JSON, or a value of a wrong type"), false);
    else
        good = system_options_match(control, &options);
    if (good && request->account.count > 0) {
        /* Whoever asks for one account may say its name once more, but no other one's, and PING is not one.
         */
        bool other = service->endpoint == &system_endpoint_conns && options.acc.count > 0 &&
                     !bytes_equal(options.acc, request->account);
        good = !other &&
               !(service->endpoint == &system_endpoint_statz && bytes_equal(request->account, TEXT("PING")));
        options.subscriptions |= strcmp(service->name, "SUBSZ") == 0;
    }
    if (good && options.accounts_listed.count > 0) {
        request->listed = memory_copy(options.accounts_listed.data, options.accounts_listed.count);
        request->listed_count = request->listed == NULL ? 0 : options.accounts_listed.count;
    }
    *query = good ? system_options_query(&options, request->account, count) : NULL;
    json_close(&document);
    return *query != NULL;
}

bool system_service_begin(struct control *control, struct system_request *request)
{
    const struct system_service *service = request->service;
    char *query = NULL;
    size_t count = 0;
    if (service->take != NULL) {
        service->take(control, request);
        system_request_free(request);
        return false;
    }
    bool own = request->subject.count == 0;
    bool waited_for = own || request->reply.count > 0 || service->answer == SYSTEM_ANSWER_STATSZ;
    if (!waited_for || !request_read(control, request, &query, &count) ||
        !monitor_task_for(control, endpoint_of(service), query, count, request)) {
        memory_free(query);
        system_request_free(request);
        return false;
    }
    return true;
}
