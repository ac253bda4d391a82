/* tests/unit/shards/streaming/scene.c - see scene.h. */
#include "tests/unit/shards/streaming/scene.h"

#include "core/base/memory.h"
#include "shards/streaming/protocol.pb-c.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void machine_open(struct scene *scene)
{
    char why[STORE_WHY_BYTES] = "";
    scene->setup.store = scene->store;
    scene->setup.now = scene->now;
    cr_assert_eq(streaming_new(&scene->machine, &scene->setup, why, sizeof why), ERR_OK, "%s", why);
}

struct scene scene_new(void)
{
    return (struct scene){
        .now = {.now_ns = 1000000000, .wall_ns = 1500000000000000000},
        .setup = {.cluster_id = "c",
                  .discover_prefix = "_STAN.discover",
                  .heartbeat_interval_ns = 30000000000,
                  .heartbeat_timeout_ns = 10000000000,
                  .heartbeat_fail_max = 2,
                  .seed = 42,
                  .server_id = TEXT("server")},
        .syncs = true,
    };
}

void scene_open_as(struct scene *scene, const struct store_options *store)
{
    struct store_options none = {.kind = STORE_MEMORY};
    char why[STORE_WHY_BYTES] = "";
    scene->outputs = memory_new(SCENE_OUTPUTS_MAX * sizeof *scene->outputs);
    cr_assert_not_null(scene->outputs);
    cr_assert_eq(
        store_open(&scene->store, store != NULL ? store : &none, scene->now.wall_ns, why, sizeof why), ERR_OK,
        "%s", why);
    machine_open(scene);
}

void scene_open(struct scene *scene, const struct store_options *store)
{
    *scene = scene_new();
    scene_open_as(scene, store);
}

static void file_open(struct scene *scene)
{
    char why[STORE_WHY_BYTES] = "";
    if (scene->disk.calls != NULL)
        scene->files = scene->disk;
    else
        cr_assert_eq(store_files_open(&scene->files, scene->folder, why, sizeof why), ERR_OK, "%s", why);
    struct store_options options = scene->file_options;
    options.kind = STORE_FILE;
    options.files = scene->files;
    cr_assert_eq(store_open(&scene->store, &options, scene->now.wall_ns, why, sizeof why), ERR_OK, "%s", why);
    machine_open(scene);
}

void scene_open_file_as(struct scene *scene, const struct store_options *store)
{
    if (store != NULL)
        scene->file_options = *store;
    scene->outputs = memory_new(SCENE_OUTPUTS_MAX * sizeof *scene->outputs);
    cr_assert_not_null(scene->outputs);
    if (scene->disk.calls == NULL) {
        snprintf(scene->folder, sizeof scene->folder, "/tmp/streaming-unit-XXXXXX");
        cr_assert_not_null(mkdtemp(scene->folder));
    }
    file_open(scene);
}

void scene_open_file(struct scene *scene)
{
    *scene = scene_new();
    scene_open_file_as(scene, NULL);
}

void scene_restart(struct scene *scene)
{
    streaming_free(scene->machine);
    cr_assert_eq(store_close(scene->store), ERR_OK);
    if (scene->disk.calls == NULL)
        store_files_close(&scene->files);
    scene_forget(scene);
    file_open(scene);
}

void scene_close(struct scene *scene)
{
    streaming_free(scene->machine);
    cr_assert_eq(store_close(scene->store), ERR_OK);
    if (scene->folder[0] != 0) {
        char command[SCENE_FOLDER_BYTES + 16];
        store_files_close(&scene->files);
        snprintf(command, sizeof command, "rm -rf %s", scene->folder);
        cr_expect_eq(system(command), 0); /* lint: process, a test's folder goes */
    }
    memory_free(scene->outputs);
}

static void text_put(char *to, struct bytes from)
{
    snprintf(to, SCENE_TEXT_BYTES, "%.*s", BYTES_PRINTF(from));
}

void scene_take(struct scene *scene)
{
    struct streaming_output output;
    while (streaming_output_next(scene->machine, &output)) {
        if (output.kind == STREAMING_OUTPUT_LOG) {
            if (output.level == LOG_TRACE)
                text_put(scene->traced, output.body);
            continue;
        }
        if (output.kind == STREAMING_OUTPUT_PROPOSE && scene->busy) {
            streaming_output_back(scene->machine, 1);
            break;
        }
        if (output.kind == STREAMING_OUTPUT_PROPOSE) {
            scene->propose(scene, output.body);
            continue;
        }
        cr_assert(scene->count < SCENE_OUTPUTS_MAX && (scene->cuts || output.body.count <= SCENE_TEXT_BYTES));
        struct scene_output *kept = &scene->outputs[scene->count++];
        kept->kind = output.kind;
        text_put(kept->subject, output.subject);
        text_put(kept->reply, output.reply);
        kept->body_bytes = output.body.count < SCENE_TEXT_BYTES ? output.body.count : SCENE_TEXT_BYTES;
        if (output.body.count > 0)
            memcpy(kept->body, output.body.data, kept->body_bytes);
    }
}

void scene_step(struct scene *scene)
{
    bool more = true;
    while (more) {
        uint32_t before = scene->count;
        if (scene->syncs)
            cr_assert_eq(store_flush(scene->store, scene->now.wall_ns), ERR_OK);
        more = streaming_step(scene->machine, scene->now);
        if (scene->deaf)
            return;
        scene_take(scene);
        more = more && scene->count > before;
        if (scene->settle != NULL && scene->settle(scene))
            more = true;
    }
}

void scene_wait(struct scene *scene, int64_t ms)
{
    scene->now.now_ns += ms * 1000000;
    scene->now.wall_ns += ms * 1000000;
    scene_step(scene);
    scene_step(scene); /* what the first has started */
}

void scene_forget(struct scene *scene)
{
    scene->count = 0;
}

void scene_request(struct scene *scene, enum streaming_request_kind kind, const char *subject,
                   const char *reply, const uint8_t *payload, size_t bytes)
{
    struct streaming_request request = {
        .kind = kind, .subject = text(subject), .reply = text(reply), .payload = bytes_of(payload, bytes)};
    streaming_request(scene->machine, scene->now, &request);
    scene_step(scene);
    scene_step(scene);
}

const struct scene_output *scene_last(const struct scene *scene, const char *subject)
{
    for (uint32_t i = scene->count; i > 0; i--) {
        if (scene->outputs[i - 1].kind == STREAMING_OUTPUT_PUBLISH &&
            strcmp(scene->outputs[i - 1].subject, subject) == 0)
            return &scene->outputs[i - 1];
    }
    return NULL;
}

uint32_t scene_count(const struct scene *scene, const char *subject)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < scene->count; i++)
        count += scene->outputs[i].kind == STREAMING_OUTPUT_PUBLISH &&
                 strcmp(scene->outputs[i].subject, subject) == 0;
    return count;
}

uint32_t scene_deliveries(const struct scene *scene, const char *inbox, struct scene_message *messages,
                          uint32_t most)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < scene->count && count < most; i++) {
        const struct scene_output *output = &scene->outputs[i];
        if (output->kind != STREAMING_OUTPUT_PUBLISH || strcmp(output->subject, inbox) != 0)
            continue;
        Stan__MsgProto *read = stan__msg_proto__unpack(NULL, output->body_bytes, output->body);
        cr_assert_not_null(read);
        messages[count++] =
            (struct scene_message){read->sequence, read->redelivered != 0, read->redelivery_count};
        stan__msg_proto__free_unpacked(read, NULL);
    }
    return count;
}

void scene_expect(const struct scene *scene, const char *inbox, const char *wanted)
{
    enum { MOST = 64 };
    char made[512] = "";
    struct scene_message messages[MOST];
    uint32_t count = scene_deliveries(scene, inbox, messages, MOST);
    size_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        int written = snprintf(made + at, sizeof made - at, "%s%llu", i == 0 ? "" : " ",
                               (unsigned long long)messages[i].sequence);
        at += (size_t)written;
        if (messages[i].redelivered)
            at += (size_t)snprintf(made + at, sizeof made - at, "r%u", messages[i].count);
    }
    cr_expect_str_eq(made, wanted, "to %s came \"%s\", not \"%s\"", inbox, made, wanted);
}

/* ---- requests ---- */

static ProtobufCBinaryData in(const char *words)
{
    union {
        const char *read;
        uint8_t *written;
    } data = {.read = words == NULL ? "" : words};
    return (ProtobufCBinaryData){.len = strlen(data.read), .data = data.written};
}

/* Sends a request and takes field `field` of the answer: the error. */
static const char *ask(struct scene *scene, enum streaming_request_kind kind, const ProtobufCMessage *message,
                       unsigned field, char *also, unsigned also_field)
{
    static char error[SCENE_TEXT_BYTES];
    uint8_t bytes[1024];
    size_t count = protobuf_c_message_get_packed_size(message);
    cr_assert(count <= sizeof bytes);
    (void)protobuf_c_message_pack(message, bytes);
    static unsigned asked;
    char reply[32];
    snprintf(reply, sizeof reply, "answer.%u", ++asked);
    scene_request(scene, kind, "", reply, bytes, count);
    const struct scene_output *answer = scene_last(scene, reply);
    error[0] = 0;
    if (answer == NULL)
        return NULL;
    for (size_t at = 0; at < answer->body_bytes;) { /* fields of one-byte keys and lengths */
        unsigned key = answer->body[at++];
        if ((key & 7) == 0) {
            while (answer->body[at++] >= 0x80)
                continue;
            continue;
        }
        size_t length = answer->body[at++];
        if (key >> 3 == field)
            snprintf(error, sizeof error, "%.*s", (int)length, (const char *)answer->body + at);
        else if (also != NULL && key >> 3 == also_field)
            snprintf(also, SCENE_TEXT_BYTES, "%.*s", (int)length, (const char *)answer->body + at);
        at += length;
    }
    return error;
}

const char *scene_connect(struct scene *scene, const char *client_id)
{
    return scene_connect_as(scene, client_id, client_id);
}

const char *scene_connect_as(struct scene *scene, const char *client_id, const char *connection_id)
{
    Stan__ConnectRequest request = STAN__CONNECT_REQUEST__INIT;
    char inbox[SCENE_TEXT_BYTES];
    snprintf(inbox, sizeof inbox, "hb.%s", client_id);
    request.client_id = in(client_id);
    request.heartbeat_inbox = in(inbox);
    request.protocol = 1;
    request.conn_id = in(connection_id);
    return ask(scene, STREAMING_REQUEST_CONNECT, &request.base, 5, NULL, 0);
}

const char *scene_close_client(struct scene *scene, const char *client_id)
{
    Stan__CloseRequest request = STAN__CLOSE_REQUEST__INIT;
    request.client_id = in(client_id);
    return ask(scene, STREAMING_REQUEST_CLOSE, &request.base, 1, NULL, 0);
}

const char *scene_publish(struct scene *scene, const char *client_id, const char *channel)
{
    return scene_publish_as(scene, client_id, "", channel);
}

const char *scene_publish_as(struct scene *scene, const char *client_id, const char *connection_id,
                             const char *channel)
{
    Stan__PubMsg request = STAN__PUB_MSG__INIT;
    request.client_id = in(client_id);
    request.guid = in("guid");
    request.subject = in(channel);
    request.conn_id = in(connection_id);
    request.data = in("data");
    return ask(scene, STREAMING_REQUEST_PUBLISH, &request.base, 2, NULL, 0);
}

const char *scene_subscribe(struct scene *scene, const struct scene_wish *wish, char *ack_inbox)
{
    Stan__SubscriptionRequest request = STAN__SUBSCRIPTION_REQUEST__INIT;
    request.client_id = in(wish->client_id);
    request.subject = in(wish->channel);
    request.q_group = in(wish->group);
    request.inbox = in(wish->inbox);
    request.durable_name = in(wish->durable);
    request.max_in_flight = wish->in_flight;
    request.ack_wait_in_secs = wish->ack_wait_seconds;
    request.start_position = wish->start;
    request.start_sequence = wish->sequence;
    request.start_time_delta = wish->delta_ns;
    return ask(scene, STREAMING_REQUEST_SUBSCRIBE, &request.base, 3, ack_inbox, 2);
}

const char *scene_unsubscribe(struct scene *scene, const char *client_id, const char *channel,
                              const char *ack_inbox, bool close)
{
    Stan__UnsubscribeRequest request = STAN__UNSUBSCRIBE_REQUEST__INIT;
    request.client_id = in(client_id);
    request.subject = in(channel);
    request.inbox = in(ack_inbox);
    return ask(scene, close ? STREAMING_REQUEST_SUBSCRIPTION_CLOSE : STREAMING_REQUEST_UNSUBSCRIBE,
               &request.base, 3, NULL, 0);
}

void scene_ack(struct scene *scene, const char *channel, const char *ack_inbox, uint64_t sequence)
{
    Stan__Ack ack = STAN__ACK__INIT;
    uint8_t bytes[512];
    ack.subject = in(channel);
    ack.sequence = sequence;
    size_t count = stan__ack__pack(&ack, bytes);
    scene_request(scene, STREAMING_REQUEST_ACK, ack_inbox, "", bytes, count);
}
