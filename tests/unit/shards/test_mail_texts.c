/* Tests shards/mail_texts.h: how much of a message its mails hold. */
#include "shards/mail_texts.h"

#include <criterion/criterion.h>

static struct message message_of(uint32_t subject_count, uint32_t total_bytes)
{
    static const uint8_t bytes[8192];
    return (struct message){
        .subject = bytes_of(bytes, subject_count), .body = bytes, .total_bytes = total_bytes};
}

static uint32_t held(const struct message *message, uint32_t queue_bytes, uint32_t inline_most)
{
    uint32_t texts = mail_texts_bytes(message, bytes_of(message->body, queue_bytes));
    if (texts + message->total_bytes <= inline_most)
        return texts + message->total_bytes;
    return texts <= inline_most ? texts : 0;
}

/* A message that is inline without a queue's name and not with it needs the more room without. */
Test(mail_texts, the_room_asked_for_is_enough_for_every_shorter_queue_name)
{
    for (uint32_t total = 0; total < 200; total++) {
        for (uint32_t subject = 1; subject < 60; subject++) {
            struct message message = message_of(subject, total);
            uint32_t most = mail_inline_bytes(&message, 20, 128);
            for (uint32_t queue = 0; queue <= 20; queue++)
                cr_assert_leq(held(&message, queue, 128), most, "%u %u %u", total, subject, queue);
            cr_assert_leq(most, 128);
        }
    }
}

Test(mail_texts, a_body_that_goes_by_reference_takes_no_room)
{
    struct message message = message_of(10, 5000);
    cr_expect_eq(mail_inline_bytes(&message, 6, MAIL_INLINE_BYTES_MAX), 16);
}
