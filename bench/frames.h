/* bench/frames.h - what a publisher sends, made once: a block of frames that repeats itself, so that sending
 * is a write() of a large piece of it and nothing else.
 *
 * Messages of a run are numbered from 0 over all publishers. Publisher j of P sends numbers j, j + P, j + 2P,
 * ...; message n goes to subject n modulo S. So every publisher repeats itself after S / gcd(S, P) frames:
 * its cycle. All subjects of a run have the same length ("bench.007"), hence all frames: a byte count is a
 * message count. */
#ifndef BENCH_FRAMES_H
#define BENCH_FRAMES_H

#include "bench/options.h"

enum {
    FRAMES_WRITE_BYTES = 256 * 1024,  /* what one write() is to have, at most */
    FRAMES_BLOCK_BYTES_MAX = 1 << 30, /* above: refused with a sentence */
    FRAMES_SUBJECT_BYTES = 512 + 16,
};

enum frames_form {
    FRAMES_PUB, /* PUB or HPUB, for a server */
    FRAMES_MSG, /* MSG, as the server would pass it on: what the relay gets */
};

struct frames {
    uint8_t *block;
    size_t frame_bytes;
    size_t payload_offset; /* in a frame */
    uint64_t cycle;        /* frames until the block repeats */
    size_t cycle_bytes;
    size_t block_bytes;   /* cycle_bytes and at least one write more */
    uint64_t *due_before; /* [k]: deliveries of the first k frames of a cycle; cycle + 1 of them */
};

/* Makes the block of publisher `publisher`. `fan_out` says how subjects are listened to: see
 * frames_fan_out(). */
MUST_USE enum err frames_init(struct frames *frames, const struct options *options, enum frames_form form,
                              uint64_t publisher, struct failure *failure);
void frames_close(struct frames *frames);

/* Deliveries that the first `count` frames cause. */
uint64_t frames_due(const struct frames *frames, uint64_t count);

/* How many of our subscribers get a message on this subject (with a queue group: one of them). 0 for `pub`.
 */
uint64_t frames_fan_out(const struct options *options, uint64_t subject);

/* How many of messages 0 to `messages` - 1 go to this subject. */
uint64_t frames_on_subject(const struct options *options, uint64_t messages, uint64_t subject);

/* How many of messages 0 to `messages` - 1 this publisher sends. */
uint64_t frames_of_publisher(const struct options *options, uint64_t messages, uint64_t publisher);

/* The n-th subject's name, terminated. */
void frames_subject(char name[FRAMES_SUBJECT_BYTES], const struct options *options, uint64_t subject);

#endif
