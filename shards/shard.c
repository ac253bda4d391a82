/* shards/shard.c - the life of a shard: wait, collect, drain, complete, time, flush, send. The order of a
 * turn is what makes the promises of DESIGN 3: mail is drained after completions were collected and before
 * they are handled; interest is flushed before PONGs are sent. */
#include "shards/shard.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/base/pause.h"
#include "net/error_text.h"
#include "net/route_info.h"
#include "shards/connection_tls.h"
#include "shards/errand.h"
#include "shards/host.h"
#include "shards/mail.h"
#include "shards/route_connection.h"
#include "shards/route_tls.h"
#include "shards/router.h"

#include <stdio.h>

enum {
    CLOSING_STEPS_PER_TURN = 64,
    LINE_SERIAL_BITS = 56,
    LOOKS_PER_CLOCK = 8,                  /* pauses between two looks: some 200 ns */
    OUTPUT_BYTES_PER_FLUSH = 1024 * 1024, /* send in mid-turn when so much has gathered */
};
#define STOP_NS (500 * NS_PER_MS) /* for the last bytes of all clients; then they are cut off */
#define RETRY_NS (100 * 1000LL)   /* how soon to look again for room in a full mailbox */

/* ---- places of connections ---- */

struct connection *shard_connection_at(struct shard *shard, const struct publisher_place *place)
{
    if (place->slot >= shard->slot_count)
        return NULL;
    struct connection *connection = shard->slots[place->slot];
    return connection != NULL && connection->client.cid == place->cid ? connection : NULL;
}

static enum err slots_grow(struct shard *shard)
{
    uint32_t count = shard->slot_count == 0 ? 64 : shard->slot_count * 2;
    struct connection **slots = memory_grow(shard->slots, count * sizeof(struct connection *));
    if (slots == NULL)
        return ERR_MEMORY;
    shard->slots = slots;
    uint32_t *free_slots = memory_grow(shard->free_slots, count * sizeof *free_slots);
    if (free_slots == NULL)
        return ERR_MEMORY;
    shard->free_slots = free_slots;
    for (uint32_t slot = count; slot > shard->slot_count; slot--) {
        slots[slot - 1] = NULL;
        free_slots[shard->free_slot_count++] = slot - 1;
    }
    shard->slot_count = count;
    return ERR_OK;
}

enum err shard_slot_take(struct shard *shard, struct connection *connection)
{
    if (shard->free_slot_count == 0 && slots_grow(shard) != ERR_OK)
        return ERR_MEMORY;
    connection->client.place.slot = shard->free_slots[--shard->free_slot_count];
    shard->slots[connection->client.place.slot] = connection;
    return ERR_OK;
}

void shard_slot_give(struct shard *shard, struct connection *connection)
{
    shard->slots[connection->client.place.slot] = NULL;
    shard->free_slots[shard->free_slot_count++] = connection->client.place.slot;
}

bool shard_tell_control(struct shard *shard, const void *mail, uint32_t bytes)
{
    uint8_t *record = post_reserve(&shard->post, shard->shard_count, bytes, true);
    if (record == NULL)
        return false;
    memcpy(record, mail, bytes);
    post_commit(&shard->post, shard->shard_count, bytes);
    return true;
}

static void gone_tell(struct shard *shard)
{
    struct mail_closed mail = {.kind = MAIL_CONNECTION_CLOSED, .count = shard->gone_count};
    if (shard->gone_count > 0 && shard_tell_control(shard, &mail, sizeof mail))
        shard->gone_count = 0;
}

void shard_connection_gone(struct shard *shard)
{
    shard->gone_count++; /* told once a turn, as one number */
}

/* What INFO says: the snapshot's words, and the cluster's name and URLs that the control core sent last. */
static void shard_info_make(struct shard *shard)
{
    shard->info = shard->snapshot->info;
    struct bytes rest = {NULL, 0}, one;
    size_t count = 0;
    if (shard->connect_urls != NULL)
        rest = bytes_of(shard->connect_urls->bytes, shard->connect_urls_bytes);
    if (route_texts_next(&rest, &one))
        shard->info.cluster = one;
    for (size_t i = 0; i < rest.count; i++)
        count += rest.data[i] == 0;
    memory_free(shard->connect_url_texts);
    shard->connect_url_texts = count == 0 ? NULL : memory_new(count * sizeof *shard->connect_url_texts);
    if (shard->connect_url_texts == NULL)
        return; /* none, or no memory: clients are told of none */
    for (size_t i = 0; route_texts_next(&rest, &one); i++)
        shard->connect_url_texts[i] = one;
    shard->info.connect_urls = shard->connect_url_texts;
    shard->info.connect_url_count = count;
}

/* ---- mail ---- */

static void take_connection(struct shard *shard, const uint8_t *bytes)
{
    struct mail_connection mail;
    memcpy(&mail, bytes, sizeof mail);
    struct client_peer peer = {.address = mail.address, .port = mail.port, .cid = mail.cid};
    struct connection_verdict verdict = {.refused = mail.refused, .throttled = mail.throttled};
    struct connection *connection = connection_new(shard, mail.fd, &peer, verdict);
    if (connection == NULL) {
        log_error(shard->context.log, "%s:%u - cid:%llu - no memory for a connection", mail.address,
                  mail.port, (unsigned long long)mail.cid);
        shard_connection_gone(shard);
    }
}

static void take_password_checked(struct shard *shard, const uint8_t *bytes)
{
    struct mail_password_checked mail;
    memcpy(&mail, bytes, sizeof mail);
    struct connection *connection = shard_connection_at(shard, &mail.place);
    if (connection == NULL)
        return;
    client_password_checked(&connection->client, mail.matches);
    connection_resume(shard, connection);
}

static void take_peer_checked(struct shard *shard, const uint8_t *bytes)
{
    struct mail_peer_checked mail;
    memcpy(&mail, bytes, sizeof mail);
    if (mail.of_route) {
        remotes_mail_peer_checked(shard, mail.rid, mail.good);
        return;
    }
    struct connection *connection = shard_connection_at(shard, &mail.place);
    if (connection != NULL)
        connection_tls_peer_checked(shard, connection, mail.good);
}

bool shard_scratch_make(struct shard *shard)
{
    if (shard->scratch == NULL)
        shard->scratch = memory_new(SHARD_SCRATCH_BYTES);
    return shard->scratch != NULL;
}

static void take_snapshot(struct shard *shard, const uint8_t *bytes)
{
    struct mail_snapshot mail;
    memcpy(&mail, bytes, sizeof mail);
    struct snapshot *before = shard->snapshot;
    shard_snapshot_use(shard, mail.snapshot);
    if (!accounts_snapshot_use(shard))
        log_error(shard->context.log, "No memory for the imports of services: some are not there any more");
    shadows_snapshot_use(shard, &before->options->security.accounts);
    gateways_snapshot_use(shard, &before->options->security.accounts);
    uint32_t unpinned = 0;
    for (struct list_link *at = list_first(&shard->connections), *next = NULL; at != NULL; at = next) {
        next = list_next(&shard->connections, at);
        struct connection *connection = LIST_ELEMENT(at, struct connection, all);
        unpinned += connection_tls_options_changed(shard, connection);
        client_options_changed(&connection->client, &before->options->security);
    }
    for (struct list_link *at = list_first(&shard->remotes.routes), *next = NULL; at != NULL; at = next) {
        next = list_next(&shard->remotes.routes, at);
        unpinned += route_tls_options_changed(shard, LIST_ELEMENT(at, struct route_connection, all));
    }
    if (unpinned > 0)
        log_notice(shard->context.log, "Disconnect %u clients due to pinned certs reload", unpinned);
    remotes_reload_begin(shard, before);
}

static void take_lame_duck(struct shard *shard)
{
    shard->context.lame_duck = true;
    for (struct list_link *at = list_first(&shard->connections), *next = NULL; at != NULL; at = next) {
        next = list_next(&shard->connections, at);
        client_send_info(&LIST_ELEMENT(at, struct connection, all)->client);
    }
}

static void take_close_clients(struct shard *shard, const uint8_t *bytes)
{
    struct mail_close_clients mail;
    memcpy(&mail, bytes, sizeof mail);
    for (struct list_link *at = list_first(&shard->connections), *next = NULL; at != NULL && mail.count > 0;
         at = next) {
        next = list_next(&shard->connections, at);
        struct client *client = &LIST_ELEMENT(at, struct connection, all)->client;
        if (client->state == CLIENT_CLOSED)
            continue;
        mail.count--;
        if (mail.over_limit)
            client_close(client, CLOSED_MAXIMUM_CONNECTIONS, error_text(ERROR_MAXIMUM_CONNECTIONS));
        else
            client_close(client, CLOSED_SERVER_SHUTDOWN, NULL);
    }
}

/* Where else clients may connect has changed: all that want to know are told. */
static void take_connect_urls(struct shard *shard, const uint8_t *bytes)
{
    struct mail_connect_urls mail;
    memcpy(&mail, bytes, sizeof mail);
    block_release(&shard->context.pool.blocks, shard->connect_urls);
    shard->connect_urls = mail.block;
    shard->connect_urls_bytes = mail.count;
    shard_info_make(shard);
    for (struct list_link *at = list_first(&shard->connections), *next = NULL; at != NULL; at = next) {
        next = list_next(&shard->connections, at);
        client_send_info(&LIST_ELEMENT(at, struct connection, all)->client);
    }
}

static void take_stop(struct shard *shard)
{
    struct mail_close_clients all = {.count = UINT32_MAX};
    remotes_stop(shard);
    shard->stopping = true;
    shard->stop_ns = shard->context.now_ns + STOP_NS;
    take_close_clients(shard, (const uint8_t *)&all);
}

static void take_mail(void *context, uint32_t from, const uint8_t *mail, uint32_t bytes)
{
    struct shard *shard = context;
    switch ((enum mail_kind)mail[0]) {
    case MAIL_MESSAGE:
        router_mail_message(shard, mail, bytes);
        return;
    case MAIL_SHORT_MESSAGE:
        router_mail_short_message(shard, from, mail, bytes);
        return;
    case MAIL_INTEREST:
        router_mail_interest(shard, from, mail, bytes);
        return;
    case MAIL_ACCOUNT_COUNT: {
        struct mail_account_count count;
        memcpy(&count, mail, sizeof count);
        accounts_count_take(shard, from, count.account, count.count);
        return;
    }
    case MAIL_STALL: {
        struct mail_stall stall;
        memcpy(&stall, mail, sizeof stall);
        shard_host()->stall(&shard->context, &stall.place, stall.stall_ns);
        return;
    }
    case MAIL_CONNECTION:
        take_connection(shard, mail);
        return;
    case MAIL_PASSWORD_CHECKED:
        take_password_checked(shard, mail);
        return;
    case MAIL_SNAPSHOT:
        take_snapshot(shard, mail);
        return;
    case MAIL_LAME_DUCK:
        take_lame_duck(shard);
        return;
    case MAIL_CLOSE_CLIENTS:
        take_close_clients(shard, mail);
        return;
    case MAIL_ROUTE:
        remotes_mail_route(shard, mail);
        return;
    case MAIL_ROUTE_ANSWER:
        remotes_mail_answer(shard, mail);
        return;
    case MAIL_ROUTE_BYTES:
        remotes_mail_bytes(shard, mail);
        return;
    case MAIL_REMOTE:
        remotes_mail_remote(shard, mail);
        return;
    case MAIL_REMOTE_INTEREST:
        remotes_mail_interest(shard, mail, bytes);
        return;
    case MAIL_REMOTE_MESSAGE:
        remotes_mail_message(shard, mail, bytes);
        return;
    case MAIL_GATEWAY:
        gateways_mail_gateway(shard, mail);
        return;
    case MAIL_GATEWAY_INTEREST:
        gateways_mail_interest(shard, mail, bytes);
        return;
    case MAIL_GATEWAY_MESSAGE:
        gateways_mail_message(shard, mail, bytes);
        return;
    case MAIL_REMOTE_PASSED:
        remotes_mail_passed(shard, mail, bytes);
        return;
    case MAIL_GATEWAY_RTT:
        gateways_mail_rtt(shard, mail);
        return;
    case MAIL_CONNECT_URLS:
        take_connect_urls(shard, mail);
        return;
    case MAIL_PUBLISH:
        errand_publish(shard, mail);
        return;
    case MAIL_RESPONDER:
        latency_answers_mail(shard, mail);
        return;
    case MAIL_STOP:
        take_stop(shard);
        return;
    case MAIL_REPORT_ASK:
        reports_ask_take(shard, mail);
        return;
    case MAIL_SYSTEM_SERVICE:
        system_shard_mail_service(shard, mail);
        return;
    case MAIL_SYSTEM_SERVICES:
        shard->system.services_told = true;
        return;
    case MAIL_SYSTEM_PUBLISH:
        system_shard_mail_publish(shard, mail);
        return;
    case MAIL_SYSTEM_CLIENT:
        system_shard_mail_client(shard, mail);
        return;
    case MAIL_ACCOUNT_NAMED:
        account_names_mail(shard, mail);
        return;
    case MAIL_PEER_CHECKED:
        take_peer_checked(shard, mail);
        return;
    case MAIL_STAPLE_PASSED:
        shard->staples_passed++;
        return;
    case MAIL_CONNECTION_CLOSED:
    case MAIL_PASSWORD:
    case MAIL_SNAPSHOT_RELEASED:
    case MAIL_ROUTE_SAID:
    case MAIL_ROUTE_CLOSED:
    case MAIL_RESOLVE:
    case MAIL_RESOLVED:
    case MAIL_STOPPED:
    case MAIL_REPORT:
    case MAIL_SYSTEM_SERVED:
    case MAIL_SYSTEM_REQUEST:
    case MAIL_SYSTEM_PUBLISHED:
    case MAIL_SYSTEM_EVENT:
    case MAIL_SYSTEM_ACCOUNT:
    case MAIL_ACCOUNT_ASK:
    case MAIL_PEER_ASK:
        break;
    }
    UNREACHABLE("a mail that no shard gets");
}

/* ---- completions: the only door ---- */

static void shard_complete(struct shard *shard, const struct loop_completion *completion)
{
    struct loop_op *op = completion->op;
    switch ((enum shard_op)op->kind) {
    case OP_RECEIVE:
        connection_received(shard, CONTAINER_OF(op, struct connection, receive), completion);
        return;
    case OP_SEND:
        connection_sent(shard, CONTAINER_OF(op, struct connection, send), completion->result);
        return;
    case OP_ROUTE_RECEIVE:
        route_connection_received(shard, CONTAINER_OF(op, struct route_connection, receive), completion);
        return;
    case OP_ROUTE_SEND:
        route_connection_sent(shard, CONTAINER_OF(op, struct route_connection, send), completion->result);
        return;
    case OP_WAKEUP:
        if (!shard->stopping || !list_empty(&shard->connections) || !list_empty(&shard->remotes.routes))
            loop_read(shard->loop, &shard->wakeup, post_event_fd(&shard->post), &shard->wakeup_value,
                      sizeof shard->wakeup_value);
        return;
    }
    UNREACHABLE("an operation that no shard starts");
}

/* ---- the turn ---- */

static void flush_outputs(struct shard *shard)
{
    post_flush(&shard->post); /* before anything is sent: DESIGN 3, visibility */
    for (struct list_link *at; (at = list_first(&shard->with_output)) != NULL;) {
        list_remove(at);
        connection_send(shard, LIST_ELEMENT(at, struct connection, with_output));
    }
    remotes_send(shard);
    shard->output_mark = shard->context.written_bytes;
}

static bool much_output(const struct shard *shard)
{
    return shard->context.written_bytes - shard->output_mark >= OUTPUT_BYTES_PER_FLUSH;
}

static void expire_timers(struct shard *shard)
{
    struct timer *timer;
    while ((timer = timers_expired(&shard->context.timers, shard->context.now_ns)) != NULL) {
        switch ((enum shard_timer)timer->kind) {
        case TIMER_CLIENT:
            client_timer_due(CONTAINER_OF(timer, struct client, timer));
            break;
        case TIMER_CONNECTION:
            connection_timer_due(shard, CONTAINER_OF(timer, struct connection, timer));
            break;
        case TIMER_TLS:
            connection_tls_timer_due(shard, CONTAINER_OF(timer, struct connection_tls, timer));
            break;
        case TIMER_REPLY:
            reply_due(shard, timer);
            break;
        case TIMER_ROUTE:
            route_timer_due(CONTAINER_OF(timer, struct route, timer));
            break;
        case TIMER_ROUTE_CONNECTION:
            route_connection_timer_due(shard, CONTAINER_OF(timer, struct route_connection, timer));
            break;
        }
    }
}

/* Sends are in the order in which they started, so the first that is in time ends the search. */
static void check_write_deadlines(struct shard *shard)
{
    struct list_link *at;
    while ((at = list_first(&shard->sending)) != NULL) {
        struct connection *connection = LIST_ELEMENT(at, struct connection, sending);
        if (shard->context.now_ns - connection->send_started_ns < connection->write_deadline_ns)
            return;
        /* Behind the others, and not looked at again before another deadline: closing it takes a while. */
        list_remove(at);
        connection->send_started_ns = shard->context.now_ns;
        list_push_last(&shard->sending, at);
        connection_write_late(shard, connection);
    }
}

/* The kernel gives buffers to receives in the order in which they were armed, and one connection may take all
 * of them; so whoever got some in this turn comes last. */
static void arm_served(struct shard *shard)
{
    for (struct list_link *at; (at = list_first(&shard->served)) != NULL;) {
        list_remove(at);
        connection_receive_again(shard, LIST_ELEMENT(at, struct connection, served));
    }
}

/* Those that a mailbox held back try again, in the order in which they came; who is held back again comes
 * last. */
static void retry_full(struct shard *shard)
{
    struct list_link *last = shard->full.ends.previous;
    for (bool more = !list_empty(&shard->full); more;) {
        struct list_link *at = list_first(&shard->full);
        more = at != last;
        connection_resume(shard, LIST_ELEMENT(at, struct connection, waiting));
        if (list_empty(&shard->full))
            return;
    }
}

void shard_remove_expired(struct shard *shard)
{
    for (uint32_t left = shard->expired_count; left > 0; left--) {
        struct client_subscription *subscription = shard->expired[left - 1];
        if (!client_remove_expired(subscription))
            return; /* a mailbox is full: the next turn goes on */
    }
}

static void step_closing(struct shard *shard)
{
    int steps = 0;
    struct list_link *next = NULL;
    for (struct list_link *at = list_first(&shard->closing); at != NULL && steps < CLOSING_STEPS_PER_TURN;
         at = next) {
        next = list_next(&shard->closing, at);
        connection_closing_step(shard, LIST_ELEMENT(at, struct connection, closing));
        steps++;
    }
}

/* Imports that a reload changed, connection by connection. */
static void step_resyncing(struct shard *shard)
{
    struct list_link *at;
    while ((at = list_first(&shard->resyncing)) != NULL) {
        if (!shadows_resync(shard, LIST_ELEMENT(at, struct connection, resyncing)))
            return; /* a mailbox is full: the next turn goes on */
        list_remove(at);
    }
}

/* How long the ring may wait: 0 while there is work that no completion announces. */
static int64_t wait_ns(struct shard *shard)
{
    int64_t now_ns = shard->context.now_ns;
    if (!list_empty(&shard->with_output) || !list_empty(&shard->handshakes) ||
        !list_empty(&shard->callouts.answers))
        return 0;
    int64_t due_ns = timers_next_ns(&shard->context.timers);
    struct list_link *oldest = list_first(&shard->sending);
    if (oldest != NULL) {
        const struct connection *connection = LIST_ELEMENT(oldest, struct connection, sending);
        int64_t late_ns = connection->send_started_ns + connection->write_deadline_ns;
        due_ns = late_ns < due_ns ? late_ns : due_ns;
    }
    if (!list_empty(&shard->full) || !list_empty(&shard->closing) || shard->expired_count > 0 ||
        shard->gone_count > 0 || shard->backlog.first != NULL || !list_empty(&shard->resyncing) ||
        !list_empty(&shard->telling) || shard->reports.owed || system_shard_waits(&shard->system) ||
        shard->replies.halves_missing)
        due_ns = now_ns + RETRY_NS < due_ns ? now_ns + RETRY_NS : due_ns;
    int64_t routes_ns = remotes_due_ns(shard);
    due_ns = routes_ns < due_ns ? routes_ns : due_ns;
    if (shard->stopping && shard->stop_ns < due_ns)
        due_ns = shard->stop_ns;
    if (due_ns == INT64_MAX)
        return -1;
    return due_ns > now_ns ? due_ns - now_ns : 0;
}

/* Looks for work without a system call, until some is there or `until_ns` has come. True: some is there. */
static bool look_for_work(struct shard *shard, int64_t until_ns)
{
    loop_submit(shard->loop); /* what this turn wrote does not wait */
    while (!loop_pending(shard->loop) && !post_pending(&shard->post)) {
        if (clock_monotonic_ns() >= until_ns)
            return false;
        for (int i = 0; i < LOOKS_PER_CLOCK; i++)
            cpu_pause();
    }
    return true;
}

/* What a turn did took until now. The clock is asked once a turn, and once more only before what takes much
 * longer than asking: a turn that is followed by the next one at once ends where that begins. */
static void turn_end(struct shard *shard, int64_t now_ns)
{
    int64_t took_ns = now_ns - shard->turn_began_ns;
    if (shard->turn_began_ns == 0)
        return; /* it has ended already, or there was none */
    shard->turn_ns += took_ns;
    if (took_ns > shard->turn_ns_most)
        shard->turn_ns_most = took_ns;
    shard->turn_began_ns = 0;
}

/* Lets the ring wait, at most `limit_ns`, unless there is mail. True: it was allowed to sleep. */
static bool sleep_or_collect(struct shard *shard, int64_t limit_ns)
{
    bool sleeps = limit_ns != 0 && post_may_sleep(&shard->post);
    shard->sleep_count += sleeps;
    if (sleeps && shard->turn_began_ns != 0) /* else it has ended, or there was none */
        turn_end(shard, clock_monotonic_ns());
    loop_wait(shard->loop, sleeps ? limit_ns : 0);
    if (sleeps)
        post_awake(&shard->post);
    return sleeps;
}

static void wait(struct shard *shard)
{
    int64_t most_ns = shard->snapshot->options->busy_poll_ns;
    int64_t limit_ns = wait_ns(shard);
    if (limit_ns == 0 || most_ns == 0) {
        (void)sleep_or_collect(shard, limit_ns);
    } else {
        int64_t began_ns = clock_monotonic_ns();
        turn_end(shard, began_ns);
        bool looks = (limit_ns < 0 || limit_ns > most_ns) && patience_looks(&shard->patience);
        shard->look_count += looks;
        bool found = looks && look_for_work(shard, began_ns + most_ns);
        bool slept = sleep_or_collect(shard, found                   ? 0
                                             : looks && limit_ns > 0 ? limit_ns - most_ns
                                                                     : limit_ns);
        patience_waited(&shard->patience, clock_monotonic_ns() - began_ns, most_ns, slept);
    }
    int64_t now_ns = clock_monotonic_ns();
    turn_end(shard, now_ns);
    shard->context.now_ns = shard->turn_began_ns = now_ns;
    shard->context.turn++;
}

/* No handshake is under way here, so no staple that was replaced is being copied. */
static void staples_passed_tell(struct shard *shard)
{
    struct mail_staple_passed mail = {.kind = MAIL_STAPLE_PASSED, .count = shard->staples_passed};
    if (shard_tell_control(shard, &mail, sizeof mail)) /* else the next turn tries again */
        shard->staples_passed = 0;
}

bool shard_turn(struct shard *shard)
{
    struct loop_completion completion;
    wait(shard);
    post_drain(&shard->post, take_mail, shard);
    shard_remove_expired(shard);
    shard->handshake_ns = 0;
    connection_tls_work(shard); /* they wait longer than this turn's */
    while (loop_next(shard->loop, &completion)) {
        shard_complete(shard, &completion);
        if (UNLIKELY(much_output(shard)))
            flush_outputs(shard);
    }
    arm_served(shard);
    expire_timers(shard);
    check_write_deadlines(shard);
    retry_full(shard);
    shard_remove_expired(shard);
    step_resyncing(shard);
    step_closing(shard);
    backlog_retry(shard);
    accounts_counts_tell(shard);
    host_stalls_tell(shard);
    system_shard_step(shard);
    callouts_step(shard);
    if (UNLIKELY(shard->replies.halves_missing))
        replies_halves_open(shard);
    if (UNLIKELY(shard->answers.count > 0))
        latency_answers_expire(shard);
    gone_tell(shard);
    if (UNLIKELY(shard->staples_passed))
        staples_passed_tell(shard);
    reports_step(shard);
    remotes_step(shard);
    flush_outputs(shard);
    bool late = shard->context.now_ns >= shard->stop_ns;
    bool empty = list_empty(&shard->connections) && list_empty(&shard->remotes.routes);
    return !(shard->stopping && (late || empty));
}

/* ---- beginning and end ---- */

void shard_snapshot_use(struct shard *shard, struct snapshot *snapshot)
{
    shard->snapshot = snapshot;
    shard->context.options = &snapshot->options->net;
    shard->context.security = &snapshot->options->security;
    permission_cache_forget(&shard->context.permissions);
    shard_info_make(shard);
    shard->context.info = &shard->info;
    if (shard->remotes.matches != NULL || shard->gateways.matches != NULL)
        remotes_snapshot_use(shard);
    if (shard->context.lines != NULL) /* what was made of a line by the old options is not to be used again */
        lines_forget(shard->context.lines);
}

enum err shard_init(struct shard *shard, const struct shard_setup *setup, char *why, size_t why_bytes)
{
    const struct server_options *options = setup->snapshot->options;
    *shard = (struct shard){.shard_count = setup->shard_count, .keys = setup->keys};
    shard->post = (struct post){.office = setup->office, .self = setup->self};
    shard->context.host = shard_host();
    shard->context.log = setup->log;
    shard_snapshot_use(shard, setup->snapshot);
    list_init(&shard->connections);
    list_init(&shard->with_output);
    list_init(&shard->sending);
    list_init(&shard->served);
    list_init(&shard->full);
    list_init(&shard->closing);
    list_init(&shard->handshakes);
    list_init(&shard->shadows);
    list_init(&shard->resyncing);
    list_init(&shard->telling);
    list_init(&shard->answers.requests);
    list_init(&shard->system.changed);
    list_init(&shard->callouts.answers);
    uint64_t seed = 0;
    if (random_secure(&seed, sizeof seed) != ERR_OK ||
        random_secure(&shard->context.hash_seed, sizeof shard->context.hash_seed) != ERR_OK) {
        snprintf(why, why_bytes, "the kernel has no random bytes");
        shard_close(shard);
        return ERR_SYSTEM;
    }
    shard->context.permissions.seed = shard->context.hash_seed;
    random_seed(&shard->context.random, seed);
    shard->context.wall_minus_ns = clock_wall_ns() - clock_monotonic_ns();
    shard->matches = match_cache_new((uint32_t)options->match_cache_entries);
    /* Serials are unique over all shards: they travel. */
    shard->context.lines = lines_new((uint64_t)setup->self << LINE_SERIAL_BITS);
    enum err remotes =
        remotes_init(&shard->remotes, &options->cluster, (uint32_t)options->match_cache_entries);
    if (remotes == ERR_OK)
        remotes = gateways_init(&shard->gateways, &options->gateway, shard->snapshot->info.server_id,
                                (uint32_t)options->match_cache_entries);
    if (remotes == ERR_OK)
        remotes = replies_init(&shard->replies, shard->snapshot->info.server_name, setup->self,
                               shard->remotes.matches != NULL || shard->gateways.matches != NULL);
    if (accounts_get(shard, 0) == NULL || shard->matches == NULL || shard->context.lines == NULL ||
        remotes != ERR_OK) {
        snprintf(why, why_bytes, "no memory for a shard's index");
        shard_close(shard);
        return ERR_MEMORY;
    }
    struct loop_options loop = {
        .receive_buffer_bytes = (uint32_t)options->receive_buffer_bytes,
        .receive_buffers = (uint32_t)options->receive_buffers,
    };
    enum err err = loop_new(&shard->loop, &loop, why, why_bytes);
    if (err != ERR_OK) {
        shard_close(shard);
        return err;
    }
    shard->context.now_ns = clock_monotonic_ns();
    shard->wakeup.kind = OP_WAKEUP;
    loop_read(shard->loop, &shard->wakeup, post_event_fd(&shard->post), &shard->wakeup_value,
              sizeof shard->wakeup_value);
    return ERR_OK;
}

void shard_close(struct shard *shard)
{
    loop_free(shard->loop); /* with it goes every operation that was in flight */
    shard->loop = NULL;
    shard->stopping = true;
    for (struct list_link *at;
         shard->connections.ends.next != NULL && (at = list_first(&shard->connections)) != NULL;)
        connection_abandon(shard, LIST_ELEMENT(at, struct connection, all));
    reports_close(shard);
    closed_close(&shard->closed);
    remotes_close(shard);
    gateways_close(shard);
    latency_answers_close(shard);
    block_release(&shard->context.pool.blocks, shard->connect_urls);
    memory_free(shard->connect_url_texts);
    replies_close(shard);
    callouts_close(shard);
    backlog_close(shard);
    system_shard_close(shard);
    accounts_close(shard);
    arena_close(&shard->names.arena);
    index_table_close(&shard->shadow_table);
    memory_free(shard->scratch);
    memory_free(shard->context.mapped_subject);
    match_cache_free(shard->matches);
    lines_free(shard->context.lines);
    timers_close(&shard->context.timers);
    output_pool_close(&shard->context.pool);
    permission_cache_close(&shard->context.permissions);
    memory_free(shard->slots);
    memory_free(shard->free_slots);
    memory_free(shard->expired);
    memory_free(shard->plain);
}
