/* shards/control/control.c - the control core's loop; accepting is in control_accept.c, the ways to an end in
 * control_stop.c, reload in control_reload.c. */
#include "shards/control/control.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "shards/control/control_internal.h"
#include "shards/control/outer.h"
#include "shards/mail.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { CONTROL_BUFFER_BYTES = 4096, CONTROL_BUFFERS = 8 };
#define RETRY_NS NS_PER_MS /* how soon to look again for room in a full mailbox */

#define TO(state) (1U << (state))
static const uint8_t control_moves[CONTROL_STATES] = {
    [CONTROL_RUNNING] = TO(CONTROL_LAME_DUCK) | TO(CONTROL_STOPPING),
    [CONTROL_LAME_DUCK] = TO(CONTROL_EVICTING) | TO(CONTROL_STOPPING),
    [CONTROL_EVICTING] = TO(CONTROL_STOPPING),
    [CONTROL_STOPPING] = TO(CONTROL_STOPPED),
};

void control_move(struct control *control, enum control_state next)
{
    ASSERT(control_moves[control->state] & TO(next));
    control->state = (uint8_t)next;
}

bool control_tell(struct control *control, uint32_t to, const void *mail, uint32_t bytes)
{
    uint8_t *record = post_reserve(&control->post, to, bytes, true);
    if (record == NULL)
        return false;
    memcpy(record, mail, bytes);
    post_commit(&control->post, to, bytes);
    return true;
}

void control_service_tell(struct control *control, enum service_state state)
{
    if (service_manager_tell(getenv("NOTIFY_SOCKET"), state, clock_monotonic_ns()) != ERR_OK)
        log_debug(control->log, "Could not notify the service manager: %s", strerror(errno));
}

bool control_put(struct control *control, uint32_t to, const void *mail, uint32_t bytes)
{
    uint8_t *record = post_reserve(&control->post, to, bytes, false);
    if (record == NULL)
        return false;
    memcpy(record, mail, bytes);
    post_commit(&control->post, to, bytes);
    return true;
}

uint64_t control_open_connections(const struct control *control)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < control->shard_count; i++)
        sum += control->open[i];
    return sum;
}

static void inquired_arm(struct control *control)
{
    loop_read(control->loop, &control->inquired, control->inquirers.done_fd, &control->inquired_value,
              sizeof control->inquired_value);
}

enum err control_init(struct control *control, const struct control_setup *setup, char *why, size_t why_bytes)
{
    *control = (struct control){
        .post = {.office = setup->office, .self = setup->shard_count},
        .log = setup->log,
        .snapshot = setup->snapshot,
        .shard_count = setup->shard_count,
        .running_threads = setup->shard_count + 1,
        .argument_count = setup->argument_count,
        .arguments = setup->arguments,
        .program = setup->program,
        .server_id = setup->server_id,
        .xkey = setup->xkey,
        .server_name = setup->server_name,
        .next_cid = 1,
        .listen_fd = -1,
        .signal_fd = -1,
    };
    control->accept.kind = CONTROL_OP_ACCEPT;
    control->signal.kind = CONTROL_OP_SIGNAL;
    control->wakeup.kind = CONTROL_OP_WAKEUP;
    control->timer.kind = CONTROL_TIMER_LAME_DUCK;
    control->accept_timer.kind = CONTROL_TIMER_ACCEPT;
    control->monitor_timer.kind = CONTROL_TIMER_MONITOR_ACCEPT;
    control->monitor.accept.kind = CONTROL_OP_MONITOR_ACCEPT;
    control->monitor.listen_fd = -1;
    list_init(&control->monitor.connections);
    list_init(&control->monitor.waiting);
    control->throttle_timer.kind = CONTROL_TIMER_THROTTLE;
    control->inquired.kind = CONTROL_OP_INQUIRED;
    staples_init(control);
    peer_checks_init(control);
    if (inquirers_init(&control->inquirers) != ERR_OK) {
        snprintf(why, why_bytes, "eventfd: %s", strerror(errno));
        return ERR_SYSTEM;
    }
    if (tls_ticket_keys_make(&control->ticket_keys) != ERR_OK) {
        snprintf(why, why_bytes, "no random numbers for TLS session tickets");
        return ERR_SYSTEM;
    }
    struct loop_options options = {.receive_buffer_bytes = CONTROL_BUFFER_BYTES,
                                   .receive_buffers = CONTROL_BUFFERS};
    enum err err = loop_new(&control->loop, &options, why, why_bytes);
    if (err != ERR_OK)
        return err;
    sigset_t signals;
    control_signals(&signals);
    control->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
    if (control->signal_fd < 0) {
        snprintf(why, why_bytes, "signalfd: %s", strerror(errno));
        return ERR_SYSTEM;
    }
    if (system_init(control) != ERR_OK) {
        snprintf(why, why_bytes, "no memory for the system account");
        return ERR_MEMORY;
    }
    account_register_init(&control->accounts, control->snapshot->options);
    if (cluster_init(control) != ERR_OK || gateways_core_init(control) != ERR_OK) {
        snprintf(why, why_bytes, "the kernel has no random bytes");
        return ERR_SYSTEM;
    }
    control->now_ns = clock_monotonic_ns();
    control->monitor.start_ns = control->monitor.loaded_ns = control->now_ns;
    control->monitor.wall_minus_ns = clock_wall_ns() - control->now_ns;
    loop_read(control->loop, &control->signal, control->signal_fd, control->signal_bytes,
              sizeof(struct signalfd_siginfo));
    loop_read(control->loop, &control->wakeup, post_event_fd(&control->post), &control->wakeup_value,
              sizeof control->wakeup_value);
    inquired_arm(control);
    return ERR_OK;
}

static void take_mail(void *context, uint32_t from, const uint8_t *mail, uint32_t bytes)
{
    struct control *control = context;
    (void)bytes;
    switch ((enum mail_kind)mail[0]) {
    case MAIL_CONNECTION_CLOSED: {
        struct mail_closed closed;
        memcpy(&closed, mail, sizeof closed);
        ASSERT(control->open[from] >= closed.count);
        control->open[from] -= closed.count;
        control_connections_closed(control);
        return;
    }
    case MAIL_SNAPSHOT_RELEASED: {
        struct mail_snapshot released;
        memcpy(&released, mail, sizeof released);
        control_snapshot_released(control, released.snapshot);
        return;
    }
    case MAIL_REPORT:
        monitor_report_take(control, from, mail);
        return;
    case MAIL_ROUTE_SAID:
        if (!gateways_mail_said(control, mail))
            cluster_mail_said(control, mail);
        return;
    case MAIL_ROUTE_CLOSED:
        if (!gateways_mail_closed(control, mail))
            cluster_mail_closed(control, mail);
        return;
    case MAIL_RESOLVED:
        if (!outer_mail_resolved(control, mail) && !gateways_mail_resolved(control, mail))
            cluster_mail_resolved(control, mail);
        return;
    case MAIL_MESSAGE:
        desk_mail_message(control, from, mail);
        return;
    case MAIL_SHORT_MESSAGE:
        desk_mail_short_message(control, from, mail);
        return;
    case MAIL_PASSWORD_CHECKED: {
        struct mail_password_checked checked;
        memcpy(&checked, mail, sizeof checked);
        if (!gateways_password_checked(control, checked.place.cid, checked.matches))
            cluster_password_checked(control, checked.place.cid, checked.matches);
        return;
    }
    case MAIL_SYSTEM_SERVED:
        timers_cancel(&control->timers, &control->accept_timer);
        control_accept_arm(control);
        return;
    case MAIL_SYSTEM_REQUEST:
        system_mail_request(control, mail);
        return;
    case MAIL_SYSTEM_EVENT:
        system_mail_event(control, mail);
        return;
    case MAIL_SYSTEM_ACCOUNT:
        system_mail_account(control, mail);
        return;
    case MAIL_SYSTEM_PUBLISHED:
        control_stop_threads(control);
        return;
    case MAIL_PEER_ASK:
        peer_checks_mail_ask(control, mail);
        return;
    case MAIL_STAPLE_PASSED:
        staples_mail_passed(control, from, mail);
        return;
    case MAIL_ACCOUNT_ASK:
        account_register_mail(control, from, mail);
        return;
    case MAIL_STOPPED:
        ASSERT(control->running_threads > 0);
        if (--control->running_threads == 0)
            control_move(control, CONTROL_STOPPED);
        return;
    default:
        UNREACHABLE("a mail that the control core never gets");
    }
}

static void take_signal(struct control *control)
{
    struct signalfd_siginfo info;
    memcpy(&info, control->signal_bytes, sizeof info);
    control_signal(control, (int)info.ssi_signo);
    loop_read(control->loop, &control->signal, control->signal_fd, control->signal_bytes, sizeof info);
}

/* Some of what was asked of responders is answered. */
static void take_inquiries(struct control *control)
{
    struct inquiry *inquiry;
    peer_checks_expire(control);
    while ((inquiry = inquirers_take(&control->inquirers)) != NULL) {
        switch ((enum inquiry_kind)inquiry->kind) {
        case INQUIRY_STAPLE:
            staples_done(control, CONTAINER_OF(inquiry, struct staple_place, inquiry));
            break;
        case INQUIRY_PEER:
            peer_checks_done(control, CONTAINER_OF(inquiry, struct peer_asked, inquiry));
            break;
        case INQUIRY_CACHE_SAVE:
            peer_cache_saved(control, CONTAINER_OF(inquiry, struct peer_cache_saving, inquiry));
            break;
        }
    }
    inquired_arm(control);
}

/* The threads end, and what they had goes back to whose it is. */
static void inquiries_end(struct control *control)
{
    struct inquiry *inquiry;
    inquirers_stop(&control->inquirers);
    while ((inquiry = inquirers_take(&control->inquirers)) != NULL) {
        switch ((enum inquiry_kind)inquiry->kind) {
        case INQUIRY_STAPLE:
            staples_abandoned(control, CONTAINER_OF(inquiry, struct staple_place, inquiry));
            break;
        case INQUIRY_PEER:
            peer_checks_abandoned(control, CONTAINER_OF(inquiry, struct peer_asked, inquiry));
            break;
        case INQUIRY_CACHE_SAVE:
            peer_cache_saved(control, CONTAINER_OF(inquiry, struct peer_cache_saving, inquiry));
            break;
        }
    }
    inquirers_close(&control->inquirers);
}

static void complete(struct control *control, const struct loop_completion *completion)
{
    switch ((enum control_op)completion->op->kind) {
    case CONTROL_OP_ACCEPT:
        control_accepted(control, completion);
        return;
    case CONTROL_OP_ROUTE_ACCEPT:
        cluster_accepted(control, completion);
        return;
    case CONTROL_OP_DIAL:
        cluster_connect_done(control, CONTAINER_OF(completion->op, struct dial, connect), completion->result);
        return;
    case CONTROL_OP_GATEWAY_ACCEPT:
        gateways_accepted(control, completion);
        return;
    case CONTROL_OP_GATEWAY_DIAL:
        gateways_connect_done(control, CONTAINER_OF(completion->op, struct gateway_cluster, connect),
                              completion->result);
        return;
    case CONTROL_OP_STORE:
        service_completed(control, completion);
        return;
    case CONTROL_OP_OUTER:
        outer_completed(control, completion);
        return;
    case CONTROL_OP_SIGNAL:
        take_signal(control);
        return;
    case CONTROL_OP_INQUIRED:
        take_inquiries(control);
        return;
    case CONTROL_OP_WAKEUP:
        loop_read(control->loop, &control->wakeup, post_event_fd(&control->post), &control->wakeup_value,
                  sizeof control->wakeup_value);
        return;
    case CONTROL_OP_MONITOR_ACCEPT:
        monitor_accepted(control, completion);
        return;
    case CONTROL_OP_MONITOR_RECEIVE:
        monitor_received(control, completion);
        return;
    case CONTROL_OP_MONITOR_SEND:
        monitor_sent(control, completion);
        return;
    }
    UNREACHABLE("an operation that the control core never starts");
}

static void expire_timers(struct control *control)
{
    struct timer *timer;
    while ((timer = timers_expired(&control->timers, control->now_ns)) != NULL) {
        switch ((enum control_timer)timer->kind) {
        case CONTROL_TIMER_ACCEPT:
            control_accept_arm(control);
            break;
        case CONTROL_TIMER_LAME_DUCK:
            control_lame_duck_due(control);
            break;
        case CONTROL_TIMER_THROTTLE:
            control_throttle_due(control);
            break;
        case CONTROL_TIMER_MONITOR_ACCEPT:
            monitor_arm(control);
            break;
        case CONTROL_TIMER_MONITOR:
            monitor_timer_due(control, timer);
            break;
        case CONTROL_TIMER_ROUTE_ACCEPT:
            cluster_accept_arm(control);
            break;
        case CONTROL_TIMER_DIAL:
            cluster_dial_due(control, CONTAINER_OF(timer, struct dial, timer));
            break;
        case CONTROL_TIMER_CLUSTER_MOVE:
            cluster_move_due(control);
            break;
        case CONTROL_TIMER_STATSZ:
            system_statsz_due(control);
            break;
        case CONTROL_TIMER_ACCOUNTS:
            system_accounts_due(control);
            break;
        case CONTROL_TIMER_SURVEY:
            system_survey_due(control, timer);
            break;
        case CONTROL_TIMER_STOP:
            control_stop_threads(control);
            break;
        case CONTROL_TIMER_GATEWAY_ACCEPT:
            gateways_accept_arm(control);
            break;
        case CONTROL_TIMER_GATEWAY_DIAL:
            gateways_dial_due(control, CONTAINER_OF(timer, struct gateway_cluster, timer));
            break;
        case CONTROL_TIMER_OUTER:
            outer_due(control);
            break;
        case CONTROL_TIMER_OUTER_STALL:
            outer_stall_due(control);
            break;
        case CONTROL_TIMER_ALONE:
            service_alone_due(control);
            break;
        case CONTROL_TIMER_STAPLE:
            staples_due(control, CONTAINER_OF(timer, struct staple_place, timer));
            break;
        case CONTROL_TIMER_OCSP_CACHE:
            peer_cache_due(control);
            break;
        }
    }
}

/* How long the ring may wait: 0 while there is work that no completion announces. */
static int64_t wait_ns(const struct control *control, bool more)
{
    int64_t due_ns = timers_next_ns(&control->timers), service_ns = service_next_ns(control);
    due_ns = service_ns < due_ns ? service_ns : due_ns;
    if (more || due_ns <= control->now_ns)
        return 0;
    return due_ns == INT64_MAX ? -1 : due_ns - control->now_ns;
}

/* `more`: something is left to do. The same comes back. */
static bool turn(struct control *control, bool more)
{
    struct loop_completion completion;
    int64_t limit_ns = wait_ns(control, more);
    if (control->retry && (limit_ns < 0 || limit_ns > RETRY_NS))
        limit_ns = RETRY_NS;
    bool sleeps = limit_ns != 0 && post_may_sleep(&control->post);
    loop_wait(control->loop, sleeps ? limit_ns : 0);
    if (sleeps)
        post_awake(&control->post);
    control->now_ns = clock_monotonic_ns();
    post_drain(&control->post, take_mail, control);
    while (loop_next(control->loop, &completion))
        complete(control, &completion);
    expire_timers(control);
    more = monitor_step(control);
    control->retry = cluster_step(control);
    control->retry = system_step(control) || control->retry;
    control->retry |= gateways_step(control);
    control->retry |= account_register_step(control);
    control->retry |= staples_step(control);
    control->retry |= peer_checks_step(control);
    more |= service_step(control, &control->retry);
    outer_step(control);
    post_flush(&control->post);
    return more;
}

int control_run(struct control *control)
{
    bool more = true; /* what the services have to tell does not wait for the first event */
    monitor_arm(control);
    if (!system_start(control))
        control_accept_arm(control);
    while (control->state != CONTROL_STOPPED)
        more = turn(control, more);
    return control->exit_code;
}

struct bytes control_cluster_name(const struct control *control)
{
    const struct gateway_options *gateway = &control->snapshot->options->gateway;
    if (control->cluster.on)
        return text(control->cluster.name);
    return gateway->given ? text(gateway->name) : TEXT("");
}

void control_close(struct control *control)
{
    control_listen_close(control);
    inquiries_end(control);
    staples_close(control);
    peer_checks_close(control);
    cluster_close(control);
    gateways_core_close(control);
    account_register_close(&control->accounts);
    if (control->signal_fd >= 0)
        close(control->signal_fd);
    service_close(control);
    outer_close(control);
    loop_free(control->loop);
    monitor_close(control);
    system_close(control);
    desk_close(&control->desk);
    block_pool_close(&control->blocks);
    timers_close(&control->timers);
    option_changes_close(&control->changes);
}
