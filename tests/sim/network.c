/* tests/sim/network.c - messages between nodes: lost, repeated, delayed, so reordered, and cut off. They
 * travel as bytes, so the codec is part of every run. */
#include "core/base/check.h"
#include "core/base/memory.h"
#include "raft/message_codec.h"
#include "tests/sim/sim.h"

static const char *const kind_names[RAFT_MESSAGE_KINDS] = {
    [RAFT_MESSAGE_PRE_VOTE] = "pre-vote",
    [RAFT_MESSAGE_PRE_VOTE_REPLY] = "pre-vote reply",
    [RAFT_MESSAGE_VOTE] = "vote",
    [RAFT_MESSAGE_VOTE_REPLY] = "vote reply",
    [RAFT_MESSAGE_APPEND] = "append",
    [RAFT_MESSAGE_APPEND_REPLY] = "append reply",
    [RAFT_MESSAGE_HEARTBEAT] = "heartbeat",
    [RAFT_MESSAGE_HEARTBEAT_REPLY] = "heartbeat reply",
    [RAFT_MESSAGE_SNAPSHOT] = "snapshot",
    [RAFT_MESSAGE_SNAPSHOT_REPLY] = "snapshot reply",
    [RAFT_MESSAGE_TIMEOUT_NOW] = "timeout now",
    [RAFT_MESSAGE_REMOVED] = "removed",
};

static uint64_t delay(struct sim *sim)
{
    uint64_t delay_us = sim_about(sim, sim->weather.delay_us);
    if (sim_fault_on(sim, SIM_FAULT_DELAY) && sim_chance(sim, sim->weather.late_percent))
        delay_us += sim_about(sim, sim->weather.late_us);
    return delay_us;
}

static void travel(struct sim_node *from, const struct sim_node *to, const struct raft_message *message)
{
    struct sim *sim = from->sim;
    size_t count = raft_message_bytes(message);
    uint8_t *bytes = memory_new(count);
    if (bytes == NULL)
        sim_fail(sim, "out of memory");
    raft_message_encode(message, 7, bytes);
    struct sim_event event = {.at_us = sim->now_us + delay(sim),
                              .kind = SIM_EVENT_DELIVER,
                              .slot = to->slot,
                              .bytes = bytes,
                              .byte_count = count};
    sim_event_add(sim, &event);
}

static void describe(const struct raft_message *message, char *text, size_t size)
{
    switch (message->kind) {
    case RAFT_MESSAGE_PRE_VOTE:
    case RAFT_MESSAGE_VOTE:
        snprintf(text, size, "last %llu of term %llu%s", (unsigned long long)message->vote.last_index,
                 (unsigned long long)message->vote.last_term, message->vote.forced ? " forced" : "");
        return;
    case RAFT_MESSAGE_PRE_VOTE_REPLY:
    case RAFT_MESSAGE_VOTE_REPLY:
        snprintf(text, size, "%s", message->vote_reply.granted ? "granted" : "refused");
        return;
    case RAFT_MESSAGE_APPEND:
        snprintf(text, size, "behind %llu of term %llu: %u, commit %llu",
                 (unsigned long long)message->append.previous_index,
                 (unsigned long long)message->append.previous_term, message->append.entry_count,
                 (unsigned long long)message->append.commit_index);
        return;
    case RAFT_MESSAGE_APPEND_REPLY:
        snprintf(text, size, "%s %llu", message->append_reply.refused ? "refused behind" : "has",
                 (unsigned long long)message->append_reply.index);
        return;
    case RAFT_MESSAGE_SNAPSHOT:
        snprintf(text, size, "of %llu from byte %llu", (unsigned long long)message->chunk.snapshot->index,
                 (unsigned long long)message->chunk.offset_bytes);
        return;
    case RAFT_MESSAGE_HEARTBEAT:
    case RAFT_MESSAGE_HEARTBEAT_REPLY:
    case RAFT_MESSAGE_SNAPSHOT_REPLY:
    case RAFT_MESSAGE_TIMEOUT_NOW:
    case RAFT_MESSAGE_REMOVED:
    case RAFT_MESSAGE_KINDS:
        break;
    }
    text[0] = '\0';
}

static void trace_message(struct sim_node *node, const char *word, uint64_t other,
                          const struct raft_message *message)
{
    char text[120] = "";
    if (node->sim->options.trace == NULL)
        return;
    ASSERT(message->kind < RAFT_MESSAGE_KINDS);
    describe(message, text, sizeof text);
    sim_trace(node->sim, "%llu %s %llu: %s, term %llu%s%s", (unsigned long long)node->id, word,
              (unsigned long long)other, kind_names[message->kind], (unsigned long long)message->term,
              text[0] == '\0' ? "" : ", ", text);
}

static void send(void *self, const struct raft_message *message)
{
    struct sim_node *node = self;
    struct sim *sim = node->sim;
    const struct sim_node *to = sim_node_of(sim, message->to);
    sim->result->counts.messages++;
    if (to == NULL)
        return;
    if (sim_fault_on(sim, SIM_FAULT_PARTITION) && (node->cut >> to->slot) & 1) {
        sim->result->counts.cut++;
        return;
    }
    if (sim_fault_on(sim, SIM_FAULT_LOSS) && sim_chance(sim, sim->weather.loss_percent)) {
        sim->result->counts.lost++;
        return;
    }
    trace_message(node, "to", message->to, message);
    travel(node, to, message);
    if (sim_fault_on(sim, SIM_FAULT_REPEAT) && sim_chance(sim, sim->weather.repeat_percent)) {
        sim->result->counts.repeated++;
        travel(node, to, message);
    }
}

struct raft_transport sim_transport(struct sim_node *node)
{
    return (struct raft_transport){.self = node, .send = send};
}

void sim_deliver(struct sim_node *node, const struct sim_event *event)
{
    struct sim *sim = node->sim;
    if (raft_message_decode(bytes_of(event->bytes, event->byte_count), &sim->decoded) != RAFT_DECODED)
        sim_fail(sim, "a message does not survive its journey");
    if (sim->decoded.message.to != node->id) /* to who had the place before */
        return;
    trace_message(node, "from", sim->decoded.message.from, &sim->decoded.message);
    enum raft_result result = raft_driver_receive(&node->driver, &sim->decoded.message);
    if (result == RAFT_INVALID)
        sim_fail(sim, "node %llu takes a message of its like for nonsense", (unsigned long long)node->id);
    if (result == RAFT_VIOLATION)
        sim_fail(sim, "node %llu is told what contradicts what is committed", (unsigned long long)node->id);
}
