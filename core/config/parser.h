/* core/config/parser.h - a configuration file, its includes and its variables as one tree of values.
 * In the flow:  parser_read() -> options_apply() -> digest_tree()
 * Files and the environment come through callbacks, so that tests and the fuzzer need neither. Start and
 * reload only, on the control core. At the bounds: a file above CONFIG_FILE_BYTES_MAX, includes and
 * environment references nested deeper than CONFIG_INCLUDES_MAX, and trees above the bounds of value.h are
 * errors with a sentence. */
#ifndef CORE_CONFIG_PARSER_H
#define CORE_CONFIG_PARSER_H

#include "core/base/err.h"
#include "core/config/text.h"
#include "core/config/value.h"

enum {
    CONFIG_FILE_BYTES_MAX = 16 * 1024 * 1024,
    CONFIG_INCLUDES_MAX = 16,
    CONFIG_TREE_BYTES_MAX = 256 * 1024 * 1024, /* of all that one parser_read() allocates */
};

/* Where text comes from. */
struct config_source {
    /* Reads a whole file into the arena. On an error *why says it as in "open x: no such file or directory".
     */
    enum err (*read)(void *context, const char *path, struct arena *arena, struct bytes *text,
                     struct config_text *why);
    /* The environment variable of that name, or NULL. May be NULL: there is no environment. */
    const char *(*variable)(void *context, const char *name);
    void *context;
};

struct config_tree {
    struct arena arena;
    struct config_value *root; /* CONFIG_MAP; NULL when closed */
};

/* Parses `path`. ERR_OK; ERR_INVALID with the sentence of configuration.md 3.1 in `why`; ERR_MEMORY.
 * Owner: the caller, until config_tree_close(), also after an error. */
MUST_USE enum err parser_read(struct config_tree *tree, const char *path, const struct config_source *source,
                              struct config_text *why);

/* Legal when closed or all zero. */
void config_tree_close(struct config_tree *tree);

/* A source that reads real files and the real environment. */
struct config_source config_source_system(void);

/* The digits, sign and size suffix of an integer as a number ("8MB"). False when it is out of range or the
 * suffix is none of configuration.md 2.5; *range says which. */
MUST_USE bool config_integer_parse(struct bytes digits, int64_t *integer, bool *range);

#endif
