/* core/config/parser.c - builds the tree from tokens, with an explicit stack of open maps and arrays. Only
 * includes and environment variables start a parse within a parse, CONFIG_INCLUDES_MAX deep at most. */
#include "core/config/parser.h"

#include "core/base/check.h"
#include "core/config/lexer.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <strings.h>
#include <time.h>

/* An open map or array. */
struct frame {
    struct config_value *list;
    struct bytes key;                /* of a map: waits for its value */
    struct config_position position; /* of the key, or of the array's item */
    bool key_waits;
};

/* One text being parsed. The outermost is the file of -c; inner ones are includes and variables' values. */
struct parse {
    struct config_tree *tree;
    const struct config_source *source;
    struct config_text *why;
    const char *path;
    const char *variable; /* the environment variable whose text this is; NULL: a file */
    const struct parse *outer;
    int level;
    struct lexer lexer;
    int depth;
    struct frame frames[CONFIG_NESTING_MAX + 2];
};

static enum err parse_text(struct parse *parse, struct bytes text);
static enum err take_token(struct parse *parse, const struct lexer_token *token);
static enum err include_file(struct parse *parse, const struct lexer_token *token);
static enum err look_up(struct parse *parse, const struct lexer_token *token, struct config_value **value);

static enum err out_of_memory(struct config_text *why)
{
    config_text_add(why, "the configuration needs more memory than there is, or than %d bytes",
                    (int)CONFIG_TREE_BYTES_MAX);
    return ERR_MEMORY;
}

static struct config_value *value_new(struct parse *parse, enum config_kind kind)
{
    struct config_value *value = arena_new(&parse->tree->arena, sizeof(*value));
    if (value != NULL)
        *value = (struct config_value){.kind = kind, .depth = 1, .weight = 1};
    return value;
}

/* Parses the file at `path` as a scope of its own. The stack of frames is too large for ours at every level.
 */
static enum err parse_file(struct parse *parse, const char *path, const struct parse *outer,
                           struct config_value **root)
{
    struct bytes text = {0};
    parse->path = path;
    parse->outer = outer;
    parse->level = outer == NULL ? 1 : outer->level + 1;
    enum err err = parse->source->read(parse->source->context, path, &parse->tree->arena, &text, parse->why);
    if (err != ERR_OK)
        return err;
    parse->frames[0].list = value_new(parse, CONFIG_MAP);
    if (parse->frames[0].list == NULL)
        return out_of_memory(parse->why);
    parse->depth = 1;
    lexer_init(&parse->lexer, text, &parse->tree->arena);
    err = parse_text(parse, text);
    *root = parse->frames[0].list;
    return err;
}

enum err parser_read(struct config_tree *tree, const char *path, const struct config_source *source,
                     struct config_text *why)
{
    *tree = (struct config_tree){.arena = {.limit_bytes = CONFIG_TREE_BYTES_MAX}};
    struct parse *parse = arena_new(&tree->arena, sizeof(*parse));
    char *name = arena_copy(&tree->arena, text(path));
    if (parse == NULL || name == NULL)
        return out_of_memory(why);
    parse->tree = tree;
    parse->source = source;
    parse->why = why;
    return parse_file(parse, name, NULL, &tree->root);
}

void config_tree_close(struct config_tree *tree)
{
    arena_close(&tree->arena);
    tree->root = NULL;
}

static struct config_position position_of(const struct parse *parse, const struct lexer_token *token)
{
    return (struct config_position){.file = parse->path, .line = token->line, .column = token->column};
}

static enum err parse_text(struct parse *parse, struct bytes source)
{
    const uint8_t *zero = source.count == 0 ? NULL : memchr(source.data, 0, source.count);
    if (zero != NULL) { /* nats-server stops in silence or not, by what stands before */
        int line = 1;
        for (const uint8_t *at = source.data; at < zero; at++)
            line += *at == '\n';
        config_text_add(parse->why, "Parse error on line %d: 'Unexpected zero byte.'", line);
        return ERR_INVALID;
    }
    for (;;) {
        struct lexer_token token = lexer_next(&parse->lexer);
        if (token.kind == LEXER_ERROR) {
            config_text_add(parse->why, "Parse error on line %d: '", token.line);
            config_text_add_bytes(parse->why, token.text);
            config_text_add(parse->why, "'");
            return ERR_INVALID;
        }
        if (token.kind == LEXER_END && parse->frames[0].key_waits) {
            config_text_add(parse->why, "config is invalid (%s:%d:%d)", parse->path, token.line,
                            token.column);
            return ERR_INVALID;
        }
        if (token.kind == LEXER_END)
            return ERR_OK;
        enum err err = take_token(parse, &token);
        if (err != ERR_OK)
            return err;
    }
}

/* ---- the tree ---- */

static void map_remove(struct config_value *map, const struct config_entry *gone)
{
    struct config_entry *previous = NULL;
    for (struct config_entry *entry = map->entries.first; entry != NULL;
         previous = entry, entry = entry->next) {
        if (entry != gone)
            continue;
        if (previous == NULL)
            map->entries.first = entry->next;
        else
            previous->next = entry->next;
        if (map->entries.last == entry)
            map->entries.last = previous;
        return;
    }
}

/* Puts an entry last; in a map one with the same key goes: the last one wins. */
static enum err list_add(struct parse *parse, struct config_value *list, struct config_entry *entry)
{
    if (list->kind == CONFIG_MAP) {
        struct config_entry *old = config_map_find(list, entry->key);
        if (old != NULL)
            map_remove(list, old);
    }
    entry->next = NULL;
    if (list->entries.last == NULL)
        list->entries.first = entry;
    else
        list->entries.last->next = entry;
    list->entries.last = entry;
    if (entry->value->depth + 1 > list->depth)
        list->depth = entry->value->depth + 1;
    list->weight += entry->value->weight;
    if (list->weight <= CONFIG_WEIGHT_MAX && list->depth <= CONFIG_NESTING_MAX + 1)
        return ERR_OK;
    if (list->weight > CONFIG_WEIGHT_MAX)
        config_text_add(parse->why, "%s:%d:%d: the configuration has more than %d values",
                        entry->position.file, entry->position.line, entry->position.column,
                        (int)CONFIG_WEIGHT_MAX);
    else
        config_text_add(parse->why, "%s:%d:%d: maps and arrays may be nested %d levels deep at most",
                        entry->position.file, entry->position.line, entry->position.column,
                        CONFIG_NESTING_MAX);
    return ERR_INVALID;
}

/* Gives the open map's key, or the open array, its value. */
static enum err value_add(struct parse *parse, struct config_value *value, struct config_position position)
{
    struct frame *frame = &parse->frames[parse->depth - 1];
    struct config_entry *entry = arena_new(&parse->tree->arena, sizeof(*entry));
    if (entry == NULL)
        return out_of_memory(parse->why);
    bool map = frame->list->kind == CONFIG_MAP;
    ASSERT(!map || frame->key_waits);
    entry->key = map ? frame->key : (struct bytes){0};
    entry->position = map ? frame->position : position;
    entry->value = value;
    frame->key_waits = false;
    return list_add(parse, frame->list, entry);
}

static enum err list_open(struct parse *parse, enum config_kind kind)
{
    ASSERT(parse->depth < (int)COUNT_OF(parse->frames)); /* the lexer's bound is smaller */
    struct config_value *list = value_new(parse, kind);
    if (list == NULL)
        return out_of_memory(parse->why);
    parse->frames[parse->depth++] = (struct frame){.list = list};
    return ERR_OK;
}

static enum err list_close(struct parse *parse, const struct lexer_token *token)
{
    ASSERT(parse->depth > 1);
    struct config_value *list = parse->frames[--parse->depth].list;
    return value_add(parse, list, position_of(parse, token));
}

/* ---- scalars ---- */

bool config_integer_parse(struct bytes digits, int64_t *integer, bool *range)
{
    static const char letters[] = "kmgtpe";
    bool negative = digits.count > 0 && digits.data[0] == '-';
    size_t at = negative ? 1 : 0;
    __int128 number = 0;
    *range = false;
    if (at >= digits.count || digits.data[at] < '0' || digits.data[at] > '9')
        return false;
    for (; at < digits.count && digits.data[at] >= '0' && digits.data[at] <= '9'; at++) {
        number = number * 10 + (digits.data[at] - '0');
        if (number > (__int128)INT64_MAX + 1) {
            *range = true;
            return false;
        }
    }
    if (at < digits.count) {
        const char *letter = strchr(letters, digits.data[at] | 0x20);
        struct bytes rest = bytes_of(digits.data + at + 1, digits.count - at - 1);
        bool binary =
            config_name_equal(rest, "b") || config_name_equal(rest, "i") || config_name_equal(rest, "ib");
        if (letter == NULL || (rest.count > 0 && !binary))
            return false;
        for (const char *step = letters; step <= letter; step++) /* at most 2^63 * 2^60: fits */
            number *= rest.count > 0 ? 1024 : 1000;
    }
    number = negative ? -number : number;
    *range = number < INT64_MIN || number > INT64_MAX;
    if (*range)
        return false;
    *integer = (int64_t)number;
    return true;
}

/* Whether the value that is being read belongs to a key of secrets, or to a variable that does. */
static bool value_secret(const struct parse *parse)
{
    static const char *const keys[] = {"password", "pass", "token", "nkey"};
    bool secret = false;
    for (; parse != NULL && !secret; parse = parse->variable == NULL ? NULL : parse->outer) {
        const struct frame *frame = &parse->frames[parse->depth - 1];
        while (frame > parse->frames && frame->list->kind == CONFIG_ARRAY)
            frame--; /* a list's key waits in the map around it */
        for (size_t i = 0; i < COUNT_OF(keys); i++)
            secret = secret || config_name_equal(frame->key, keys[i]);
    }
    return secret;
}

/* What was written, as an error text may show it: `$ecret` is a password without its quotes more often than a
 * name. */
static struct bytes value_shown(const struct parse *parse, struct bytes written)
{
    return value_secret(parse) ? TEXT("xxxxx") : written;
}

static enum err bad_number(struct parse *parse, const char *kind, struct bytes digits, const char *what)
{
    config_text_add(parse->why, "%s '%.*s' %s", kind, BYTES_PRINTF(value_shown(parse, digits)), what);
    return ERR_INVALID;
}

/* Whether the calendar has that moment. */
static bool datetime_valid(struct bytes written)
{
    struct tm tm = {0};
    char copy[24] = {0};
    ASSERT(written.count == 20);
    memcpy(copy, written.data, written.count);
    if (strptime(copy, "%Y-%m-%dT%H:%M:%SZ", &tm) == NULL)
        return false;
    struct tm same = tm;
    return tm.tm_sec < 60 && timegm(&same) != -1 && same.tm_mday == tm.tm_mday && same.tm_mon == tm.tm_mon;
}

static enum err scalar(struct parse *parse, const struct lexer_token *token, struct config_value *value)
{
    bool range;
    switch (token->kind) {
    case LEXER_BOOL:
        value->kind = CONFIG_BOOL;
        value->boolean = config_name_equal(token->text, "true") || config_name_equal(token->text, "yes") ||
                         config_name_equal(token->text, "on");
        return ERR_OK;
    case LEXER_INTEGER:
        value->kind = CONFIG_INTEGER;
        if (config_integer_parse(token->text, &value->integer, &range))
            return ERR_OK;
        return bad_number(parse, "integer", token->text,
                          range ? "is out of the range" : "has a suffix that is not a size");
    case LEXER_FLOAT: {
        char *copy = arena_copy(&parse->tree->arena, token->text);
        if (copy == NULL)
            return out_of_memory(parse->why);
        value->kind = CONFIG_FLOAT;
        value->number = strtod(copy, NULL);
        return isfinite(value->number) ? ERR_OK
                                       : bad_number(parse, "float", token->text, "is out of the range");
    }
    case LEXER_DATETIME:
        value->kind = CONFIG_DATETIME;
        value->string = token->text;
        if (datetime_valid(token->text))
            return ERR_OK;
        config_text_add(parse->why, "expected Zulu formatted DateTime, but got '%.*s'",
                        BYTES_PRINTF(value_shown(parse, token->text)));
        return ERR_INVALID;
    default:
        ASSERT(token->kind == LEXER_STRING);
        value->kind = CONFIG_STRING;
        value->string = token->text;
        return ERR_OK;
    }
}

static enum err take_scalar(struct parse *parse, const struct lexer_token *token)
{
    struct config_value *value = NULL;
    enum err err;
    if (token->kind == LEXER_VARIABLE) {
        err = look_up(parse, token, &value);
    } else {
        value = value_new(parse, CONFIG_STRING);
        err = value == NULL ? out_of_memory(parse->why) : scalar(parse, token, value);
    }
    return err == ERR_OK ? value_add(parse, value, position_of(parse, token)) : err;
}

static enum err take_token(struct parse *parse, const struct lexer_token *token)
{
    struct frame *frame = &parse->frames[parse->depth - 1];
    switch (token->kind) {
    case LEXER_KEY:
        frame->key = token->text;
        frame->position = position_of(parse, token);
        frame->key_waits = true;
        return ERR_OK;
    case LEXER_INCLUDE:
        return include_file(parse, token);
    case LEXER_MAP_START:
        return list_open(parse, CONFIG_MAP);
    case LEXER_ARRAY_START:
        return list_open(parse, CONFIG_ARRAY);
    case LEXER_MAP_END:
    case LEXER_ARRAY_END:
        return list_close(parse, token);
    case LEXER_END:
    case LEXER_ERROR:
        break;
    case LEXER_STRING:
    case LEXER_BOOL:
    case LEXER_INTEGER:
    case LEXER_FLOAT:
    case LEXER_DATETIME:
    case LEXER_VARIABLE:
        return take_scalar(parse, token);
    }
    ASSERT(false && "no other token comes here");
    return ERR_INVALID;
}

/* ---- variables ---- */

static struct config_entry *find_in_scope(struct parse *parse, struct bytes name)
{
    for (int i = parse->depth - 1; i >= 0; i--) {
        struct config_entry *entry =
            parse->frames[i].list->kind == CONFIG_MAP ? config_map_find(parse->frames[i].list, name) : NULL;
        if (entry != NULL)
            return entry;
    }
    return NULL;
}

static struct parse *parse_within(struct parse *outer)
{
    struct parse *inner = arena_new(&outer->tree->arena, sizeof(*inner));
    if (inner == NULL)
        return NULL;
    inner->tree = outer->tree;
    inner->source = outer->source;
    inner->why = outer->why;
    inner->path = outer->path;
    inner->outer = outer;
    inner->level = outer->level + 1;
    return inner;
}

/* The text of an environment variable, lexed as a value would be. */
static enum err parse_variable(struct parse *outer, const char *name, const char *content,
                               struct config_value **value)
{
    for (const struct parse *parse = outer; parse != NULL; parse = parse->outer) {
        if (parse->variable != NULL && strcmp(parse->variable, name) == 0) {
            config_text_add(outer->why, "variable reference cycle for '%.*s'",
                            BYTES_PRINTF(value_shown(outer, text(name))));
            return ERR_INVALID;
        }
    }
    if (outer->level >= CONFIG_INCLUDES_MAX) {
        config_text_add(outer->why, "variables and includes may be nested %d levels deep at most",
                        CONFIG_INCLUDES_MAX);
        return ERR_INVALID;
    }
    struct parse *parse = parse_within(outer);
    char *copy = arena_copy(&outer->tree->arena, text(content));
    if (parse == NULL || copy == NULL)
        return out_of_memory(outer->why);
    parse->variable = name;
    parse->frames[0].list = value_new(parse, CONFIG_MAP);
    if (parse->frames[0].list == NULL)
        return out_of_memory(outer->why);
    parse->frames[0].key = TEXT("value");
    parse->frames[0].key_waits = true;
    parse->depth = 1;
    lexer_init_value(&parse->lexer, text(copy), &outer->tree->arena);
    enum err err = parse_text(parse, text(copy));
    struct config_entry *entry = err == ERR_OK ? config_map_find(parse->frames[0].list, TEXT("value")) : NULL;
    if (err != ERR_OK)
        return err;
    ASSERT(entry != NULL); /* a lexer that starts at a value gives one, be it empty */
    *value = entry->value;
    return ERR_OK;
}

static enum err look_up_environment(struct parse *parse, const struct lexer_token *token,
                                    struct config_value **value)
{
    char *name = arena_copy(&parse->tree->arena, token->text);
    if (name == NULL)
        return out_of_memory(parse->why);
    const char *content =
        parse->source->variable == NULL ? NULL : parse->source->variable(parse->source->context, name);
    if (content == NULL) {
        config_text_add(parse->why, "variable reference for '%.*s' on line %d can not be found",
                        BYTES_PRINTF(value_shown(parse, token->text)), token->line);
        return ERR_INVALID;
    }
    struct config_text *why = parse->why;
    struct config_text inner_why = {0};
    parse->why = &inner_why;
    enum err err = parse_variable(parse, name, content, value);
    parse->why = why;
    if (err != ERR_OK)
        config_text_add(why, "variable reference for '%.*s' on line %d could not be parsed: %s",
                        BYTES_PRINTF(value_shown(parse, token->text)), token->line,
                        config_text_string(&inner_why));
    config_text_close(&inner_why);
    return err;
}

/* $NAME: a key seen before in this map or one around it, else the environment. */
static enum err look_up(struct parse *parse, const struct lexer_token *token, struct config_value **value)
{
    if (bytes_start_with(token->text, TEXT("2a$"))) { /* a bcrypt hash, not a name */
        *value = value_new(parse, CONFIG_STRING);
        if (*value == NULL)
            return out_of_memory(parse->why);
        (*value)->string = bytes_of(token->text.data - 1, token->text.count + 1);
        return ERR_OK;
    }
    struct config_entry *entry = find_in_scope(parse, token->text);
    if (entry == NULL)
        return look_up_environment(parse, token, value);
    entry->referenced = true;
    *value = entry->value;
    return ERR_OK;
}

/* ---- includes ---- */

/* The path from the folder of the including file. An absolute path stays, where nats-server joins it too. */
static char *include_path(struct parse *parse, struct bytes path)
{
    const char *slash = strrchr(parse->path, '/');
    struct bytes folder = bytes_of(parse->path, slash == NULL ? 0 : (size_t)(slash - parse->path) + 1);
    if (path.count > 0 && path.data[0] == '/')
        folder.count = 0;
    if (bytes_equal(folder, TEXT("./")))
        folder.count = 0;
    char *joined = arena_new(&parse->tree->arena, folder.count + path.count + 1);
    if (joined == NULL)
        return NULL;
    if (folder.count > 0)
        memcpy(joined, folder.data, folder.count);
    if (path.count > 0)
        memcpy(joined + folder.count, path.data, path.count);
    return joined;
}

/* Adds the pairs of another file to the open map. What it defines is visible afterwards, not the other way.
 */
static enum err include_file(struct parse *parse, const struct lexer_token *token)
{
    struct frame *frame = &parse->frames[parse->depth - 1];
    ASSERT(frame->list->kind == CONFIG_MAP);
    if (parse->level >= CONFIG_INCLUDES_MAX) {
        config_text_add(parse->why,
                        "error parsing include file '%.*s', includes may be nested %d levels deep at most",
                        BYTES_PRINTF(token->text), CONFIG_INCLUDES_MAX);
        return ERR_INVALID;
    }
    struct parse *inner = parse_within(parse);
    char *path = include_path(parse, token->text);
    if (inner == NULL || path == NULL)
        return out_of_memory(parse->why);
    struct config_text inner_why = {0};
    struct config_value *root = NULL;
    inner->why = &inner_why;
    enum err err = parse_file(inner, path, parse, &root);
    if (err != ERR_OK)
        config_text_add(parse->why, "error parsing include file '%s', %s", path,
                        config_text_string(&inner_why));
    config_text_close(&inner_why);
    struct config_entry *next = err == ERR_OK ? root->entries.first : NULL;
    while (next != NULL && err == ERR_OK) {
        struct config_entry *entry = next;
        next = entry->next;
        err = list_add(parse, frame->list, entry);
    }
    return err;
}
