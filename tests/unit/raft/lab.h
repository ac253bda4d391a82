/* tests/unit/raft/lab.h - a handful of machines under the hand of a script (test_scripts.c): every message
 * waits until it is delivered or dropped, every disk answers at once or when told to. The verbs are in lab.c,
 * each with an example. */
#ifndef TESTS_UNIT_RAFT_LAB_H
#define TESTS_UNIT_RAFT_LAB_H

#include "raft/message_codec.h"
#include "raft/raft.h"

enum {
    LAB_NODES_MAX = 7,
    LAB_LOG_MAX = 64,
    LAB_MESSAGES_MAX = 512,
    LAB_DATA_MAX = 200,
    LAB_OUTPUT_BYTES = 64 * 1024,
    LAB_SNAPSHOT_BYTES = 10, /* what every snapshot holds */
};

struct lab_entry {
    uint64_t term;
    enum raft_entry_kind kind;
    uint32_t data_bytes;
    uint8_t data[LAB_DATA_MAX];
};

struct lab_node {
    struct raft *raft; /* NULL: there is none, or it is down */
    bool known;
    bool holds;   /* its disk waits for "persist" */
    bool watched; /* says so when it hears that it was removed, or is a member again */
    bool removed; /* as it said last */
    struct raft_options options;
    struct raft_hard_state hard_state, durable_hard_state;
    struct raft_snapshot snapshot;
    struct lab_entry log[LAB_LOG_MAX]; /* by index */
    uint64_t last, durable_last;
    uint64_t first, before_term;
    uint64_t persist_seq; /* not answered yet; 0: none */
    uint64_t received_bytes;
};

struct lab_message {
    uint64_t from, to;
    size_t count;
    uint8_t bytes[4096];
};

struct lab {
    struct lab_node nodes[LAB_NODES_MAX + 1];      /* by id */
    struct lab_message messages[LAB_MESSAGES_MAX]; /* oldest first */
    uint32_t message_count;
    bool cut[LAB_NODES_MAX + 1][LAB_NODES_MAX + 1];
    struct raft_decoded decoded;
    char output[LAB_OUTPUT_BYTES];
    size_t output_bytes;
};

/* Runs one line. What it prints is added to `output`; an unknown verb prints that. */
void lab_run(struct lab *lab, const char *line);
void lab_close(struct lab *lab);

#endif
