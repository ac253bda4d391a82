/* bench/options.h - the command line of myelin-bench: a command, then options, all in one table.
 * In the flow: main() -> options_parse() -> the command. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "bench/failure.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum command {
    COMMAND_HELP,
    COMMAND_PUB,
    COMMAND_SUB,
    COMMAND_PUBSUB,
    COMMAND_REQUEST,
    COMMAND_REPLY,
    COMMAND_RELAY_FLOOR,
    COMMAND_IDLE,
    COMMAND_SUBS,
    COMMAND_CONNECT,
    COMMAND_STAN,
    COMMAND_STAN_PUB,
    COMMAND_STAN_SUB,
    COMMAND_LOG_FLOOR,
    COMMANDS,
};

enum {
    OPTION_CONNECTIONS_MAX = 1000000,
    OPTION_SIZE_BYTES_MAX = 64 * 1024 * 1024, /* what nats-server can be told to allow */
    OPTION_SUBJECTS_MAX = 10000000,
    OPTION_IN_FLIGHT_MAX = 1000000,
    OPTION_HOST_BYTES = 256,
};

struct secure_context;

/* Texts belong to the argument vector. */
struct options {
    enum command command;
    const char *server;
    char host[OPTION_HOST_BYTES]; /* from `server` */
    char port[8];
    const char *user;     /* NULL: none */
    const char *pass;     /* NULL: none */
    const char *token;    /* NULL: none */
    const char *tls_ca;   /* NULL: the system's */
    const char *tls_cert; /* NULL: none */
    const char *tls_key;
    struct secure_context *secure; /* of --tls: made and freed by main(); NULL: in clear */
    const char *subject;
    const char *queue;      /* NULL: none */
    const char *cluster_id; /* of a streaming server */
    const char *durable;    /* NULL: none */
    const char *start;      /* as given; taken apart below */
    const char *dir;        /* log-floor's; NULL: none */
    uint64_t messages;
    uint64_t size_bytes;
    uint64_t publishers;
    uint64_t subscribers;
    uint64_t subjects;
    uint64_t in_flight;
    uint64_t max_in_flight;  /* messages that a streaming subscriber has not acknowledged yet */
    uint64_t start_sequence; /* of --start; 0: another start */
    uint64_t rate;           /* messages per second over all publishers; 0: as fast as it goes */
    uint64_t connections;
    uint64_t warmup;     /* messages before the measured ones */
    uint64_t pid;        /* the server's; 0: not told */
    uint64_t cpu;        /* OPTION_CPU_ANY: wherever */
    int64_t duration_ns; /* 0: until `messages` are through */
    int64_t timeout_ns;  /* without any progress */
    bool tls;
    bool insecure;
    bool headers;
    bool start_first;
    bool start_last;
    bool reserve;
    bool json;
    bool csv;
    bool quiet;
    bool messages_given;
};

#define OPTION_CPU_ANY UINT64_MAX

/* Fills `options` with defaults and what the arguments say. ERR_INVALID with a sentence. */
MUST_USE enum err options_parse(struct options *options, int argument_count, char *const *arguments,
                                struct failure *failure);

/* The name of a command as it is typed. */
const char *options_command_name(enum command command);

/* Prints all commands and options. */
void options_help(FILE *out);

#endif
