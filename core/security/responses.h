/* core/security/responses.h - the replies that one connection may publish to because it was asked: the memory
 * behind allow_responses (spec/security.md 3.4).
 * In the flow:  a request is delivered -> responses_note();  a publish that nothing else allows ->
 *               responses_take(). What is too old is let go of as new ones come, oldest first.
 * At the bound: RESPONSES_MAX replies; then the oldest is forgotten. Memory out: the request is delivered and
 * its answer refused. One thread's. */
#ifndef CORE_SECURITY_RESPONSES_H
#define CORE_SECURITY_RESPONSES_H

#include "core/base/list.h"
#include "core/security/permissions.h"

enum { RESPONSES_MAX = 64 * 1024 };

struct response;

/* All zero but for `seed` is empty, and is not touched before the first responses_note(). */
struct responses {
    struct response **slots; /* by hash of the reply, open addressing */
    struct list by_age;      /* oldest first */
    uint32_t count;
    uint32_t capacity; /* a power of two, or 0 */
    uint64_t seed;     /* of the hashes; not to be guessed by who asks (core/base/hash.h) */
};

/* A request with that reply was delivered. One that is known already starts anew. */
void responses_note(struct responses *responses, const struct permission_responses *rule, struct bytes reply,
                    int64_t now_ns);

/* Whether one more message may be published to that reply; it is counted. */
bool responses_take(struct responses *responses, const struct permission_responses *rule, struct bytes reply,
                    int64_t now_ns);

/* What was taken last for that reply was not published after all. */
void responses_give_back(struct responses *responses, struct bytes reply);

/* Forgets all; legal when empty. */
void responses_close(struct responses *responses);

#endif
