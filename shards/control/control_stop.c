/* shards/control/control_stop.c - signals, lame duck mode and the end (spec/configuration.md 6). */
#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/random.h"
#include "shards/control/control_internal.h"
#include "shards/mail.h"

#include <string.h>

enum { TERMINATED_EXIT_CODE = 128 + SIGTERM };

struct handled_signal {
    int number;
    const char *name; /* as Go names it */
};

static const struct handled_signal handled[] = {
    {SIGINT, "interrupt"},
    {SIGTERM, "terminated"},
    {SIGHUP, "hangup"},
    {SIGUSR1, "user defined signal 1"},
    {SIGUSR2, "user defined signal 2"},
};

void control_signals(sigset_t *signals)
{
    sigemptyset(signals);
    for (size_t i = 0; i < COUNT_OF(handled); i++)
        sigaddset(signals, handled[i].number);
}

void control_stop_threads(struct control *control)
{
    struct mail_plain mail = {.kind = MAIL_STOP};
    if (control->threads_told)
        return;
    control->threads_told = true;
    post_end_announce(&control->post); /* the worker may have an hour of passwords before it */
    timers_cancel(&control->timers, &control->system.stop_timer);
    for (uint32_t to = 0; to < control->post.office->threads; to++) {
        if (to == control->post.self)
            continue;
        bool told = control_tell(control, to, &mail, sizeof mail);
        ASSERT(told); /* the spare part is the control core's alone */
    }
}

static void stop(struct control *control)
{
    if (control->state == CONTROL_STOPPING || control->state == CONTROL_STOPPED)
        return;
    service_stop(control);
    log_notice(control->log, "Initiating Shutdown...");
    control_service_tell(control, SERVICE_STOPPING);
    control_listen_close(control);
    monitor_stop(control);
    cluster_stop(control);
    gateways_stop(control);
    control_move(control, CONTROL_STOPPING);
    if (!system_shutdown(control)) /* else when the other servers have been told */
        control_stop_threads(control);
}

void control_end(struct control *control, int exit_code)
{
    control->exit_code = exit_code;
    stop(control);
    post_flush(&control->post); /* the turn that would do it may wait before */
}

/* ---- lame duck ---- */

static void lame_duck(struct control *control)
{
    struct mail_plain mail = {.kind = MAIL_LAME_DUCK};
    if (control->state != CONTROL_RUNNING)
        return;
    log_notice(control->log, "Entering lame duck mode, stop accepting new clients");
    control_service_tell(control, SERVICE_STOPPING);
    control_listen_close(control);
    system_lame_duck(control); /* also without clients: SHUTDOWN follows it */
    if (control_open_connections(control) == 0) {
        stop(control);
        return;
    }
    control_move(control, CONTROL_LAME_DUCK);
    cluster_lame_duck(control);
    for (uint32_t to = 0; to < control->shard_count; to++)
        (void)control_tell(control, to, &mail, sizeof mail); /* a shard without room is told by the closing */
    int64_t due_ns = control->now_ns + control->snapshot->options->lame_duck_grace_period_ns;
    if (timers_set(&control->timers, &control->timer, due_ns) != ERR_OK)
        stop(control);
}

/* Closes one client of a shard chosen by its share of them. */
static void evict(struct control *control, uint32_t count)
{
    struct mail_close_clients mail = {.kind = MAIL_CLOSE_CLIENTS, .count = count};
    uint32_t most = 0;
    for (uint32_t i = 1; i < control->shard_count; i++) {
        if (control->open[i] > control->open[most])
            most = i;
    }
    if (control_tell(control, most, &mail, sizeof mail))
        control->evicted += count;
}

int64_t control_lame_duck_pause_ns(int64_t span_ns, uint64_t clients, uint64_t random)
{
    ASSERT(clients > 0);
    int64_t share_ns = (span_ns <= 0 ? NS_PER_SECOND : span_ns) / (int64_t)clients;
    if (share_ns > NS_PER_SECOND)
        share_ns = NS_PER_SECOND;
    return share_ns / 2 + (int64_t)(random % (uint64_t)(share_ns - share_ns / 2 + 1));
}

static int64_t pause_ns(const struct control *control)
{
    const struct server_options *options = control->snapshot->options;
    uint64_t random;
    if (random_secure(&random, sizeof random) != ERR_OK)
        random = 0; /* then all pauses are half as long */
    return control_lame_duck_pause_ns(options->lame_duck_duration_ns - options->lame_duck_grace_period_ns,
                                      control->evict_total, random);
}

void control_lame_duck_due(struct control *control)
{
    if (control->state == CONTROL_LAME_DUCK) {
        log_notice(control->log, "Closing existing clients");
        control_move(control, CONTROL_EVICTING);
        control->evict_total = control_open_connections(control);
    }
    if (control->state != CONTROL_EVICTING)
        return;
    if (control_open_connections(control) == 0) {
        stop(control);
        return;
    }
    evict(control, 1);
    if (timers_set(&control->timers, &control->timer, control->now_ns + pause_ns(control)) != ERR_OK)
        stop(control);
}

void control_connections_closed(struct control *control)
{
    bool leaving = control->state == CONTROL_LAME_DUCK || control->state == CONTROL_EVICTING;
    if (leaving && control_open_connections(control) == 0)
        stop(control);
}

/* ---- signals ---- */

/* By that name it ends as nats-streaming-server does, and has no lame duck mode (spec/streaming.md 22). */
static bool streaming_program(const struct control *control)
{
    return strcmp(control->program, "nats-streaming-server") == 0;
}

void control_signal(struct control *control, int number)
{
    for (size_t i = 0; i < COUNT_OF(handled); i++) {
        if (handled[i].number == number)
            log_notice(control->log, "Trapped \"%s\" signal", handled[i].name);
    }
    switch (number) {
    case SIGINT:
        stop(control);
        return;
    case SIGTERM:
        if (control->state != CONTROL_RUNNING)
            return;
        control->exit_code = streaming_program(control) ? TERMINATED_EXIT_CODE : control->exit_code;
        stop(control);
        return;
    case SIGHUP:
        (void)control_reload(control, NULL, 0); /* the log says why not */
        return;
    case SIGUSR1:
        log_reopen(control->log);
        return;
    case SIGUSR2:
        if (!streaming_program(control))
            lame_duck(control);
        return;
    default:
        return;
    }
}
