/* shards/control/system_counts.c - how many clients accounts have on other servers, so that an account's
 * `max_connections` holds over all of them (docs/accounts.md 5).
 * In the flow:  $SYS.SERVER.ACCOUNT.*.CONNS of another server -> system_counts_take() -> MAIL_ACCOUNT_COUNT
 * -> accounts_count_take() of each shard || a new server -> system_counts_ask() -> its answer -> the same At
 * the bounds: servers that are not known yet are not heard, so there are SYSTEM_PEERS_MAX of them, each with
 * a number for every account's id; ASKED_MAX accounts are asked for, of others the heartbeats tell; shards
 * are told sums of accounts with a limit alone; of very many counts some are looked at later for whether they
 * were said again. Without memory a server's clients do not count until it tells them again. */
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/codec/json.h"
#include "shards/control/control_internal.h"
#include "shards/mail.h"

#include <stdio.h>

enum {
    ASKED_MAX = 256,
    INBOX_BYTES = 128,
    EXPIRED_PER_LOOK = 65536, /* counts, some 100 us; of one server all, even if it has more */
};

struct told {
    struct {
        struct bytes id;
    } server;
    struct bytes account;
    int64_t clients;
};
struct told_of_all {
    struct {
        struct bytes id;
    } server;
    struct {
        struct bytes accounts;
    } data;
};

static const struct json_field server_fields[] = {
    {"id", JSON_KIND_TEXT, 0, NULL},
};
static const struct json_shape server_shape = {server_fields, COUNT_OF(server_fields)};
static const struct json_field told_fields[] = {
    {"server", JSON_KIND_OBJECT, offsetof(struct told, server), &server_shape},
    {"acc", JSON_KIND_TEXT, offsetof(struct told, account), NULL},
    {"conns", JSON_KIND_INT64, offsetof(struct told, clients), NULL},
};
static const struct json_shape told_shape = {told_fields, COUNT_OF(told_fields)};
static const struct json_field data_fields[] = {
    {"account_statz", JSON_KIND_ARRAY, 0, NULL},
};
static const struct json_shape data_shape = {data_fields, COUNT_OF(data_fields)};
static const struct json_field all_fields[] = {
    {"server", JSON_KIND_OBJECT, offsetof(struct told_of_all, server), &server_shape},
    {"data", JSON_KIND_OBJECT, offsetof(struct told_of_all, data), &data_shape},
};
static const struct json_shape all_shape = {all_fields, COUNT_OF(all_fields)};

/* ---- to the shards ---- */

static bool limited(const struct security_account *account)
{
    return account->limits.connections >= 0;
}

static void put(struct control *control, uint32_t id)
{
    struct system_elsewhere *elsewhere = &control->system.elsewhere[id];
    struct mail_account_count mail = {.kind = MAIL_ACCOUNT_COUNT, .account = id, .count = elsewhere->told};
    for (uint32_t to = 0; to < control->shard_count; to++) {
        uint64_t bit = UINT64_C(1) << to;
        if ((elsewhere->untold & bit) != 0 && control_put(control, to, &mail, sizeof mail))
            elsewhere->untold &= ~bit;
    }
    control->system.counts_owed |= elsewhere->untold != 0;
}

static void tell(struct control *control, const struct security_account *account)
{
    if (!limited(account) || account->id >= control->system.elsewhere_capacity)
        return;
    struct system_elsewhere *elsewhere = &control->system.elsewhere[account->id];
    uint32_t count = elsewhere->count > UINT32_MAX ? UINT32_MAX : (uint32_t)elsewhere->count;
    if (elsewhere->told == count)
        return;
    elsewhere->told = count;
    elsewhere->untold = (UINT64_C(1) << control->shard_count) - 1;
    put(control, account->id);
}

static void tell_all(struct control *control)
{
    const struct security_accounts *accounts = &control->snapshot->options->security.accounts;
    for (uint32_t i = 0; i < accounts->count; i++)
        tell(control, accounts->all[i]);
}

void system_counts_reloaded(struct control *control)
{
    tell_all(control);
}

bool system_counts_step(struct control *control)
{
    struct system *system = &control->system;
    if (!system->counts_owed)
        return false;
    system->counts_owed = false;
    for (uint32_t id = 0; id < system->elsewhere_capacity; id++) {
        if (system->elsewhere[id].untold != 0)
            put(control, id);
    }
    return system->counts_owed;
}

/* ---- from other servers ---- */

/* Room for that id on both sides. False: memory is out. */
static bool room_make(struct system *system, struct system_peer *peer, uint32_t id)
{
    uint32_t capacity = (id + 1) * 2;
    if (id >= system->elsewhere_capacity) {
        struct system_elsewhere *elsewhere = memory_grow(system->elsewhere, capacity * sizeof *elsewhere);
        if (elsewhere == NULL)
            return false;
        memset(elsewhere + system->elsewhere_capacity, 0,
               (capacity - system->elsewhere_capacity) * sizeof *elsewhere);
        system->elsewhere = elsewhere;
        system->elsewhere_capacity = capacity;
    }
    if (id >= peer->account_capacity) {
        capacity = system->elsewhere_capacity; /* never more: what a server told has its place in the sum */
        struct system_peer_count *counts = memory_grow(peer->counts, capacity * sizeof *counts);
        if (counts == NULL)
            return false;
        memset(counts + peer->account_capacity, 0, (capacity - peer->account_capacity) * sizeof *counts);
        peer->counts = counts;
        peer->account_capacity = capacity;
    }
    return true;
}

static void count_set(struct system *system, struct system_peer *peer, uint32_t id, uint32_t count)
{
    system->elsewhere[id].count += count;
    system->elsewhere[id].count -= peer->counts[id].clients;
    peer->counts[id].clients = count;
}

/* NULL: unknown. This server hears itself too, and is none of its peers. */
static struct system_peer *peer_of(struct system *system, struct bytes id)
{
    return id.count == SYSTEM_ID_BYTES ? system_peer_find(system, id) : NULL;
}

/* `at`: for security_account_find_next(). */
static void take(struct control *control, struct system_peer *peer, const struct told *told, uint32_t *at)
{
    const struct security_account *account =
        security_account_find_next(&control->snapshot->options->security.accounts, told->account, at);
    if (account == NULL || told->clients < 0 || !room_make(&control->system, peer, account->id))
        return;
    uint32_t count = told->clients > UINT32_MAX ? UINT32_MAX : (uint32_t)told->clients;
    count_set(&control->system, peer, account->id, count);
    peer->counts[account->id].heard_ns = control->now_ns;
    tell(control, account);
}

void system_counts_take(struct control *control, const struct system_request *request)
{
    struct told told = {0};
    struct json_document document = {0};
    uint32_t at = 0;
    if (json_read(&document, request->body, &told_shape, &told) != ERR_OK)
        return;
    struct system_peer *peer = peer_of(&control->system, told.server.id);
    if (peer != NULL)
        take(control, peer, &told, &at);
    json_close(&document);
}

void system_counts_take_all(struct control *control, const struct system_request *request)
{
    struct told_of_all all = {0};
    struct json_document document = {0};
    struct bytes one;
    uint32_t at = 0; /* answers are in the order of the question */
    if (json_read(&document, request->body, &all_shape, &all) != ERR_OK)
        return;
    struct system_peer *peer = peer_of(&control->system, all.server.id);
    for (uint32_t i = 0; peer != NULL && i < ASKED_MAX && json_array_next(&all.data.accounts, &one); i++) {
        struct told told = {0};
        struct json_document inner = {0};
        if (json_read(&inner, one, &told_shape, &told) == ERR_OK)
            take(control, peer, &told, &at);
        json_close(&inner);
    }
    json_close(&document);
}

/* The event with the last count may be lost: then nothing else tells that the clients have gone. True: some
 * counts have changed. */
static bool expire(struct control *control, struct system_peer *peer)
{
    bool some = false;
    for (uint32_t id = 0; id < peer->account_capacity; id++) {
        if (peer->counts[id].clients == 0 || control->now_ns - peer->counts[id].heard_ns <= SYSTEM_LOST_NS)
            continue;
        count_set(&control->system, peer, id, 0);
        some = true;
    }
    return some;
}

void system_counts_expire(struct control *control)
{
    struct system *system = &control->system;
    bool some = false;
    uint32_t looked = 0;
    for (uint32_t i = 0; i < system->peer_count && looked < EXPIRED_PER_LOOK; i++) {
        struct system_peer *peer = &system->peers[system->expire_next++ % system->peer_count];
        some |= expire(control, peer);
        looked += peer->account_capacity;
    }
    if (some)
        tell_all(control);
}

void system_counts_forget(struct control *control, struct system_peer *peer)
{
    for (uint32_t id = 0; id < peer->account_capacity; id++)
        count_set(&control->system, peer, id, 0);
    if (peer->counts != NULL)
        tell_all(control);
    memory_free(peer->counts);
    peer->counts = NULL;
    peer->account_capacity = 0;
}

static struct bytes inbox_of(const struct control *control, char out[INBOX_BYTES])
{
    int count = snprintf(out, INBOX_BYTES, "$SYS._INBOX.%s." SYSTEM_COUNTS_INBOX, control->server_id);
    return bytes_of(out, (size_t)count);
}

bool system_counts_inbox(const struct control *control, struct bytes reply)
{
    char inbox[INBOX_BYTES];
    return bytes_equal(reply, inbox_of(control, inbox));
}

/* One question for all accounts: who has no clients of them is silent. */
void system_counts_ask(struct control *control)
{
    const struct security_accounts *accounts = &control->snapshot->options->security.accounts;
    struct json_output document;
    char inbox[INBOX_BYTES];
    uint32_t asked = 0;
    if (!control->system.counts_wanted)
        return;
    control->system.counts_wanted = false;
    json_output_init(&document, 0, SYSTEM_REPLY_BYTES_MAX);
    json_put_object(&document, NULL);
    json_put_array(&document, "accounts");
    for (uint32_t i = 0; i < accounts->count && asked < ASKED_MAX; i++) {
        if (!limited(accounts->all[i]))
            continue;
        json_put_text(&document, NULL, accounts->all[i]->name);
        asked++;
    }
    json_put_array_end(&document);
    json_put_object_end(&document);
    struct system_message message = {
        .account = accounts->system->id,
        .subject = TEXT("$SYS.REQ.ACCOUNT.PING.STATZ"),
        .reply = inbox_of(control, inbox),
        .body = bytes_of(document.data, document.count),
    };
    if (asked > 0 && !document.failed) /* an empty list would mean all */
        (void)system_publish(control, &message);
    json_output_close(&document);
}

void system_counts_close(struct system *system)
{
    for (uint32_t i = 0; i < system->peer_count; i++)
        memory_free(system->peers[i].counts);
    memory_free(system->elsewhere);
}
