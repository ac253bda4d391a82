/* shards/streaming/subscription_log.c - what the log says of a subscription that begins or ends, in the words
 * of spec/streaming.md 20.1, for those who look for them; a part of state.h. */
#include "core/base/clock.h"
#include "shards/streaming/state.h"

#include <stdio.h>
#include <time.h>

enum { START_BYTES = 160 };

/* As Go writes a time; of the world's clock, not of this machine's zone. */
static void moment_text(int64_t wall_ns, char *to, size_t capacity)
{
    time_t seconds = (time_t)(wall_ns / NS_PER_SECOND);
    struct tm parts;
    if (gmtime_r(&seconds, &parts) == NULL || wall_ns < 0) {
        (void)snprintf(to, capacity, "%lld ns", (long long)wall_ns);
        return;
    }
    size_t count = strftime(to, capacity, "%Y-%m-%d %H:%M:%S", &parts);
    (void)snprintf(to + count, capacity - count, ".%09lld +0000 UTC", (long long)(wall_ns % NS_PER_SECOND));
}

/* Where it starts. */
static void start_text(const struct streaming *machine, const struct streaming_subscription *subscription,
                       const struct wire_subscription_request *request, char *to)
{
    unsigned long long first = subscription->info.last_sent + 1;
    char moment[64];
    switch ((enum start_position)request->start_position) {
    case START_NEW_ONLY:
        (void)snprintf(to, START_BYTES, "new-only, seq=%llu", first);
        return;
    case START_LAST:
        (void)snprintf(to, START_BYTES, "last message, seq=%llu", first);
        return;
    case START_FIRST:
        (void)snprintf(to, START_BYTES, "from beginning, seq=%llu", first);
        return;
    case START_SEQUENCE:
        (void)snprintf(to, START_BYTES, "from sequence, asked_seq=%llu actual_seq=%llu",
                       (unsigned long long)request->start_sequence, first);
        return;
    case START_TIME_DELTA:
        moment_text(start_moment_ns(machine, request), moment, sizeof moment);
        (void)snprintf(to, START_BYTES, "from time time='%s' seq=%llu", moment, first);
        return;
    }
}

static void say(struct streaming *machine, const struct streaming_subscription *subscription,
                const char *verb, const char *sending, const char *start)
{
    const struct wire_subscription_state *info = &subscription->info;
    bool named = info->group.count > 0 || info->durable;
    machine_log(machine, LOG_DEBUG,
                "[Client:%.*s] %s %s%ssubscription, subject=%.*s, inbox=%.*s,%s%.*s%s subid=%llu%s%s",
                BYTES_PRINTF(info->client_id), verb, info->durable ? "durable " : "",
                info->group.count > 0 ? "queue " : "", BYTES_PRINTF(subscription->channel->name),
                BYTES_PRINTF(info->inbox),
                info->group.count > 0 ? " queue="
                : info->durable       ? " durable="
                                      : "",
                BYTES_PRINTF(info->group.count > 0 ? info->group : info->durable_name), named ? "," : "",
                (unsigned long long)info->id, sending, start);
}

void subscription_log_begun(struct streaming *machine, const struct streaming_subscription *subscription,
                            const struct wire_subscription_request *request)
{
    char start[START_BYTES];
    if (subscription->resumed) {
        say(machine, subscription, "Resumed", "", "");
    } else if (subscription->group != NULL && subscription->group->member_count > 1) {
        say(machine, subscription, "Added member to", "", "");
    } else {
        start_text(machine, subscription, request, start);
        say(machine, subscription, "Started new", ", sending ", start);
    }
}

void subscription_log_left(struct streaming *machine, const struct streaming_subscription *subscription,
                           bool forget)
{
    if (subscription->group != NULL && subscription->group->member_count > 1)
        say(machine, subscription, "Removed member from", "", "");
    else
        say(machine, subscription, subscription->info.durable && !forget ? "Suspended" : "Removed", "", "");
}
