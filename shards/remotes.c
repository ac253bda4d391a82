/* shards/remotes.c - a message's way to other servers; see remotes.h. What routes and the control core say is
 * in remotes_host.c. */
#include "shards/remotes.h"

#include "core/base/check.h"
#include "core/base/copy.h"
#include "core/base/memory.h"
#include "net/route_parser.h"
#include "shards/mail.h"
#include "shards/mail_texts.h"
#include "shards/route_connection.h"
#include "shards/shard.h"

#include <string.h>

_Static_assert(sizeof(struct mail_remote_message) + MAIL_INLINE_BYTES_MAX <= MAILBOX_RECORD_BYTES_MAX,
               "a mail fits a record");
_Static_assert((int)REMOTES_MAX <= (int)INDEX_SHARDS_MAX,
               "a remote server takes the place of a shard in an index");

enum err remotes_init(struct remotes *remotes, const struct cluster_options *options, uint32_t cache_entries)
{
    list_init(&remotes->routes);
    list_init(&remotes->with_output);
    list_init(&remotes->full);
    if (options->port == 0)
        return ERR_OK;
    remotes->matches = match_cache_new(cache_entries);
    remotes->all = memory_new(REMOTES_MAX * sizeof *remotes->all);
    return remotes->matches == NULL || remotes->all == NULL ? ERR_MEMORY : ERR_OK;
}

/* ---- who wants it ---- */

static const struct match *subject_find(struct shard *shard, const struct shard_account *account,
                                        struct bytes subject, uint64_t line_serial)
{
    struct remotes *remotes = &shard->remotes;
    struct router_memo *memo = &remotes->memos[line_serial % REMOTE_MEMOS];
    uint8_t same[REPLY_PREFIX_BYTES + 1];
    if (LIKELY(router_memo_good(memo, line_serial, account->remote)))
        return memo->match;
    if (UNLIKELY(reply_is(subject))) { /* each is used once, but all with one prefix hit the same */
        memcpy(same, subject.data, REPLY_PREFIX_BYTES);
        same[REPLY_PREFIX_BYTES] = '*';
        subject = bytes_of(same, sizeof same);
    }
    return router_memo_look(memo, remotes->matches, account->remote, subject, line_serial);
}

static const struct match *find(struct shard *shard, const struct shard_account *account,
                                const struct message *message)
{
    return subject_find(shard, account, message->subject, message->line_serial);
}

/* Over what a message of the account goes to that server, which wants it. nats-server always answers where it
 * was asked; that is the same line unless the two have pools of different sizes. Then ours is better:
 * interest in a reply stands on it, and must not be overtaken by the request. */
static ALWAYS_INLINE const struct remote_line *line_to(const struct shard *shard,
                                                       const struct shard_account *account, unsigned remote)
{
    const struct remote_line *lines = shard->remotes.all[remote].lines;
    return LIKELY(lines[account->remotes.line].up) ? &lines[account->remotes.line]
                                                   : &lines[account->remotes.lines[remote]];
}

static ALWAYS_INLINE uint64_t plain_servers(const struct shard_account *account, const struct match *match)
{
    uint64_t servers = 0;
    for (uint32_t i = 0; i < match->interest_count; i++)
        servers |= match->interests[i]->remote_shards;
    return servers & account->remotes.up;
}

bool remotes_wanted(struct shard *shard, const struct shard_account *account, struct bytes subject)
{
    const struct match *match = subject_find(shard, account, subject, 0);
    bool wanted = match == NULL || plain_servers(account, match) != 0;
    for (uint32_t g = 0; !wanted && g < match->group_count; g++)
        wanted = match_group_remote_size(&match->groups[g], account->remotes.up) > 0;
    return wanted;
}

static struct bytes group_name(const struct match_group *group)
{
    return queue_group_name(group->parts[0]);
}

static const struct match_group *group_find(const struct match *match, struct bytes name)
{
    for (uint32_t g = 0; match != NULL && g < match->group_count; g++) {
        if (bytes_equal(group_name(&match->groups[g]), name))
            return &match->groups[g];
    }
    return NULL;
}

/* Gives a group to one of the servers with members, by their weights from `position` on. */
static bool plan_group(const struct shard_account *account, struct remotes_plan *plan,
                       const struct match_group *group, uint32_t position)
{
    if (plan->count == REMOTE_GROUPS_MAX)
        return false;
    uint32_t remote = match_group_remote_member(group, account->remotes.up, position);
    plan->groups[plan->count++] = (struct remote_group){group_name(group), remote};
    plan->queued |= 1ULL << remote;
    return true;
}

void remotes_plan(struct shard *shard, const struct shard_account *account, const struct match *local,
                  const struct message *message, struct remotes_plan *plan)
{
    const struct match *match = find(shard, account, message);
    remotes_plan_nobody(plan);
    plan->match = match;
    if (match == NULL || match->interest_count == 0)
        return;
    plan->plain = plain_servers(account, match);
    for (uint32_t g = 0; g < match->group_count; g++) {
        const struct match_group *group = &match->groups[g];
        if (UNLIKELY(message->way == MESSAGE_FROM_GATEWAY) &&
            !route_queues_have(message->queues, group_name(group)))
            continue;
        uint32_t elsewhere = match_group_remote_size(group, account->remotes.up);
        const struct match_group *here = elsewhere == 0 ? NULL : group_find(local, group_name(group));
        uint64_t all = (uint64_t)elsewhere + (here == NULL ? 0 : match_group_size(here, true));
        if (elsewhere == 0)
            continue;
        uint32_t chosen = random_below(&shard->context.random, all < UINT32_MAX ? (uint32_t)all : UINT32_MAX);
        if (chosen < elsewhere)
            (void)plan_group(account, plan, group,
                             chosen); /* at the bound it stays here, if there is somebody */
    }
}

bool remotes_plan_has(const struct remotes_plan *plan, struct bytes group)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        if (bytes_equal(plan->groups[i].name, group))
            return true;
    }
    return false;
}

bool remotes_plan_add(struct shard *shard, const struct shard_account *account, struct remotes_plan *plan,
                      struct bytes group)
{
    const struct match_group *found = group_find(plan->match, group);
    uint32_t size = found == NULL ? 0 : match_group_remote_size(found, account->remotes.up);
    return size > 0 && plan_group(account, plan, found, random_below(&shard->context.random, size));
}

/* ---- mail ---- */

/* How many messages of a run fit one mail. */
uint32_t remotes_run_most(const struct message *run)
{
    size_t texts = mail_texts_bytes(run, (struct bytes){NULL, 0});
    if (run->run_stride > UINT16_MAX || texts + run->total_bytes > MAIL_INLINE_BYTES_MAX)
        return 1;
    size_t room = MAILBOX_RECORD_BYTES_MAX - sizeof(struct mail_remote_message) - texts;
    return 1 + (uint32_t)((room - run->total_bytes - 2) / run->run_stride);
}

uint32_t remotes_run_length(struct shard *shard, const struct shard_account *account,
                            const struct message *run)
{
    if (run->run_more == 0)
        return 1;
    const struct match *match = find(shard, account, run);
    if (match == NULL || match->group_count > 0)
        return 1;
    for (uint64_t left = plain_servers(account, match); left != 0; left &= left - 1) {
        if (line_to(shard, account, (unsigned)__builtin_ctzll(left))->own == NULL) {
            uint32_t most = remotes_run_most(run);
            return message_count(run) < most ? message_count(run) : most;
        }
    }
    return message_count(run);
}

/* Bytes of the record; what does not fit travels in a block. */
uint32_t remotes_record_bytes(const struct message *run, struct bytes queues)
{
    size_t texts = mail_texts_bytes(run, queues);
    size_t bytes = sizeof(struct mail_remote_message);
    if (texts + run->total_bytes <= MAIL_INLINE_BYTES_MAX)
        return (uint32_t)(bytes + texts + mail_body_bytes(run));
    return (uint32_t)(texts <= MAIL_INLINE_BYTES_MAX ? bytes + texts : bytes);
}

static struct publisher_place place_of(const struct message *message)
{
    return message->publisher != NULL ? message->publisher->place : message->place;
}

/* One mail to the shard `to`, for the servers in `remotes`. */
static bool mail_as(struct shard *shard, const struct shard_account *account, uint8_t kind, uint32_t to,
                    uint64_t remotes, const struct message *run, struct bytes queues, bool spare)
{
    uint32_t bytes = remotes_record_bytes(run, queues);
    struct mail_remote_message header = {
        .kind = kind,
        .total_size_count = (uint8_t)run->total_size_text.count,
        .header_size_count = (uint8_t)run->header_size_text.count,
        .run_more = (uint16_t)run->run_more,
        .run_stride = (uint16_t)run->run_stride,
        .subject_count = (uint32_t)run->subject.count,
        .reply_count = (uint32_t)run->reply.count,
        .queues_count = (uint32_t)queues.count,
        .header_bytes = run->header_bytes,
        .total_bytes = run->total_bytes,
        .account = account->id,
        .remotes = remotes,
        .place = place_of(run),
    };
    bool whole = mail_texts_bytes(run, queues) + run->total_bytes <= MAIL_INLINE_BYTES_MAX;
    ASSERT(whole || run->run_more == 0);
    if (!whole) {
        header.block = mail_block_new(&shard->context.pool.blocks, run, queues, bytes == sizeof header);
        if (header.block == NULL)
            return false;
        if (bytes != sizeof header)
            header.body = run->block != NULL ? run->body : header.block->bytes;
    }
    uint8_t *record = post_reserve(&shard->post, to, bytes, spare);
    if (record == NULL) {
        block_release(&shard->context.pool.blocks, header.block);
        return false;
    }
    memcpy(record, &header, sizeof header);
    if (bytes > sizeof header) {
        uint8_t *at = mail_put_texts(record + sizeof header, run, queues);
        if (whole)
            (void)mail_put(at, bytes_of(run->body, mail_body_bytes(run)));
    }
    post_commit(&shard->post, to, bytes);
    return true;
}

static bool mail_message(struct shard *shard, const struct shard_account *account, uint32_t to,
                         uint64_t remotes, const struct message *run, struct bytes queues, bool spare)
{
    return mail_as(shard, account, MAIL_REMOTE_MESSAGE, to, remotes, run, queues, spare);
}

bool remotes_mail_run(struct shard *shard, const struct shard_account *account, uint8_t kind, uint32_t owner,
                      uint64_t to, const struct message *run, struct bytes queues)
{
    return mail_as(shard, account, kind, owner, to, run, queues, false);
}

bool remotes_room(struct shard *shard, const struct shard_account *account, const struct message *message,
                  uint64_t local_mails, uint32_t times)
{
    const struct match *match = find(shard, account, message);
    if (match == NULL || match->interest_count == 0)
        return true;
    uint64_t servers = plain_servers(account, match);
    size_t queues = 0;
    for (uint32_t g = 0; g < match->group_count; g++) {
        servers = account->remotes.up;
        queues += group_name(&match->groups[g]).count + 1;
    }
    uint32_t longest = (uint32_t)(queues < REMOTE_QUEUES_BYTES ? queues : REMOTE_QUEUES_BYTES);
    uint32_t most = sizeof(struct mail_remote_message) + MAIL_INLINE_BYTES_MAX;
    if (message->run_more > 0)
        most = remotes_record_bytes(message, (struct bytes){NULL, 0});
    else if (times == 1)
        most = (uint32_t)sizeof(struct mail_remote_message) +
               mail_inline_bytes(message, longest, MAIL_INLINE_BYTES_MAX);
    uint64_t mails = (local_mails + (uint64_t)__builtin_popcountll(servers)) * times;
    for (uint64_t left = servers; left != 0; left &= left - 1) {
        const struct remote_line *line = line_to(shard, account, (unsigned)__builtin_ctzll(left));
        if (line->own == NULL && !mailbox_has_room_for(post_box(&shard->post, line->shard), most, mails))
            return false;
    }
    return true;
}

/* ---- out ---- */

static struct bytes account_name(const struct shard_account *account)
{
    return account->host.configured == NULL ? (struct bytes){NULL, 0} : account->host.configured->name;
}

static bool deliver_own(const struct shard *shard, struct route_connection *connection,
                        struct shard_account *account, const struct message *run, struct bytes queues)
{
    struct bytes name = account_name(account);
    const struct security_permissions *permissions = shard->snapshot->options->cluster.permissions;
    if (UNLIKELY(permissions != NULL) &&
        !permissions_deliver(permissions, run->subject, (struct bytes){NULL, 0}))
        return false; /* what is wanted by a wildcard and denied by name */
    struct message placed = *run;
    placed.place = place_of(run);
    if (name.count == 0 || !route_deliver(&connection->route, name, &placed, queues))
        return false;
    account->routes.out_messages += message_count(run);
    account->routes.out_bytes += (uint64_t)message_count(run) * run->total_bytes;
    return true;
}

size_t remotes_queue_add(uint8_t names[REMOTE_QUEUES_BYTES], size_t count, struct bytes name)
{
    if (count + name.count + 1 > REMOTE_QUEUES_BYTES)
        return count;
    if (count > 0)
        names[count++] = ' ';
    memcpy(names + count, name.data, name.count);
    return count + name.count;
}

/* The names of the groups that this server serves, a blank between each. */
static struct bytes queues_of(const struct remotes_plan *plan, uint32_t remote,
                              uint8_t names[REMOTE_QUEUES_BYTES])
{
    size_t count = 0;
    for (uint32_t i = 0; i < plan->count; i++) {
        struct bytes name = plan->groups[i].name;
        if (plan->groups[i].remote == remote)
            count = remotes_queue_add(names, count, name);
    }
    return bytes_of(names, count);
}

/* The servers of one shard in a set that begins with one of it. */
static uint64_t same_shard(const struct shard *shard, const struct shard_account *account, uint64_t servers,
                           uint32_t owner)
{
    uint64_t same = 0;
    for (uint64_t left = servers; left != 0; left &= left - 1) {
        unsigned remote = (unsigned)__builtin_ctzll(left);
        same |= line_to(shard, account, remote)->shard == owner ? 1ULL << remote : 0;
    }
    return same;
}

static bool deliver_queued(struct shard *shard, struct shard_account *account, const struct message *message,
                           const struct remotes_plan *plan, bool spare)
{
    uint8_t names[REMOTE_QUEUES_BYTES];
    bool taken = false;
    for (uint64_t left = plan->queued; left != 0; left &= left - 1) {
        unsigned number = (unsigned)__builtin_ctzll(left);
        const struct remote_line *line = line_to(shard, account, number);
        struct bytes queues = queues_of(plan, number, names);
        if (queues.count == 0 && (plan->plain >> number & 1) == 0)
            continue; /* its only name is too long for us */
        if (line->own != NULL)
            taken |= deliver_own(shard, line->own, account, message, queues);
        else
            taken |= mail_message(shard, account, line->shard, 1ULL << number, message, queues, spare);
    }
    return taken;
}

bool remotes_deliver(struct shard *shard, struct shard_account *account, const struct message *run,
                     const struct remotes_plan *plan, bool spare)
{
    struct bytes none = {NULL, 0};
    bool taken = false;
    for (uint64_t left = plan->plain & ~plan->queued; left != 0;) {
        const struct remote_line *line = line_to(shard, account, (unsigned)__builtin_ctzll(left));
        if (line->own != NULL) {
            taken |= deliver_own(shard, line->own, account, run, none);
            left &= left - 1;
            continue;
        }
        uint64_t same = same_shard(shard, account, left, line->shard);
        taken |= mail_message(shard, account, line->shard, same, run, none, spare);
        left &= ~same;
    }
    if (UNLIKELY(plan->queued != 0))
        taken |= deliver_queued(shard, account, run, plan, spare);
    return taken;
}

bool remotes_fall_back(struct shard *shard, struct shard_account *account, const struct message *message,
                       struct bytes group)
{
    struct remotes_plan plan;
    if (account->remote == NULL)
        return false;
    remotes_plan_nobody(&plan);
    plan.match = find(shard, account, message);
    return remotes_plan_add(shard, account, &plan, group) &&
           remotes_deliver(shard, account, message, &plan, true);
}

/* A line by which that server can be reached, the account's if it has one; NULL: there is none. */
static const struct remote_line *any_line(const struct shard *shard, const struct shard_account *account,
                                          uint32_t remote)
{
    const struct remote_line *lines = shard->remotes.all[remote].lines;
    if (account != NULL && lines[account->remotes.line].up)
        return &lines[account->remotes.line];
    for (size_t line = 0; line < ROUTE_POOL_MAX; line++) {
        if (lines[line].up)
            return &lines[line];
    }
    return NULL;
}

uint32_t remotes_by_hash(const struct shard *shard, struct bytes mapped)
{
    uint32_t remote = 0;
    while (shard->remotes.all != NULL && remote < REMOTES_MAX &&
           (any_line(shard, NULL, remote) == NULL ||
            !gateway_reply_for_server(mapped, shard->remotes.all[remote].hash)))
        remote++;
    return shard->remotes.all == NULL ? REMOTES_MAX : remote;
}

enum host_result remotes_pass(struct shard *shard, struct shard_account *account, uint32_t remote,
                              const struct message *message)
{
    struct bytes none = {NULL, 0};
    const struct remote_line *line = any_line(shard, account, remote);
    if (line == NULL)
        return HOST_DONE;
    if (line->own != NULL) {
        (void)deliver_own(shard, line->own, account, message, none);
        return HOST_DONE;
    }
    if (!mailbox_has_room_for(post_box(&shard->post, line->shard), remotes_record_bytes(message, none), 1))
        return HOST_FULL;
    (void)mail_as(shard, account, MAIL_REMOTE_PASSED, line->shard, 1ULL << remote, message, none, false);
    return HOST_DONE;
}

void remotes_mail_passed(struct shard *shard, const uint8_t *mail, uint32_t bytes)
{
    struct mail_remote_message header;
    struct message message;
    struct bytes queues;
    ASSERT(bytes >= sizeof header);
    remotes_mail_read(mail, &header, &message, &queues);
    struct shard_account *account = accounts_get(shard, header.account);
    const struct remote_line *line =
        account == NULL ? NULL : any_line(shard, account, (uint32_t)__builtin_ctzll(header.remotes));
    if (line != NULL && line->own != NULL)
        (void)deliver_own(shard, line->own, account, &message, queues);
    block_release(&shard->context.pool.blocks, header.block);
}

void remotes_mail_read(const uint8_t *mail, struct mail_remote_message *header, struct message *message,
                       struct bytes *queues)
{
    memcpy(header, mail, sizeof *header);
    const uint8_t *at = mail + sizeof *header;
    if (header->block != NULL && header->body == NULL)
        at = header->block->bytes;
    *message = (struct message){
        .place = header->place, .run_more = header->run_more, .run_stride = header->run_stride};
    message->subject = mail_next_text(&at, header->subject_count);
    message->reply = mail_next_text(&at, header->reply_count);
    *queues = mail_next_text(&at, header->queues_count);
    message->total_size_text = mail_next_text(&at, header->total_size_count);
    message->header_size_text = mail_next_text(&at, header->header_size_count);
    message->header_bytes = header->header_bytes;
    message->total_bytes = header->total_bytes;
    message->body = header->body != NULL ? header->body : at;
    message->block = header->block;
}

void remotes_mail_message(struct shard *shard, const uint8_t *mail, uint32_t bytes)
{
    struct mail_remote_message header;
    struct message message;
    struct bytes queues;
    ASSERT(bytes >= sizeof header);
    remotes_mail_read(mail, &header, &message, &queues);
    struct shard_account *account = accounts_get(shard, header.account);
    for (uint64_t left = account == NULL ? 0 : header.remotes & account->remotes.up; left != 0;
         left &= left - 1) {
        struct route_connection *own = line_to(shard, account, (unsigned)__builtin_ctzll(left))->own;
        if (own != NULL) /* else it has gone meanwhile */
            (void)deliver_own(shard, own, account, &message, queues);
    }
    block_release(&shard->context.pool.blocks, header.block);
}
