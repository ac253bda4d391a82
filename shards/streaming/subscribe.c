/* shards/streaming/subscribe.c - from a subscription request to a subscription that gets messages: what is
 * refused, where it starts, what a durable or a group has kept (spec/streaming.md 9, 11.3, 12.5); a part of
 * state.h. In the flow:  subscribe_request() -> apply_subscribe() or apply_resume() -> response held ||
 * response out -> subscribe_start() -> channel_deliver() */
#include "shards/streaming/state.h"

#include "core/base/memory.h"

#include <stdio.h>

enum { START_POSITIONS = START_FIRST + 1, ACK_INBOX_RANDOM = 22, ACK_INBOX_BYTES = 7 + ACK_INBOX_RANDOM };

/* ---- validation ---- */

static enum streaming_text request_fault(const struct wire_subscription_request *request)
{
    if (request->client_id.count == 0)
        return STREAMING_CLIENT_ID_MISSING;
    if (request->ack_wait_seconds < 1)
        return STREAMING_ACK_WAIT_INVALID;
    if (request->max_in_flight < 1)
        return STREAMING_IN_FLIGHT_INVALID;
    if (request->start_position < 0 || request->start_position >= START_POSITIONS)
        return STREAMING_START_INVALID;
    if (!limits_channel_name_valid(request->subject))
        return STREAMING_SUBJECT_INVALID;
    return STREAMING_NONE;
}

/* ---- where to start ---- */

int64_t start_moment_ns(const struct streaming *machine, const struct wire_subscription_request *request)
{
    int64_t moment_ns;
    if (__builtin_sub_overflow(machine->now.wall_ns, request->start_delta_ns, &moment_ns))
        return request->start_delta_ns < 0 ? INT64_MAX : INT64_MIN;
    return moment_ns;
}

/* The sequence before the first one to be delivered. */
static uint64_t start_of(const struct streaming *machine, const struct streaming_channel *channel,
                         const struct wire_subscription_request *request)
{
    struct store_channel_figures figures = channel_figures(channel);
    uint64_t first = figures.first_sequence, last = figures.last_sequence, at = 0;
    if (machine->setup
            .replicated) { /* the same on every node: where the store begins is not, and does not matter */
        first = 1;
        last = channel->last_sequence;
    }
    if (last == 0)
        return 0;
    switch ((enum start_position)request->start_position) {
    case START_NEW_ONLY:
        return last;
    case START_LAST:
        return last - 1;
    case START_FIRST:
        return first - 1;
    case START_SEQUENCE:
        at = request->start_sequence;
        return at < first ? first - 1 : at > last ? last : at - 1;
    case START_TIME_DELTA:
        at = store_sequence_at_time(channel->store, start_moment_ns(machine, request));
        return at == 0 ? 0 : at - 1;
    }
    return last;
}

static void subscribe_propose(struct streaming *machine, const struct streaming_request *request,
                              const struct wire_subscription_request *read);

/* ---- apply ---- */

/* A new subscription. `group` NULL: none. */
static enum err apply_subscribe(struct streaming *machine, struct streaming_channel *channel,
                                struct streaming_client *client, struct streaming_group *group,
                                struct wire_subscription_state *info, struct streaming_subscription **made)
{
    info->id = machine->setup.replicated ? machine->applied_index : channel->subscription_ids + 1;
    struct streaming_subscription *subscription = subscription_new(machine, channel, info);
    if (subscription == NULL)
        return ERR_MEMORY;
    enum err err = subscription_put(machine, subscription);
    if (err == ERR_OK) {
        err = subscription_attach(machine, subscription, client, group);
        if (err != ERR_OK)
            subscription_forget(machine, subscription);
    }
    if (err != ERR_OK) {
        subscription_free(machine, subscription);
        return err;
    }
    channel->subscription_ids = info->id;
    *made = subscription;
    return ERR_OK;
}

/* A durable, or what is left of a durable group, becomes this client's. On error it is as it was. */
static enum err apply_resume(struct streaming *machine, struct streaming_subscription *subscription,
                             struct streaming_client *client, struct streaming_group *group,
                             const struct wire_subscription_state *info)
{
    struct wire_subscription_state before = subscription->info;
    int64_t before_wait_ns = subscription->ack_wait_ns;
    uint8_t *texts = subscription->texts;
    subscription->texts = NULL;
    enum err err = subscription_info_set(subscription, info);
    if (err == ERR_OK)
        err = subscription_put(machine, subscription);
    if (err == ERR_OK) {
        err = subscription_attach(machine, subscription, client, group);
        if (err == ERR_OK) {
            memory_free(texts);
            subscription->said_last_sent = info->last_sent;
            subscription->resumed = true;
            return ERR_OK;
        }
    }
    memory_free(subscription->texts);
    subscription->info = before;
    subscription->texts = texts;
    subscription->ack_wait_ns = before_wait_ns;
    if (subscription_put(machine, subscription) != ERR_OK) /* it is offline in any case after a restart */
        subscription->put_wanted = true;
    return err;
}

/* ---- request ---- */

static void ack_inbox_make(struct streaming *machine, char *to)
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    memcpy(to, "_INBOX.", 7);
    for (int i = 0; i < ACK_INBOX_RANDOM; i++)
        to[7 + i] = digits[random_below(&machine->random, sizeof digits - 1)];
}

/* The key of a group: a durable one has its durable's name in front. */
static struct bytes group_key(struct streaming *machine, const struct wire_subscription_request *request)
{
    size_t bytes = request->durable_name.count + 1 + request->group.count;
    if (request->durable_name.count == 0)
        return request->group;
    char *key = arena_new(&machine->passing, bytes + 1);
    if (key == NULL)
        return (struct bytes){NULL, 0};
    (void)snprintf(key, bytes + 1, "%.*s:%.*s", BYTES_PRINTF(request->durable_name),
                   BYTES_PRINTF(request->group));
    return bytes_of(key, bytes);
}

static enum err join_group(struct streaming *machine, struct streaming_channel *channel,
                           struct streaming_client *client, const struct wire_subscription_request *request,
                           struct wire_subscription_state *info, struct streaming_subscription **made)
{
    info->group = group_key(machine, request);
    if (info->group.count == 0)
        return ERR_MEMORY;
    struct streaming_group *group = group_find(channel, info->group);
    if (group != NULL && group->shadow != NULL) {
        info->id = group->shadow->info.id;
        info->last_sent = group->last_sent;
        *made = group->shadow;
        enum err err = apply_resume(machine, group->shadow, client, group, info);
        if (err == ERR_OK)
            group->shadow = NULL;
        return err;
    }
    bool fresh = group == NULL;
    if (fresh) {
        group = group_new(channel, info->group, info->durable);
        if (group == NULL)
            return ERR_MEMORY;
        group->last_sent = group->said_last_sent = start_of(machine, channel, request);
    }
    info->last_sent = machine->setup.replicated ? group->said_last_sent : group->last_sent;
    enum err err = apply_subscribe(machine, channel, client, group, info, made);
    if (err != ERR_OK && fresh)
        group_free(group);
    return err;
}

static enum err join_alone(struct streaming *machine, struct streaming_channel *channel,
                           struct streaming_client *client, const struct wire_subscription_request *request,
                           struct wire_subscription_state *info, struct streaming_subscription **made)
{
    struct streaming_subscription *durable =
        info->durable ? durable_find(machine, channel, client->info.id, request->durable_name) : NULL;
    if (durable == NULL) {
        info->last_sent = start_of(machine, channel, request);
        return apply_subscribe(machine, channel, client, NULL, info, made);
    }
    info->id = durable->info.id;
    info->last_sent = durable->info.last_sent;
    *made = durable;
    return apply_resume(machine, durable, client, NULL, info);
}

/* The durable is live: refused, or the old one goes. True: it may go on. */
static bool durable_free(struct streaming *machine, const struct streaming_channel *channel,
                         const struct wire_subscription_request *request, bool replace)
{
    if (request->durable_name.count == 0 || request->group.count > 0)
        return true;
    struct streaming_subscription *durable =
        durable_find(machine, channel, request->client_id, request->durable_name);
    if (durable == NULL || durable->state == SUBSCRIPTION_OFFLINE)
        return true;
    if (replace) {
        subscription_leave(machine, durable, false);
        return true;
    }
    machine_log(machine, LOG_ERROR, "[Client:%.*s] Duplicate durable subscription registration",
                BYTES_PRINTF(request->client_id));
    return false;
}

static struct bytes full_text(const struct streaming *machine, const struct streaming_channel *channel,
                              enum err err)
{
    uint32_t most = store_channel_limits(channel->store)->subscriptions_max;
    return err == ERR_FULL && most > 0 && channel->subscription_count >= most
               ? streaming_text(STREAMING_SUBSCRIPTIONS_FULL)
               : machine_store_text(machine, err);
}

/* A group's parts are told apart by the ':' between them. */
static bool durable_name_valid(const struct wire_subscription_request *request)
{
    return request->group.count == 0 || request->durable_name.count == 0 ||
           memchr(request->durable_name.data, ':', request->durable_name.count) == NULL;
}

static enum err subscribe(struct streaming *machine, struct streaming_client *client,
                          struct streaming_channel *channel, const struct wire_subscription_request *request,
                          struct bytes ack_inbox, struct streaming_subscription **made)
{
    struct wire_subscription_state info = {
        .client_id = client->info.id,
        .inbox = request->inbox,
        .ack_inbox = ack_inbox,
        .durable_name = request->durable_name,
        .max_in_flight = request->max_in_flight,
        .ack_wait_seconds = request->ack_wait_seconds,
        .durable = request->durable_name.count > 0,
    };
    return request->group.count > 0 ? join_group(machine, channel, client, request, &info, made)
                                    : join_alone(machine, channel, client, request, &info, made);
}

/* With one server: at once. */
static struct bytes subscribe_now(struct streaming *machine, struct streaming_client *client,
                                  struct streaming_channel *channel,
                                  const struct wire_subscription_request *request,
                                  struct streaming_subscription **made)
{
    char ack_inbox[ACK_INBOX_BYTES];
    if (!durable_name_valid(request))
        return streaming_text(STREAMING_DURABLE_NAME_INVALID);
    if (!durable_free(machine, channel, request, machine->setup.replace_durable))
        return streaming_text(STREAMING_DURABLE_EXISTS);
    ack_inbox_make(machine, ack_inbox);
    enum err err = subscribe(machine, client, channel, request, bytes_of(ack_inbox, sizeof ack_inbox), made);
    return err == ERR_OK ? streaming_text(STREAMING_NONE) : full_text(machine, channel, err);
}

/* The subscription is there: the answer, and what follows it. */
static void subscribed(struct streaming *machine, const struct streaming_request *request,
                       const struct wire_subscription_request *read,
                       struct streaming_subscription *subscription)
{
    struct bytes none = {NULL, 0};
    subscription->silent = subscription->client->failed_count > 0;
    machine_answer_subscription(machine, request, subscription->info.ack_inbox, none);
    subscription_log_begun(machine, subscription, read);
    subscription->start_after = machine->held_put;
    list_push_last(&machine->starting, &subscription->starting);
}

void subscribe_request(struct streaming *machine, const struct streaming_request *request)
{
    struct wire_subscription_request read;
    struct streaming_subscription *subscription = NULL;
    struct streaming_channel *channel = NULL;
    struct streaming_client *client = NULL;
    struct bytes none = {NULL, 0}, error = {NULL, 0};
    if (!wire_subscription_request_read(&machine->wire, request->payload, &read)) {
        if (machine->setup.group != 0)
            return; /* the first group's leader says so */
        machine_answer_subscription(machine, request, none, streaming_text(STREAMING_SUBSCRIBE_INVALID));
        return;
    }
    if (!streaming_owns(machine, read.subject))
        return;
    error = streaming_text(request_fault(&read));
    if (error.count == 0) {
        client = client_find(machine, read.client_id);
        if (client != NULL)
            client->via = request->via;
        else if (machine->setup.registry != NULL) /* on its way here: looked at again behind it in the log */
            client = client_find(machine->setup.registry, read.client_id);
        if (client == NULL)
            error = streaming_text(STREAMING_CLIENT_UNKNOWN);
    }
    if (client != NULL && machine->setup.replicated) {
        subscribe_propose(machine, request, &read);
        return;
    }
    if (client != NULL)
        channel = channel_open(machine, read.subject, &error);
    if (channel != NULL) {
        error = subscribe_now(machine, client, channel, &read, &subscription);
        channel_idle_check(machine, channel);
    }
    if (error.count > 0) {
        machine_answer_subscription(machine, request, none, error);
        return;
    }
    ASSERT(subscription != NULL);
    subscribed(machine, request, &read, subscription);
}

/* ---- the replicated log ---- */

/* Whoever holds the durable is to leave it: it gets nothing more, and what it has acknowledged is said first.
 */
static void holder_settle(struct streaming *machine, const struct wire_subscription_request *request)
{
    struct streaming_channel *channel = channel_find(machine, request->subject);
    struct streaming_subscription *holder = NULL;
    if (machine->setup.replace_durable && channel != NULL && request->group.count == 0)
        holder = durable_find(machine, channel, request->client_id, request->durable_name);
    if (holder != NULL && holder->state != SUBSCRIPTION_OFFLINE)
        subscription_settle(machine, holder);
}

static enum command_start start_command(const struct streaming *machine,
                                        const struct wire_subscription_request *request, uint64_t *sequence)
{
    const struct streaming_channel *channel = channel_find(machine, request->subject);
    *sequence = 0;
    switch ((enum start_position)request->start_position) {
    case START_NEW_ONLY:
        return COMMAND_START_NEW;
    case START_LAST:
        return COMMAND_START_LAST;
    case START_FIRST:
        return COMMAND_START_FIRST;
    case START_SEQUENCE:
        *sequence = request->start_sequence;
        return COMMAND_START_SEQUENCE;
    case START_TIME_DELTA: /* by this node's clock and messages */
        *sequence = channel == NULL ? 1 : start_of(machine, channel, request) + 1;
        return COMMAND_START_SEQUENCE;
    }
    return COMMAND_START_NEW;
}

static void subscribe_propose(struct streaming *machine, const struct streaming_request *request,
                              const struct wire_subscription_request *read)
{
    char ack_inbox[ACK_INBOX_BYTES];
    struct bytes none = {NULL, 0};
    struct command command = {
        .kind = COMMAND_SUBSCRIBE,
        .subscribe = {.client_id = read->client_id,
                      .channel = read->subject,
                      .group = read->group,
                      .inbox = read->inbox,
                      .ack_inbox = bytes_of(ack_inbox, sizeof ack_inbox),
                      .durable_name = read->durable_name,
                      .max_in_flight = read->max_in_flight,
                      .ack_wait_seconds = read->ack_wait_seconds,
                      .replace = machine->setup.replace_durable,
                      .subscriptions_max = store_limits_for(machine->store, read->subject).subscriptions_max},
    };
    command.subscribe.start = start_command(machine, read, &command.subscribe.sequence);
    enum streaming_text fault = STREAMING_NONE;
    bool left = registry_channels_left(machine, &command.subscribe.channels_max);
    ack_inbox_make(machine, ack_inbox);
    if (!durable_name_valid(read))
        fault = STREAMING_DURABLE_NAME_INVALID;
    else if (!left && channel_find(machine, read->subject) == NULL)
        fault = STREAMING_CHANNELS_FULL;
    else if (replicate_full(machine))
        fault = STREAMING_BUSY;
    else
        holder_settle(machine, read);
    struct wait wait = {.via = request->via, .reply = request->reply};
    if (fault == STREAMING_NONE && !replicate_propose(machine, &command, wait))
        fault = STREAMING_BUSY;
    if (fault != STREAMING_NONE)
        machine_answer_subscription(machine, request, none, streaming_text(fault));
}

/* The request as it would have come, but for what was looked up. */
static struct wire_subscription_request request_of(const struct command *command)
{
    static const enum start_position starts[] = {START_NEW_ONLY, START_LAST, START_FIRST, START_SEQUENCE};
    return (struct wire_subscription_request){
        .client_id = command->subscribe.client_id,
        .subject = command->subscribe.channel,
        .group = command->subscribe.group,
        .inbox = command->subscribe.inbox,
        .durable_name = command->subscribe.durable_name,
        .max_in_flight = command->subscribe.max_in_flight,
        .ack_wait_seconds = command->subscribe.ack_wait_seconds,
        .start_position = (int32_t)starts[command->subscribe.start],
        .start_sequence = command->subscribe.sequence,
    };
}

/* Whether it would be one more record: a durable that comes back is not, nor who takes over a group's shadow.
 */
static bool is_new(struct streaming *machine, const struct streaming_channel *channel,
                   const struct wire_subscription_request *request)
{
    if (request->group.count == 0)
        return request->durable_name.count == 0 ||
               durable_find(machine, channel, request->client_id, request->durable_name) == NULL;
    struct bytes key = group_key(machine, request);
    const struct streaming_group *group = group_find(channel, key);
    if (key.count == 0) /* memory is out; nobody is to take this for an answer */
        machine->trouble = ERR_MEMORY;
    return group == NULL || group->shadow == NULL;
}

/* ERR_OK and no subscription: *error says why. */
static enum err subscribe_committed(struct streaming *machine, const struct command *command,
                                    const struct wire_subscription_request *request, struct bytes *error,
                                    struct streaming_subscription **made)
{
    struct streaming_client *client = client_find(machine, request->client_id);
    struct streaming_channel *channel = NULL;
    uint32_t most = command->subscribe.subscriptions_max;
    if (client == NULL) {
        *error = streaming_text(STREAMING_CLIENT_UNKNOWN);
        return ERR_OK;
    }
    enum err err = channel_used(machine, request->subject, command->subscribe.channels_max, &channel, error);
    if (channel == NULL)
        return err;
    if (most > 0 && channel->subscription_count >= most && is_new(machine, channel, request))
        *error = streaming_text(STREAMING_SUBSCRIPTIONS_FULL);
    else if (!durable_free(machine, channel, request, command->subscribe.replace))
        *error = streaming_text(STREAMING_DURABLE_EXISTS);
    else
        err = subscribe(machine, client, channel, request, command->subscribe.ack_inbox, made);
    if (*made != NULL && client->leaving)
        subscription_settle(machine, *made);
    channel_idle_check(machine, channel);
    return err;
}

enum err subscribe_applied(struct streaming *machine, const struct command *command, const struct wait *wait)
{
    struct wire_subscription_request request = request_of(command);
    struct streaming_subscription *subscription = NULL;
    struct bytes none = {NULL, 0}, error = none;
    enum err err = subscribe_committed(machine, command, &request, &error, &subscription);
    if (err != ERR_OK || wait == NULL)
        return err;
    struct streaming_request answer = {.via = wait->via, .reply = wait->reply};
    if (subscription == NULL)
        machine_answer_subscription(machine, &answer, none, error);
    else
        subscribed(machine, &answer, &request, subscription);
    return ERR_OK;
}

/* ---- start ---- */

/* The next look at what is pending: one wait from now; after a restart when the first of it is due. */
static void pending_watch(struct streaming *machine, struct streaming_subscription *subscription)
{
    int64_t due_ns = machine->now.now_ns + subscription->ack_wait_ns;
    for (uint32_t i = 0; subscription->recovered && i < subscription->pending.capacity; i++) {
        const struct sequence_entry *entry = &subscription->pending.entries[i];
        if (entry->sequence != 0 && entry->word < due_ns)
            due_ns = entry->word;
    }
    if (subscription->pending.count > 0)
        machine_timer_set(machine, &subscription->timer, due_ns);
    subscription->recovered = false;
}

bool subscribe_start(struct streaming *machine, struct streaming_subscription *subscription)
{
    if (subscription->state == SUBSCRIPTION_STARTING) {
        subscription->state = SUBSCRIPTION_RESUMING;
        subscription->resume_sequence = 0;
    }
    if (!redelivery_resume(machine, subscription))
        return false;
    pending_watch(machine, subscription);
    subscription->state = SUBSCRIPTION_LIVE;
    subscription_stall(subscription, subscription->leaving || subscription->pending.count >=
                                                                  (uint32_t)subscription->info.max_in_flight);
    channel_ready(machine, subscription->channel);
    return true;
}
