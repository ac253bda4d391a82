/* net/parser.c - client operations from bytes.
 * parse_whole() is the hot path: an operation that is complete in the given bytes, without a copy. Everything
 * else goes through parse_torn(), a state machine that can stop at any byte. */
#include "net/parser.h"

#include "core/base/check.h"

#include <string.h>

struct operation_name {
    char text[PARSER_NAME_BYTES_MAX + 1];
    uint8_t count;
    enum operation_kind kind;
    enum parser_state then; /* what follows the name */
};

/* client-protocol 1: which operations a client may send, and what stands between name and arguments. */
static const struct operation_name names[] = {
    {"PUB", 3, OPERATION_PUB, PARSER_NAME_END},       {"PING", 4, OPERATION_PING, PARSER_SKIP_LINE},
    {"PONG", 4, OPERATION_PONG, PARSER_SKIP_LINE},    {"SUB", 3, OPERATION_SUB, PARSER_NAME_END},
    {"UNSUB", 5, OPERATION_UNSUB, PARSER_NAME_END},   {"HPUB", 4, OPERATION_HPUB, PARSER_NAME_END},
    {"CONNECT", 7, OPERATION_CONNECT, PARSER_BLANKS}, {"INFO", 4, OPERATION_INFO, PARSER_BLANKS},
    {"+OK", 3, OPERATION_OK, PARSER_SKIP_LINE},       {"-ERR", 4, OPERATION_ERR, PARSER_NAME_END},
};

enum name_match { NAME_WHOLE, NAME_PART, NAME_NONE };

enum { ARGUMENTS_MAX = 5, SIZE_DIGITS_MAX = 9 };

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static uint8_t upper(uint8_t byte)
{
    return byte >= 'a' && byte <= 'z' ? (uint8_t)(byte - 'a' + 'A') : byte;
}

/* Whether `bytes` begin with an operation's name, or could when more comes. */
static enum name_match name_find(const uint8_t *bytes, size_t count, const struct operation_name **found)
{
    enum name_match best = NAME_NONE;
    for (size_t row = 0; row < COUNT_OF(names); row++) {
        const struct operation_name *name = &names[row];
        size_t compared = count < name->count ? count : name->count;
        size_t same = 0;
        while (same < compared && upper(bytes[same]) == (uint8_t)name->text[same])
            same++;
        if (same < compared)
            continue;
        if (compared == name->count) {
            *found = name;
            return NAME_WHOLE;
        }
        best = NAME_PART;
    }
    return best;
}

/* Splits at runs of blanks; more than ARGUMENTS_MAX are counted, not kept. */
static ALWAYS_INLINE uint32_t split(struct bytes text, struct bytes *arguments)
{
    const uint8_t *at = text.data;
    const uint8_t *end = text.data + text.count;
    uint32_t count = 0;
    while (at < end) {
        if (is_blank(*at)) {
            at++;
            continue;
        }
        const uint8_t *start = at;
        while (at < end && !is_blank(*at))
            at++;
        if (count < ARGUMENTS_MAX)
            arguments[count] = bytes_of(start, (size_t)(at - start));
        count++;
    }
    return count;
}

/* 1 to 9 digits (client-protocol 1, Numbers); -1 for anything else. */
static ALWAYS_INLINE int64_t parse_size(struct bytes digits)
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

static ALWAYS_INLINE enum parser_result publish_arguments(const struct parser *parser,
                                                          struct operation *operation)
{
    struct message *message = &operation->message;
    struct bytes a[ARGUMENTS_MAX];
    message->line_serial = 0;
    uint32_t count = split(operation->arguments, a);
    uint32_t sizes = operation->kind == OPERATION_HPUB ? 2 : 1;
    if (UNLIKELY(sizes == 2 && !parser->headers))
        return PARSER_NO_HEADERS;
    if (UNLIKELY(count != sizes + 1 && count != sizes + 2))
        return PARSER_BAD_ARGUMENTS;
    message->subject = a[0];
    message->reply = count == sizes + 2 ? a[1] : (struct bytes){0};
    message->total_size_text = a[count - 1];
    message->header_size_text = sizes == 2 ? a[count - 2] : (struct bytes){0};
    int64_t total = parse_size(message->total_size_text);
    int64_t header = sizes == 2 ? parse_size(message->header_size_text) : 0;
    if (UNLIKELY(total < 0 || header < 0 || header > total))
        return PARSER_BAD_ARGUMENTS;
    if (UNLIKELY(parser->max_payload_bytes >= 0 && total > parser->max_payload_bytes))
        return PARSER_PAYLOAD_EXCEEDED;
    message->total_bytes = (uint32_t)total;
    message->header_bytes = (uint32_t)header;
    return PARSER_OPERATION;
}

static enum parser_result subscribe_arguments(struct operation *operation)
{
    struct bytes a[ARGUMENTS_MAX];
    uint32_t count = split(operation->arguments, a);
    if (count != 2 && count != 3)
        return PARSER_BAD_ARGUMENTS;
    operation->subject = a[0];
    operation->queue = count == 3 ? a[1] : (struct bytes){0};
    operation->sid = a[count - 1];
    return PARSER_OPERATION;
}

static enum parser_result unsubscribe_arguments(struct operation *operation)
{
    struct bytes a[ARGUMENTS_MAX];
    uint32_t count = split(operation->arguments, a);
    if (count != 1 && count != 2)
        return PARSER_BAD_ARGUMENTS;
    operation->sid = a[0];
    operation->max = count == 2 ? parse_size(a[1]) : -1;
    return PARSER_OPERATION;
}

/* Takes a complete argument text apart. For PUB and HPUB the body is still to come. */
static ALWAYS_INLINE enum parser_result take_arguments(const struct parser *parser,
                                                       struct operation *operation)
{
    switch (operation->kind) {
    case OPERATION_PUB:
    case OPERATION_HPUB:
        return publish_arguments(parser, operation);
    case OPERATION_SUB:
        return subscribe_arguments(operation);
    case OPERATION_UNSUB:
        return unsubscribe_arguments(operation);
    case OPERATION_CONNECT:
    case OPERATION_INFO:
        return operation->arguments.count == 0 ? PARSER_BAD_ARGUMENTS : PARSER_OPERATION;
    case OPERATION_PING:
    case OPERATION_PONG:
    case OPERATION_OK:
    case OPERATION_ERR:
        return PARSER_OPERATION;
    }
    return PARSER_BAD_ARGUMENTS;
}

static bool has_body(enum operation_kind kind)
{
    return kind == OPERATION_PUB || kind == OPERATION_HPUB;
}

/* The line's text without the one CR that may stand before its LF. */
static ALWAYS_INLINE struct bytes line_text(const uint8_t *start, const uint8_t *newline)
{
    if (newline > start && newline[-1] == '\r')
        newline--;
    return bytes_of(start, (size_t)(newline - start));
}

/* The name at `at` when it is complete and well followed. The two that matter are looked for first. */
static ALWAYS_INLINE const struct operation_name *whole_name(const uint8_t *at, const uint8_t *end)
{
    const struct operation_name *name = NULL;
    if (LIKELY(end - at > 4 && at[0] == 'P' && at[1] == 'U' && at[2] == 'B'))
        name = &names[0];
    else if (name_find(at, (size_t)(end - at), &name) != NAME_WHOLE)
        return NULL;
    if (name->then == PARSER_NAME_END && (end - at == name->count || !is_blank(at[name->count])))
        return NULL;
    return name;
}

/* An operation that lies complete in [*at, end). PARSER_MORE: it does not, or is wrong in a way that the
 * state machine will find at its place; nothing was used up. */
static NEVER_INLINE enum parser_result parse_whole(const struct parser *parser, const uint8_t **at,
                                                   const uint8_t *end, struct operation *operation)
{
    const struct operation_name *name = whole_name(*at, end);
    if (UNLIKELY(name == NULL || (parser->connect_expected && name->kind != OPERATION_CONNECT)))
        return PARSER_MORE;
    const uint8_t *start = *at + name->count;
    operation->kind = name->kind;
    operation->message.line_serial = 0;
    operation->message.run_more = 0;
    operation->message.block = NULL;
    if (name->then != PARSER_SKIP_LINE) {
        while (start < end && is_blank(*start))
            start++;
    }
    size_t window = (size_t)(end - start);
    if (name->then != PARSER_SKIP_LINE && window > (size_t)parser->max_control_line_bytes + 2)
        window = (size_t)parser->max_control_line_bytes + 2;
    const uint8_t *newline = memchr(start, '\n', window);
    if (UNLIKELY(newline == NULL))
        return PARSER_MORE;
    operation->arguments = line_text(start, newline);
    if (UNLIKELY(name->then != PARSER_SKIP_LINE &&
                 operation->arguments.count > parser->max_control_line_bytes))
        return PARSER_CONTROL_LINE_EXCEEDED;
    enum parser_result result = take_arguments(parser, operation);
    if (UNLIKELY(result != PARSER_OPERATION))
        return result;
    const uint8_t *body = newline + 1;
    if (has_body(operation->kind)) {
        if (UNLIKELY((size_t)(end - body) < (size_t)operation->message.total_bytes + 2))
            return PARSER_MORE;
        operation->message.body = body;
        body += operation->message.total_bytes;
        if (UNLIKELY(body[0] != '\r' || body[1] != '\n'))
            return PARSER_UNKNOWN_OPERATION;
        body += 2;
    }
    *at = body;
    return PARSER_OPERATION;
}

/* ---- the line that there are millions of ---- */

/* Fills the operation from a known line. */
static ALWAYS_INLINE void line_operation(const struct line *line, struct operation *operation)
{
    struct message *message = &operation->message;
    operation->kind = OPERATION_PUB;
    operation->arguments = bytes_of(line->bytes + 4, line->count - 4U - 2U);
    message->subject = bytes_of(line->bytes + 4, line->subject_count);
    message->reply =
        bytes_of(line->reply_count == 0 ? NULL : line->bytes + line->reply_at, line->reply_count);
    message->total_size_text = bytes_of(line->bytes + line->size_at, line->size_count);
    message->header_size_text = bytes_of(NULL, 0);
    message->header_bytes = 0;
    message->total_bytes = line->total_bytes;
    message->block = NULL;
    message->line_serial = line->serial;
}

/* A known line at `start` that this parser's limits allow; NULL: parse_whole() looks again. */
static ALWAYS_INLINE const struct line *known_line(struct parser *parser, const uint8_t *start)
{
    if (LIKELY(line_repeated(parser->line, start)))
        return parser->line;
    const struct line *line = parser->connect_expected ? NULL : lines_find(parser->lines, start);
    if (line == NULL || line->count - 4U - 2U > parser->max_control_line_bytes ||
        (parser->max_payload_bytes >= 0 && line->total_bytes > parser->max_payload_bytes))
        return NULL;
    return line;
}

/* How many more messages with the known line lie complete in [at, end), and where they end. Hot: a publisher
 * that fills its socket sends hundreds of them in one buffer, and this loop is all that each costs here.
 * `all`: the line is longer than 32 bytes; a constant for each of the two loops. */
static ALWAYS_INLINE uint32_t run_following(const struct line *line, const uint8_t **at, const uint8_t *end,
                                            bool all)
{
    size_t stride = line->count + (size_t)line->total_bytes + 2;
    size_t least = stride > LINE_BYTES ? stride : LINE_BYTES;
    uint64_t needed = line_bits(line);
    const uint8_t *next = *at;
    uint32_t count = 0;
    while ((size_t)(end - next) >= least && (line_same_bytes(line->bytes, next, all) & needed) == needed &&
           next[stride - 2] == '\r' && next[stride - 1] == '\n') {
        next += stride;
        count++;
    }
    *at = next;
    return count;
}

/* A whole PUB with a line that is known, or is from now on. False: it is not that; nothing was used up, and
 * parse_whole() looks again. */
static ALWAYS_INLINE bool parse_plain_publish(struct parser *parser, const uint8_t **at, const uint8_t *end,
                                              struct operation *operation)
{
    const uint8_t *start = *at;
    if (UNLIKELY((size_t)(end - start) < LINE_BYTES || parser->lines == NULL))
        return false;
    const struct line *line = known_line(parser, start);
    if (UNLIKELY(line == NULL))
        return false;
    const uint8_t *body = start + line->count;
    size_t total_bytes = line->total_bytes;
    if (UNLIKELY((size_t)(end - body) < total_bytes + 2 || body[total_bytes] != '\r' ||
                 body[total_bytes + 1] != '\n'))
        return false;
    parser->line = line;
    if (UNLIKELY(operation->message.line_serial != line->serial || line->serial == 0))
        line_operation(line, operation);
    operation->message.body = body;
    operation->message.run_stride = (uint32_t)(line->count + total_bytes + 2);
    *at = body + total_bytes + 2;
    operation->message.run_more = 0;
    if (LIKELY(parser->runs))
        operation->message.run_more =
            line->count <= 32 ? run_following(line, at, end, false) : run_following(line, at, end, true);
    return true;
}

/* ---- torn operations ---- */

static void let_go(struct parser *parser)
{
    block_release(parser->pool, parser->torn);
    parser->torn = NULL;
    parser->argument_bytes = 0;
    parser->body_bytes = 0;
    parser->name_count = 0;
    parser->state = PARSER_START;
}

/* Makes the torn block hold `capacity` bytes in all, with what it has. */
static bool torn_fit(struct parser *parser, size_t capacity)
{
    if (parser->torn != NULL && parser->torn->capacity >= capacity)
        return true;
    size_t used = (size_t)parser->argument_bytes + parser->body_bytes;
    if (parser->torn != NULL && capacity < (size_t)parser->torn->capacity * 2 &&
        parser->state == PARSER_ARGUMENTS)
        capacity = (size_t)parser->torn->capacity * 2;
    struct block *block = block_take(parser->pool, capacity);
    if (block == NULL)
        return false;
    if (used > 0)
        memcpy(block->bytes, parser->torn->bytes, used);
    block_release(parser->pool, parser->torn);
    parser->torn = block;
    return true;
}

static enum parser_result name_byte(struct parser *parser, uint8_t byte)
{
    if (parser->name_count == 0 && parser->connect_expected && upper(byte) != 'C')
        return PARSER_CONNECT_EXPECTED;
    parser->name[parser->name_count++] = byte;
    const struct operation_name *name = NULL;
    switch (name_find(parser->name, parser->name_count, &name)) {
    case NAME_WHOLE:
        parser->kind = (uint8_t)name->kind;
        parser->state = (uint8_t)name->then;
        return PARSER_MORE;
    case NAME_PART:
        parser->state = PARSER_NAME;
        return PARSER_MORE;
    case NAME_NONE:
        return PARSER_UNKNOWN_OPERATION;
    }
    return PARSER_UNKNOWN_OPERATION;
}

/* Fills `operation` from the torn block. */
static enum parser_result torn_operation(const struct parser *parser, struct operation *operation)
{
    const uint8_t *start = parser->torn == NULL ? NULL : parser->torn->bytes;
    operation->kind = (enum operation_kind)parser->kind;
    operation->arguments = bytes_of(start, parser->argument_bytes);
    operation->message.line_serial = 0;
    operation->message.run_more = 0;
    operation->message.block = NULL;
    enum parser_result result = take_arguments(parser, operation);
    if (result == PARSER_OPERATION && has_body(operation->kind)) {
        operation->message.body = start + parser->argument_bytes;
        operation->message.block = parser->torn;
    }
    return result;
}

/* Copies argument bytes aside, up to the line's end if that is here. */
static enum parser_result argument_bytes_take(struct parser *parser, const uint8_t **at, const uint8_t *end,
                                              struct operation *operation)
{
    const uint8_t *newline = memchr(*at, '\n', (size_t)(end - *at));
    const uint8_t *stop = newline == NULL ? end : newline;
    size_t limit = parser->max_control_line_bytes;
    size_t after = (size_t)parser->argument_bytes + (size_t)(stop - *at);
    if (after > limit + 1)
        return PARSER_CONTROL_LINE_EXCEEDED;
    if (!torn_fit(parser, after + 1))
        return PARSER_MEMORY;
    memcpy(parser->torn->bytes + parser->argument_bytes, *at, (size_t)(stop - *at));
    parser->argument_bytes = (uint32_t)after;
    bool closing_return = after > 0 && parser->torn->bytes[after - 1] == '\r';
    if (after > limit && !closing_return)
        return PARSER_CONTROL_LINE_EXCEEDED;
    *at = newline == NULL ? end : newline + 1;
    if (newline == NULL)
        return PARSER_MORE;
    if (closing_return)
        parser->argument_bytes--;
    enum parser_result result = torn_operation(parser, operation);
    if (result != PARSER_OPERATION || !has_body(operation->kind)) {
        parser->state = PARSER_DONE;
        return result;
    }
    parser->state = PARSER_PAYLOAD;
    return torn_fit(parser, (size_t)parser->argument_bytes + operation->message.total_bytes + 2)
               ? PARSER_MORE
               : PARSER_MEMORY;
}

static enum parser_result payload_bytes_take(struct parser *parser, const uint8_t **at, const uint8_t *end,
                                             struct operation *operation)
{
    enum parser_result result = torn_operation(parser, operation);
    ASSERT(result == PARSER_OPERATION);
    size_t needed = (size_t)operation->message.total_bytes + 2 - parser->body_bytes;
    size_t take = (size_t)(end - *at) < needed ? (size_t)(end - *at) : needed;
    uint8_t *body = parser->torn->bytes + parser->argument_bytes;
    memcpy(body + parser->body_bytes, *at, take);
    parser->body_bytes += (uint32_t)take;
    *at += take;
    bool return_here = parser->body_bytes > operation->message.total_bytes;
    if (return_here && body[operation->message.total_bytes] != '\r')
        return PARSER_UNKNOWN_OPERATION;
    if (take < needed)
        return PARSER_MORE;
    if (body[operation->message.total_bytes + 1] != '\n')
        return PARSER_UNKNOWN_OPERATION;
    parser->state = PARSER_DONE;
    return PARSER_OPERATION;
}

/* One step of the state machine; uses at least one byte. PARSER_MORE: go on while there are bytes. */
static enum parser_result torn_step(struct parser *parser, const uint8_t **at, const uint8_t *end,
                                    struct operation *operation)
{
    switch ((enum parser_state)parser->state) {
    case PARSER_START:
    case PARSER_NAME:
        return name_byte(parser, *(*at)++);
    case PARSER_NAME_END:
        parser->state = PARSER_BLANKS;
        return is_blank(*(*at)++) ? PARSER_MORE : PARSER_UNKNOWN_OPERATION;
    case PARSER_BLANKS:
        if (is_blank(**at))
            (*at)++;
        else
            parser->state = PARSER_ARGUMENTS;
        return PARSER_MORE;
    case PARSER_ARGUMENTS:
        return argument_bytes_take(parser, at, end, operation);
    case PARSER_SKIP_LINE: {
        const uint8_t *newline = memchr(*at, '\n', (size_t)(end - *at));
        *at = newline == NULL ? end : newline + 1;
        if (newline == NULL)
            return PARSER_MORE;
        parser->state = PARSER_DONE;
        return torn_operation(parser, operation);
    }
    case PARSER_PAYLOAD:
        return payload_bytes_take(parser, at, end, operation);
    case PARSER_DONE:
    case PARSER_AGAIN:
        break;
    }
    ASSERT(false);
    return PARSER_UNKNOWN_OPERATION;
}

static NEVER_INLINE enum parser_result parse_torn(struct parser *parser, const uint8_t **at,
                                                  const uint8_t *end, struct operation *operation)
{
    enum parser_result result = PARSER_MORE;
    while (result == PARSER_MORE && *at < end)
        result = torn_step(parser, at, end, operation);
    return result;
}

enum parser_result parser_next(struct parser *parser, const uint8_t **at, const uint8_t *end,
                               struct operation *operation)
{
    if (UNLIKELY(parser->state != PARSER_START)) {
        if (parser->state == PARSER_AGAIN) {
            parser->state = PARSER_DONE;
            return torn_operation(parser, operation);
        }
        if (parser->state == PARSER_DONE)
            let_go(parser);
    }
    if (*at == end)
        return PARSER_MORE;
    if (LIKELY(parser->state == PARSER_START)) {
        if (LIKELY(parse_plain_publish(parser, at, end, operation)))
            return PARSER_OPERATION;
        enum parser_result result = parse_whole(parser, at, end, operation);
        if (LIKELY(result != PARSER_MORE))
            return result;
    }
    return parse_torn(parser, at, end, operation);
}

bool parser_again(struct parser *parser)
{
    if (parser->state != PARSER_DONE)
        return false;
    parser->state = PARSER_AGAIN;
    return true;
}

void parser_close(struct parser *parser)
{
    let_go(parser);
}
