/* core/subject/transform.c - carrying out a compiled transform; see transform.h. Compiling is in
 * transform_compile.c. What is written goes through a writer that remembers an overflow, so that no function
 * has to ask. */
#include "core/subject/transform.h"

#include "core/subject/tokens.h"

#include <stdio.h>

enum { FNV_OFFSET = 0x811c9dc5U, FNV_PRIME = 0x01000193U };

struct writer {
    uint8_t *out;
    size_t capacity;
    size_t count; /* above capacity: it did not fit */
};

/* The subject and where its first tokens lie. */
struct cut {
    struct bytes subject;
    uint32_t starts[TRANSFORM_TOKENS_MAX + 1];
    uint32_t ends[TRANSFORM_TOKENS_MAX + 1];
};

static void write(struct writer *to, struct bytes bytes)
{
    if (bytes.count > 0 && to->count <= to->capacity && bytes.count <= to->capacity - to->count)
        memcpy(to->out + to->count, bytes.data, bytes.count);
    to->count = to->count > to->capacity ? to->count : to->count + bytes.count;
}

static void write_number(struct writer *to, uint32_t number)
{
    char digits[16];
    int count = snprintf(digits, sizeof digits, "%u", number);
    write(to, bytes_of(digits, (size_t)count));
}

/* The first tokens of the subject; false when it has too few. */
static bool cut(struct cut *cut, struct bytes subject, uint32_t needed)
{
    size_t start = 0;
    cut->subject = subject;
    for (uint32_t i = 0; i < needed; i++) {
        if (start > subject.count)
            return false;
        size_t end = token_end(subject, start);
        cut->starts[i] = (uint32_t)start;
        cut->ends[i] = (uint32_t)end;
        start = end + 1;
    }
    return true;
}

static struct bytes token_at(const struct cut *cut, uint32_t index)
{
    return token_of(cut->subject, cut->starts[index], cut->ends[index]);
}

static uint32_t fnv(uint32_t hash, struct bytes bytes)
{
    for (size_t i = 0; i < bytes.count; i++)
        hash = (hash ^ bytes.data[i]) * FNV_PRIME;
    return hash;
}

static void write_partition(struct writer *to, const struct transform_part *part, const struct cut *cut)
{
    uint32_t hash = FNV_OFFSET;
    if (part->function == TRANSFORM_PARTITION_ALL)
        hash = fnv(hash, cut->subject);
    for (uint32_t i = 0; i < part->token_count; i++)
        hash = fnv(hash, token_at(cut, part->tokens[i]));
    write_number(to, part->number == 0 ? 0 : hash % (uint32_t)part->number);
}

/* `value` as head and tail with a dot between, unless one of them would be empty. */
static void write_halves(struct writer *to, struct bytes value, size_t head)
{
    write(to, bytes_of(value.data, head));
    if (head == 0 || head == value.count)
        return;
    write(to, TEXT("."));
    write(to, bytes_of(value.data + head, value.count - head));
}

/* Pieces of `size` with dots between; the first has `first`. */
static void write_slices(struct writer *to, struct bytes value, size_t first, size_t size)
{
    for (size_t at = 0; at < value.count;) {
        size_t count = at == 0 ? first : size;
        count = count < value.count - at ? count : value.count - at;
        if (at > 0)
            write(to, TEXT("."));
        write(to, bytes_of(value.data + at, count));
        at += count;
    }
}

/* Where the separator stands next, or the end. An empty one stands behind every letter of UTF-8. */
static size_t separator_find(struct bytes value, size_t from, struct bytes separator)
{
    if (separator.count == 0) {
        size_t at = from + 1;
        while (at < value.count && (value.data[at] & 0xc0) == 0x80)
            at++;
        return at < value.count ? at : value.count;
    }
    const uint8_t *found = memmem(value.data + from, value.count - from, separator.data, separator.count);
    return found == NULL ? value.count : (size_t)(found - value.data);
}

static void write_split(struct writer *to, struct bytes value, struct bytes separator)
{
    bool some = false;
    for (size_t at = 0; at < value.count;) {
        size_t end = separator_find(value, at, separator);
        if (end > at) { /* what is empty is left out: no empty tokens */
            if (some)
                write(to, TEXT("."));
            write(to, bytes_of(value.data + at, end - at));
            some = true;
        }
        at = end + separator.count;
    }
}

/* The functions that take a value and a length; a length that leaves nothing to cut leaves the value. */
static void write_cut(struct writer *to, const struct transform_part *part, struct bytes value)
{
    if (part->number <= 0 || (size_t)part->number >= value.count) {
        write(to, value);
        return;
    }
    size_t length = (size_t)part->number;
    switch (part->function) {
    case TRANSFORM_SPLIT_LEFT:
        write_halves(to, value, length);
        return;
    case TRANSFORM_SPLIT_RIGHT:
        write_halves(to, value, value.count - length);
        return;
    case TRANSFORM_SLICE_LEFT:
        write_slices(to, value, length, length);
        return;
    case TRANSFORM_SLICE_RIGHT:
        write_slices(to, value, value.count % length == 0 ? length : value.count % length, length);
        return;
    case TRANSFORM_LEFT:
        write(to, bytes_of(value.data, length));
        return;
    case TRANSFORM_RIGHT:
        write(to, bytes_of(value.data + value.count - length, length));
        return;
    case TRANSFORM_LITERAL:
    case TRANSFORM_WILDCARD:
    case TRANSFORM_PARTITION:
    case TRANSFORM_PARTITION_ALL:
    case TRANSFORM_RANDOM:
    case TRANSFORM_SPLIT:
        return;
    }
}

static void write_part(struct writer *to, const struct transform_part *part, const struct cut *cut,
                       struct random *random)
{
    switch (part->function) {
    case TRANSFORM_LITERAL:
        write(to, part->text);
        return;
    case TRANSFORM_WILDCARD:
        write(to, token_at(cut, part->tokens[0]));
        return;
    case TRANSFORM_PARTITION:
    case TRANSFORM_PARTITION_ALL:
        write_partition(to, part, cut);
        return;
    case TRANSFORM_RANDOM:
        write_number(to, part->number == 0 ? 0 : random_below(random, (uint32_t)part->number));
        return;
    case TRANSFORM_SPLIT:
        write_split(to, token_at(cut, part->tokens[0]), part->text);
        return;
    case TRANSFORM_SPLIT_LEFT:
    case TRANSFORM_SPLIT_RIGHT:
    case TRANSFORM_SLICE_LEFT:
    case TRANSFORM_SLICE_RIGHT:
    case TRANSFORM_LEFT:
    case TRANSFORM_RIGHT:
        write_cut(to, part, token_at(cut, part->tokens[0]));
        return;
    }
}

size_t transform_apply(const struct transform *transform, struct bytes subject, struct random *random,
                       uint8_t *out, size_t capacity)
{
    struct cut tokens;
    struct writer to = {.out = out, .capacity = capacity};
    if (!cut(&tokens, subject, transform->tokens_needed))
        return 0;
    for (uint32_t i = 0; i < transform->part_count; i++) {
        if (i > 0)
            write(&to, TEXT("."));
        write_part(&to, &transform->parts[i], &tokens, random);
    }
    if (transform->rest) {
        size_t from = transform->rest_from == 0 ? 0 : tokens.ends[transform->rest_from - 1] + 1U;
        if (from >= subject.count)
            return 0; /* `>` stands for one token at least */
        if (transform->part_count > 0)
            write(&to, TEXT("."));
        write(&to, bytes_of(subject.data + from, subject.count - from));
    }
    return to.count <= to.capacity ? to.count : 0;
}
