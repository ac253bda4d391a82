/* shards/streaming/alone.c - see alone.h. The two requests are written here by hand: the wire is made for a
 * service, which reads them. */
#include "shards/streaming/alone.h"

#include "core/base/clock.h"
#include "shards/control/control_internal.h"
#include "shards/streaming/machine.h"

#include <string.h>

enum { REQUEST_BYTES_MAX = 1024, ASKS = 10 };
#define ANSWER_NS (250 * NS_PER_MS)

/* A protobuf text field of less than 2^14 bytes; what does not fit is left out, and refused by who reads it.
 */
static size_t put_text(uint8_t *to, size_t at, uint8_t field, struct bytes value)
{
    if (at + value.count + 3 > REQUEST_BYTES_MAX)
        return at;
    to[at++] = (uint8_t)(field << 3 | 2);
    if (value.count >= 0x80)
        to[at++] = (uint8_t)(value.count | 0x80);
    to[at++] = (uint8_t)(value.count >= 0x80 ? value.count >> 7 : value.count);
    memcpy(to + at, value.data, value.count);
    return at + value.count;
}

static bool ask(struct control *control, const struct alone *alone, enum streaming_request_kind kind,
                struct bytes inbox)
{
    uint8_t request[REQUEST_BYTES_MAX];
    struct bytes id = text(control->snapshot->options->streaming.cluster_id);
    size_t count = put_text(request, 0, 1, id);
    if (inbox.count > 0)
        count = put_text(request, count, 2, inbox);
    struct bytes body = bytes_of(request, count);
    return desk_publish(control, 0, streaming_subject(alone->machine, kind), inbox, &body, 1) == 1;
}

static void known(struct control *control, struct alone *alone)
{
    alone->known = true;
    timers_cancel(&control->timers, &alone->timer);
}

static void answer_take(struct control *control, struct desk_listener *listener,
                        const struct desk_message *message)
{
    struct alone *alone = CONTAINER_OF(listener, struct alone, listener);
    if (alone->known || (message->nobody && (alone->asks_left > 0 || !alone->asked)))
        return;
    known(control, alone);
    if (message->nobody) {
        service_alone(control);
        return;
    }
    /* It took us for a client of that id, which shall not stay. */
    (void)ask(control, alone, STREAMING_REQUEST_CLOSE, (struct bytes){NULL, 0});
    log_fatal(control->log,
              "STREAM: Failed to start: discovered another streaming server with cluster ID \"%s\"",
              control->snapshot->options->streaming.cluster_id);
    control_end(control, 1);
}

bool alone_listen(struct control *control, struct alone *alone, const struct streaming *machine)
{
    struct random random;
    enum err err = ERR_OK;
    uint64_t seed = 0;
    if (random_secure(&seed, sizeof seed) != ERR_OK)
        return false;
    random_seed(&random, seed);
    memcpy(alone->inbox, ALONE_INBOX, sizeof ALONE_INBOX - 1);
    nuid_make(alone->inbox + sizeof ALONE_INBOX - 1, &random);
    alone->machine = machine;
    alone->listener.taker = answer_take;
    alone->timer.kind = CONTROL_TIMER_ALONE;
    return desk_listen(control, &alone->listener, bytes_of(alone->inbox, sizeof alone->inbox), &err);
}

/* The next time, of those that are left. A mailbox that was full has room when the timer is due. */
static void ask_once(struct control *control, struct alone *alone)
{
    alone->asked =
        ask(control, alone, STREAMING_REQUEST_CONNECT, bytes_of(alone->inbox, sizeof alone->inbox));
    int64_t wait_ns = alone->asked ? alone->wait_ns : ANSWER_NS / ASKS;
    if (timers_set(&control->timers, &alone->timer, control->now_ns + wait_ns) == ERR_OK)
        return;
    log_fatal(control->log, "STREAM: Failed to start: out of memory");
    control_end(control, 1);
}

void alone_ask(struct control *control, struct alone *alone, bool again)
{
    alone->asks_left = again ? ASKS - 1 : 0;
    alone->wait_ns = again ? ANSWER_NS / ASKS : ANSWER_NS;
    ask_once(control, alone);
}

void alone_due(struct control *control, struct alone *alone)
{
    if (alone->known)
        return;
    if (alone->asks_left > 0 || !alone->asked) {
        alone->asks_left -= alone->asked;
        ask_once(control, alone);
        return;
    }
    known(control, alone);
    service_alone(control);
}
