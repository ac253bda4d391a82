/* shards/streaming/chores.c - see chores.h. */
#include "shards/streaming/chores.h"

#include <errno.h>

void chores_begin(struct chores *chores, struct loop *loop)
{
    const struct store_chore *chore = &chores->under_way;
    if (chores->op.in_flight != 0 || !store_chore_begin(chores->store, &chores->under_way))
        return;
    int folder = store_files_folder(chores->files);
    switch (chore->kind) {
    case STORE_CHORE_CREATE:
        loop_open_at(loop, &chores->op, folder, chore->name, store_files_flags(STORE_OPEN_CREATE),
                     STORE_FILE_MODE);
        return;
    case STORE_CHORE_OPEN:
        loop_open_at(loop, &chores->op, folder, chore->name, store_files_flags(STORE_OPEN_WRITE), 0);
        return;
    case STORE_CHORE_RESERVE:
        loop_reserve(loop, &chores->op, chore->file, chore->bytes);
        return;
    case STORE_CHORE_WRITE:
        loop_write_through(loop, &chores->op, chore->file, chore->part, 1, chore->offset);
        return;
    case STORE_CHORE_RENAME:
        loop_rename_at(loop, &chores->op, folder, chore->name, chore->to);
        return;
    case STORE_CHORE_REMOVE:
        loop_remove_at(loop, &chores->op, folder, chore->name);
        return;
    case STORE_CHORE_SYNC_FOLDER:
        loop_sync_whole(loop, &chores->op, folder);
        return;
    }
}

void chores_done(struct chores *chores, struct loop *loop, int64_t now_ns, int32_t result)
{
    int64_t done = result;
    /* Where the file system cannot, libc can: it writes. */
    if (chores->under_way.kind == STORE_CHORE_RESERVE && result == -EOPNOTSUPP)
        done = store_chore_do(chores->files, &chores->under_way);
    store_chore_done(chores->store, now_ns, done);
    chores_begin(chores, loop);
}
