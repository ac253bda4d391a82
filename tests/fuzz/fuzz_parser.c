/* Any bytes as a client's operations: given whole, given in cuts that the input chooses, and with each
 * operation asked for a second time, net/parser.c must make the same operations and the same end of them.
 * The first bytes choose the limits and the cuts, the rest is what the client sends. */
#include "core/base/check.h"
#include "net/parser.h"

#include <stdlib.h>

enum { HEAD_BYTES = 4, ARGUMENTS_MAX = 64 };

struct digest {
    uint64_t sum; /* of everything that was given out so far */
    uint64_t operations;
    enum parser_result end;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void add(struct digest *digest, const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    for (size_t i = 0; i < count; i++)
        digest->sum = (digest->sum ^ at[i]) * 0x100000001b3ULL;
    digest->sum = (digest->sum ^ count) * 0x100000001b3ULL;
}

static void add_text(struct digest *digest, struct bytes text)
{
    add(digest, text.data, text.count);
}

static void add_operation(struct digest *digest, const struct operation *operation)
{
    const struct message *message = &operation->message;
    digest->operations++;
    add(digest, &operation->kind, sizeof operation->kind);
    switch (operation->kind) {
    case OPERATION_PUB:
    case OPERATION_HPUB:
        ASSERT(message->subject.count > 0);
        ASSERT(message->header_bytes <= message->total_bytes);
        add_text(digest, message->subject);
        add_text(digest, message->reply);
        add_text(digest, message->total_size_text);
        add_text(digest, message->header_size_text);
        add(digest, &message->header_bytes, sizeof message->header_bytes);
        add(digest, message->body, message->total_bytes);
        return;
    case OPERATION_SUB:
        add_text(digest, operation->subject);
        add_text(digest, operation->queue);
        add_text(digest, operation->sid);
        return;
    case OPERATION_UNSUB:
        add_text(digest, operation->sid);
        add(digest, &operation->max, sizeof operation->max);
        return;
    case OPERATION_CONNECT:
    case OPERATION_INFO:
    case OPERATION_ERR:
        add_text(digest, operation->arguments);
        return;
    case OPERATION_PING:
    case OPERATION_PONG:
    case OPERATION_OK:
        return; /* what follows on their line is of no account, and is not kept when torn */
    }
}

/* A run is each of its messages. */
static void add_run(struct digest *digest, const struct operation *operation)
{
    struct operation single = *operation;
    struct message rest = operation->message;
    for (uint32_t left = message_count(&rest); left > 0; left--) {
        single.message = message_first(&rest, 1);
        add_operation(digest, &single);
        if (left > 1)
            message_advance(&rest, 1);
    }
}

static struct parser parser_of(const uint8_t *head, struct block_pool *pool, struct lines *lines)
{
    return (struct parser){
        .pool = pool,
        .lines = lines,
        .line = lines_none(lines),
        .max_payload_bytes = head[0] & 1 ? -1 : 100,
        .max_control_line_bytes = head[0] & 2 ? 4096 : ARGUMENTS_MAX,
        .headers = (head[0] & 4) == 0,
        .connect_expected = (head[0] & 8) != 0,
    };
}

/* What a session does: `again` asks for every operation twice, as when the host was full. */
static enum parser_result take_piece(struct parser *parser, struct bytes piece, bool again,
                                     struct digest *digest)
{
    uint8_t *copy = malloc(piece.count + 1); /* of its own, so that ASan sees a byte too far */
    ASSERT(copy != NULL);
    uint8_t *start = copy + 1; /* and odd */
    if (piece.count > 0)
        memcpy(start, piece.data, piece.count);
    const uint8_t *at = start;
    struct operation operation = {0};
    bool repeated = false;
    enum parser_result result;
    for (;;) {
        const uint8_t *before = at;
        result = parser_next(parser, &at, start + piece.count, &operation);
        ASSERT(at >= before && at <= start + piece.count);
        if (result != PARSER_OPERATION)
            break;
        if (again && !repeated) {
            if (!parser_again(parser))
                at = before;
            repeated = true;
            continue;
        }
        repeated = false;
        add_run(digest, &operation);
        parser->connect_expected = parser->connect_expected && operation.kind != OPERATION_CONNECT;
    }
    ASSERT(result != PARSER_MORE || at == start + piece.count);
    free(copy);
    return result;
}

/* Cuts after 1 .. 64 bytes, by the four head bytes in turn; 0 means one piece. */
static struct digest run(const uint8_t *head, struct bytes words, bool cuts, bool again, bool runs)
{
    struct block_pool pool = {0};
    struct lines *lines = lines_new(0);
    ASSERT(lines != NULL);
    struct parser parser = parser_of(head, &pool, lines);
    parser.runs = runs;
    struct digest digest = {.sum = 0xcbf29ce484222325ULL, .end = PARSER_MORE};
    size_t from = 0;
    for (size_t turn = 0; digest.end == PARSER_MORE && from < words.count; turn++) {
        size_t count = words.count - from;
        size_t wanted = (size_t)(head[turn % HEAD_BYTES] >> 2) + 1;
        if (cuts && wanted < count)
            count = wanted;
        digest.end = take_piece(&parser, bytes_of(words.data + from, count), again, &digest);
        from += count;
    }
    parser_close(&parser);
    lines_free(lines);
    block_pool_close(&pool);
    return digest;
}

static void expect_same(struct digest a, struct digest b)
{
    ASSERT(a.operations == b.operations);
    ASSERT(a.sum == b.sum);
    ASSERT(a.end == b.end);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD_BYTES)
        return 0;
    struct bytes words = bytes_of(data + HEAD_BYTES, size - HEAD_BYTES);
    struct digest whole = run(data, words, false, false, false);
    for (unsigned ways = 1; ways < 8; ways++)
        expect_same(whole, run(data, words, ways & 1, ways & 2, ways & 4));
    return 0;
}
