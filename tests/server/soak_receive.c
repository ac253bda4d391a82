/* tests/server/soak_receive.c - a message has come: is it what was published, may it come here, is it in
 * order? In the flow: connections_turn() -> message_received() -> the model's table of what was seen. */
#include "tests/server/soak.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SABOTAGE_EVERY = 40 }; /* deliveries */

static void no_responders_received(struct soak *soak, uint32_t slot, const struct soak_message *message);
static bool message_identify(const struct soak_message *message, uint32_t *round, uint32_t *number);
static bool message_unchanged(struct soak_model *model, const struct soak_publication *p, uint32_t number,
                              const struct soak_message *message);
static void delivery_book(struct soak *soak, uint32_t slot, uint32_t index, uint32_t number);
static void order_check(struct soak *soak, uint32_t slot, uint32_t number, bool may_be_late);
static void subscription_count(struct soak *soak, uint32_t slot, uint32_t sid);
static bool sabotage_now(const struct soak_model *model, enum sabotage sabotage);
static uint32_t sabotage_victim(const struct soak_model *model, uint32_t index);

size_t soak_reply(char *reply, size_t reply_bytes, uint32_t connection, uint32_t round, uint32_t number)
{
    return (size_t)snprintf(reply, reply_bytes, "_SOAK.%u.%u.%u", connection, round, number);
}

size_t soak_header(char *header, size_t header_bytes, uint32_t round, uint32_t number)
{
    return (size_t)snprintf(header, header_bytes, "NATS/1.0\r\nSoak: %u.%u\r\n\r\n", round, number);
}

bool soak_subscription_spent(const struct soak_subscription *s)
{
    return s->max != 0 && s->delivered >= s->max && s->confirmed != TICK_NEVER;
}

void soak_subscription_end(struct soak_subscription *s, uint64_t tick)
{
    s->end_sent = s->end_sent < tick ? s->end_sent : tick;
    s->end_confirmed = tick;
}

void message_received(struct soak *soak, uint32_t slot, const struct soak_message *message)
{
    struct soak_model *model = &soak->model;
    struct soak_connection *connection = &soak->connections[slot];
    uint32_t round = 0;
    uint32_t number = 0;
    if (message->sid == INBOX_SID) {
        no_responders_received(soak, slot, message);
        return;
    }
    if (message->sid >= SIDS || connection->subscriptions[message->sid] < 0) {
        model_fail(model, "connection %u: a message for sid %u, which is not subscribed", connection->serial,
                   message->sid);
        return;
    }
    model->deliveries++;
    if (!message_identify(message, &round, &number)) {
        model_fail(model, "connection %u: a message without a number on %.*s", connection->serial,
                   (int)message->subject_count, message->subject);
        return;
    }
    if (round + 1 == model->round && number < model->previous_count &&
        model->previous[number].confirmed == TICK_NEVER) {
        model->stragglers++;
        subscription_count(soak, slot, message->sid);
        return;
    }
    if (round != model->round || number >= model->publication_count) {
        model_fail(model, "connection %u: publication %u of round %u, which was over", connection->serial,
                   number, round);
        return;
    }
    if (!message_unchanged(model, &model->publications[number], number, message)) {
        model_fail(model, "connection %u: publication %u came with other bytes", connection->serial, number);
        return;
    }
    model->passed++;
    uint32_t index = (uint32_t)connection->subscriptions[message->sid];
    delivery_book(soak, slot, index, number);
    order_check(soak, slot, number, model->subscriptions[index].group != 0 && !model->strict_queues);
    subscription_count(soak, slot, message->sid);
}

static void no_responders_received(struct soak *soak, uint32_t slot, const struct soak_message *message)
{
    struct soak_model *model = &soak->model;
    uint32_t serial = soak->connections[slot].serial;
    uint32_t connection = 0;
    uint32_t round = 0;
    uint32_t number = 0;
    char subject[64];
    snprintf(subject, sizeof(subject), "%.*s", (int)message->subject_count, message->subject);
    bool ours =
        sscanf(subject, "_SOAK.%" SCNu32 ".%" SCNu32 ".%" SCNu32, &connection, &round, &number) == 3 &&
        connection == serial && round == model->round && number < model->publication_count &&
        model->publications[number].connection == serial && model->publications[number].reply;
    bool status = message->header_count >= 12 && memcmp(message->header, "NATS/1.0 503", 12) == 0 &&
                  message->payload_count == 0;
    if (!ours || !status) {
        model_fail(model, "connection %u: a reply on %s that is no 503 for one of its publications", serial,
                   subject);
        return;
    }
    if (model->sabotage != SABOTAGE_NO_RESPONDERS) {
        model->publications[number].no_responders++;
    }
}

/* The number is in the payload where that is large enough, otherwise in the reply or the header. */
static bool message_identify(const struct soak_message *message, uint32_t *round, uint32_t *number)
{
    char text[96];
    uint32_t connection = 0;
    if (message->payload_count >= ID_BYTES) {
        uint64_t words[2];
        memcpy(words, message->payload, sizeof(words));
        *round = (uint32_t)words[0];
        *number = (uint32_t)words[1];
        return words[0] <= UINT32_MAX && words[1] < PUBLICATIONS_MAX;
    }
    if (message->reply_count > 0) {
        snprintf(text, sizeof(text), "%.*s", (int)message->reply_count, message->reply);
        return sscanf(text, "_SOAK.%" SCNu32 ".%" SCNu32 ".%" SCNu32, &connection, round, number) == 3;
    }
    snprintf(text, sizeof(text), "%.*s", (int)message->header_count, (const char *)message->header);
    return sscanf(text, "NATS/1.0\r\nSoak: %" SCNu32 ".%" SCNu32, round, number) == 2;
}

static bool message_unchanged(struct soak_model *model, const struct soak_publication *p, uint32_t number,
                              const struct soak_message *message)
{
    char reply[64];
    char header[64];
    const char *subject = model->subjects[p->subject];
    size_t reply_count = p->reply ? soak_reply(reply, sizeof(reply), p->connection, model->round, number) : 0;
    size_t header_count = p->header ? soak_header(header, sizeof(header), model->round, number) : 0;
    const uint8_t *payload = model_payload(model, model->round, number, p->size_bytes);
    if (sabotage_now(model, SABOTAGE_PAYLOAD) && p->size_bytes > 0) {
        model->expected[p->size_bytes - 1] ^= 1;
    }
    return message->subject_count == strlen(subject) &&
           memcmp(message->subject, subject, message->subject_count) == 0 &&
           message->reply_count == reply_count && memcmp(message->reply, reply, reply_count) == 0 &&
           message->header_count == header_count && memcmp(message->header, header, header_count) == 0 &&
           message->payload_count == p->size_bytes && memcmp(message->payload, payload, p->size_bytes) == 0;
}

static void delivery_book(struct soak *soak, uint32_t slot, uint32_t index, uint32_t number)
{
    struct soak_model *model = &soak->model;
    uint8_t *seen = model->seen[number];
    (void)slot;
    if (sabotage_now(model, SABOTAGE_DROP)) {
        return;
    }
    if (sabotage_now(model, SABOTAGE_STRANGER) || sabotage_now(model, SABOTAGE_MEMBER)) {
        seen[sabotage_victim(model, index)]++;
    }
    uint32_t count = sabotage_now(model, SABOTAGE_DUPLICATE) ? 2 : 1;
    seen[index] = (uint8_t)(seen[index] + count > UINT8_MAX ? UINT8_MAX : seen[index] + count);
}

/* Publications are numbered as they are published, so those of one publisher must not come with falling
 * numbers. The same number may come again: a connection can have several subscriptions that match. What went
 * to a queue group whose chosen member had left by then is chosen for once more on another thread, and may be
 * late: order is not promised there, and asked for only with --strict-queues. */
static void order_check(struct soak *soak, uint32_t slot, uint32_t number, bool may_be_late)
{
    struct soak_model *model = &soak->model;
    const struct soak_publication *p = &model->publications[number];
    struct soak_last *last = &soak->last[slot][p->slot];
    if (last->connection > p->connection) {
        return; /* the publisher was cut off, and another connection has its place: no order between them */
    }
    bool fresh = last->connection < p->connection || last->round != model->round;
    if (!fresh && number < last->publication && may_be_late) {
        model->passed++;
        return;
    }
    if (!fresh && number < last->publication) {
        model_fail(model, "connection %u: publication %u of connection %u came behind its publication %u",
                   soak->connections[slot].serial, number, p->connection, last->publication);
    } else {
        model->passed++;
    }
    *last = (struct soak_last){p->connection, number, model->round};
    if (sabotage_now(model, SABOTAGE_ORDER)) {
        last->publication = PUBLICATIONS_MAX;
    }
}

static void subscription_count(struct soak *soak, uint32_t slot, uint32_t sid)
{
    struct soak_model *model = &soak->model;
    int32_t *index = &soak->connections[slot].subscriptions[sid];
    struct soak_subscription *s = &model->subscriptions[*index];
    s->delivered++;
    if (soak_subscription_spent(s)) {
        soak_subscription_end(s, ++model->tick);
        *index = -1;
    }
}

static bool sabotage_now(const struct soak_model *model, enum sabotage sabotage)
{
    return model->sabotage == sabotage && model->deliveries % SABOTAGE_EVERY == 0;
}

/* For SABOTAGE_MEMBER another member of the same group, for SABOTAGE_STRANGER any other subscription. */
static uint32_t sabotage_victim(const struct soak_model *model, uint32_t index)
{
    uint8_t group = model->subscriptions[index].group;
    for (uint32_t i = 1; i < model->subscription_count; i++) {
        uint32_t victim = (index + i) % model->subscription_count;
        const struct soak_subscription *s = &model->subscriptions[victim];
        if (model->sabotage == SABOTAGE_STRANGER
                ? s->pattern != model->subscriptions[index].pattern
                : group != 0 && s->group == group && s->pattern == model->subscriptions[index].pattern) {
            return victim;
        }
    }
    return index;
}
