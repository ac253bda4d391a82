/* core/subject/transform.h - from one subject to another by a rule: "orders.*.*" to "by.$2.$1"
 * (spec/security.md 6). Serves the mappings of an account (mapping.h) and the imports of streams and
 * services. In the flow:  configuration -> transform_compile() || router: transform_apply() for each subject
 * not seen just before. Compiled once, immutable, read by any thread; all of it lies in the arena it was
 * compiled into. At the bounds: a source with more than TRANSFORM_TOKENS_MAX tokens is refused; a result that
 * does not fit the caller's buffer is no result. */
#ifndef CORE_SUBJECT_TRANSFORM_H
#define CORE_SUBJECT_TRANSFORM_H

#include "core/base/arena.h"
#include "core/base/bytes.h"
#include "core/base/random.h"

enum {
    TRANSFORM_TOKENS_MAX = 256,
    TRANSFORM_SUBJECT_BYTES_MAX = 65535, /* nobody can subscribe to a longer one: see index_add() */
};

enum transform_error {
    TRANSFORM_OK,
    TRANSFORM_MEMORY,
    TRANSFORM_BAD_SUBJECT,     /* source or destination is none, or only one of them ends with `>` */
    TRANSFORM_BAD_DESTINATION, /* a mapping's destination with an empty token, or one behind `>` */
    TRANSFORM_UNKNOWN_FUNCTION,
    TRANSFORM_OUT_OF_RANGE,
    TRANSFORM_TOO_FEW_ARGUMENTS,
    TRANSFORM_TOO_MANY_ARGUMENTS,
    TRANSFORM_BAD_ARGUMENT,
    TRANSFORM_NOT_FOR_IMPORTS, /* an import's knows wildcard() only */
    TRANSFORM_NOT_ALL_USED,    /* an import's has to use every `*` of its source */
    TRANSFORM_USED_TWICE,      /* and only once: what it yields could not be told from what it never yields */
};

/* What was wrong, and where. */
struct transform_trouble {
    enum transform_error error;
    struct bytes token; /* of the destination's bytes */
    int64_t index;      /* of OUT_OF_RANGE; 0: the sentence names none */
};

enum transform_use {
    TRANSFORM_FOR_MAPPING,
    TRANSFORM_FOR_IMPORT, /* can be inverted: wildcard() only, and every `*` of the source is used */
};

enum transform_function {
    TRANSFORM_LITERAL,
    TRANSFORM_WILDCARD,      /* wildcard(i), $i */
    TRANSFORM_PARTITION,     /* partition(n, i, j..) */
    TRANSFORM_PARTITION_ALL, /* partition(n): of the whole subject */
    TRANSFORM_RANDOM,        /* random(n) */
    TRANSFORM_SPLIT,         /* split(i, separator) */
    TRANSFORM_SPLIT_LEFT,    /* splitFromLeft(i, n) */
    TRANSFORM_SPLIT_RIGHT,   /* splitFromRight(i, n) */
    TRANSFORM_SLICE_LEFT,    /* sliceFromLeft(i, n) */
    TRANSFORM_SLICE_RIGHT,   /* sliceFromRight(i, n) */
    TRANSFORM_LEFT,          /* left(i, n) */
    TRANSFORM_RIGHT,         /* right(i, n) */
};

/* One token of the destination. */
struct transform_part {
    enum transform_function function;
    int32_t number;
    struct bytes text;      /* the literal, or split's separator */
    const uint16_t *tokens; /* which tokens of the subject it takes, from 0 */
    uint32_t token_count;
};

struct transform {
    struct bytes source;
    struct bytes destination;
    const struct transform_part *parts;
    uint32_t part_count;
    uint32_t tokens_needed; /* of the subject, from its start */
    uint32_t rest_from;     /* with `rest`: the subject's token where `>` begins */
    bool rest;              /* both end with `>`: what it stands for comes last */
};

/* Compiles. Not TRANSFORM_OK: *trouble says what is wrong, its token pointing into `destination`. The texts
 * are copied. Owner of *transform: the arena. */
MUST_USE enum transform_error transform_compile(const struct transform **transform, struct bytes source,
                                                struct bytes destination, enum transform_use use,
                                                struct arena *arena, struct transform_trouble *trouble);

/* The way back, of one that was compiled for an import. NULL: memory is out. */
MUST_USE const struct transform *transform_inverse(const struct transform *transform, struct arena *arena);

/* The nats-server sentence for it, without a position: "invalid mapping destination: ... in ...". */
void transform_trouble_text(const struct transform_trouble *trouble, char *out, size_t out_bytes);

/* A destination as the pattern of all that it can yield: "by.$2.$1" is "by.*.*". For imports. No data: memory
 * is out. */
struct bytes transform_pattern(struct bytes destination, struct arena *arena);

/* A pattern as a destination: "mine.*.*" is "mine.$1.$2". No data: memory is out. */
struct bytes transform_numbered(struct bytes pattern, struct arena *arena);

/* Writes what becomes of a subject that the source matches; also of a pattern inside the source, for imports:
 * its `*` and `>` go where their tokens go. Returns the count, 0 when it does not fit `capacity` or the
 * subject has fewer tokens than the source. `random` may be NULL for imports. Cost: one pass over the tokens.
 * Thread: any. */
size_t transform_apply(const struct transform *transform, struct bytes subject, struct random *random,
                       uint8_t *out, size_t capacity);

#endif
