/* shards/callouts.c - see callouts.h. */
#include "shards/callouts.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/security/callout.h"
#include "core/security/xkey.h"
#include "net/client.h"
#include "shards/connection_tls.h"
#include "shards/router.h"
#include "shards/shard.h"

#include <stdio.h>

enum {
    BASE = 62,
    SLOT_LETTERS = 3, /* of a token: which place; the rest is random */
    REPLY_BYTES = CALLOUTS_INBOX_BYTES + CALLOUTS_TOKEN_BYTES,
    HEADER_BYTES_MAX = 128,
    ANSWER_BYTES_MAX = JWT_BYTES_MAX + XKEY_SEAL_BYTES + 1, /* more is too much, however much it is */
    SIZE_TEXT_BYTES = 16,
};
_Static_assert(CALLOUTS_MAX <= BASE * BASE * BASE, "three letters say the place");

_Static_assert(sizeof CALLOUT_INBOX - 1 + 8 + 1 == CALLOUTS_INBOX_BYTES, "eight letters and a dot");

static const char letters[BASE + 1] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/* A login that a service is asked about. */
struct callout_wait {
    struct publisher_place place;
    char token[CALLOUTS_TOKEN_BYTES];
    char user_nkey[NKEY_TEXT_BYTES];
    bool answered; /* what else comes is not looked at */
};

/* An answer to it that has come. */
struct answer {
    struct list_link link; /* in callouts.answers */
    char token[CALLOUTS_TOKEN_BYTES];
    size_t count;
    uint8_t payload[];
};

/* ---- who waits ---- */

static void letters_fill(struct shard *shard, char *to, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = letters[random_below(&shard->context.random, BASE)];
}

/* A place for one more; its number from 1. 0: there is none, or no memory. */
static uint32_t wait_take(struct shard *shard)
{
    struct callouts *callouts = &shard->callouts;
    if (callouts->waits == NULL)
        callouts->waits = memory_new(CALLOUTS_MAX * sizeof *callouts->waits);
    if (callouts->waits == NULL || callouts->wait_count == CALLOUTS_MAX)
        return 0;
    uint32_t slot = callouts->search_at;
    while (callouts->waits[slot] != NULL)
        slot = (slot + 1) % CALLOUTS_MAX;
    struct callout_wait *wait = memory_new(sizeof *wait);
    if (wait == NULL)
        return 0;
    uint32_t rest = slot;
    for (uint32_t i = 0; i < SLOT_LETTERS; i++, rest /= BASE)
        wait->token[i] = letters[rest % BASE];
    letters_fill(shard, wait->token + SLOT_LETTERS, CALLOUTS_TOKEN_BYTES - SLOT_LETTERS);
    callouts->waits[slot] = wait;
    callouts->search_at = (slot + 1) % CALLOUTS_MAX;
    callouts->wait_count++;
    return slot + 1;
}

static void wait_give(struct callouts *callouts, uint32_t number)
{
    memory_free(callouts->waits[number - 1]);
    callouts->waits[number - 1] = NULL;
    callouts->wait_count--;
    callouts->full_told = false;
}

/* The place that a token names; NULL: nobody waits there for it. */
static struct callout_wait *wait_find(const struct callouts *callouts, const char *token)
{
    uint32_t slot = 0;
    for (uint32_t i = SLOT_LETTERS; i-- > 0;) {
        const char *letter = token[i] == 0 ? NULL : strchr(letters, token[i]);
        if (letter == NULL)
            return NULL;
        slot = slot * BASE + (uint32_t)(letter - letters);
    }
    struct callout_wait *wait = slot < CALLOUTS_MAX && callouts->waits != NULL ? callouts->waits[slot] : NULL;
    return wait != NULL && memcmp(wait->token, token, CALLOUTS_TOKEN_BYTES) == 0 ? wait : NULL;
}

void callouts_forget(struct shard *shard, struct client *client)
{
    if (client->callout != 0)
        wait_give(&shard->callouts, client->callout);
    client->callout = 0;
}

/* ---- asking ---- */

/* Puts the inbox into the account's index, unless it is there. */
static enum host_result inbox_open(struct shard *shard, struct shard_account *account)
{
    struct callouts *callouts = &shard->callouts;
    char pattern[CALLOUTS_INBOX_BYTES + 1];
    if (LIKELY(callouts->in == account))
        return HOST_DONE;
    if (callouts->in != NULL) { /* a reload has made the account anew */
        enum host_result left = router_unsubscribe(shard, callouts->in, &callouts->inbox.base);
        if (left != HOST_DONE)
            return left;
        callouts->in = NULL;
    }
    memcpy(callouts->inbox_text, CALLOUT_INBOX, sizeof CALLOUT_INBOX - 1);
    letters_fill(shard, callouts->inbox_text + sizeof CALLOUT_INBOX - 1, 8);
    callouts->inbox_text[CALLOUTS_INBOX_BYTES - 1] = '.';
    memcpy(pattern, callouts->inbox_text, CALLOUTS_INBOX_BYTES);
    pattern[CALLOUTS_INBOX_BYTES] = '*';
    callouts->inbox = (struct foreign){.kind = FOREIGN_CALLOUTS};
    enum host_result result = router_subscribe(shard, account, &callouts->inbox.base,
                                               bytes_of(pattern, sizeof pattern), (struct bytes){NULL, 0});
    if (result != HOST_DONE)
        return result;
    callouts->inbox.base.foreign = 1;
    callouts->in = account;
    return HOST_DONE;
}

/* What the service is told of the client's TLS. */
static void tls_fill(struct callout_request *request, const struct connection *connection,
                     struct bytes pem[TLS_PEERS_MAX], struct arena *arena)
{
    const struct connection_tls *tls = connection->tls;
    if (tls == NULL || tls->state != CONNECTION_TLS_OPEN || !tls_stream_open(tls->stream))
        return;
    request->tls_version = text(tls_stream_version(tls->stream));
    request->tls_suite = text(tls_stream_suite(tls->stream));
    request->certificates = pem;
    request->certificate_count =
        tls_stream_certificates(tls->stream, pem, &request->certificates_verified, arena);
}

/* One who sent nothing is asked about as no_auth_user, if there is one. */
static void unannounced_fill(const struct client *client, struct credentials *credentials)
{
    const struct security_user *user = client->user;
    if (client->login != AUTHENTICATE_NOBODY || user == NULL || user->nkey.count > 0)
        return;
    credentials->user = user->name;
    credentials->pass = user->password;
}

/* The question as a token. Nothing (data NULL): no memory. */
static struct bytes question_make(struct shard *shard, struct connection *connection,
                                  const struct callout_wait *wait, struct arena *arena)
{
    const struct client *client = &connection->client;
    const struct security_options *security = shard->context.security;
    const struct server_options *options = shard->snapshot->options;
    struct credentials credentials = client_credentials(client);
    struct bytes pem[TLS_PEERS_MAX];
    int64_t now_s = clock_wall_ns() / NS_PER_SECOND;
    struct callout_request request = {
        .options = &security->callout,
        .user_nkey = text(wait->user_nkey),
        .now_s = now_s,
        .expires_s = now_s + security->timeout_ns / NS_PER_SECOND,
        .server_name = shard->info.server_name,
        .server_host = shard->info.host,
        .server_id = shard->info.server_id,
        .server_version = shard->info.version,
        .cluster = shard->info.cluster,
        .tags = options->server_tags,
        .tag_count = options->server_tag_count,
        .credentials = &credentials,
        .host = text(client->address),
        .name = connect_text(&client->connect, CONNECT_NAME),
        .lang = connect_text(&client->connect, CONNECT_LANG),
        .version = connect_text(&client->connect, CONNECT_VERSION),
        .protocol = client->connect.protocol,
        .cid = client->cid,
    };
    unannounced_fill(client, &credentials);
    if (security->callout.xkey.count > 0)
        request.server_xkey = shard->info.xkey;
    tls_fill(&request, connection, pem, arena);
    return callout_request_make(arena, &request, shard->keys->seed);
}

/* Seals the question when the service has a key for that. `body` gets headers and payload. */
static bool body_make(struct shard *shard, struct bytes question, struct arena *arena, struct bytes *body,
                      uint32_t *header_bytes)
{
    const struct callout_options *callout = &shard->context.security->callout;
    *body = question;
    *header_bytes = 0;
    if (callout->xkey.count == 0)
        return true;
    char *to = arena_new(arena, HEADER_BYTES_MAX + XKEY_SEAL_BYTES + question.count);
    if (to == NULL)
        return false;
    int count = snprintf(to, HEADER_BYTES_MAX, "NATS/1.0\r\nNats-Server-Xkey: %.*s\r\n\r\n",
                         BYTES_PRINTF(shard->info.xkey));
    ASSERT(count > 0 && count < HEADER_BYTES_MAX);
    *header_bytes = (uint32_t)count;
    *body = bytes_of(to, (size_t)count + XKEY_SEAL_BYTES + question.count);
    return xkey_seal((uint8_t *)to + count, question, shard->keys->xkey_seed, callout->xkey_raw) == ERR_OK;
}

static bool question_publish(struct shard *shard, struct connection *connection, struct callout_wait *wait)
{
    struct arena arena = {0};
    struct bytes body;
    uint32_t header_bytes;
    char reply[REPLY_BYTES], total_size[SIZE_TEXT_BYTES], header_size[SIZE_TEXT_BYTES];
    struct bytes question = question_make(shard, connection, wait, &arena);
    bool good = question.data != NULL && body_make(shard, question, &arena, &body, &header_bytes);
    if (good) {
        memcpy(reply, shard->callouts.inbox_text, CALLOUTS_INBOX_BYTES);
        memcpy(reply + CALLOUTS_INBOX_BYTES, wait->token, CALLOUTS_TOKEN_BYTES);
        int total_digits = snprintf(total_size, sizeof total_size, "%zu", body.count);
        int header_digits = snprintf(header_size, sizeof header_size, "%u", header_bytes);
        struct message message = {
            .subject = TEXT(CALLOUT_SUBJECT),
            .reply = bytes_of(reply, sizeof reply),
            .body = body.data,
            .total_bytes = (uint32_t)body.count,
            .header_bytes = header_bytes,
            .total_size_text = bytes_of(total_size, (size_t)total_digits),
            .header_size_text = bytes_of(header_size, header_bytes == 0 ? 0 : (size_t)header_digits),
        };
        backlog_publish(shard, shard->callouts.in, &message);
    }
    arena_close(&arena);
    return good;
}

/* A place among those that wait, or not, and then the log says why. */
static enum host_result place_take(struct shard *shard, struct client *client)
{
    struct callouts *callouts = &shard->callouts;
    uint8_t seed[NKEY_RAW_BYTES];
    callouts_forget(shard, client); /* the same login once more, under new options */
    bool full = callouts->wait_count == CALLOUTS_MAX;
    if (full && !callouts->full_told)
        log_warning(shard->context.log,
                    "Authorization callouts: %u logins wait for an answer, more are refused", CALLOUTS_MAX);
    callouts->full_told |= full;
    client->callout = wait_take(shard);
    if (client->callout == 0)
        return full ? HOST_NOBODY : HOST_MEMORY;
    struct callout_wait *wait = callouts->waits[client->callout - 1];
    wait->place = client->place;
    enum err err = nkey_new(NKEY_USER, seed, wait->user_nkey); /* nobody is to sign by it */
    explicit_bzero(seed, sizeof seed);
    return err == ERR_OK ? HOST_DONE : HOST_MEMORY;
}

enum host_result callouts_ask(struct shard *shard, struct connection *connection)
{
    struct client *client = &connection->client;
    const struct callout_options *callout = &shard->context.security->callout;
    if (callout->in == NULL) {
        log_warning(shard->context.log, "No valid account \"%.*s\" for auth callout request: account missing",
                    BYTES_PRINTF(callout->account));
        return HOST_NOBODY;
    }
    struct shard_account *account = accounts_open(shard, callout->in);
    if (account == NULL)
        return HOST_MEMORY;
    enum host_result result = inbox_open(shard, account);
    if (result == HOST_DONE)
        result = place_take(shard, client);
    if (result != HOST_DONE)
        return result;
    return question_publish(shard, connection, shard->callouts.waits[client->callout - 1]) ? HOST_DONE
                                                                                           : HOST_MEMORY;
}

/* ---- answers ---- */

bool callouts_note(struct shard *shard, const struct message *message)
{
    if (message->subject.count != REPLY_BYTES)
        return false;
    const char *token = (const char *)message->subject.data + CALLOUTS_INBOX_BYTES;
    struct callout_wait *wait = wait_find(&shard->callouts, token);
    if (wait == NULL || wait->answered)
        return false;
    size_t count = message->total_bytes - message->header_bytes;
    count = count > ANSWER_BYTES_MAX ? ANSWER_BYTES_MAX : count;
    struct answer *answer = memory_new(sizeof *answer + count);
    if (answer == NULL)
        return false; /* its login runs into the timeout */
    answer->count = count;
    memcpy(answer->token, token, CALLOUTS_TOKEN_BYTES);
    if (count > 0)
        memcpy(answer->payload, message->body + message->header_bytes, count);
    wait->answered = true;
    list_push_last(&shard->callouts.answers, &answer->link);
    return true;
}

static void answer_take(struct shard *shard, const struct answer *answer)
{
    char why[JWT_WHY_BYTES];
    struct callout_wait *wait = wait_find(&shard->callouts, answer->token);
    struct connection *connection = wait == NULL ? NULL : shard_connection_at(shard, &wait->place);
    if (connection == NULL)
        return; /* it has gone */
    struct client *client = &connection->client;
    struct callout_question question = {
        .options = shard->context.security,
        .user_nkey = text(wait->user_nkey),
        .server_id = shard->info.server_id,
        .xkey_seed = shard->keys->xkey_seed,
        .address = text(client->address),
        .connection_type = client_credentials(client).connection_type,
        .now_s = clock_wall_ns() / NS_PER_SECOND,
    };
    struct claimed_user *claimed = callout_answer(&question, bytes_of(answer->payload, answer->count), why);
    callouts_forget(shard, client);
    client_callout_answered(client, claimed, why);
    connection_resume(shard, connection);
}

static void answer_free(struct answer *answer)
{
    explicit_bzero(answer->payload, answer->count);
    memory_free(answer);
}

void callouts_step(struct shard *shard)
{
    struct list_link *at;
    if (LIKELY(list_empty(&shard->callouts.answers)))
        return;
    int64_t began_ns = clock_monotonic_ns();
    while ((at = list_first(&shard->callouts.answers)) != NULL) {
        struct answer *answer = LIST_ELEMENT(at, struct answer, link);
        list_remove(at);
        answer_take(shard, answer);
        answer_free(answer);
        if (clock_monotonic_ns() - began_ns >= CALLOUTS_TURN_NS)
            return;
    }
}

void callouts_close(struct shard *shard)
{
    struct callouts *callouts = &shard->callouts;
    for (struct list_link *at;
         callouts->answers.ends.next != NULL && (at = list_first(&callouts->answers)) != NULL;) {
        list_remove(at);
        answer_free(LIST_ELEMENT(at, struct answer, link));
    }
    for (uint32_t i = 0; callouts->waits != NULL && i < CALLOUTS_MAX; i++)
        memory_free(callouts->waits[i]);
    memory_free(callouts->waits);
    if (callouts->in != NULL)
        index_remove(callouts->in->index, &callouts->inbox.base);
    *callouts = (struct callouts){0};
}
