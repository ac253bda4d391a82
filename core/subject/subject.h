/* core/subject/subject.h - what a subject is: tokens between dots, `*` for one token, `>` for the rest.
 * Pure functions over bytes; spec/client-protocol.md 6. Thread: any. Cost: one pass over the bytes. */
#ifndef CORE_SUBJECT_SUBJECT_H
#define CORE_SUBJECT_SUBJECT_H

#include "core/base/bytes.h"

/* Whether a SUB may name it: no empty token, nothing behind a `>` token. */
bool subject_valid_pattern(struct bytes subject);

/* Whether a publisher may name it when pedantic: no empty token, no token that is `*` or `>`. */
bool subject_valid_literal(struct bytes subject);

/* The same, and it can stand in a control line: no blanks, no bytes that control. For subjects that the
 * server makes of names. */
bool subject_valid_spoken(struct bytes subject);

/* Whether some token is `*`, or the last one is `>`: it can match other subjects than itself. */
bool subject_has_wildcard(struct bytes subject);

/* Tokens, wildcards included; an empty subject has one (empty) token. */
size_t subject_token_count(struct bytes subject);

/* Whether a message on `subject` (its bytes literal) goes to a subscription of `pattern`. A subject with an
 * empty token matches nothing. */
bool subject_matches(struct bytes pattern, struct bytes subject);

/* Whether every subject that `inner` can match is matched by `outer` too (permissions: strict subset). */
bool subject_is_subset(struct bytes inner, struct bytes outer);

/* Whether some subject is matched by both patterns. */
bool subject_collides(struct bytes a, struct bytes b);

/* Writes the pattern of all subjects that both patterns match; 0: there is none, or more than `capacity`
 * bytes of it. */
size_t subject_intersection(struct bytes a, struct bytes b, uint8_t *out, size_t capacity);

#endif
