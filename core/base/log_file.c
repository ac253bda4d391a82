/* core/base/log_file.c - appending, rotating and purging the log's file. */
#include "core/base/log_file.h"

#include "core/base/errno_text.h"
#include "core/base/log_stamp.h"
#include "core/base/memory.h"
#include "core/base/quote.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(LOG_FILE_SENTENCE_BYTES_MAX > QUOTE_BYTES_NEEDED(PATH_MAX) + 200,
               "the longest path and the words around it fit a sentence");

struct backups {
    char (*stamps)[LOG_STAMP_BACKUP_BYTES + 1];
    size_t count;
    size_t room;
};

static int open_for_append(const char *path, int64_t *size_bytes);
static enum err rename_to_backup(struct log_file *file, const char *backup);
static void purge(struct log_file *file, log_file_say *say, void *context);
static enum err backups_list(struct backups *backups, const char *directory, const char *base);
static int compare_stamps(const void *a, const void *b);
static void split_path(const char *path, char *directory, size_t directory_bytes, const char **base);

enum err log_file_open(struct log_file *file, const char *path, int64_t size_limit_bytes, int64_t files_max)
{
    char *copy = memory_copy(path, strlen(path));
    if (copy == NULL)
        return ERR_MEMORY;
    int64_t size_bytes = 0;
    int fd = open_for_append(path, &size_bytes);
    if (fd < 0) {
        int cause = errno;
        memory_free(copy);
        errno = cause;
        return ERR_SYSTEM;
    }
    *file = (struct log_file){
        .open = true,
        .fd = fd,
        .path = copy,
        .size_bytes = size_bytes,
        .limit_bytes = size_limit_bytes,
        .size_limit_bytes = size_limit_bytes,
        .files_max = files_max,
    };
    return ERR_OK;
}

void log_file_close(struct log_file *file)
{
    if (!file->open)
        return;
    (void)close(file->fd); /* every line was written when it was made; nobody is left to tell */
    memory_free(file->path);
    *file = (struct log_file){0};
}

enum err log_file_reopen(struct log_file *file)
{
    int64_t size_bytes = 0;
    int fd = open_for_append(file->path, &size_bytes);
    if (fd < 0)
        return ERR_SYSTEM;
    (void)close(file->fd);
    file->fd = fd;
    file->size_bytes = size_bytes;
    file->limit_bytes = file->size_limit_bytes;
    file->torn = false;
    return ERR_OK;
}

enum err log_file_write(struct log_file *file, const void *data, size_t count)
{
    if (file->torn) {
        ssize_t ended = write(file->fd, "\n", 1);
        if (ended != 1)
            return ERR_SYSTEM;
        file->torn = false;
        file->size_bytes += 1;
    }
    const char *at = data;
    size_t left = count;
    while (left > 0) {
        ssize_t written = write(file->fd, at, left);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            file->torn = left < count;
            if (written == 0)
                errno = EIO;
            return ERR_SYSTEM;
        }
        at += written;
        left -= (size_t)written;
        file->size_bytes += written;
    }
    return ERR_OK;
}

bool log_file_over_limit(const struct log_file *file)
{
    return file->limit_bytes > 0 && file->size_bytes > file->limit_bytes;
}

void log_file_rotate(struct log_file *file, int64_t wall_ns, log_file_say *say, void *context)
{
    char stamp[LOG_STAMP_BACKUP_BYTES + 1];
    (void)log_stamp_backup(stamp, sizeof stamp, wall_ns);
    char backup[PATH_MAX];
    char sentence[LOG_FILE_SENTENCE_BYTES_MAX];
    char quoted[QUOTE_BYTES_NEEDED(PATH_MAX)];

    int length = snprintf(backup, sizeof backup, "%s.%s", file->path, stamp);
    enum err err = ERR_OK;
    if ((size_t)length >= sizeof backup) {
        errno = ENAMETOOLONG;
        err = ERR_SYSTEM;
    } else {
        err = rename_to_backup(file, backup);
    }
    if (err != ERR_OK) {
        struct errno_text cause = errno_text(errno);
        file->limit_bytes = file->limit_bytes > INT64_MAX / 2 ? INT64_MAX : file->limit_bytes * 2;
        (void)snprintf(sentence, sizeof sentence,
                       "Unable to rotate the log (%s), will attempt next rotation at size %lld", cause.text,
                       (long long)file->limit_bytes);
        say(context, true, sentence);
        return;
    }
    file->limit_bytes = file->size_limit_bytes;
    (void)quote(text(backup), quoted, sizeof quoted);
    (void)snprintf(sentence, sizeof sentence, "Rotated log, backup saved as %s", quoted);
    say(context, false, sentence);
    if (file->files_max > 0)
        purge(file, say, context);
}

static int open_for_append(const char *path, int64_t *size_bytes)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
    if (fd < 0)
        return -1;
    struct stat about;
    if (fstat(fd, &about) != 0) {
        int cause = errno;
        (void)close(fd);
        errno = cause;
        return -1;
    }
    *size_bytes = (int64_t)about.st_size;
    return fd;
}

/* The old descriptor stays until the new file is there: at no moment are lines without a place. */
static enum err rename_to_backup(struct log_file *file, const char *backup)
{
    if (rename(file->path, backup) != 0)
        return ERR_SYSTEM;
    int64_t size_bytes = 0;
    int fd = open_for_append(file->path, &size_bytes);
    if (fd < 0) {
        int cause = errno;
        (void)rename(backup, file->path); /* best effort: the descriptor writes to it under either name */
        errno = cause;
        return ERR_SYSTEM;
    }
    (void)close(file->fd);
    file->fd = fd;
    file->size_bytes = size_bytes;
    file->torn = false;
    return ERR_OK;
}

/* Deletes the oldest backups until files_max - 1 are left. */
static void purge(struct log_file *file, log_file_say *say, void *context)
{
    char directory[PATH_MAX];
    const char *base = NULL;
    split_path(file->path, directory, sizeof directory, &base);
    char name[PATH_MAX];
    char quoted[QUOTE_BYTES_NEEDED(PATH_MAX)];
    char sentence[LOG_FILE_SENTENCE_BYTES_MAX];

    struct backups backups = {0};
    enum err err = backups_list(&backups, directory, base);
    if (err != ERR_OK) {
        struct errno_text cause = errno_text(err == ERR_MEMORY ? ENOMEM : errno);
        (void)quote(text(directory), quoted, sizeof quoted);
        (void)snprintf(sentence, sizeof sentence,
                       "Unable to read directory %s for log purge (%s), will attempt next rotation", quoted,
                       cause.text);
        say(context, true, sentence);
        memory_free(backups.stamps);
        return;
    }
    if (backups.count > 1)
        qsort(backups.stamps, backups.count, sizeof backups.stamps[0], compare_stamps);
    for (size_t i = 0; i < backups.count && (int64_t)(backups.count - i) > file->files_max - 1; i++) {
        (void)snprintf(name, sizeof name, "%s.%s", file->path,
                       backups.stamps[i]); /* fits: rotation used it */
        bool gone = unlink(name) == 0;
        struct errno_text cause = errno_text(errno);
        (void)snprintf(name, sizeof name, "%s.%s", base, backups.stamps[i]);
        (void)quote(text(name), quoted, sizeof quoted);
        if (gone)
            (void)snprintf(sentence, sizeof sentence, "Purged log file %s", quoted);
        else
            (void)snprintf(sentence, sizeof sentence,
                           "Unable to remove backup log file %s (%s), will attempt next rotation", quoted,
                           cause.text);
        say(context, !gone, sentence);
        if (!gone)
            break;
    }
    memory_free(backups.stamps);
}

/* On error, too, the caller frees backups->stamps. */
static enum err backups_list(struct backups *backups, const char *directory, const char *base)
{
    DIR *entries = opendir(directory);
    if (entries == NULL)
        return ERR_SYSTEM;
    size_t base_bytes = strlen(base);
    enum err err = ERR_OK;
    while (backups->count < LOG_FILE_BACKUPS_MAX) {
        errno = 0;
        const struct dirent *entry = readdir(entries);
        if (entry == NULL) {
            err = errno == 0 ? ERR_OK : ERR_SYSTEM;
            break;
        }
        if (entry->d_type == DT_DIR || strncmp(entry->d_name, base, base_bytes) != 0 ||
            entry->d_name[base_bytes] != '.' || !log_stamp_is_backup(entry->d_name + base_bytes + 1))
            continue;
        if (backups->count == backups->room) {
            size_t room = backups->room == 0 ? 64 : backups->room * 2;
            void *grown = memory_grow(backups->stamps, room * sizeof backups->stamps[0]);
            if (grown == NULL) {
                err = ERR_MEMORY;
                break;
            }
            backups->stamps = grown;
            backups->room = room;
        }
        memcpy(backups->stamps[backups->count], entry->d_name + base_bytes + 1, LOG_STAMP_BACKUP_BYTES + 1);
        backups->count++;
    }
    int cause = errno;
    (void)closedir(entries);
    errno = cause;
    return err;
}

static int compare_stamps(const void *a, const void *b)
{
    return memcmp(a, b, LOG_STAMP_BACKUP_BYTES); /* digits from the year down: the older one sorts first */
}

static void split_path(const char *path, char *directory, size_t directory_bytes, const char **base)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        (void)snprintf(directory, directory_bytes, ".");
        *base = path;
        return;
    }
    int length = slash == path ? 1 : (int)(slash - path); /* "/x": the root itself */
    (void)snprintf(directory, directory_bytes, "%.*s", length, path);
    *base = slash + 1;
}
