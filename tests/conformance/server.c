/* tests/conformance/server.c - the process under test; see server.h. */
#include "tests/conformance/server.h"

#include "core/base/clock.h"
#include "core/base/random.h"
#include "tests/conformance/peer.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    /* Below the range from which the kernel takes ports for clients, or a client could sit on the server's.
     */
    PORT_FIRST = 10000,
    PORT_COUNT = 20000,
    PORT_ATTEMPTS = 100,
    START_PATIENCE_MS = 10000,
    START_POLL_MS = 5
};

static enum err server_choose_ports(struct server *server);
static bool port_is_free(uint16_t port);
static enum err server_launch(struct server *server, const char *program, int files);
static enum err server_wait_until_ready(struct server *server);

enum err server_start(struct server *server, const char *program, const char *directory,
                      const char *configuration, int files)
{
    *server = (struct server){0};
    int written = snprintf(server->directory, sizeof server->directory, "%s", directory);
    if (written < 0 || (size_t)written >= sizeof server->directory || mkdir(directory, 0700) != 0)
        return ERR_SYSTEM;
    enum err err = ERR_SYSTEM;
    /* A port that was free a moment ago may be taken by now: hence attempts. */
    for (int attempt = 0; attempt < SERVER_START_ATTEMPTS; attempt++) {
        err = server_choose_ports(server);
        if (err == ERR_OK)
            err = server_rewrite(server, configuration);
        if (err == ERR_OK)
            err = server_launch(server, program, files);
        if (err == ERR_OK)
            err = server_wait_until_ready(server);
        if (err == ERR_OK)
            return ERR_OK;
        server_stop(server);
    }
    return err;
}

enum err server_rewrite(const struct server *server, const char *configuration)
{
    char path[SERVER_PATH_BYTES + 16];
    (void)snprintf(path, sizeof path, "%s/server.conf", server->directory);
    struct buffer content = {0};
    enum err err = template_expand(configuration, &server->values, &content);
    if (err == ERR_OK) {
        FILE *file = fopen(path, "w");
        bool ok = file != NULL &&
                  (content.count == 0 || fwrite(content.data, 1, content.count, file) == content.count);
        if (file != NULL && fclose(file) != 0)
            ok = false;
        err = ok ? ERR_OK : ERR_SYSTEM;
    }
    buffer_close(&content);
    return err;
}

int server_reload_count(const struct server *server)
{
    char path[SERVER_PATH_BYTES + 16];
    char *line = NULL;
    size_t line_bytes = 0;
    int count = 0;
    (void)snprintf(path, sizeof path, "%s/server.log", server->directory);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    while (getline(&line, &line_bytes, file) > 0) {
        count += strstr(line, "Reloaded server configuration") != NULL ||
                 strstr(line, "Failed to reload server configuration") != NULL;
    }
    free(line); /* getline() has it from malloc */
    (void)fclose(file);
    return count;
}

bool server_alive(struct server *server)
{
    if (server->pid == 0)
        return false;
    if (waitpid(server->pid, &server->exit_status, WNOHANG) == 0)
        return true;
    server->pid = 0;
    return false;
}

bool server_exits(struct server *server, int64_t deadline_ns)
{
    while (server_alive(server)) {
        if (clock_monotonic_ns() >= deadline_ns)
            return false;
        peer_pause(START_POLL_MS);
    }
    return true;
}

int server_files_open(const struct server *server)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%d/fd", (int)server->pid);
    DIR *directory = opendir(path);
    if (directory == NULL)
        return 0;
    int count = 0;
    while (readdir(directory) != NULL)
        count++;
    (void)closedir(directory);
    return count - 2; /* "." and ".." */
}

void server_stop(struct server *server)
{
    if (server->pid == 0)
        return;
    (void)kill(server->pid, SIGKILL);
    while (waitpid(server->pid, &server->exit_status, 0) < 0 && errno == EINTR) {
    }
    server->pid = 0;
}

static enum err server_choose_ports(struct server *server)
{
    for (int i = 0; i < SERVER_PORTS; i++) {
        uint16_t port = 0;
        for (int attempt = 0; attempt < PORT_ATTEMPTS && port == 0; attempt++) {
            uint32_t number = 0;
            if (random_secure(&number, sizeof number) != ERR_OK)
                return ERR_SYSTEM;
            uint16_t candidate = (uint16_t)(PORT_FIRST + number % PORT_COUNT);
            if (port_is_free(candidate))
                port = candidate;
        }
        if (port == 0)
            return ERR_FULL;
        server->values.ports[i] = port;
    }
    return ERR_OK;
}

static bool port_is_free(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool is_free = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return is_free;
}

static enum err server_launch(struct server *server, const char *program, int files)
{
    char configuration[SERVER_PATH_BYTES + 16];
    char log[SERVER_PATH_BYTES + 16];
    char port[8];
    (void)snprintf(configuration, sizeof configuration, "%s/server.conf", server->directory);
    (void)snprintf(log, sizeof log, "%s/server.log", server->directory);
    (void)snprintf(port, sizeof port, "%u", server->values.ports[0]);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0)
        return ERR_SYSTEM;
    if (pid > 0) {
        server->pid = pid;
        return ERR_OK;
    }
    int output = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (output < 0 || dup2(output, STDOUT_FILENO) < 0 || dup2(output, STDERR_FILENO) < 0)
        _exit(126);
    /* Whoever interrupts the suite leaves no servers behind. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(126);
    /* Both limits: some servers raise the soft one to the hard one. */
    const struct rlimit few = {.rlim_cur = (rlim_t)files, .rlim_max = (rlim_t)files};
    if (files > 0 && setrlimit(RLIMIT_NOFILE, &few) != 0)
        _exit(126);
    execl(program, program, "-c", configuration, "-a", "127.0.0.1", "-p", port, (char *)NULL);
    _exit(127);
}

static enum err server_wait_until_ready(struct server *server)
{
    int64_t deadline_ns = peer_deadline(START_PATIENCE_MS);
    while (clock_monotonic_ns() < deadline_ns) {
        if (!server_alive(server))
            return ERR_INVALID;
        struct peer peer;
        if (peer_connect(&peer, server->values.ports[0], 0) == ERR_OK) {
            /* With TLS first there would be no INFO, so its absence is no failure here. */
            (void)peer_expect_info(&peer, peer_deadline(1000));
            peer_leave(&peer);
            return ERR_OK;
        }
        peer_pause(START_POLL_MS);
    }
    return ERR_SYSTEM;
}
