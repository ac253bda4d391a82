/* core/config/lexer.h - a configuration text as tokens: keys, scalars, brackets, includes, variables.
 * In the flow:  lexer_init() -> lexer_next() until LEXER_END or LEXER_ERROR; parser.c is the only user.
 * The grammar is that of configuration.md 2, the error sentences are those of 3.2. Where nats-server is
 * strict by accident (a number right before `]`) the lexer is kind. At the bound: brackets nested deeper than
 * CONFIG_NESTING_MAX are an error. */
#ifndef CORE_CONFIG_LEXER_H
#define CORE_CONFIG_LEXER_H

#include "core/base/arena.h"
#include "core/base/bytes.h"
#include "core/config/value.h"

enum lexer_kind {
    LEXER_END,
    LEXER_ERROR, /* text: the sentence, without "Parse error on line" */
    LEXER_KEY,
    LEXER_INCLUDE, /* text: the path as written */
    LEXER_STRING,  /* text: the contents, escapes resolved */
    LEXER_BOOL,    /* text: as written */
    LEXER_INTEGER, /* text: digits with sign and suffix */
    LEXER_FLOAT,
    LEXER_DATETIME,
    LEXER_VARIABLE, /* text: the name without `$` */
    LEXER_ARRAY_START,
    LEXER_ARRAY_END,
    LEXER_MAP_START,
    LEXER_MAP_END,
};

struct lexer_token {
    enum lexer_kind kind;
    struct bytes text; /* in the source, or in the arena when escapes had to be resolved */
    int line;          /* where it starts; of an error: where it was noticed */
    int column;
};

/* What the lexer looks for next, and in what it does. */
enum lexer_state {
    LEXER_AT_KEY,
    LEXER_AFTER_KEY,
    LEXER_AT_VALUE,
    LEXER_AT_ITEM,
    LEXER_AFTER_VALUE,
    LEXER_AFTER_WRAPPER
};
enum lexer_context { LEXER_IN_FILE, LEXER_IN_WRAPPER, LEXER_IN_MAP, LEXER_IN_ARRAY };

struct lexer {
    struct bytes source;
    struct arena *arena; /* for resolved escapes and error sentences */
    size_t offset;
    int line;
    ptrdiff_t line_start; /* offset that has column 0 */
    enum lexer_state state;
    int depth; /* of contexts, at least 1 */
    uint8_t contexts[CONFIG_NESTING_MAX + 1];
};

/* Starts at the first byte. The source must outlive the tokens. */
void lexer_init(struct lexer *lexer, struct bytes source, struct arena *arena);

/* As if everything in front of the value had been read: for the text of an environment variable. */
void lexer_init_value(struct lexer *lexer, struct bytes source, struct arena *arena);

/* The next token. After LEXER_END and LEXER_ERROR the lexer must not be asked again.
 * Owner of the text: the source or the arena. Cost: linear in what is consumed. */
struct lexer_token lexer_next(struct lexer *lexer);

#endif
