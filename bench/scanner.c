/* bench/scanner.c - the scanner behind scanner.h. frames_repeated() is the hot loop. */
#include "bench/scanner.h"

#include "core/base/check.h"
#include "core/base/language.h"

static enum scan_result scan_line(struct scanner *scanner, struct scan_input *input,
                                  struct scan_event *event);
static enum scan_result scan_payload(struct scanner *scanner, struct scan_input *input,
                                     struct scan_event *event);
static enum scan_result scan_long_line(struct scanner *scanner, struct scan_input *input);
static enum scan_result scan_torn_line(struct scanner *scanner, struct scan_input *input,
                                       struct scan_event *event);
static enum scan_result scan_message(struct scanner *scanner, struct scan_input *input, size_t line_count,
                                     struct scan_event *event);
static enum scan_result control_line(struct bytes line);
static bool message_line_parse(struct bytes line, struct scan_event *event);
static bool number_parse(struct bytes digits, uint64_t *number);
static enum scan_result tear(struct scanner *scanner, struct scan_input *input);
static void memo_learn(struct scanner *scanner, const uint8_t *at, size_t line_count,
                       const struct scan_event *event);
static void memo_recall(const struct scanner *scanner, const uint8_t *at, struct scan_event *event);

/* How many frames at `at` have this control line and a CR LF at their end. Hot: plain arguments, no stores.
 */
static uint64_t frames_repeated(const uint8_t *at, const uint8_t *end, const uint8_t *line, size_t line_count,
                                size_t frame_bytes, uint64_t limit)
{
    uint64_t count = 0;
    while (count < limit && (size_t)(end - at) >= frame_bytes) {
        if (memcmp(at, line, line_count) != 0 || at[frame_bytes - 2] != '\r' || at[frame_bytes - 1] != '\n')
            break;
        at += frame_bytes;
        count++;
    }
    return count;
}

struct scan_input scanner_begin(struct scanner *scanner, uint8_t *received, size_t count)
{
    struct scan_input input = {received, received + count};
    if (scanner->mode == SCANNER_AT_LINE && scanner->torn_count > 0) {
        input.at = received - scanner->torn_count;
        memcpy(received - scanner->torn_count, scanner->torn, scanner->torn_count);
        scanner->torn_count = 0;
    }
    return input;
}

enum scan_result scanner_next(struct scanner *scanner, struct scan_input *input, struct scan_event *event)
{
    switch (scanner->mode) {
    case SCANNER_IN_PAYLOAD:
        return scan_payload(scanner, input, event);
    case SCANNER_IN_LONG_LINE:
        if (scan_long_line(scanner, input) == SCAN_MORE)
            return SCAN_MORE;
        break;
    case SCANNER_AT_LINE:
        break;
    }
    if (LIKELY(scanner->memo_count > 0)) {
        size_t frame_bytes = (size_t)scanner->memo_frame_bytes;
        uint64_t repeats = frames_repeated(input->at, input->end, scanner->memo_line, scanner->memo_count,
                                           frame_bytes, scanner->counting ? UINT64_MAX : 1);
        if (repeats > 0) {
            memo_recall(scanner, input->at, event);
            event->repeats = repeats;
            input->at += repeats * frame_bytes;
            return SCAN_MESSAGE;
        }
    }
    return scan_line(scanner, input, event);
}

static enum scan_result scan_line(struct scanner *scanner, struct scan_input *input, struct scan_event *event)
{
    size_t available = (size_t)(input->end - input->at);
    if (available == 0)
        return SCAN_MORE;
    size_t search = available < SCANNER_LINE_BYTES_MAX ? available : SCANNER_LINE_BYTES_MAX;
    const uint8_t *newline = memchr(input->at, '\n', search);
    if (newline == NULL)
        return scan_torn_line(scanner, input, event);

    size_t line_count = (size_t)(newline - input->at) + 1;
    struct bytes line = bytes_of(input->at, line_count - 1);
    if (line.count > 0 && line.data[line.count - 1] == '\r')
        line.count--;
    *event = (struct scan_event){.line = line};
    if (bytes_start_with(line, TEXT("MSG ")) || bytes_start_with(line, TEXT("HMSG ")))
        return scan_message(scanner, input, line_count, event);
    input->at += line_count;
    return control_line(line);
}

/* No line end yet: either more will come, or the line is longer than we keep. */
static enum scan_result scan_torn_line(struct scanner *scanner, struct scan_input *input,
                                       struct scan_event *event)
{
    if ((size_t)(input->end - input->at) < SCANNER_LINE_BYTES_MAX)
        return tear(scanner, input);
    struct bytes line = bytes_of(input->at, SCANNER_LINE_BYTES_MAX);
    enum scan_result result = control_line(line);
    if (result != SCAN_INFO && result != SCAN_ERROR)
        return SCAN_BROKEN;
    *event = (struct scan_event){.line = line};
    input->at += line.count;
    scanner->mode = SCANNER_IN_LONG_LINE;
    return result;
}

static enum scan_result scan_long_line(struct scanner *scanner, struct scan_input *input)
{
    size_t available = (size_t)(input->end - input->at);
    const uint8_t *newline = available == 0 ? NULL : memchr(input->at, '\n', available);
    if (newline == NULL) {
        input->at = input->end;
        return SCAN_MORE;
    }
    input->at = newline + 1;
    scanner->mode = SCANNER_AT_LINE;
    return SCAN_OK;
}

/* A MSG or HMSG line is whole at input->at; its payload may not be. */
static enum scan_result scan_message(struct scanner *scanner, struct scan_input *input, size_t line_count,
                                     struct scan_event *event)
{
    if (!message_line_parse(event->line, event))
        return SCAN_BROKEN;
    size_t available = (size_t)(input->end - input->at);
    size_t head_count =
        event->total_bytes < SCANNER_HEAD_BYTES ? (size_t)event->total_bytes : SCANNER_HEAD_BYTES;
    event->frame_bytes = line_count + event->total_bytes + 2;
    event->repeats = 1;
    event->head = bytes_of(input->at + line_count, head_count);
    if (available >= event->frame_bytes) {
        const uint8_t *frame_end = input->at + event->frame_bytes;
        if (frame_end[-2] != '\r' || frame_end[-1] != '\n')
            return SCAN_BROKEN;
        memo_learn(scanner, input->at, line_count, event);
        input->at = frame_end;
        return SCAN_MESSAGE;
    }
    size_t kept_count = line_count + head_count;
    if (available < kept_count || event->total_bytes <= SCANNER_HEAD_BYTES)
        return tear(scanner, input);
    memcpy(scanner->torn, input->at, kept_count);
    scanner->torn_count = kept_count;
    scanner->skip_bytes = event->frame_bytes - kept_count;
    scanner->mode = SCANNER_IN_PAYLOAD;
    input->at += kept_count;
    return scan_payload(scanner, input, event);
}

/* Skips to the end of a frame whose line and head are in torn[], and reports it when all of it was there. */
static enum scan_result scan_payload(struct scanner *scanner, struct scan_input *input,
                                     struct scan_event *event)
{
    uint64_t available = (uint64_t)(input->end - input->at);
    uint64_t used = available < scanner->skip_bytes ? available : scanner->skip_bytes;
    uint64_t left = scanner->skip_bytes - used;
    /* The bytes with 2 and 1 left to go are CR and LF; look at those that are among the ones used now. */
    if (scanner->skip_bytes >= 2 && left < 2 && input->at[scanner->skip_bytes - 2] != '\r')
        return SCAN_BROKEN;
    if (scanner->skip_bytes >= 1 && left < 1 && input->at[scanner->skip_bytes - 1] != '\n')
        return SCAN_BROKEN;
    input->at += used;
    scanner->skip_bytes = left;
    if (left > 0)
        return SCAN_MORE;

    const uint8_t *newline = memchr(scanner->torn, '\n', scanner->torn_count);
    ASSERT(newline != NULL); /* scan_message() put a whole line there */
    size_t line_count = (size_t)(newline - scanner->torn) + 1;
    size_t line_end_count = line_count >= 2 && newline[-1] == '\r' ? 2 : 1;
    *event = (struct scan_event){.line = bytes_of(scanner->torn, line_count - line_end_count), .repeats = 1};
    bool parsed = message_line_parse(event->line, event);
    ASSERT(parsed); /* it was parsed before */
    event->head = bytes_of(scanner->torn + line_count, scanner->torn_count - line_count);
    event->frame_bytes = line_count + event->total_bytes + 2;
    memo_learn(scanner, scanner->torn, line_count, event);
    scanner->torn_count = 0; /* the bytes stay until the next call */
    scanner->mode = SCANNER_AT_LINE;
    return SCAN_MESSAGE;
}

static enum scan_result control_line(struct bytes line)
{
    static const struct {
        struct bytes start;
        enum scan_result result;
    } rows[] = {
        {TEXT("PING"), SCAN_PING},  {TEXT("PONG"), SCAN_PONG},  {TEXT("+OK"), SCAN_OK},
        {TEXT("INFO "), SCAN_INFO}, {TEXT("-ERR"), SCAN_ERROR},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        if (bytes_start_with(line, rows[i].start))
            return rows[i].result;
    return SCAN_BROKEN;
}

/* MSG subject sid [reply] total, or HMSG subject sid [reply] headers total. */
static bool message_line_parse(struct bytes line, struct scan_event *event)
{
    enum { ARGUMENTS_MAX = 6 };
    struct bytes arguments[ARGUMENTS_MAX];
    size_t count = 0;
    size_t at = 0;
    while (at < line.count) {
        size_t start = at;
        while (at < line.count && line.data[at] != ' ')
            at++;
        if (at > start) {
            if (count == ARGUMENTS_MAX)
                return false;
            arguments[count++] = bytes_of(line.data + start, at - start);
        }
        at++;
    }
    bool headers = line.count > 0 && line.data[0] == 'H';
    size_t least = headers ? 5 : 4; /* the operation's name is among them */
    if (count != least && count != least + 1)
        return false;
    event->subject = arguments[1];
    event->reply = count > least ? arguments[3] : bytes_of(NULL, 0);
    event->header_bytes = 0;
    if (headers && !number_parse(arguments[count - 2], &event->header_bytes))
        return false;
    if (!number_parse(arguments[count - 1], &event->total_bytes))
        return false;
    return event->header_bytes <= event->total_bytes && event->total_bytes <= SCANNER_PAYLOAD_BYTES_MAX;
}

static bool number_parse(struct bytes digits, uint64_t *number)
{
    if (digits.count == 0 || digits.count > 10)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i < digits.count; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(digits.data[i] - '0');
    }
    *number = value;
    return true;
}

static enum scan_result tear(struct scanner *scanner, struct scan_input *input)
{
    size_t count = (size_t)(input->end - input->at);
    ASSERT(count <= sizeof(scanner->torn));
    if (count > 0)
        memcpy(scanner->torn, input->at, count);
    scanner->torn_count = count;
    input->at = input->end;
    return SCAN_MORE;
}

static struct bytes relative(struct bytes part, const uint8_t *base)
{
    if (part.count == 0)
        return part;
    return bytes_of((const uint8_t *)(uintptr_t)(part.data - base), part.count);
}

static struct bytes absolute(struct bytes part, const uint8_t *base)
{
    if (part.count == 0)
        return part;
    return bytes_of(base + (uintptr_t)part.data, part.count);
}

static void memo_learn(struct scanner *scanner, const uint8_t *at, size_t line_count,
                       const struct scan_event *event)
{
    if (line_count > sizeof(scanner->memo_line)) {
        scanner->memo_count = 0;
        return;
    }
    memcpy(scanner->memo_line, at, line_count);
    scanner->memo_count = line_count;
    scanner->memo_frame_bytes = event->frame_bytes;
    scanner->memo = *event;
    scanner->memo.line = relative(event->line, at);
    scanner->memo.subject = relative(event->subject, at);
    scanner->memo.reply = relative(event->reply, at);
    scanner->memo.head.count = event->head.count;
}

static void memo_recall(const struct scanner *scanner, const uint8_t *at, struct scan_event *event)
{
    *event = scanner->memo;
    event->line = absolute(scanner->memo.line, at);
    event->subject = absolute(scanner->memo.subject, at);
    event->reply = absolute(scanner->memo.reply, at);
    event->head = bytes_of(at + scanner->memo_count, scanner->memo.head.count);
}
