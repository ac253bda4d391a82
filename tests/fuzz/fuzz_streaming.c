/* tests/fuzz/fuzz_streaming.c - requests of NATS Streaming from outside: the decoder, then the whole machine
 * on a store in memory, with a clock that the input moves.
 *
 * An input is a row of steps of two bytes and more. With bit 3 of the first it is an answer to the heartbeat
 * that was asked last, with bit 4 too one that says that nobody is there. With bit 4 alone the second byte
 * moves the clock, in units of 100 ms. Else the low three bits are a kind of request and the second byte the
 * length of its payload, which follows. A client is connected beforehand; acknowledgements go to the ack
 * inboxes that were given, one after the other. */
#include "core/base/check.h"
#include "core/base/memory.h"
#include "shards/streaming/machine.h"
#include "shards/streaming/wire.h"

#include <stdio.h>

enum { INBOXES = 16, INBOX_BYTES = 64, REPLY_BYTES = 512, STEPS_MAX = 400 };

struct fuzz {
    struct streaming *machine;
    struct streaming_now now;
    char inboxes[INBOXES][INBOX_BYTES];
    uint32_t inbox_count;
    char beat[REPLY_BYTES];
};

static void outputs_take(struct fuzz *fuzz)
{
    struct streaming_output output;
    while (streaming_output_next(fuzz->machine, &output)) {
        if (output.kind == STREAMING_OUTPUT_LISTEN && output.subject.count < INBOX_BYTES)
            snprintf(fuzz->inboxes[fuzz->inbox_count++ % INBOXES], INBOX_BYTES, "%.*s",
                     BYTES_PRINTF(output.subject));
        if (output.kind == STREAMING_OUTPUT_PUBLISH && output.reply.count > 0 &&
            output.reply.count < REPLY_BYTES)
            snprintf(fuzz->beat, sizeof fuzz->beat, "%.*s", BYTES_PRINTF(output.reply));
    }
}

static void step(struct fuzz *fuzz)
{
    for (int i = 0; i < 8 && streaming_step(fuzz->machine, fuzz->now); i++)
        outputs_take(fuzz);
    outputs_take(fuzz);
}

static void connect_first(struct fuzz *fuzz)
{
    uint8_t payload[64];
    struct wire_connect_request request = {
        .client_id = TEXT("me"), .heartbeat_inbox = TEXT("hb"), .protocol = 1};
    size_t count = wire_connect_request_bytes(&request);
    ASSERT(count <= sizeof payload);
    wire_connect_request_write(&request, payload);
    struct streaming_request first = {
        .kind = STREAMING_REQUEST_CONNECT, .reply = TEXT("r"), .payload = bytes_of(payload, count)};
    streaming_request(fuzz->machine, fuzz->now, &first);
    step(fuzz);
}

/* One step of the input; false: it is used up. */
static bool take(struct fuzz *fuzz, struct bytes *input, uint32_t number)
{
    if (input->count < 2)
        return false;
    uint8_t what = input->data[0], size = input->data[1];
    *input = bytes_of(input->data + 2, input->count - 2);
    if ((what & 8) != 0) {
        streaming_answer(fuzz->machine, fuzz->now, text(fuzz->beat), (what & 16) != 0);
        return true;
    }
    if ((what & 16) != 0) {
        fuzz->now.now_ns += (int64_t)size * 100000000;
        fuzz->now.wall_ns += (int64_t)size * 100000000;
        return true;
    }
    struct streaming_request request = {.kind = what & 7, .reply = TEXT("r")};
    request.payload = bytes_of(input->data, size < input->count ? size : input->count);
    if (request.kind == STREAMING_REQUEST_ACK)
        request.subject = text(fuzz->inboxes[number % INBOXES]);
    streaming_request(fuzz->machine, fuzz->now, &request);
    *input = bytes_of(input->data + request.payload.count, input->count - request.payload.count);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t count)
{
    static struct fuzz fuzz;
    char why[STORE_WHY_BYTES];
    struct store *store = NULL;
    struct store_options options = {
        .kind = STORE_MEMORY,
        .channels_max = 5,
        .limits = {.messages_max = 8, .subscriptions_max = 4, .inactivity_max_ns = 3000000000},
    };
    fuzz = (struct fuzz){.now = {.now_ns = 1, .wall_ns = 1500000000000000000}};
    ASSERT(store_open(&store, &options, fuzz.now.wall_ns, why, sizeof why) == ERR_OK);
    struct streaming_setup setup = {
        .store = store,
        .cluster_id = "c",
        .discover_prefix = "d",
        .replace_durable = count % 2 == 1,
        .heartbeat_interval_ns = 1000000000,
        .heartbeat_timeout_ns = 500000000,
        .heartbeat_fail_max = 1,
        .seed = 1,
        .server_id = TEXT("s"),
        .now = fuzz.now,
    };
    ASSERT(streaming_new(&fuzz.machine, &setup, why, sizeof why) == ERR_OK);
    connect_first(&fuzz);
    struct bytes input = bytes_of(data, count);
    for (uint32_t i = 0; i < STEPS_MAX && take(&fuzz, &input, i); i++)
        step(&fuzz);
    streaming_free(fuzz.machine);
    ASSERT(store_close(store) == ERR_OK);
    return 0;
}
