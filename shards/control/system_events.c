/* shards/control/system_events.c - what the server publishes unasked: connections that come and go, logins
 * that fail, how many clients an account has; and what it hears of other servers (spec/monitoring.md 5). */
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/codec/nuid.h"
#include "net/closed_reason.h"
#include "shards/control/control_internal.h"
#include "shards/control/monitor_accounts.h"
#include "shards/control/monitor_task.h"
#include "shards/control/system_services.h"
#include "shards/mail.h"
#include "shards/system_shard.h"

#include <stdio.h>

enum {
    SUBJECT_BYTES = 1024,
    LOOKED_PER_STEP = 4096, /* accounts; a step takes a fraction of a millisecond */
    SAID_PER_STEP = 32,
    /* Of an account, in system.changed: */
    CHANGE_NOTED = 1,
    CHANGE_COLLECTED = 2,
    ZERO_OWED = 4, /* times as many as heartbeats are to tell that it has no clients any more */
    ZEROS_OWED = 2 * ZERO_OWED,
    ZEROS_MASK = 3 * ZERO_OWED,
};
#define STATSZ_REST_NS NS_PER_SECOND /* between two broadcasts that other servers caused */

/* ---- the head of an event ---- */

static void put_head(struct json_output *document, struct control *control, const char *type)
{
    char id[NUID_TEXT_BYTES], at[MONITOR_TIME_BYTES];
    nuid_make(id, &control->cluster.random);
    json_put_object(document, NULL);
    json_put_text(document, "type", text(type));
    json_put_text(document, "id", bytes_of(id, sizeof id));
    json_put_text(document, "timestamp", text(monitor_time_text(at, clock_wall_ns())));
    system_put_server(document, control, "server");
}

static void say(struct control *control, struct json_output *document, const char *before, struct bytes name,
                const char *behind)
{
    char subject[SUBJECT_BYTES];
    int count = snprintf(subject, sizeof subject, "%s%.*s%s", before, BYTES_PRINTF(name), behind);
    if (count > 0 && count < SUBJECT_BYTES)
        system_say(control, bytes_of(subject, (size_t)count), document);
}

/* ---- connections ---- */

/* A connection's record, taken apart. */
struct told {
    struct report_connection figures;
    struct bytes texts[REPORT_TEXTS];
};

static void told_read(struct told *told, const uint8_t *record)
{
    record += sizeof(struct report_record);
    memcpy(&told->figures, record, sizeof told->figures);
    record += sizeof told->figures;
    for (size_t i = 0; i < REPORT_TEXTS; i++)
        told->texts[i] = monitor_text_take(&record, told->figures.text_counts[i]);
}

static void put_client(struct json_output *document, const struct control *control, const struct told *told,
                       bool gone)
{
    const struct report_connection *figures = &told->figures;
    json_put_object(document, "client");
    monitor_put_time(document, "start", control, figures->start_ns);
    json_put_text_some(document, "host", told->texts[REPORT_ADDRESS]);
    json_put_unsigned(document, "id", figures->cid);
    json_put_text(document, "acc", told->texts[REPORT_ACCOUNT]);
    json_put_text_some(document, "user", figures->token ? TEXT("[REDACTED]") : told->texts[REPORT_USER]);
    json_put_text_some(document, "name", told->texts[REPORT_NAME]);
    json_put_text_some(document, "lang", told->texts[REPORT_LANG]);
    json_put_text_some(document, "ver", told->texts[REPORT_VERSION]);
    if (gone && figures->rtt_ns > 0)
        json_put_int(document, "rtt", figures->rtt_ns);
    if (gone)
        monitor_put_time(document, "stop", control, figures->stop_ns);
    json_put_text(document, "name_tag", told->texts[REPORT_ACCOUNT]);
    json_put_text(document, "kind", TEXT("Client"));
    json_put_text(document, "client_type", TEXT("nats"));
    json_put_object_end(document);
}

static void put_data(struct json_output *document, const char *key, uint64_t messages, uint64_t bytes)
{
    json_put_object(document, key);
    json_put_unsigned(document, "msgs", messages);
    json_put_unsigned(document, "bytes", bytes);
    json_put_object_end(document);
}

static void connect_say(struct control *control, const struct told *told)
{
    struct json_output document;
    json_output_init(&document, 0, SYSTEM_REPLY_BYTES_MAX);
    put_head(&document, control, "io.nats.server.advisory.v1.client_connect");
    put_client(&document, control, told, false);
    json_put_object_end(&document);
    say(control, &document, "$SYS.ACCOUNT.", told->texts[REPORT_ACCOUNT], ".CONNECT");
    json_output_close(&document);
}

/* As the client sees it: it has sent what the server received. */
static void put_disconnect(struct json_output *document, struct control *control, const struct told *told,
                           struct bytes reason)
{
    const struct report_connection *figures = &told->figures;
    put_head(document, control, "io.nats.server.advisory.v1.client_disconnect");
    put_client(document, control, told, true);
    put_data(document, "sent", figures->in_messages, figures->in_bytes);
    put_data(document, "received", figures->out_messages, figures->out_bytes);
    json_put_text(document, "reason", reason);
    json_put_object_end(document);
}

static struct bytes reason_of(const struct told *told)
{
    return text(closed_reason_text((enum closed_reason)told->figures.reason));
}

static void disconnect_say(struct control *control, const struct told *told)
{
    struct json_output document;
    json_output_init(&document, 0, SYSTEM_REPLY_BYTES_MAX);
    put_disconnect(&document, control, told, reason_of(told));
    say(control, &document, "$SYS.ACCOUNT.", told->texts[REPORT_ACCOUNT], ".DISCONNECT");
    json_output_close(&document);
}

/* To the operator, and inside the account to whoever looks after that, with the reason that a service gave.
 */
static void login_error_say(struct control *control, const struct told *told, uint32_t account,
                            struct bytes why)
{
    struct json_output document;
    json_output_init(&document, 0, SYSTEM_REPLY_BYTES_MAX);
    put_disconnect(&document, control, told, reason_of(told));
    say(control, &document, "$SYS.SERVER.", text(control->server_id), ".CLIENT.AUTH.ERR");
    json_output_close(&document);
    json_output_init(&document, 0, SYSTEM_REPLY_BYTES_MAX);
    put_disconnect(&document, control, told, why);
    struct system_message message = {
        .account = account,
        .subject = TEXT("$SYS.ACCOUNT.CLIENT.AUTH.ERR"),
        .body = bytes_of(document.data, document.count),
    };
    if (!document.failed)
        (void)system_publish(control, &message);
    json_output_close(&document);
}

/* What the operator hears of a client that is refused for what responders say: whose certificate it is, and
 * then of the client. */
void system_peer_refused(struct control *control, const struct peer_check *check)
{
    struct json_output document;
    if (!control->system.on)
        return;
    for (int rejected = 0; rejected < 2; rejected++) {
        json_output_init(&document, 0, SYSTEM_REPLY_BYTES_MAX);
        put_head(&document, control,
                 rejected ? "io.nats.server.advisory.v1.ocsp_peer_reject"
                          : "io.nats.server.advisory.v1.ocsp_peer_link_invalid");
        if (rejected)
            json_put_text(&document, "kind", TEXT("Client"));
        else
            peer_checks_put_certificate(&document, "link", check, check->bad_link);
        peer_checks_put_certificate(&document, "peer", check, 0);
        json_put_text(&document, "reason", rejected ? TEXT("client not OCSP valid") : text(check->reason));
        json_put_object_end(&document);
        say(control, &document, "$SYS.SERVER.", text(control->server_id),
            rejected ? ".OCSP.PEER.CONN.REJECT" : ".OCSP.PEER.LINK.INVALID");
        json_output_close(&document);
    }
}

void system_mail_event(struct control *control, const uint8_t *bytes)
{
    struct mail_system_event mail;
    struct told told;
    memcpy(&mail, bytes, sizeof mail);
    const uint8_t *at = mail.block != NULL ? mail.block->bytes : bytes + sizeof mail;
    told_read(&told, at);
    switch ((enum mail_system_event_kind)mail.event) {
    case SYSTEM_CONNECT:
        connect_say(control, &told);
        break;
    case SYSTEM_DISCONNECT:
        disconnect_say(control, &told);
        break;
    case SYSTEM_AUTHENTICATION_ERROR:
        login_error_say(control, &told, mail.account,
                        mail.explained ? bytes_of(at + mail.bytes, mail.why_count) : reason_of(&told));
        break;
    }
    block_release(&control->blocks, mail.block);
}

/* ---- accounts ---- */

/* Two subjects: servers listen to the old one. Each message has a number of its own. */
void system_account_say(struct control *control, struct monitor_task *task,
                        const struct security_account *account, struct bytes reply)
{
    struct report_account figures = monitor_account(task, account->id);
    for (int i = 0; i < (reply.count > 0 ? 1 : 2); i++) {
        struct json_output document;
        json_output_init(&document, 0, SYSTEM_REPLY_BYTES_MAX);
        put_head(&document, control, "io.nats.server.advisory.v1.account_connections");
        monitor_put_account_figures(&document, account, &figures);
        json_put_object_end(&document);
        if (reply.count > 0)
            system_say(control, reply, &document);
        else if (i == 0)
            say(control, &document, "$SYS.SERVER.ACCOUNT.", account->name, ".CONNS");
        else
            say(control, &document, "$SYS.ACCOUNT.", account->name, ".SERVER.CONNS");
        json_output_close(&document);
    }
}

/* What is to be told of that account, zeros at first. NULL: memory is out. */
static uint8_t *change_of(struct system *system, uint32_t id)
{
    if (id >= system->account_capacity) {
        uint32_t capacity = (id + 1) * 2;
        uint8_t *changed = memory_grow(system->changed, capacity);
        if (changed == NULL)
            return NULL;
        memset(changed + system->account_capacity, 0, capacity - system->account_capacity);
        system->changed = changed;
        system->account_capacity = capacity;
    }
    return &system->changed[id];
}

static void owe_zeros(uint8_t *change)
{
    *change = (uint8_t)((*change & ~ZEROS_MASK) | ZEROS_OWED);
}

void system_mail_account(struct control *control, const uint8_t *bytes)
{
    struct system *system = &control->system;
    struct mail_system_account mail;
    memcpy(&mail, bytes, sizeof mail);
    uint8_t *change = change_of(system, mail.account);
    if (change == NULL)
        return; /* the heartbeat will say it */
    *change |= CHANGE_NOTED;
    owe_zeros(change);
    if (!system->changes_asked)
        system_ask_itself(control, system_service_named(SYSTEM_OWN_CHANGES));
    system->changes_asked = true;
}

/* ---- many accounts, some at a time ---- */

static void changes_begin(struct control *control, struct monitor_task *task)
{
    struct system *system = &control->system;
    for (uint32_t id = 0; id < system->account_capacity; id++) {
        if (system->changed[id] & CHANGE_NOTED)
            system->changed[id] = (uint8_t)((system->changed[id] & ~CHANGE_NOTED) | CHANGE_COLLECTED);
    }
    system->changes_asked = false;
    monitor_figures_ask(control, task);
}

/* Whether a heartbeat tells of an account: as long as it has clients, and then that it has none twice more.
 * An event may be lost, and a server that missed the zero would go on counting. Without memory it is the
 * change alone that says so. */
static bool heartbeat_due(struct system *system, uint32_t id, uint64_t clients)
{
    uint8_t *change = clients > 0                     ? change_of(system, id)
                      : id < system->account_capacity ? &system->changed[id]
                                                      : NULL;
    if (clients > 0 && change != NULL)
        owe_zeros(change);
    if (clients > 0)
        return true;
    if (change == NULL || (*change & ZEROS_MASK) == 0)
        return false;
    *change = (uint8_t)(*change - ZERO_OWED);
    return true;
}

/* The figures are in: those of an account are true for all changes that were noted before they were asked
 * for. So a storm of connections is told of as often as figures can be collected. */
static bool due(struct control *control, const struct monitor_task *task,
                const struct security_account *account)
{
    struct system *system = &control->system;
    if (task->endpoint == &system_endpoint_own_accounts)
        return account->id != 0 &&
               heartbeat_due(system, account->id, monitor_account(task, account->id).clients);
    bool changed =
        account->id < system->account_capacity && (system->changed[account->id] & CHANGE_COLLECTED);
    if (changed)
        system->changed[account->id] &= (uint8_t)~CHANGE_COLLECTED;
    return changed;
}

static void accounts_step(struct control *control, struct monitor_task *task)
{
    const struct security_accounts *accounts = &control->snapshot->options->security.accounts;
    uint32_t looked = 0, said = 0;
    for (; task->account_next < accounts->count && looked < LOOKED_PER_STEP && said < SAID_PER_STEP;
         looked++) {
        const struct security_account *account = accounts->all[task->account_next++];
        if (!due(control, task, account))
            continue;
        system_account_say(control, task, account, TEXT(""));
        said++;
    }
    task->step_wanted = task->account_next < accounts->count;
    task->done = !task->step_wanted;
}

static void heartbeat_told(struct control *control, struct monitor_task *task)
{
    bool heard = system_has_peers(control) || task->figures.shards[SYSTEM_SHARD].system_listeners > 0;
    task->step_wanted = heard;
    task->done = !heard;
}

static void changes_told(struct control *control, struct monitor_task *task)
{
    (void)control;
    task->step_wanted = true;
}

const struct monitor_endpoint system_endpoint_own_accounts = {.begin = monitor_figures_ask,
                                                              .page = monitor_figures_page,
                                                              .told = heartbeat_told,
                                                              .step = accounts_step};
const struct monitor_endpoint system_endpoint_own_changes = {
    .begin = changes_begin, .page = monitor_figures_page, .told = changes_told, .step = accounts_step};

/* ---- other servers ---- */

/* The id in "$SYS.SERVER.<id>.WHAT". */
static struct bytes peer_id(const struct system_request *request)
{
    const struct bytes before = TEXT("$SYS.SERVER.");
    size_t count = 0;
    struct bytes rest = bytes_of(request->subject.data + before.count, request->subject.count - before.count);
    while (count < rest.count && rest.data[count] != '.')
        count++;
    return bytes_of(rest.data, count);
}

struct system_peer *system_peer_find(struct system *system, struct bytes id)
{
    for (uint32_t i = 0; i < system->peer_count; i++) {
        if (bytes_equal(bytes_of(system->peers[i].id, SYSTEM_ID_BYTES), id))
            return &system->peers[i];
    }
    return NULL;
}

/* At once, but not more often than once a second: then the next heartbeat comes as early as that. */
static void greet(struct control *control)
{
    struct system *system = &control->system;
    int64_t rest_ns = system->statsz_gap_ns < STATSZ_REST_NS ? system->statsz_gap_ns : STATSZ_REST_NS;
    int64_t due_ns = system->statsz_sent_ns + rest_ns;
    if (system->statsz_sent_ns == 0 || due_ns <= control->now_ns)
        system_ask_itself(control, system_service_named(SYSTEM_OWN_STATSZ));
    else if (timers_set(&control->timers, &system->statsz_timer, due_ns) != ERR_OK)
        log_error(control->log, "No memory for the heartbeats of the system account");
}

void system_reloaded(struct control *control, const struct server_options *before)
{
    if (!control->system.on)
        return;
    system_counts_reloaded(control);
    if (!server_options_same_labels(before, control->snapshot->options))
        greet(control);
}

/* A new one is greeted by a heartbeat, so that it knows this server at once. */
void system_peer_statsz(struct control *control, const struct system_request *request)
{
    struct system *system = &control->system;
    struct bytes id = peer_id(request);
    if (id.count != SYSTEM_ID_BYTES || bytes_equal(id, text(control->server_id)))
        return;
    struct system_peer *peer = system_peer_find(system, id);
    if (peer == NULL && system->peers == NULL)
        system->peers = memory_new(SYSTEM_PEERS_MAX * sizeof *system->peers);
    if (peer == NULL && system->peers != NULL && system->peer_count < SYSTEM_PEERS_MAX) {
        peer = &system->peers[system->peer_count++];
        *peer = (struct system_peer){0};
        memcpy(peer->id, id.data, SYSTEM_ID_BYTES);
        system->counts_wanted = true;
        greet(control);
    }
    if (peer != NULL)
        peer->heard_ns = control->now_ns;
}

static void peer_forget(struct control *control, struct system_peer *peer)
{
    system_counts_forget(control, peer);
    *peer = control->system.peers[--control->system.peer_count];
}

void system_peer_gone(struct control *control, const struct system_request *request)
{
    struct system *system = &control->system;
    struct system_peer *peer = system_peer_find(system, peer_id(request));
    if (peer != NULL)
        peer_forget(control, peer);
}

/* A server that says nothing for five heartbeats is lost. */
void system_peers_forget(struct control *control)
{
    struct system *system = &control->system;
    for (uint32_t i = system->peer_count; i > 0; i--) {
        if (control->now_ns - system->peers[i - 1].heard_ns > SYSTEM_LOST_NS)
            peer_forget(control, &system->peers[i - 1]);
    }
    system_counts_expire(control);
}

uint32_t system_active_servers(const struct control *control)
{
    return control->system.peer_count + 1;
}
