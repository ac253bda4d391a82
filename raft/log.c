/* raft/log.c - the ring behind log.h. */
#include "raft/log.h"

#include "core/base/check.h"
#include "core/base/memory.h"

enum err raft_log_init(struct raft_log *log, uint64_t capacity)
{
    ASSERT(capacity > 0 && (capacity & (capacity - 1)) == 0);
    *log = (struct raft_log){.capacity = capacity, .first_index = 1};
    log->slots = memory_new(capacity * sizeof *log->slots);
    return log->slots == NULL ? ERR_MEMORY : ERR_OK;
}

void raft_log_close(struct raft_log *log)
{
    memory_free(log->slots);
    *log = (struct raft_log){0};
}

uint64_t raft_log_room(const struct raft_log *log)
{
    return log->capacity - (log->last_index + 1 - log->first_index);
}

static struct raft_log_slot *slot(const struct raft_log *log, uint64_t index)
{
    return &log->slots[index & (log->capacity - 1)];
}

const struct raft_log_slot *raft_log_slot(const struct raft_log *log, uint64_t index)
{
    ASSERT(index >= log->first_index && index <= log->last_index);
    return slot(log, index);
}

uint64_t raft_log_term(const struct raft_log *log, uint64_t index)
{
    if (index + 1 == log->first_index)
        return log->before_term;
    if (index < log->first_index || index > log->last_index)
        return 0;
    return slot(log, index)->term;
}

uint64_t raft_log_last_term(const struct raft_log *log)
{
    return raft_log_term(log, log->last_index);
}

bool raft_log_matches(const struct raft_log *log, uint64_t index, uint64_t term)
{
    return index + 1 >= log->first_index && index <= log->last_index && raft_log_term(log, index) == term;
}

void raft_log_append(struct raft_log *log, const struct raft_entry *entry)
{
    ASSERT(raft_log_room(log) > 0);
    ASSERT(entry->term >= raft_log_last_term(log));
    log->last_index++;
    *slot(log, log->last_index) = (struct raft_log_slot){
        .term = entry->term, .data_bytes = (uint32_t)entry->data.count, .kind = (uint32_t)entry->kind};
}

void raft_log_truncate(struct raft_log *log, uint64_t last_index)
{
    ASSERT(last_index + 1 >= log->first_index && last_index <= log->last_index);
    log->last_index = last_index;
}

void raft_log_compact(struct raft_log *log, uint64_t index)
{
    ASSERT(index >= log->first_index && index <= log->last_index);
    log->before_term = slot(log, index)->term;
    log->first_index = index + 1;
}

void raft_log_reset(struct raft_log *log, uint64_t index, uint64_t term)
{
    log->first_index = index + 1;
    log->last_index = index;
    log->before_term = term;
}

uint64_t raft_log_agreement(const struct raft_log *log, uint64_t index, uint64_t term)
{
    uint64_t at = index < log->last_index ? index : log->last_index;
    while (at >= log->first_index && slot(log, at)->term > term)
        at--;
    return at + 1 < log->first_index ? log->first_index - 1 : at;
}
