/* tests/interop/c_client/main.c - Debian's C client (libnats) against a NATS-compatible server.
 * Usage: c-client [--streaming] URL [SERVER_BINARY]. Prints a line per scenario, then "N passed, N failed, N
 * skipped"; the exit code is 0 only when nothing failed. --streaming: those of NATS Streaming. MYELIN_FLAGS
 * holds further words for the server that reconnect starts; INTEROP_TLS names a folder with certificates, and
 * then all connections use TLS. c-client --history URLS NAME is something else: history.c. */
#include "tests/interop/c_client/harness.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    SERVER_START_MS_MAX = 10000,
    SERVER_WORDS_MAX = 32, /* further words of MYELIN_FLAGS are refused */
    SERVER_FLAGS_BYTES = 1024,
    /* Below the ports that the kernel gives to outgoing connections: a client that tries to reconnect while
     * nobody listens may otherwise be connected to itself, and nobody can listen there any more. */
    PORT_LEAST = 10000,
    PORTS = 20000,
};

struct scenario {
    const char *name;
    void (*run)(struct run *run);
    bool needs_binary;
};

static const struct scenario plain_scenarios[] = {
    /* name                what                        needs a server of its own */
    {"publish_subscribe", scenario_publish_subscribe, false},
    {"auto_unsubscribe", scenario_auto_unsubscribe, false},
    {"queue_groups", scenario_queue_groups, false},
    {"request_reply", scenario_request_reply, false},
    {"no_responders", scenario_no_responders, false},
    {"headers", scenario_headers, false},
    {"drain", scenario_drain, false},
    {"drain_connection", scenario_drain_connection, false},
    {"mixed_bytes", scenario_mixed_bytes, false},
    {"reconnect", scenario_reconnect, true},
    {"logins", scenario_logins, true},
    {"permissions", scenario_permissions, true},
    {"accounts", scenario_accounts, true},
    {NULL, NULL, false},
};

static const struct scenario streaming_scenarios[] = {
    {"publish", scenario_stream_publish, false},
    {"start_positions", scenario_stream_start_positions, false},
    {"durable", scenario_stream_durable, false},
    {"queue_group", scenario_stream_queue_group, false},
    {"durable_queue_group", scenario_stream_durable_queue_group, false},
    {"redelivery", scenario_stream_redelivery, false},
    {"clients", scenario_stream_clients, false},
    {"restart", scenario_stream_restart, true},
    {NULL, NULL, false},
};

static bool port_accepts(uint16_t port);
static _Noreturn void server_exec(const char *binary, uint16_t port, const char *more);

int main(int argument_count, char **arguments)
{
    const struct scenario *scenario = plain_scenarios;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argument_count == 4 && strcmp(arguments[1], "--history") == 0) {
        return history_play(arguments[2], arguments[3]);
    }
    if (argument_count > 1 && strcmp(arguments[1], "--streaming") == 0) {
        scenario = streaming_scenarios;
        argument_count--;
        arguments++;
    }
    if (argument_count < 2 || argument_count > 3) {
        fprintf(stderr, "usage: c-client [--streaming] URL [SERVER_BINARY]\n");
        return 2;
    }
    struct run run = {.url = arguments[1], .server_binary = argument_count == 3 ? arguments[2] : NULL};
    int passed = 0;
    int failed = 0;
    int skipped = 0;
    for (; scenario->name != NULL; scenario++) {
        if (scenario->needs_binary && run.server_binary == NULL) {
            printf("skipped %s: no server binary was given\n", scenario->name);
            skipped++;
            continue;
        }
        run.scenario = scenario->name;
        run.failures = 0;
        int64_t started_ms = now_ms();
        scenario->run(&run);
        printf("%s %s (%lld ms)\n", run.failures == 0 ? "passed" : "FAILED", scenario->name,
               (long long)(now_ms() - started_ms));
        passed += run.failures == 0;
        failed += run.failures != 0;
    }
    nats_Close();
    printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed == 0 ? 0 : 1;
}

bool run_expect(struct run *run, bool condition, const char *text, const char *file, int line)
{
    if (!condition) {
        fprintf(stderr, "%s:%d: %s: expected %s\n", file, line, run->scenario, text);
        run->failures++;
    }
    return condition;
}

bool run_expect_status(struct run *run, natsStatus got, natsStatus wanted, const char *text, const char *file,
                       int line)
{
    if (got != wanted) {
        fprintf(stderr, "%s:%d: %s: %s: %s, expected %s\n", file, line, run->scenario, text,
                natsStatus_GetText(got), natsStatus_GetText(wanted));
        run->failures++;
    }
    return got == wanted;
}

natsStatus options_secure(natsOptions *options)
{
    enum { PATH_BYTES = 512 };
    char authority[PATH_BYTES];
    char certificate[PATH_BYTES];
    char key[PATH_BYTES];
    const char *folder = getenv("INTEROP_TLS");
    if (folder == NULL) {
        return NATS_OK;
    }
    snprintf(authority, sizeof(authority), "%s/ca.pem", folder);
    snprintf(certificate, sizeof(certificate), "%s/client.pem", folder);
    snprintf(key, sizeof(key), "%s/client.key", folder);
    natsStatus status = natsOptions_SetSecure(options, true);
    if (status == NATS_OK) {
        status = natsOptions_LoadCATrustedCertificates(options, authority);
    }
    if (status == NATS_OK) {
        status = natsOptions_LoadCertificatesChain(options, certificate, key);
    }
    return status;
}

natsStatus client_connect(natsConnection **connection, const char *url)
{
    natsOptions *options = NULL;
    natsStatus status = natsOptions_Create(&options);
    if (status == NATS_OK) {
        status = natsOptions_SetURL(options, url);
    }
    if (status == NATS_OK) {
        status = options_secure(options);
    }
    if (status == NATS_OK) {
        status = natsConnection_Connect(connection, options);
    }
    natsOptions_Destroy(options);
    return status;
}

uint16_t port_free(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int tries = 0; tries < PORTS; tries++) {
        uint16_t port = (uint16_t)(PORT_LEAST + (getpid() + tries * 61) % PORTS);
        int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (listener < 0) {
            return 0;
        }
        address.sin_port = htons(port);
        bool free = bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0;
        close(listener);
        if (free) {
            return port;
        }
    }
    return 0;
}

pid_t server_start(const char *binary, uint16_t port, const char *more)
{
    pid_t server = fork();
    if (server == 0) {
        server_exec(binary, port, more);
    }
    if (server < 0) {
        fprintf(stderr, "fork: %s\n", strerror(errno));
        return -1;
    }
    int64_t give_up_ms = now_ms() + SERVER_START_MS_MAX;
    while (now_ms() < give_up_ms) {
        if (port_accepts(port)) {
            return server;
        }
        if (waitpid(server, NULL, WNOHANG) == server) {
            fprintf(stderr, "%s ended at once\n", binary);
            return -1;
        }
        sleep_ms(20);
    }
    fprintf(stderr, "%s does not accept on port %d after %d ms\n", binary, port, SERVER_START_MS_MAX);
    server_kill(server);
    return -1;
}

void server_kill(pid_t server)
{
    if (server > 0) {
        kill(server, SIGKILL);
        waitpid(server, NULL, 0);
    }
}

int64_t now_ms(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void sleep_ms(int milliseconds)
{
    struct timespec pause = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
    nanosleep(&pause, NULL);
}

static bool port_accepts(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool accepts = client >= 0 && connect(client, (struct sockaddr *)&address, sizeof(address)) == 0;
    if (client >= 0) {
        close(client);
    }
    return accepts;
}

/* In the child. It dies with its parent, so that a test run that is killed leaves nothing behind. */
static _Noreturn void server_exec(const char *binary, uint16_t port, const char *more)
{
    char port_text[8];
    char flags[SERVER_FLAGS_BYTES];
    char *words[SERVER_WORDS_MAX + 1];
    size_t word_count = 0;
    const char *given = getenv("MYELIN_FLAGS");

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    snprintf(port_text, sizeof(port_text), "%d", port);
    snprintf(flags, sizeof(flags), "%s %s", given == NULL ? "" : given, more);
    words[word_count++] = (char *)(uintptr_t)binary;
    words[word_count++] = (char[]){"-a"};
    words[word_count++] = (char[]){"127.0.0.1"};
    words[word_count++] = (char[]){"-p"};
    words[word_count++] = port_text;
    char *rest = NULL;
    for (char *word = strtok_r(flags, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        if (word_count == SERVER_WORDS_MAX) {
            fprintf(stderr, "MYELIN_FLAGS has too many words\n");
            _exit(126);
        }
        words[word_count++] = word;
    }
    words[word_count] = NULL;
    execv(binary, words);
    fprintf(stderr, "%s: %s\n", binary, strerror(errno));
    _exit(127);
}
