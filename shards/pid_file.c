/* shards/pid_file.c - see pid_file.h. */
#include "shards/pid_file.h"

#include "core/base/errno_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum err pid_file_write(const char *path, char *why, size_t why_bytes)
{
    char number[32];
    int count = snprintf(number, sizeof number, "%ld", (long)getpid());
    const char *step = "open";
    int error = 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0) {
        error = errno;
    } else {
        step = "write";
        ssize_t written = write(fd, number, (size_t)count);
        if (written != count)
            error = written < 0 ? errno : ENOSPC;
        if (close(fd) != 0 && error == 0)
            error = errno;
    }
    if (error == 0)
        return ERR_OK;
    snprintf(why, why_bytes, "Could not write pidfile: %s %s: %s", step, path, errno_text(error).text);
    return ERR_SYSTEM;
}
