/* core/security/permissions.h - what a user may publish, subscribe to and be sent (spec/security.md 3).
 * In the flow:  security_permissions_parse() -> struct security_user -> login
 *               PUB     -> permissions_publish()   (through permission_cache.h)
 *               SUB     -> permissions_subscribe() -> refused, granted, or granted with a filter
 *               deliver -> permissions_deliver()   for subscriptions with a filter
 * Immutable, in the snapshot's arena. Where nats-server takes `>` and `*` of a subscription for tokens, here
 * a subscription is granted only when all that it can receive is allowed, and whatever meets a deny list is
 * filtered (docs/security.md). Cost: publish and deliver, a walk down a trie; subscribe, the same, and a line
 * for each entry that names a queue. Thread: any, to read. */
#ifndef CORE_SECURITY_PERMISSIONS_H
#define CORE_SECURITY_PERMISSIONS_H

#include "core/config/option.h"
#include "core/subject/pattern_set.h"

/* An entry "subject queue" of a subscribe list. */
struct permission_queue {
    struct bytes pattern;
    struct bytes queue; /* a name, or a pattern for names */
};

/* An allow or a deny list. */
struct permission_list {
    struct pattern_set plain;     /* its entries without a queue */
    const struct bytes *patterns; /* those, as they were written */
    uint32_t pattern_count;
    const struct permission_queue *queues;
    uint32_t queue_count;
    bool given; /* an allow list that is not given allows all; one that is and is empty allows nothing */
};

struct permission_direction {
    struct permission_list allow;
    struct permission_list deny;
};

/* allow_responses: who was sent a message may publish to its reply. */
struct permission_responses {
    int64_t expires_ns; /* negative: never */
    int64_t count_max;  /* to one reply; negative: any number */
    bool given;
};

struct security_permissions {
    struct permission_direction publish; /* its lists name no queues */
    struct permission_direction subscribe;
    struct permission_responses responses;
};

/* Reads a `permissions` map. NULL when something is wrong, which is noted in `errors`. Owner: the arena. */
const struct security_permissions *security_permissions_parse(const struct config_entry *entry,
                                                              struct arena *arena,
                                                              struct option_errors *errors);

/* What allow_responses is when it says no more. */
#define PERMISSION_RESPONSES_DEFAULT                                                                         \
    ((struct permission_responses){.expires_ns = 120LL * 1000 * 1000 * 1000, .count_max = 1, .given = true})

/* Makes a list of texts, a zero behind each, as a token has them; with `queues`, "subject queue" too. An
 * empty one is none. Owner: the arena, which gets copies. ERR_INVALID: an entry is no subject, *wrong is
 * which; ERR_MEMORY, ERR_FULL. */
MUST_USE enum err permission_list_make(struct permission_list *list, struct bytes texts, bool queues,
                                       struct arena *arena, struct bytes *wrong);

/* What `permissions` (NULL: everything) allow, but for these patterns: published, and with `subscribing` also
 * subscribed to. NULL: memory is out. Owner: the arena, and as long as `permissions` are there. */
const struct security_permissions *permissions_denying(const struct security_permissions *permissions,
                                                       const struct bytes *patterns, uint32_t count,
                                                       bool subscribing, struct arena *arena);

/* Whether a message may be published there, responses aside. */
bool permissions_publish(const struct security_permissions *permissions, struct bytes subject);

enum permission_grant {
    PERMISSION_REFUSED,
    PERMISSION_GRANTED,
    PERMISSION_FILTERED, /* granted, but what permissions_deliver() says no to must not reach it */
};

/* Whether a subscription may be made; `queue` empty: a plain one. A subject that is no valid pattern is
 * refused by an allow list, and granted without one: it is not for permissions to say what is wrong with it.
 */
enum permission_grant permissions_subscribe(const struct security_permissions *permissions,
                                            struct bytes subject, struct bytes queue);

/* Whether a message of this subject may reach a subscription that was granted with a filter. */
bool permissions_deliver(const struct security_permissions *permissions, struct bytes subject,
                         struct bytes queue);

#endif
