/* shards/system_shard.c - see system_shard.h. */
#include "shards/system_shard.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/subject/subject.h"
#include "net/client.h"
#include "shards/backlog.h"
#include "shards/report_page.h"
#include "shards/router.h"
#include "shards/shard.h"

#include <stdio.h>

enum { SUBJECT_BYTES = 1024 }; /* of an event; an account whose name does not fit has none */

/* A pattern of the server's own. */
struct system_interest {
    struct foreign foreign;
    struct system_interest *next;
    struct shard_account *account; /* the system account; NULL: not in its index yet */
    uint32_t number;               /* the control core's */
    uint32_t pattern_count;
    uint8_t pattern[];
};

/* The system account here. NULL: there is none, or memory is out. */
static struct shard_account *system_account(struct shard *shard)
{
    const struct security_account *configured = shard->context.security->accounts.system;
    return configured == NULL ? NULL : accounts_get(shard, configured->id);
}

/* ---- services ---- */

void system_shard_mail_service(struct shard *shard, const uint8_t *bytes)
{
    struct mail_system_service mail;
    memcpy(&mail, bytes, sizeof mail);
    struct system_interest *interest = memory_new(sizeof *interest + mail.pattern_count);
    if (interest == NULL) {
        log_error(shard->context.log, "No memory for a service of the system account");
        return;
    }
    interest->foreign.kind = FOREIGN_SYSTEM;
    interest->number = mail.number;
    interest->pattern_count = mail.pattern_count;
    memcpy(interest->pattern, bytes + sizeof mail, mail.pattern_count);
    interest->next = shard->system.interests;
    shard->system.interests = interest;
    shard->system.missing_count++;
}

/* Those that are not in the index yet. */
static void interests_make(struct shard *shard)
{
    struct shard_system *system = &shard->system;
    struct shard_account *account = system->missing_count == 0 ? NULL : system_account(shard);
    if (account == NULL)
        return;
    for (struct system_interest *at = system->interests; at != NULL; at = at->next) {
        if (at->account != NULL)
            continue;
        if (router_subscribe(shard, account, &at->foreign.base, bytes_of(at->pattern, at->pattern_count),
                             (struct bytes){NULL, 0}) != HOST_DONE)
            return; /* the next turn goes on */
        at->foreign.base.foreign = 1;
        at->account = account;
        system->missing_count--;
        system->interest_count++;
    }
}

/* Behind the mails with these interests, so that who connects from now on is behind them too. */
static void served_tell(struct shard *shard)
{
    struct shard_system *system = &shard->system;
    struct mail_plain mail = {.kind = MAIL_SYSTEM_SERVED};
    if (system->services_told && system->missing_count == 0 && shard_tell_control(shard, &mail, sizeof mail))
        system->services_told = false;
}

uint64_t system_shard_own(const struct shard *shard, const struct shard_account *account)
{
    const struct security_account *system = shard->context.security->accounts.system;
    uint64_t services = system != NULL && system->id == account->id ? shard->system.interest_count : 0;
    return services + (shard->replies.halves_in == account);
}

uint64_t system_shard_listeners(const struct shard *shard)
{
    const struct security_account *configured = shard->context.security->accounts.system;
    const struct shard_account *account = configured == NULL || configured->id >= shard->accounts.capacity
                                              ? NULL
                                              : shard->accounts.by_id[configured->id];
    if (account == NULL)
        return 0;
    uint64_t here = index_figures(account->index).interests;
    uint64_t there = account->remote == NULL ? 0 : index_figures(account->remote).interests;
    uint64_t own = system_shard_own(shard, account);
    ASSERT(here >= own);
    return here - own + there;
}

/* ---- to the control core ---- */

/* Room for a mail that may be dropped. NULL: it is. */
static uint8_t *room(struct shard *shard, size_t bytes)
{
    uint8_t *record = post_reserve(&shard->post, shard->shard_count, (uint32_t)bytes, false);
    if (record != NULL) {
        shard->system.lost = 0;
        return record;
    }
    if (shard->system.lost++ == 0)
        log_warning(shard->context.log,
                    "System events and requests are dropped: the control core does not follow");
    return NULL;
}

static uint8_t *put(uint8_t *to, struct bytes words)
{
    return words.count == 0 ? to : mempcpy(to, words.data, words.count);
}

bool system_shard_request(struct shard *shard, const struct foreign *foreign, const struct message *message)
{
    const struct system_interest *interest = CONTAINER_OF(foreign, struct system_interest, foreign);
    size_t bytes = message->subject.count + message->reply.count + message->total_bytes;
    struct mail_system_request mail = {
        .kind = MAIL_SYSTEM_REQUEST,
        .number = interest->number,
        .subject_count = (uint32_t)message->subject.count,
        .reply_count = (uint32_t)message->reply.count,
        .header_bytes = message->header_bytes,
        .total_bytes = message->total_bytes,
        .place = message->publisher != NULL ? message->publisher->place : message->place,
    };
    if (bytes > SYSTEM_REQUEST_BYTES_MAX)
        return false;
    bool whole = sizeof mail + bytes <= MAILBOX_RECORD_BYTES_MAX;
    if (!whole && (mail.block = block_take(&shard->context.pool.blocks, bytes)) == NULL)
        return false;
    size_t record_bytes = whole ? sizeof mail + bytes : sizeof mail;
    uint8_t *record = room(shard, record_bytes);
    if (record == NULL) {
        block_release(&shard->context.pool.blocks, mail.block);
        return false;
    }
    memcpy(record, &mail, sizeof mail);
    uint8_t *at = whole ? record + sizeof mail : mail.block->bytes;
    at = put(put(at, message->subject), message->reply);
    (void)put(at, bytes_of(message->body, message->total_bytes));
    post_commit(&shard->post, shard->shard_count, (uint32_t)record_bytes);
    return true;
}

/* ---- events ---- */

/* Whether somebody wants it. A name that makes no subject has no events. */
static bool wanted(struct shard *shard, struct shard_account *account, const char *before, struct bytes name,
                   const char *behind)
{
    char subject[SUBJECT_BYTES];
    int count = snprintf(subject, sizeof subject, "%s%.*s%s", before, BYTES_PRINTF(name), behind);
    struct bytes whole = bytes_of(subject, (size_t)count);
    return count > 0 && count < SUBJECT_BYTES && subject_valid_spoken(whole) &&
           router_wanted(shard, account, whole);
}

/* `concerned`: in which account it is told. */
static void event_tell(struct shard *shard, struct client *client, enum mail_system_event_kind event,
                       const struct shard_account *concerned)
{
    struct report_record_draft draft;
    struct bytes why = client->refused_why == NULL ? TEXT("") : text(client->refused_why);
    report_record_make(&draft, connection_of(client), shard->context.now_ns);
    size_t told_bytes = draft.bytes + why.count;
    struct mail_system_event mail = {
        .kind = MAIL_SYSTEM_EVENT,
        .event = (uint8_t)event,
        .explained = client->refused_why != NULL,
        .why_count = (uint16_t)why.count,
        .bytes = (uint32_t)draft.bytes,
        .account = concerned == NULL ? 0 : concerned->id,
    };
    bool whole = sizeof mail + told_bytes <= MAILBOX_RECORD_BYTES_MAX;
    if (!whole && (mail.block = block_take(&shard->context.pool.blocks, told_bytes)) == NULL)
        return;
    size_t record_bytes = whole ? sizeof mail + told_bytes : sizeof mail;
    uint8_t *record = room(shard, record_bytes);
    if (record == NULL) {
        block_release(&shard->context.pool.blocks, mail.block);
        return;
    }
    memcpy(record, &mail, sizeof mail);
    uint8_t *to = whole ? record + sizeof mail : mail.block->bytes;
    report_record_write(to, &draft, 0);
    (void)put(to + draft.bytes, why);
    post_commit(&shard->post, shard->shard_count, (uint32_t)record_bytes);
}

/* The account has one client more or less: the control core is to tell, once for all of a turn. */
static void account_changed(struct shard *shard, struct shard_account *system, struct host_account *host)
{
    struct shard_account *account = host == NULL ? NULL : shard_account_of(host);
    if (account == NULL || account->id == 0 || host->configured == NULL || list_linked(&account->changed))
        return; /* of $G it is not told */
    struct bytes name = host->configured->name;
    if (wanted(shard, system, "$SYS.SERVER.ACCOUNT.", name, ".CONNS") ||
        wanted(shard, system, "$SYS.ACCOUNT.", name, ".SERVER.CONNS"))
        list_push_last(&shard->system.changed, &account->changed);
}

void system_shard_entered(struct shard *shard, struct client *client, struct host_account *before,
                          struct host_account *entered)
{
    struct connection *connection = connection_of(client);
    struct shard_account *system = system_account(shard);
    bool moves = before != entered;
    if (system == NULL)
        return;
    if (moves) {
        account_changed(shard, system, before);
        account_changed(shard, system, entered);
    }
    /* Before its login it is in $G, of which nobody is told. */
    if (client->state != CLIENT_ACTIVE || (connection->announced && !moves))
        return;
    connection->announced = true;
    if (wanted(shard, system, "$SYS.ACCOUNT.", report_client_account(client), ".CONNECT"))
        event_tell(shard, client, SYSTEM_CONNECT, shard_account_of(entered));
}

/* Inside which account a refused login is told of: where a service decides, where that one is. */
static struct shard_account *refusals_account(struct shard *shard, struct client *client)
{
    const struct security_account *callout = shard->context.security->callout.in;
    if (callout != NULL)
        return accounts_get(shard, callout->id);
    return client->account == NULL ? accounts_get(shard, 0) : shard_account_of(client->account);
}

void system_shard_closed(struct shard *shard, struct client *client)
{
    struct shard_account *system = shard->stopping ? NULL : system_account(shard);
    if (system == NULL)
        return;
    account_changed(shard, system, client->account);
    if (closed_reason_is_login((enum closed_reason)client->closed_reason)) {
        struct bytes id = shard->info.server_id;
        struct shard_account *own = refusals_account(shard, client);
        if (wanted(shard, system, "$SYS.SERVER.", id, ".CLIENT.AUTH.ERR") ||
            (own != NULL && router_wanted(shard, own, TEXT("$SYS.ACCOUNT.CLIENT.AUTH.ERR"))))
            event_tell(shard, client, SYSTEM_AUTHENTICATION_ERROR, own);
    }
    if (wanted(shard, system, "$SYS.ACCOUNT.", report_client_account(client), ".DISCONNECT"))
        event_tell(shard, client, SYSTEM_DISCONNECT, NULL);
}

/* Of which accounts the clients have changed. */
static void changes_tell(struct shard *shard)
{
    struct list_link *at;
    while ((at = list_first(&shard->system.changed)) != NULL) {
        struct shard_account *account = LIST_ELEMENT(at, struct shard_account, changed);
        struct mail_system_account mail = {.kind = MAIL_SYSTEM_ACCOUNT, .account = account->id};
        if (!shard_tell_control(shard, &mail, sizeof mail))
            return; /* the next turn goes on */
        list_remove(at);
    }
}

void system_shard_step(struct shard *shard)
{
    if (LIKELY(!system_shard_waits(&shard->system)))
        return;
    interests_make(shard);
    served_tell(shard);
    changes_tell(shard);
}

/* ---- from the control core ---- */

void system_shard_mail_publish(struct shard *shard, const uint8_t *bytes)
{
    struct mail_system_publish mail;
    char total_size[16], header_size[16];
    memcpy(&mail, bytes, sizeof mail);
    struct shard_account *account = accounts_get(shard, mail.account);
    const uint8_t *at = mail.block->bytes;
    struct message message = {
        .subject = bytes_of(at, mail.subject_count),
        .reply = bytes_of(at + mail.subject_count, mail.reply_count),
        .body = at + mail.subject_count + mail.reply_count,
        .header_bytes = mail.header_bytes,
        .total_bytes = mail.total_bytes,
        .block = mail.block,
    };
    int digits = snprintf(total_size, sizeof total_size, "%u", mail.total_bytes);
    message.total_size_text = bytes_of(total_size, (size_t)digits);
    digits = mail.header_bytes == 0 ? 0 : snprintf(header_size, sizeof header_size, "%u", mail.header_bytes);
    message.header_size_text = bytes_of(header_size, (size_t)digits);
    if (account != NULL)
        backlog_publish(shard, account, &message);
    block_release(&shard->context.pool.blocks, mail.block);
    struct mail_plain published = {.kind = MAIL_SYSTEM_PUBLISHED};
    if (mail.last && !shard_tell_control(shard, &published, sizeof published))
        log_debug(shard->context.log, "The control core does not wait for the last event");
}

void system_shard_mail_client(struct shard *shard, const uint8_t *bytes)
{
    struct mail_system_client mail;
    memcpy(&mail, bytes, sizeof mail);
    struct connection *connection = shard_connection_at(shard, &mail.place);
    if (connection == NULL)
        return; /* it left meanwhile */
    if (mail.kick)
        client_close(&connection->client, CLOSED_KICKED, NULL);
    else
        client_tell_lame_duck(&connection->client);
}

void system_shard_close(struct shard *shard)
{
    struct system_interest *next;
    for (struct system_interest *at = shard->system.interests; at != NULL; at = next) {
        next = at->next;
        if (at->account != NULL)
            index_remove(at->account->index, &at->foreign.base);
        memory_free(at);
    }
    for (struct list_link *at;
         shard->system.changed.ends.next != NULL && (at = list_first(&shard->system.changed)) != NULL;)
        list_remove(at);
    shard->system = (struct shard_system){0};
}
