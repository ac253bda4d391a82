/* core/subject/subject_set.c - see subject_set.h. */
#include "core/subject/subject_set.h"

#include "core/base/check.h"
#include "core/base/hash.h"
#include "core/base/memory.h"
#include "core/base/random.h"
#include "core/subject/index_table.h"
#include "core/subject/subject.h"

#include <stddef.h>
#include <string.h>

/* Packed, because there may be millions: 14 bytes and the subject. */
struct __attribute__((packed, aligned(4))) entry {
    uint32_t hash;
    union __attribute__((packed)) {
        uint64_t numbers;        /* never 0 while it is in the table */
        struct entry *next_gone; /* from its last number's going until it is freed: struct removal */
    };
    uint16_t count;
    uint8_t text[];
};
enum { ENTRY_HEADER_BYTES = offsetof(struct entry, text) };
_Static_assert((int)ENTRY_HEADER_BYTES == 14, "what subject_set.h and docs/gateways.md say of its size");
_Static_assert((int)SUBJECT_SET_TEXT_BYTES_MAX <= UINT16_MAX, "struct entry.count");

struct subject_set {
    struct index_table entries;
    uint64_t seed;
    uint64_t entry_bytes;
};

/* Taking a number away from what a walk meets. */
struct removal {
    uint64_t bit;
    const struct bytes *pattern; /* NULL: from all */
    uint32_t seen;
    uint32_t removed;
    struct entry *gone; /* a walk must not change the table: freed behind each step */
};

static struct bytes entry_subject(const struct entry *entry);
static bool entry_same(const uint32_t *item, const void *key);
static struct entry *entry_find(const struct subject_set *set, struct bytes subject, uint32_t hash);
static struct entry *entry_new(struct subject_set *set, struct bytes subject, uint32_t hash);
static void entry_free(struct subject_set *set, struct entry *entry);
static uint32_t removal_step(struct subject_set *set, struct removal *removal, uint32_t cursor);

struct subject_set *subject_set_new(void)
{
    struct subject_set *set = memory_new(sizeof *set);
    if (set != NULL && random_secure(&set->seed, sizeof set->seed) != ERR_OK) {
        memory_free(set);
        return NULL;
    }
    return set;
}

void subject_set_free(struct subject_set *set)
{
    if (set == NULL)
        return;
    for (uint32_t *item = index_table_next(&set->entries, NULL); item != NULL;) {
        /* The table is only read here, so the walk goes on behind one that is freed in a moment. */
        uint32_t *next = index_table_next(&set->entries, item);
        entry_free(set, CONTAINER_OF(item, struct entry, hash));
        item = next;
    }
    ASSERT(set->entry_bytes == 0);
    index_table_close(&set->entries);
    memory_free(set);
}

enum err subject_set_add(struct subject_set *set, struct bytes subject, unsigned number, bool *added)
{
    ASSERT(number < SUBJECT_SET_NUMBERS);
    *added = false;
    if (subject.count > SUBJECT_SET_TEXT_BYTES_MAX)
        return ERR_FULL;
    uint32_t hash = (uint32_t)hash_bytes(subject, set->seed);
    struct entry *entry = entry_find(set, subject, hash);
    if (entry == NULL) {
        enum err err = index_table_reserve(&set->entries);
        if (err != ERR_OK)
            return err;
        entry = entry_new(set, subject, hash);
        if (entry == NULL)
            return ERR_MEMORY;
        index_table_put(&set->entries, &entry->hash);
    }
    *added = (entry->numbers >> number & 1) == 0;
    entry->numbers |= 1ULL << number;
    return ERR_OK;
}

bool subject_set_remove(struct subject_set *set, struct bytes subject, unsigned number)
{
    ASSERT(number < SUBJECT_SET_NUMBERS);
    struct entry *entry = entry_find(set, subject, (uint32_t)hash_bytes(subject, set->seed));
    if (entry == NULL || (entry->numbers >> number & 1) == 0)
        return false;
    entry->numbers &= ~(1ULL << number);
    if (entry->numbers == 0) {
        index_table_erase(&set->entries, &entry->hash);
        entry_free(set, entry);
    }
    return true;
}

uint32_t subject_set_remove_matching(struct subject_set *set, struct bytes pattern, unsigned number)
{
    ASSERT(number < SUBJECT_SET_NUMBERS);
    struct removal removal = {.bit = 1ULL << number, .pattern = &pattern};
    uint32_t cursor = 0;
    do {
        cursor = removal_step(set, &removal, cursor);
    } while (cursor != 0);
    return removal.removed;
}

bool subject_set_clear(struct subject_set *set, unsigned number, uint32_t *looks, uint32_t *cursor)
{
    ASSERT(number < SUBJECT_SET_NUMBERS);
    struct removal removal = {.bit = 1ULL << number};
    bool done = false;
    while (!done && removal.seen < *looks) {
        *cursor = removal_step(set, &removal, *cursor);
        removal.seen++; /* an empty place is a look too */
        done = *cursor == 0;
    }
    *looks -= removal.seen < *looks ? removal.seen : *looks;
    return done;
}

uint64_t subject_set_find(const struct subject_set *set, struct bytes subject)
{
    const struct entry *entry = entry_find(set, subject, (uint32_t)hash_bytes(subject, set->seed));
    return entry == NULL ? 0 : entry->numbers;
}

struct subject_set_figures subject_set_figures(const struct subject_set *set)
{
    return (struct subject_set_figures){
        .subjects = set->entries.count,
        .bytes = sizeof *set + index_table_bytes(&set->entries) + set->entry_bytes,
    };
}

static struct bytes entry_subject(const struct entry *entry)
{
    return bytes_of(entry->text, entry->count);
}

static bool entry_same(const uint32_t *item, const void *key)
{
    const struct bytes *subject = key;
    return bytes_equal_short(entry_subject(CONTAINER_OF(item, const struct entry, hash)), *subject);
}

static struct entry *entry_find(const struct subject_set *set, struct bytes subject, uint32_t hash)
{
    uint32_t *item = index_table_find(&set->entries, hash, entry_same, &subject);
    return item == NULL ? NULL : CONTAINER_OF(item, struct entry, hash);
}

static struct entry *entry_new(struct subject_set *set, struct bytes subject, uint32_t hash)
{
    struct entry *entry = memory_new(ENTRY_HEADER_BYTES + subject.count);
    if (entry == NULL)
        return NULL;
    entry->hash = hash;
    entry->count = (uint16_t)subject.count;
    if (subject.count > 0)
        memcpy(entry->text, subject.data, subject.count);
    set->entry_bytes += ENTRY_HEADER_BYTES + subject.count;
    return entry;
}

static void entry_free(struct subject_set *set, struct entry *entry)
{
    set->entry_bytes -= ENTRY_HEADER_BYTES + (uint64_t)entry->count;
    memory_free(entry);
}

/* A step meets an entry once: so none is read again whose numbers have become a link. */
static void removal_visit(void *context, uint32_t *item)
{
    struct removal *removal = context;
    struct entry *entry = CONTAINER_OF(item, struct entry, hash);
    removal->seen++;
    if ((entry->numbers & removal->bit) == 0 ||
        (removal->pattern != NULL && !subject_matches(*removal->pattern, entry_subject(entry))))
        return;
    removal->removed++;
    entry->numbers &= ~removal->bit;
    if (entry->numbers == 0) {
        entry->next_gone = removal->gone;
        removal->gone = entry;
    }
}

static uint32_t removal_step(struct subject_set *set, struct removal *removal, uint32_t cursor)
{
    cursor = index_table_step(&set->entries, cursor, removal_visit, removal);
    while (removal->gone != NULL) {
        struct entry *entry = removal->gone;
        removal->gone = entry->next_gone;
        index_table_erase(&set->entries, &entry->hash);
        entry_free(set, entry);
    }
    return cursor;
}
