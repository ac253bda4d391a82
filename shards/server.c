/* shards/server.c - starting and ending the threads; see server.h. */
#include "shards/server.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/security/nkey.h"
#include "shards/banner.h"
#include "shards/control/control.h"
#include "shards/control/control_internal.h"
#include "shards/mail.h"
#include "shards/shard.h"
#include "shards/streaming/banner.h"
#include "shards/streaming/service.h"
#include "shards/worker.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { WHY_BYTES = 512 };

struct shard_thread {
    pthread_t thread;
    struct shard shard;
    struct shard_setup setup;
    sem_t ready;
    char why[WHY_BYTES];
    int cpu; /* to be pinned to; -1: not pinned */
    bool started;
    bool failed;
};

struct server {
    const struct server_setup *setup;
    struct post_office office;
    struct control control;
    struct snapshot *snapshot;
    struct shard_thread *shards;
    struct worker worker;
    pthread_t worker_thread;
    bool worker_started;
    uint32_t shard_count;
    struct server_keys keys;
    char server_id[NKEY_TEXT_BYTES];
    char xkey[NKEY_TEXT_BYTES];
    char *name; /* a copy: the options that it came with go with the first reload */
};

/* ---- threads ---- */

static void say_stopped(struct post *post, uint32_t control)
{
    struct mail_plain mail = {.kind = MAIL_STOPPED};
    uint8_t *record;
    while ((record = post_reserve(post, control, sizeof mail, true)) == NULL) {
        post_flush(post);
        sched_yield(); /* the control core always drains */
    }
    memcpy(record, &mail, sizeof mail);
    post_commit(post, control, sizeof mail);
    post_flush(post);
}

static void *shard_main(void *argument)
{
    struct shard_thread *thread = argument;
    if (thread->cpu >= 0) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET((size_t)thread->cpu, &cpus);
        (void)pthread_setaffinity_np(pthread_self(), sizeof cpus, &cpus); /* unpinned it works as well */
    }
    thread->failed = shard_init(&thread->shard, &thread->setup, thread->why, sizeof thread->why) != ERR_OK;
    sem_post(&thread->ready);
    if (thread->failed)
        return NULL;
    while (shard_turn(&thread->shard))
        continue;
    shard_close(&thread->shard);
    say_stopped(&thread->shard.post, thread->setup.shard_count);
    return NULL;
}

static void *worker_main(void *argument)
{
    struct worker *worker = argument;
    worker_run(worker);
    say_stopped(&worker->post, worker->post.self - 1);
    return NULL;
}

/* The cpu for the shard with this index: the n-th that this process may use; -1 when there are fewer. */
static int cpu_for(const cpu_set_t *allowed, uint32_t index)
{
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, allowed) && index-- == 0)
            return (int)cpu;
    }
    return -1;
}

static uint32_t shards_wanted(const struct server_options *options, const cpu_set_t *allowed)
{
    int64_t count = options->shards;
    if (count == 0)
        count = CPU_COUNT(allowed) - 1;
    if (count < 1)
        count = 1;
    return count > SHARDS_MAX ? SHARDS_MAX : (uint32_t)count;
}

static bool shard_start(struct server *server, uint32_t index, const cpu_set_t *allowed)
{
    struct shard_thread *thread = &server->shards[index];
    const struct server_options *options = server->setup->options;
    bool pinned = options->pin && server->shard_count <= (uint32_t)CPU_COUNT(allowed);
    thread->cpu = pinned ? cpu_for(allowed, index) : -1;
    thread->setup = (struct shard_setup){
        .office = &server->office,
        .snapshot = server->snapshot,
        .log = server->setup->log,
        .keys = &server->keys,
        .self = index,
        .shard_count = server->shard_count,
    };
    if (sem_init(&thread->ready, 0, 0) != 0)
        return false;
    int error = pthread_create(&thread->thread, NULL, shard_main, thread);
    if (error != 0) {
        snprintf(thread->why, sizeof thread->why, "cannot start a thread: %s", strerror(error));
        return false;
    }
    thread->started = true;
    while (sem_wait(&thread->ready) != 0 && errno == EINTR)
        continue;
    return !thread->failed;
}

static bool threads_start(struct server *server, const cpu_set_t *allowed)
{
    for (uint32_t i = 0; i < server->shard_count; i++) {
        if (!shard_start(server, i, allowed)) {
            log_fatal(server->setup->log, "%s", server->shards[i].why);
            return false;
        }
    }
    server->worker.post = (struct post){.office = &server->office, .self = server->shard_count + 1};
    int error = pthread_create(&server->worker_thread, NULL, worker_main, &server->worker);
    if (error != 0) {
        log_fatal(server->setup->log, "cannot start a thread: %s", strerror(error));
        return false;
    }
    server->worker_started = true;
    return true;
}

/* ---- what all threads share ---- */

static bool name_make(struct server *server)
{
    const char *given = server->setup->options->server_name;
    const char *name = given != NULL && given[0] != 0 ? given : server->server_id;
    server->name = memory_copy(name, strlen(name));
    return server->name != NULL;
}

static void snapshot_free(struct snapshot *snapshot)
{
    if (snapshot == NULL)
        return;
    server_options_free(snapshot->options);
    memory_free(snapshot);
}

static bool snapshot_make(struct server *server)
{
    server->snapshot = memory_new(sizeof *server->snapshot);
    if (server->snapshot == NULL)
        return false;
    server->snapshot->options = server->setup->options;
    server->snapshot->holders = server->shard_count;
    return true;
}

/* The soft limit of descriptors to the hard one: a server has many. */
static void descriptors_raise(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* else it works with what it has */
    }
}

/* Nobody will take what still lies in the mailboxes: let go of what the mails hold. */
static void mail_discard(struct server *server)
{
    struct block_pool pool = {0};
    for (uint32_t i = 0; i < server->office.threads * server->office.threads; i++) {
        struct mailbox *box = &server->office.boxes[i];
        const uint8_t *mail;
        uint32_t bytes;
        uint64_t stamp;
        if (box->ring == NULL)
            continue;
        (void)mailbox_flush(box);
        (void)mailbox_collect(box);
        while ((mail = mailbox_next(box, &bytes, &stamp)) != NULL) {
            mail_release(mail, &pool);
            mailbox_take(box);
        }
    }
    block_pool_close(&pool);
}

static void server_close(struct server *server)
{
    for (uint32_t i = 0; i < server->shard_count && server->shards != NULL; i++) {
        if (server->shards[i].started) {
            pthread_join(server->shards[i].thread, NULL);
            sem_destroy(&server->shards[i].ready);
        }
    }
    if (server->worker_started)
        pthread_join(server->worker_thread, NULL);
    control_close(&server->control);
    mail_discard(server);
    post_office_close(&server->office);
    memory_free(server->shards);
    memory_free(server->name);
    explicit_bzero(&server->keys, sizeof server->keys);
    snapshot_free(server->control.snapshot);
    snapshot_free(server->control.retired); /* when the end came in mid-reload */
    snapshot_free(server->control.pending);
}

/* Builds everything up to listening. False: the reason is in the log; the process ends with 1. */
static bool server_open(struct server *server)
{
    const struct server_options *options = server->setup->options;
    struct log *log = server->setup->log;
    char why[WHY_BYTES] = "out of memory";
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        CPU_SET(0, &allowed);
    server->shard_count = shards_wanted(options, &allowed);
    descriptors_raise();
    /* New at every start, and written nowhere. */
    if (nkey_new(NKEY_SERVER, server->keys.seed, server->server_id) != ERR_OK ||
        nkey_new(NKEY_CURVE, server->keys.xkey_seed, server->xkey) != ERR_OK) {
        log_fatal(log, "Could not make a server id");
        return false;
    }
    server->shards = memory_new_aligned(server->shard_count * sizeof *server->shards);
    bool good = server->shards != NULL && name_make(server) && snapshot_make(server) &&
                post_office_init(&server->office, server->shard_count + 2,
                                 (uint64_t)options->mailbox_bytes) == ERR_OK;
    struct control_setup setup = {
        .office = &server->office,
        .snapshot = server->snapshot,
        .log = log,
        .shard_count = server->shard_count,
        .argument_count = server->setup->argument_count,
        .arguments = server->setup->arguments,
        .program = server->setup->program,
        .server_id = server->server_id,
        .xkey = server->xkey,
        .server_name = good ? server->name : "",
    };
    if (!good || control_init(&server->control, &setup, why, sizeof why) != ERR_OK) {
        log_fatal(log, "%s", why);
        return false;
    }
    if (!staples_start(&server->control, why, sizeof why)) {
        fprintf(stderr, "%s: %s\n", server->setup->program, why); /* before there is a log, in nats-server */
        server_close(server);
        return false;
    }
    return true;
}

/* From the banner to "Server is ready", in the order that tools wait for (spec/configuration.md 8). */
static bool server_announce(struct server *server, const cpu_set_t *allowed)
{
    const struct server_options *options = server->setup->options;
    struct log *log = server->setup->log;
    char why[WHY_BYTES] = "";
    struct banner banner = {
        .program = server->setup->program,
        .server_id = server->server_id,
        .server_name = server->name,
        .shards = server->shard_count,
    };
    if (options->streaming.on)
        streaming_banner_start(log, &options->streaming,
                               bytes_of(server->server_id, STREAMING_SERVER_ID_BYTES));
    banner_start(log, &banner, options);
    if (control_pid_file_write(&server->control, LOG_FATAL) != ERR_OK)
        return false;
    if (monitor_open(&server->control, why, sizeof why) != ERR_OK) {
        log_fatal(log, "%s", why);
        return false;
    }
    staples_announce(&server->control);
    /* With NATS elsewhere nobody connects here: no port for clients, servers or clusters (docs/streaming.md
     * 10). */
    bool elsewhere = options->streaming.on && options->streaming.outer.urls != NULL;
    if (!elsewhere && control_listen(&server->control, why, sizeof why) != ERR_OK) {
        log_fatal(log, "%s", why);
        return false;
    }
    control_info_make(&server->control, server->snapshot);
    if (!threads_start(server, allowed))
        return false;
    if (!elsewhere)
        banner_listening(log, options, server->control.port);
    peer_cache_configure(&server->control);
    banner_ready(log);
    if (service_start(&server->control, why, sizeof why) != ERR_OK) {
        log_fatal(log, "STREAM: Failed to start: %s", why);
        control_end(&server->control, 1);
        return true; /* to an orderly end: threads run already */
    }
    if (elsewhere)
        return true;
    if (gateways_start(&server->control, why, sizeof why) != ERR_OK ||
        cluster_start(&server->control, why, sizeof why) != ERR_OK) {
        log_fatal(log, "%s", why);
        return false;
    }
    return true;
}

/* Those that would end the process by default and mean nothing to a server: what others send by mistake, and
 * clocks that the parent has set (an alarm() goes on behind exec()). nats-server lives on at each as well.
 * SIGXFSZ: a file size limit is a full disk to the log, which counts what it loses. */
static void signals_ignore(void)
{
    static const int ignored[] = {SIGPIPE, SIGXFSZ, SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU, SIGIO, SIGPWR};
    for (size_t i = 0; i < COUNT_OF(ignored); i++)
        signal(ignored[i], SIG_IGN);
}

int server_run(const struct server_setup *setup)
{
    struct server server = {.setup = setup};
    sigset_t signals;
    cpu_set_t allowed;
    int exit_code = 1;
    control_signals(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* before any thread: they all inherit it */
    signals_ignore();
    CPU_ZERO(&allowed);
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0)
        CPU_SET(0, &allowed);
    if (server_open(&server) && server_announce(&server, &allowed)) {
        control_ports_file_write(&server.control);
        control_service_tell(&server.control, SERVICE_READY);
        exit_code = control_run(&server.control);
        control_ports_file_remove(&server.control);
        log_notice(setup->log, "Server Exiting..");
        server_close(&server);
        return exit_code;
    }
    /* A start that failed half-way: other threads may run already, and the process is to end anyway. */
    return exit_code;
}
