/* tests/sim/streaming/client.c - clients of NATS Streaming that publish, subscribe, acknowledge most of what
 * they get, and come back when they are told that nobody knows them; see world.h. A request that gets no
 * answer is given up: what it did nobody knows, as in life. */
#include "tests/sim/streaming/world.h"

#include "shards/streaming/protocol.pb-c.h"

#include <stdlib.h>

enum { PLAIN, DURABLE, MEMBER, DURABLE_MEMBER };
enum { ANSWER_MS = 1500, BODY_BYTES = 512 };

const char *const world_channels[CHANNELS] = {"a", "b", "m", "t"};

static const struct {
    const char *group, *durable;
    int channel;
} kinds[KINDS] = {
    [PLAIN] = {"", "", 0},
    [DURABLE] = {"", "d", 0},
    [MEMBER] = {"g", "", 1},
    [DURABLE_MEMBER] = {"q", "d", 1},
};

int client_channel(int kind)
{
    return kinds[kind].channel;
}

/* ---- requests ---- */

static ProtobufCBinaryData in(const char *words)
{
    union {
        const char *read;
        uint8_t *written;
    } data = {.read = words};
    return (ProtobufCBinaryData){.len = strlen(words), .data = data.written};
}

/* Sends it; the answer will have the number. `channel`: that the subject of a publish names, else NULL. */
static uint32_t ask(struct world *world, struct client *client, enum streaming_request_kind kind,
                    const char *channel, const ProtobufCMessage *message)
{
    uint8_t body[BODY_BYTES];
    struct mail mail = {.kind = MAIL_REQUEST, .from = client->slot, .request = kind};
    size_t count = protobuf_c_message_get_packed_size(message);
    ASSERT(count <= sizeof body);
    if (channel != NULL)
        snprintf(mail.subject, sizeof mail.subject, "%s", channel);
    (void)protobuf_c_message_pack(message, body);
    struct asked *asked = &client->asked[++client->request % REQUESTS_MAX];
    *asked = (struct asked){.number = client->request, .kind = kind};
    snprintf(mail.reply, sizeof mail.reply, "r.%d.%u", client->slot, client->request);
    world_mail(world, mail, bytes_of(body, count));
    return client->request;
}

static void connect(struct world *world, struct client *client)
{
    Stan__ConnectRequest request = STAN__CONNECT_REQUEST__INIT;
    char id[8], inbox[SUBJECT_BYTES];
    client->life++;
    snprintf(id, sizeof id, "c%d", client->slot);
    snprintf(inbox, sizeof inbox, "hb.%d.%u", client->slot, client->life);
    request.client_id = in(id);
    request.heartbeat_inbox = in(inbox);
    request.conn_id = in(inbox);
    request.protocol = 1;
    client->state = CLIENT_ASKS;
    client->since_ms = world->now_ms;
    for (int kind = 0; kind < KINDS; kind++)
        client->holdings[kind].state = HOLDING_NONE;
    (void)ask(world, client, STREAMING_REQUEST_CONNECT, NULL, &request.base);
}

static void publish(struct world *world, struct client *client)
{
    Stan__PubMsg request = STAN__PUB_MSG__INIT;
    char id[8], data[16];
    uint32_t channels = world->weather.forgets && !world->healed ? CHANNELS : KEPT_CHANNELS;
    uint32_t channel = random_below(&world->random, channels), number = world->publish_count;
    if (number >= PUBLISHES_MAX || world->healed)
        return;
    if (channel == 3 && !world_chance(world, 5)) /* seldom enough to be deleted now and then */
        channel = 0;
    world->publishes[world->publish_count++] = (struct publish){.channel = (uint8_t)channel};
    snprintf(id, sizeof id, "c%d", client->slot);
    snprintf(data, sizeof data, "%u", number);
    request.client_id = in(id);
    request.guid = in(data);
    request.subject = in(world_channels[channel]);
    request.data = in(data);
    world->result->counts.publishes++;
    uint32_t asked = ask(world, client, STREAMING_REQUEST_PUBLISH, world_channels[channel], &request.base);
    client->asked[asked % REQUESTS_MAX].publish = number;
}

static void inbox_of(const struct client *client, int kind, char *inbox)
{
    snprintf(inbox, SUBJECT_BYTES, "in.%d.%d.%u", client->slot, kind, client->holdings[kind].life);
}

static void subscribe(struct world *world, struct client *client, int kind)
{
    struct holding_state *holding = &client->holdings[kind];
    Stan__SubscriptionRequest request = STAN__SUBSCRIPTION_REQUEST__INIT;
    char id[8], inbox[SUBJECT_BYTES];
    holding->state = HOLDING_ASKED;
    holding->since_ms = world->now_ms;
    holding->life++;
    if (kind == PLAIN)
        memset(holding->delivered, 0, sizeof holding->delivered);
    inbox_of(client, kind, inbox);
    snprintf(id, sizeof id, "c%d", client->slot);
    request.client_id = in(id);
    request.subject = in(world_channels[kinds[kind].channel]);
    request.q_group = in(kinds[kind].group);
    request.durable_name = in(kinds[kind].durable);
    request.inbox = in(inbox);
    request.max_in_flight = (int32_t)world_pick(world, 1, 40);
    request.ack_wait_in_secs = 1;
    request.start_position = 4 /* from the first */;
    holding->request = ask(world, client, STREAMING_REQUEST_SUBSCRIBE, NULL, &request.base);
    client->asked[holding->request % REQUESTS_MAX].holding = (uint32_t)kind;
}

static void leave(struct world *world, struct client *client, int kind)
{
    struct holding_state *holding = &client->holdings[kind];
    Stan__UnsubscribeRequest request = STAN__UNSUBSCRIBE_REQUEST__INIT;
    char id[8];
    snprintf(id, sizeof id, "c%d", client->slot);
    request.client_id = in(id);
    request.subject = in(world_channels[kinds[kind].channel]);
    request.inbox = in(holding->ack_inbox);
    holding->state = HOLDING_CLOSING;
    holding->since_ms = world->now_ms;
    holding->request = ask(world, client, STREAMING_REQUEST_SUBSCRIPTION_CLOSE, NULL, &request.base);
    client->asked[holding->request % REQUESTS_MAX].holding = (uint32_t)kind;
}

static void close_client(struct world *world, struct client *client)
{
    Stan__CloseRequest request = STAN__CLOSE_REQUEST__INIT;
    char id[8];
    snprintf(id, sizeof id, "c%d", client->slot);
    request.client_id = in(id);
    client->state = CLIENT_OFF; /* with or without an answer */
    world->result->counts.closes++;
    (void)ask(world, client, STREAMING_REQUEST_CLOSE, NULL, &request.base);
}

/* ---- answers ---- */

/* The text of a field that holds an error, of one of the answers. */
static bool errs(ProtobufCBinaryData error)
{
    return error.len > 0;
}

static void published(struct world *world, struct client *client, const struct asked *asked,
                      struct bytes body)
{
    Stan__PubAck *answer = stan__pub_ack__unpack(NULL, body.count, body.data);
    ASSERT(answer != NULL);
    if (!errs(answer->error)) {
        world->publishes[asked->publish].acknowledged = true;
        world->result->counts.acknowledged++;
    } else {
        world->result->counts.refused++;
        if (answer->error.len == 29 && memcmp(answer->error.data, "stan: invalid publish request", 29) == 0)
            client->state = CLIENT_OFF; /* nobody knows this client any more */
    }
    stan__pub_ack__free_unpacked(answer, NULL);
}

static void subscribed(struct world *world, struct holding_state *holding, const struct asked *asked,
                       struct bytes body)
{
    Stan__SubscriptionResponse *answer = stan__subscription_response__unpack(NULL, body.count, body.data);
    ASSERT(answer != NULL);
    bool awaited = holding->request == asked->number && holding->state == HOLDING_ASKED;
    if (awaited && errs(answer->error)) {
        holding->state = HOLDING_CLOSING; /* tried again later */
    } else if (awaited) {
        holding->state = HOLDING_LIVE;
        world->result->counts.subscriptions++;
        ASSERT(answer->ack_inbox.len < SUBJECT_BYTES);
        snprintf(holding->ack_inbox, SUBJECT_BYTES, "%.*s", (int)answer->ack_inbox.len,
                 (const char *)answer->ack_inbox.data);
    }
    stan__subscription_response__free_unpacked(answer, NULL);
}

static void connected(struct world *world, struct client *client, struct bytes body)
{
    Stan__ConnectResponse *answer = stan__connect_response__unpack(NULL, body.count, body.data);
    ASSERT(answer != NULL);
    if (client->state == CLIENT_ASKS)
        client->state = errs(answer->error) ? CLIENT_OFF : CLIENT_ON;
    world->result->counts.connects += client->state == CLIENT_ON;
    stan__connect_response__free_unpacked(answer, NULL);
}

static void answered(struct world *world, struct client *client, uint32_t number, struct bytes body)
{
    struct asked *asked = &client->asked[number % REQUESTS_MAX];
    if (asked->number != number)
        return; /* given up long ago, or a second answer */
    if (asked->kind == STREAMING_REQUEST_CONNECT && number == client->request)
        connected(world, client, body);
    if (asked->kind == STREAMING_REQUEST_PUBLISH)
        published(world, client, asked, body);
    if (asked->kind == STREAMING_REQUEST_SUBSCRIBE)
        subscribed(world, &client->holdings[asked->holding], asked, body);
    if (asked->kind == STREAMING_REQUEST_SUBSCRIPTION_CLOSE) {
        struct holding_state *holding = &client->holdings[asked->holding];
        if (holding->request == number && holding->state == HOLDING_CLOSING)
            holding->state = HOLDING_NONE;
    }
    asked->number = 0;
}

/* ---- deliveries ---- */

static void acknowledge(struct world *world, struct client *client, int kind, uint64_t sequence)
{
    Stan__Ack ack = STAN__ACK__INIT;
    uint8_t body[BODY_BYTES];
    struct mail mail = {.kind = MAIL_REQUEST, .from = client->slot, .request = STREAMING_REQUEST_ACK};
    if (!world->healed && world_chance(world, 10))
        return; /* it comes again */
    ack.subject = in(world_channels[kinds[kind].channel]);
    ack.sequence = sequence;
    size_t count = stan__ack__pack(&ack, body);
    memcpy(mail.subject, client->holdings[kind].ack_inbox, SUBJECT_BYTES);
    world_mail(world, mail, bytes_of(body, count));
}

static void delivered(struct world *world, struct client *client, int kind, const struct mail *mail)
{
    struct holding_state *holding = &client->holdings[kind];
    char inbox[SUBJECT_BYTES];
    inbox_of(client, kind, inbox);
    Stan__MsgProto *message = stan__msg_proto__unpack(NULL, mail->count, mail->bytes);
    ASSERT(message != NULL);
    if (message->sequence == 0 || message->sequence >= SEQUENCES_MAX)
        world_fail(world, "the run is too long, or a delivery has no sequence");
    uint64_t sequence = message->sequence;
    world->result->counts.deliveries++;
    world->result->counts.redeliveries += message->redelivered != 0;
    check_delivery(world, kinds[kind].channel, sequence, bytes_of(message->data.data, message->data.len));
    stan__msg_proto__free_unpacked(message, NULL);
    if (client->state != CLIENT_ON || strcmp(inbox, mail->subject) != 0)
        return; /* to an inbox of an earlier life */
    holding->delivered[sequence] = true;
    if (kind == DURABLE_MEMBER)
        world->group_delivered[sequence] = true;
    if (holding->state == HOLDING_LIVE)
        acknowledge(world, client, kind, sequence);
}

static void heartbeat(struct world *world, const struct client *client, const struct mail *mail)
{
    char inbox[SUBJECT_BYTES];
    snprintf(inbox, sizeof inbox, "hb.%d.%u", client->slot, client->life);
    bool mine = client->state == CLIENT_ON && strcmp(inbox, mail->subject) == 0;
    if (!mine && world_chance(world, 30))
        return; /* the network does not always tell that there is nobody */
    struct mail answer = {.kind = MAIL_ANSWER, .from = client->slot, .to = mail->from, .nobody = !mine};
    memcpy(answer.subject, mail->reply, sizeof answer.subject);
    world_mail(world, answer, bytes_of(NULL, 0));
}

void client_mail(struct world *world, struct client *client, const struct mail *mail)
{
    int slot = 0, kind = 0;
    unsigned number = 0;
    if (sscanf(mail->subject, "r.%d.%u", &slot, &number) == 2)
        answered(world, client, number, bytes_of(mail->bytes, mail->count));
    else if (sscanf(mail->subject, "in.%d.%d.", &slot, &kind) == 2 && kind >= 0 && kind < KINDS)
        delivered(world, client, kind, mail);
    else
        heartbeat(world, client, mail);
}

/* ---- steps ---- */

static void holding_step(struct world *world, struct client *client, int kind)
{
    struct holding_state *holding = &client->holdings[kind];
    bool late = holding->since_ms + ANSWER_MS < world->now_ms;
    switch (holding->state) {
    case HOLDING_NONE:
        subscribe(world, client, kind);
        return;
    case HOLDING_ASKED:
        if (late) /* there may be one that nobody knows of now: only a new client is sure to be rid of it */
            client->state = CLIENT_OFF;
        return;
    case HOLDING_LIVE:
        if (!world->healed && random_below(&world->random, 3000) == 0)
            leave(world, client, kind);
        return;
    case HOLDING_CLOSING:
        if (late)
            client->state = CLIENT_OFF;
        return;
    }
}

void client_step(struct world *world, struct client *client)
{
    switch (client->state) {
    case CLIENT_OFF:
        if (random_below(&world->random, 100) == 0)
            connect(world, client);
        return;
    case CLIENT_ASKS:
        if (client->since_ms + ANSWER_MS < world->now_ms)
            client->state = CLIENT_OFF;
        return;
    case CLIENT_ON:
        for (int kind = 0; kind < KINDS && client->state == CLIENT_ON; kind++)
            holding_step(world, client, kind);
        if (random_below(&world->random, world->weather.client_gap_ms) == 0)
            publish(world, client);
        if (!world->healed && random_below(&world->random, 4000) == 0)
            close_client(world, client);
        else if (!world->healed && random_below(&world->random, 4000) == 0)
            client->state = CLIENT_OFF; /* dies */
        return;
    }
}
