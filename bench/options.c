/* bench/options.c - the table of commands and options behind options.h, its parser and its help. */
#include "bench/options.h"

#include "core/base/clock.h"

#include <string.h>

enum option_kind { OPTION_FLAG, OPTION_COUNT, OPTION_SECONDS, OPTION_TEXT };

#define FOR(command) (1u << COMMAND_##command)
#define FOR_ALL ((1u << COMMANDS) - 1)
#define FOR_SERVER (FOR_ALL & ~(FOR(RELAY_FLOOR) | FOR(LOG_FLOOR)))
#define FOR_STAN_PUB (FOR(STAN) | FOR(STAN_PUB))
#define FOR_STAN_SUB (FOR(STAN) | FOR(STAN_SUB))
#define FOR_STAN (FOR_STAN_PUB | FOR_STAN_SUB)
#define FOR_PUBLISHERS                                                                                       \
    (FOR(PUB) | FOR(PUBSUB) | FOR(REQUEST) | FOR(RELAY_FLOOR) | FOR_STAN_PUB | FOR(LOG_FLOOR))
#define FOR_SUBSCRIBERS (FOR(SUB) | FOR(PUBSUB) | FOR(REQUEST) | FOR(REPLY) | FOR(RELAY_FLOOR) | FOR_STAN_SUB)
#define FOR_TRAFFIC (FOR_PUBLISHERS | FOR_SUBSCRIBERS)
#define INTO(member) offsetof(struct options, member)

static const struct {
    const char *name;
    const char *help;
} command_rows[COMMANDS] = {
    [COMMAND_HELP] = {"help", "this text"},
    [COMMAND_PUB] = {"pub", "publish; nobody needs to listen"},
    [COMMAND_SUB] = {"sub", "subscribe, and wait for --messages published by another process"},
    [COMMAND_PUBSUB] = {"pubsub", "publish and subscribe; every delivery is counted"},
    [COMMAND_REQUEST] = {"request",
                         "send requests; --subscribers of its own answer (0: another process does)"},
    [COMMAND_REPLY] = {"reply", "answer requests until --messages, --duration or an interrupt"},
    [COMMAND_RELAY_FLOOR] = {"relay-floor", "measure a bare relay that only reads and writes the same bytes"},
    [COMMAND_IDLE] = {"idle", "open --connections and read the server's memory for each (needs --pid)"},
    [COMMAND_CONNECT] = {"connect",
                         "open --connections one after the other, to the first PONG, and close each"},
    [COMMAND_SUBS] = {"subs", "make --messages distinct subscriptions and read the server's memory for each"},
    [COMMAND_STAN] = {"stan",
                      "publish to and subscribe at a NATS Streaming server; all is acknowledged and counted"},
    [COMMAND_STAN_PUB] = {"stan-pub", "publish to a streaming server; each message is acknowledged"},
    [COMMAND_STAN_SUB] = {"stan-sub", "take --messages that its channels have or get"},
    [COMMAND_LOG_FLOOR] = {"log-floor", "measure a bare append and group commit of the same bytes in --dir"},
};

static const struct option_row {
    const char *name;
    enum option_kind kind;
    size_t into;
    uint64_t least;
    uint64_t most;
    uint32_t commands;
    const char *help;
} option_rows[] = {
    {"server", OPTION_TEXT, INTO(server), 0, 0, FOR_SERVER, "HOST:PORT of the server (127.0.0.1:4222)"},
    {"user", OPTION_TEXT, INTO(user), 0, 0, FOR_SERVER, "user name"},
    {"pass", OPTION_TEXT, INTO(pass), 0, 0, FOR_SERVER, "password"},
    {"token", OPTION_TEXT, INTO(token), 0, 0, FOR_SERVER, "authorization token"},
    {"tls", OPTION_FLAG, INTO(tls), 0, 0, FOR_SERVER, "use TLS after INFO"},
    {"tlsca", OPTION_TEXT, INTO(tls_ca), 0, 0, FOR_SERVER, "PEM file of who signs the server's certificate"},
    {"tlscert", OPTION_TEXT, INTO(tls_cert), 0, 0, FOR_SERVER, "PEM file of a certificate of its own"},
    {"tlskey", OPTION_TEXT, INTO(tls_key), 0, 0, FOR_SERVER, "and of its key"},
    {"insecure", OPTION_FLAG, INTO(insecure), 0, 0, FOR_SERVER, "take any certificate of the server"},
    {"messages", OPTION_COUNT, INTO(messages), 1, UINT64_MAX / 2, FOR_TRAFFIC | FOR(SUBS),
     "messages, requests or subscriptions in all (1000000; request: 100000)"},
    {"size", OPTION_COUNT, INTO(size_bytes), 0, OPTION_SIZE_BYTES_MAX, FOR_TRAFFIC, "payload bytes (16)"},
    {"publishers", OPTION_COUNT, INTO(publishers), 1, OPTION_CONNECTIONS_MAX, FOR_PUBLISHERS,
     "connections that publish or send requests (1)"},
    {"subscribers", OPTION_COUNT, INTO(subscribers), 0, OPTION_CONNECTIONS_MAX, FOR_SUBSCRIBERS,
     "connections that subscribe or answer (1); the n-th takes subject n modulo --subjects"},
    {"subjects", OPTION_COUNT, INTO(subjects), 1, OPTION_SUBJECTS_MAX,
     FOR_SERVER & ~(FOR(IDLE) | FOR(CONNECT) | FOR(SUBS)), "distinct subjects or channels, used in turn (1)"},
    {"subject", OPTION_TEXT, INTO(subject), 0, 0, FOR_ALL & ~(FOR(IDLE) | FOR(CONNECT) | FOR(LOG_FLOOR)),
     "the subject, or what the subjects begin with (bench)"},
    {"queue", OPTION_TEXT, INTO(queue), 0, 0, FOR_SUBSCRIBERS & ~FOR(RELAY_FLOOR),
     "subscribe as this queue group"},
    {"headers", OPTION_FLAG, INTO(headers), 0, 0, FOR(PUB) | FOR(PUBSUB),
     "send each message with one header"},
    {"in-flight", OPTION_COUNT, INTO(in_flight), 1, OPTION_IN_FLIGHT_MAX,
     FOR(REQUEST) | FOR_STAN_PUB | FOR(LOG_FLOOR),
     "requests or messages under way per publisher (1; request with --rate: 10000; stan: 16384)"},
    {"cluster-id", OPTION_TEXT, INTO(cluster_id), 0, 0, FOR_STAN, "of the streaming server (test-cluster)"},
    {"max-in-flight", OPTION_COUNT, INTO(max_in_flight), 1, INT32_MAX, FOR_STAN_SUB,
     "messages that a streaming subscriber has not acknowledged yet (1024)"},
    {"start", OPTION_TEXT, INTO(start), 0, 0, FOR(STAN_SUB),
     "where in the channel: first, last, new, or a sequence (first)"},
    {"durable", OPTION_TEXT, INTO(durable), 0, 0, FOR_STAN_SUB, "subscribe as this durable"},
    {"dir", OPTION_TEXT, INTO(dir), 0, 0, FOR(LOG_FLOOR), "the folder for its file"},
    {"reserve", OPTION_FLAG, INTO(reserve), 0, 0, FOR(LOG_FLOOR),
     "write into a file that was filled and synced before: no growing"},
    {"rate", OPTION_COUNT, INTO(rate), 1, 1000000000, FOR(PUB) | FOR(PUBSUB) | FOR(REQUEST),
     "messages per second in all, whatever the server does; latency counts from when each was due"},
    {"duration", OPTION_SECONDS, INTO(duration_ns), 0, 0, FOR_TRAFFIC,
     "seconds to run instead of --messages"},
    {"warmup", OPTION_COUNT, INTO(warmup), 0, UINT64_MAX / 2, FOR_PUBLISHERS & ~FOR(LOG_FLOOR),
     "messages sent before the measured ones (0)"},
    {"connections", OPTION_COUNT, INTO(connections), 1, OPTION_CONNECTIONS_MAX, FOR(IDLE) | FOR(CONNECT),
     "connections (1000)"},
    {"timeout", OPTION_SECONDS, INTO(timeout_ns), 0, 0, FOR_ALL,
     "seconds without progress that fail the run (10)"},
    {"pid", OPTION_COUNT, INTO(pid), 1, INT32_MAX, FOR_SERVER,
     "the server's process id: report its CPU time and memory"},
    {"cpu", OPTION_COUNT, INTO(cpu), 0, 1023, FOR_ALL, "run the generator on this CPU only"},
    {"json", OPTION_FLAG, INTO(json), 0, 0, FOR_ALL, "print one JSON object"},
    {"csv", OPTION_FLAG, INTO(csv), 0, 0, FOR_ALL, "print a line of names and a line of values"},
    {"quiet", OPTION_FLAG, INTO(quiet), 0, 0, FOR_ALL, "no progress"},
};

static bool command_parse(const char *word, enum command *command);
static void defaults_set(struct options *options);
static const struct option_row *row_find(const char *argument, const char **value);
static enum err value_parse(struct options *options, const struct option_row *row, const char *value,
                            struct failure *failure);
static bool count_parse(const char *digits, uint64_t *count);
static bool seconds_parse(const char *digits, int64_t *ns);
static enum err server_split(struct options *options, struct failure *failure);
static enum err start_split(struct options *options, struct failure *failure);
static enum err options_check(const struct options *options, struct failure *failure);

enum err options_parse(struct options *options, int argument_count, char *const *arguments,
                       struct failure *failure)
{
    *options = (struct options){0};
    if (argument_count < 2 || !command_parse(arguments[1], &options->command))
        return failure_set(failure, ERR_INVALID, "%s%s; `myelin-bench help` lists the commands",
                           argument_count < 2 ? "no command" : "unknown command ",
                           argument_count < 2 ? "" : arguments[1]);
    defaults_set(options);
    for (int i = 2; i < argument_count; i++) {
        const char *value = NULL;
        const struct option_row *row = row_find(arguments[i], &value);
        if (strcmp(arguments[i], "--help") == 0 || strcmp(arguments[i], "-h") == 0) {
            options->command = COMMAND_HELP;
            return ERR_OK;
        }
        if (row == NULL)
            return failure_set(failure, ERR_INVALID, "unknown option %s; `myelin-bench help` lists them",
                               arguments[i]);
        if ((row->commands & (1u << options->command)) == 0)
            return failure_set(failure, ERR_INVALID, "--%s is of no use to %s", row->name,
                               options_command_name(options->command));
        if (row->kind != OPTION_FLAG && value == NULL) {
            if (i + 1 == argument_count)
                return failure_set(failure, ERR_INVALID, "--%s needs a value", row->name);
            value = arguments[++i];
        }
        enum err err = value_parse(options, row, value, failure);
        if (err != ERR_OK)
            return err;
    }
    enum err err = server_split(options, failure);
    if (err == ERR_OK && options->start != NULL)
        err = start_split(options, failure);
    return err == ERR_OK ? options_check(options, failure) : err;
}

const char *options_command_name(enum command command)
{
    return command_rows[command].name;
}

void options_help(FILE *out)
{
    fprintf(out,
            "myelin-bench: load for any NATS server\n\nusage: myelin-bench COMMAND [--option value]...\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-14s%s\n", command_rows[i].name, command_rows[i].help);
    fprintf(out, "\noptions (defaults in brackets):\n\n");
    for (size_t i = 0; i < COUNT_OF(option_rows); i++)
        fprintf(out, "  --%-12s%s\n", option_rows[i].name, option_rows[i].help);
    fprintf(out,
            "\nFor example, 10 publishers to 100 subscribers on 10 subjects:\n"
            "  myelin-bench pubsub --publishers 10 --subscribers 100 --subjects 10 --size 128 --pid PID\n"
            "The columns of the result are explained in docs/benchmarks.md.\n");
}

static bool command_parse(const char *word, enum command *command)
{
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        word = "help";
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(word, command_rows[i].name) == 0) {
            *command = (enum command)i;
            return true;
        }
    }
    return false;
}

static void defaults_set(struct options *options)
{
    options->server = "127.0.0.1:4222";
    options->subject = "bench";
    options->cluster_id = "test-cluster";
    options->max_in_flight = 1024;
    options->start_first = options->command == COMMAND_STAN_SUB;
    options->messages = options->command == COMMAND_REQUEST ? 100000 : 1000000;
    options->size_bytes = 16;
    options->publishers = 1;
    options->subscribers = 1;
    options->subjects = 1;
    options->connections = 1000;
    options->cpu = OPTION_CPU_ANY;
    options->timeout_ns = 10 * NS_PER_SECOND;
}

/* `--name value` or `--name=value`; *value is set for the second form only. */
static const struct option_row *row_find(const char *argument, const char **value)
{
    if (strncmp(argument, "--", 2) != 0)
        return NULL;
    const char *name = argument + 2;
    const char *equals = strchr(name, '=');
    size_t name_count = equals == NULL ? strlen(name) : (size_t)(equals - name);
    for (size_t i = 0; i < COUNT_OF(option_rows); i++) {
        const struct option_row *row = &option_rows[i];
        if (strlen(row->name) == name_count && memcmp(row->name, name, name_count) == 0) {
            *value = equals == NULL ? NULL : equals + 1;
            return row;
        }
    }
    return NULL;
}

static enum err value_parse(struct options *options, const struct option_row *row, const char *value,
                            struct failure *failure)
{
    void *into = (char *)options + row->into;
    switch (row->kind) {
    case OPTION_FLAG:
        if (value != NULL)
            return failure_set(failure, ERR_INVALID, "--%s takes no value", row->name);
        *(bool *)into = true;
        return ERR_OK;
    case OPTION_COUNT: {
        uint64_t count = 0;
        if (!count_parse(value, &count) || count < row->least || count > row->most)
            return failure_set(failure, ERR_INVALID, "--%s must be a whole number from %llu to %llu, not %s",
                               row->name, (unsigned long long)row->least, (unsigned long long)row->most,
                               value);
        *(uint64_t *)into = count;
        if (row->into == INTO(messages))
            options->messages_given = true;
        return ERR_OK;
    }
    case OPTION_SECONDS:
        if (!seconds_parse(value, into))
            return failure_set(failure, ERR_INVALID, "--%s must be seconds above 0, such as 5 or 0.5, not %s",
                               row->name, value);
        return ERR_OK;
    case OPTION_TEXT:
        if (value[0] == '\0')
            return failure_set(failure, ERR_INVALID, "--%s must not be empty", row->name);
        *(const char **)into = value;
        return ERR_OK;
    }
    return failure_set(failure, ERR_INVALID, "--%s cannot be read", row->name);
}

static bool count_parse(const char *digits, uint64_t *count)
{
    uint64_t value = 0;
    size_t length = strlen(digits);
    if (length == 0 || length > 18) /* 18 digits fit into 64 bits */
        return false;
    for (size_t i = 0; i < length; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(digits[i] - '0');
    }
    *count = value;
    return true;
}

/* Whole seconds with up to nine decimals. */
static bool seconds_parse(const char *digits, int64_t *ns)
{
    int64_t value = 0;
    int64_t unit = NS_PER_SECOND; /* of the digit that comes next, once a point was seen */
    bool point = false;
    bool any = false;
    for (const char *at = digits; *at != '\0'; at++) {
        if (*at == '.' && !point) {
            point = true;
            continue;
        }
        if (*at < '0' || *at > '9' || value > 100000000LL * NS_PER_SECOND)
            return false;
        any = true;
        if (point) {
            unit /= 10;
            value += (*at - '0') * unit;
        } else {
            value = value * 10 + (*at - '0') * NS_PER_SECOND;
        }
    }
    *ns = value;
    return any && value > 0;
}

/* HOST, HOST:PORT, [IPV6]:PORT, with an optional nats:// in front. */
static enum err server_split(struct options *options, struct failure *failure)
{
    static const char scheme[] = "nats://";
    const char *host = options->server;
    if (strncmp(host, scheme, sizeof(scheme) - 1) == 0)
        host += sizeof(scheme) - 1;
    const char *host_end = NULL;
    const char *port = "4222";
    if (*host == '[') {
        host++;
        host_end = strchr(host, ']');
        if (host_end != NULL && host_end[1] == ':')
            port = host_end + 2;
    } else {
        host_end = strrchr(host, ':');
        if (host_end != NULL)
            port = host_end + 1;
        else
            host_end = host + strlen(host);
    }
    uint64_t number = 0;
    if (host_end == NULL || host_end == host || (size_t)(host_end - host) >= sizeof(options->host) ||
        !count_parse(port, &number) || number < 1 || number > 65535)
        return failure_set(failure, ERR_INVALID, "--server must be HOST:PORT, not %s", options->server);
    memcpy(options->host, host, (size_t)(host_end - host));
    (void)snprintf(options->port, sizeof(options->port), "%u", (unsigned)number);
    return ERR_OK;
}

static enum err start_split(struct options *options, struct failure *failure)
{
    options->start_first = strcmp(options->start, "first") == 0;
    options->start_last = strcmp(options->start, "last") == 0;
    if (options->start_first || options->start_last || strcmp(options->start, "new") == 0)
        return ERR_OK;
    if (count_parse(options->start, &options->start_sequence) && options->start_sequence > 0)
        return ERR_OK;
    return failure_set(failure, ERR_INVALID, "--start must be first, last, new or a sequence, not %s",
                       options->start);
}

/* What no single row can know. */
static enum err options_check(const struct options *options, struct failure *failure)
{
    if (options->json && options->csv)
        return failure_set(failure, ERR_INVALID, "--json and --csv exclude each other");
    if (options->duration_ns > 0 && options->messages_given)
        return failure_set(failure, ERR_INVALID, "--duration and --messages exclude each other");
    if (options->duration_ns > 0 && options->command == COMMAND_SUB)
        return failure_set(failure, ERR_INVALID, "sub ends with its last message; --duration cannot end it");
    if (options->duration_ns > 0 && options->command == COMMAND_STAN_SUB)
        return failure_set(failure, ERR_INVALID,
                           "stan-sub ends with its last message; --duration cannot end it");
    if (options->command == COMMAND_LOG_FLOOR && (options->dir == NULL || options->size_bytes == 0))
        return failure_set(failure, ERR_INVALID, "log-floor needs --dir and a --size above 0");
    if (strlen(options->cluster_id) > 128 || (options->durable != NULL && strlen(options->durable) > 128))
        return failure_set(failure, ERR_INVALID, "--cluster-id and --durable may have 128 bytes");
    if (options->command == COMMAND_IDLE && options->pid == 0)
        return failure_set(failure, ERR_INVALID, "idle needs the server's --pid");
    bool of_tls = options->tls_ca != NULL || options->tls_cert != NULL || options->insecure;
    if (of_tls && !options->tls)
        return failure_set(failure, ERR_INVALID, "--tlsca, --tlscert, --tlskey and --insecure need --tls");
    if ((options->tls_cert == NULL) != (options->tls_key == NULL))
        return failure_set(failure, ERR_INVALID, "--tlscert and --tlskey go together");
    if (options->command == COMMAND_RELAY_FLOOR && options->subscribers % options->publishers != 0)
        return failure_set(failure, ERR_INVALID,
                           "relay-floor needs --subscribers to be a multiple of --publishers");
    for (const char *at = options->subject; *at != '\0'; at++)
        if (*at <= ' ' || *at == '*' || *at == '>')
            return failure_set(failure, ERR_INVALID, "--subject must have no blanks and no wildcards");
    for (const char *at = options->queue == NULL ? "" : options->queue; *at != '\0'; at++)
        if (*at <= ' ')
            return failure_set(failure, ERR_INVALID, "--queue must have no blanks");
    if (strlen(options->subject) > 512 || (options->queue != NULL && strlen(options->queue) > 512))
        return failure_set(failure, ERR_INVALID, "--subject and --queue may have 512 bytes");
    return ERR_OK;
}
