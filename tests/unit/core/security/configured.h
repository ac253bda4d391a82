/* tests/unit/core/security/configured.h - security options as a configuration file would have made them: from
 * a text, without the rest of a server. In the flow:  configured() -> parser_read() -> the rows -> options.
 * Nothing here is for more than one thread. */
#ifndef TESTS_UNIT_CORE_SECURITY_CONFIGURED_H
#define TESTS_UNIT_CORE_SECURITY_CONFIGURED_H

#include "core/config/parser.h"
#include "core/security/options.h"

struct configured {
    struct security_options options;
    struct arena arena;
    struct option_errors errors; /* "test.conf:1:5: sentence\n"... */
};

static enum err configured_read(void *context, const char *path, struct arena *arena, struct bytes *out,
                                struct config_text *why)
{
    const char *config = context;
    (void)path;
    (void)why;
    *out = bytes_of(arena_copy(arena, text(config)), strlen(config));
    return out->data == NULL ? ERR_MEMORY : ERR_OK;
}

/* Fills `configured`, which configured_close() frees. Returns the first error, or "" when all is well. */
static inline const char *configure(struct configured *configured, const char *config)
{
    union {
        const char *in;
        void *out;
    } constless = {.in = config};
    struct config_source source = {.read = configured_read, .context = constless.out};
    struct config_tree tree = {0};
    size_t count = 0;
    *configured = (struct configured){0};
    struct option_group group = {.rows = security_option_rows(&count)};
    group.count = count;
    struct option_table table = {&group, 1};
    if (options_default(&table, &configured->options, &configured->arena) != ERR_OK)
        return "no memory";
    if (parser_read(&tree, "test.conf", &source, &configured->errors.errors) == ERR_OK)
        options_apply(&table, &configured->options, tree.root, &configured->arena, &configured->errors);
    config_tree_close(&tree);
    if (configured->errors.errors.count == 0)
        (void)!security_options_finish(&configured->options, &configured->arena, &configured->errors.errors);
    return config_text_string(&configured->errors.errors);
}

static inline void configured_close(struct configured *configured)
{
    option_errors_close(&configured->errors);
    arena_close(&configured->arena);
    *configured = (struct configured){0};
}

#endif
