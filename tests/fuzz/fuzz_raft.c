/* Any sequence of events, with messages that no correct node would send: the machine may call them nonsense
 * or fall behind, but each of its assertions holds, and it promises nothing twice. The input is read as a
 * program: a byte for the event, then small numbers for its fields. */
#include "core/base/check.h"
#include "raft/raft.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
    const uint8_t *at;
    const uint8_t *end;
};

struct run {
    struct raft *raft;
    struct input input;
    uint64_t persist_seq;
    uint64_t apply_end;
    uint64_t voted_term; /* the last term in which a vote left */
    uint64_t voted_for;
    struct raft_snapshot snapshot;
    struct raft_entry entries[4];
    uint8_t membership[RAFT_MEMBERSHIP_BYTES_MAX];
};

static uint8_t byte(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

/* Mostly small, so that numbers meet; now and then as large as they may be. */
static uint64_t number(struct input *input)
{
    uint8_t value = byte(input);
    return value < 250 ? value % 32 : RAFT_NUMBER_MAX - (value - 250);
}

static void random_append(struct run *run, struct raft_append *append)
{
    struct input *input = &run->input;
    append->previous_index = number(input);
    append->previous_term = number(input);
    append->commit_index = number(input);
    append->tick = number(input);
    append->entry_count = byte(input) % 5;
    append->entries = run->entries;
    for (uint32_t i = 0; i < append->entry_count; i++) {
        struct raft_entry *entry = &run->entries[i];
        *entry = (struct raft_entry){.term = number(input), .kind = (enum raft_entry_kind)(byte(input) % 3)};
        if (entry->kind == RAFT_ENTRY_MEMBERSHIP) {
            struct raft_membership membership = {0};
            for (uint64_t id = 1; id <= 4; id++) {
                if (byte(input) % 3 != 0)
                    ASSERT(raft_membership_add(&membership, id,
                                               byte(input) % 2 == 0 ? RAFT_VOTER : RAFT_LEARNER,
                                               bytes_of(NULL, 0)));
            }
            entry->data = bytes_of(run->membership, raft_membership_encode(&membership, run->membership));
        }
    }
}

static void random_message(struct run *run, struct raft_message *message)
{
    struct input *input = &run->input;
    *message = (struct raft_message){.kind = (enum raft_message_kind)(byte(input) % RAFT_MESSAGE_KINDS),
                                     .from = 2 + byte(input) % 3,
                                     .to = 1,
                                     .term = number(input)};
    switch (message->kind) {
    case RAFT_MESSAGE_PRE_VOTE:
    case RAFT_MESSAGE_VOTE:
        message->vote = (struct raft_vote){number(input), number(input), byte(input) % 2 == 0};
        return;
    case RAFT_MESSAGE_PRE_VOTE_REPLY:
    case RAFT_MESSAGE_VOTE_REPLY:
        message->vote_reply.granted = byte(input) % 2 == 0;
        return;
    case RAFT_MESSAGE_APPEND:
        random_append(run, &message->append);
        return;
    case RAFT_MESSAGE_APPEND_REPLY:
        message->append_reply = (struct raft_append_reply){number(input), number(input), number(input),
                                                           number(input), byte(input) % 2 == 0};
        return;
    case RAFT_MESSAGE_HEARTBEAT:
        message->heartbeat = (struct raft_heartbeat){number(input), number(input), number(input)};
        return;
    case RAFT_MESSAGE_HEARTBEAT_REPLY:
        message->heartbeat_reply = (struct raft_heartbeat_reply){number(input), number(input)};
        return;
    case RAFT_MESSAGE_SNAPSHOT:
        run->snapshot.index = number(input);
        run->snapshot.term = number(input);
        run->snapshot.size_bytes = number(input);
        message->chunk = (struct raft_chunk){.snapshot = &run->snapshot,
                                             .offset_bytes = number(input),
                                             .count_bytes = byte(input) % 8,
                                             .data = run->membership};
        return;
    case RAFT_MESSAGE_SNAPSHOT_REPLY:
        message->snapshot_reply =
            (struct raft_snapshot_reply){number(input), number(input), number(input), number(input)};
        return;
    case RAFT_MESSAGE_REMOVED:
        message->removed = (struct raft_removed){number(input), number(input)};
        return;
    case RAFT_MESSAGE_TIMEOUT_NOW:
    case RAFT_MESSAGE_KINDS:
        return;
    }
}

/* A vote leaves once a term, and in no lower term than one before. */
static void check_messages(struct run *run, const struct raft_update *update)
{
    for (uint32_t i = 0; i < update->message_count; i++) {
        const struct raft_message *message = &update->messages[i];
        ASSERT(message->from == 1 && message->to != 1);
        if (message->kind != RAFT_MESSAGE_VOTE_REPLY || !message->vote_reply.granted)
            continue;
        ASSERT(message->term >= run->voted_term);
        ASSERT(message->term > run->voted_term || message->to == run->voted_for);
        run->voted_term = message->term;
        run->voted_for = message->to;
    }
}

static void take_update(struct run *run)
{
    struct raft_update update;
    struct raft_taken taken;
    raft_update(run->raft, &update);
    check_messages(run, &update);
    if (update.persist_seq != 0)
        run->persist_seq = update.persist_seq;
    if (update.apply_count > 0)
        run->apply_end = update.apply_first + update.apply_count - 1;
    if (update.take_snapshot != NULL) {
        struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_TAKEN,
                                   .snapshot = {.index = update.take_snapshot->index, .size_bytes = 20}};
        raft_step(run->raft, &event, &taken);
    }
}

static void one_event(struct run *run)
{
    struct input *input = &run->input;
    struct raft_event event = {.kind = (enum raft_event_kind)(byte(input) % (RAFT_EVENT_INSTALL_FAILED + 1))};
    struct raft_message message;
    struct raft_taken taken;
    struct raft_entry proposal = {.kind = RAFT_ENTRY_DATA};
    switch (event.kind) {
    case RAFT_EVENT_MESSAGE:
        random_message(run, &message);
        event.message = &message;
        break;
    case RAFT_EVENT_PROPOSE:
        event.propose.entries = &proposal;
        event.propose.count = 1;
        break;
    case RAFT_EVENT_PERSISTED:
        event.persist_seq = run->persist_seq;
        break;
    case RAFT_EVENT_APPLIED:
        event.applied_index = run->apply_end;
        break;
    case RAFT_EVENT_CHANGE:
        event.change.kind = (enum raft_change_kind)(byte(input) % RAFT_CHANGE_KINDS);
        event.change.id = byte(input) % 6;
        break;
    case RAFT_EVENT_TRANSFER:
    case RAFT_EVENT_UNREACHABLE:
    case RAFT_EVENT_LEADER_GONE:
        event.peer = byte(input) % 6;
        break;
    default:
        break;
    }
    raft_step(run->raft, &event, &taken);
    if (byte(input) % 2 == 0)
        take_update(run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {.input = {data, data + size}};
    struct raft_options options = raft_options_default();
    struct raft_durable durable = {.hard_state = {.term = 2}};
    bool discarded;
    options.id = 1;
    options.log_entries_max = 16;
    options.trailing_entries = 2;
    options.snapshot_entries = 4;
    options.append_entries = 2;
    options.chunk_bytes = 6;
    options.lease_reads = byte(&run.input) % 2 == 0;
    for (uint64_t id = 1; id <= 1 + byte(&run.input) % 4U; id++)
        ASSERT(raft_membership_add(&durable.snapshot.membership, id, RAFT_VOTER, bytes_of(NULL, 0)));
    run.snapshot.membership = durable.snapshot.membership;
    ASSERT(raft_new(&options, &durable, &run.raft) == ERR_OK);
    ASSERT(raft_start(run.raft, 0, &discarded) == ERR_OK);
    while (run.input.at < run.input.end)
        one_event(&run);
    take_update(&run);
    raft_free(run.raft);
    return 0;
}
