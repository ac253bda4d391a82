/* shards/streaming/service.c - see service.h. */
#include "shards/streaming/service.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "shards/control/control_internal.h"
#include "shards/control/outer.h"
#include "shards/streaming/alone.h"
#include "shards/streaming/banner.h"
#include "shards/streaming/gather.h"
#include "shards/streaming/groups.h"
#include "shards/streaming/machine.h"
#include "shards/streaming/outer_options.h"
#include "shards/streaming/replica.h"
#include "shards/streaming/sharing.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { RUN_MOST = 128 /* messages that go to a mailbox at once */, NAME_BYTES = 256 };
/* Of a node's store: an entry of Raft's log and the message that it becomes, both as large as can be. */
enum { CLUSTERED_BUFFER_BYTES = 256 * 1024 * 1024 };
#define STALL_NS (2 * NS_PER_MS)

/* A subject of the service. */
struct service_listener {
    struct desk_listener desk;
    uint8_t kind; /* enum streaming_request_kind */
};

/* An ack inbox. */
struct ack_listener {
    struct desk_listener desk;
    struct streaming *machine; /* whose */
};

/* A part of the channels: all of them, but for a cluster with several groups (docs/streaming-cluster.md 10).
 */
struct service_group {
    struct streaming *machine;
    struct replica *replica; /* NULL: no node of a cluster */
};

struct streaming_service {
    struct store *store;
    struct sharing sharing;
    struct store_files files;
    struct service_group groups[STREAMING_GROUPS_MAX]; /* the first one has the clients */
    uint32_t group_count;
    bool clustered;
    struct service_listener listeners[STREAMING_REQUEST_KINDS]; /* but for acks */
    struct desk_listener inbox;
    struct alone alone; /* with a server outside only */
    struct loop_op write;
    struct loop_op sync;
    struct store_io io; /* under way */
    int64_t written;
    struct gather gather;
    int64_t write_due_ns; /* of a write that waits for publishers; INT64_MAX: none does */
    struct streaming_now now;
    uint64_t lost; /* of the machine's outputs, told */
    bool has_files;
    bool stopping;
};

/* ---- time ---- */

/* The moment of this turn: the wall is asked once. */
static struct streaming_now now(struct control *control)
{
    struct streaming_service *service = control->streaming;
    if (service->now.now_ns != control->now_ns)
        service->now = (struct streaming_now){.now_ns = control->now_ns, .wall_ns = clock_wall_ns()};
    return service->now;
}

/* ---- in ---- */

/* The channel that the subject of a publish names. */
static struct bytes channel_of(const struct streaming_service *service, struct bytes subject)
{
    size_t skip =
        streaming_subject(service->groups[0].machine, STREAMING_REQUEST_PUBLISH).count - 1; /* '>' */
    return subject.count <= skip ? TEXT("") : bytes_of(subject.data + skip, subject.count - skip);
}

/* To the groups that this node leads, of which at most one does something about it: the others are led
 * elsewhere, where the same has come to. */
static void request_share(struct control *control, const struct streaming_request *request,
                          const struct publisher_place *place)
{
    struct streaming_service *service = control->streaming;
    uint32_t first = 0, last = service->group_count - 1;
    if (request->kind == STREAMING_REQUEST_PUBLISH)
        first = last = groups_of_channel(channel_of(service, request->subject), service->group_count);
    for (uint32_t i = first; i <= last; i++) {
        struct streaming *machine = service->groups[i].machine;
        if (!streaming_leads(machine))
            continue;
        streaming_request(machine, now(control), request);
        if (UNLIKELY(streaming_busy(machine)) && request->kind == STREAMING_REQUEST_PUBLISH)
            desk_stall(control, place, STALL_NS);
    }
}

static void request_take(struct control *control, struct desk_listener *listener,
                         const struct desk_message *message)
{
    struct streaming_service *service = control->streaming;
    const struct service_listener *own = CONTAINER_OF(listener, struct service_listener, desk);
    struct streaming_request request = {
        .kind = own->kind,
        .via = message->shard,
        .subject = message->subject,
        .reply = message->reply,
        .payload = message->payload,
    };
    if (service->stopping)
        return;
    if (own->kind == STREAMING_REQUEST_PUBLISH)
        gather_arrived(&service->gather);
    if (service->group_count > 1) {
        request_share(control, &request, &message->place);
        return;
    }
    streaming_request(service->groups[0].machine, now(control), &request);
    if (UNLIKELY(streaming_busy(service->groups[0].machine)))
        desk_stall(control, &message->place, STALL_NS);
}

static void ack_take(struct control *control, struct desk_listener *listener,
                     const struct desk_message *message)
{
    struct streaming_service *service = control->streaming;
    struct streaming_request request = {
        .kind = STREAMING_REQUEST_ACK,
        .via = message->shard,
        .subject = message->subject,
        .payload = message->payload,
    };
    if (!service->stopping)
        streaming_request(CONTAINER_OF(listener, struct ack_listener, desk)->machine, now(control), &request);
}

static void answer_take(struct control *control, struct desk_listener *listener,
                        const struct desk_message *message)
{
    (void)listener;
    /* The first group's machine alone asks. */
    streaming_answer(control->streaming->groups[0].machine, now(control), message->subject, message->nobody);
}

/* ---- out ---- */

/* A new ack inbox. False: not yet. */
static bool inbox_listen(struct control *control, struct streaming *machine, struct bytes subject)
{
    enum err err = ERR_OK;
    struct ack_listener *listener = memory_new(sizeof *listener);
    if (listener == NULL)
        return false;
    listener->desk.taker = ack_take;
    listener->machine = machine;
    if (desk_listen(control, &listener->desk, subject, &err))
        return true;
    memory_free(listener);
    return false;
}

static bool inbox_unlisten(struct control *control, struct bytes subject)
{
    struct desk_listener *listener = desk_find(&control->desk, subject);
    if (listener == NULL || listener->taker != ack_take)
        return true;
    if (!desk_unlisten(control, listener))
        return false;
    memory_free(CONTAINER_OF(listener, struct ack_listener, desk));
    return true;
}

static void log_output(const struct control *control, const struct streaming_output *output)
{
    const struct streaming_options *options = &control->snapshot->options->streaming;
    enum log_level level = output->level;
    if ((level == LOG_DEBUG && !options->debug) || (level == LOG_TRACE && !options->trace))
        return;
    log_line(control->log, level, "STREAM: %.*s", BYTES_PRINTF(output->body));
}

/* With those behind it that go to the same subject. */
static uint32_t publish_do(struct control *control, struct streaming *machine,
                           const struct streaming_output *output)
{
    struct bytes bodies[RUN_MOST] = {output->body};
    uint32_t count = 1 + streaming_output_more(machine, output, bodies + 1, RUN_MOST - 1);
    return count - desk_publish(control, output->via < control->shard_count ? output->via : 0,
                                output->subject, output->reply, bodies, count);
}

/* How many are not done, because a mailbox is full: the last that were taken. */
static uint32_t output_do(struct control *control, const struct service_group *group,
                          const struct streaming_output *output)
{
    switch (output->kind) {
    case STREAMING_OUTPUT_PUBLISH:
        return publish_do(control, group->machine, output);
    case STREAMING_OUTPUT_LISTEN:
        return !inbox_listen(control, group->machine, output->subject);
    case STREAMING_OUTPUT_UNLISTEN:
        return !inbox_unlisten(control, output->subject);
    case STREAMING_OUTPUT_LOG:
        log_output(control, output);
        return 0;
    case STREAMING_OUTPUT_PROPOSE: /* of a replicated machine only */
        return !replica_propose(group->replica, control->streaming->now, output->body);
    }
    return 0;
}

/* True: outputs are left because a mailbox, or Raft, is full. */
static bool outputs_do(struct control *control, const struct service_group *group)
{
    struct streaming_output output;
    while (streaming_output_next(group->machine, &output)) {
        uint32_t left = output_do(control, group, &output);
        if (left > 0) {
            streaming_output_back(group->machine, left);
            return true;
        }
    }
    return false;
}

/* ---- the store on the ring ---- */

static void io_begin(struct control *control)
{
    struct streaming_service *service = control->streaming;
    service->write_due_ns = INT64_MAX;
    if (service->write.in_flight != 0 || service->sync.in_flight != 0)
        return;
    /* A node's peers wait for it, and it for them: their group is what comes while a sync is under way. */
    int64_t due_ns = service->clustered ? control->now_ns : gather_due_ns(&service->gather, control->now_ns);
    if (due_ns > control->now_ns && store_position(service->store) > store_acknowledged(service->store)) {
        service->write_due_ns = due_ns;
        return;
    }
    if (!store_io_begin(service->store, service->now.wall_ns, &service->io))
        return;
    gather_begun(&service->gather, control->now_ns);
    service->written = 0;
    if (service->io.through)
        loop_write_through(control->loop, &service->write, service->io.file, service->io.parts,
                           service->io.part_count, service->io.offset);
    else if (service->io.part_count > 0)
        loop_write(control->loop, &service->write, service->io.file, service->io.parts,
                   service->io.part_count, service->io.offset);
    else if (service->io.sync)
        loop_sync(control->loop, &service->sync, service->io.file);
    else
        store_io_done(service->store, service->now.wall_ns, 0, 0);
}

static void io_done(struct control *control, int synced)
{
    struct streaming_service *service = control->streaming;
    store_io_done(service->store, now(control).wall_ns, service->written, synced);
    gather_done(&service->gather, control->now_ns, service->io.sync);
    if (!store_failed(service->store))
        return;
    log_fatal(control->log, "STREAM: unable to flush msg store: %s", store_error(service->store));
    abort(); /* what a sync that failed has left on the disk nobody knows: the next start looks */
}

void service_completed(struct control *control, const struct loop_completion *completion)
{
    struct streaming_service *service = control->streaming;
    if (completion->op == &service->sync) {
        io_done(control, completion->result);
    } else {
        service->written = completion->result;
        bool whole = completion->result >= 0 && (uint64_t)completion->result == service->io.bytes;
        if (whole && service->io.sync && !service->io.through)
            loop_sync(control->loop, &service->sync, service->io.file);
        else
            io_done(control, 0);
    }
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
    io_begin(control);
    return changed;
}

bool service_step(struct control *control, bool *retry)
{
    struct streaming_service *service = control->streaming;
    bool more = false, full = false;
    if (service == NULL)
        return false;
    struct streaming_now moment = now(control);
    if (store_next_tick_ns(service->store) <= moment.wall_ns)
        store_tick(service->store, moment.wall_ns);
    for (uint32_t i = 0; i < service->group_count && service->clustered; i++)
        (void)replica_turn(service->groups[i].replica, moment);
    io_begin(control);
    for (uint32_t i = 0; i < service->group_count; i++)
        more |= streaming_step(service->groups[i].machine, moment);
    for (uint32_t i = 0; i < service->group_count; i++)
        full |= outputs_do(control, &service->groups[i]);
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

static enum err store_start(struct control *control, struct streaming_service *service, char *why,
                            size_t why_bytes)
{
    const struct streaming_options *options = &control->snapshot->options->streaming;
    struct store_options store = {
        .kind = options->store == STREAMING_STORE_FILE ? STORE_FILE : STORE_MEMORY,
        .sync = options->sync_on_flush      ? WAL_SYNC_ALWAYS
                : options->auto_sync_ns > 0 ? WAL_SYNC_INTERVAL
                                            : WAL_SYNC_NEVER,
        .sync_interval_ns = options->auto_sync_ns,
        .segment_bytes = (uint32_t)options->segment_bytes,
        .cache_bytes = (uint32_t)options->cache_bytes,
        .channels_max = (uint32_t)options->channels_max,
        .limits = streaming_options_limits(options),
        .rules = options->rules,
        .rule_count = options->rule_count,
        .cut_damaged_tail = options->cut_damaged_tail,
    };
    enum err err = ERR_OK;
    if (options->cluster.on) { /* the machine counts channels: their number has to be the same on each node */
        store.channels_max = 0;
        store.buffer_bytes_max = CLUSTERED_BUFFER_BYTES;
        store.sync = options->cluster.sync       ? WAL_SYNC_ALWAYS
                     : options->auto_sync_ns > 0 ? WAL_SYNC_INTERVAL
                                                 : WAL_SYNC_NEVER;
    }
    if (store.kind == STORE_FILE) {
        err = store_files_open(&service->files, options->folder, why, why_bytes);
        service->has_files = err == ERR_OK;
        store.files = service->files;
    }
    if (err == ERR_OK)
        err = store_open(&service->store, &store, now(control).wall_ns, why, why_bytes);
    if (err == ERR_OK) {
        struct store_sharing sharing = sharing_of(&service->sharing);
        store_set_sharing(service->store, &sharing);
    }
    return err;
}

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
        .now = now(control),
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
            err = replica_new(&service->groups[i].replica, control, service->store, first, now(control), why,
                              why_bytes);
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
        service->listeners[i].desk.taker = request_take;
        service->listeners[i].kind = (uint8_t)i;
    }
    /* Requests: when the node leads; when it is known that nobody else answers them; else now. */
    if (good && !service->clustered)
        good = control->outer != NULL ? alone_listen(control, &service->alone, service->groups[0].machine)
                                      : subjects_open(control, true);
    service->inbox.taker = answer_take;
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
    log_notice(control->log, "STREAM: Recovering the state...");
    enum err err = outer_start(control, why, why_bytes);
    if (err == ERR_OK)
        err = store_start(control, service, why, why_bytes);
    if (err == ERR_OK)
        err = groups_start(control, service, why, why_bytes);
    if (err == ERR_OK)
        err = listeners_start(control, service, why, why_bytes);
    for (uint32_t i = service->clustered ? service->group_count : 0; i > 0 && err == ERR_OK; i--)
        err = replica_start(service->groups[i - 1].replica, service->groups[i - 1].machine, now(control), why,
                            why_bytes);
    if (err != ERR_OK) {
        service_close(control);
        return err;
    }
    post_flush(&control->post);
    if (control->outer == NULL)
        streaming_banner_ready(control->log, options, service->store);
    return ERR_OK;
}

void service_reached(struct control *control)
{
    const struct streaming_service *service = control->streaming;
    if (!service->clustered)
        alone_ask(control, &control->streaming->alone);
    else
        streaming_banner_ready(control->log, &control->snapshot->options->streaming, service->store);
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
    streaming_banner_ready(control->log, &control->snapshot->options->streaming, control->streaming->store);
}

void service_stop(struct control *control)
{
    if (control->streaming == NULL || control->streaming->stopping)
        return;
    control->streaming->stopping = true;
    log_notice(control->log, "STREAM: Shutting down.");
    for (uint32_t i = 0; i < control->streaming->group_count && control->streaming->clustered; i++)
        replica_stop(control->streaming->groups[i].replica, now(control));
}

void service_close(struct control *control)
{
    struct streaming_service *service = control->streaming;
    struct loop_completion completion;
    if (service == NULL)
        return;
    while (service->write.in_flight + service->sync.in_flight > 0) {
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
