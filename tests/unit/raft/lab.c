/* tests/unit/raft/lab.c - the verbs of raft scripts. Nodes are numbers from 1 to 7; "*" is any.
 *   node 1 voters 1,2,3 learners 4 term 3 log 1,1,3 vote 2 snapshots 4 candidate 30 beat 4 commit 2 lease a
 * node, from such a disk tick 1 [10] | campaign 1 | propose 1 a b c | read 1 7 | transfer 1 2 | gone 2 1 |
 * change 1 add|promote|demote|remove 4 hold 1 (its disk) | persist 1 | flow 1 (the disk again) | fail 1 |
 * crash 1 | start 1 | watch 1 (says when it hears that it is removed, and that it is not) deliver [1 2] (what
 * waits now, shown) | drop 1 2 | cut 1 2 | heal | settle (deliver until it is quiet, unseen) state [1] (role,
 * term, log as index:term with commit and disk) | peers 1 | members 1
 */
#include "tests/unit/raft/lab.h"

#include "core/base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const kinds[RAFT_MESSAGE_KINDS] = {
    "pre-vote",  "pre-vote-reply",  "vote",     "vote-reply",     "append",      "append-reply",
    "heartbeat", "heartbeat-reply", "snapshot", "snapshot-reply", "timeout-now", "removed"};
static const char *const roles[RAFT_ROLES] = {"follower", "pre-candidate", "candidate", "leader", "halted"};
static const char *const results[] = {"ok",      "not leader", "not ready", "busy",
                                      "invalid", "violation",  "failed"};

__attribute__((format(printf, 2, 3))) static void say(struct lab *lab, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int count =
        vsnprintf(lab->output + lab->output_bytes, LAB_OUTPUT_BYTES - lab->output_bytes, format, arguments);
    va_end(arguments);
    ASSERT(count >= 0 && lab->output_bytes + (size_t)count < LAB_OUTPUT_BYTES);
    lab->output_bytes += (size_t)count;
}

static unsigned long long n(uint64_t value)
{
    return value;
}

/* ---- what a driver does ---- */

static void keep(struct lab_node *node, const struct raft_taken *taken)
{
    for (uint32_t i = 0; i < taken->entry_count; i++) {
        const struct raft_entry *entry = &taken->entries[i];
        uint64_t index = taken->first_index + i;
        ASSERT(index < LAB_LOG_MAX && entry->data.count <= LAB_DATA_MAX);
        node->log[index] = (struct lab_entry){
            .term = entry->term, .kind = entry->kind, .data_bytes = (uint32_t)entry->data.count};
        if (entry->data.count > 0)
            memcpy(node->log[index].data, entry->data.data, entry->data.count);
        node->last = index;
        if (node->durable_last >= index)
            node->durable_last = index - 1;
    }
    if (taken->chunk != NULL)
        node->received_bytes = taken->chunk->offset_bytes + taken->chunk->count_bytes;
}

static enum raft_result step(struct lab_node *node, const struct raft_event *event)
{
    struct raft_taken taken;
    enum raft_result result = raft_step(node->raft, event, &taken);
    keep(node, &taken);
    return result;
}

static void send(struct lab *lab, const struct lab_node *node, struct raft_message message)
{
    static const uint8_t snapshot_bytes[LAB_SNAPSHOT_BYTES] = "snapshot!";
    struct raft_entry entries[LAB_LOG_MAX];
    if (message.to > LAB_NODES_MAX || lab->cut[message.from][message.to])
        return;
    if (message.kind == RAFT_MESSAGE_APPEND) {
        for (uint32_t i = 0; i < message.append.entry_count; i++) {
            const struct lab_entry *entry = &node->log[message.append.previous_index + 1 + i];
            entries[i] = (struct raft_entry){
                .term = entry->term, .kind = entry->kind, .data = bytes_of(entry->data, entry->data_bytes)};
        }
        message.append.entries = entries;
    } else if (message.kind == RAFT_MESSAGE_SNAPSHOT) {
        message.chunk.data = snapshot_bytes + message.chunk.offset_bytes;
    }
    ASSERT(lab->message_count < LAB_MESSAGES_MAX);
    struct lab_message *place = &lab->messages[lab->message_count++];
    *place =
        (struct lab_message){.from = message.from, .to = message.to, .count = raft_message_bytes(&message)};
    ASSERT(place->count <= sizeof place->bytes);
    raft_message_encode(&message, 0, place->bytes);
}

static void persisted(struct lab_node *node)
{
    struct raft_event event = {.kind = RAFT_EVENT_PERSISTED, .persist_seq = node->persist_seq};
    node->persist_seq = 0;
    node->durable_last = node->last;
    node->durable_hard_state = node->hard_state;
    step(node, &event);
}

static void snapshots(struct lab *lab, struct lab_node *node, const struct raft_update *update)
{
    if (update->take_snapshot != NULL) {
        node->snapshot = *update->take_snapshot;
        node->snapshot.size_bytes = LAB_SNAPSHOT_BYTES;
        struct raft_event event = {
            .kind = RAFT_EVENT_SNAPSHOT_TAKEN,
            .snapshot = {.index = node->snapshot.index, .size_bytes = LAB_SNAPSHOT_BYTES}};
        step(node, &event);
    }
    if (update->install_snapshot != NULL) {
        node->snapshot = *update->install_snapshot;
        node->first = node->snapshot.index + 1;
        node->last = node->durable_last = node->snapshot.index;
        node->before_term = node->snapshot.term;
        say(lab, "%llu installs the snapshot of %llu\n", n(node->options.id), n(node->snapshot.index));
        struct raft_event event = {.kind = RAFT_EVENT_SNAPSHOT_INSTALLED};
        step(node, &event);
    }
    if (update->log_first > node->first) {
        node->before_term = node->log[update->log_first - 1].term;
        node->first = update->log_first;
    }
}

/* As a driver's application does. */
static void look_at_role(struct lab *lab, struct lab_node *node)
{
    struct raft_status status;
    raft_status(node->raft, &status);
    if (node->watched && status.removed != node->removed)
        say(lab, "%llu is %s\n", n(status.id), status.removed ? "removed" : "not removed any more");
    node->removed = status.removed;
}

static bool turn_once(struct lab *lab, struct lab_node *node)
{
    struct raft_update update;
    raft_update(node->raft, &update);
    bool more = update.more || update.take_snapshot != NULL || update.install_snapshot != NULL;
    if (update.persist_seq != 0)
        node->persist_seq = update.persist_seq;
    if (update.hard_state_changed)
        node->hard_state = update.hard_state;
    if (update.role_changed)
        look_at_role(lab, node);
    for (uint32_t i = 0; i < update.message_count; i++)
        send(lab, node, update.messages[i]);
    for (uint32_t i = 0; i < update.read_count; i++) {
        if (update.reads[i].failed)
            say(lab, "%llu: read %llu fails\n", n(node->options.id), n(update.reads[i].id));
        else
            say(lab, "%llu: read %llu at %llu\n", n(node->options.id), n(update.reads[i].id),
                n(update.reads[i].index));
    }
    if (update.apply_count > 0) {
        struct raft_event event = {.kind = RAFT_EVENT_APPLIED,
                                   .applied_index = update.apply_first + update.apply_count - 1};
        step(node, &event);
        more = true;
    }
    snapshots(lab, node, &update);
    if (node->persist_seq != 0 && !node->holds) {
        persisted(node);
        more = true;
    }
    return more;
}

static void turn(struct lab *lab, struct lab_node *node)
{
    while (node->raft != NULL && turn_once(lab, node))
        continue;
}

/* ---- verbs ---- */

/* Words of a line; numbers among them. */
struct words {
    const char *words[24];
    unsigned count;
    char line[256];
};

static void split(struct words *words, const char *line)
{
    words->count = 0;
    snprintf(words->line, sizeof words->line, "%s", line);
    char *rest = words->line;
    for (char *word; (word = strsep(&rest, " ")) != NULL;) {
        if (*word != '\0' && words->count < COUNT_OF(words->words))
            words->words[words->count++] = word;
    }
}

static uint64_t number(const struct words *words, unsigned at)
{
    return at < words->count ? strtoull(words->words[at], NULL, 10) : 0;
}

static bool word_is(const struct words *words, unsigned at, const char *word)
{
    return at < words->count && strcmp(words->words[at], word) == 0;
}

/* What stands behind a word, or "". */
static const char *behind(const struct words *words, const char *word)
{
    for (unsigned at = 0; at + 1 < words->count; at++) {
        if (word_is(words, at, word))
            return words->words[at + 1];
    }
    return "";
}

static void add_members(struct raft_membership *membership, const char *list, enum raft_member_role role)
{
    for (char *end; *list != '\0'; list = *end == ',' ? end + 1 : end) {
        uint64_t id = strtoull(list, &end, 10);
        ASSERT(raft_membership_add(membership, id, role, bytes_of(NULL, 0)));
    }
}

static void start(struct lab *lab, struct lab_node *node)
{
    struct raft_durable durable = {.hard_state = node->hard_state,
                                   .snapshot = node->snapshot,
                                   .log_first = node->first,
                                   .log_before_term = node->before_term};
    bool discarded;
    enum err err = raft_new(&node->options, &durable, &node->raft);
    ASSERT(err == ERR_OK);
    for (uint64_t i = node->first; i <= node->last; i++) {
        struct raft_entry entry = {.term = node->log[i].term,
                                   .kind = node->log[i].kind,
                                   .data = bytes_of(node->log[i].data, node->log[i].data_bytes)};
        err = raft_restore(node->raft, &entry);
        ASSERT(err == ERR_OK);
    }
    err = raft_start(node->raft, node->snapshot.index, &discarded);
    ASSERT(err == ERR_OK && !discarded);
    turn(lab, node);
}

static void make_node(struct lab *lab, struct lab_node *node, const struct words *words)
{
    uint64_t id = number(words, 1);
    raft_free(node->raft);
    *node = (struct lab_node){.known = true, .first = 1};
    node->options = raft_options_default();
    node->options.id = id;
    node->options.random_seed = id;
    node->options.log_entries_max = LAB_LOG_MAX;
    node->options.trailing_entries = 0;
    node->options.snapshot_entries = strtoull(behind(words, "snapshots"), NULL, 10);
    node->options.chunk_bytes = 4;
    node->options.window = 3;
    node->options.append_entries = 2;
    node->options.promote_lag = 1;
    const char *candidate = behind(words, "candidate");
    if (*candidate != '\0')
        node->options.candidate_ticks = (uint32_t)strtoul(candidate, NULL, 10);
    const char *beat = behind(words, "beat");
    if (*beat != '\0')
        node->options.heartbeat_ticks = (uint32_t)strtoul(beat, NULL, 10);
    node->options.commit_ticks = (uint32_t)strtoul(behind(words, "commit"), NULL, 10);
    node->options.lease_reads = word_is(words, words->count - 1, "lease");
    add_members(&node->snapshot.membership, behind(words, "voters"), RAFT_VOTER);
    add_members(&node->snapshot.membership, behind(words, "learners"), RAFT_LEARNER);
    const char *list = behind(words, "log");
    for (char *end; *list != '\0'; list = *end == ',' ? end + 1 : end) {
        node->log[++node->last] = (struct lab_entry){.term = strtoull(list, &end, 10)};
        node->hard_state.term = node->log[node->last].term;
    }
    uint64_t term = strtoull(behind(words, "term"), NULL, 10);
    if (term > node->hard_state.term)
        node->hard_state.term = term;
    node->hard_state.voted_for = strtoull(behind(words, "vote"), NULL, 10);
    node->durable_hard_state = node->hard_state;
    node->durable_last = node->last;
    start(lab, node);
}

static void show_message(struct lab *lab, const struct raft_message *m)
{
    say(lab, "%llu>%llu %s term %llu", n(m->from), n(m->to), kinds[m->kind], n(m->term));
    switch (m->kind) {
    case RAFT_MESSAGE_PRE_VOTE:
    case RAFT_MESSAGE_VOTE:
        say(lab, " last %llu:%llu%s", n(m->vote.last_index), n(m->vote.last_term),
            m->vote.forced ? " forced" : "");
        break;
    case RAFT_MESSAGE_PRE_VOTE_REPLY:
    case RAFT_MESSAGE_VOTE_REPLY:
        say(lab, m->vote_reply.granted ? " granted" : " refused");
        break;
    case RAFT_MESSAGE_APPEND:
        say(lab, " behind %llu:%llu [", n(m->append.previous_index), n(m->append.previous_term));
        for (uint32_t i = 0; i < m->append.entry_count; i++)
            say(lab, "%s%llu", i == 0 ? "" : " ", n(m->append.entries[i].term));
        say(lab, "] commit %llu", n(m->append.commit_index));
        break;
    case RAFT_MESSAGE_APPEND_REPLY:
        if (m->append_reply.refused)
            say(lab, " refused %llu hint %llu:%llu", n(m->append_reply.index), n(m->append_reply.hint_index),
                n(m->append_reply.hint_term));
        else
            say(lab, " has %llu", n(m->append_reply.index));
        break;
    case RAFT_MESSAGE_HEARTBEAT:
        say(lab, " commit %llu round %llu", n(m->heartbeat.commit_index), n(m->heartbeat.round));
        break;
    case RAFT_MESSAGE_HEARTBEAT_REPLY:
        say(lab, " round %llu", n(m->heartbeat_reply.round));
        break;
    case RAFT_MESSAGE_SNAPSHOT:
        say(lab, " of %llu:%llu bytes %llu+%u of %llu", n(m->chunk.snapshot->index),
            n(m->chunk.snapshot->term), n(m->chunk.offset_bytes), m->chunk.count_bytes,
            n(m->chunk.snapshot->size_bytes));
        break;
    case RAFT_MESSAGE_SNAPSHOT_REPLY:
        say(lab, " wants %llu", n(m->snapshot_reply.offset_bytes));
        break;
    case RAFT_MESSAGE_REMOVED:
        say(lab, " by %llu:%llu", n(m->removed.index), n(m->removed.term));
        break;
    case RAFT_MESSAGE_TIMEOUT_NOW:
    case RAFT_MESSAGE_KINDS:
        break;
    }
    say(lab, "\n");
}

static bool matches(const struct lab_message *message, const struct words *words)
{
    bool from = words->count < 2 || word_is(words, 1, "*") || number(words, 1) == message->from;
    bool to = words->count < 3 || word_is(words, 2, "*") || number(words, 2) == message->to;
    return from && to;
}

/* Those that wait now; what they cause waits. */
static void deliver(struct lab *lab, const struct words *words, bool shown, bool dropped)
{
    uint32_t waiting = lab->message_count, kept = 0;
    for (uint32_t i = 0; i < waiting; i++) {
        struct lab_message message = lab->messages[i];
        struct lab_node *node = &lab->nodes[message.to];
        if (!matches(&message, words)) {
            lab->messages[kept++] = message;
            continue;
        }
        if (dropped || node->raft == NULL)
            continue;
        ASSERT(raft_message_decode(bytes_of(message.bytes, message.count), &lab->decoded) == RAFT_DECODED);
        if (shown)
            show_message(lab, &lab->decoded.message);
        struct raft_event event = {.kind = RAFT_EVENT_MESSAGE, .message = &lab->decoded.message};
        enum raft_result result = step(node, &event);
        if (result != RAFT_OK)
            say(lab, "%llu: %s\n", n(node->options.id), results[result]);
        turn(lab, node);
    }
    memmove(lab->messages + kept, lab->messages + waiting,
            (lab->message_count - waiting) * sizeof lab->messages[0]);
    lab->message_count -= waiting - kept;
}

static void settle(struct lab *lab)
{
    struct words all = {.count = 1};
    for (unsigned round = 0; lab->message_count > 0 && round < 1000; round++)
        deliver(lab, &all, false, false);
    if (lab->message_count > 0)
        say(lab, "it does not settle\n");
}

static void show_state(struct lab *lab, const struct lab_node *node)
{
    struct raft_status s;
    if (node->raft == NULL) {
        if (node->known)
            say(lab, "%llu down\n", n(node->options.id));
        return;
    }
    raft_status(node->raft, &s);
    say(lab, "%llu %s term %llu", n(s.id), roles[s.role], n(s.term));
    if (s.leader != 0 && s.role != RAFT_LEADER)
        say(lab, " leader %llu", n(s.leader));
    if (s.removed)
        say(lab, " removed");
    say(lab, " commit %llu log", n(s.commit_index));
    if (s.first_index > 1)
        say(lab, " (%llu)", n(s.first_index - 1));
    for (uint64_t i = s.first_index; i <= s.last_index; i++)
        say(lab, " %llu", n(node->log[i].term));
    if (s.persisted_index != s.last_index)
        say(lab, " persisted %llu", n(s.persisted_index));
    say(lab, "\n");
}

static void show_peers(struct lab *lab, const struct lab_node *node)
{
    static const char *const states[RAFT_PROGRESS_STATES] = {"probe", "replicate", "snapshot"};
    struct raft_status s;
    raft_status(node->raft, &s);
    for (uint32_t i = 0; i < s.peer_count; i++)
        say(lab, "%llu%s %s match %llu next %llu\n", n(s.peers[i].id), s.peers[i].learner ? " learner" : "",
            states[s.peers[i].state], n(s.peers[i].match_index), n(s.peers[i].next_index));
}

static void show_members(struct lab *lab, const struct lab_node *node)
{
    struct raft_status s;
    raft_status(node->raft, &s);
    if (s.membership->count == 0)
        say(lab, "none");
    for (uint32_t i = 0; i < s.membership->count; i++)
        say(lab, "%llu%s ", n(s.membership->members[i].id),
            s.membership->members[i].role == RAFT_VOTER ? "" : "(learner)");
    say(lab, "\n");
}

static enum raft_result propose(struct lab_node *node, const struct words *words)
{
    struct raft_entry entries[24] = {0};
    for (unsigned i = 2; i < words->count; i++)
        entries[i - 2].data = text(words->words[i]);
    struct raft_event event = {.kind = RAFT_EVENT_PROPOSE, .propose = {entries, words->count - 2}};
    return step(node, &event);
}

static bool change_kind(const struct words *words, enum raft_change_kind *kind)
{
    static const char *const names[RAFT_CHANGE_KINDS] = {"add", "promote", "demote", "remove"};
    for (unsigned i = 0; i < RAFT_CHANGE_KINDS; i++) {
        if (word_is(words, 2, names[i])) {
            *kind = (enum raft_change_kind)i;
            return true;
        }
    }
    return false;
}

/* An event for one node; false: the verb is none. */
static bool event_verb(struct lab *lab, struct lab_node *node, const struct words *words)
{
    struct raft_event event = {0};
    enum raft_result result = RAFT_OK;
    if (word_is(words, 0, "campaign")) {
        event.kind = RAFT_EVENT_CAMPAIGN;
    } else if (word_is(words, 0, "read")) {
        event.kind = RAFT_EVENT_READ;
        event.read_id = number(words, 2);
    } else if (word_is(words, 0, "transfer")) {
        event.kind = RAFT_EVENT_TRANSFER;
        event.peer = number(words, 2);
    } else if (word_is(words, 0, "gone")) {
        event.kind = RAFT_EVENT_LEADER_GONE;
        event.peer = number(words, 2);
    } else if (word_is(words, 0, "fail")) {
        event.kind = RAFT_EVENT_PERSIST_FAILED;
    } else if (word_is(words, 0, "change")) {
        event.kind = RAFT_EVENT_CHANGE;
        event.change.id = number(words, 3);
        if (!change_kind(words, &event.change.kind))
            return false;
    } else if (!word_is(words, 0, "propose")) {
        return false;
    }
    result = word_is(words, 0, "propose") ? propose(node, words) : step(node, &event);
    if (result != RAFT_OK)
        say(lab, "%s\n", results[result]);
    turn(lab, node);
    return true;
}

static bool disk_verb(struct lab *lab, struct lab_node *node, const struct words *words)
{
    if (word_is(words, 0, "hold")) {
        node->holds = true;
    } else if (word_is(words, 0, "flow") || word_is(words, 0, "persist")) {
        node->holds = !word_is(words, 0, "flow");
        if (node->persist_seq != 0)
            persisted(node);
        turn(lab, node);
    } else if (word_is(words, 0, "crash")) {
        raft_free(node->raft);
        node->raft = NULL;
        node->last = node->durable_last;
        node->hard_state = node->durable_hard_state;
        node->persist_seq = 0;
    } else if (word_is(words, 0, "start")) {
        start(lab, node);
    } else if (word_is(words, 0, "watch")) {
        node->watched = true;
    } else if (word_is(words, 0, "tick")) {
        for (uint64_t i = words->count < 3 ? 1 : number(words, 2); i > 0 && node->raft != NULL; i--) {
            struct raft_event event = {.kind = RAFT_EVENT_TICK};
            step(node, &event);
            turn(lab, node);
        }
    } else {
        return false;
    }
    return true;
}

static bool world_verb(struct lab *lab, const struct words *words)
{
    if (word_is(words, 0, "deliver"))
        deliver(lab, words, true, false);
    else if (word_is(words, 0, "drop"))
        deliver(lab, words, false, true);
    else if (word_is(words, 0, "settle"))
        settle(lab);
    else if (word_is(words, 0, "heal"))
        memset(lab->cut, 0, sizeof lab->cut);
    else if (word_is(words, 0, "cut"))
        lab->cut[number(words, 1)][number(words, 2)] = lab->cut[number(words, 2)][number(words, 1)] = true;
    else
        return false;
    return true;
}

void lab_run(struct lab *lab, const char *line)
{
    struct words words;
    split(&words, line);
    uint64_t id = number(&words, 1);
    if (words.count == 0 || world_verb(lab, &words))
        return;
    if (word_is(&words, 0, "state") && id == 0) {
        for (unsigned i = 1; i <= LAB_NODES_MAX; i++)
            show_state(lab, &lab->nodes[i]);
        return;
    }
    if (id == 0 || id > LAB_NODES_MAX) {
        say(lab, "what is \"%s\"?\n", line);
        return;
    }
    struct lab_node *node = &lab->nodes[id];
    if (word_is(&words, 0, "node"))
        make_node(lab, node, &words);
    else if (word_is(&words, 0, "state"))
        show_state(lab, node);
    else if (word_is(&words, 0, "peers"))
        show_peers(lab, node);
    else if (word_is(&words, 0, "members"))
        show_members(lab, node);
    else if (!disk_verb(lab, node, &words) && !event_verb(lab, node, &words))
        say(lab, "what is \"%s\"?\n", line);
}

void lab_close(struct lab *lab)
{
    for (unsigned i = 1; i <= LAB_NODES_MAX; i++)
        raft_free(lab->nodes[i].raft);
}
