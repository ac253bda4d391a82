/* shards/worker.c - see worker.h. */
#include "shards/worker.h"

#include "core/base/check.h"
#include "core/security/password.h"
#include "shards/mail.h"

#include <sched.h>
#include <string.h>
#include <unistd.h>

static void check_password(struct worker *worker, uint32_t from, const uint8_t *bytes)
{
    struct block_pool none = {0};
    struct mail_password mail;
    memcpy(&mail, bytes, sizeof mail);
    struct bytes stored = bytes_of(mail.block->bytes, mail.stored_count);
    struct bytes given = bytes_of(mail.block->bytes + mail.stored_count, mail.given_count);
    struct mail_password_checked answer = {
        .kind = MAIL_PASSWORD_CHECKED,
        .matches = password_check_bcrypt(stored, given),
        .place = mail.place,
    };
    explicit_bzero(mail.block->bytes, (size_t)mail.stored_count + mail.given_count);
    block_release(&none, mail.block);
    block_pool_close(&none);
    uint8_t *record;
    while ((record = post_reserve(&worker->post, from, sizeof answer, false)) == NULL && !worker->stopping) {
        post_flush(&worker->post);
        sched_yield();
    }
    if (record == NULL)
        return;
    memcpy(record, &answer, sizeof answer);
    post_commit(&worker->post, from, sizeof answer);
    post_flush(&worker->post);
}

static void take_mail(void *context, uint32_t from, const uint8_t *mail, uint32_t bytes)
{
    struct worker *worker = context;
    (void)bytes;
    if (mail[0] == MAIL_STOP) {
        worker->stopping = true;
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
