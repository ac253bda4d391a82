/* shards/pid_file.h - the file that says which process this is (spec/configuration.md 1.8): a decimal number
 * and nothing else, because scripts and `--signal` read it whole. It stays when the server ends. */
#ifndef SHARDS_PID_FILE_H
#define SHARDS_PID_FILE_H

#include "core/base/err.h"

#include <stddef.h>

/* Writes this process's number, mode 0600. ERR_SYSTEM: `why` is the line for the log. Thread: control core.
 */
MUST_USE enum err pid_file_write(const char *path, char *why, size_t why_bytes);

#endif
