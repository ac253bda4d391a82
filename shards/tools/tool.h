/* shards/tools/tool.h - the small programs that users expect beside the server, as words behind `myelin`:
 * `mkpasswd` makes bcrypt hashes, `nk` makes NKeys and signs with them,
 * `store` looks into a store of messages.
 * In the flow:  main() -> tool_find() -> tool.run(), before any option of the server is read.
 * They take the streams that they use, so that tests need no process. A secret comes from a file, a terminal
 * or the standard input, never from the command line, and is wiped when done. Thread: main. */
#ifndef SHARDS_TOOLS_TOOL_H
#define SHARDS_TOOLS_TOOL_H

#include <stdbool.h>
#include <stdio.h>

struct tool_streams {
    FILE *in;
    FILE *out;
    FILE *err;
};

struct tool {
    const char *name;
    const char *help; /* a line for `myelin --help` */
    /* `arguments[0]` is the tool's name. Returns the exit code. */
    int (*run)(int count, char *const arguments[], const struct tool_streams *streams);
};

/* Whether the program of that name has tools: one that stands in for nats-server behaves as that does. */
bool tools_offered(const char *program);

/* The tool of that name, or NULL. */
const struct tool *tool_find(const char *name);

/* All tools, for --help; the end has no name. */
const struct tool *tool_list(void);

int tool_mkpasswd(int count, char *const arguments[], const struct tool_streams *streams);
int tool_store(int count, char *const arguments[], const struct tool_streams *streams);
int tool_nk(int count, char *const arguments[], const struct tool_streams *streams);

/* ---- options, by the rules of Go's flag package: one dash or two, `-x value` or `-x=value` ---- */

struct tool_option {
    const char *name;
    const char **value; /* takes the next word; NULL: none, and ... */
    int *given;         /* ... is set to 1 */
};

/* Reads all words behind the name. The first that is no known option, or lacks its value, is returned as
 * `wrong`; NULL: all is well. */
const char *tool_options_read(const struct tool_option *options, size_t option_count, int count,
                              char *const arguments[]);

#endif
