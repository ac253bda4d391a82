/* tests/unit/store/sim_disk.h - a disk in memory that can lose power, tear writes, run full, fail and flip
 * bits. In the flow:  store -> store_files.calls -> here. What a power cut leaves: of each 512-byte sector
 * that was written and not synced, the old or the new content, chosen at random one by one; of names that
 * came, went or changed since the folder was synced, the first few. A sync that fails leaves the same,
 * without a power cut. Header only, so that fuzzers can use it too. */
#ifndef TESTS_UNIT_STORE_SIM_DISK_H
#define TESTS_UNIT_STORE_SIM_DISK_H

#include "core/base/check.h"
#include "core/base/random.h"
#include "store/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    SIM_FILES_MAX = 64,
    SIM_NAMES_MAX = 64,
    SIM_SECTOR_BYTES = 512,
    SIM_FILE_BYTES_MAX = 1 << 18,
};

enum sim_fault {
    SIM_NO_FAULT,
    SIM_CRASH,       /* nothing is done from here on */
    SIM_NO_SPACE,    /* once, of calls that need room */
    SIM_NO_SPACE_ON, /* for good, of calls that need room */
    SIM_EIO,         /* once, of writes and syncs */
    SIM_SHORT,       /* a write does a part of its work; other calls are interrupted */
};

struct sim_file {
    uint8_t *now; /* SIM_FILE_BYTES_MAX each; NULL: no such file */
    uint8_t *durable;
    uint64_t now_bytes;
    uint64_t durable_bytes;
    uint64_t dirty_from; /* what differs lies in between */
    uint64_t dirty_to;
    uint32_t opened;
};

struct sim_name {
    char text[STORE_FILE_NAME_BYTES_MAX];
    int file; /* -1: free */
};

/* Names as they are, and each state that they had since the folder was synced. */
struct sim_names {
    struct sim_name entries[SIM_NAMES_MAX];
};

enum { SIM_FOLDER_VERSIONS_MAX = 32 };

struct sim_disk {
    struct sim_file files[SIM_FILES_MAX];
    struct sim_names versions[SIM_FOLDER_VERSIONS_MAX]; /* [0] is durable, the last is what it is now */
    uint32_t version_count;
    bool locked;
    bool dead;
    uint32_t step; /* calls that change something, so far */
    uint32_t fault_at;
    enum sim_fault fault;
    bool fault_met;
    bool no_space;
    uint32_t reads;
    bool reads_fail;
    uint64_t room_bytes; /* that files can take together; 0: no limit */
    struct random random;
};

static inline struct sim_names *sim_now(struct sim_disk *disk)
{
    return &disk->versions[disk->version_count - 1];
}

static inline struct sim_name *sim_find(struct sim_names *names, const char *name)
{
    for (int i = 0; i < SIM_NAMES_MAX; i++) {
        if (names->entries[i].file >= 0 && strcmp(names->entries[i].text, name) == 0)
            return &names->entries[i];
    }
    return NULL;
}

static inline void sim_name_set(struct sim_name *entry, const char *name)
{
    size_t count = strlen(name);
    ASSERT(count < sizeof entry->text);
    memcpy(entry->text, name, count + 1);
}

static inline void sim_dirty(struct sim_file *file, uint64_t from, uint64_t to)
{
    if (file->dirty_to == 0 || from < file->dirty_from)
        file->dirty_from = from;
    if (to > file->dirty_to)
        file->dirty_to = to;
}

/* Counts a call that changes something; what it should answer instead of being done, or SIM_NO_FAULT. */
static inline enum sim_fault sim_step(struct sim_disk *disk)
{
    if (disk->dead)
        return SIM_CRASH;
    if (++disk->step != disk->fault_at || disk->fault == SIM_NO_FAULT)
        return disk->no_space ? SIM_NO_SPACE_ON : SIM_NO_FAULT;
    disk->fault_met = true;
    if (disk->fault == SIM_CRASH)
        disk->dead = true;
    if (disk->fault == SIM_NO_SPACE_ON)
        disk->no_space = true;
    return disk->fault;
}

static inline int sim_open(void *host, const char *name, enum store_open_mode mode)
{
    struct sim_disk *disk = host;
    struct sim_name *found = sim_find(sim_now(disk), name);
    if (disk->dead)
        return -EIO;
    if (mode != STORE_OPEN_CREATE) {
        if (found == NULL)
            return -ENOENT;
        disk->files[found->file].opened++;
        return found->file;
    }
    enum sim_fault fault = sim_step(disk);
    if (fault == SIM_NO_SPACE || fault == SIM_NO_SPACE_ON)
        return -ENOSPC;
    if (fault != SIM_NO_FAULT)
        return -EIO;
    if (found != NULL)
        return -EEXIST;
    int file = 0;
    while (file < SIM_FILES_MAX && disk->files[file].now != NULL)
        file++;
    struct sim_name *place = sim_now(disk)->entries;
    while (place < sim_now(disk)->entries + SIM_NAMES_MAX && place->file >= 0)
        place++;
    ASSERT(file < SIM_FILES_MAX && place < sim_now(disk)->entries + SIM_NAMES_MAX);
    ASSERT(disk->version_count < SIM_FOLDER_VERSIONS_MAX);
    disk->versions[disk->version_count] = *sim_now(disk);
    place = disk->versions[disk->version_count].entries + (place - sim_now(disk)->entries);
    disk->version_count++;
    sim_name_set(place, name);
    place->file = file;
    disk->files[file].now = calloc(2, SIM_FILE_BYTES_MAX);
    ASSERT(disk->files[file].now != NULL);
    disk->files[file].durable = disk->files[file].now + SIM_FILE_BYTES_MAX;
    disk->files[file].opened = 1;
    return file;
}

static inline void sim_close_file(void *host, int file)
{
    struct sim_disk *disk = host;
    ASSERT(disk->files[file].opened > 0);
    disk->files[file].opened--;
}

static inline int64_t sim_size(void *host, int file)
{
    return (int64_t)((struct sim_disk *)host)->files[file].now_bytes;
}

static inline int64_t sim_read(void *host, int file, void *into, size_t bytes, uint64_t offset)
{
    struct sim_disk *disk = host;
    const struct sim_file *from = &disk->files[file];
    disk->reads++;
    if (disk->dead || disk->reads_fail)
        return -EIO;
    if (offset >= from->now_bytes)
        return 0;
    if (bytes > from->now_bytes - offset)
        bytes = (size_t)(from->now_bytes - offset);
    memcpy(into, from->now + offset, bytes);
    return (int64_t)bytes;
}

static inline uint64_t sim_used(const struct sim_disk *disk)
{
    uint64_t used = 0;
    for (int i = 0; i < SIM_FILES_MAX; i++)
        used += disk->files[i].now_bytes;
    return used;
}

static inline int64_t sim_write(void *host, int file, const struct iovec *parts, uint32_t count,
                                uint64_t offset)
{
    struct sim_disk *disk = host;
    struct sim_file *to = &disk->files[file];
    enum sim_fault fault = sim_step(disk);
    if (fault == SIM_EIO)
        return -EIO;
    if (fault == SIM_NO_SPACE || (fault == SIM_NO_SPACE_ON && offset + 1 > to->now_bytes))
        return -ENOSPC;
    size_t total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += parts[i].iov_len;
    size_t limit = total;
    if (fault == SIM_SHORT || fault == SIM_CRASH)
        limit = total / 2;
    if (fault == SIM_CRASH && disk->fault_at != disk->step)
        return -EIO; /* it was dead before */
    if (fault == SIM_SHORT && limit == 0)
        return -EINTR;
    size_t done = 0;
    for (uint32_t i = 0; i < count && done < limit; i++) {
        size_t part = parts[i].iov_len < limit - done ? parts[i].iov_len : limit - done;
        ASSERT(offset + done + part <= SIM_FILE_BYTES_MAX);
        memcpy(to->now + offset + done, parts[i].iov_base, part);
        sim_dirty(to, offset + done, offset + done + part);
        done += part;
    }
    if (offset + done > to->now_bytes)
        to->now_bytes = offset + done;
    return fault == SIM_CRASH ? -EIO : (int64_t)done;
}

/* Sectors that were not synced become durable, or do not. */
static inline void sim_scatter(struct sim_disk *disk, struct sim_file *file)
{
    if (random_below(&disk->random, 2) != 0)
        file->durable_bytes = file->now_bytes;
    /* All, none, or some: runs in which most survives find other mistakes than those in which little does. */
    uint32_t chance = random_below(&disk->random, 5);
    for (uint64_t at = file->dirty_from / SIM_SECTOR_BYTES * SIM_SECTOR_BYTES; at < file->dirty_to;
         at += SIM_SECTOR_BYTES) {
        if (random_below(&disk->random, 4) < chance)
            memcpy(file->durable + at, file->now + at, SIM_SECTOR_BYTES);
    }
    /* A sync that failed has taken note of the pages: the next one does not write them again. */
    file->dirty_from = 0;
    file->dirty_to = 0;
}

static inline int sim_sync(void *host, int file)
{
    struct sim_disk *disk = host;
    struct sim_file *synced = &disk->files[file];
    enum sim_fault fault = sim_step(disk);
    if (fault == SIM_EIO) {
        sim_scatter(disk, synced);
        return -EIO;
    }
    if (fault == SIM_CRASH)
        return -EIO;
    memcpy(synced->durable + synced->dirty_from, synced->now + synced->dirty_from,
           (size_t)(synced->dirty_to - synced->dirty_from));
    synced->dirty_from = 0;
    synced->dirty_to = 0;
    synced->durable_bytes = synced->now_bytes;
    return 0;
}

static inline int sim_reserve(void *host, int file, uint64_t bytes)
{
    struct sim_disk *disk = host;
    enum sim_fault fault = sim_step(disk);
    if (fault == SIM_CRASH)
        return -EIO;
    struct sim_file *to = &disk->files[file];
    uint64_t more = bytes > to->now_bytes ? bytes - to->now_bytes : 0;
    bool none = disk->room_bytes != 0 && sim_used(disk) + more > disk->room_bytes;
    if (fault == SIM_NO_SPACE || fault == SIM_NO_SPACE_ON || none)
        return -ENOSPC;
    if (fault == SIM_EIO)
        return -EIO;
    ASSERT(bytes <= SIM_FILE_BYTES_MAX);
    to->now_bytes += more;
    return 0;
}

static inline int sim_truncate(void *host, int file, uint64_t bytes)
{
    struct sim_disk *disk = host;
    if (sim_step(disk) == SIM_CRASH)
        return -EIO;
    struct sim_file *to = &disk->files[file];
    if (bytes < to->now_bytes) {
        memset(to->now + bytes, 0, (size_t)(to->now_bytes - bytes));
        sim_dirty(to, bytes, to->now_bytes);
    }
    to->now_bytes = bytes;
    return 0;
}

static inline int sim_change_names(struct sim_disk *disk, const char *from, const char *to)
{
    enum sim_fault fault = sim_step(disk);
    if (fault == SIM_CRASH || fault == SIM_EIO)
        return -EIO;
    if (sim_find(sim_now(disk), from) == NULL)
        return -ENOENT;
    ASSERT(disk->version_count < SIM_FOLDER_VERSIONS_MAX);
    disk->versions[disk->version_count] = *sim_now(disk);
    disk->version_count++;
    struct sim_name *old = to == NULL ? NULL : sim_find(sim_now(disk), to);
    if (old != NULL)
        old->file = -1;
    struct sim_name *entry = sim_find(sim_now(disk), from);
    if (to == NULL)
        entry->file = -1;
    else
        sim_name_set(entry, to);
    return 0;
}

static inline int sim_rename(void *host, const char *from, const char *to)
{
    return sim_change_names(host, from, to);
}

static inline int sim_remove(void *host, const char *name)
{
    return sim_change_names(host, name, NULL);
}

/* Files that no name leads to any more, in any state of the folder. */
static inline void sim_collect(struct sim_disk *disk)
{
    bool named[SIM_FILES_MAX] = {false};
    for (uint32_t v = 0; v < disk->version_count; v++) {
        for (int i = 0; i < SIM_NAMES_MAX; i++) {
            if (disk->versions[v].entries[i].file >= 0)
                named[disk->versions[v].entries[i].file] = true;
        }
    }
    for (int i = 0; i < SIM_FILES_MAX; i++) {
        if (named[i] || disk->files[i].opened > 0)
            continue;
        free(disk->files[i].now);
        disk->files[i] = (struct sim_file){0};
    }
}

static inline int sim_sync_folder(void *host)
{
    struct sim_disk *disk = host;
    enum sim_fault fault = sim_step(disk);
    if (fault == SIM_CRASH || fault == SIM_EIO)
        return -EIO;
    disk->versions[0] = *sim_now(disk);
    disk->version_count = 1;
    sim_collect(disk);
    return 0;
}

static inline int sim_list(void *host, bool (*each)(void *context, const char *name), void *context)
{
    struct sim_disk *disk = host;
    if (disk->dead)
        return -EIO;
    for (int i = SIM_NAMES_MAX - 1; i >= 0; i--) {
        if (sim_now(disk)->entries[i].file >= 0 && !each(context, sim_now(disk)->entries[i].text))
            break;
    }
    return 0;
}

static inline int sim_lock(void *host, int64_t *owner)
{
    struct sim_disk *disk = host;
    *owner = 4711;
    if (disk->locked)
        return -EBUSY;
    disk->locked = true;
    return 0;
}

static inline void sim_unlock(void *host)
{
    ((struct sim_disk *)host)->locked = false;
}

static const struct store_files_calls sim_calls = {
    .open = sim_open,
    .close = sim_close_file,
    .size = sim_size,
    .read = sim_read,
    .write = sim_write,
    .sync = sim_sync,
    .reserve = sim_reserve,
    .truncate = sim_truncate,
    .rename = sim_rename,
    .remove = sim_remove,
    .sync_folder = sim_sync_folder,
    .list = sim_list,
    .lock = sim_lock,
    .unlock = sim_unlock,
};

/* ---- for tests ---- */

static inline struct sim_disk *sim_disk_new(uint64_t seed)
{
    struct sim_disk *disk = calloc(1, sizeof *disk);
    ASSERT(disk != NULL);
    random_seed(&disk->random, seed);
    disk->version_count = 1;
    for (int i = 0; i < SIM_NAMES_MAX; i++)
        disk->versions[0].entries[i].file = -1;
    return disk;
}

static inline void sim_disk_free(struct sim_disk *disk)
{
    for (int i = 0; i < SIM_FILES_MAX; i++)
        free(disk->files[i].now);
    free(disk);
}

static inline struct store_files sim_disk_files(struct sim_disk *disk)
{
    return (struct store_files){&sim_calls, disk};
}

static inline void sim_disk_fault(struct sim_disk *disk, enum sim_fault fault, uint32_t at)
{
    disk->step = 0;
    disk->fault = fault;
    disk->fault_at = at;
    disk->fault_met = false;
}

/* Power goes, and comes back: the disk is as it may be found. All files were closed. */
static inline void sim_disk_power_cut(struct sim_disk *disk)
{
    struct sim_names survives = disk->versions[random_below(&disk->random, disk->version_count)];
    disk->versions[0] = survives;
    disk->version_count = 1;
    for (int i = 0; i < SIM_FILES_MAX; i++) {
        struct sim_file *file = &disk->files[i];
        ASSERT(file->opened == 0);
        if (file->now == NULL)
            continue;
        sim_scatter(disk, file);
        memcpy(file->now, file->durable, SIM_FILE_BYTES_MAX);
        file->now_bytes = file->durable_bytes;
        memset(file->now + file->now_bytes, 0, SIM_FILE_BYTES_MAX - (size_t)file->now_bytes);
        memset(file->durable + file->now_bytes, 0, SIM_FILE_BYTES_MAX - (size_t)file->now_bytes);
    }
    sim_collect(disk);
    disk->dead = false;
    disk->no_space = false;
    disk->locked = false;
    disk->fault = SIM_NO_FAULT;
}

/* The process died, the machine did not: what was written is there. */
static inline void sim_disk_kill(struct sim_disk *disk)
{
    disk->dead = false;
    disk->locked = false;
    disk->fault = SIM_NO_FAULT;
}

/* The file of that name, or NULL. */
static inline struct sim_file *sim_disk_file(struct sim_disk *disk, const char *name)
{
    struct sim_name *found = sim_find(sim_now(disk), name);
    return found == NULL ? NULL : &disk->files[found->file];
}

static inline void sim_disk_flip(struct sim_disk *disk, const char *name, uint64_t offset, uint8_t bits)
{
    struct sim_file *file = sim_disk_file(disk, name);
    ASSERT(file != NULL && offset < file->now_bytes);
    file->now[offset] ^= bits;
    file->durable[offset] ^= bits;
}

#endif
