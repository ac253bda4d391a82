/* core/config/value.h - the tree that a configuration file becomes: values with the place where they stand.
 * In the flow: parser_read() builds it, options_apply() reads it, digest_tree() prints it, then its arena
 * goes. Everything in a tree belongs to the arena it was parsed into; bytes point into it too. A variable may
 * stand in several places, so the tree is a graph without cycles. `weight` counts what a walk over a value
 * visits and is bounded, so that a short file cannot unfold into an endless one. */
#ifndef CORE_CONFIG_VALUE_H
#define CORE_CONFIG_VALUE_H

#include "core/base/arena.h"
#include "core/base/bytes.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    CONFIG_NESTING_MAX = 64,     /* maps and arrays within each other; beyond: an error */
    CONFIG_WEIGHT_MAX = 1 << 20, /* values that a walk over the whole tree meets; beyond: an error */
};

/* Where a key or value starts. The column counts bytes, from 0 on line 1 and from 1 on later lines, as
 * nats-server prints it (configuration.md 3.1). */
struct config_position {
    const char *file;
    int line;
    int column;
};

enum config_kind {
    CONFIG_STRING,
    CONFIG_BOOL,
    CONFIG_INTEGER,
    CONFIG_FLOAT,
    CONFIG_DATETIME,
    CONFIG_ARRAY,
    CONFIG_MAP,
};

/* A pair of a map, or an item of an array (then without a key). */
struct config_entry {
    struct bytes key;                /* as written */
    struct config_position position; /* of the key; for an array's item, of the item */
    struct config_value *value;
    struct config_entry *next; /* in the order of the file */
    bool referenced;           /* a variable was resolved to this pair */
};

struct config_value {
    enum config_kind kind;
    uint32_t depth;  /* 1 for a scalar or an empty list */
    uint32_t weight; /* itself and all below */
    union {
        struct bytes string; /* CONFIG_STRING, CONFIG_DATETIME (as written) */
        bool boolean;
        int64_t integer;
        double number;
        struct {
            struct config_entry *first; /* CONFIG_ARRAY, CONFIG_MAP */
            struct config_entry *last;
        } entries;
    };
};

/* The pair with exactly that key, or NULL. */
struct config_entry *config_map_find(const struct config_value *map, struct bytes key);

/* Whether a key names that option: ASCII letters of either case are equal. */
bool config_name_equal(struct bytes key, const char *name);

/* What nats-server calls the type of a value in its messages: "string", "int64"... (configuration.md 2.10).
 */
const char *config_type_name(const struct config_value *value);

/* A value as Go's %v shows it, terminated and cut to `bytes`: for the values that a mistake puts in place of
 * a map or an array. */
void config_value_show(const struct config_value *value, char *shown, size_t bytes);

#endif
