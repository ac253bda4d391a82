/* shards/control/peers.c - see peers.h. */
#include "shards/control/peers.h"

#include "core/base/clock.h"
#include "shards/control/control_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define ACCEPT_PAUSE_NS (100 * NS_PER_MS)

void peer_answer_say(struct control *control, uint32_t shard, struct peer_answer *answer,
                     const struct mail_route_answer *mail)
{
    if (answer->owes && answer->owed.close)
        return; /* its end is said already */
    answer->owes = !control_tell(control, shard, mail, sizeof *mail);
    if (answer->owes)
        answer->owed = *mail;
}

bool peer_answer_again(struct control *control, uint32_t shard, struct peer_answer *answer)
{
    if (answer->owes)
        answer->owes = !control_tell(control, shard, &answer->owed, sizeof answer->owed);
    return answer->owes;
}

struct mail_route_answer peer_goes_on(uint64_t rid)
{
    return (struct mail_route_answer){.kind = MAIL_ROUTE_ANSWER, .rid = rid};
}

struct mail_route_answer peer_ends(uint64_t rid, uint8_t reason, const char *error)
{
    struct mail_route_answer mail = {.kind = MAIL_ROUTE_ANSWER, .rid = rid, .close = true, .reason = reason};
    if (error != NULL)
        snprintf(mail.error, sizeof mail.error, "%s", error);
    return mail;
}

bool peer_lines_say(struct control *control, uint32_t shard, uint64_t rid, struct bytes lines, bool moves)
{
    struct block_pool none = {0};
    struct mail_route_bytes mail = {.kind = MAIL_ROUTE_BYTES,
                                    .moves = moves,
                                    .rid = rid,
                                    .count = (uint32_t)lines.count,
                                    .block = block_take(&none, lines.count)};
    bool good = mail.block != NULL;
    if (good) {
        memcpy(mail.block->bytes, lines.data, lines.count);
        good = control_tell(control, shard, &mail, sizeof mail);
    }
    if (!good)
        block_release(&none, mail.block);
    block_pool_close(&none);
    return good;
}

bool peer_password_ask(struct control *control, uint64_t rid, struct bytes stored, struct bytes given)
{
    struct block_pool none = {0};
    struct mail_password mail = {
        .kind = MAIL_PASSWORD,
        .stored_count = (uint16_t)stored.count,
        .given_count = (uint32_t)given.count,
        .place = {.cid = rid, .shard = control->shard_count},
        .block = block_take(&none, stored.count + given.count),
    };
    bool good = mail.block != NULL;
    if (good) {
        memcpy(mail.block->bytes, stored.data, stored.count);
        if (given.count > 0)
            memcpy(mail.block->bytes + stored.count, given.data, given.count);
        good = control_tell(control, control->shard_count + 1, &mail, sizeof mail);
    }
    if (!good)
        block_release(&none, mail.block);
    block_pool_close(&none);
    return good;
}

uint32_t peer_shard(const uint32_t *counts, uint32_t shard_count)
{
    uint32_t best = 0;
    for (uint32_t i = 1; i < shard_count; i++) {
        if (counts[i] < counts[best])
            best = i;
    }
    return best;
}

bool peer_accept_again(struct control *control, const struct loop_completion *completion, struct timer *pause)
{
    if (completion->more)
        return false;
    bool failed = completion->result < 0 && completion->result != -EINTR &&
                  completion->result != -ECONNABORTED && completion->result != -EAGAIN;
    return !failed || timers_set(&control->timers, pause, control->now_ns + ACCEPT_PAUSE_NS) != ERR_OK;
}
