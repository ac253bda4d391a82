/* shards/server.h - the process: builds the threads and what they share, runs the control core on the calling
 * thread, and takes everything down again. */
#ifndef SHARDS_SERVER_H
#define SHARDS_SERVER_H

#include "shards/options.h"

struct log;

struct server_setup {
    struct server_options *options; /* taken over: freed with its snapshot */
    struct log *log;
    const char *program; /* basename of argv[0] */
    int argument_count;  /* for reload */
    char **arguments;
};

/* Runs until a signal ends it; the exit code. Thread: the main thread. */
int server_run(const struct server_setup *setup);

#endif
