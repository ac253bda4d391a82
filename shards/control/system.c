/* shards/control/system.c - see system.h: its life, what waits to be worked on and what waits to be
 * published. The services are in system_services.c, what they answer in system_documents.c, events in
 * system_events.c. */
#include "shards/control/system.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/base/version.h"
#include "core/subject/subject.h"
#include "net/payload_trace.h"
#include "shards/control/control_internal.h"
#include "shards/control/monitor_varz.h"
#include "shards/control/system_services.h"
#include "shards/mail.h"
#include "shards/system_shard.h"

#include <stdio.h>

#define STATSZ_GAP_FIRST_NS (250 * NS_PER_MS)
#define STATSZ_GAP_MOST_NS (10 * NS_PER_SECOND)
#define ACCOUNTS_GAP_NS (30 * NS_PER_SECOND)
#define STOP_NS (200 * NS_PER_MS)
#define SERVED_NS NS_PER_SECOND /* a shard without memory for services shall not keep clients away */
enum { PATTERN_BYTES = 256, SUBJECT_BYTES = 256 };

/* A message that waits for room. */
struct outgoing {
    struct list_link link;
    struct mail_system_publish mail;
    size_t bytes;
};

/* ---- its life ---- */

enum err system_init(struct control *control)
{
    struct system *system = &control->system;
    list_init(&system->waiting);
    list_init(&system->outbox);
    list_init(&system->surveys);
    system->statsz_timer.kind = CONTROL_TIMER_STATSZ;
    system->accounts_timer.kind = CONTROL_TIMER_ACCOUNTS;
    system->stop_timer.kind = CONTROL_TIMER_STOP;
    system->on = control->snapshot->options->security.accounts.system != NULL;
    system->pattern = system->on ? memory_new(PATTERN_BYTES) : NULL;
    return system->on && system->pattern == NULL ? ERR_MEMORY : ERR_OK;
}

bool system_start(struct control *control)
{
    struct system *system = &control->system;
    if (!system->on)
        return false;
    system->statsz_gap_ns = STATSZ_GAP_FIRST_NS;
    /* Without memory for a timer there are no heartbeats; all else is there. */
    if (timers_set(&control->timers, &system->statsz_timer, control->now_ns + STATSZ_GAP_FIRST_NS) !=
            ERR_OK ||
        timers_set(&control->timers, &system->accounts_timer, control->now_ns + ACCOUNTS_GAP_NS) != ERR_OK)
        log_error(control->log, "No memory for the heartbeats of the system account");
    return timers_set(&control->timers, &control->accept_timer, control->now_ns + SERVED_NS) == ERR_OK;
}

/* Tells the shard what is served, as far as its mailbox has room. True: all of it. */
static bool services_tell(struct control *control)
{
    struct system *system = &control->system;
    uint8_t record[sizeof(struct mail_system_service) + PATTERN_BYTES];
    while (system->on && system->service_next < system_pattern_count()) {
        if (!system_pattern(control, system->service_next, system->pattern, PATTERN_BYTES)) {
            system->service_next++; /* one that this server has not */
            continue;
        }
        struct bytes pattern = text(system->pattern);
        struct mail_system_service mail = {.kind = MAIL_SYSTEM_SERVICE,
                                           .number = system->service_next,
                                           .pattern_count = (uint32_t)pattern.count};
        memcpy(record, &mail, sizeof mail);
        memcpy(record + sizeof mail, pattern.data, pattern.count);
        if (!control_put(control, SYSTEM_SHARD, record, (uint32_t)(sizeof mail + pattern.count)))
            return false;
        system->service_next++;
    }
    struct mail_plain all = {.kind = MAIL_SYSTEM_SERVICES};
    if (system->on && !system->services_told)
        system->services_told = control_put(control, SYSTEM_SHARD, &all, sizeof all);
    return !system->on || system->services_told;
}

void system_close(struct control *control)
{
    struct system *system = &control->system;
    for (struct list_link *at;
         system->waiting.ends.next != NULL && (at = list_first(&system->waiting)) != NULL;) {
        list_remove(at);
        system_request_free(LIST_ELEMENT(at, struct system_request, waiting));
    }
    for (struct list_link *at;
         system->outbox.ends.next != NULL && (at = list_first(&system->outbox)) != NULL;) {
        struct outgoing *outgoing = LIST_ELEMENT(at, struct outgoing, link);
        list_remove(at);
        block_release(&control->blocks, outgoing->mail.block);
        memory_free(outgoing);
    }
    system_surveys_close(control);
    system_counts_close(system);
    memory_free(system->peers);
    memory_free(system->changed);
    memory_free(system->pattern);
}

bool system_has_peers(const struct control *control)
{
    return control->cluster.on || control->snapshot->options->gateway.given;
}

/* ---- requests ---- */

static uint8_t *keep(uint8_t *to, struct bytes *kept, const uint8_t **from, size_t count)
{
    *kept = bytes_of(to, count);
    if (count > 0)
        memcpy(to, *from, count);
    *from += count;
    return to + count;
}

static void queue(struct system *system, struct system_request *request)
{
    list_push_last(&system->waiting, &request->waiting);
    system->waiting_count++;
    system->waiting_bytes += request->bytes;
}

static void take_at_once(struct control *control, const struct mail_system_request *mail, const uint8_t *from)
{
    const uint8_t *body = from + mail->subject_count + mail->reply_count + mail->header_bytes;
    const struct system_request request = {
        .service = system_service_of(mail->number),
        .subject = bytes_of(from, mail->subject_count),
        .body = bytes_of(body, mail->total_bytes - mail->header_bytes),
    };
    request.service->take(control, &request);
}

void system_mail_request(struct control *control, const uint8_t *bytes)
{
    struct system *system = &control->system;
    struct mail_system_request mail;
    memcpy(&mail, bytes, sizeof mail);
    if (system_service_of(mail.number)->at_once) {
        take_at_once(control, &mail, mail.block != NULL ? mail.block->bytes : bytes + sizeof mail);
        block_release(&control->blocks, mail.block);
        return;
    }
    size_t count = (size_t)mail.subject_count + mail.reply_count + mail.total_bytes;
    const uint8_t *from = mail.block != NULL ? mail.block->bytes : bytes + sizeof mail;
    bool own = system_counts_inbox(control, bytes_of(from + mail.subject_count, mail.reply_count));
    bool room = !own && system->waiting_count < SYSTEM_WAITING_MAX &&
                system->waiting_bytes + count <= SYSTEM_WAITING_BYTES_MAX;
    struct system_request *request = room ? memory_new(sizeof *request + count) : NULL;
    if (request != NULL) {
        uint8_t *to = (uint8_t *)(request + 1);
        to = keep(to, &request->subject, &from, mail.subject_count);
        to = keep(to, &request->reply, &from, mail.reply_count);
        to = keep(to, &request->headers, &from, mail.header_bytes);
        (void)keep(to, &request->body, &from, mail.total_bytes - mail.header_bytes);
        request->place = mail.place;
        request->bytes = count;
        request->service = system_service_of(mail.number);
        request->account = system_service_account(mail.number, request->subject);
        queue(system, request);
    }
    block_release(&control->blocks, mail.block);
}

void system_ask_itself(struct control *control, const struct system_service *service)
{
    struct system_request *request = memory_new(sizeof *request);
    if (request == NULL)
        return; /* the next heartbeat tries again */
    request->service = service;
    queue(&control->system, request);
}

void system_request_free(struct system_request *request)
{
    memory_free(request->listed);
    memory_free(request);
}

bool system_begin_next(struct control *control)
{
    struct system *system = &control->system;
    struct list_link *first = list_first(&system->waiting);
    if (first == NULL)
        return false;
    struct system_request *request = LIST_ELEMENT(first, struct system_request, waiting);
    list_remove(first);
    system->waiting_count--;
    system->waiting_bytes -= request->bytes;
    return system_service_begin(control, request);
}

/* ---- publishing ---- */

static bool put(struct control *control, const struct mail_system_publish *mail)
{
    return control_put(control, SYSTEM_SHARD, mail, sizeof *mail);
}

/* In order: nothing overtakes what waits. */
static bool put_or_keep(struct control *control, const struct mail_system_publish *mail, size_t bytes)
{
    struct system *system = &control->system;
    if (list_empty(&system->outbox) && put(control, mail))
        return true;
    struct outgoing *outgoing =
        system->outbox_bytes + bytes > SYSTEM_OUTBOX_BYTES_MAX ? NULL : memory_new(sizeof *outgoing);
    if (outgoing == NULL) {
        if (system->outbox_lost++ == 0)
            log_warning(control->log, "System events and answers are dropped: a shard does not follow");
        return false;
    }
    outgoing->mail = *mail;
    outgoing->bytes = bytes;
    system->outbox_bytes += bytes;
    list_push_last(&system->outbox, &outgoing->link);
    return true;
}

static uint8_t *add(uint8_t *to, struct bytes words)
{
    return words.count == 0 ? to : mempcpy(to, words.data, words.count);
}

/* trace_verbose: what the server itself says, too, as nats-server shows it. */
static void trace(const struct control *control, const struct system_message *message)
{
    const struct server_options *options = control->snapshot->options;
    if (!options->trace_verbose)
        return;
    log_line(control->log, LOG_TRACE, "SYSTEM - <<- [PUB %.*s %.*s %zu]", BYTES_PRINTF(message->subject),
             BYTES_PRINTF(message->reply), message->headers.count + message->body.count);
    struct bytes shown = message->body;
    if (options->net.trace_headers)
        shown = payload_trace_headers(message->headers, (uint32_t)message->headers.count);
    payload_trace(control->log, "SYSTEM", "<<-", shown, options->net.max_traced_message_bytes);
}

bool system_publish(struct control *control, const struct system_message *message)
{
    size_t total = message->headers.count + message->body.count;
    size_t bytes = message->subject.count + message->reply.count + total + 2;
    /* An account's name may hold what no subject may. */
    if (!subject_valid_spoken(message->subject) || total > SYSTEM_REPLY_BYTES_MAX)
        return false;
    trace(control, message);
    struct mail_system_publish mail = {
        .kind = MAIL_SYSTEM_PUBLISH,
        .last = message->last,
        .account = message->account,
        .subject_count = (uint32_t)message->subject.count,
        .reply_count = (uint32_t)message->reply.count,
        .header_bytes = (uint32_t)message->headers.count,
        .total_bytes = (uint32_t)total,
        .block = block_take(&control->blocks, bytes),
    };
    if (mail.block == NULL)
        return false;
    uint8_t *at = add(add(mail.block->bytes, message->subject), message->reply);
    at = add(add(at, message->headers), message->body);
    (void)add(at, TEXT("\r\n"));
    if (put_or_keep(control, &mail, bytes))
        return true;
    block_release(&control->blocks, mail.block);
    return false;
}

void system_say(struct control *control, struct bytes subject, struct json_output *document)
{
    struct system_message message = {
        .account = control->snapshot->options->security.accounts.system->id,
        .subject = subject,
        .body = bytes_of(document->data, document->count),
    };
    if (!document->failed)
        (void)system_publish(control, &message);
}

bool system_step(struct control *control)
{
    struct system *system = &control->system;
    struct list_link *at;
    bool left = system_counts_step(control) || !services_tell(control);
    while ((at = list_first(&system->outbox)) != NULL) {
        struct outgoing *outgoing = LIST_ELEMENT(at, struct outgoing, link);
        if (!put(control, &outgoing->mail))
            return true;
        list_remove(at);
        system->outbox_bytes -= outgoing->bytes;
        memory_free(outgoing);
    }
    system->outbox_lost = 0;
    return left;
}

/* ---- this server ---- */

void system_put_server(struct json_output *document, struct control *control, const char *key)
{
    const struct server_options *options = control->snapshot->options;
    json_put_object(document, key);
    json_put_text(document, "name", text(control->server_name));
    json_put_text(document, "host", control->snapshot->info.host);
    json_put_text(document, "id", text(control->server_id));
    json_put_text_some(document, "cluster", control_cluster_name(control));
    json_put_text(document, "ver", TEXT(MYELIN_NATS_VERSION));
    monitor_put_tags(document, options);
    json_put_bool(document, "jetstream", false);
    json_put_int(document, "flags", 0);
    json_put_unsigned(document, "seq", ++control->system.sequence);
    char at[MONITOR_TIME_BYTES];
    json_put_text(document, "time", text(monitor_time_text(at, clock_wall_ns())));
    json_put_object_end(document);
}

static void say_of_itself(struct control *control, const char *what, bool last)
{
    char subject[SUBJECT_BYTES];
    struct json_output document;
    int count = snprintf(subject, sizeof subject, "$SYS.SERVER.%s.%s", control->server_id, what);
    json_output_init(&document, 0, SYSTEM_REPLY_BYTES_MAX);
    system_put_server(&document, control, NULL);
    struct system_message message = {
        .account = control->snapshot->options->security.accounts.system->id,
        .subject = bytes_of(subject, (size_t)count),
        .body = bytes_of(document.data, document.count),
        .last = last,
    };
    if (!document.failed)
        (void)system_publish(control, &message);
    json_output_close(&document);
}

void system_lame_duck(struct control *control)
{
    if (control->system.on)
        say_of_itself(control, "LAMEDUCK", false);
}

bool system_shutdown(struct control *control)
{
    struct system *system = &control->system;
    if (!system->on || timers_set(&control->timers, &system->stop_timer, control->now_ns + STOP_NS) != ERR_OK)
        return false;
    say_of_itself(control, "SHUTDOWN", true);
    return true;
}

/* ---- heartbeats ---- */

void system_statsz_due(struct control *control)
{
    struct system *system = &control->system;
    system->statsz_gap_ns =
        system->statsz_gap_ns * 2 > STATSZ_GAP_MOST_NS ? STATSZ_GAP_MOST_NS : system->statsz_gap_ns * 2;
    if (timers_set(&control->timers, &system->statsz_timer, control->now_ns + system->statsz_gap_ns) !=
        ERR_OK)
        log_error(control->log, "No memory for the heartbeats of the system account");
    system_peers_forget(control);
    system_ask_itself(control, system_service_named(SYSTEM_OWN_STATSZ));
}

void system_accounts_due(struct control *control)
{
    struct system *system = &control->system;
    if (timers_set(&control->timers, &system->accounts_timer, control->now_ns + ACCOUNTS_GAP_NS) != ERR_OK)
        log_error(control->log, "No memory for the heartbeats of the system account");
    system_ask_itself(control, system_service_named(SYSTEM_OWN_ACCOUNTS));
}
