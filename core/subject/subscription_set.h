/* core/subject/subscription_set.h - changing the sets that index.h lets everyone read.
 * One subscription needs no array: most patterns (inboxes) have just one. Thread: the index's. */
#ifndef CORE_SUBJECT_SUBSCRIPTION_SET_H
#define CORE_SUBJECT_SUBSCRIPTION_SET_H

#include "core/subject/index.h"

/* Puts it last and notes its position. ERR_MEMORY: nothing has changed. ERR_FULL: 2^31 members. */
MUST_USE enum err subscription_set_add(struct subscription_set *set, struct subscription *subscription);

/* Takes it out by its position; the last one moves into the hole. Cannot fail: when memory for a smaller
 * array is out, the larger one stays. */
void subscription_set_remove(struct subscription_set *set, struct subscription *subscription);

/* Memory held besides the set itself. */
static inline size_t subscription_set_bytes(const struct subscription_set *set)
{
    return (size_t)set->capacity * sizeof(struct subscription *);
}

#endif
