/* tests/conformance/server.h - the server under test as a process: configuration file, free ports, start,
 * stop. Each runs in a folder of its own below the suite's temporary one and dies with the process that
 * started it. Place in the flow: runner.c and script.c -> server -> fork and exec. */
#ifndef TESTS_CONFORMANCE_SERVER_H
#define TESTS_CONFORMANCE_SERVER_H

#include "tests/conformance/template.h"

#include <sys/types.h>

enum { SERVER_PATH_BYTES = 512, SERVER_START_ATTEMPTS = 3 };

struct server {
    pid_t pid; /* 0 when none runs */
    int exit_status;
    struct template_values values; /* its ports; [0] is the client port */
    char directory[SERVER_PATH_BYTES];
};

/* `files` above 0 limits the process's descriptors. Chooses ports, writes the configuration (a template) and
 * waits until the client port answers. `directory` must not exist yet. On failure `server` is stopped again;
 * its output is in <directory>/server.log. ERR_SYSTEM, or ERR_INVALID when the server does not take the
 * configuration. */
MUST_USE enum err server_start(struct server *server, const char *program, const char *directory,
                               const char *configuration, int files);

/* Replaces the configuration file of a running server, with the ports it has. */
MUST_USE enum err server_rewrite(const struct server *server, const char *configuration);

/* How often its log says that a reload is over, done or refused. Both servers say so when the new
 * configuration is in force everywhere. */
int server_reload_count(const struct server *server);

/* Whether it still runs; `exit_status` is set when not. */
bool server_alive(struct server *server);

/* Waits for its end. */
bool server_exits(struct server *server, int64_t deadline_ns);

/* How many descriptors the process holds; 0 when that cannot be found out. */
int server_files_open(const struct server *server);

/* Kills it at once: nothing is tested about the end here. */
void server_stop(struct server *server);

#endif
