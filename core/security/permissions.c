/* core/security/permissions.c - see permissions.h; the configuration's side is in permissions_config.c. */
#include "core/security/permissions.h"

#include "core/subject/subject.h"

bool permissions_publish(const struct security_permissions *permissions, struct bytes subject)
{
    const struct permission_direction *publish = &permissions->publish;
    if (publish->allow.given && !pattern_set_matches(&publish->allow.plain, subject))
        return false;
    return !pattern_set_matches(&publish->deny.plain, subject);
}

static bool queue_named(const struct permission_queue *entry, struct bytes queue)
{
    return bytes_equal(entry->queue, queue) ||
           (subject_has_wildcard(entry->queue) && subject_is_subset(queue, entry->queue));
}

/* What the entries with a queue say: they speak only about subjects that they match, and then they alone. A
 * subscription with wildcards must be covered by one of them. */
static bool queue_allowed(const struct permission_list *allow, struct bytes subject, struct bytes queue,
                          bool otherwise)
{
    bool spoken = false;
    for (uint32_t i = 0; i < allow->queue_count; i++) {
        const struct permission_queue *entry = &allow->queues[i];
        if (!subject_matches(entry->pattern, subject))
            continue;
        spoken = true;
        if (queue_named(entry, queue) && subject_is_subset(subject, entry->pattern))
            return true;
    }
    return !spoken && otherwise;
}

static bool allowed(const struct permission_list *allow, struct bytes subject, struct bytes queue)
{
    if (!allow->given)
        return true;
    bool covered = pattern_set_covers(&allow->plain, subject);
    return queue.count == 0 ? covered : queue_allowed(allow, subject, queue, covered);
}

/* Whether some entry with a queue denies this queue what `meets` says about subjects. */
static bool queue_denied(const struct permission_list *deny, struct bytes subject, struct bytes queue,
                         bool (*meets)(struct bytes pattern, struct bytes subject))
{
    if (queue.count == 0)
        return false;
    for (uint32_t i = 0; i < deny->queue_count; i++) {
        if (queue_named(&deny->queues[i], queue) && meets(deny->queues[i].pattern, subject))
            return true;
    }
    return false;
}

enum permission_grant permissions_subscribe(const struct security_permissions *permissions,
                                            struct bytes subject, struct bytes queue)
{
    const struct permission_list *deny = &permissions->subscribe.deny;
    if (!allowed(&permissions->subscribe.allow, subject, queue))
        return PERMISSION_REFUSED;
    /* Taken for a published subject, so that `bar.>` is refused under a deny of `bar.*` as users know it. */
    if (pattern_set_matches(&deny->plain, subject) || queue_denied(deny, subject, queue, subject_matches))
        return PERMISSION_REFUSED;
    if (!subject_has_wildcard(subject))
        return PERMISSION_GRANTED;
    bool meets =
        pattern_set_collides(&deny->plain, subject) || queue_denied(deny, subject, queue, subject_collides);
    return meets ? PERMISSION_FILTERED : PERMISSION_GRANTED;
}

bool permissions_deliver(const struct security_permissions *permissions, struct bytes subject,
                         struct bytes queue)
{
    const struct permission_list *deny = &permissions->subscribe.deny;
    return !pattern_set_matches(&deny->plain, subject) &&
           !queue_denied(deny, subject, queue, subject_matches);
}
