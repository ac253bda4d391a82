/* tests/server/soak_connection.c - the wire: connections that never block, what is written to them, and the
 * parser of what comes back. In the flow: soak.c -> connection_publish() ... -> output; connections_turn() ->
 * input -> message_received(). At the bound: an operation is only started where connection_has_room(); the
 * output never overflows. */
#include "tests/server/soak.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { WORDS_MAX = 6 };

static void output_text(struct soak_connection *connection, const char *format, ...) PRINTF_LIKE(2, 3);
static void output_bytes(struct soak_connection *connection, const void *bytes, size_t count);
static void output_flush(struct soak *soak, uint32_t slot);
static void input_read(struct soak *soak, uint32_t slot);
static void input_parse(struct soak *soak, uint32_t slot);
static size_t operation_parse(struct soak *soak, uint32_t slot, const uint8_t *start, size_t count);
static size_t message_parse(struct soak *soak, uint32_t slot, char *line, const uint8_t *start, size_t count);
static void pong_received(struct soak *soak, uint32_t slot);
static void connection_gone(struct soak *soak, uint32_t slot);

bool connection_open(struct soak *soak, uint32_t slot)
{
    struct soak_connection *connection = &soak->connections[slot];
    int descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0) {
        return false;
    }
    /* Blocking: on loopback a connect ends at once, and one that does not is a failure. */
    if (connect(descriptor, (struct sockaddr *)&soak->server, sizeof(soak->server)) != 0) {
        close(descriptor);
        return false;
    }
    connection->state = CONNECTION_OPEN;
    connection->descriptor = descriptor;
    connection->serial = ++soak->serials;
    connection->echo = random_below(&soak->random, 5) != 0;
    connection->greeted = false;
    connection->paused_until_ms = 0;
    connection->barrier = 0;
    connection->first_unconfirmed = -1;
    connection->last_unconfirmed = -1;
    connection->pings_sent = 0;
    connection->pings_answered = 0;
    connection->input_count = 0;
    connection->output_start = 0;
    connection->output_count = 0;
    memset(soak->last[slot], 0, sizeof(soak->last[slot]));
    for (uint32_t sid = 0; sid < SIDS; sid++) {
        connection->subscriptions[sid] = -1;
    }
    char login[64] = "";
    unsigned account = model_account(&soak->model, slot);
    if (soak->model.accounts > 0)
        snprintf(login, sizeof(login), "\"user\":\"u%u\",\"pass\":\"u%u\",", account, account);
    output_text(connection,
                "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,%s"
                "\"echo\":%s,\"name\":\"soak\",\"lang\":\"c\",\"version\":\"1\",\"protocol\":1}\r\n"
                "SUB _SOAK.%u.> %d\r\n",
                login, connection->echo ? "true" : "false", connection->serial, INBOX_SID);
    connection_ping(soak, slot);
    return true;
}

bool connection_has_room(const struct soak_connection *connection)
{
    return connection->state == CONNECTION_OPEN && connection->output_count < OUTPUT_BYTES / 2 &&
           connection->pings_sent - connection->pings_answered < PINGS_MAX;
}

void connection_ping(struct soak *soak, uint32_t slot)
{
    struct soak_connection *connection = &soak->connections[slot];
    connection->pings[connection->pings_sent++ % PINGS_MAX] = ++soak->model.tick;
    output_text(connection, "PING\r\n");
}

void connection_subscribe(struct soak *soak, uint32_t slot, uint16_t pattern, uint8_t group, uint32_t max)
{
    struct soak_model *model = &soak->model;
    struct soak_connection *connection = &soak->connections[slot];
    uint32_t sid = 0;
    while (sid < SIDS && connection->subscriptions[sid] >= 0) {
        sid++;
    }
    if (sid == SIDS || model->subscription_count == SUBSCRIPTIONS_MAX) {
        return;
    }
    connection->subscriptions[sid] = (int32_t)model->subscription_count;
    model->subscriptions[model->subscription_count++] = (struct soak_subscription){
        .sent = ++model->tick,
        .confirmed = TICK_NEVER,
        .end_sent = TICK_NEVER,
        .end_confirmed = TICK_NEVER,
        .connection = connection->serial,
        .max = max,
        .pattern = pattern,
        .group = group,
        .account = model_account(model, slot),
    };
    if (group == 0) {
        output_text(connection, "SUB %s %u\r\n", model->patterns[pattern], sid);
    } else {
        output_text(connection, "SUB %s group%u %u\r\n", model->patterns[pattern], group, sid);
    }
    if (max > 0) {
        output_text(connection, "UNSUB %u %u\r\n", sid, max);
    }
}

void connection_unsubscribe(struct soak *soak, uint32_t slot, uint32_t sid)
{
    struct soak_connection *connection = &soak->connections[slot];
    int32_t index = connection->subscriptions[sid];
    if (index < 0 || soak->model.subscriptions[index].end_sent != TICK_NEVER) {
        return;
    }
    soak->model.subscriptions[index].end_sent = ++soak->model.tick;
    output_text(connection, "UNSUB %u\r\n", sid);
}

void connection_publish(struct soak *soak, uint32_t slot, const struct soak_publication *publication)
{
    struct soak_model *model = &soak->model;
    struct soak_connection *connection = &soak->connections[slot];
    char reply[64] = "";
    char header[64];
    uint32_t number = model->publication_count++;
    struct soak_publication *p = &model->publications[number];
    *p = *publication;
    p->sent = ++model->tick;
    p->confirmed = TICK_NEVER;
    p->connection = connection->serial;
    p->slot = (uint16_t)slot;
    p->account = model_account(model, slot);
    p->echo = connection->echo;
    p->next = -1;
    if (connection->first_unconfirmed < 0) {
        connection->first_unconfirmed = (int32_t)number;
    } else {
        model->publications[connection->last_unconfirmed].next = (int32_t)number;
    }
    connection->last_unconfirmed = (int32_t)number;
    model->published++;

    if (p->reply) {
        (void)soak_reply(reply, sizeof(reply), p->connection, model->round, number);
    }
    if (p->header) {
        size_t header_count = soak_header(header, sizeof(header), model->round, number);
        output_text(connection, "HPUB %s %s %zu %zu\r\n%s", model->subjects[p->subject], reply, header_count,
                    header_count + p->size_bytes, header);
    } else {
        output_text(connection, "PUB %s %s %u\r\n", model->subjects[p->subject], reply, p->size_bytes);
    }
    output_bytes(connection, model_payload(model, model->round, number, p->size_bytes), p->size_bytes);
    output_text(connection, "\r\n");
}

void connection_close(struct soak *soak, uint32_t slot, bool cut)
{
    struct soak_model *model = &soak->model;
    struct soak_connection *connection = &soak->connections[slot];
    for (uint32_t i = 0; i < model->subscription_count; i++) {
        struct soak_subscription *s = &model->subscriptions[i];
        if (s->connection == connection->serial && s->end_confirmed == TICK_NEVER) {
            s->closed_round = model->round;
            /* What was confirmed before an answered PING has been read; the rest may be lost. */
            s->end_sent = s->end_sent < connection->barrier ? s->end_sent : connection->barrier;
        }
    }
    connection->paused_until_ms = 0;
    if (!cut) {
        output_flush(soak, slot);
    }
    if (connection->state != CONNECTION_OPEN) {
        return;
    }
    if (!cut && shutdown(connection->descriptor, SHUT_WR) == 0) {
        connection->state = CONNECTION_CLOSING; /* until the server has read all and closed */
        return;
    }
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(connection->descriptor, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    close(connection->descriptor);
    connection->state = CONNECTION_CLOSED;
}

void connections_turn(struct soak *soak, int wait_ms)
{
    struct pollfd polls[CONNECTIONS_MAX];
    int64_t now_ms = soak_now_ms();
    for (uint32_t slot = 0; slot < soak->connection_count; slot++) {
        const struct soak_connection *connection = &soak->connections[slot];
        bool reads = now_ms >= connection->paused_until_ms;
        bool writes = connection->state == CONNECTION_OPEN && connection->output_count > 0;
        polls[slot].fd = connection->state == CONNECTION_CLOSED ? -1 : connection->descriptor;
        polls[slot].events = (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0));
        polls[slot].revents = 0;
    }
    if (poll(polls, soak->connection_count, wait_ms) <= 0) {
        return;
    }
    for (uint32_t slot = 0; slot < soak->connection_count; slot++) {
        struct soak_connection *connection = &soak->connections[slot];
        if ((polls[slot].revents & POLLOUT) != 0 && connection->state == CONNECTION_OPEN) {
            output_flush(soak, slot);
        }
        if ((polls[slot].revents & (POLLIN | POLLHUP | POLLERR)) != 0 &&
            now_ms >= connection->paused_until_ms && connection->state != CONNECTION_CLOSED) {
            input_read(soak, slot);
        }
    }
}

int64_t soak_now_ms(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void output_text(struct soak_connection *connection, const char *format, ...)
{
    char line[512];
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    output_bytes(connection, line, (size_t)count);
}

static void output_bytes(struct soak_connection *connection, const void *bytes, size_t count)
{
    if (connection->output_start > 0 &&
        connection->output_start + connection->output_count + count > OUTPUT_BYTES) {
        memmove(connection->output, connection->output + connection->output_start, connection->output_count);
        connection->output_start = 0;
    }
    memcpy(connection->output + connection->output_start + connection->output_count, bytes, count);
    connection->output_count += count;
}

static void output_flush(struct soak *soak, uint32_t slot)
{
    struct soak_connection *connection = &soak->connections[slot];
    while (connection->output_count > 0) {
        ssize_t sent = send(connection->descriptor, connection->output + connection->output_start,
                            connection->output_count, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                model_fail(&soak->model, "connection %u: send: %s", connection->serial, strerror(errno));
                connection_gone(soak, slot);
            }
            return;
        }
        connection->output_start += (size_t)sent;
        connection->output_count -= (size_t)sent;
    }
    connection->output_start = 0;
}

static void input_read(struct soak *soak, uint32_t slot)
{
    struct soak_connection *connection = &soak->connections[slot];
    ssize_t count = recv(connection->descriptor, connection->input + connection->input_count,
                         INPUT_BYTES - connection->input_count, MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (count <= 0) {
        if (connection->state != CONNECTION_CLOSING) {
            model_fail(&soak->model, "connection %u: the server closed it", connection->serial);
        }
        connection_gone(soak, slot);
        return;
    }
    connection->input_count += (size_t)count;
    input_parse(soak, slot);
}

static void input_parse(struct soak *soak, uint32_t slot)
{
    struct soak_connection *connection = &soak->connections[slot];
    size_t start = 0;
    size_t used = 0;
    do {
        used = operation_parse(soak, slot, connection->input + start, connection->input_count - start);
        start += used;
    } while (used > 0 && connection->state != CONNECTION_CLOSED);
    connection->input_count -= start;
    memmove(connection->input, connection->input + start, connection->input_count);
    if (connection->input_count == INPUT_BYTES) {
        model_fail(&soak->model, "connection %u: an operation that does not end", connection->serial);
        connection_gone(soak, slot);
    }
}

/* How many bytes the operation at `start` has; 0 when it is not here yet. */
static size_t operation_parse(struct soak *soak, uint32_t slot, const uint8_t *start, size_t count)
{
    struct soak_connection *connection = &soak->connections[slot];
    char line[256]; /* what is cut off belongs to INFO, of which nothing is needed */
    const uint8_t *newline = memchr(start, '\n', count);
    if (newline == NULL) {
        return 0;
    }
    size_t line_bytes = (size_t)(newline - start) + 1;
    size_t kept = line_bytes < sizeof(line) ? line_bytes : sizeof(line) - 1;
    memcpy(line, start, kept);
    line[kept] = '\0';
    if (strncmp(line, "MSG ", 4) == 0 || strncmp(line, "HMSG ", 5) == 0) {
        size_t message_bytes = message_parse(soak, slot, line, start + line_bytes, count - line_bytes);
        return message_bytes == 0 ? 0 : line_bytes + message_bytes;
    }
    if (strcmp(line, "PONG\r\n") == 0) {
        pong_received(soak, slot);
    } else if (strcmp(line, "PING\r\n") == 0) {
        if (connection->state == CONNECTION_OPEN) {
            output_text(connection, "PONG\r\n");
        }
    } else if (strncmp(line, "INFO ", 5) == 0) {
        connection->greeted = true;
    } else {
        model_fail(&soak->model, "connection %u: the server said %s", connection->serial, line);
    }
    return line_bytes;
}

/* `start` is behind the line. The result counts the payload and its CR LF; 0 when they are not here yet. */
static size_t message_parse(struct soak *soak, uint32_t slot, char *line, const uint8_t *start, size_t count)
{
    struct soak_message message = {.reply = "", .header = start};
    char *words[WORDS_MAX + 1] = {NULL};
    size_t word_count = 0;
    char *rest = NULL;
    bool has_header = line[0] == 'H';
    for (char *word = strtok_r(line, " \r\n", &rest); word != NULL && word_count <= WORDS_MAX;
         word = strtok_r(NULL, " \r\n", &rest)) {
        words[word_count++] = word;
    }
    size_t least = has_header ? 5 : 4; /* with the operation's name; one more with a reply */
    if (word_count < least || word_count > least + 1) {
        model_fail(&soak->model, "connection %u: a message line of %zu words", soak->connections[slot].serial,
                   word_count);
        return 2;
    }
    size_t total = strtoul(words[word_count - 1], NULL, 10);
    if (count < total + 2) {
        return 0;
    }
    if (memcmp(start + total, "\r\n", 2) != 0) {
        model_fail(&soak->model, "connection %u: no CR LF behind the payload",
                   soak->connections[slot].serial);
    }
    message.subject = words[1];
    message.subject_count = strlen(words[1]);
    message.sid = (uint32_t)strtoul(words[2], NULL, 10);
    if (word_count > least) {
        message.reply = words[3];
        message.reply_count = strlen(words[3]);
    }
    message.header_count = has_header ? strtoul(words[word_count - 2], NULL, 10) : 0;
    if (message.header_count > total) {
        model_fail(&soak->model, "connection %u: a header larger than its message",
                   soak->connections[slot].serial);
        message.header_count = total;
    }
    message.payload = start + message.header_count;
    message.payload_count = total - message.header_count;
    message_received(soak, slot, &message);
    return total + 2;
}

/* All that the connection sent before that PING has taken effect. */
static void pong_received(struct soak *soak, uint32_t slot)
{
    struct soak_model *model = &soak->model;
    struct soak_connection *connection = &soak->connections[slot];
    if (connection->pings_answered == connection->pings_sent) {
        model_fail(model, "connection %u: a PONG without a PING", connection->serial);
        return;
    }
    uint64_t asked = connection->pings[connection->pings_answered++ % PINGS_MAX];
    uint64_t now = ++model->tick;
    if (connection->state == CONNECTION_OPEN) {
        connection->barrier = asked; /* of a closing one, the subscriptions' end is fixed already */
    }
    for (uint32_t sid = 0; sid < SIDS; sid++) {
        int32_t index = connection->subscriptions[sid];
        if (index < 0) {
            continue;
        }
        struct soak_subscription *s = &model->subscriptions[index];
        if (s->confirmed == TICK_NEVER && s->sent < asked) {
            s->confirmed = now;
        }
        if (s->closed_round == 0 && (s->end_sent < asked || soak_subscription_spent(s))) {
            soak_subscription_end(s, now);
            connection->subscriptions[sid] = -1;
        }
    }
    while (connection->first_unconfirmed >= 0 &&
           model->publications[connection->first_unconfirmed].sent < asked) {
        struct soak_publication *p = &model->publications[connection->first_unconfirmed];
        p->confirmed = now;
        connection->first_unconfirmed = p->next;
    }
}

static void connection_gone(struct soak *soak, uint32_t slot)
{
    struct soak_connection *connection = &soak->connections[slot];
    if (connection->state == CONNECTION_OPEN) {
        connection_close(soak, slot, true);
    } else {
        close(connection->descriptor);
        connection->state = CONNECTION_CLOSED;
    }
}
