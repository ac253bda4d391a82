/* shards/worker.c - see worker.h. */
#include "shards/worker.h"

#include "core/base/check.h"
#include "core/security/password.h"
#include "shards/mail.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

enum { ADDRESSES_BYTES = 4096 /* some dozens; of more than that one of these will do */ };

/* Puts a mail, however long that takes: whoever is to get it always drains. False: the server stops. */
static bool answer_put(struct worker *worker, uint32_t to, const void *answer, uint32_t bytes)
{
    uint8_t *record;
    while ((record = post_reserve(&worker->post, to, bytes, false)) == NULL && !worker->stopping) {
        post_flush(&worker->post);
        sched_yield();
    }
    if (record == NULL)
        return false;
    memcpy(record, answer, bytes);
    post_commit(&worker->post, to, bytes);
    post_flush(&worker->post);
    return true;
}

static void check_password(struct worker *worker, uint32_t from, const uint8_t *bytes)
{
    struct block_pool none = {0};
    struct mail_password mail;
    memcpy(&mail, bytes, sizeof mail);
    struct bytes stored = bytes_of(mail.block->bytes, mail.stored_count);
    struct bytes given = bytes_of(mail.block->bytes + mail.stored_count, mail.given_count);
    /* At the end nobody waits, and a storm's passwords would put it off for as long as they take. */
    bool wanted = !post_end_announced(&worker->post);
    struct mail_password_checked answer = {
        .kind = MAIL_PASSWORD_CHECKED,
        .matches = wanted && password_check_bcrypt(stored, given),
        .place = mail.place,
    };
    explicit_bzero(mail.block->bytes, (size_t)mail.stored_count + mail.given_count);
    block_release(&none, mail.block);
    block_pool_close(&none);
    if (wanted)
        (void)answer_put(worker, from, &answer, sizeof answer); /* else the server stops meanwhile */
}

/* The addresses of a name as text, a zero behind each; the bytes. */
static size_t addresses_write(const char *host, uint8_t *to, size_t capacity)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    size_t count = 0;
    if (getaddrinfo(host, NULL, &hints, &found) != 0)
        return 0;
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        char text[INET6_ADDRSTRLEN];
        const void *raw =
            at->ai_family == AF_INET6
                ? (const void *)&((const struct sockaddr_in6 *)(const void *)at->ai_addr)->sin6_addr
                : (const void *)&((const struct sockaddr_in *)(const void *)at->ai_addr)->sin_addr;
        if (inet_ntop(at->ai_family, raw, text, sizeof text) == NULL || count + strlen(text) + 1 > capacity)
            continue;
        memcpy(to + count, text, strlen(text) + 1);
        count += strlen(text) + 1;
    }
    freeaddrinfo(found);
    return count;
}

static void resolve(struct worker *worker, uint32_t from, const uint8_t *bytes)
{
    struct block_pool none = {0};
    struct mail_resolve mail;
    memcpy(&mail, bytes, sizeof mail);
    struct mail_resolve answer = {
        .kind = MAIL_RESOLVED, .dial = mail.dial, .block = block_take(&none, ADDRESSES_BYTES)};
    mail.block->bytes[mail.count] = 0; /* its writer left room */
    if (answer.block != NULL)
        answer.count =
            (uint32_t)addresses_write((const char *)mail.block->bytes, answer.block->bytes, ADDRESSES_BYTES);
    block_release(&none, mail.block);
    if (!answer_put(worker, from, &answer, sizeof answer))
        block_release(&none, answer.block);
    block_pool_close(&none);
}

static void take_mail(void *context, uint32_t from, const uint8_t *mail, uint32_t bytes)
{
    struct worker *worker = context;
    (void)bytes;
    if (mail[0] == MAIL_STOP) {
        worker->stopping = true;
        return;
    }
    if (mail[0] == MAIL_RESOLVE) {
        resolve(worker, from, mail);
        return;
    }
    ASSERT(mail[0] == MAIL_PASSWORD);
    check_password(worker, from, mail);
}

void worker_run(struct worker *worker)
{
    while (!worker->stopping) {
        uint64_t ignored;
        if (post_may_sleep(&worker->post)) {
            ssize_t got = read(post_event_fd(&worker->post), &ignored, sizeof ignored);
            (void)got; /* interrupted or not: what matters is what lies in the mailboxes */
            post_awake(&worker->post);
        }
        post_drain(&worker->post, take_mail, worker);
    }
}
