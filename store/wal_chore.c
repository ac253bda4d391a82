/* store/wal_chore.c - files of the log are made and given up, step by step, because each step is a call that
 * may take milliseconds: whoever has a ring does them there, in its own time.
 * In the flow:  half of a segment is used -> wal_segment_announce() -> wal_chore_begin() -> the owner does
 * the step -> wal_chore_done() -> ... -> the segment is made, and what waits for it can be written.
 *
 * In the flow:  the oldest segment is needed no more -> the same, until its file is gone or a spare.
 *
 * Without such an owner, and where a file is needed at once, the same steps are done here, one after the
 * other.
 *
 * Records may be appended to a segment that is announced: they stay in the buffer until its file is there.
 * That bounds what is risked: a disk that turns out to be full holds back those few until it has room. */
#include "core/base/check.h"
#include "core/base/errno_text.h"
#include "core/base/random.h"
#include "store/wal.h"
#include "store/wal_inside.h"

#include <errno.h>
#include <string.h>

static void drop_ended(struct wal *wal, const struct wal_chore *chore, enum err err);

enum err wal_segment_failed(struct wal *wal, const char *what, struct wal_name name, int result)
{
    wal_say(wal, "unable to %s %s: %s", what, name.text, errno_text(-result).text);
    if (result != -ENOSPC && result != -EDQUOT)
        return ERR_SYSTEM;
    wal->disk_full = true;
    return ERR_FULL;
}

/* ---- the beginning of one ---- */

static enum err salt_make(struct wal *wal, uint32_t *salt)
{
    *salt = wal->options.salt;
    if (*salt != 0 || random_secure(salt, sizeof *salt) == ERR_OK)
        return ERR_OK;
    wal_say(wal, "the system has no random bytes");
    return ERR_SYSTEM;
}

/* What the next segment will be. */
static enum err segment_plan(struct wal *wal, uint32_t capacity, struct wal_segment *segment)
{
    uint32_t number = wal->segment_count == 0 ? 1 : wal->segments[wal->segment_count - 1].number + 1;
    *segment =
        (struct wal_segment){.number = number, .capacity = capacity, .end = SEGMENT_HEADER_BYTES, .file = -1};
    return salt_make(wal, &segment->salt);
}

/* A spare of the wanted size, or a new file, under a spare's name until all of it is there. */
static void make_start(struct wal *wal, struct wal_chore *chore, const struct wal_segment *segment)
{
    *chore = (struct wal_chore){
        .step = WAL_STEP_CREATE,
        .name = wal_spare_name(segment->number),
        .to = wal_segment_name(segment->number),
        .capacity = segment->capacity,
        .file = -1,
    };
    struct segment_header header = {SEGMENT_VERSION, segment->number, segment->capacity, segment->salt};
    segment_header_encode(chore->header, &header);
    for (uint32_t i = 0; i < wal->spare_count; i++) {
        if (wal->spares[i].capacity != segment->capacity)
            continue;
        chore->step = WAL_STEP_OPEN;
        chore->name = wal_spare_name(wal->spares[i].number);
        chore->filled = segment->capacity;
        wal->spares[i] = wal->spares[--wal->spare_count];
        return;
    }
}

static void drop_start(struct wal *wal, struct wal_chore *chore)
{
    struct wal_segment *segment = &wal->segments[0];
    ASSERT(wal->active > 0 && segment->live_bytes == 0);
    bool keep = wal->spare_count < WAL_SPARES_MAX && segment->capacity == wal->options.segment_bytes;
    *chore = (struct wal_chore){
        .step = keep ? WAL_STEP_KEEP : WAL_STEP_REMOVE,
        .name = wal_segment_name(segment->number),
        .to = wal_spare_name(segment->number),
        .capacity = segment->capacity,
        .file = -1,
        .keep = keep,
    };
    /* Before its name goes: else the last close would give its blocks back, here. */
    wal_segment_close(wal, segment);
}

/* ---- its steps ---- */

static const char *const step_words[] = {
    [WAL_STEP_NONE] = "",
    [WAL_STEP_CREATE] = "create",
    [WAL_STEP_OPEN] = "open",
    [WAL_STEP_RESERVE] = "reserve space for",
    [WAL_STEP_HEADER] = "write and sync",
    [WAL_STEP_NAME] = "rename",
    [WAL_STEP_MADE] = "sync the folder of",
    [WAL_STEP_KEEP] = "give up",
    [WAL_STEP_REMOVE] = "give up",
    [WAL_STEP_DROPPED] = "give up",
};

static void chore_tell(struct wal_chore *chore, struct store_chore *what)
{
    *what = (struct store_chore){.file = chore->file, .name = chore->name.text, .to = chore->to.text};
    switch (chore->step) {
    case WAL_STEP_NONE:
        ASSERT(false);
        return;
    case WAL_STEP_CREATE:
        what->kind = STORE_CHORE_CREATE;
        return;
    case WAL_STEP_OPEN:
        what->kind = STORE_CHORE_OPEN;
        return;
    case WAL_STEP_RESERVE:
        what->kind = STORE_CHORE_RESERVE;
        what->bytes = chore->capacity;
        return;
    case WAL_STEP_HEADER:
        what->kind = STORE_CHORE_WRITE;
        chore->part = (struct iovec){chore->header + chore->written, sizeof chore->header - chore->written};
        what->part = &chore->part;
        what->offset = chore->written;
        return;
    case WAL_STEP_NAME:
    case WAL_STEP_KEEP:
        what->kind = STORE_CHORE_RENAME;
        return;
    case WAL_STEP_REMOVE:
        what->kind = STORE_CHORE_REMOVE;
        return;
    case WAL_STEP_MADE:
    case WAL_STEP_DROPPED:
        what->kind = STORE_CHORE_SYNC_FOLDER;
        return;
    }
}

/* The step was done: what comes behind it. WAL_STEP_NONE: that was all. */
static enum wal_chore_step step_next(struct wal_chore *chore, int64_t result)
{
    switch (chore->step) {
    case WAL_STEP_CREATE:
        chore->file = (int)result;
        return WAL_STEP_RESERVE;
    case WAL_STEP_OPEN:
        chore->file = (int)result;
        return WAL_STEP_HEADER;
    case WAL_STEP_RESERVE:
        return WAL_STEP_HEADER;
    case WAL_STEP_HEADER:
        chore->written += (uint32_t)result;
        return chore->written < sizeof chore->header ? WAL_STEP_HEADER : WAL_STEP_NAME;
    case WAL_STEP_NAME:
        return WAL_STEP_MADE;
    case WAL_STEP_KEEP:
    case WAL_STEP_REMOVE:
        /* Before the next one goes: what is left must be the newest segments without a hole, whatever
         * happens. */
        return WAL_STEP_DROPPED;
    case WAL_STEP_NONE:
    case WAL_STEP_MADE:
    case WAL_STEP_DROPPED:
        break;
    }
    return WAL_STEP_NONE;
}

/* The step's result; ERR_OK: it goes on, or has ended well (WAL_STEP_NONE). On error nothing of a new file is
 * left. */
static enum err chore_take(struct wal *wal, struct wal_chore *chore, int64_t result)
{
    const struct store_files *files = &wal->options.files;
    if (result == -EINTR || result == -EAGAIN)
        return ERR_OK; /* once more */
    if (chore->step == WAL_STEP_HEADER && result == 0)
        result = -EIO;
    if (result >= 0) {
        chore->step = step_next(chore, result);
        return ERR_OK;
    }
    bool making = chore->step <= WAL_STEP_MADE;
    bool made_none = chore->step == WAL_STEP_CREATE || chore->step == WAL_STEP_OPEN;
    enum err err = wal_segment_failed(wal, step_words[chore->step], chore->name, (int)result);
    chore->step = WAL_STEP_NONE;
    if (!making || made_none)
        return err;
    files->calls->close(files->host, chore->file); /* one of the two names is there */
    (void)files->calls->remove(files->host, chore->name.text);
    (void)files->calls->remove(files->host, chore->to.text);
    return err;
}

int64_t store_chore_do(const struct store_files *files, const struct store_chore *what)
{
    switch (what->kind) {
    case STORE_CHORE_CREATE:
        return files->calls->open(files->host, what->name, STORE_OPEN_CREATE);
    case STORE_CHORE_OPEN:
        return files->calls->open(files->host, what->name, STORE_OPEN_WRITE);
    case STORE_CHORE_RESERVE:
        return files->calls->reserve(files->host, what->file, what->bytes);
    case STORE_CHORE_WRITE: {
        int64_t written = files->calls->write(files->host, what->file, what->part, 1, what->offset);
        int synced = written > 0 ? files->calls->sync(files->host, what->file) : 0;
        return synced < 0 ? synced : written;
    }
    case STORE_CHORE_RENAME:
        return files->calls->rename(files->host, what->name, what->to);
    case STORE_CHORE_REMOVE:
        return files->calls->remove(files->host, what->name);
    case STORE_CHORE_SYNC_FOLDER:
        return files->calls->sync_folder(files->host);
    }
    return -EINVAL;
}

/* All steps that are left, here and now. */
static enum err chore_run(struct wal *wal, struct wal_chore *chore)
{
    enum err err = ERR_OK;
    while (err == ERR_OK && chore->step != WAL_STEP_NONE) {
        struct store_chore what;
        chore_tell(chore, &what);
        err = chore_take(wal, chore, store_chore_do(&wal->options.files, &what));
    }
    return err;
}

/* ---- here and now ---- */

enum err wal_segment_make(struct wal *wal, uint32_t capacity)
{
    struct wal_segment segment;
    struct wal_chore chore;
    if (wal_segment_making(wal) != NULL)
        return ERR_FULL; /* one behind it cannot be made before it is */
    enum err err = segment_plan(wal, capacity, &segment);
    if (err != ERR_OK)
        return err;
    make_start(wal, &chore, &segment);
    err = chore_run(wal, &chore);
    if (err != ERR_OK)
        return err;
    segment.file = chore.file;
    segment.filled = chore.filled;
    err = wal_segment_add(wal, &segment);
    if (err != ERR_OK) {
        wal->options.files.calls->close(wal->options.files.host, segment.file);
        (void)wal->options.files.calls->remove(wal->options.files.host, chore.to.text);
        return err;
    }
    wal->disk_full = false;
    return ERR_OK;
}

void wal_segment_drop_oldest(struct wal *wal)
{
    struct wal_chore chore;
    drop_start(wal, &chore);
    drop_ended(wal, &chore, chore_run(wal, &chore));
}

/* ---- in the owner's time ---- */

bool wal_chores_outside(const struct wal *wal)
{
    return wal->options.outside_bytes_min > 0 && wal->options.segment_bytes >= wal->options.outside_bytes_min;
}

struct wal_segment *wal_segment_making(const struct wal *wal)
{
    struct wal_segment *last = wal->segment_count == 0 ? NULL : &wal->segments[wal->segment_count - 1];
    return last != NULL && last->making ? last : NULL;
}

enum err wal_segment_announce(struct wal *wal)
{
    struct wal_segment segment;
    ASSERT(wal_segment_making(wal) == NULL);
    enum err err = segment_plan(wal, wal->options.segment_bytes, &segment);
    segment.making = true;
    return err == ERR_OK ? wal_segment_add(wal, &segment) : err;
}

/* What there is to do, if anything; makes come first. */
static bool chore_pick(struct wal *wal)
{
    if (wal->chore.step != WAL_STEP_NONE)
        return true;
    const struct wal_segment *making = wal_segment_making(wal);
    if (making != NULL && !wal->stalled)
        make_start(wal, &wal->chore, making);
    else if (wal->retire_end != 0 && wal->synced >= wal->retire_end)
        drop_start(wal, &wal->chore);
    return wal->chore.step != WAL_STEP_NONE;
}

bool wal_chore_begin(struct wal *wal, struct store_chore *what)
{
    if (wal->chore_busy || wal->failed || !wal_chores_outside(wal) || !chore_pick(wal))
        return false;
    chore_tell(&wal->chore, what);
    wal->chore_busy = true;
    return true;
}

static void finish_make(struct wal *wal, const struct wal_chore *chore)
{
    struct wal_segment *segment = wal_segment_making(wal);
    ASSERT(segment != NULL);
    segment->file = chore->file;
    segment->filled = chore->filled;
    segment->making = false;
    wal->disk_full = false;
}

/* Nothing of it is on disk. Records that are in it already wait, as for a write that found no room. */
static void make_failed(struct wal *wal, int64_t now_ns, enum err err)
{
    bool entered = wal->active == wal->segment_count - 1;
    wal->disk_full = true; /* or it cannot be made for another reason: wal_why() says it */
    wal->retry_ns = now_ns + WAL_RETRY_NS;
    if (!entered)
        wal->segment_count--;
    else if (err == ERR_FULL)
        wal->stalled = true;
    else
        wal_fail(wal);
}

/* A file that stays costs room only: wal_why() says what happened to it, and it is not tried again. */
static void drop_ended(struct wal *wal, const struct wal_chore *chore, enum err err)
{
    wal->retire_end = 0;
    if (err != ERR_OK) {
        wal->clean_broken = true;
        return;
    }
    uint32_t number = wal->segments[0].number;
    ASSERT(wal->segments[0].file < 0); /* nothing in it lives, so nobody has read it since drop_start() */
    if (chore->keep)
        wal->spares[wal->spare_count++] = (struct wal_spare){number, chore->capacity};
    wal_windows_forget(wal, number);
    memmove(wal->segments, wal->segments + 1, (wal->segment_count - 1) * sizeof wal->segments[0]);
    wal->segment_count--;
    wal->active--;
    wal->retired_segments++;
    wal->clean_offset = 0;
    wal->retry_ns = 0; /* there may be room now */
}

void wal_chore_done(struct wal *wal, int64_t now_ns, int64_t result)
{
    struct wal_chore *chore = &wal->chore;
    ASSERT(wal->chore_busy);
    wal->chore_busy = false;
    bool making = chore->step <= WAL_STEP_MADE;
    enum err err = chore_take(wal, chore, result);
    if (err == ERR_OK && chore->step != WAL_STEP_NONE)
        return;
    if (!making)
        drop_ended(wal, chore, err);
    else if (err == ERR_OK)
        finish_make(wal, chore);
    else
        make_failed(wal, now_ns, err);
}

void wal_chores_finish(struct wal *wal, int64_t now_ns)
{
    ASSERT(!wal->chore_busy);
    struct store_chore what;
    while (wal_chore_begin(wal, &what))
        wal_chore_done(wal, now_ns, store_chore_do(&wal->options.files, &what));
}
