/* core/config/lexer.c - the lexer: a state for what comes next, a stack of contexts for what it is in.
 *
 *   AT_KEY --key--> AFTER_KEY --scalar--> AFTER_VALUE --terminator--> AT_KEY | AT_ITEM
 *                             --[ or {--> AT_ITEM | AT_KEY of the new context; its end leads to AFTER_VALUE
 *
 * Every step of the loop in lexer_next() consumes at least one byte, changes the state or returns, so a text
 * of n bytes costs O(n). */
#include "core/config/lexer.h"

#include "core/base/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

enum { SENTENCE_BYTES_MAX = 256, RUNE_END = -1, RUNE_INVALID = 0xfffd };

static struct lexer_token at_key(struct lexer *lexer);
static struct lexer_token after_key(struct lexer *lexer);
static struct lexer_token at_item(struct lexer *lexer);
static struct lexer_token at_value(struct lexer *lexer);
static struct lexer_token after_value(struct lexer *lexer);
static struct lexer_token after_wrapper(struct lexer *lexer);

/* No token yet: the state has changed, go on. Never leaves this file. */
static const struct lexer_token again = {.line = -1};

void lexer_init(struct lexer *lexer, struct bytes source, struct arena *arena)
{
    *lexer = (struct lexer){.source = source, .arena = arena, .line = 1, .state = LEXER_AT_KEY, .depth = 1};
    lexer->contexts[0] = LEXER_IN_FILE;
}

void lexer_init_value(struct lexer *lexer, struct bytes source, struct arena *arena)
{
    lexer_init(lexer, source, arena);
    lexer->state = LEXER_AT_VALUE;
}

struct lexer_token lexer_next(struct lexer *lexer)
{
    for (;;) {
        struct lexer_token token = again;
        switch (lexer->state) {
        case LEXER_AT_KEY:
            token = at_key(lexer);
            break;
        case LEXER_AFTER_KEY:
            token = after_key(lexer);
            break;
        case LEXER_AT_VALUE:
            token = at_value(lexer);
            break;
        case LEXER_AT_ITEM:
            token = at_item(lexer);
            break;
        case LEXER_AFTER_VALUE:
            token = after_value(lexer);
            break;
        case LEXER_AFTER_WRAPPER:
            token = after_wrapper(lexer);
            break;
        }
        if (token.line >= 0)
            return token;
    }
}

/* ---- characters ---- */

/* The byte at an offset, or RUNE_END. All that has meaning in the grammar is ASCII, but for white space. */
static int byte_at(const struct lexer *lexer, size_t offset)
{
    return offset < lexer->source.count ? lexer->source.data[offset] : RUNE_END;
}

static int peek(const struct lexer *lexer)
{
    return byte_at(lexer, lexer->offset);
}

/* Consumes one byte. */
static void skip(struct lexer *lexer)
{
    if (lexer->source.data[lexer->offset] == '\n') {
        lexer->line++;
        lexer->line_start = (ptrdiff_t)lexer->offset;
    }
    lexer->offset++;
}

/* The UTF-8 character here and its size in bytes; RUNE_INVALID with size 1 where there is none. */
static int rune_here(const struct lexer *lexer, size_t *size)
{
    int first = peek(lexer);
    *size = first == RUNE_END ? 0 : 1;
    if (first < 0x80)
        return first;
    size_t more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : 1;
    if (first < 0xc2 || first > 0xf4)
        return RUNE_INVALID;
    int rune = first & (0x3f >> more);
    for (size_t i = 1; i <= more; i++) {
        int byte = byte_at(lexer, lexer->offset + i);
        if (byte == RUNE_END || (byte & 0xc0) != 0x80)
            return RUNE_INVALID;
        rune = rune << 6 | (byte & 0x3f);
    }
    static const int least[] = {0, 0x80, 0x800, 0x10000};
    if (rune < least[more] || rune > 0x10ffff || (rune >= 0xd800 && rune <= 0xdfff))
        return RUNE_INVALID;
    *size = more + 1;
    return rune;
}

static bool is_newline(int c)
{
    return c == '\n' || c == '\r';
}

static bool is_blank(int c)
{
    return c == ' ' || c == '\t';
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_separator(int c)
{
    return c == ':' || c == '=';
}

/* Bytes of white space here, newlines and Unicode's spaces included; 0 when there is none. */
static size_t space_here(const struct lexer *lexer)
{
    size_t size;
    int rune = rune_here(lexer, &size);
    if (rune == ' ' || (rune >= '\t' && rune <= '\r'))
        return 1;
    bool space = rune == 0x85 || rune == 0xa0 || rune == 0x1680 || (rune >= 0x2000 && rune <= 0x200a) ||
                 rune == 0x2028 || rune == 0x2029 || rune == 0x202f || rune == 0x205f || rune == 0x3000;
    return space ? size : 0;
}

static void skip_space(struct lexer *lexer)
{
    for (size_t size = space_here(lexer); size > 0; size = space_here(lexer)) {
        for (size_t i = 0; i < size; i++)
            skip(lexer);
    }
}

static void skip_blanks(struct lexer *lexer)
{
    while (is_blank(peek(lexer)))
        skip(lexer);
}

static bool at_comment(const struct lexer *lexer)
{
    return peek(lexer) == '#' || (peek(lexer) == '/' && byte_at(lexer, lexer->offset + 1) == '/');
}

/* To the end of the line; the newline stays. */
static void skip_comment(struct lexer *lexer)
{
    while (peek(lexer) != RUNE_END && !is_newline(peek(lexer)))
        skip(lexer);
}

static void skip_space_and_comments(struct lexer *lexer)
{
    skip_space(lexer);
    while (at_comment(lexer)) {
        skip_comment(lexer);
        skip_space(lexer);
    }
}

/* ---- tokens ---- */

static struct lexer_token token_here(const struct lexer *lexer, enum lexer_kind kind)
{
    return (struct lexer_token){
        .kind = kind, .line = lexer->line, .column = (int)((ptrdiff_t)lexer->offset - lexer->line_start)};
}

/* The text from the token's start, at `start`, to here. */
static struct lexer_token token_to_here(const struct lexer *lexer, struct lexer_token token, size_t start)
{
    token.text = bytes_of(lexer->source.data + start, lexer->offset - start);
    return token;
}

PRINTF_LIKE(2, 3) static struct lexer_token fail(struct lexer *lexer, const char *format, ...)
{
    char sentence[SENTENCE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    struct lexer_token token = token_here(lexer, LEXER_ERROR);
    /* Where there is no memory for the sentence, it is an empty one: still an error. */
    char *copy = arena_copy(lexer->arena, text(sentence));
    token.text = text(copy == NULL ? "" : copy);
    return token;
}

/* How the character here looks in a sentence, in a buffer of the caller. */
struct shown {
    char text[8];
};

/* Consumes the character that is wrong, so that an unexpected newline reports the line behind it, and shows
 * it. */
static struct shown shown_and_skipped(struct lexer *lexer)
{
    struct shown shown = {{0}};
    size_t size;
    int rune = rune_here(lexer, &size);
    if (rune == RUNE_END)
        memcpy(shown.text, "EOF", 4);
    else if (rune == '\n' || rune == '\r' || rune == '\t')
        memcpy(shown.text, rune == '\n' ? "\\n" : rune == '\r' ? "\\r" : "\\t", 3);
    else if (rune == RUNE_INVALID && size == 1)
        memcpy(shown.text, "\xef\xbf\xbd", 4);
    else
        memcpy(shown.text, lexer->source.data + lexer->offset, size);
    for (size_t i = 0; i < size; i++)
        skip(lexer);
    return shown;
}

static enum lexer_context context(const struct lexer *lexer)
{
    return lexer->contexts[lexer->depth - 1];
}

static struct lexer_token push(struct lexer *lexer, enum lexer_context next, struct lexer_token token)
{
    if (lexer->depth > CONFIG_NESTING_MAX)
        return fail(lexer, "Maps and arrays may be nested %d levels deep at most.", CONFIG_NESTING_MAX);
    lexer->contexts[lexer->depth++] = (uint8_t)next;
    lexer->state = next == LEXER_IN_ARRAY ? LEXER_AT_ITEM : LEXER_AT_KEY;
    skip(lexer);
    return token;
}

/* Consumes the bracket that ends a map or an array. The token stands behind it. */
static struct lexer_token pop(struct lexer *lexer, enum lexer_kind kind)
{
    ASSERT(lexer->depth > 1);
    skip(lexer);
    lexer->depth--;
    lexer->state = LEXER_AFTER_VALUE;
    return token_here(lexer, kind);
}

/* ---- keys ---- */

static struct lexer_token scan_quoted_key(struct lexer *lexer)
{
    bool in_map = context(lexer) == LEXER_IN_MAP;
    int quote = peek(lexer);
    skip(lexer);
    struct lexer_token token = token_here(lexer, LEXER_KEY);
    size_t start = lexer->offset;
    while (peek(lexer) != quote) {
        if (peek(lexer) == RUNE_END && in_map)
            return fail(lexer, "Unexpected EOF processing %squoted map key.", quote == '"' ? "double " : "");
        if (peek(lexer) == RUNE_END)
            return fail(lexer, "Unexpected EOF.");
        skip(lexer);
    }
    token = token_to_here(lexer, token, start);
    skip(lexer);
    lexer->state = LEXER_AFTER_KEY;
    return token;
}

static struct lexer_token scan_quoted_include(struct lexer *lexer)
{
    int quote = peek(lexer);
    skip(lexer);
    struct lexer_token token = token_here(lexer, LEXER_INCLUDE);
    size_t start = lexer->offset;
    while (peek(lexer) != quote) {
        if (peek(lexer) == RUNE_END)
            return fail(lexer, "Unexpected EOF in %squoted include", quote == '"' ? "double " : "");
        skip(lexer);
    }
    token = token_to_here(lexer, token, start);
    skip(lexer);
    return token;
}

/* Behind the word `include`: a path, which is never anything else than a string. */
static struct lexer_token scan_include(struct lexer *lexer)
{
    skip_blanks(lexer);
    lexer->state = LEXER_AFTER_VALUE;
    int c = peek(lexer);
    const char *found = c == '['                  ? "start of an array"
                        : c == '{'                ? "start of a map"
                        : c == '('                ? "start of a block"
                        : c == '\\'               ? "escape sequence"
                        : is_digit(c) || c == '-' ? "start of a number"
                        : is_newline(c)           ? "new line"
                                                  : NULL;
    if (found != NULL) {
        skip(lexer);
        return fail(lexer, "Expected include value but found %s", found);
    }
    if (c == '"' || c == '\'')
        return scan_quoted_include(lexer);
    struct lexer_token token = token_here(lexer, LEXER_INCLUDE);
    size_t start = lexer->offset;
    for (c = peek(lexer);
         c != RUNE_END && !is_newline(c) && !is_blank(c) && c != ';' && c != '}' && c != '\'';
         c = peek(lexer)) {
        skip(lexer);
    }
    token = token_to_here(lexer, token, start);
    if (peek(lexer) == '\'')
        skip(lexer);
    return token;
}

static struct lexer_token scan_bare_key(struct lexer *lexer)
{
    struct lexer_token token = token_here(lexer, LEXER_KEY);
    size_t start = lexer->offset;
    while (peek(lexer) != RUNE_END && !is_separator(peek(lexer)) && space_here(lexer) == 0)
        skip(lexer);
    if (peek(lexer) == RUNE_END && context(lexer) == LEXER_IN_MAP)
        return fail(lexer, "Unexpected EOF processing map key.");
    token = token_to_here(lexer, token, start);
    if (space_here(lexer) > 0 && config_name_equal(token.text, "include"))
        return scan_include(lexer);
    lexer->state = LEXER_AFTER_KEY;
    return token;
}

static struct lexer_token at_key_in_map(struct lexer *lexer)
{
    int c = peek(lexer);
    if (c == RUNE_END)
        return fail(lexer, "Unexpected EOF processing map.");
    if (c == '}')
        return pop(lexer, LEXER_MAP_END);
    if (c == '/') { /* alone it means nothing */
        skip(lexer);
        return again;
    }
    if (c == ']')
        return fail(lexer, "Unexpected array end ']' processing map.");
    if (is_separator(c))
        return fail(lexer, "Unexpected key separator '%c'.", c);
    return c == '"' || c == '\'' ? scan_quoted_key(lexer) : scan_bare_key(lexer);
}

static struct lexer_token at_key(struct lexer *lexer)
{
    skip_space_and_comments(lexer);
    if (context(lexer) == LEXER_IN_MAP)
        return at_key_in_map(lexer);
    int c = peek(lexer);
    if (c == RUNE_END)
        return token_here(lexer, LEXER_END);
    if (c == '{')
        return push(lexer, LEXER_IN_WRAPPER, again);
    if (c == '}') { /* the end of a wrapper, or a stray one, which is tolerated */
        skip(lexer);
        if (context(lexer) == LEXER_IN_WRAPPER && --lexer->depth > 1)
            lexer->state = LEXER_AFTER_WRAPPER;
        return again;
    }
    if (c == '/')
        return fail(lexer, "Unexpected EOF.");
    if (is_separator(c))
        return fail(lexer, "Unexpected key separator '%c'", c);
    return c == '"' || c == '\'' ? scan_quoted_key(lexer) : scan_bare_key(lexer);
}

static struct lexer_token after_key(struct lexer *lexer)
{
    bool in_map = context(lexer) == LEXER_IN_MAP;
    skip_space(lexer);
    if (is_separator(peek(lexer))) {
        skip(lexer);
        if (in_map)
            skip_space(lexer);
    } else if (peek(lexer) == RUNE_END && !in_map) {
        return token_here(lexer, LEXER_END); /* a key without value: the parser says so */
    }
    if (in_map && peek(lexer) == ',')
        return fail(lexer, "Unexpected map value terminator \",\".");
    if (in_map && peek(lexer) == '}')
        return fail(lexer, "Expected a value but found the end of the map.");
    lexer->state = LEXER_AT_VALUE;
    return again;
}

/* ---- values ---- */

static struct lexer_token at_item(struct lexer *lexer)
{
    skip_space_and_comments(lexer);
    int c = peek(lexer);
    if (c == ']')
        return pop(lexer, LEXER_ARRAY_END);
    if (c == ',' || c == '/')
        return fail(lexer, "Unexpected array value terminator ','.");
    lexer->state = LEXER_AT_VALUE;
    return again;
}

/* One escape, the backslash being consumed; the byte that it stands for goes to `out`. */
static bool scan_escape(struct lexer *lexer, uint8_t *out, struct lexer_token *error)
{
    static const char names[] = "tnr\"\\";
    static const char bytes[] = "\t\n\r\"\\";
    int c = peek(lexer);
    const char *name = c <= 0 ? NULL : strchr(names, c);
    if (name != NULL) {
        *out = (uint8_t)bytes[name - names];
        skip(lexer);
        return true;
    }
    if (c != 'x') {
        struct shown shown = shown_and_skipped(lexer);
        *error = fail(lexer,
                      "Invalid escape character '%s'. Only the following escape characters are allowed: "
                      "\\xXX, \\t, \\n, \\r, \\\", \\\\.",
                      shown.text);
        return false;
    }
    skip(lexer);
    int value = 0;
    char seen[3] = {0};
    for (int i = 0; i < 2; i++) {
        c = peek(lexer);
        if (c == RUNE_END || is_newline(c)) {
            if (c != RUNE_END)
                skip(lexer);
            *error = fail(lexer, "Expected two hexadecimal digits after '\\x', but hit end of line");
            return false;
        }
        seen[i] = (char)c;
        int lower = c | 0x20;
        int digit = is_digit(c) ? c - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
        value = digit < 0 || value < 0 ? -1 : value * 16 + digit;
        skip(lexer);
    }
    if (value < 0) {
        *error = fail(lexer, "Expected two hexadecimal digits after '\\x', but got '%s'", seen);
        return false;
    }
    *out = (uint8_t)value;
    return true;
}

/* What ends a string without quotes. The quote is consumed with the string, as in nats-server. */
static bool ends_bare(int c)
{
    return c == RUNE_END || is_newline(c) || is_blank(c) || c == ',' || c == ';' || c == ']' || c == '}' ||
           c == '\'';
}

/* A string with escapes: up to its `"`, or where `quote` is 0 to what ends a bare one. From `start` on, which
 * may lie before the current place when the string began like a number. */
static struct lexer_token scan_escaped(struct lexer *lexer, struct lexer_token token, size_t start, int quote,
                                       bool *escaped)
{
    size_t end = start;
    *escaped = false;
    for (; quote != 0 ? byte_at(lexer, end) != quote : !ends_bare(byte_at(lexer, end)); end++) {
        if (byte_at(lexer, end) == RUNE_END)
            break;
        if (byte_at(lexer, end) == '\\') {
            *escaped = true;
            end++;
        }
    }
    /* Escapes only shrink, so what was measured is enough, even where it runs past a false end. */
    size_t most = (end < lexer->source.count ? end : lexer->source.count) - start;
    uint8_t *copy = *escaped ? arena_new(lexer->arena, most + 1) : NULL;
    if (*escaped && copy == NULL)
        return fail(lexer, "Out of memory.");
    size_t count = 0;
    for (;;) {
        int c = peek(lexer);
        if (quote != 0 ? c == quote : ends_bare(c))
            break;
        if (c == RUNE_END)
            return fail(lexer, "Unexpected EOF.");
        skip(lexer);
        uint8_t byte = (uint8_t)c;
        struct lexer_token error;
        if (c == '\\' && !scan_escape(lexer, &byte, &error))
            return error;
        if (copy != NULL) {
            ASSERT(count < most);
            copy[count++] = byte;
        }
    }
    if (copy == NULL)
        return token_to_here(lexer, token, start);
    token.text = bytes_of(copy, count);
    return token;
}

/* A string in double quotes. */
static struct lexer_token scan_double_quoted(struct lexer *lexer)
{
    skip(lexer);
    struct lexer_token token = token_here(lexer, LEXER_STRING);
    bool escaped;
    token = scan_escaped(lexer, token, lexer->offset, '"', &escaped);
    if (token.kind == LEXER_STRING)
        skip(lexer);
    return token;
}

static struct lexer_token scan_single_quoted(struct lexer *lexer)
{
    skip(lexer);
    struct lexer_token token = token_here(lexer, LEXER_STRING);
    size_t start = lexer->offset;
    while (peek(lexer) != '\'') {
        if (peek(lexer) == RUNE_END)
            return fail(lexer, "Unexpected EOF.");
        skip(lexer);
    }
    token = token_to_here(lexer, token, start);
    skip(lexer);
    return token;
}

static bool is_bool_word(struct bytes word)
{
    static const char *const words[] = {"true", "yes", "on", "false", "no", "off"};
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (config_name_equal(word, words[i]))
            return true;
    }
    return false;
}

/* A string without quotes, a boolean or a variable; `start` as in scan_escaped(). */
static struct lexer_token scan_bare(struct lexer *lexer, struct lexer_token token, size_t start)
{
    bool escaped;
    size_t from = lexer->offset;
    token.kind = LEXER_STRING;
    /* What was scanned as a number holds no escape: the rest decides. */
    token = scan_escaped(lexer, token, from, 0, &escaped);
    if (token.kind != LEXER_STRING)
        return token;
    if (escaped && start < from) {
        uint8_t *whole = arena_new(lexer->arena, from - start + token.text.count + 1);
        if (whole == NULL)
            return fail(lexer, "Out of memory.");
        memcpy(whole, lexer->source.data + start, from - start);
        memcpy(whole + (from - start), token.text.data, token.text.count);
        token.text = bytes_of(whole, from - start + token.text.count);
    } else if (!escaped) {
        token = token_to_here(lexer, token, start);
    }
    if (peek(lexer) == '\'') {
        skip(lexer);
    } else if (!escaped && is_bool_word(token.text)) {
        token.kind = LEXER_BOOL;
    } else if (!escaped && token.text.count > 0 && token.text.data[0] == '$') {
        token.kind = LEXER_VARIABLE;
        token.text = bytes_of(token.text.data + 1, token.text.count - 1);
    }
    return token;
}

/* `(` to a `)` that stands alone on its line; the newlines inside belong to the text. */
static struct lexer_token scan_block(struct lexer *lexer)
{
    skip(lexer);
    struct lexer_token token = token_here(lexer, LEXER_STRING);
    size_t start = lexer->offset;
    for (;; skip(lexer)) {
        int c = peek(lexer);
        if (c == RUNE_END)
            return fail(lexer, "Unexpected EOF processing block.");
        int next = byte_at(lexer, lexer->offset + 1);
        if (c == ')' && lexer->offset > start && lexer->source.data[lexer->offset - 1] == '\n' &&
            (next == RUNE_END || is_newline(next)))
            break;
    }
    token = token_to_here(lexer, token, start);
    skip(lexer);
    return token;
}

/* From the `-` behind four digits: exactly -MM-DDThh:mm:ssZ. */
static struct lexer_token scan_datetime(struct lexer *lexer, struct lexer_token token, size_t start)
{
    static const char shape[] = "0000-00-00T00:00:00Z";
    if (lexer->offset - start != 4) {
        skip(lexer);
        return fail(lexer, "All ISO8601 dates must be in full Zulu form.");
    }
    for (const char *want = shape + 4; *want != 0; want++) {
        int c = peek(lexer);
        if (*want == '0' ? is_digit(c) : c == *want) {
            skip(lexer);
            continue;
        }
        struct shown shown = shown_and_skipped(lexer);
        if (*want == '0')
            return fail(lexer, "Expected digit in ISO8601 datetime, but found '%s' instead.", shown.text);
        return fail(lexer, "Expected '%c' in ISO8601 datetime, but found '%s' instead.", *want, shown.text);
    }
    token.kind = LEXER_DATETIME;
    return token_to_here(lexer, token, start);
}

/* From the `.` behind digits: a float, or with a second dot an address. */
static struct lexer_token scan_float(struct lexer *lexer, struct lexer_token token, size_t start)
{
    skip(lexer);
    if (!is_digit(peek(lexer))) {
        struct shown shown = shown_and_skipped(lexer);
        return fail(lexer, "Floats must have a digit after the '.', but got '%s' instead.", shown.text);
    }
    while (is_digit(peek(lexer)))
        skip(lexer);
    token.kind = LEXER_FLOAT;
    if (peek(lexer) == '.') {
        token.kind = LEXER_STRING;
        for (int c = peek(lexer); is_digit(c) || c == '.' || c == ':' || c == '-'; c = peek(lexer))
            skip(lexer);
    }
    return token_to_here(lexer, token, start);
}

/* Whether a number may end here. `]` only inside an array: nats-server does not know it at all, so that
 * `[1,2]` fails there; being kind costs nothing. */
static bool ends_number(const struct lexer *lexer)
{
    int c = peek(lexer);
    return c == RUNE_END || is_newline(c) || is_blank(c) || c == ',' || c == ';' || c == '}' ||
           (c == ']' && context(lexer) == LEXER_IN_ARRAY);
}

static bool is_size_letter(int c)
{
    return c > 0 && strchr("kKmMgGtTpPeE", c) != NULL;
}

static struct lexer_token scan_number(struct lexer *lexer)
{
    struct lexer_token token = token_here(lexer, LEXER_INTEGER);
    size_t start = lexer->offset;
    bool negative = peek(lexer) == '-';
    if (negative) {
        skip(lexer);
        if (peek(lexer) == '.')
            return fail(lexer, "Floats must start with a digit, not '.'.");
        if (!is_digit(peek(lexer))) {
            struct shown shown = shown_and_skipped(lexer);
            return fail(lexer, "Expected a digit but got '%s'.", shown.text);
        }
    }
    while (is_digit(peek(lexer)))
        skip(lexer);
    if (peek(lexer) == '-' && !negative)
        return scan_datetime(lexer, token, start);
    if (peek(lexer) == '.')
        return scan_float(lexer, token, start);
    if (is_size_letter(peek(lexer))) {
        skip(lexer);
        for (int c = peek(lexer); c > 0 && strchr("bBiI", c) != NULL; c = peek(lexer))
            skip(lexer);
        if (!ends_number(lexer))
            return scan_bare(lexer, token, start);
    } else if (!negative && !ends_number(lexer)) {
        size_t size; /* what stands behind the digits is text, be it a quote or a bracket */
        rune_here(lexer, &size);
        for (size_t i = 0; i < size; i++)
            skip(lexer);
        return scan_bare(lexer, token, start);
    }
    return token_to_here(lexer, token, start);
}

static struct lexer_token at_value(struct lexer *lexer)
{
    skip_blanks(lexer);
    int c = peek(lexer);
    if (is_newline(c)) {
        skip(lexer);
        return fail(lexer, "Expected value but found new line");
    }
    if (c == '{')
        return push(lexer, LEXER_IN_MAP, token_here(lexer, LEXER_MAP_START));
    if (c == '[')
        return push(lexer, LEXER_IN_ARRAY, token_here(lexer, LEXER_ARRAY_START));
    if (c == '.')
        return fail(lexer, "Floats must start with a digit");
    lexer->state = LEXER_AFTER_VALUE;
    if (is_digit(c) || c == '-')
        return scan_number(lexer);
    switch (c) {
    case '"':
        return scan_double_quoted(lexer);
    case '\'':
        return scan_single_quoted(lexer);
    case '(':
        return scan_block(lexer);
    default:
        return scan_bare(lexer, token_here(lexer, LEXER_STRING), lexer->offset);
    }
}

/* ---- behind values ---- */

/* In a map or an array: a terminator, the end bracket, or an error. */
static struct lexer_token after_inner_value(struct lexer *lexer, bool in_map)
{
    int c = peek(lexer);
    if (in_map && c == '}')
        return pop(lexer, LEXER_MAP_END);
    if (!in_map && c == ']')
        return pop(lexer, LEXER_ARRAY_END);
    if (c == ',' || c == '/' || is_newline(c) || (in_map && c == ';')) {
        skip(lexer);
        lexer->state = in_map ? LEXER_AT_KEY : LEXER_AT_ITEM;
        return again;
    }
    struct shown shown = shown_and_skipped(lexer);
    if (in_map)
        return fail(lexer,
                    "Expected a map value terminator \",\" or a map terminator \"}\", but got '%s' instead.",
                    shown.text);
    return fail(
        lexer, "Expected an array value terminator \",\" or an array terminator \"]\", but got '%s' instead.",
        shown.text);
}

static struct lexer_token after_value(struct lexer *lexer)
{
    skip_blanks(lexer);
    if (at_comment(lexer)) {
        skip_comment(lexer);
        return again; /* the newline behind it, or the end, terminates */
    }
    enum lexer_context here = context(lexer);
    if (here == LEXER_IN_MAP || here == LEXER_IN_ARRAY)
        return after_inner_value(lexer, here == LEXER_IN_MAP);
    int c = peek(lexer);
    if (c == '/') { /* alone it means nothing */
        skip(lexer);
        return again;
    }
    bool ended =
        is_newline(c) || c == ',' || c == ';' || c == '}' || (c == RUNE_END && here == LEXER_IN_FILE);
    if (!ended) {
        struct shown shown = shown_and_skipped(lexer);
        return fail(lexer,
                    "Expected a %s value to end with a new line, comment or EOF, but got '%s' instead.",
                    here == LEXER_IN_FILE ? "top-level" : "block-level", shown.text);
    }
    lexer->state = LEXER_AT_KEY;
    if (c != RUNE_END && c != '}')
        skip(lexer);
    return again; /* AT_KEY deals with `}` and the end */
}

/* Behind the `}` of a wrapper inside a wrapper. */
static struct lexer_token after_wrapper(struct lexer *lexer)
{
    ASSERT(context(lexer) == LEXER_IN_WRAPPER);
    while (is_blank(peek(lexer)) || is_newline(peek(lexer)))
        skip(lexer);
    int c = peek(lexer);
    if (!at_comment(lexer) && c != ';' && c != ',' && c != '}') {
        struct shown shown = shown_and_skipped(lexer);
        return fail(lexer, "Expected a block-level to end with a '}', but got '%s' instead.", shown.text);
    }
    if (c == ';' || c == ',')
        skip(lexer);
    lexer->state = LEXER_AT_KEY;
    return again;
}
