/* shards/streaming/service_desk.c - between the desk and the machines: what comes to the service's subjects
 * goes to the groups that this node leads, and what the machines want done is done; a part of
 * service_inside.h.
 * In the flow:  desk -> service_request_take() -> streaming_request() || service_step() ->
 * service_outputs_do() -> desk, Raft, the log. */
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "shards/streaming/service_inside.h"

enum { RUN_MOST = 128 /* messages that go to a mailbox at once */ };
#define STALL_NS (2 * NS_PER_MS)

/* ---- in ---- */

/* The channel that the subject of a publish names. */
static struct bytes channel_of(const struct streaming_service *service, struct bytes subject)
{
    size_t skip =
        streaming_subject(service->groups[0].machine, STREAMING_REQUEST_PUBLISH).count - 1; /* '>' */
    return subject.count <= skip ? TEXT("") : bytes_of(subject.data + skip, subject.count - skip);
}

/* One group has all. Of several, to those that this node leads, of which at most one does something about it:
 * the others are led elsewhere, where the same has come to. Whoever asks one that is busy is slowed, by any
 * request: each waits for the same disk or log. */
static void request_share(struct control *control, const struct streaming_request *request,
                          const struct publisher_place *place)
{
    const struct streaming_service *service = control->streaming;
    uint32_t first = 0, last = service->group_count - 1;
    bool busy = false;
    if (last > 0 && request->kind == STREAMING_REQUEST_PUBLISH)
        first = last = groups_of_channel(channel_of(service, request->subject), service->group_count);
    for (uint32_t i = first; i <= last; i++) {
        struct streaming *machine = service->groups[i].machine;
        if (service->group_count > 1 && !streaming_leads(machine))
            continue;
        streaming_request(machine, service_now(control), request);
        busy |= streaming_busy(machine);
    }
    if (UNLIKELY(busy))
        desk_stall(control, place, STALL_NS);
}

void service_request_take(struct control *control, struct desk_listener *listener,
                          const struct desk_message *message)
{
    struct streaming_service *service = control->streaming;
    const struct service_listener *own = CONTAINER_OF(listener, struct service_listener, desk);
    struct streaming_request request = {
        .kind = own->kind,
        .via = message->shard,
        .subject = message->subject,
        .reply = message->reply,
        .payload = message->payload,
    };
    if (service->stopping)
        return;
    if (own->kind == STREAMING_REQUEST_PUBLISH)
        gather_arrived(&service->gather);
    request_share(control, &request, &message->place);
}

static void ack_take(struct control *control, struct desk_listener *listener,
                     const struct desk_message *message)
{
    struct streaming_service *service = control->streaming;
    struct streaming_request request = {
        .kind = STREAMING_REQUEST_ACK,
        .via = message->shard,
        .subject = message->subject,
        .payload = message->payload,
    };
    if (!service->stopping)
        streaming_request(CONTAINER_OF(listener, struct ack_listener, desk)->machine, service_now(control),
                          &request);
}

void service_answer_take(struct control *control, struct desk_listener *listener,
                         const struct desk_message *message)
{
    (void)listener;
    /* The first group's machine alone asks. */
    streaming_answer(control->streaming->groups[0].machine, service_now(control), message->subject,
                     message->nobody);
}

/* ---- out ---- */

/* A new ack inbox. False: not yet. */
static bool inbox_listen(struct control *control, struct streaming *machine, struct bytes subject)
{
    enum err err = ERR_OK;
    struct ack_listener *listener = memory_new(sizeof *listener);
    if (listener == NULL)
        return false;
    listener->desk.taker = ack_take;
    listener->machine = machine;
    if (desk_listen(control, &listener->desk, subject, &err))
        return true;
    memory_free(listener);
    return false;
}

static bool inbox_unlisten(struct control *control, struct bytes subject)
{
    struct desk_listener *listener = desk_find(&control->desk, subject);
    if (listener == NULL || listener->taker != ack_take)
        return true;
    if (!desk_unlisten(control, listener))
        return false;
    memory_free(CONTAINER_OF(listener, struct ack_listener, desk));
    return true;
}

static void log_output(const struct control *control, const struct streaming_output *output)
{
    const struct streaming_options *options = &control->snapshot->options->streaming;
    enum log_level level = output->level;
    if ((level == LOG_DEBUG && !options->debug) || (level == LOG_TRACE && !options->trace))
        return;
    log_line(control->log, level, "STREAM: %.*s", BYTES_PRINTF(output->body));
}

/* With those behind it that go to the same subject. */
static uint32_t publish_do(struct control *control, struct streaming *machine,
                           const struct streaming_output *output)
{
    struct bytes bodies[RUN_MOST] = {output->body};
    uint32_t count = 1 + streaming_output_more(machine, output, bodies + 1, RUN_MOST - 1);
    return count - desk_publish(control, output->via < control->shard_count ? output->via : 0,
                                output->subject, output->reply, bodies, count);
}

/* How many are not done, because a mailbox is full: the last that were taken. */
static uint32_t output_do(struct control *control, const struct service_group *group,
                          const struct streaming_output *output)
{
    switch (output->kind) {
    case STREAMING_OUTPUT_PUBLISH:
        return publish_do(control, group->machine, output);
    case STREAMING_OUTPUT_LISTEN:
        return !inbox_listen(control, group->machine, output->subject);
    case STREAMING_OUTPUT_UNLISTEN:
        return !inbox_unlisten(control, output->subject);
    case STREAMING_OUTPUT_LOG:
        log_output(control, output);
        return 0;
    case STREAMING_OUTPUT_PROPOSE: /* of a replicated machine only */
        return !replica_propose(group->replica, control->streaming->now, output->body);
    }
    return 0;
}

/* True: outputs are left because a mailbox, or Raft, is full. */
bool service_outputs_do(struct control *control, const struct service_group *group)
{
    struct streaming_output output;
    while (streaming_output_next(group->machine, &output)) {
        uint32_t left = output_do(control, group, &output);
        if (left > 0) {
            streaming_output_back(group->machine, left);
            return true;
        }
    }
    return false;
}
