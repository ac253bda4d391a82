/* store/files_real.c - real files behind files.h: one folder, reached by its descriptor, so that it may be
 * renamed. */
#include "core/base/errno_text.h"
#include "core/base/memory.h"
#include "store/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char lock_name[] = "lock";

struct folder {
    int fd;
    int lock_fd; /* -1: not locked */
};

static int result_of(int result)
{
    return result < 0 ? -errno : result;
}

int store_files_flags(enum store_open_mode mode)
{
    int flags = mode == STORE_OPEN_READ ? O_RDONLY : O_RDWR;
    return (mode == STORE_OPEN_CREATE ? flags | O_CREAT | O_EXCL : flags) | O_CLOEXEC;
}

static int real_open(void *host, const char *name, enum store_open_mode mode)
{
    const struct folder *folder = host;
    return result_of(openat(folder->fd, name, store_files_flags(mode), STORE_FILE_MODE));
}

static void real_close(void *host, int file)
{
    (void)host;
    (void)close(file);
}

static int64_t real_size(void *host, int file)
{
    (void)host;
    struct stat status;
    return fstat(file, &status) < 0 ? -errno : status.st_size;
}

static int64_t real_read(void *host, int file, void *into, size_t bytes, uint64_t offset)
{
    (void)host;
    ssize_t result = pread(file, into, bytes, (off_t)offset);
    return result < 0 ? -errno : result;
}

static int64_t real_write(void *host, int file, const struct iovec *parts, uint32_t count, uint64_t offset)
{
    (void)host;
    ssize_t result = pwritev(file, parts, (int)count, (off_t)offset);
    return result < 0 ? -errno : result;
}

static int real_sync(void *host, int file)
{
    (void)host;
    return result_of(fdatasync(file));
}

static int real_reserve(void *host, int file, uint64_t bytes)
{
    (void)host;
    int result =
        posix_fallocate(file, 0, (off_t)bytes); /* answers by value, and works on every file system */
    return -result;
}

static int real_truncate(void *host, int file, uint64_t bytes)
{
    (void)host;
    return result_of(ftruncate(file, (off_t)bytes));
}

static int real_rename(void *host, const char *from, const char *to)
{
    const struct folder *folder = host;
    return result_of(renameat(folder->fd, from, folder->fd, to));
}

static int real_remove(void *host, const char *name)
{
    const struct folder *folder = host;
    return result_of(unlinkat(folder->fd, name, 0));
}

static int real_sync_folder(void *host)
{
    const struct folder *folder = host;
    return result_of(fsync(folder->fd));
}

static int real_list(void *host, bool (*each)(void *context, const char *name), void *context)
{
    const struct folder *folder = host;
    int fd = openat(folder->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (entries == NULL) {
        int error = errno;
        if (fd >= 0)
            (void)close(fd);
        return -error;
    }
    errno = 0;
    const struct dirent *entry = NULL;
    while ((entry = readdir(entries)) != NULL && each(context, entry->d_name))
        errno = 0;
    int error = entry == NULL ? errno : 0;
    (void)closedir(entries);
    return -error;
}

/* A lock of the open file, not of the process: those go when any descriptor of the file is closed. The file
 * says who has it. */
static int real_lock(void *host, int64_t *owner)
{
    struct folder *folder = host;
    *owner = 0;
    int fd = openat(folder->fd, lock_name, O_RDWR | O_CREAT | O_CLOEXEC, STORE_FILE_MODE);
    if (fd < 0)
        return -errno;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char text[24] = "";
    if (fcntl(fd, F_OFD_SETLK, &lock) < 0) {
        int error = errno;
        if (pread(fd, text, sizeof text - 1, 0) > 0)
            *owner = strtoll(text, NULL, 10);
        (void)close(fd);
        return error == EAGAIN || error == EACCES ? -EBUSY : -error;
    }
    int count = snprintf(text, sizeof text, "%lld\n", (long long)getpid());
    /* Only a help for people; the lock counts. */
    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, text, (size_t)count, 0);
    folder->lock_fd = fd;
    return 0;
}

static void real_unlock(void *host)
{
    struct folder *folder = host;
    if (folder->lock_fd >= 0)
        (void)close(folder->lock_fd);
    folder->lock_fd = -1;
}

static const struct store_files_calls real_calls = {
    .open = real_open,
    .close = real_close,
    .size = real_size,
    .read = real_read,
    .write = real_write,
    .sync = real_sync,
    .reserve = real_reserve,
    .truncate = real_truncate,
    .rename = real_rename,
    .remove = real_remove,
    .sync_folder = real_sync_folder,
    .list = real_list,
    .lock = real_lock,
    .unlock = real_unlock,
};

static enum err folder_open(struct store_files *files, const char *path, char *why, size_t why_bytes)
{
    *files = (struct store_files){0};
    struct folder *folder = memory_new(sizeof *folder);
    if (folder == NULL) {
        (void)snprintf(why, why_bytes, "out of memory");
        return ERR_MEMORY;
    }
    folder->lock_fd = -1;
    folder->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder->fd < 0) {
        (void)snprintf(why, why_bytes, "unable to open the store's folder %s: %s", path,
                       errno_text(errno).text);
        memory_free(folder);
        return ERR_SYSTEM;
    }
    *files = (struct store_files){&real_calls, folder};
    return ERR_OK;
}

enum err store_files_open(struct store_files *files, const char *path, char *why, size_t why_bytes)
{
    if (mkdir(path, 0750) < 0 && errno != EEXIST) {
        *files = (struct store_files){0};
        (void)snprintf(why, why_bytes, "unable to make the store's folder %s: %s", path,
                       errno_text(errno).text);
        return ERR_SYSTEM;
    }
    return folder_open(files, path, why, why_bytes);
}

enum err store_files_open_to_look(struct store_files *files, const char *path, char *why, size_t why_bytes)
{
    return folder_open(files, path, why, why_bytes);
}

int store_files_folder(const struct store_files *files)
{
    const struct folder *folder = files->host;
    return folder->fd;
}

void store_files_close(struct store_files *files)
{
    if (files->calls == NULL)
        return;
    struct folder *folder = files->host;
    real_unlock(folder);
    (void)close(folder->fd);
    memory_free(folder);
    *files = (struct store_files){0};
}
