/* shards/tools/tool.c - see tool.h. */
#include "shards/tools/tool.h"

#include <string.h>

static const struct tool tools[] = {
    {"mkpasswd", "make a bcrypt hash of a password for the configuration", tool_mkpasswd},
    {"nk", "make NKeys, sign with them, and check signatures", tool_nk},
    {"store", "look into a store of messages: verify, list, dump", tool_store},
    {NULL, NULL, NULL},
};

const struct tool *tool_list(void)
{
    return tools;
}

bool tools_offered(const char *program)
{
    return strncmp(program, "nats-", 5) != 0;
}

const struct tool *tool_find(const char *name)
{
    for (const struct tool *tool = tools; tool->name != NULL; tool++) {
        if (strcmp(tool->name, name) == 0)
            return tool;
    }
    return NULL;
}

/* The option that a word names; *value is what stands behind its '=', or NULL. */
static const struct tool_option *option_of(const struct tool_option *options, size_t option_count,
                                           const char *word, const char **value)
{
    if (word[0] != '-')
        return NULL;
    word += word[1] == '-' ? 2 : 1;
    size_t count = strcspn(word, "=");
    *value = word[count] == '=' ? word + count + 1 : NULL;
    for (size_t i = 0; i < option_count; i++) {
        if (strlen(options[i].name) == count && memcmp(options[i].name, word, count) == 0)
            return &options[i];
    }
    return NULL;
}

const char *tool_options_read(const struct tool_option *options, size_t option_count, int count,
                              char *const arguments[])
{
    for (int i = 1; i < count; i++) {
        const char *value = NULL;
        const struct tool_option *option = option_of(options, option_count, arguments[i], &value);
        if (option == NULL || (option->value == NULL && value != NULL))
            return arguments[i];
        if (option->value == NULL) {
            *option->given = 1;
            continue;
        }
        if (value == NULL && i + 1 == count)
            return arguments[i];
        *option->value = value != NULL ? value : arguments[++i];
    }
    return NULL;
}
