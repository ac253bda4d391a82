/* net/outer_parser.c - see outer_parser.h. */
#include "net/outer_parser.h"

#include <string.h>

enum { ARGUMENTS_MAX = 5, SIZE_DIGITS_MAX = 9 };

static const struct {
    struct bytes name;
    enum outer_operation_kind kind;
    bool with_header;
} names[] = {
    {{(const uint8_t *)"MSG", 3}, OUTER_OP_MESSAGE, false},
    {{(const uint8_t *)"HMSG", 4}, OUTER_OP_MESSAGE, true},
    {{(const uint8_t *)"INFO", 4}, OUTER_OP_INFO, false},
    {{(const uint8_t *)"PING", 4}, OUTER_OP_PING, false},
    {{(const uint8_t *)"PONG", 4}, OUTER_OP_PONG, false},
    {{(const uint8_t *)"+OK", 3}, OUTER_OP_OK, false},
    {{(const uint8_t *)"-ERR", 4}, OUTER_OP_ERR, false},
};

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

/* The words of a line; more than ARGUMENTS_MAX are counted as one too many. */
static uint32_t split(struct bytes line, struct bytes words[ARGUMENTS_MAX])
{
    uint32_t count = 0;
    size_t at = 0;
    while (at < line.count) {
        while (at < line.count && is_blank(line.data[at]))
            at++;
        size_t start = at;
        while (at < line.count && !is_blank(line.data[at]))
            at++;
        if (at == start)
            break;
        if (count == ARGUMENTS_MAX)
            return ARGUMENTS_MAX + 1;
        words[count++] = bytes_of(line.data + start, at - start);
    }
    return count;
}

static bool size_read(struct bytes word, size_t *size)
{
    *size = 0;
    if (word.count == 0 || word.count > SIZE_DIGITS_MAX)
        return false;
    for (size_t i = 0; i < word.count; i++) {
        if (word.data[i] < '0' || word.data[i] > '9')
            return false;
        *size = *size * 10 + (size_t)(word.data[i] - '0');
    }
    return true;
}

/* MSG subject sid [reply] size, HMSG subject sid [reply] header_size size; `behind`: the bytes behind the
 * line. */
static enum outer_parser_result message_parse(struct bytes behind, size_t message_bytes_max, bool with_header,
                                              struct outer_operation *operation)
{
    struct bytes words[ARGUMENTS_MAX];
    size_t header_bytes = 0, total_bytes = 0;
    uint32_t sizes = with_header ? 2 : 1;
    uint32_t count = split(operation->arguments, words);
    if (count != sizes + 2 && count != sizes + 3)
        return OUTER_PARSER_BAD;
    if (!size_read(words[count - 1], &total_bytes) || total_bytes > message_bytes_max ||
        (with_header && (!size_read(words[count - 2], &header_bytes) || header_bytes > total_bytes)))
        return OUTER_PARSER_BAD;
    operation->used += total_bytes + 2;
    if (behind.count < total_bytes + 2)
        return OUTER_PARSER_MORE;
    if (behind.data[total_bytes] != '\r' || behind.data[total_bytes + 1] != '\n')
        return OUTER_PARSER_BAD;
    operation->subject = words[0];
    operation->sid = words[1];
    operation->reply = count == sizes + 3 ? words[2] : (struct bytes){NULL, 0};
    operation->header = bytes_of(behind.data, header_bytes);
    operation->payload = bytes_of(behind.data + header_bytes, total_bytes - header_bytes);
    return OUTER_PARSER_OPERATION;
}

/* -ERR 'words' */
static struct bytes unquoted(struct bytes words)
{
    if (words.count >= 2 && words.data[0] == '\'' && words.data[words.count - 1] == '\'')
        return bytes_of(words.data + 1, words.count - 2);
    return words;
}

enum outer_parser_result outer_parser_next(struct bytes bytes, size_t message_bytes_max,
                                           struct outer_operation *operation)
{
    *operation = (struct outer_operation){0};
    size_t look = bytes.count < OUTER_LINE_BYTES_MAX ? bytes.count : OUTER_LINE_BYTES_MAX;
    const uint8_t *newline = look == 0 ? NULL : memchr(bytes.data, '\n', look);
    if (newline == NULL)
        return bytes.count >= OUTER_LINE_BYTES_MAX ? OUTER_PARSER_BAD : OUTER_PARSER_MORE;
    struct bytes line = bytes_of(bytes.data, (size_t)(newline - bytes.data));
    operation->used = line.count + 1;
    if (line.count > 0 && line.data[line.count - 1] == '\r')
        line.count--;
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        size_t name = names[i].name.count;
        if (line.count < name || memcmp(line.data, names[i].name.data, name) != 0 ||
            (line.count > name && !is_blank(line.data[name])))
            continue;
        while (name < line.count && is_blank(line.data[name]))
            name++;
        operation->kind = names[i].kind;
        operation->arguments = bytes_of(line.data + name, line.count - name);
        if (operation->kind == OUTER_OP_ERR)
            operation->arguments = unquoted(operation->arguments);
        if (operation->kind != OUTER_OP_MESSAGE)
            return OUTER_PARSER_OPERATION;
        struct bytes behind = bytes_of(newline + 1, bytes.count - operation->used);
        return message_parse(behind, message_bytes_max, names[i].with_header, operation);
    }
    return OUTER_PARSER_BAD;
}
