/* tests/server/soak.c - the soak's command line and its random choices.
 * Usage: soak --server HOST:PORT [--connections N] [--operations N] [--seed S] [--seconds MAX]
 *             [--strict-queues] [--accounts N] [--sabotage KIND]
 * In the flow: main() -> rounds of operations_run() -> round_settle() -> model_judge().
 *
 * Prints the seed, figures, and "N passed, N failed" (verdicts); the exit code is 0 when all passed, 1 when
 * not, 2 when it was called wrongly or could not connect. --sabotage spoils the soak's own books in one way,
 * to show that it would notice a server that does so: such a run must fail. A seed repeats the choices, not
 * the server's timing. */
#include "tests/server/soak.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    SETTLE_MS_MAX = 20000, /* a server that does not answer for so long has failed */
    SETTLE_PINGS = 3,      /* a queue choice may be repeated on another thread, which takes one more PING */
    WATCHDOG_SECONDS = 60, /* beyond --seconds */
    PAUSE_MS_MAX = 300,    /* of a slow reader; far below any write deadline */
    BURST_MAX = 40,        /* publications in a row on one subject, of one size */
    BATCH_MAX = 24,        /* operations between two looks at the sockets */
    SUBSCRIPTIONS_ADDED_MAX = 1600, /* per round */
};

_Static_assert(SUBSCRIPTIONS_ADDED_MAX + 2 * CONNECTIONS_MAX * SIDS / 2 < SUBSCRIPTIONS_MAX,
               "what a round adds fits beside what lives on");

struct soak_options {
    uint64_t operations;
    uint64_t seconds;
};

static const char *const sabotage_names[SABOTAGES] = {
    [SABOTAGE_NONE] = "none",           [SABOTAGE_DROP] = "drop",
    [SABOTAGE_DUPLICATE] = "duplicate", [SABOTAGE_PAYLOAD] = "payload",
    [SABOTAGE_ORDER] = "order",         [SABOTAGE_STRANGER] = "stranger",
    [SABOTAGE_MEMBER] = "member",       [SABOTAGE_NO_RESPONDERS] = "no-responders",
};

static bool options_read(struct soak *soak, struct soak_options *options, int count, char **arguments);
static bool server_read(struct soak *soak, char *host_port);
static enum sabotage sabotage_read(const char *name);
static void summary_print(const struct soak *soak);
static bool soak_run(struct soak *soak, const struct soak_options *options);
static bool operations_run(struct soak *soak, const struct soak_options *options, int64_t until_ms);
static bool operation_run(struct soak *soak);
static void operation_publish(struct soak *soak, uint32_t slot);
static void operation_subscribe(struct soak *soak, uint32_t slot);
static bool round_settle(struct soak *soak);
static bool round_quiet(const struct soak *soak);
static void round_next(struct soak *soak);

int main(int argument_count, char **arguments)
{
    struct soak_options options = {.operations = 200000, .seconds = 20};
    struct soak *soak = calloc(1, sizeof(*soak));
    if (soak == NULL) {
        fprintf(stderr, "soak: out of memory\n");
        return 2;
    }
    soak->connection_count = 40;
    soak->model.seed = (uint64_t)time(NULL) * 1000003 + (uint64_t)getpid();
    if (!options_read(soak, &options, argument_count, arguments)) {
        fprintf(stderr, "usage: soak --server HOST:PORT [--connections N] [--operations N] [--seed S] "
                        "[--seconds MAX] [--strict-queues] [--accounts N] [--sabotage KIND]\n");
        free(soak);
        return 2;
    }
    alarm((unsigned)options.seconds + WATCHDOG_SECONDS);
    random_seed(&soak->random, soak->model.seed);
    model_init(&soak->model, &soak->random);
    printf("soak: seed %llu, %u connections\n", (unsigned long long)soak->model.seed, soak->connection_count);
    fflush(stdout);
    bool connected = soak_run(soak, &options);
    const struct soak_model *model = &soak->model;
    summary_print(soak);
    printf("%llu passed, %llu failed\n", (unsigned long long)model->passed,
           (unsigned long long)model->failed);
    int status = !connected ? 2 : model->failed > 0 || model->deliveries == 0 ? 1 : 0;
    free(soak);
    return status;
}

static void summary_print(const struct soak *soak)
{
    const struct soak_model *model = &soak->model;
    const struct {
        const char *name;
        uint64_t value;
    } rows[] = {
        {"rounds", model->round - 1},
        {"operations", soak->operations},
        {"connections made", soak->serials},
        {"publications", model->published},
        {"deliveries", model->deliveries},
        {"certain deliveries", model->certain_plain},
        {"certain queue choices", model->certain_groups},
        {"certain no-responders", model->certain_no_responders},
        {"lost to leaving members", model->lost_to_leavers},
        {"stragglers", model->stragglers},
    };
    printf("soak: seed %llu", (unsigned long long)model->seed);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        printf(", %llu %s", (unsigned long long)rows[i].value, rows[i].name);
    }
    printf("\n");
}

static bool options_read(struct soak *soak, struct soak_options *options, int count, char **arguments)
{
    static const struct option names[] = {
        {"server", required_argument, NULL, 's'},
        {"connections", required_argument, NULL, 'c'},
        {"operations", required_argument, NULL, 'o'},
        {"seed", required_argument, NULL, 'e'},
        {"seconds", required_argument, NULL, 't'},
        {"strict-queues", no_argument, NULL, 'q'},
        {"sabotage", required_argument, NULL, 'b'},
        {"accounts", required_argument, NULL, 'a'},
        {NULL, 0, NULL, 0},
    };
    bool good = true;
    bool server = false;
    int letter;
    while ((letter = getopt_long(count, arguments, "", names, NULL)) != -1) {
        switch (letter) {
        case 's':
            server = server_read(soak, optarg);
            break;
        case 'c':
            soak->connection_count = (uint32_t)strtoul(optarg, NULL, 10);
            good = good && soak->connection_count >= 2 && soak->connection_count <= CONNECTIONS_MAX;
            break;
        case 'o':
            options->operations = strtoull(optarg, NULL, 10);
            break;
        case 'e':
            soak->model.seed = strtoull(optarg, NULL, 10);
            break;
        case 't':
            options->seconds = strtoull(optarg, NULL, 10);
            good = good && options->seconds <= 7 * 24 * 3600;
            break;
        case 'a':
            soak->model.accounts = (uint32_t)strtoul(optarg, NULL, 10);
            good = good && soak->model.accounts >= 2 && soak->model.accounts <= ACCOUNTS_MAX;
            break;
        case 'q':
            soak->model.strict_queues = true;
            break;
        case 'b':
            soak->model.sabotage = sabotage_read(optarg);
            good = good && soak->model.sabotage != SABOTAGE_NONE;
            break;
        default:
            good = false;
        }
    }
    return good && server && optind == count;
}

static bool server_read(struct soak *soak, char *host_port)
{
    char *colon = strrchr(host_port, ':');
    if (colon == NULL) {
        return false;
    }
    *colon = '\0';
    unsigned long port = strtoul(colon + 1, NULL, 10);
    soak->server.sin_family = AF_INET;
    soak->server.sin_port = htons((uint16_t)port);
    return port > 0 && port <= UINT16_MAX && inet_pton(AF_INET, host_port, &soak->server.sin_addr) == 1;
}

static enum sabotage sabotage_read(const char *name)
{
    for (int kind = 0; kind < SABOTAGES; kind++) {
        if (strcmp(name, sabotage_names[kind]) == 0) {
            return (enum sabotage)kind;
        }
    }
    return SABOTAGE_NONE;
}

/* False when the server cannot be reached. */
static bool soak_run(struct soak *soak, const struct soak_options *options)
{
    int64_t until_ms = soak_now_ms() + (int64_t)options->seconds * 1000;
    bool settled = true;
    while (settled && soak->operations < options->operations && soak_now_ms() < until_ms) {
        if (!operations_run(soak, options, until_ms)) {
            fprintf(stderr, "soak: the server does not accept connections\n");
            return soak->model.round > 1; /* one that did before has failed, and that is counted */
        }
        settled = round_settle(soak);
        if (settled) {
            model_judge(&soak->model);
            round_next(soak);
        }
    }
    return true;
}

/* One round: until a table is nearly full. */
static bool operations_run(struct soak *soak, const struct soak_options *options, int64_t until_ms)
{
    const struct soak_model *model = &soak->model;
    uint32_t subscriptions_max = model->subscription_count + SUBSCRIPTIONS_ADDED_MAX;
    if (subscriptions_max > SUBSCRIPTIONS_MAX) {
        subscriptions_max = SUBSCRIPTIONS_MAX;
    }
    while (model->publication_count < PUBLICATIONS_MAX - BATCH_MAX &&
           model->subscription_count < subscriptions_max - BATCH_MAX &&
           soak->operations < options->operations && soak_now_ms() < until_ms) {
        uint32_t batch = 1 + random_below(&soak->random, BATCH_MAX);
        for (uint32_t i = 0; i < batch; i++) {
            if (!operation_run(soak)) {
                model_fail(&soak->model, "the server refused a connection");
                return false;
            }
        }
        connections_turn(soak, 0);
    }
    return true;
}

/* False when a connection could not be made. */
static bool operation_run(struct soak *soak)
{
    uint32_t slot = random_below(&soak->random, soak->connection_count);
    struct soak_connection *connection = &soak->connections[slot];
    soak->operations++;
    if (connection->state == CONNECTION_CLOSED) {
        return connection_open(soak, slot);
    }
    if (!connection_has_room(connection)) {
        connections_turn(soak, 1);
        return true;
    }
    uint32_t choice = random_below(&soak->random, 1000);
    if (choice < 600) {
        operation_publish(soak, slot);
    } else if (choice < 760) {
        operation_subscribe(soak, slot);
    } else if (choice < 860) {
        connection_unsubscribe(soak, slot, random_below(&soak->random, SIDS));
    } else if (choice < 985) {
        connection_ping(soak, slot);
    } else if (choice < 992) {
        connection->paused_until_ms = soak_now_ms() + random_below(&soak->random, PAUSE_MS_MAX);
    } else {
        connection_close(soak, slot, random_below(&soak->random, 3) == 0);
    }
    return true;
}

/* Small messages are the rule, and a few are large enough to be torn into many reads. */
static void operation_publish(struct soak *soak, uint32_t slot)
{
    static const struct {
        uint32_t share; /* of 1000 */
        uint32_t least_bytes;
        uint32_t most_bytes;
    } rows[] = {
        {150, 0, ID_BYTES}, {600, ID_BYTES, 400},           {200, 400, 5000},
        {40, 5000, 40000},  {10, 40000, PAYLOAD_BYTES_MAX},
    };
    struct random *random = &soak->random;
    uint32_t choice = random_below(random, 1000);
    size_t row = 0;
    while (choice >= rows[row].share) {
        choice -= rows[row++].share;
    }
    uint32_t size_bytes =
        rows[row].least_bytes + random_below(random, rows[row].most_bytes - rows[row].least_bytes + 1);
    bool reply = random_below(random, 4) == 0;
    struct soak_publication publication = {
        .subject = (uint16_t)random_below(random, SUBJECTS),
        .size_bytes = size_bytes,
        .reply = reply,
        .header = random_below(random, 4) == 0 || (size_bytes < ID_BYTES && !reply),
    };
    connection_publish(soak, slot, &publication);
    /* Equal control lines in a row take a way of their own through the server. */
    bool burst = !publication.reply && !publication.header && random_below(random, 4) == 0;
    for (uint32_t i = burst ? random_below(random, BURST_MAX) : 0; i > 0; i--) {
        if (!connection_has_room(&soak->connections[slot]) ||
            soak->model.publication_count >= PUBLICATIONS_MAX - BATCH_MAX)
            return;
        connection_publish(soak, slot, &publication);
    }
}

/* Half plain, half in groups; each eighth with a max. */
static void operation_subscribe(struct soak *soak, uint32_t slot)
{
    struct random *random = &soak->random;
    uint8_t group = random_below(random, 2) == 0 ? 0 : (uint8_t)(1 + random_below(random, GROUPS - 1));
    uint32_t max = random_below(random, 8) == 0 ? 1 + random_below(random, 12) : 0;
    if (model_imports(model_account(&soak->model, slot)))
        max = 0; /* it would not count what comes through the import */
    connection_subscribe(soak, slot, (uint16_t)random_below(random, PATTERNS), group, max);
}

/* Several PINGs on every connection, each answered before the next. False when the server does not answer. */
static bool round_settle(struct soak *soak)
{
    int64_t give_up_ms = soak_now_ms() + SETTLE_MS_MAX;
    for (uint32_t slot = 0; slot < soak->connection_count; slot++) {
        soak->connections[slot].paused_until_ms = 0;
    }
    for (int i = 0; i < SETTLE_PINGS; i++) {
        for (uint32_t slot = 0; slot < soak->connection_count; slot++) {
            if (soak->connections[slot].state == CONNECTION_OPEN &&
                soak->connections[slot].pings_sent - soak->connections[slot].pings_answered < PINGS_MAX) {
                connection_ping(soak, slot);
            }
        }
        while (!round_quiet(soak)) {
            if (soak_now_ms() >= give_up_ms) {
                model_fail(&soak->model, "the server did not answer all PINGs within %d ms", SETTLE_MS_MAX);
                return false;
            }
            connections_turn(soak, 10);
        }
    }
    return true;
}

static bool round_quiet(const struct soak *soak)
{
    for (uint32_t slot = 0; slot < soak->connection_count; slot++) {
        const struct soak_connection *connection = &soak->connections[slot];
        if (connection->state == CONNECTION_CLOSING ||
            (connection->state == CONNECTION_OPEN && connection->pings_answered != connection->pings_sent)) {
            return false;
        }
    }
    return true;
}

static void round_next(struct soak *soak)
{
    int32_t moved[SUBSCRIPTIONS_MAX];
    model_next_round(&soak->model, moved);
    for (uint32_t slot = 0; slot < soak->connection_count; slot++) {
        struct soak_connection *connection = &soak->connections[slot];
        connection->first_unconfirmed = -1;
        connection->last_unconfirmed = -1;
        for (uint32_t sid = 0; sid < SIDS; sid++) {
            if (connection->subscriptions[sid] >= 0) {
                connection->subscriptions[sid] = moved[connection->subscriptions[sid]];
            }
        }
    }
}
