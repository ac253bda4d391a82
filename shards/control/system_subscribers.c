/* shards/control/system_subscribers.c - $SYS.DEBUG.SUBSCRIBERS: how many subscriptions a subject has, in the
 * account of whoever asks, on this server and on all others (docs/events.md 2).
 * In the flow: a request -> the shards' counts -> a survey: $SYS.REQ.ACCOUNT.NSUBS to the other servers,
 * whose counts come to an inbox of this one's -> all have answered, or SURVEY_NS are over -> the answer. A
 * server without clients in the account does not answer, so who waits for all may wait for the timer. At the
 * bound: SYSTEM_SURVEYS_MAX wait, the next one gets no answer. Thread: the control core's. */
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/codec/base64.h"
#include "core/codec/json.h"
#include "core/subject/subject.h"
#include "shards/control/control_internal.h"
#include "shards/control/monitor_task.h"
#include "shards/control/system_encoding.h"
#include "shards/control/system_services.h"
#include "shards/mail.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SURVEY_NS (500 * NS_PER_MS)
enum { SUBJECT_BYTES = 128, DIGITS_BYTES = 24 };

/* One question to the other servers. */
struct system_survey {
    struct list_link link; /* in system.surveys */
    struct timer timer;
    uint64_t number; /* the last token of its inbox */
    uint64_t count;
    uint32_t expected; /* answers, at most */
    uint32_t reply_count;
    uint8_t reply[]; /* of whoever asked */
};

/* ---- what is asked ---- */

/* Keeps a text as long as the task; false: it is too long. */
static bool keep(char out[HTTP_PARAMETER_BYTES], struct bytes *kept, struct bytes words)
{
    if (words.count > HTTP_PARAMETER_BYTES)
        return false;
    if (words.count > 0)
        memcpy(out, words.data, words.count);
    *kept = bytes_of(out, words.count);
    return true;
}

static bool ask_for(struct monitor_task *task, struct bytes account, struct bytes subject)
{
    struct report_query *query = &task->report;
    query->account_given = true;
    query->wildcard = subject_has_wildcard(subject);
    return keep(task->account, &query->account, account) && keep(task->test, &query->test, subject);
}

struct asks {
    struct bytes account, service;
};
static const struct json_field asks_fields[] = {
    {"acc", JSON_KIND_TEXT, offsetof(struct asks, account), NULL},
    {"svc", JSON_KIND_TEXT, offsetof(struct asks, service), NULL},
};
static const struct json_shape asks_shape = {asks_fields, COUNT_OF(asks_fields)};

/* The account of whoever asks: what its import says, else the system account. False: that says nothing. */
static bool account_read(const struct control *control, struct monitor_task *task, struct bytes subject)
{
    struct bytes headers = task->request->headers;
    struct json_document document = {0};
    struct asks asks = {0};
    struct bytes account = control->snapshot->options->security.accounts.system->name;
    bool good = true;
    if (headers.count > 0) {
        struct bytes json = system_header_value(headers, "Nats-Request-Info");
        good = json.count > 0 && json_read(&document, json, &asks_shape, &asks) == ERR_OK;
        if (asks.service.count > 0)
            account = asks.service;
        else if (asks.account.count > 0)
            account = asks.account;
    }
    good = good && ask_for(task, account, subject);
    json_close(&document);
    return good && security_account_find(&control->snapshot->options->security.accounts,
                                         task->report.account) != NULL;
}

static void count_ask(struct control *control, struct monitor_task *task)
{
    task->report.kind = REPORT_SUBSCRIBERS;
    monitor_ask_all(control, task);
}

static void count_page(struct control *control, struct monitor_task *task, uint32_t from,
                       struct mail_report *mail)
{
    if (task->report.kind == REPORT_FIGURES)
        monitor_figures_page(control, task, from, mail);
    else
        task->counted += mail->counted;
}

static void number_say(struct control *control, struct bytes reply, uint64_t count)
{
    char digits[DIGITS_BYTES];
    int bytes = snprintf(digits, sizeof digits, "%" PRIu64, count > INT32_MAX ? INT32_MAX : count);
    struct system_message message = {
        .account = control->snapshot->options->security.accounts.system->id,
        .subject = reply,
        .body = bytes_of(digits, (size_t)bytes),
    };
    (void)system_publish(control, &message);
}

/* ---- surveys ---- */

static size_t inbox_before(const struct control *control, char out[SUBJECT_BYTES])
{
    return (size_t)snprintf(out, SUBJECT_BYTES, "$SYS._INBOX.%s.", control->server_id);
}

static void survey_free(struct control *control, struct system_survey *survey)
{
    timers_cancel(&control->timers, &survey->timer);
    list_remove(&survey->link);
    control->system.survey_count--;
    memory_free(survey);
}

static void survey_done(struct control *control, struct system_survey *survey)
{
    number_say(control, bytes_of(survey->reply, survey->reply_count), survey->count);
    survey_free(control, survey);
}

static void survey_ask(struct control *control, const struct monitor_task *task,
                       const struct system_survey *survey)
{
    char inbox[SUBJECT_BYTES];
    struct json_output document;
    const struct report_query *query = &task->report;
    size_t before = inbox_before(control, inbox);
    int digits = snprintf(inbox + before, sizeof inbox - before, "%" PRIu64, survey->number);
    json_output_init(&document, 0, SYSTEM_REPLY_BYTES_MAX);
    json_put_object(&document, NULL);
    json_put_text(&document, "acc", query->account);
    json_put_text(&document, "subject", query->test);
    if (query->queue_given && query->queue.count > 0) {
        char letters[BASE64_STANDARD_TEXT_BYTES(HTTP_PARAMETER_BYTES)];
        json_put_text(&document, "queue",
                      bytes_of(letters, base64_standard_encode(letters, sizeof letters, query->queue)));
    }
    json_put_object_end(&document);
    struct system_message message = {
        .account = control->snapshot->options->security.accounts.system->id,
        .subject = TEXT("$SYS.REQ.ACCOUNT.NSUBS"),
        .reply = bytes_of(inbox, before + (size_t)digits),
        .body = bytes_of(document.data, document.count),
    };
    if (!document.failed)
        (void)system_publish(control, &message);
    json_output_close(&document);
}

static void survey_begin(struct control *control, const struct monitor_task *task)
{
    struct system *system = &control->system;
    struct bytes reply = task->request->reply;
    bool room = system->survey_count < SYSTEM_SURVEYS_MAX;
    struct system_survey *survey = room ? memory_new(sizeof *survey + reply.count) : NULL;
    if (survey == NULL)
        return;
    survey->timer.kind = CONTROL_TIMER_SURVEY;
    survey->number = ++system->survey_number;
    survey->count = task->counted;
    survey->expected = system->peer_count;
    survey->reply_count = (uint32_t)reply.count;
    memcpy(survey->reply, reply.data, reply.count);
    list_push_last(&system->surveys, &survey->link);
    system->survey_count++;
    if (timers_set(&control->timers, &survey->timer, control->now_ns + SURVEY_NS) != ERR_OK)
        survey_free(control, survey);
    else
        survey_ask(control, task, survey);
}

void system_survey_due(struct control *control, struct timer *timer)
{
    survey_done(control, CONTAINER_OF(timer, struct system_survey, timer));
}

void system_survey_answered(struct control *control, const struct system_request *request)
{
    char before[SUBJECT_BYTES], digits[DIGITS_BYTES] = "";
    size_t count = inbox_before(control, before);
    if (request->body.count >= sizeof digits || request->subject.count - count >= sizeof digits)
        return;
    memcpy(digits, request->subject.data + count, request->subject.count - count);
    uint64_t number = strtoull(digits, NULL, 10);
    memset(digits, 0, sizeof digits);
    if (request->body.count > 0)
        memcpy(digits, request->body.data, request->body.count);
    uint64_t counted = strtoull(digits, NULL, 10);
    const struct list *surveys = &control->system.surveys;
    for (struct list_link *at = list_first(surveys); at != NULL; at = list_next(surveys, at)) {
        struct system_survey *survey = LIST_ELEMENT(at, struct system_survey, link);
        if (survey->number != number)
            continue;
        survey->count += counted > INT32_MAX ? INT32_MAX : counted;
        if (--survey->expected == 0)
            survey_done(control, survey);
        return;
    }
}

void system_surveys_close(struct control *control)
{
    struct list *surveys = &control->system.surveys;
    for (struct list_link *at; surveys->ends.next != NULL && (at = list_first(surveys)) != NULL;)
        survey_free(control, LIST_ELEMENT(at, struct system_survey, link));
}

/* ---- the two services ---- */

static void subscribers_begin(struct control *control, struct monitor_task *task)
{
    struct bytes subject, queue = TEXT("");
    system_words_read(task->request->body, &subject, &queue, &task->report.queue_given);
    bool good = account_read(control, task, subject) && keep(task->user, &task->report.queue, queue);
    if (good)
        count_ask(control, task);
    task->done = !good;
}

static void subscribers_told(struct control *control, struct monitor_task *task)
{
    if (control->system.peer_count == 0)
        number_say(control, task->request->reply, task->counted);
    else
        survey_begin(control, task);
    task->done = true;
}

const struct monitor_endpoint system_endpoint_subscribers = {
    .begin = subscribers_begin, .page = count_page, .told = subscribers_told};

struct nsubs {
    struct bytes account, subject, queue;
};
static const struct json_field nsubs_fields[] = {
    {"acc", JSON_KIND_TEXT, offsetof(struct nsubs, account), NULL},
    {"subject", JSON_KIND_TEXT, offsetof(struct nsubs, subject), NULL},
    {"queue", JSON_KIND_TEXT, offsetof(struct nsubs, queue), NULL},
};
static const struct json_shape nsubs_shape = {nsubs_fields, COUNT_OF(nsubs_fields)};

/* False: there is nothing that could be answered. */
static bool nsubs_read(struct monitor_task *task)
{
    struct json_document document;
    struct nsubs nsubs = {0};
    uint8_t queue[HTTP_PARAMETER_BYTES];
    bool good = json_read(&document, task->request->body, &nsubs_shape, &nsubs) == ERR_OK;
    if (good) {
        size_t count = base64_standard_decode(queue, sizeof queue, nsubs.queue);
        task->report.queue_given = nsubs.queue.data != NULL;
        good = (count > 0 || nsubs.queue.count == 0) && ask_for(task, nsubs.account, nsubs.subject) &&
               keep(task->user, &task->report.queue, bytes_of(queue, count));
        json_close(&document);
    }
    return good;
}

/* This server hears its own question too. */
static bool own_question(const struct control *control, const struct system_request *request)
{
    char before[SUBJECT_BYTES];
    size_t count = inbox_before(control, before);
    return bytes_start_with(request->reply, bytes_of(before, count));
}

static void nsubs_begin(struct control *control, struct monitor_task *task)
{
    task->done = own_question(control, task->request) || !nsubs_read(task);
    if (!task->done)
        monitor_figures_ask(control, task);
}

/* Servers with clients in the account answer, others do not: whoever asks counts on that. */
static void nsubs_told(struct control *control, struct monitor_task *task)
{
    const struct security_account *account =
        security_account_find(&control->snapshot->options->security.accounts, task->report.account);
    if (task->report.kind == REPORT_FIGURES && account != NULL &&
        monitor_account(task, account->id).clients > 0) {
        count_ask(control, task);
        return;
    }
    if (task->report.kind == REPORT_SUBSCRIBERS)
        number_say(control, task->request->reply, task->counted);
    task->done = true;
}

const struct monitor_endpoint system_endpoint_nsubs = {
    .begin = nsubs_begin, .page = count_page, .told = nsubs_told};
