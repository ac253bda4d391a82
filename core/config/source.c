/* core/config/source.c - real files and the real environment for the parser. Blocks; start and reload only.
 */
#include "core/base/errno_text.h"
#include "core/config/parser.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err fail(struct config_text *why, const char *what, const char *path, int error)
{
    config_text_add(why, "%s %s: %s", what, path, errno_text(error).text);
    return ERR_INVALID;
}

static enum err read_open_file(int file, const char *path, struct arena *arena, struct bytes *text,
                               struct config_text *why)
{
    struct stat status;
    if (fstat(file, &status) != 0)
        return fail(why, "stat", path, errno);
    if (S_ISDIR(status.st_mode))
        return fail(why, "read", path, EISDIR);
    /* A pipe or a file of /proc has no size: what comes is read up to the bound. */
    size_t room = S_ISREG(status.st_mode) && status.st_size > 0 ? (size_t)status.st_size : 64 * 1024;
    size_t count = 0;
    uint8_t *data = NULL;
    for (;;) {
        if (room > CONFIG_FILE_BYTES_MAX) {
            config_text_add(why, "read %s: the file is larger than %d bytes", path,
                            (int)CONFIG_FILE_BYTES_MAX);
            return ERR_INVALID;
        }
        uint8_t *larger = arena_new(arena, room + 1);
        if (larger == NULL) {
            config_text_add(why, "read %s: out of memory", path);
            return ERR_MEMORY;
        }
        if (count > 0)
            memcpy(larger, data, count);
        data = larger;
        while (count <= room) { /* one byte more than expected: it has grown */
            ssize_t got = read(file, data + count, room + 1 - count);
            if (got < 0 && errno == EINTR)
                continue;
            if (got < 0)
                return fail(why, "read", path, errno);
            if (got == 0) {
                *text = bytes_of(data, count);
                return ERR_OK;
            }
            count += (size_t)got;
        }
        room *= 2;
    }
}

static enum err read_file(void *context, const char *path, struct arena *arena, struct bytes *text,
                          struct config_text *why)
{
    (void)context;
    if (path[0] == 0)
        return fail(why, "open", path, ENOENT);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return fail(why, "open", path, errno);
    enum err err = read_open_file(file, path, arena, text, why);
    close(file);
    return err;
}

static const char *environment(void *context, const char *name)
{
    (void)context;
    return getenv(name);
}

struct config_source config_source_system(void)
{
    return (struct config_source){.read = read_file, .variable = environment};
}
