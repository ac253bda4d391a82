/* shards/control/control_reload.c - SIGHUP: new options for everybody, or a line that says why not
 * (spec/configuration.md 5). One reload at a time: the next one waits until every shard has let go of the
 * last snapshot. Only then the log says that it was done: whoever reads so finds the new rules on every
 * shard. */
#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/base/version.h"
#include "core/security/authenticate.h"
#include "shards/banner.h"
#include "shards/control/control_internal.h"
#include "shards/log_setup.h"
#include "shards/mail.h"

#include <stdio.h>
#include <string.h>

enum { WHY_BYTES = 4096 };

static struct bytes optional_text(const char *terminated)
{
    return terminated == NULL ? (struct bytes){NULL, 0} : text(terminated);
}

void control_info_make(const struct control *control, struct snapshot *snapshot)
{
    const struct server_options *options = snapshot->options;
    const struct tls_options *tls = &options->net.tls;
    bool advertised = options->client_advertise_host != NULL;
    snapshot->info = (struct info_server){
        .server_id = text(control->server_id),
        .xkey = text(control->xkey),
        .server_name = text(control->server_name),
        .version = text(MYELIN_NATS_VERSION),
        .myelin_version = text(MYELIN_VERSION),
        .host = optional_text(advertised ? options->client_advertise_host : options->host),
        .port = advertised && options->client_advertise_port > 0 ? (int32_t)options->client_advertise_port
                                                                 : control->port,
        .cluster =
            control->cluster.on ? optional_text(options->cluster.name) : optional_text(options->gateway.name),
        .max_payload_bytes = options->net.max_payload_bytes,
        .headers = options->net.headers,
        .auth_required = authenticate_info_required(&options->security),
        .tls_required = tls->on && !options->net.allow_non_tls,
        .tls_available = tls->on && options->net.allow_non_tls,
        .tls_verify = tls->on && tls->verify,
    };
    if (tls->context != NULL)
        tls_context_tickets(tls->context, &control->ticket_keys);
}

/* Every line of a text as a log line of its own. The last one, which says that it is done, stands where the
 * log is from now on, the others where it was; so nats-server does. */
static void log_lines_around(struct control *control, const struct config_text *lines,
                             void (*between)(struct control *))
{
    const char *at = config_text_string(lines);
    while (*at != 0) {
        const char *end = strchrnul(at, '\n');
        bool last = *end == 0 || end[1] == 0;
        if (last)
            between(control);
        log_notice(control->log, "%.*s", (int)(end - at), at);
        at = *end == 0 ? end : end + 1;
    }
}

static void log_and_files(struct control *control)
{
    char why[WHY_BYTES] = "";
    struct log_options options = log_setup(control->snapshot->options, control->program);
    if (log_reconfigure(control->log, &options, why, sizeof why) != ERR_OK)
        log_error(control->log, "%s", why);
    control_files_moved(control, control->retired->options);
}

/* Done or refused. Who is stopping is not ready again. */
static void reload_over(struct control *control)
{
    if (control->state == CONTROL_RUNNING)
        control_service_tell(control, SERVICE_READY);
}

/* What was asked for meanwhile. */
static void reload_again(struct control *control)
{
    if (!control->reload_again)
        return;
    control->reload_again = false;
    (void)control_reload(control, NULL, 0);
}

void control_snapshot_released(struct control *control, struct snapshot *snapshot)
{
    ASSERT(snapshot == control->retired && snapshot->holders > 0);
    if (--snapshot->holders > 0)
        return;
    log_lines_around(control, &control->changes.lines, log_and_files);
    control->retired = NULL;
    server_options_free(snapshot->options);
    memory_free(snapshot);
    option_changes_close(&control->changes);
    cluster_reload_over(control);
    reload_over(control);
    reload_again(control);
}

static void hand_out(struct control *control, struct snapshot *snapshot)
{
    struct mail_snapshot mail = {.kind = MAIL_SNAPSHOT, .snapshot = snapshot};
    control->retired = control->snapshot;
    control->snapshot = snapshot;
    for (uint32_t to = 0; to < control->shard_count; to++) {
        bool told = control_tell(control, to, &mail, sizeof mail);
        ASSERT(told); /* room was asked for before */
    }
}

/* A lowered max_connections: the surplus goes, from the shards that have most. */
static void close_surplus(struct control *control)
{
    int64_t most = control->snapshot->options->net.max_connections;
    uint64_t open = control_open_connections(control);
    uint64_t limit = most < 0 ? 0 : (uint64_t)most;
    if (open <= limit)
        return;
    log_notice(control->log, "Closed %llu connections to fall within max_connections",
               (unsigned long long)(open - limit));
    uint64_t left = open - limit;
    for (uint32_t to = 0; to < control->shard_count && left > 0; to++) {
        uint64_t share = (open - limit) * control->open[to] / open + 1;
        struct mail_close_clients mail = {.kind = MAIL_CLOSE_CLIENTS, .over_limit = true};
        mail.count = (uint32_t)(share < left ? share : left);
        if (control_tell(control, to, &mail, sizeof mail))
            left -= mail.count;
    }
}

static bool room_for_snapshot(struct control *control)
{
    for (uint32_t to = 0; to < control->shard_count; to++) {
        if (!mailbox_has_room_for(post_box(&control->post, to), sizeof(struct mail_snapshot), 1))
            return false;
    }
    return true;
}

/* The snapshot that was pending will never be in force. */
static void give_up(struct control *control, const char *why)
{
    struct snapshot *snapshot = control->pending;
    control->pending = NULL;
    log_error(control->log, "Failed to reload server configuration: %s", why);
    staples_forget(control);
    server_options_free(snapshot->options);
    memory_free(snapshot);
    option_changes_close(&control->changes);
    reload_over(control);
    reload_again(control);
}

void control_reload_ready(struct control *control)
{
    struct snapshot *snapshot = control->pending;
    struct server_options *options = snapshot->options;
    if (control->state != CONTROL_RUNNING || !room_for_snapshot(control)) {
        give_up(control, control->state == CONTROL_RUNNING ? "no memory" : "the server is about to stop");
        return;
    }
    control->pending = NULL;
    account_register_reload(&control->accounts, options, control->snapshot->options);
    control_info_make(control, snapshot);
    staples_take_over(control);
    hand_out(control, snapshot);
    cluster_reloaded(control);
    monitor_reloaded(control);
    staples_monitor(control);
    peer_cache_configure(control);
    system_reloaded(control, control->retired->options);
    banner_callout(control->log, &options->security);
    if (!ocsp_options_same(&control->retired->options->net.ocsp, &options->net.ocsp))
        banner_certificates(control->log, options);
    close_surplus(control);
}

bool control_reload(struct control *control, char *refusal, size_t refusal_bytes)
{
    struct server_options *options = NULL;
    struct option_changes changes = {0};
    const char *why = control->state == CONTROL_RUNNING ? NULL : "the server is about to stop";
    if (why == NULL && (control->retired != NULL || control->pending != NULL)) {
        control->reload_again = true;
        return true;
    }
    if (why == NULL)
        control_service_tell(control, SERVICE_RELOADING);
    struct snapshot *snapshot = why == NULL ? memory_new(sizeof *snapshot) : NULL;
    if (why == NULL && (snapshot == NULL || !room_for_snapshot(control)))
        why = "no memory";
    if (why != NULL)
        log_error(control->log, "Failed to reload server configuration: %s", why);
    if (why != NULL || server_options_reload(control->snapshot->options, control->argument_count,
                                             control->arguments, &options, &changes) != ERR_OK) {
        if (why == NULL) { /* a whole line already, if there was memory for it */
            why = changes.refusal.count > 0 ? config_text_string(&changes.refusal)
                                            : "Failed to reload server configuration: out of memory";
            log_error(control->log, "%s", why);
        }
        if (refusal_bytes > 0)
            snprintf(refusal, refusal_bytes, "%s", why);
        memory_free(snapshot);
        option_changes_close(&changes);
        reload_over(control);
        return false;
    }
    *snapshot = (struct snapshot){.options = options, .holders = control->shard_count};
    control->changes = changes;
    control->pending = snapshot;
    if (staples_prepare(control, options))
        control_reload_ready(control);
    return true;
}
