/* shards/streaming/outputs.h - what the machine wants done, as records in a buffer: written by its steps,
 * taken by the driver in order. A second buffer holds answers until the store is safe up to a position. At
 * the bound: buffers grow as steps need; outputs_full() tells a step when to stop. Memory out: the output is
 * lost, which is as if the network had lost it, and counted. */
#ifndef SHARDS_STREAMING_OUTPUTS_H
#define SHARDS_STREAMING_OUTPUTS_H

#include "core/base/bytes.h"
#include "core/base/language.h"

enum {
    OUTPUT_BYTES_MAX = 1024 * 1024,
    HELD_BYTES_MAX = 64 * 1024 * 1024,
};

enum streaming_output_kind {
    STREAMING_OUTPUT_PUBLISH, /* body on subject, with a reply where one is given */
    STREAMING_OUTPUT_LISTEN,  /* to this subject from now on: an ack inbox */
    STREAMING_OUTPUT_UNLISTEN,
    STREAMING_OUTPUT_LOG,     /* body is a line, `level` its level */
    STREAMING_OUTPUT_PROPOSE, /* body is a command for the log; behind all others that there are */
};

struct streaming_output {
    enum streaming_output_kind kind;
    uint8_t level; /* enum log_level */
    uint16_t via;
    struct bytes subject, reply, body;
};

/* Records in a ring of bytes that grows. All zero is empty. */
struct outputs {
    uint8_t *bytes;
    size_t capacity;
    size_t head, tail; /* the oldest record, and behind the newest */
    size_t last;       /* the record given last, for outputs_back() */
    uint64_t lost;
};

void outputs_close(struct outputs *outputs);

/* Room behind the newest record for one with a body of `body_bytes`; the body is to be written at the
 * pointer. NULL: memory is out, and it counts as lost. The pointer is good until the next call. */
uint8_t *outputs_put(struct outputs *outputs, const struct streaming_output *output, size_t body_bytes,
                     uint64_t position);

/* That the next put of this size will not fail. False: memory is out, and nothing counts as lost. */
bool outputs_reserve(struct outputs *outputs, const struct streaming_output *output, size_t body_bytes);

/* Takes the oldest if it waits for no position above `position`. */
bool outputs_next(struct outputs *outputs, uint64_t position, struct streaming_output *output);

/* Takes those behind it, at most `most`, that are alike but for what their bodies hold: a run. Returns how
 * many. None for one with a reply: requests have their own. */
uint32_t outputs_more(struct outputs *outputs, uint64_t position, const struct streaming_output *first,
                      struct bytes *bodies, uint32_t most);

/* Puts the last `count` back: of one outputs_next() and the outputs_more() behind it, at most. */
void outputs_back(struct outputs *outputs, uint32_t count);

static inline size_t outputs_bytes(const struct outputs *outputs)
{
    return outputs->tail - outputs->head;
}

static inline bool outputs_full(const struct outputs *outputs)
{
    return outputs_bytes(outputs) >= OUTPUT_BYTES_MAX;
}

#endif
