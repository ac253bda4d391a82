/* core/config/option.h - options as rows: one table per module drives the file, the command line, --help, the
 * defaults and the comparison at a reload. The rows live with the module whose struct they fill; shards joins
 * them. What an option means is nobody's business here.
 * In the flow:  options_default() -> options_apply() -> flags_apply() -> options_validate() ||
 * options_compare() Start and reload only, on the control core. At the bounds: a value outside a row's least
 * .. most is an error that says what would be right. */
#ifndef CORE_CONFIG_OPTION_H
#define CORE_CONFIG_OPTION_H

#include "core/base/arena.h"
#include "core/base/err.h"
#include "core/config/text.h"
#include "core/config/value.h"

enum option_kind {
    OPTION_BOOL,          /* bool */
    OPTION_INTEGER,       /* int64_t */
    OPTION_BYTES,         /* int64_t; "1MB" on the command line too */
    OPTION_DURATION,      /* int64_t in ns; a bare integer is seconds, with a warning */
    OPTION_DURATION_ONLY, /* int64_t in ns; only a text */
    OPTION_STRING,        /* struct bytes; its data is a C string or NULL */
    OPTION_TEXT,          /* const char *, NULL when not given */
    OPTION_WORD,          /* int: the index in `words` */
    OPTION_CUSTOM,        /* no one field: `parse` reads it, `compare` compares it */
    OPTION_IGNORED,       /* nats-server has it, here it has no meaning and does no harm */
    OPTION_NOT_BUILT,     /* nats-server has it, this version has not: an error unless it is switched off */
};

enum option_reload {
    RELOAD_NOW,   /* takes effect; a line in the log says so */
    RELOAD_NEVER, /* a change refuses the whole reload, by the name in `internal` */
    RELOAD_FREE,  /* may change without a word: it follows from another row, or `compare` decides */
};

enum option_section {
    SECTION_NONE,
    SECTION_SERVER,
    SECTION_LOGGING,
    SECTION_AUTHORIZATION,
    SECTION_TLS,
    SECTION_CLUSTER,
    SECTION_STREAMING,
    SECTION_ENGINE,
    SECTIONS,
};

/* What was found wrong in a file. Warnings stand first when they are shown. */
struct option_errors {
    struct config_text warnings;
    struct config_text errors;
};

/* What a reload would do. */
struct option_changes {
    struct config_text lines;   /* for the log, one per line */
    struct config_text refusal; /* empty: may be applied */
};

/* Reads a value into the module's struct; strings are copied into the arena. */
typedef void option_parse(void *target, const struct config_entry *entry, struct arena *arena,
                          struct option_errors *errors);
/* Notes how two of the module's structs differ. */
typedef void option_compare(const void *old, const void *new, struct option_changes *changes);
/* Lays a flag over the module's struct: one that is not simply a value for the row's field. */
typedef void option_flag(void *target, bool value);

struct option {
    const char *name;    /* in the file; NULL: only a flag */
    const char *aliases; /* more names, separated by spaces; NULL: none */
    enum option_kind kind;
    size_t offset;        /* into the module's struct */
    const char *fallback; /* the default, as on a command line; NULL: zero, empty */
    int64_t least;        /* of numbers; both 0: any */
    int64_t most;
    enum option_reload reload;
    const char *internal; /* nats-server's name for it in refusals; NULL: the name */
    enum option_section section;
    const char *flags;        /* without dashes, separated by spaces; NULL: none */
    const char *argument;     /* how --help shows the flag's value: "<port>" */
    const char *help;         /* NULL: --help does not show it */
    const char *const *words; /* of OPTION_WORD; ends with NULL */
    const char
        *too_big; /* nats-server's sentence for a number above `most`, with NAME and VALUE; NULL: ours */
    const char *too_small; /* and below `least` */
    bool power_of_two;
    option_parse *parse;     /* reads the file's value in place of what `kind` says */
    option_compare *compare; /* compares in place of what `kind` says */
    option_flag *flag;       /* for OPTION_BOOL flags that set more than one field */
};

#define INTO(type, field) offsetof(type, field)

/* Rows and where their struct lies in the snapshot. */
struct option_group {
    const struct option *rows;
    size_t count;
    size_t offset;
};

struct option_table {
    const struct option_group *groups;
    size_t count;
};

/* ---- errors ---- */

/* "FILE:L:C: <sentence>". */
void option_fail(struct option_errors *errors, struct config_position at, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* `FILE:L:C: invalid use of field "NAME": <sentence>`. */
void option_warn(struct option_errors *errors, struct config_position at, const char *name,
                 const char *format, ...) PRINTF_LIKE(4, 5);

void option_errors_close(struct option_errors *errors);
void option_changes_close(struct option_changes *changes);

/* ---- reading values, for rows and for their parse functions ---- */

/* False, with nats-server's sentence about types noted, when the value is of another kind. */
MUST_USE bool option_want(struct option_errors *errors, const struct config_entry *entry,
                          enum config_kind kind);

/* A copy of a string value. */
void option_read_string(struct bytes *out, const struct config_entry *entry, struct arena *arena,
                        struct option_errors *errors);

/* Copies bytes into the arena, with a zero behind them; notes when memory is out. */
struct bytes option_copy(struct bytes bytes, struct config_position at, struct arena *arena,
                         struct option_errors *errors);

/* All pairs of a map by the rows of one struct. Unknown names are errors unless a variable used them. */
void option_map_apply(const struct option *rows, size_t count, void *target, const struct config_value *map,
                      struct arena *arena, struct option_errors *errors);

/* ---- the whole table ---- */

/* Fills a zeroed snapshot with the rows' defaults. */
MUST_USE enum err options_default(const struct option_table *table, void *snapshot, struct arena *arena);

/* The rows' values from a file's root map. Collects all that is wrong in `errors`. */
void options_apply(const struct option_table *table, void *snapshot, const struct config_value *root,
                   struct arena *arena, struct option_errors *errors);

/* Whether every number that a flag may have set is within its row's bounds; the first that is not, in `why`.
 * (What a file sets is checked where its position is known.) */
MUST_USE bool options_validate(const struct option_table *table, const void *snapshot,
                               struct config_text *why);

/* What it takes to get from one snapshot to another (configuration.md 5.2, 5.3). ERR_MEMORY: `changes` does
 * not say all of it, so nothing may be taken over: an empty refusal would read as a permission. */
MUST_USE enum err options_compare(const struct option_table *table, const void *old, const void *new,
                                  struct option_changes *changes);

/* One value as text: of a flag, or a default. False when it does not parse; *range when it is too large. */
MUST_USE bool option_set(const struct option *row, void *target, const char *value, struct arena *arena,
                         bool *range);

/* Whether `name` is one of the names in `list`, which are separated by spaces. */
bool option_name_in(const char *list, struct bytes name, bool any_case);

#endif
