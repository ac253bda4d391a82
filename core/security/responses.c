/* core/security/responses.c - see responses.h: linear probing over pointers, holes closed by moving back. */
#include "core/security/responses.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/memory.h"

enum { CAPACITY_LEAST = 16, EXPIRED_PER_NOTE_MAX = 4 };

struct response {
    struct list_link age; /* in responses.by_age, always */
    int64_t noted_ns;
    int64_t count; /* published to it so far */
    uint32_t reply_count;
    uint8_t reply[];
};

static struct bytes reply_of(const struct response *response)
{
    return bytes_of(response->reply, response->reply_count);
}

static uint32_t home(const struct responses *responses, struct bytes reply)
{
    return (uint32_t)hash_bytes(reply, responses->seed) & (responses->capacity - 1);
}

static struct response *find(const struct responses *responses, struct bytes reply)
{
    if (responses->count == 0)
        return NULL;
    for (uint32_t at = home(responses, reply);; at = (at + 1) & (responses->capacity - 1)) {
        struct response *found = responses->slots[at];
        if (found == NULL || bytes_equal(reply_of(found), reply))
            return found;
    }
}

static void place(struct responses *responses, struct response *response)
{
    uint32_t at = home(responses, reply_of(response));
    while (responses->slots[at] != NULL)
        at = (at + 1) & (responses->capacity - 1);
    responses->slots[at] = response;
}

static void forget(struct responses *responses, struct response *response)
{
    uint32_t mask = responses->capacity - 1;
    uint32_t hole = home(responses, reply_of(response));
    while (responses->slots[hole] != response) {
        ASSERT(responses->slots[hole] != NULL);
        hole = (hole + 1) & mask;
    }
    for (uint32_t at = (hole + 1) & mask; responses->slots[at] != NULL; at = (at + 1) & mask) {
        uint32_t wanted = home(responses, reply_of(responses->slots[at]));
        /* It may move back when its home does not lie behind the hole, going round. */
        if (((at - wanted) & mask) >= ((at - hole) & mask)) {
            responses->slots[hole] = responses->slots[at];
            hole = at;
        }
    }
    responses->slots[hole] = NULL;
    responses->count--;
    list_remove(&response->age);
    memory_free(response);
}

static bool expired(const struct response *response, const struct permission_responses *rule, int64_t now_ns)
{
    return rule->expires_ns >= 0 && now_ns - response->noted_ns > rule->expires_ns;
}

static struct response *oldest(const struct responses *responses)
{
    return LIST_ELEMENT(list_first(&responses->by_age), struct response, age);
}

/* Some of what is too old goes with each that comes, so that no single one pays for thousands. */
static void make_room(struct responses *responses, const struct permission_responses *rule, int64_t now_ns)
{
    for (int i = 0; i < EXPIRED_PER_NOTE_MAX && responses->count > 0; i++) {
        if (!expired(oldest(responses), rule, now_ns))
            break;
        forget(responses, oldest(responses));
    }
    if (responses->count >= RESPONSES_MAX)
        forget(responses, oldest(responses));
}

static MUST_USE enum err grow(struct responses *responses)
{
    uint32_t capacity = responses->capacity == 0 ? CAPACITY_LEAST : responses->capacity * 2;
    struct response **slots = memory_new(capacity * sizeof *slots);
    if (slots == NULL)
        return ERR_MEMORY;
    if (responses->capacity == 0)
        list_init(&responses->by_age);
    memory_free(responses->slots);
    responses->slots = slots;
    responses->capacity = capacity;
    for (struct list_link *at = list_first(&responses->by_age); at != NULL;
         at = list_next(&responses->by_age, at))
        place(responses, LIST_ELEMENT(at, struct response, age));
    return ERR_OK;
}

void responses_note(struct responses *responses, const struct permission_responses *rule, struct bytes reply,
                    int64_t now_ns)
{
    struct response *response = find(responses, reply);
    if (response != NULL) {
        list_remove(&response->age);
    } else {
        make_room(responses, rule, now_ns);
        if ((responses->count + 1) * 2 > responses->capacity && grow(responses) != ERR_OK)
            return;
        response = memory_new(sizeof *response + reply.count);
        if (response == NULL)
            return;
        response->reply_count = (uint32_t)reply.count;
        memcpy(response->reply, reply.data, reply.count);
        place(responses, response);
        responses->count++;
    }
    response->noted_ns = now_ns;
    response->count = 0;
    list_push_last(&responses->by_age, &response->age);
}

bool responses_take(struct responses *responses, const struct permission_responses *rule, struct bytes reply,
                    int64_t now_ns)
{
    struct response *response = find(responses, reply);
    if (response == NULL)
        return false;
    response->count++;
    bool over = rule->count_max >= 0 && response->count > rule->count_max;
    if (!over && !expired(response, rule, now_ns))
        return true;
    forget(responses, response);
    return false;
}

void responses_give_back(struct responses *responses, struct bytes reply)
{
    struct response *response = find(responses, reply);
    if (response != NULL && response->count > 0)
        response->count--;
}

void responses_close(struct responses *responses)
{
    while (responses->count > 0)
        forget(responses, oldest(responses));
    memory_free(responses->slots);
    *responses = (struct responses){.seed = responses->seed};
}
