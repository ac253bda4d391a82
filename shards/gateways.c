/* shards/gateways.c - a message's way to other clusters (spec/gateways.md 10); see gateways.h. The
 * publisher's shard decides for all of them: which want it plainly, and which one gets a queue group that
 * nobody serves here. Each gets one line, from the shard that owns the connection. */
#include "shards/gateways.h"

#include "core/base/check.h"
#include "net/client.h"
#include "shards/mail.h"
#include "shards/mail_texts.h"
#include "shards/route_connection.h"
#include "shards/shard.h"

/* The queue groups that go to other clusters, each to one. */
struct choices {
    const struct match *match;
    uint64_t clusters; /* bits: those that get some */
    uint32_t count;
    struct {
        struct bytes name;
        uint32_t number;
    } all[REMOTE_GROUPS_MAX];
};

static uint64_t up(const struct shard *shard, const struct shard_account *account)
{
    return shard->gateways.up & ~account->gateway->none;
}

bool gateways_wanted(struct shard *shard, const struct shard_account *account, struct bytes subject)
{
    uint64_t clusters = up(shard, account);
    if (clusters == 0)
        return false;
    struct gateways_interest interest = gateways_interest(shard, account, subject, 0);
    if (interest.plain != 0)
        return true;
    const struct match *match = interest.listed;
    clusters &= ~account->gateway->listed_leaving.numbers;
    for (uint32_t g = 0; match != NULL && g < match->group_count; g++) {
        if (match_group_remote_size(&match->groups[g], clusters) > 0)
            return true;
    }
    return false;
}

/* Whether no queue group and no connection of another shard is concerned, so that a run may stay one. */
uint32_t gateways_run_length(struct shard *shard, const struct shard_account *account,
                             const struct message *run)
{
    uint64_t clusters = up(shard, account);
    if (run->run_more == 0 || clusters == 0)
        return message_count(run);
    struct gateways_interest interest = gateways_interest(shard, account, run->subject, run->line_serial);
    if (interest.listed == NULL || interest.listed->group_count > 0)
        return 1;
    uint32_t most = message_count(run);
    for (uint64_t left = interest.plain; left != 0; left &= left - 1) {
        if (shard->gateways.all[__builtin_ctzll(left)].own == NULL) {
            uint32_t mail = remotes_run_most(run);
            most = mail < most ? mail : most;
        }
    }
    return most;
}

/* ---- room ---- */

/* Room for so many mails on the way to each of the clusters. */
static bool boxes_have(struct shard *shard, uint64_t clusters, uint32_t bytes, uint64_t mails)
{
    for (uint64_t left = clusters; left != 0; left &= left - 1) {
        const struct gateway *gateway = &shard->gateways.all[__builtin_ctzll(left)];
        if (gateway->own == NULL &&
            !mailbox_has_room_for(post_box(&shard->post, gateway->shard), bytes, mails))
            return false;
    }
    return true;
}

static bool has_room(struct shard *shard, uint64_t clusters, const struct message *message,
                     size_t queues_bytes, uint64_t mails, uint32_t times)
{
    struct message longest = *message;
    longest.reply.count += message->reply.count > 0 ? GATEWAY_REPLY_PREFIX_BYTES : 0;
    size_t queues = queues_bytes < REMOTE_QUEUES_BYTES ? queues_bytes : REMOTE_QUEUES_BYTES;
    uint32_t bytes = remotes_record_bytes(&longest, bytes_of(NULL, queues));
    uint32_t most = sizeof(struct mail_remote_message) + MAIL_INLINE_BYTES_MAX;
    if (times > 1 && bytes < most) /* others of them may have more headers */
        bytes = most;
    return boxes_have(shard, clusters, bytes, mails * times);
}

bool gateways_room(struct shard *shard, const struct shard_account *account, const struct message *message,
                   uint64_t other_mails, uint32_t times)
{
    uint64_t clusters = up(shard, account);
    if (clusters == 0 || message->way != MESSAGE_PUBLISHED || shard->shard_count == 1)
        return true;
    uint64_t servers = account->remote == NULL ? 0 : (uint64_t)__builtin_popcountll(account->remotes.up);
    uint64_t mails = other_mails + servers + shard->gateways.count;
    if (boxes_have(shard, clusters, MAILBOX_RECORD_BYTES_MAX, mails * times))
        return true; /* so it mostly is, whoever wants it */
    struct gateways_interest interest =
        gateways_interest(shard, account, message->subject, message->line_serial);
    const struct match *match = interest.listed;
    uint64_t wanting = interest.plain;
    size_t queues = 0;
    if (wanting == 0 && (match == NULL || match->group_count == 0))
        return true;
    for (uint32_t g = 0; match != NULL && g < match->group_count; g++) {
        wanting = clusters;
        queues += queue_group_name(match->groups[g].parts[0]).count + 1;
    }
    return has_room(shard, wanting, message, queues, mails, times);
}

bool gateways_send_room(struct shard *shard, uint32_t number, const struct message *run)
{
    return has_room(shard, 1ULL << number, run, 0, 1, 1);
}

/* ---- out ---- */

static bool deliver_own(struct route_connection *connection, struct shard_account *account,
                        const struct message *run, struct bytes queues)
{
    const struct security_account *configured = account->host.configured;
    struct message placed = *run;
    if (placed.publisher != NULL)
        placed.place = placed.publisher->place;
    if (configured == NULL || !route_deliver(&connection->route, configured->name, &placed, queues))
        return false;
    account->gateways.out_messages += message_count(run);
    account->gateways.out_bytes += (uint64_t)message_count(run) * run->total_bytes;
    return true;
}

bool gateways_send(struct shard *shard, struct shard_account *account, uint32_t number,
                   const struct message *run, struct bytes queues)
{
    const struct gateway *gateway = &shard->gateways.all[number];
    if (gateway->own != NULL)
        return deliver_own(gateway->own, account, run, queues);
    return remotes_mail_run(shard, account, MAIL_GATEWAY_MESSAGE, gateway->shard, 1ULL << number, run,
                            queues);
}

static bool match_has(const struct match *match, struct bytes name, bool servers, uint64_t remotes_up)
{
    for (uint32_t g = 0; match != NULL && g < match->group_count; g++) {
        const struct match_group *group = &match->groups[g];
        if (bytes_equal(queue_group_name(group->parts[0]), name))
            return (servers ? match_group_remote_size(group, remotes_up) : match_group_size(group, true)) > 0;
    }
    return false;
}

/* Each group that is not served in this cluster goes to the nearest one that has it. */
static void choose(struct shard *shard, const struct shard_account *account, const struct match *local,
                   const struct remotes_plan *plan, struct choices *choices)
{
    uint64_t clusters = up(shard, account) & ~account->gateway->listed_leaving.numbers;
    const struct match *match = choices->match;
    for (uint32_t g = 0; g < match->group_count && choices->count < REMOTE_GROUPS_MAX; g++) {
        const struct match_group *group = &match->groups[g];
        struct bytes name = queue_group_name(group->parts[0]);
        if (match_has(local, name, false, 0) || match_has(plan->match, name, true, account->remotes.up))
            continue;
        for (uint32_t i = 0; i < shard->gateways.count; i++) {
            uint32_t number = shard->gateways.order[i];
            if ((clusters >> number & 1) == 0 || match_group_remote_size(group, 1ULL << number) == 0)
                continue;
            choices->all[choices->count].name = name;
            choices->all[choices->count++].number = number;
            choices->clusters |= 1ULL << number;
            break;
        }
    }
}

/* The names of the groups that this cluster serves, a blank between each. */
static struct bytes names_of(const struct choices *choices, uint32_t number,
                             uint8_t names[REMOTE_QUEUES_BYTES])
{
    size_t count = 0;
    for (uint32_t i = 0; i < choices->count; i++) {
        struct bytes name = choices->all[i].name;
        if (choices->all[i].number == number)
            count = remotes_queue_add(names, count, name);
    }
    return bytes_of(names, count);
}

/* With queue groups; each cluster that has none of them too. */
static NEVER_INLINE bool deliver_chosen(struct shard *shard, struct shard_account *account,
                                        const struct match *local, const struct remotes_plan *plan,
                                        const struct match *match, const struct message *message,
                                        uint64_t plain)
{
    uint8_t names[REMOTE_QUEUES_BYTES];
    struct choices choices = {.match = match};
    bool taken = false;
    choose(shard, account, local, plan, &choices);
    for (uint32_t i = 0; i < shard->gateways.count; i++) {
        uint32_t number = shard->gateways.order[i];
        struct bytes queues = names_of(&choices, number, names);
        if ((plain >> number & 1) != 0 || queues.count > 0)
            taken |= gateways_send(shard, account, number, message, queues);
    }
    return taken;
}

bool gateways_deliver(struct shard *shard, struct shard_account *account, const struct match *local,
                      const struct remotes_plan *plan, const struct message *run)
{
    if (up(shard, account) == 0)
        return false;
    struct gateways_interest interest = gateways_interest(shard, account, run->subject, run->line_serial);
    const struct match *match = interest.listed;
    uint64_t plain = interest.plain;
    bool groups = match != NULL && match->group_count > 0;
    if (plain == 0 && !groups)
        return false;
    struct message message = *run;
    bool taken = false;
    if (run->reply.count > 0) {
        message.reply = gateway_recent_reply(shard, account, run->reply);
        message.line_serial = 0;
        if (groups) /* the cache was asked for the reply meanwhile */
            match = gateways_interest(shard, account, run->subject, run->line_serial).listed;
    }
    if (UNLIKELY(groups && match != NULL))
        return deliver_chosen(shard, account, local, plan, match, &message, plain);
    for (uint32_t i = 0; i < shard->gateways.count; i++) {
        uint32_t number = shard->gateways.order[i];
        if ((plain >> number & 1) != 0)
            taken |= gateways_send(shard, account, number, &message, (struct bytes){NULL, 0});
    }
    return taken;
}

void gateways_mail_message(struct shard *shard, const uint8_t *mail, uint32_t bytes)
{
    struct mail_remote_message header;
    struct message message;
    struct bytes queues;
    ASSERT(bytes >= sizeof header);
    remotes_mail_read(mail, &header, &message, &queues);
    struct shard_account *account = accounts_get(shard, header.account);
    struct route_connection *own = shard->gateways.all[__builtin_ctzll(header.remotes)].own;
    if (own != NULL && account != NULL) /* else it has gone meanwhile */
        (void)deliver_own(own, account, &message, queues);
    block_release(&shard->context.pool.blocks, header.block);
}
