/* shards/signal_command.h - `--signal command[=pid]`: a signal to another server (spec/configuration.md 1.6).
 */
#ifndef SHARDS_SIGNAL_COMMAND_H
#define SHARDS_SIGNAL_COMMAND_H

#include "core/base/err.h"

#include <stddef.h>
#include <sys/types.h>

/* What the rest of the machine looks like to it; a test puts its own in place. */
struct signal_world {
    /* The processes whose program has this name, at most `most`; their number. */
    size_t (*find)(const char *program, pid_t *found, size_t most);
    int (*send)(pid_t pid, int number); /* as kill() */
    pid_t self;
};

/* Sends `command`, for instance "reload" or "ldm=1234" or "term=/run/myelin.pid" or "quit=12*", to the server
 * that it names, or to the only other process called `program`. ERR_INVALID, ERR_NOT_FOUND, ERR_SYSTEM: `why`
 * holds the sentence to print behind the program's name. Thread: main. */
MUST_USE enum err signal_command_send(const char *program, const char *command, char *why, size_t why_bytes);
MUST_USE enum err signal_command_send_in(const struct signal_world *world, const char *program,
                                         const char *command, char *why, size_t why_bytes);

#endif
