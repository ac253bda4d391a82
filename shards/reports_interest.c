/* shards/reports_interest.c - pages about what another server or cluster wants of an account; see reports.h.
 * The index is walked in steps (index_step()), because it changes between two pages: what is there all the
 * time is told, what moves in the table meanwhile perhaps twice. */
#include "core/subject/index.h"
#include "shards/reports_internal.h"

#include <string.h>

/* Those of one step of the walk that are not told yet. */
struct telling {
    struct answering *answering;
    struct bytes account;
    uint32_t number;
    uint64_t id;
    uint64_t told; /* of this step, on the pages before too */
    uint64_t met;
    bool full;
};

static void put(struct telling *telling, struct bytes subject, struct bytes queue)
{
    struct bytes parts[] = {telling->account, subject, queue};
    size_t part_count = telling->account.count == 0 ? 0 : queue.count > 0 ? 3 : 2;
    struct report_subscription record = {
        .cid = telling->id,
        .subject_count = (uint32_t)subject.count,
        .queue_count = (uint32_t)queue.count,
        .sid_count = part_count == 0
                         ? 0
                         : (uint32_t)(telling->account.count + subject.count + queue.count + part_count - 1),
    };
    struct report_record head = {.kind = REPORT_RECORD_SUBSCRIPTION};
    if (telling->met++ < telling->told || telling->full)
        return;
    head.bytes = (uint32_t)(sizeof head + sizeof record + subject.count + queue.count + record.sid_count);
    uint8_t *to = page_reserve(&telling->answering->page, head.bytes);
    if (to == NULL) {
        telling->full = true;
        return;
    }
    memcpy(to, &head, sizeof head);
    memcpy(to + sizeof head, &record, sizeof record);
    to += sizeof head + sizeof record;
    memcpy(to, subject.data, subject.count);
    to += subject.count;
    if (queue.count > 0)
        memcpy(to, queue.data, queue.count);
    to += queue.count;
    for (size_t i = 0; i < part_count; i++) {
        if (i > 0)
            *to++ = ' ';
        memcpy(to, parts[i].data, parts[i].count);
        to += parts[i].count;
    }
    telling->told++;
}

static void tell(void *context, struct interest *interest)
{
    struct telling *telling = context;
    struct bytes none = {NULL, 0};
    if (telling->answering->items_left > 0)
        telling->answering->items_left--;
    if ((interest->remote_shards >> telling->number & 1) != 0)
        put(telling, interest_pattern(interest), none);
    for (const struct queue_group *group = interest->groups; group != NULL; group = group->next_in_interest) {
        if (queue_group_remote(group, telling->number) > 0)
            put(telling, interest_pattern(interest), queue_group_name(group));
    }
}

bool reports_interest_tell(struct answering *answering, const struct index *index, uint32_t number,
                           uint64_t id, struct bytes account)
{
    struct report_cursor *at = &answering->at;
    struct telling telling = {
        .answering = answering,
        .account = account,
        .number = number,
        .id = id,
        .told = at->skip,
    };
    do {
        if (answering->items_left == 0)
            return false;
        answering->items_left--; /* empty places are looked at too */
        uint32_t next = index_step(index, (uint32_t)at->minor, tell, &telling);
        if (telling.full) {
            at->skip = telling.told;
            return false;
        }
        at->minor = next;
        at->skip = telling.told = telling.met = 0;
    } while (at->minor != 0);
    return true;
}
