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
    SUBJECT_BYTES = 1024,
    EXPIRED_PER_LOOK = 65536, /* counts, some 100 us; of one server all, even if it has more */
};

struct told {
    struct {
        struct bytes id;
    } server;
    struct bytes account;
    int64_t clients;
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

void system_counts_take(struct control *control, const struct system_request *request)
{
    struct system *system = &control->system;
    struct told told = {0};
    struct json_document document = {0};
    if (json_read(&document, request->body, &told_shape, &told) != ERR_OK)
        return;
    /* This server hears itself too, and is none of its peers. */
    struct system_peer *peer =
        told.server.id.count == SYSTEM_ID_BYTES ? system_peer_find(system, told.server.id) : NULL;
    const struct security_account *account =
        security_account_find(&control->snapshot->options->security.accounts, told.account);
    if (peer != NULL && account != NULL && told.clients >= 0 && room_make(system, peer, account->id)) {
        uint32_t count = told.clients > UINT32_MAX ? UINT32_MAX : (uint32_t)told.clients;
        count_set(system, peer, account->id, count);
        peer->counts[account->id].heard_ns = control->now_ns;
        tell(control, account);
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

static void ask(struct control *control, const struct security_account *account)
{
    char subject[SUBJECT_BYTES], inbox[SUBJECT_BYTES];
    struct json_output document;
    int count = snprintf(subject, sizeof subject, "$SYS.REQ.ACCOUNT.%.*s.CONNS", BYTES_PRINTF(account->name));
    int inbox_count = snprintf(inbox, sizeof inbox, "$SYS._INBOX.%s." SYSTEM_COUNTS_INBOX ".%u",
                               control->server_id, account->id);
    if (count < 0 || count >= SUBJECT_BYTES || inbox_count < 0 || inbox_count >= SUBJECT_BYTES)
        return;
    json_output_init(&document, 0, SYSTEM_REPLY_BYTES_MAX);
    json_put_object(&document, NULL);
    system_put_server(&document, control, "server");
    json_put_text(&document, "acc", account->name);
    json_put_object_end(&document);
    struct system_message message = {
        .account = control->snapshot->options->security.accounts.system->id,
        .subject = bytes_of(subject, (size_t)count),
        .reply = bytes_of(inbox, (size_t)inbox_count),
        .body = bytes_of(document.data, document.count),
    };
    if (!document.failed)
        (void)system_publish(control, &message);
    json_output_close(&document);
}

void system_counts_ask(struct control *control)
{
    const struct security_accounts *accounts = &control->snapshot->options->security.accounts;
    uint32_t asked = 0;
    if (!control->system.counts_wanted)
        return;
    control->system.counts_wanted = false;
    for (uint32_t i = 0; i < accounts->count && asked < ASKED_MAX; i++) {
        if (!limited(accounts->all[i]))
            continue;
        ask(control, accounts->all[i]);
        asked++;
    }
}

void system_counts_close(struct system *system)
{
    for (uint32_t i = 0; i < system->peer_count; i++)
        memory_free(system->peers[i].counts);
    memory_free(system->elsewhere);
}
