/* store/files.h - the disk as the store sees it: a folder of files with names, behind a small table of calls.
 * In the flow:  wal, store -> store_files.calls -> real files (files_real.c), or a simulated disk (tests)
 * All calls block; what happens on a message's way does not go through here but through store_io (wal.h),
 * which the owner of a ring submits itself. Results are 0 or a count; -errno says what went wrong. */
#ifndef STORE_FILES_H
#define STORE_FILES_H

#include "core/base/err.h"
#include "core/base/language.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

enum { STORE_FILE_NAME_BYTES_MAX = 64 };

enum store_open_mode {
    STORE_OPEN_READ,   /* what is there */
    STORE_OPEN_WRITE,  /* what is there, to read and write */
    STORE_OPEN_CREATE, /* must not be there yet; to read and write */
};

struct store_files_calls {
    /* A descriptor (0 or more). For real files it is the kernel's, so that a ring can write to it. */
    int (*open)(void *host, const char *name, enum store_open_mode mode);
    void (*close)(void *host, int file);
    int64_t (*size)(void *host, int file);
    int64_t (*read)(void *host, int file, void *into, size_t bytes, uint64_t offset); /* may be short */
    int64_t (*write)(void *host, int file, const struct iovec *parts, uint32_t count,
                     uint64_t offset);                    /* may be short */
    int (*sync)(void *host, int file);                    /* data, and what is needed to find it again */
    int (*reserve)(void *host, int file, uint64_t bytes); /* the file has this size and the disk the room */
    int (*truncate)(void *host, int file, uint64_t bytes);
    int (*rename)(void *host, const char *from, const char *to);
    int (*remove)(void *host, const char *name);
    int (*sync_folder)(void *host); /* names that came, went and changed */
    /* Tells all names, in no order, until `each` answers false. */
    int (*list)(void *host, bool (*each)(void *context, const char *name), void *context);
    /* Takes the folder for this process. -EBUSY: another one has it; `owner` is its process number or 0. */
    int (*lock)(void *host, int64_t *owner);
    void (*unlock)(void *host);
};

/* A table with its host; passed by value. */
struct store_files {
    const struct store_files_calls *calls;
    void *host;
};

/* The folder `path`, made if it is not there (its parent must be). On error all is closed and `why` holds a
 * sentence. Owner: the caller, until store_files_close(), which comes behind store_close(). */
MUST_USE enum err store_files_open(struct store_files *files, const char *path, char *why, size_t why_bytes);

/* The same, but nothing is ever made, changed or locked: for tools that only look. */
MUST_USE enum err store_files_open_to_look(struct store_files *files, const char *path, char *why,
                                           size_t why_bytes);
void store_files_close(struct store_files *files);

/* The folder's descriptor, of files that store_files_open() has opened: for an owner who makes a store's
 * calls itself (store_chore_begin()), and how a file is to be opened then. */
int store_files_folder(const struct store_files *files);
int store_files_flags(enum store_open_mode mode);
enum { STORE_FILE_MODE = 0640 };

#endif
