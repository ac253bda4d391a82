/* bench/frames.c - blocks of frames behind frames.h. */
#include "bench/frames.h"

#include "core/base/check.h"
#include "core/base/memory.h"

#include <string.h>

static const char frames_header[] = "NATS/1.0\r\nBench: 1\r\n\r\n";

enum { FRAMES_LINE_BYTES = FRAMES_SUBJECT_BYTES + 64 };

static size_t line_print(char line[FRAMES_LINE_BYTES], const struct options *options, enum frames_form form,
                         uint64_t subject);
static uint64_t common_divisor(uint64_t a, uint64_t b);
static void frames_fill(struct frames *frames, const struct options *options, enum frames_form form,
                        uint64_t publisher);

enum err frames_init(struct frames *frames, const struct options *options, enum frames_form form,
                     uint64_t publisher, struct failure *failure)
{
    *frames = (struct frames){0};
    char line[FRAMES_LINE_BYTES];
    size_t header_bytes = options->headers ? sizeof(frames_header) - 1 : 0;
    frames->payload_offset = line_print(line, options, form, 0) + header_bytes;
    frames->frame_bytes = frames->payload_offset + options->size_bytes + 2;
    frames->cycle = options->subjects / common_divisor(options->subjects, options->publishers);
    /* A subject has 10 million names and a frame 64 MiB at most: the product fits into 64 bits. */
    uint64_t cycle_bytes = frames->cycle * frames->frame_bytes;
    if (cycle_bytes > FRAMES_BLOCK_BYTES_MAX)
        return failure_set(failure, ERR_FULL, "--subjects times --size is more than a block of %d MiB",
                           FRAMES_BLOCK_BYTES_MAX >> 20);
    frames->cycle_bytes = (size_t)cycle_bytes;
    size_t repeats = 1 + (FRAMES_WRITE_BYTES + frames->cycle_bytes - 1) / frames->cycle_bytes;
    frames->block_bytes = repeats * frames->cycle_bytes;
    frames->block = memory_new(frames->block_bytes);
    frames->due_before = memory_new((frames->cycle + 1) * sizeof(*frames->due_before));
    if (frames->block == NULL || frames->due_before == NULL) {
        frames_close(frames);
        return failure_set(failure, ERR_MEMORY, "out of memory");
    }
    frames_fill(frames, options, form, publisher);
    for (size_t i = 1; i < repeats; i++)
        memcpy(frames->block + i * frames->cycle_bytes, frames->block, frames->cycle_bytes);
    return ERR_OK;
}

void frames_close(struct frames *frames)
{
    memory_free(frames->block);
    memory_free(frames->due_before);
    *frames = (struct frames){0};
}

uint64_t frames_due(const struct frames *frames, uint64_t count)
{
    return count / frames->cycle * frames->due_before[frames->cycle] +
           frames->due_before[count % frames->cycle];
}

uint64_t frames_fan_out(const struct options *options, uint64_t subject)
{
    if (options->command == COMMAND_PUB)
        return 0;
    if (options->command == COMMAND_RELAY_FLOOR)
        return options->subscribers / options->publishers;
    uint64_t listeners = options->subscribers / options->subjects +
                         (subject < options->subscribers % options->subjects ? 1 : 0);
    return options->queue != NULL && listeners > 1 ? 1 : listeners;
}

uint64_t frames_on_subject(const struct options *options, uint64_t messages, uint64_t subject)
{
    return messages / options->subjects + (subject < messages % options->subjects ? 1 : 0);
}

uint64_t frames_of_publisher(const struct options *options, uint64_t messages, uint64_t publisher)
{
    return messages / options->publishers + (publisher < messages % options->publishers ? 1 : 0);
}

void frames_subject(char name[FRAMES_SUBJECT_BYTES], const struct options *options, uint64_t subject)
{
    if (options->subjects == 1) {
        (void)snprintf(name, FRAMES_SUBJECT_BYTES, "%s", options->subject);
        return;
    }
    int digits = 1;
    for (uint64_t rest = (options->subjects - 1) / 10; rest > 0; rest /= 10)
        digits++;
    (void)snprintf(name, FRAMES_SUBJECT_BYTES, "%s.%0*llu", options->subject, digits,
                   (unsigned long long)subject);
}

static size_t line_print(char line[FRAMES_LINE_BYTES], const struct options *options, enum frames_form form,
                         uint64_t subject)
{
    char name[FRAMES_SUBJECT_BYTES];
    frames_subject(name, options, subject);
    unsigned long long size = options->size_bytes;
    size_t header_bytes = sizeof(frames_header) - 1;
    int count = 0;
    if (form == FRAMES_MSG)
        count = snprintf(line, FRAMES_LINE_BYTES, "MSG %s 1 %llu\r\n", name, size);
    else if (options->headers)
        count = snprintf(line, FRAMES_LINE_BYTES, "HPUB %s %zu %llu\r\n", name, header_bytes,
                         size + header_bytes);
    else
        count = snprintf(line, FRAMES_LINE_BYTES, "PUB %s %llu\r\n", name, size);
    ASSERT(count > 0 && count < FRAMES_LINE_BYTES);
    return (size_t)count;
}

static uint64_t common_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static void frames_fill(struct frames *frames, const struct options *options, enum frames_form form,
                        uint64_t publisher)
{
    for (uint64_t k = 0; k < frames->cycle; k++) {
        uint64_t subject = (publisher + k * options->publishers) % options->subjects;
        uint8_t *frame = frames->block + k * frames->frame_bytes;
        char line[FRAMES_LINE_BYTES];
        size_t line_count = line_print(line, options, form, subject);
        memcpy(frame, line, line_count);
        if (options->headers)
            memcpy(frame + line_count, frames_header, sizeof(frames_header) - 1);
        memset(frame + frames->payload_offset, 'x', options->size_bytes);
        frame[frames->frame_bytes - 2] = '\r';
        frame[frames->frame_bytes - 1] = '\n';
        frames->due_before[k + 1] = frames->due_before[k] + frames_fan_out(options, subject);
    }
}
