/* shards/streaming/service.c - see service.h. */
#include "shards/streaming/service.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "shards/control/outer.h"
#include "shards/streaming/banner.h"
#include "shards/streaming/outer_options.h"
#include "shards/streaming/service_inside.h"

#include <stdio.h>

enum { NAME_BYTES = 256 };

struct streaming_now service_now(struct control *control)
{
    struct streaming_service *service = control->streaming;
    if (service->now.now_ns != control->now_ns)
        service->now = (struct streaming_now){.now_ns = control->now_ns, .wall_ns = clock_wall_ns()};
    return service->now;
}

/* ---- turns ---- */

/* The subject of a request: open, or not. False: a mailbox is full. */
static bool subject_open(struct control *control, enum streaming_request_kind kind, bool open)
{
    struct streaming_service *service = control->streaming;
    struct desk_listener *listener = &service->listeners[kind].desk;
    enum err err = ERR_OK;
    if ((listener->base.interest != NULL) == open)
        return true;
    return open ? desk_listen(control, listener, streaming_subject(service->groups[0].machine, kind), &err)
                : desk_unlisten(control, listener);
}

/* All of them, or none. */
static bool subjects_open(struct control *control, bool open)
{
    bool done = true;
    for (uint32_t i = 0; i < STREAMING_REQUEST_ACK; i++)
        done &= subject_open(control, i, open);
    return done;
}

/* Clients are heard when all that leading takes is done, and are not from the moment when it ends. Who leads
 * any group hears of channels, who leads the first one of clients. */
static bool replicas_follow(struct control *control)
{
    static const bool first_only[STREAMING_REQUEST_ACK] = {[STREAMING_REQUEST_CONNECT] = true,
                                                           [STREAMING_REQUEST_PING] = true,
                                                           [STREAMING_REQUEST_CLOSE] = true};
    struct streaming_service *service = control->streaming;
    bool any = false, first = replica_leads(service->groups[0].replica) && !service->stopping, done = true;
    for (uint32_t i = 0; i < service->group_count; i++)
        any |= replica_leads(service->groups[i].replica) && !service->stopping;
    for (uint32_t i = 0; i < STREAMING_REQUEST_ACK; i++)
        done &= subject_open(control, i, first_only[i] ? first : any);
    for (uint32_t i = 0; i < service->group_count && done && any; i++)
        replica_subjects_opened(service->groups[i].replica);
    return done;
}

/* What was proposed in this turn leaves in it, and is on its way to the disk. */
static bool replicas_step(struct control *control, bool *full)
{
    struct streaming_service *service = control->streaming;
    bool changed = false;
    for (uint32_t i = 0; i < service->group_count; i++)
        changed |= replica_turn(service->groups[i].replica, service->now);
    *full = !replicas_follow(control) || *full;
    service_io_begin(control);
    return changed;
}

bool service_step(struct control *control, bool *retry)
{
    struct streaming_service *service = control->streaming;
    bool more = false, full = false;
    if (service == NULL)
        return false;
    struct streaming_now moment = service_now(control);
    if (store_next_tick_ns(service->store) <= moment.wall_ns)
        store_tick(service->store, moment.wall_ns);
    chores_begin(&service->chores, control->loop);
    for (uint32_t i = 0; i < service->group_count && service->clustered; i++)
        (void)replica_turn(service->groups[i].replica, moment);
    service_io_begin(control);
    for (uint32_t i = 0; i < service->group_count; i++)
        more |= streaming_step(service->groups[i].machine, moment);
    for (uint32_t i = 0; i < service->group_count; i++)
        full |= service_outputs_do(control, &service->groups[i]);
    if (service->clustered)
        more |= replicas_step(control, &full);
    *retry = *retry || full;
    return more && !full;
}

int64_t service_next_ns(const struct control *control)
{
    const struct streaming_service *service = control->streaming;
    if (service == NULL)
        return INT64_MAX;
    int64_t machine_ns = INT64_MAX;
    for (uint32_t i = 0; i < service->group_count; i++) {
        const struct service_group *group = &service->groups[i];
        int64_t one_ns = streaming_next_ns(group->machine);
        int64_t replica_ns = group->replica == NULL ? INT64_MAX : replica_next_ns(group->replica);
        machine_ns = one_ns < machine_ns ? one_ns : machine_ns;
        machine_ns = replica_ns < machine_ns ? replica_ns : machine_ns;
    }
    int64_t tick_ns = store_next_tick_ns(service->store);
    if (tick_ns != INT64_MAX)
        tick_ns = tick_ns - service->now.wall_ns + service->now.now_ns;
    tick_ns = service->write_due_ns < tick_ns ? service->write_due_ns : tick_ns;
    return machine_ns < tick_ns ? machine_ns : tick_ns;
}

/* ---- beginning and end ---- */

static enum err machine_start(struct control *control, struct streaming_service *service, uint32_t group,
                              char *why, size_t why_bytes)
{
    const struct streaming_options *options = &control->snapshot->options->streaming;
    uint64_t seed = 0;
    if (random_secure(&seed, sizeof seed) != ERR_OK) {
        snprintf(why, why_bytes, "the kernel has no random bytes");
        return ERR_SYSTEM;
    }
    struct streaming_setup setup = {
        .store = service->store,
        .cluster_id = options->cluster_id,
        .discover_prefix = options->discover_prefix,
        .replace_durable = options->replace_durable,
        .trace = options->trace,
        .heartbeat_interval_ns = options->heartbeat_interval_ns,
        .heartbeat_timeout_ns = options->heartbeat_timeout_ns,
        .heartbeat_fail_max = options->heartbeat_fail_max,
        .seed = seed,
        .server_id = bytes_of(control->server_id, STREAMING_SERVER_ID_BYTES),
        .now = service_now(control),
        .replicated = options->cluster.on,
        .channels_max = (uint32_t)options->channels_max,
        .group = group,
        .group_count = service->group_count,
        .registry = group == 0 ? NULL : service->groups[0].machine,
    };
    return streaming_new(&service->groups[group].machine, &setup, why, why_bytes);
}

/* The first one first: the others know it. */
static enum err groups_start(struct control *control, struct streaming_service *service, char *why,
                             size_t why_bytes)
{
    const struct streaming_cluster_options *cluster = &control->snapshot->options->streaming.cluster;
    enum err err = ERR_OK;
    service->clustered = cluster->on;
    service->group_count = cluster->on ? (uint32_t)cluster->groups : 1;
    for (uint32_t i = 0; i < service->group_count && err == ERR_OK; i++) {
        struct replica *first = i == 0 ? NULL : service->groups[0].replica;
        if (cluster->on)
            err = replica_new(&service->groups[i].replica, control, service->store, first,
                              service_now(control), why, why_bytes);
        if (err == ERR_OK)
            err = machine_start(control, service, i, why, why_bytes);
    }
    return err;
}

/* Where the service lives: the account of the user that is named, else the global one. NULL: there is no such
 * user. */
static const struct security_account *account_of(const struct control *control)
{
    const struct security_options *security = &control->snapshot->options->security;
    const char *name = control->snapshot->options->streaming.username;
    const struct security_user *user = name == NULL ? NULL : security->users.first;
    while (user != NULL && !bytes_equal(user->name, text(name)))
        user = user->next;
    bool single = name != NULL && bytes_equal(security->user, text(name));
    if (name != NULL && user == NULL && !single)
        return NULL;
    return security_account_of(&security->accounts, user);
}

/* Whether there may be another server of our cluster id that clients would reach as well. */
static bool others_reached(const struct control *control)
{
    const struct server_options *options = control->snapshot->options;
    return control->outer != NULL || options->cluster.port != 0 || options->gateway.given;
}

static enum err listeners_start(struct control *control, struct streaming_service *service, char *why,
                                size_t why_bytes)
{
    const struct security_account *account = control->outer != NULL ? NULL : account_of(control);
    if (account == NULL && control->outer == NULL) {
        snprintf(why, why_bytes, "there is no user \"%s\"", control->snapshot->options->streaming.username);
        return ERR_INVALID;
    }
    enum err err = desk_open(&control->desk, account == NULL ? 0 : account->id);
    bool good = err == ERR_OK;
    for (uint32_t i = 0; i < STREAMING_REQUEST_ACK; i++) {
        service->listeners[i].desk.taker = service_request_take;
        service->listeners[i].kind = (uint8_t)i;
    }
    /* Requests: when the node leads; when it is known that nobody else answers them; else now. */
    if (good && !service->clustered)
        good = others_reached(control) ? alone_listen(control, &service->alone, service->groups[0].machine)
                                       : subjects_open(control, true);
    service->inbox.taker = service_answer_take;
    good = good && desk_listen(control, &service->inbox, streaming_inbox(service->groups[0].machine), &err);
    if (!good)
        snprintf(why, why_bytes, "could not subscribe: %s",
                 err == ERR_OK ? "a mailbox is too small" : err_text(err));
    return good ? ERR_OK : ERR_MEMORY;
}

/* Dials the NATS server outside of this process, where one is configured. */
static enum err outer_start(struct control *control, char *why, size_t why_bytes)
{
    const struct server_options *options = control->snapshot->options;
    struct outer_setup setup;
    char name[NAME_BYTES];
    if (options->streaming.outer.urls == NULL)
        return ERR_OK;
    snprintf(name, sizeof name, "_NSS-%s-general", options->streaming.cluster_id);
    streaming_outer_setup(&options->streaming.outer, options->streaming.username, &options->security, name,
                          &setup);
    return outer_open(control, &setup, why, why_bytes);
}

enum err service_start(struct control *control, char *why, size_t why_bytes)
{
    const struct streaming_options *options = &control->snapshot->options->streaming;
    if (!options->on)
        return ERR_OK;
    struct streaming_service *service = memory_new(sizeof *service);
    snprintf(why, why_bytes, "out of memory");
    if (service == NULL)
        return ERR_MEMORY;
    control->streaming = service;
    service->write_due_ns = INT64_MAX;
    service->write.kind = CONTROL_OP_STORE;
    service->sync.kind = CONTROL_OP_STORE;
    service->chores.op.kind = CONTROL_OP_STORE;
    log_notice(control->log, "STREAM: Recovering the state...");
    enum err err = outer_start(control, why, why_bytes);
    if (err == ERR_OK)
        err = service_store_start(control, service, why, why_bytes);
    if (err == ERR_OK)
        err = groups_start(control, service, why, why_bytes);
    if (err == ERR_OK)
        err = listeners_start(control, service, why, why_bytes);
    for (uint32_t i = service->clustered ? service->group_count : 0; i > 0 && err == ERR_OK; i--)
        err = replica_start(service->groups[i - 1].replica, service->groups[i - 1].machine,
                            service_now(control), why, why_bytes);
    if (err != ERR_OK) {
        service_close(control);
        return err;
    }
    if (control->outer == NULL && !service->clustered && others_reached(control))
        alone_ask(control, &service->alone, true);
    else if (control->outer == NULL)
        streaming_banner_ready(control->log, options, service->store, service->groups[0].machine);
    post_flush(&control->post);
    return ERR_OK;
}

void service_reached(struct control *control)
{
    const struct streaming_service *service = control->streaming;
    if (!service->clustered)
        alone_ask(control, &control->streaming->alone, false);
    else
        streaming_banner_ready(control->log, &control->snapshot->options->streaming, service->store,
                               service->groups[0].machine);
}

void service_alone_due(struct control *control)
{
    alone_due(control, &control->streaming->alone);
}

void service_alone(struct control *control)
{
    if (!subjects_open(control, true)) {
        log_fatal(control->log, "STREAM: Failed to start: could not subscribe: out of memory");
        control_end(control, 1);
        return;
    }
    streaming_banner_ready(control->log, &control->snapshot->options->streaming, control->streaming->store,
                           control->streaming->groups[0].machine);
}

void service_stop(struct control *control)
{
    if (control->streaming == NULL || control->streaming->stopping)
        return;
    control->streaming->stopping = true;
    log_notice(control->log, "STREAM: Shutting down.");
    for (uint32_t i = 0; i < control->streaming->group_count && control->streaming->clustered; i++)
        replica_stop(control->streaming->groups[i].replica, service_now(control));
}

void service_close(struct control *control)
{
    struct streaming_service *service = control->streaming;
    struct loop_completion completion;
    if (service == NULL)
        return;
    while (service->write.in_flight + service->sync.in_flight + service->chores.op.in_flight > 0) {
        loop_wait(control->loop, -1);
        while (loop_next(control->loop, &completion)) {
            if (completion.op->kind == CONTROL_OP_STORE)
                service_completed(control, &completion);
        }
    }
    for (uint32_t i = service->group_count; i > 0; i--) {
        replica_free(service->groups[i - 1].replica);
        streaming_free(service->groups[i - 1].machine);
    }
    if (service->store != NULL && store_close(service->store) != ERR_OK)
        log_error(control->log, "STREAM: not all of the store could be written at the end");
    sharing_close(&service->sharing);
    if (service->has_files)
        store_files_close(&service->files);
    for (uint32_t i = 0; i < STREAMING_REQUEST_ACK; i++)
        desk_forget(&control->desk, &service->listeners[i].desk);
    desk_forget(&control->desk, &service->inbox);
    desk_forget(&control->desk, &service->alone.listener);
    timers_cancel(&control->timers, &service->alone.timer);
    for (struct desk_listener *listener; (listener = desk_any(&control->desk)) != NULL;) {
        desk_forget(&control->desk, listener);
        memory_free(CONTAINER_OF(listener, struct ack_listener, desk));
    }
    memory_free(service);
    control->streaming = NULL;
}

uint32_t service_group_count(const struct control *control)
{
    return control->streaming == NULL ? 0 : control->streaming->group_count;
}

const struct replica *service_replica(const struct control *control, uint32_t group)
{
    return control->streaming == NULL ? NULL : control->streaming->groups[group].replica;
}

const struct streaming *service_machine(const struct control *control, uint32_t group)
{
    return control->streaming == NULL ? NULL : control->streaming->groups[group].machine;
}

struct streaming_figures service_figures(const struct control *control)
{
    struct streaming_figures all = streaming_figures(service_machine(control, 0));
    for (uint32_t i = 1; i < service_group_count(control); i++) {
        struct streaming_figures one = streaming_figures(service_machine(control, i));
        all.channel_count += one.channel_count;
        all.subscription_count += one.subscription_count;
        all.in_messages += one.in_messages;
        all.in_bytes += one.in_bytes;
        all.out_messages += one.out_messages;
        all.out_bytes += one.out_bytes;
    }
    return all;
}
