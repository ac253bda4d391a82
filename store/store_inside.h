/* store/store_inside.h - what the files of the store share: channels, keys, tables. Nobody else includes
 * this. In the flow: store.c (open, close, durability), store_channels.c, store_messages.c, store_state.c,
 * store_recover.c, store_clean.c. */
#ifndef STORE_STORE_INSIDE_H
#define STORE_STORE_INSIDE_H

#include "core/base/list.h"
#include "core/loop/timers.h"
#include "store/message_index.h"
#include "store/store.h"

enum {
    STORE_CLEAN_BYTES_PER_TICK = 1024 * 1024, /* looked at, to be moved or not: about a millisecond */
    STORE_AGES_PER_TICK = 20000,              /* messages dropped for their age, likewise */
    STORE_PUT_WANTED_PARTS = 64,              /* additions after which the whole should be put */
    STORE_PARTS_MAX = 4096,                   /* additions that a key can have */
};

struct store_channel {
    struct store_channel *next_by_name; /* in their buckets */
    struct store_channel *next_by_number;
    struct list_link link; /* in store.channels */
    struct store *store;
    void *owner;
    uint32_t number;
    uint32_t subscription_count;
    struct store_limits limits;
    struct message_index index;
    uint64_t floor; /* below this, nothing lives */
    uint64_t last;
    uint64_t bytes;
    uint64_t dropped_count;
    int64_t last_activity_ns;
    uint64_t record_position; /* of what describes it in the log; 0: nothing yet */
    struct timer age;         /* set while it has messages that get old */
    struct list keys;
    char *name; /* NULL while recovery has met records of it only */
    uint32_t name_count;
    bool private; /* the owner's own: in no figure, list or limit of users */
};

struct state_part {
    uint64_t position;
    uint32_t payload_bytes;
};

struct state_key {
    struct state_key *next; /* in its bucket */
    struct list_link link;  /* in its channel's keys, or the store's */
    struct store_channel *channel;
    struct state_part *parts; /* what was put, then what was added */
    uint32_t part_count;
    uint32_t part_capacity;
    uint32_t put_bytes;
    uint32_t added_bytes;
    uint8_t kind;
    uint8_t id_count;
    uint8_t id[];
};

struct store {
    enum store_kind kind;
    struct wal *wal; /* NULL: a memory store */
    struct store_limits limits;
    struct store_limits_rule *rules;
    uint32_t rule_count;
    uint32_t channels_max;
    uint32_t garbage_percent;
    bool give_up_damaged;

    struct list channels;   /* in the order of creation */
    uint32_t channel_count; /* private ones too */
    uint32_t private_count;
    uint32_t next_number;
    struct store_channel **by_name; /* buckets, a power of two, as many for numbers */
    struct store_channel **by_number;
    uint32_t bucket_count;
    struct store_channel *latest; /* recovery asks for the same one again and again */

    struct list keys; /* of no channel */
    struct state_key **key_buckets;
    uint32_t key_bucket_count;
    uint32_t key_count;

    struct timers ages;
    struct store_sharing sharing;
    uint64_t hash_seed;
    uint64_t position; /* of a memory store: counts changes */
    uint64_t message_count;
    uint64_t message_bytes;
    uint64_t data_memory_bytes;
    uint64_t moved_records;
    int64_t last_tick_ns;
    char why[STORE_WHY_BYTES];
};

void store_say(struct store *store, const char *format, ...) PRINTF_LIKE(2, 3);

/* ---- store_channels.c ---- */
MUST_USE enum err channel_add(struct store *store, uint32_t number, struct store_channel **channel);
MUST_USE enum err channel_name_set(struct store *store, struct store_channel *channel, struct bytes name);
/* All channels, private ones too. */
struct store_channel *channel_next(const struct store *store, const struct store_channel *channel);
struct store_channel *channel_by_number(struct store *store, uint32_t number);
void channel_forget(struct store *store, struct store_channel *channel);

/* Writes what describes the channel; `exact`: nothing above its last lives. */
MUST_USE enum err channel_describe(struct store *store, struct store_channel *channel, bool exact);

/* Reads such a description. */
struct channel_description {
    uint64_t floor;
    uint64_t last;
    bool exact;
    struct bytes name;
};
bool channel_description_decode(struct bytes payload, struct channel_description *description);

/* ---- store_messages.c ---- */
/* One message more or less, of so many counted bytes. */
void message_count_add(struct store *store, struct store_channel *channel, uint64_t bytes);
void message_count_take(struct store *store, struct store_channel *channel, uint64_t bytes);
/* The data of a message whose record is another one's. ERR_DAMAGED: it cannot be. */
MUST_USE enum err message_make(struct store *store, const struct store_channel *channel,
                               const struct message_entry *entry, const struct record *record,
                               struct bytes *data);
void message_drop_first(struct store *store, struct store_channel *channel);
void messages_trim_below(struct store *store, struct store_channel *channel, uint64_t sequence);
void messages_cut_above(struct store *store, struct store_channel *channel, uint64_t sequence);
void limits_apply(struct store *store, struct store_channel *channel);

/* Sets the timer for the oldest message, where there is one and an age. */
MUST_USE enum err age_arm(struct store *store, struct store_channel *channel);

/* Drops what is too old; at most `budget`, which it lowers. */
void ages_apply(struct store *store, int64_t now_ns, uint32_t budget);

/* ---- store_state.c ---- */
struct state_fields {
    enum store_state_kind kind;
    struct bytes id;
    struct bytes rest;   /* behind them */
    uint32_t part_count; /* of a put */
};
bool state_fields_decode(struct bytes payload, struct state_fields *fields);
struct state_key *state_find(const struct store *store, enum store_state_kind kind,
                             const struct store_channel *channel, struct bytes id);
/* For recovery: the record is there already. */
MUST_USE enum err state_recovered(struct store *store, const struct record *record,
                                  struct store_channel *channel);
void state_forget(struct store *store, struct state_key *key);
/* Puts the whole key again, at the end of the log. */
MUST_USE enum err state_move(struct store *store, struct state_key *key);

/* ---- store_recover.c, store_clean.c ---- */
MUST_USE enum err store_visit(void *context, const struct wal_visit *visit);
MUST_USE enum err store_recovered(struct store *store, int64_t now_ns);
void store_clean(struct store *store, uint32_t budget_bytes);

#endif
