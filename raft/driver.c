/* raft/driver.c - between the machine and the world. */
#include "raft/driver.h"

#include "core/base/check.h"

void raft_driver_init(struct raft_driver *driver, struct raft *raft, const struct raft_storage *storage,
                      const struct raft_transport *transport, const struct raft_application *application)
{
    *driver = (struct raft_driver){
        .raft = raft, .storage = *storage, .transport = *transport, .application = *application};
}

void raft_driver_close(struct raft_driver *driver)
{
    raft_free(driver->raft);
    *driver = (struct raft_driver){0};
}

enum raft_result raft_driver_step(struct raft_driver *driver, const struct raft_event *event,
                                  uint64_t *first_index)
{
    struct raft_taken taken;
    enum raft_result result = raft_step(driver->raft, event, &taken);
    const struct raft_storage *storage = &driver->storage;
    if (first_index != NULL)
        *first_index = taken.first_index;
    if (taken.entry_count > 0 &&
        storage->append(storage->self, taken.first_index, taken.entries, taken.entry_count) != ERR_OK)
        driver->failed = true;
    if (taken.chunk != NULL && storage->chunk_write(storage->self, taken.chunk) != ERR_OK)
        driver->failed = true;
    return result;
}

void raft_driver_tick(struct raft_driver *driver)
{
    struct raft_event event = {.kind = RAFT_EVENT_TICK};
    raft_driver_step(driver, &event, NULL);
}

enum raft_result raft_driver_receive(struct raft_driver *driver, const struct raft_message *message)
{
    struct raft_event event = {.kind = RAFT_EVENT_MESSAGE, .message = message};
    return raft_driver_step(driver, &event, NULL);
}

void raft_driver_persisted(struct raft_driver *driver, uint64_t persist_seq, enum err err)
{
    struct raft_event event = {.kind = err == ERR_OK ? RAFT_EVENT_PERSISTED : RAFT_EVENT_PERSIST_FAILED,
                               .persist_seq = persist_seq};
    raft_driver_step(driver, &event, NULL);
}

void raft_driver_installed(struct raft_driver *driver, enum err err)
{
    struct raft_event event = {.kind =
                                   err == ERR_OK ? RAFT_EVENT_SNAPSHOT_INSTALLED : RAFT_EVENT_INSTALL_FAILED};
    if (err == ERR_OK) /* what was to be applied is in the snapshot */
        driver->apply_next = driver->apply_end = 0;
    raft_driver_step(driver, &event, NULL);
}

void raft_driver_snapshot_taken(struct raft_driver *driver, uint64_t index, uint64_t size_bytes, enum err err)
{
    struct raft_event event = {.kind = err == ERR_OK ? RAFT_EVENT_SNAPSHOT_TAKEN : RAFT_EVENT_SNAPSHOT_FAILED,
                               .snapshot = {.index = index, .size_bytes = size_bytes}};
    raft_driver_step(driver, &event, NULL);
}

static void starve(struct raft_driver *driver, uint64_t peer)
{
    driver->unread = true;
    for (unsigned i = 0; i < COUNT_OF(driver->starved); i++) {
        if (driver->starved[i] == peer || driver->starved[i] == 0) {
            driver->starved[i] = peer;
            return;
        }
    }
}

void raft_driver_readable(struct raft_driver *driver)
{
    driver->unread = false;
    for (unsigned i = 0; i < COUNT_OF(driver->starved) && driver->starved[i] != 0; i++) {
        struct raft_event event = {.kind = RAFT_EVENT_UNREACHABLE, .peer = driver->starved[i]};
        driver->starved[i] = 0;
        raft_driver_step(driver, &event, NULL);
    }
}

/* The machine knows entries by their index; what they hold is read here. */
static bool fill(struct raft_driver *driver, struct raft_message *message)
{
    const struct raft_storage *storage = &driver->storage;
    if (message->kind == RAFT_MESSAGE_APPEND && message->append.entry_count > 0) {
        struct raft_append *append = &message->append;
        uint32_t count =
            storage->read(storage->self, append->previous_index + 1, append->entry_count, driver->entries);
        append->entries = driver->entries;
        append->entry_count = count; /* fewer will do: the reply says how far the peer came */
        return count > 0;
    }
    if (message->kind == RAFT_MESSAGE_SNAPSHOT) {
        struct raft_chunk *chunk = &message->chunk;
        chunk->data = storage->chunk_read(storage->self, chunk->snapshot->index, chunk->offset_bytes,
                                          chunk->count_bytes);
        return chunk->data != NULL;
    }
    return true;
}

static void send(struct raft_driver *driver, const struct raft_update *update)
{
    for (uint32_t i = 0; i < update->message_count; i++) {
        struct raft_message message = update->messages[i];
        if (fill(driver, &message))
            driver->transport.send(driver->transport.self, &message);
        else
            starve(driver, message.to);
    }
}

/* Applies what can be read; the rest when it is readable. */
static void apply(struct raft_driver *driver)
{
    const struct raft_storage *storage = &driver->storage;
    const struct raft_application *application = &driver->application;
    uint64_t before = driver->apply_next;
    while (driver->apply_next < driver->apply_end) {
        uint64_t left = driver->apply_end - driver->apply_next;
        uint32_t count = left < RAFT_APPLY_ENTRIES_MAX ? (uint32_t)left : RAFT_APPLY_ENTRIES_MAX;
        count = storage->read(storage->self, driver->apply_next, count, driver->entries);
        if (count == 0) {
            driver->unread = true;
            break;
        }
        uint32_t done = application->apply(application->self, driver->apply_next, driver->entries, count);
        ASSERT(done <= count);
        driver->apply_next += done;
        if (done < count) {
            driver->unread = true;
            break;
        }
    }
    if (driver->apply_next == before)
        return;
    struct raft_event event = {.kind = RAFT_EVENT_APPLIED, .applied_index = driver->apply_next - 1};
    raft_driver_step(driver, &event, NULL);
}

/* The disk first, for it takes longest; a snapshot before anything more is applied. */
static bool do_update(struct raft_driver *driver)
{
    const struct raft_storage *storage = &driver->storage;
    const struct raft_application *application = &driver->application;
    struct raft_update update;
    raft_update(driver->raft, &update);
    if (update.persist_seq != 0) {
        if (update.hard_state_changed && storage->set_hard_state(storage->self, &update.hard_state) != ERR_OK)
            driver->failed = true;
        if (!driver->failed)
            storage->sync(storage->self, update.persist_seq);
    }
    if (update.role_changed)
        application->role_changed(application->self);
    send(driver, &update);
    if (update.install_snapshot != NULL)
        storage->install(storage->self, update.install_snapshot);
    if (update.take_snapshot != NULL)
        application->take_snapshot(application->self, update.take_snapshot);
    for (uint32_t i = 0; i < update.read_count; i++)
        application->read(application->self, &update.reads[i]);
    storage->trim(storage->self, update.log_first, update.snapshot_newest, update.snapshot_sent);
    if (update.apply_count > 0) {
        driver->apply_next = update.apply_first;
        driver->apply_end = update.apply_first + update.apply_count;
    }
    uint64_t next = driver->apply_next;
    if (!driver->unread)
        apply(driver);
    return update.more || driver->apply_next != next;
}

void raft_driver_turn(struct raft_driver *driver)
{
    bool more = true;
    while (more && !driver->failed)
        more = do_update(driver);
    if (driver->failed) {
        driver->failed = false;
        raft_driver_persisted(driver, 0, ERR_SYSTEM);
        do_update(driver); /* a leader's last words */
    }
}
