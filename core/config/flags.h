/* core/config/flags.h - the command line, by the rules of Go's flag package (configuration.md 1.1), driven by
 * the same rows as the file. In the flow:  flags_parse() once, for what precedes the file (-v, -c, -t...);
 * flags_apply() again over what the file said, so that a flag beats the file and a flag's default does not.
 */
#ifndef CORE_CONFIG_FLAGS_H
#define CORE_CONFIG_FLAGS_H

#include "core/config/option.h"

/* The flags that are about the run, not about the server. */
struct flags_run {
    bool version;
    bool help;
    bool help_tls;
    bool test;               /* -t */
    const char *config_file; /* -c; NULL: none. From argv, like all here */
    const char *signal;      /* -sl; NULL: none */
    const char *word;        /* the first argument that is no flag; NULL: none */
};

/* Reads all flags: those of the run into `run`, those of rows into the snapshot (which may be a scratch one).
 * ERR_OK; ERR_INVALID: `why` is the line for stderr, the caller prints the usage and exits with 0;
 * ERR_UNSUPPORTED: `why` is the line for a flag that is not built, exit with 1; ERR_MEMORY. */
MUST_USE enum err flags_parse(const struct option_table *table, int argc, char *const argv[], void *snapshot,
                              struct arena *arena, struct flags_run *run, struct config_text *why);

/* The usage text: a head with the program's name, then the rows' flags by section. */
void flags_usage(const struct option_table *table, const char *program, struct config_text *usage);

#endif
