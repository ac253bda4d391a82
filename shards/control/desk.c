/* shards/control/desk.c - see desk.h. */
#include "shards/control/desk.h"

#include "core/base/check.h"
#include "shards/control/control_internal.h"
#include "shards/control/outer.h"
#include "shards/mail_texts.h"

#include <string.h>

enum { DESK_MATCH_CACHE_ENTRIES = 16 * 1024 };

#define NO_RESPONDERS TEXT("NATS/1.0 503")

enum err desk_open(struct desk *desk, uint32_t account)
{
    desk->account = account;
    desk->index = index_new();
    desk->matches = match_cache_new(DESK_MATCH_CACHE_ENTRIES);
    return desk->index == NULL || desk->matches == NULL ? ERR_MEMORY : ERR_OK;
}

void desk_close(struct desk *desk)
{
    index_free(desk->index);
    match_cache_free(desk->matches);
    *desk = (struct desk){0};
}

/* ---- interest ---- */

static uint32_t interest_bytes(struct bytes pattern)
{
    size_t bytes = sizeof(struct mail_interest) + pattern.count;
    return bytes <= MAILBOX_RECORD_BYTES_MAX ? (uint32_t)bytes : (uint32_t)sizeof(struct mail_interest);
}

/* Tells every shard, or none. */
static bool interest_tell(struct control *control, struct bytes pattern, uint32_t count)
{
    struct mail_interest mail = {.kind = MAIL_INTEREST,
                                 .pattern_count = (uint32_t)pattern.count,
                                 .count = count,
                                 .account = control->desk.account};
    uint32_t bytes = interest_bytes(pattern);
    for (uint32_t to = 0; to < control->shard_count; to++) {
        if (!mailbox_has_room_for(post_box(&control->post, to), bytes, 1))
            return false;
    }
    if (bytes == sizeof mail) {
        mail.block = block_take(&control->blocks, pattern.count);
        if (mail.block == NULL)
            return false;
        (void)mail_put(mail.block->bytes, pattern);
    }
    for (uint32_t to = 0; to < control->shard_count; to++) {
        uint8_t *record = post_reserve(&control->post, to, bytes, false);
        ASSERT(record != NULL);
        if (mail.block != NULL)
            (void)block_hold(mail.block);
        memcpy(record, &mail, sizeof mail);
        if (mail.block == NULL)
            (void)mail_put(record + sizeof mail, pattern);
        post_commit(&control->post, to, bytes);
    }
    block_release(&control->blocks, mail.block);
    return true;
}

bool desk_listen(struct control *control, struct desk_listener *listener, struct bytes pattern, enum err *err)
{
    struct desk *desk = &control->desk;
    *err = index_add(desk->index, pattern, (struct bytes){NULL, 0}, &listener->base);
    if (*err != ERR_OK)
        return false;
    if (control->outer != NULL) {
        outer_listen(control, listener);
    } else if (index_own_count(&listener->base) == 1 && !interest_tell(control, pattern, 1)) {
        index_remove(desk->index, &listener->base);
        return false;
    }
    desk->listener_count++;
    return true;
}

bool desk_unlisten(struct control *control, struct desk_listener *listener)
{
    struct desk *desk = &control->desk;
    if (control->outer != NULL)
        outer_unlisten(control, listener);
    else if (index_own_count(&listener->base) == 1 &&
             !interest_tell(control, interest_pattern(listener->base.interest), 0))
        return false;
    index_remove(desk->index, &listener->base);
    desk->listener_count--;
    return true;
}

void desk_forget(struct desk *desk, struct desk_listener *listener)
{
    if (listener->base.interest == NULL)
        return;
    index_remove(desk->index, &listener->base);
    desk->listener_count--;
}

struct desk_listener *desk_any(struct desk *desk)
{
    struct interest *interest = desk->index == NULL ? NULL : index_next(desk->index, NULL);
    if (interest == NULL)
        return NULL;
    ASSERT(interest->plain.count > 0); /* nobody else's interest is in it */
    return CONTAINER_OF(subscription_at(&interest->plain, 0), struct desk_listener, base);
}

struct desk_listener *desk_find(struct desk *desk, struct bytes subject)
{
    const struct match *match = NULL;
    if (match_cache_find(desk->matches, desk->index, subject, &match) != ERR_OK)
        return NULL;
    for (uint32_t i = 0; i < match->interest_count; i++) {
        if (bytes_equal(interest_pattern(match->interests[i]), subject) &&
            match->interests[i]->plain.count > 0)
            return CONTAINER_OF(subscription_at(&match->interests[i]->plain, 0), struct desk_listener, base);
    }
    return NULL;
}

/* ---- messages in ---- */

/* Takers may listen and unlisten: the match is asked for anew after each. */
void desk_take(struct control *control, const struct desk_message *message)
{
    struct desk *desk = &control->desk;
    const struct match *match = NULL;
    if (desk->index == NULL ||
        match_cache_find(desk->matches, desk->index, message->subject, &match) != ERR_OK)
        return;
    for (uint32_t i = 0; i < match->interest_count; i++) {
        const struct subscription_set *set = &match->interests[i]->plain;
        for (uint32_t at = set->count; at > 0; at--) {
            struct desk_listener *listener =
                CONTAINER_OF(subscription_at(set, at - 1), struct desk_listener, base);
            listener->taker(control, listener, message);
            if (!match_current(match))
                return; /* who has just come or gone; nobody listens twice to one subject here */
        }
    }
}

void desk_mail_message(struct control *control, uint32_t from, const uint8_t *mail)
{
    struct mail_message header;
    memcpy(&header, mail, sizeof header);
    const uint8_t *at = mail + sizeof header;
    if (header.block != NULL && header.body == NULL)
        at = header.block->bytes;
    struct desk_message message = {.shard = (uint16_t)from, .place = header.place};
    message.subject = mail_next_text(&at, header.subject_count);
    message.reply = mail_next_text(&at, header.reply_count);
    at += header.queue_count + header.total_size_count + header.header_size_count;
    const uint8_t *body = header.body != NULL ? header.body : at;
    message.payload = bytes_of(body + header.header_bytes, header.total_bytes - header.header_bytes);
    message.nobody = bytes_start_with(bytes_of(body, header.header_bytes), NO_RESPONDERS);
    if ((header.flags & MAIL_TO_PLAIN) != 0)
        desk_take(control, &message);
    block_release(&control->blocks, header.block);
}

void desk_mail_short_message(struct control *control, uint32_t from, const uint8_t *mail)
{
    struct mail_short_message header;
    memcpy(&header, mail, sizeof header);
    const uint8_t *at = mail + sizeof header;
    struct desk_message message = {
        .shard = (uint16_t)from,
        .place = {.cid = header.publisher_cid, .slot = header.publisher_slot, .shard = from},
    };
    message.subject = mail_next_text(&at, header.subject_count);
    message.reply = mail_next_text(&at, header.reply_count);
    at += header.total_size_count;
    for (uint32_t i = 0; i <= header.run_more; i++) {
        message.payload = bytes_of(at + (size_t)i * header.run_stride, header.total_bytes);
        desk_take(control, &message);
    }
}

/* ---- messages out ---- */

/* One that does not fit a mail: in a block of its own. */
static bool publish_large(struct control *control, uint32_t shard, struct mail_publish *mail,
                          struct bytes subject, struct bytes reply, struct bytes body)
{
    if (!mailbox_has_room_for(post_box(&control->post, shard), sizeof *mail, 1))
        return false;
    mail->block = block_take(&control->blocks, subject.count + reply.count + body.count);
    if (mail->block == NULL)
        return false;
    uint8_t *record = post_reserve(&control->post, shard, sizeof *mail, false);
    ASSERT(record != NULL);
    memcpy(record, mail, sizeof *mail);
    uint8_t *at = mail_put(mail->block->bytes, subject);
    at = mail_put(at, reply);
    (void)mail_put(at, body);
    post_commit(&control->post, shard, sizeof *mail);
    return true;
}

/* As many as fit one mail; 0: the mailbox is full. */
static uint32_t publish_run(struct control *control, uint32_t shard, struct mail_publish *mail,
                            struct bytes subject, struct bytes reply, const struct bytes *bodies,
                            uint32_t count)
{
    size_t head = sizeof *mail + subject.count + reply.count, stride = bodies[0].count + 2;
    size_t most = (MAILBOX_RECORD_BYTES_MAX - head) / stride;
    count = count < most ? count : (uint32_t)most;
    uint32_t bytes = (uint32_t)(head + count * stride);
    uint8_t *record = post_reserve(&control->post, shard, bytes, false);
    if (record == NULL)
        return 0;
    mail->run_more = (uint16_t)(count - 1);
    memcpy(record, mail, sizeof *mail);
    uint8_t *at = mail_put(record + sizeof *mail, subject);
    at = mail_put(at, reply);
    for (uint32_t i = 0; i < count; i++) {
        at = mail_put(at, bodies[i]);
        at = mempcpy(at, "\r\n", 2);
    }
    post_commit(&control->post, shard, bytes);
    return count;
}
_Static_assert(sizeof(struct mail_publish) + MAIL_INLINE_BYTES_MAX + 2 <= MAILBOX_RECORD_BYTES_MAX,
               "what travels inline fits a mail, at least once");

uint32_t desk_publish(struct control *control, uint32_t shard, struct bytes subject, struct bytes reply,
                      const struct bytes *bodies, uint32_t count)
{
    uint32_t done = 0;
    bool whole = subject.count + reply.count + bodies[0].count <= MAIL_INLINE_BYTES_MAX;
    while (done < count) {
        struct mail_publish mail = {
            .kind = MAIL_PUBLISH,
            .account = control->desk.account,
            .subject_count = (uint32_t)subject.count,
            .reply_count = (uint32_t)reply.count,
            .total_bytes = (uint32_t)bodies[0].count,
        };
        uint32_t taken = control->outer != NULL ? outer_publish(control, subject, reply, bodies[done])
                         : whole
                             ? publish_run(control, shard, &mail, subject, reply, bodies + done, count - done)
                             : publish_large(control, shard, &mail, subject, reply, bodies[done]);
        if (taken == 0)
            break;
        done += taken;
    }
    return done;
}

void desk_stall(struct control *control, const struct publisher_place *place, int64_t stall_ns)
{
    struct mail_stall mail = {.kind = MAIL_STALL, .place = *place, .stall_ns = stall_ns};
    if (control->outer != NULL)
        outer_stall(control, stall_ns);
    if (place->cid == 0 || place->shard >= control->shard_count)
        return; /* on another server: its own shards slow it */
    uint8_t *record = post_reserve(&control->post, place->shard, sizeof mail, false);
    if (record == NULL)
        return;
    memcpy(record, &mail, sizeof mail);
    post_commit(&control->post, place->shard, sizeof mail);
}
