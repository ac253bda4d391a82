/* net/route_parser.c - operations of routes from bytes. parse() takes an operation that lies in one piece;
 * what does not is gathered in a block until it does, and then parsed by the same function. */
#include "net/route_parser.h"

#include "core/base/check.h"
#include "net/lines.h"

#include <string.h>

enum {
    ARGUMENTS_MAX = 6, /* those that are looked at one by one: LMSG's, without the names of queues */
    SIZE_DIGITS_MAX = 9,
    NAME_BYTES_MAX = 7,
};

enum shape {
    SHAPE_NOTHING, /* the line's text is not looked at */
    SHAPE_JSON,    /* something has to be there */
    SHAPE_MESSAGE,
    SHAPE_SUBSCRIBE,
    SHAPE_UNSUBSCRIBE,
};

struct name_row {
    char text[NAME_BYTES_MAX + 1];
    uint8_t count;
    uint8_t kind;  /* enum route_operation_kind */
    uint8_t shape; /* enum shape */
    bool origin;   /* a leaf cluster stands before the account */
    bool header;   /* of a message: two sizes */
    bool routes_only;
};

/* spec/routes.md 9.2. */
static const struct name_row names[] = {
    {"RMSG", 4, ROUTE_OP_MESSAGE, SHAPE_MESSAGE, false, false, false},
    {"HMSG", 4, ROUTE_OP_MESSAGE, SHAPE_MESSAGE, false, true, false},
    {"LMSG", 4, ROUTE_OP_MESSAGE, SHAPE_MESSAGE, true, true, true},
    {"RS+", 3, ROUTE_OP_SUBSCRIBE, SHAPE_SUBSCRIBE, false, false, false},
    {"RS-", 3, ROUTE_OP_UNSUBSCRIBE, SHAPE_UNSUBSCRIBE, false, false, false},
    {"LS+", 3, ROUTE_OP_SUBSCRIBE, SHAPE_SUBSCRIBE, true, false, true},
    {"LS-", 3, ROUTE_OP_UNSUBSCRIBE, SHAPE_UNSUBSCRIBE, false, false,
     true}, /* without its origin: we do not say lnocu */
    {"PING", 4, ROUTE_OP_PING, SHAPE_NOTHING, false, false, false},
    {"PONG", 4, ROUTE_OP_PONG, SHAPE_NOTHING, false, false, false},
    {"INFO", 4, ROUTE_OP_INFO, SHAPE_JSON, false, false, false},
    {"CONNECT", 7, ROUTE_OP_CONNECT, SHAPE_JSON, false, false, false},
    {"-ERR", 4, ROUTE_OP_ERR, SHAPE_NOTHING, false, false, false},
    {"+OK", 3, ROUTE_OP_IGNORED, SHAPE_NOTHING, false, false, false},
    {"A+", 2, ROUTE_OP_ACCOUNT, SHAPE_NOTHING, false, false, false},
    {"A-", 2, ROUTE_OP_NO_ACCOUNT, SHAPE_NOTHING, false, false, false},
    {"SUB", 3, ROUTE_OP_IGNORED, SHAPE_NOTHING, false, false, true},
    {"PUB", 3, ROUTE_OP_IGNORED, SHAPE_NOTHING, false, false, true},
};

static ALWAYS_INLINE bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static uint8_t upper(uint8_t byte)
{
    return byte >= 'a' && byte <= 'z' ? (uint8_t)(byte - 'a' + 'A') : byte;
}

/* How many letters of a name a line begins with. */
static size_t name_letters(const struct name_row *name, struct bytes line)
{
    size_t same = 0;
    while (same < name->count && same < line.count && upper(line.data[same]) == (uint8_t)name->text[same])
        same++;
    return same;
}

/* Whether what follows a whole name may follow it. */
static bool name_ends(const struct name_row *name, struct bytes line)
{
    return name->shape == SHAPE_NOTHING || name->shape == SHAPE_JSON || line.count == name->count ||
           is_blank(line.data[name->count]);
}

/* The operation that a line begins with, or NULL. The one that matters is looked for first. */
static ALWAYS_INLINE const struct name_row *name_find(const struct route_parser *parser, struct bytes line)
{
    if (LIKELY(line.count > 4 && memcmp(line.data, "RMSG ", 5) == 0))
        return &names[0];
    for (size_t row = 0; row < COUNT_OF(names); row++) {
        if (name_letters(&names[row], line) == names[row].count && name_ends(&names[row], line))
            return parser->gateway && names[row].routes_only ? NULL : &names[row];
    }
    return NULL;
}

/* Whether a line, as far as it is there, may still become an operation. */
static bool name_possible(const struct route_parser *parser, struct bytes line)
{
    for (size_t row = 0; row < COUNT_OF(names); row++) {
        if (parser->gateway && names[row].routes_only)
            continue;
        size_t same = name_letters(&names[row], line);
        if (same == line.count || (same == names[row].count && name_ends(&names[row], line)))
            return true;
    }
    return false;
}

/* ---- arguments ---- */

/* A cursor over words with runs of blanks between. */
static ALWAYS_INLINE bool word_next(struct bytes *rest, struct bytes *word)
{
    const uint8_t *at = rest->data;
    const uint8_t *end = at + rest->count;
    while (at < end && is_blank(*at))
        at++;
    const uint8_t *start = at;
    while (at < end && !is_blank(*at))
        at++;
    *word = bytes_of(start, (size_t)(at - start));
    *rest = bytes_of(at, (size_t)(end - at));
    return word->count > 0;
}

bool route_queue_next(struct bytes *queues, struct bytes *name)
{
    return queues->count > 0 && word_next(queues, name);
}

bool route_queues_have(struct bytes queues, struct bytes name)
{
    struct bytes one;
    while (route_queue_next(&queues, &one)) {
        if (bytes_equal(one, name))
            return true;
    }
    return false;
}

/* The last word of a text, which is then shortened by it; false: there is none. */
static ALWAYS_INLINE bool word_last(struct bytes *rest, struct bytes *word)
{
    size_t end = rest->count;
    while (end > 0 && is_blank(rest->data[end - 1]))
        end--;
    size_t start = end;
    while (start > 0 && !is_blank(rest->data[start - 1]))
        start--;
    *word = bytes_of(rest->data + start, end - start);
    rest->count = start;
    return word->count > 0;
}

/* 1 to 9 digits; -1 for anything else. */
static ALWAYS_INLINE int64_t number_parse(struct bytes digits)
{
    if (digits.count == 0 || digits.count > SIZE_DIGITS_MAX)
        return -1;
    int64_t value = 0;
    for (size_t i = 0; i < digits.count; i++) {
        unsigned digit = (unsigned)digits.data[i] - '0';
        if (digit > 9)
            return -1;
        value = value * 10 + (int64_t)digit;
    }
    return value;
}

/* What stands between subject and sizes: nothing, a reply, `|` and queues, or `+`, a reply and queues. By
 * count only, as real servers do: a single word is a reply, whatever it is (routes.md 9.3). */
static ALWAYS_INLINE bool middle_parse(struct bytes rest, struct route_operation *operation)
{
    struct bytes first, second;
    operation->queues = (struct bytes){NULL, 0};
    operation->message.reply = (struct bytes){NULL, 0};
    if (LIKELY(!word_next(&rest, &first)))
        return true;
    struct bytes behind = rest;
    if (!word_next(&behind, &second)) {
        operation->message.reply = first;
        return true;
    }
    if (first.count != 1 || (first.data[0] != '|' && first.data[0] != '+'))
        return false;
    if (first.data[0] == '|') {
        operation->queues = rest;
        return true;
    }
    operation->message.reply = second;
    operation->queues = behind;
    return true;
}

static ALWAYS_INLINE bool account_next(const struct route_parser *parser, struct bytes *rest,
                                       struct route_operation *operation)
{
    if (LIKELY(!parser->account_implied))
        return word_next(rest, &operation->account);
    operation->account = (struct bytes){NULL, 0};
    return true;
}

static ALWAYS_INLINE enum route_parser_result message_parse(const struct route_parser *parser,
                                                            const struct name_row *name,
                                                            struct route_operation *operation)
{
    struct message *message = &operation->message;
    struct bytes rest = operation->arguments;
    bool good = !name->origin || word_next(&rest, &operation->origin);
    good = good && account_next(parser, &rest, operation) && word_next(&rest, &message->subject);
    *message = (struct message){.subject = message->subject};
    good = good && word_last(&rest, &message->total_size_text);
    if (name->header)
        good = good && word_last(&rest, &message->header_size_text);
    if (UNLIKELY(!good || !middle_parse(rest, operation)))
        return ROUTE_PARSER_BAD_ARGUMENTS;
    int64_t total = number_parse(message->total_size_text);
    int64_t header = name->header ? number_parse(message->header_size_text) : 0;
    if (UNLIKELY(total < 0 || header < 0 || header > total))
        return ROUTE_PARSER_BAD_ARGUMENTS;
    if (UNLIKELY(total > parser->message_bytes_max))
        return ROUTE_PARSER_MESSAGE_EXCEEDED;
    if (header == 0) /* LMSG says so when there are none */
        message->header_size_text = (struct bytes){NULL, 0};
    operation->subject = message->subject;
    message->total_bytes = (uint32_t)total;
    message->header_bytes = (uint32_t)header;
    return ROUTE_PARSER_OPERATION;
}

/* [origin] account subject [queue weight], or without the weight. */
static enum route_parser_result interest_parse(const struct route_parser *parser, const struct name_row *name,
                                               struct route_operation *operation)
{
    struct bytes rest = operation->arguments;
    struct bytes weight = {NULL, 0}, more;
    bool subscribe = name->shape == SHAPE_SUBSCRIBE;
    bool good = !name->origin || word_next(&rest, &operation->origin);
    good = good && account_next(parser, &rest, operation) && word_next(&rest, &operation->subject);
    if (!good)
        return ROUTE_PARSER_BAD_ARGUMENTS;
    operation->queue = (struct bytes){NULL, 0};
    operation->weight = 1;
    if (word_next(&rest, &operation->queue) && subscribe) {
        int64_t number = word_next(&rest, &weight) ? number_parse(weight) : -1;
        if (number < 0)
            return ROUTE_PARSER_BAD_ARGUMENTS;
        operation->weight = (uint32_t)number;
    }
    return word_next(&rest, &more) ? ROUTE_PARSER_BAD_ARGUMENTS : ROUTE_PARSER_OPERATION;
}

static enum route_parser_result arguments_parse(const struct route_parser *parser,
                                                const struct name_row *name,
                                                struct route_operation *operation)
{
    switch ((enum shape)name->shape) {
    case SHAPE_MESSAGE:
        return message_parse(parser, name, operation);
    case SHAPE_SUBSCRIBE:
    case SHAPE_UNSUBSCRIBE:
        return interest_parse(parser, name, operation);
    case SHAPE_JSON:
        return operation->arguments.count == 0 ? ROUTE_PARSER_BAD_ARGUMENTS : ROUTE_PARSER_OPERATION;
    case SHAPE_NOTHING:
        break;
    }
    return ROUTE_PARSER_OPERATION;
}

/* ---- operations ---- */

/* A line whose end is not here yet; it may have a CR beyond its bound. */
static enum route_parser_result line_begun(const struct route_parser *parser, const uint8_t *start,
                                           const uint8_t *end)
{
    size_t here = (size_t)(end - start);
    if (end[-1] == '\r')
        here--;
    if (!name_possible(parser, bytes_of(start, here)))
        return ROUTE_PARSER_UNKNOWN_OPERATION;
    return here > parser->line_bytes_max ? ROUTE_PARSER_LINE_EXCEEDED : ROUTE_PARSER_MORE;
}

/* An operation at the start of [start, end). OPERATION: *used says its bytes. MORE: not all of it is there;
 * *needed are the bytes that it will have, 0 when the line's end is not here yet. */
static ALWAYS_INLINE enum route_parser_result parse(const struct route_parser *parser, const uint8_t *start,
                                                    const uint8_t *end, struct route_operation *operation,
                                                    size_t *used, size_t *needed)
{
    const uint8_t *newline = memchr(start, '\n', (size_t)(end - start));
    *needed = 0;
    if (UNLIKELY(newline == NULL))
        return line_begun(parser, start, end);
    struct bytes line = bytes_of(start, (size_t)(newline - start));
    if (LIKELY(line.count > 0 && line.data[line.count - 1] == '\r'))
        line.count--;
    const struct name_row *name = name_find(parser, line);
    if (UNLIKELY(name == NULL))
        return ROUTE_PARSER_UNKNOWN_OPERATION;
    if (UNLIKELY(line.count > parser->line_bytes_max))
        return ROUTE_PARSER_LINE_EXCEEDED;
    operation->kind = (enum route_operation_kind)name->kind;
    operation->origin = (struct bytes){NULL, 0};
    operation->arguments = bytes_of(line.data + name->count, line.count - name->count);
    while (operation->arguments.count > 0 && is_blank(*operation->arguments.data))
        operation->arguments = bytes_of(operation->arguments.data + 1, operation->arguments.count - 1);
    enum route_parser_result result = arguments_parse(parser, name, operation);
    *used = (size_t)(newline + 1 - start);
    if (UNLIKELY(result != ROUTE_PARSER_OPERATION) || operation->kind != ROUTE_OP_MESSAGE)
        return result;
    *needed = *used + operation->message.total_bytes + 2;
    if (UNLIKELY((size_t)(end - start) < *needed))
        return ROUTE_PARSER_MORE;
    *used = *needed;
    operation->message.body = newline + 1;
    const uint8_t *behind = operation->message.body + operation->message.total_bytes;
    return LIKELY(behind[0] == '\r' && behind[1] == '\n') ? ROUTE_PARSER_OPERATION
                                                          : ROUTE_PARSER_UNKNOWN_OPERATION;
}

/* ---- torn operations ---- */

static void let_go(struct route_parser *parser)
{
    block_release(parser->pool, parser->torn);
    parser->torn = NULL;
    parser->torn_bytes = parser->torn_needed = 0;
    parser->given = parser->again = false;
}

/* Makes the torn block hold `capacity` bytes, with what it has. */
static bool torn_fit(struct route_parser *parser, size_t capacity)
{
    if (parser->torn != NULL && parser->torn->capacity >= capacity)
        return true;
    if (parser->torn != NULL && parser->torn_needed == 0 && capacity < (size_t)parser->torn->capacity * 2)
        capacity = (size_t)parser->torn->capacity * 2;
    struct block *block = block_take(parser->pool, capacity);
    if (block == NULL)
        return false;
    if (parser->torn_bytes > 0)
        memcpy(block->bytes, parser->torn->bytes, parser->torn_bytes);
    block_release(parser->pool, parser->torn);
    parser->torn = block;
    return true;
}

/* Adds bytes up to the end of the line, or, once that is there, of the whole operation. */
static bool torn_add(struct route_parser *parser, const uint8_t **at, const uint8_t *end)
{
    size_t take = (size_t)(end - *at);
    if (parser->torn_needed > 0) {
        size_t missing = parser->torn_needed - parser->torn_bytes;
        take = take < missing ? take : missing;
    } else {
        const uint8_t *newline = memchr(*at, '\n', take);
        take = newline == NULL ? take : (size_t)(newline + 1 - *at);
    }
    size_t limit = (size_t)parser->line_bytes_max + 2; /* one byte beyond is enough to know */
    if (parser->torn_needed == 0 && parser->torn_bytes + take > limit)
        take = limit > parser->torn_bytes ? limit - parser->torn_bytes : 1;
    size_t whole = parser->torn_needed > 0 ? parser->torn_needed : parser->torn_bytes + take;
    if (!torn_fit(parser, whole))
        return false;
    memcpy(parser->torn->bytes + parser->torn_bytes, *at, take);
    parser->torn_bytes += (uint32_t)take;
    *at += take;
    return true;
}

static enum route_parser_result torn_parse(struct route_parser *parser, struct route_operation *operation)
{
    size_t used = 0, needed = 0;
    const uint8_t *start = parser->torn->bytes;
    enum route_parser_result result =
        parse(parser, start, start + parser->torn_bytes, operation, &used, &needed);
    if (result == ROUTE_PARSER_MORE)
        parser->torn_needed = (uint32_t)needed;
    if (result != ROUTE_PARSER_OPERATION)
        return result;
    ASSERT(used == parser->torn_bytes);
    parser->given = true;
    if (operation->kind == ROUTE_OP_MESSAGE)
        operation->message.block = parser->torn;
    return result;
}

static NEVER_INLINE enum route_parser_result next_torn(struct route_parser *parser, const uint8_t **at,
                                                       const uint8_t *end, struct route_operation *operation)
{
    enum route_parser_result result = ROUTE_PARSER_MORE;
    while (result == ROUTE_PARSER_MORE && *at < end) {
        uint32_t before = parser->torn_bytes;
        if (!torn_add(parser, at, end))
            return ROUTE_PARSER_MEMORY;
        bool whole = parser->torn_bytes == parser->torn_needed;
        if (parser->torn_needed ==
            0) /* the line's end is here; or it is too long; or its name can be judged anew */
            whole = parser->torn->bytes[parser->torn_bytes - 1] == '\n' ||
                    parser->torn_bytes > parser->line_bytes_max || before <= NAME_BYTES_MAX;
        if (whole)
            result = torn_parse(parser, operation);
    }
    return result;
}

/* ---- runs ---- */

/* How many more messages with the line at `start` lie complete in [at, end), and where they end. Hot: a
 * publisher elsewhere that repeats itself fills the receive buffer with them, and this loop is all that each
 * costs here. `vectors`: the line is compared in one piece of 64 bytes; a constant for each of the two loops.
 */
static ALWAYS_INLINE uint32_t run_following(const uint8_t *start, size_t line_bytes, size_t stride,
                                            const uint8_t **at, const uint8_t *end, bool vectors)
{
    size_t least = vectors && stride < LINE_BYTES ? LINE_BYTES : stride;
    uint64_t needed = line_bytes >= LINE_BYTES ? UINT64_MAX : (1ULL << line_bytes) - 1;
    const uint8_t *next = *at;
    uint32_t count = 0;
    while ((size_t)(end - next) >= least &&
           (vectors ? (line_same_bytes(start, next, true) & needed) == needed
                    : memcmp(start, next, line_bytes) == 0) &&
           next[stride - 2] == '\r' && next[stride - 1] == '\n') {
        next += stride;
        count++;
    }
    *at = next;
    return count;
}

/* Makes a run of a message at `start` and those behind it that have the same line, byte by byte. */
static ALWAYS_INLINE void run_take(const uint8_t *start, const uint8_t **at, const uint8_t *end,
                                   struct route_operation *operation)
{
    struct message *message = &operation->message;
    size_t line_bytes = (size_t)(message->body - start);
    size_t stride = line_bytes + message->total_bytes + 2;
    message->run_stride = (uint32_t)stride;
    message->run_more = line_bytes <= LINE_BYTES ? run_following(start, line_bytes, stride, at, end, true)
                                                 : run_following(start, line_bytes, stride, at, end, false);
}

enum route_parser_result route_parser_next(struct route_parser *parser, const uint8_t **at,
                                           const uint8_t *end, struct route_operation *operation)
{
    size_t used = 0, needed = 0;
    if (UNLIKELY(parser->again)) {
        parser->again = false;
        return torn_parse(parser, operation);
    }
    if (UNLIKELY(parser->given))
        let_go(parser);
    if (*at == end)
        return ROUTE_PARSER_MORE;
    if (UNLIKELY(parser->torn != NULL))
        return next_torn(parser, at, end, operation);
    enum route_parser_result result = parse(parser, *at, end, operation, &used, &needed);
    if (LIKELY(result == ROUTE_PARSER_OPERATION)) {
        const uint8_t *start = *at;
        *at += used;
        if (LIKELY(parser->runs && operation->kind == ROUTE_OP_MESSAGE && operation->queues.count == 0 &&
                   operation->message.header_bytes == 0))
            run_take(start, at, end, operation);
        return result;
    }
    return result == ROUTE_PARSER_MORE ? next_torn(parser, at, end, operation) : result;
}

bool route_parser_again(struct route_parser *parser)
{
    parser->again = parser->given;
    return parser->again;
}

void route_parser_close(struct route_parser *parser)
{
    let_go(parser);
}
