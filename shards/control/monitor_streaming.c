/* shards/control/monitor_streaming.c - the pages below /streaming: what the streaming service has
 * (spec/monitoring.md 4). All of it is the control core's own, so no shard is asked. Clients and channels are
 * told in order of their names, a page of them for each request: sorting pointers to 100,000 of them takes
 * some ten milliseconds, which is the longest that this takes. */
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/base/version.h"
#include "shards/control/control.h"
#include "shards/control/monitor_replica.h"
#include "shards/control/monitor_task.h"
#include "shards/streaming/banner.h"
#include "shards/streaming/state.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { LIMIT_DEFAULT = 1024, INDENT = 2, WHY_BYTES = 512 };

/* The service's first machine, which has the clients; NULL: the task has failed with 404, as any path that is
 * not there. */
static const struct streaming *machine_of(const struct control *control, struct monitor_task *task)
{
    const struct streaming *machine = service_machine(control, 0);
    if (machine == NULL)
        monitor_fail(task, HTTP_NOT_FOUND, "404 page not found");
    else
        json_output_init(&task->document, INDENT, MONITOR_BODY_BYTES_MAX);
    return machine;
}

/* Numbers in these queries never fail: what is none is 0. */
static int64_t number_of(const struct monitor_task *task, const char *name)
{
    char given[HTTP_PARAMETER_BYTES];
    struct bytes value = monitor_text(task, name, given);
    int64_t number = 0;
    for (size_t i = 0; i < value.count; i++) {
        if (value.data[i] < '0' || value.data[i] > '9' || number > INT32_MAX)
            return 0;
        number = number * 10 + (value.data[i] - '0');
    }
    return number;
}

static void put_head(const struct control *control, const struct streaming *machine,
                     struct json_output *document)
{
    json_put_object(document, NULL);
    json_put_text(document, "cluster_id", machine->info.cluster_id);
    json_put_text(document, "server_id", bytes_of(control->server_id, STREAMING_SERVER_ID_BYTES));
}

static void end(struct monitor_task *task)
{
    json_put_object_end(&task->document);
    task->done = true;
}

/* ---- the index, and who is active ---- */

void streaming_index_begin(struct control *control, struct monitor_task *task)
{
    if (machine_of(control, task) == NULL)
        return;
    json_output_close(&task->document);
    json_output_init(&task->document, 0, MONITOR_BODY_BYTES_MAX);
    json_output_add(&task->document,
                    TEXT("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                         "<title>Myelin: streaming</title>\n</head>\n<body>\n<h1>NATS Streaming</h1>\n<pre>\n"
                         "<a href=\"./streaming/serverz\">server</a>\n"
                         "<a href=\"./streaming/storez\">store</a>\n"
                         "<a href=\"./streaming/clientsz\">clients</a>\n"
                         "<a href=\"./streaming/channelsz\">channels</a>\n"
                         "</pre>\n</body>\n</html>\n"));
    task->content_type = "text/html; charset=utf-8";
    task->plain = task->browsed = task->done = true;
}

/* Load balancers ask for the status alone: 200 for the active one of a fault tolerance group, which a server
 * alone is not. */
void streaming_active_begin(struct control *control, struct monitor_task *task)
{
    if (machine_of(control, task) == NULL)
        return;
    json_output_close(&task->document);
    json_output_init(&task->document, 0, MONITOR_BODY_BYTES_MAX);
    task->status = HTTP_NO_CONTENT;
    task->plain = task->done = true;
}

/* ---- the server, the store ---- */

struct descriptors {
    uint64_t open;
    uint64_t most; /* that the process may have */
};

/* From Linux 6.2 on the folder's size says how many there are; before, its names have to be counted. */
static bool descriptors_count(struct descriptors *count)
{
    struct rlimit limit;
    struct stat status;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || stat("/proc/self/fd", &status) < 0)
        return false;
    *count = (struct descriptors){.open = (uint64_t)status.st_size, .most = limit.rlim_cur};
    if (status.st_size > 0)
        return true;
    DIR *names = opendir("/proc/self/fd");
    if (names == NULL)
        return false;
    for (const struct dirent *name = NULL; (name = readdir(names)) != NULL;)
        count->open += name->d_name[0] != '.';
    closedir(names);
    return true;
}

void streaming_server_begin(struct control *control, struct monitor_task *task)
{
    const struct streaming *machine = machine_of(control, task);
    struct json_output *document = &task->document;
    if (machine == NULL)
        return;
    struct descriptors descriptors;
    struct streaming_figures figures = service_figures(control);
    put_head(control, machine, document);
    json_put_text(document, "version", TEXT(MYELIN_STREAMING_VERSION));
    json_put_text(document, "go", TEXT(""));
    monitor_put_replica(control, document);
    monitor_put_time(document, "now", control, clock_monotonic_ns());
    monitor_put_time(document, "start_time", control, control->monitor.start_ns);
    monitor_put_span(document, "uptime", clock_monotonic_ns() - control->monitor.start_ns);
    json_put_unsigned(document, "clients", figures.client_count);
    json_put_unsigned(document, "subscriptions", figures.subscription_count);
    json_put_unsigned(document, "channels", figures.channel_count);
    json_put_unsigned(document, "total_msgs", figures.message_count);
    json_put_unsigned(document, "total_bytes", figures.message_bytes);
    json_put_unsigned(document, "in_msgs", figures.in_messages);
    json_put_unsigned(document, "in_bytes", figures.in_bytes);
    json_put_unsigned(document, "out_msgs", figures.out_messages);
    json_put_unsigned(document, "out_bytes", figures.out_bytes);
    if (descriptors_count(&descriptors)) { /* the original leaves them out where there is no /proc */
        json_put_unsigned(document, "open_fds", descriptors.open);
        json_put_unsigned(document, "max_fds", descriptors.most);
    }
    end(task);
}

/* -1 is what the original keeps for "no limit" in a rule. */
static int64_t rule_shown(int64_t value, int64_t inherited)
{
    return value == LIMIT_INHERITED ? inherited : value == 0 ? -1 : value;
}

static void put_rules(const struct streaming_options *options, struct json_output *document)
{
    char name[WHY_BYTES];
    if (options->rule_count == 0)
        return;
    json_put_object(document, "channels");
    for (uint32_t i = 0; i < options->rule_count; i++) {
        const struct store_limits_rule *rule = &options->rules[i];
        snprintf(name, sizeof name, "%.*s", BYTES_PRINTF(rule->name));
        json_put_object(document, name);
        json_put_int(document, "max_msgs", rule_shown(rule->messages_max, options->messages_max));
        json_put_int(document, "max_bytes", rule_shown(rule->bytes_max, options->bytes_max));
        json_put_int(document, "max_age", rule_shown(rule->age_max_ns, options->age_max_ns));
        json_put_int(document, "max_subscriptions",
                     rule_shown(rule->subscriptions_max, options->subscriptions_max));
        json_put_int(document, "max_inactivity",
                     rule_shown(rule->inactivity_max_ns, options->inactivity_max_ns));
        json_put_object_end(document);
    }
    json_put_object_end(document);
}

void streaming_store_begin(struct control *control, struct monitor_task *task)
{
    const struct streaming *machine = machine_of(control, task);
    const struct streaming_options *options = &control->snapshot->options->streaming;
    struct json_output *document = &task->document;
    if (machine == NULL)
        return;
    struct streaming_figures figures = service_figures(control);
    put_head(control, machine, document);
    monitor_put_time(document, "now", control, clock_monotonic_ns());
    json_put_text(document, "type", text(store_kind_name(machine->store)));
    json_put_object(document, "limits");
    json_put_int(document, "max_channels", options->channels_max);
    json_put_int(document, "max_msgs", options->messages_max);
    json_put_int(document, "max_bytes", options->bytes_max);
    json_put_int(document, "max_age", options->age_max_ns);
    json_put_int(document, "max_subscriptions", options->subscriptions_max);
    json_put_int(document, "max_inactivity", options->inactivity_max_ns);
    put_rules(options, document);
    json_put_object_end(document);
    json_put_unsigned(document, "total_msgs", figures.message_count);
    json_put_unsigned(document, "total_bytes", figures.message_bytes);
    end(task);
}

/* ---- subscriptions ---- */

static void put_subscription(struct json_output *document, const struct streaming_subscription *subscription)
{
    const struct wire_subscription_state *info = &subscription->info;
    json_put_object(document, NULL);
    json_put_text(document, "client_id", info->client_id);
    json_put_text(document, "inbox", info->inbox);
    json_put_text(document, "ack_inbox", info->ack_inbox);
    json_put_text_some(document, "durable_name", info->durable_name);
    json_put_text_some(document, "queue_name", info->group);
    json_put_bool(document, "is_durable", info->durable);
    json_put_bool(document, "is_offline", subscription->state == SUBSCRIPTION_OFFLINE);
    json_put_int(document, "max_inflight", info->max_in_flight);
    json_put_int(document, "ack_wait", info->ack_wait_seconds);
    json_put_unsigned(document, "last_sent", info->last_sent);
    json_put_unsigned(document, "pending_count", subscription->pending.count);
    json_put_bool(document, "is_stalled", subscription->stalled);
    json_put_object_end(document);
}

static void put_list(struct json_output *document, const struct list *list)
{
    for (struct list_link *at = list_first(list); at != NULL; at = list_next(list, at))
        put_subscription(document, LIST_ELEMENT(at, struct streaming_subscription, of_channel));
}

/* ---- channels ---- */

static void put_channel(struct json_output *document, const struct streaming_channel *channel,
                        bool with_subscriptions)
{
    struct store_channel_figures figures = channel_figures(channel);
    json_put_object(document, NULL);
    json_put_text(document, "name", channel->name);
    json_put_unsigned(document, "msgs", figures.message_count);
    json_put_unsigned(document, "bytes", figures.bytes);
    json_put_unsigned(document, "first_seq", figures.first_sequence);
    json_put_unsigned(document, "last_seq", figures.last_sequence);
    json_put_unsigned(document, "subs_count", channel->subscription_count);
    if (with_subscriptions && channel->subscription_count > 0) {
        json_put_array(document, "subscriptions");
        put_list(document, &channel->plain);
        put_list(document, &channel->offline);
        for (struct list_link *at = list_first(&channel->groups); at != NULL;
             at = list_next(&channel->groups, at)) {
            const struct streaming_group *group = LIST_ELEMENT(at, struct streaming_group, of_channel);
            put_list(document, &group->members);
            if (group->shadow != NULL)
                put_subscription(document, group->shadow);
        }
        json_put_array_end(document);
    }
    json_put_object_end(document);
}

static int compare_bytes(struct bytes a, struct bytes b)
{
    size_t count = a.count < b.count ? a.count : b.count;
    int order = count == 0 ? 0 : memcmp(a.data, b.data, count);
    return order != 0 ? order : a.count < b.count ? -1 : a.count > b.count;
}

static int compare_channels(const void *left, const void *right)
{
    const struct streaming_channel *const *a = left, *const *b = right;
    return compare_bytes((*a)->name, (*b)->name);
}

static int compare_clients(const void *left, const void *right)
{
    const struct streaming_client *const *a = left, *const *b = right;
    return compare_bytes((*a)->info.id, (*b)->info.id);
}

/* Which of `total` the request is for. */
struct window {
    size_t offset, limit, count;
};

static struct window window_of(const struct monitor_task *task, size_t total)
{
    int64_t limit = number_of(task, "limit");
    struct window window = {.offset = (size_t)number_of(task, "offset"),
                            .limit = limit <= 0 ? LIMIT_DEFAULT : (size_t)limit};
    if (window.offset < total)
        window.count = total - window.offset < window.limit ? total - window.offset : window.limit;
    return window;
}

static void put_window(const struct control *control, const struct streaming *machine,
                       struct json_output *document, struct window window, size_t total)
{
    put_head(control, machine, document);
    monitor_put_time(document, "now", control, clock_monotonic_ns());
    json_put_unsigned(document, "offset", window.offset);
    json_put_unsigned(document, "limit", window.limit);
    json_put_unsigned(document, "count", window.count);
    json_put_unsigned(document, "total", total);
}

static void not_found(struct monitor_task *task, const char *what, struct bytes name)
{
    char why[WHY_BYTES];
    snprintf(why, sizeof why, "%s %.*s not found\n", what, BYTES_PRINTF(name));
    json_output_close(&task->document);
    monitor_fail(task, HTTP_NOT_FOUND, why);
}

static void put_channels(struct json_output *document, struct streaming_channel *const *all,
                         struct window window, bool subscriptions)
{
    if (window.count == 0)
        return;
    json_put_array(document, subscriptions ? "channels" : "names");
    for (size_t i = window.offset; i < window.offset + window.count; i++) {
        if (subscriptions)
            put_channel(document, all[i], true);
        else
            json_put_text(document, NULL, all[i]->name);
    }
    json_put_array_end(document);
}

void streaming_channels_begin(struct control *control, struct monitor_task *task)
{
    char given[HTTP_PARAMETER_BYTES];
    const struct streaming *machine = machine_of(control, task);
    bool subscriptions = number_of(task, "subs") == 1;
    struct bytes name = monitor_text(task, "channel", given);
    if (machine == NULL)
        return;
    if (name.count > 0) {
        uint32_t group = groups_of_channel(name, service_group_count(control));
        const struct streaming_channel *channel = channel_find(service_machine(control, group), name);
        if (channel == NULL) {
            not_found(task, "Channel", name);
            return;
        }
        put_channel(&task->document, channel, subscriptions);
        task->done = true;
        return;
    }
    size_t total = service_figures(control).channel_count, count = 0;
    struct streaming_channel **all = memory_new((total + 1) * sizeof *all);
    if (all == NULL) {
        monitor_fail(task, HTTP_UNAVAILABLE, "out of memory");
        return;
    }
    for (uint32_t i = 0; i < service_group_count(control); i++) {
        const struct list *list = &service_machine(control, i)->all_channels;
        for (struct list_link *at = list_first(list); at != NULL; at = list_next(list, at))
            all[count++] = LIST_ELEMENT(at, struct streaming_channel, all);
    }
    qsort(all, count, sizeof(struct streaming_channel *), compare_channels);
    struct window window = window_of(task, total);
    put_window(control, machine, &task->document, window, total);
    put_channels(&task->document, all, window, subscriptions);
    memory_free(all);
    end(task);
}

/* ---- clients ---- */

static int compare_by_channel(const void *left, const void *right)
{
    const struct streaming_subscription *const *a = left, *const *b = right;
    return compare_bytes((*a)->channel->name, (*b)->channel->name);
}

/* {channel: [subscription]} */
static void put_by_channel(struct json_output *document, struct streaming_subscription **all, size_t count)
{
    char name[WHY_BYTES];
    qsort(all, count, sizeof(struct streaming_subscription *), compare_by_channel);
    json_put_object(document, "subscriptions");
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || all[i]->channel != all[i - 1]->channel) {
            if (i > 0)
                json_put_array_end(document);
            snprintf(name, sizeof name, "%.*s", BYTES_PRINTF(all[i]->channel->name));
            json_put_array(document, name);
        }
        put_subscription(document, all[i]);
    }
    json_put_array_end(document);
    json_put_object_end(document);
}

/* Of the client of that id, in all groups; into `all` unless it is NULL. */
static size_t subscriptions_of(const struct control *control, struct bytes id,
                               struct streaming_subscription **all)
{
    size_t count = 0;
    for (uint32_t i = 0; i < service_group_count(control); i++) {
        const struct streaming_client *client = client_find(service_machine(control, i), id);
        for (struct list_link *at = client == NULL ? NULL : list_first(&client->subscriptions); at != NULL;
             at = list_next(&client->subscriptions, at), count++) {
            if (all != NULL)
                all[count] = LIST_ELEMENT(at, struct streaming_subscription, of_client);
        }
    }
    return count;
}

static void put_client(const struct control *control, struct json_output *document,
                       const struct streaming_client *client, bool with_subscriptions)
{
    size_t count = subscriptions_of(control, client->info.id, NULL);
    json_put_object(document, NULL);
    json_put_text(document, "id", client->info.id);
    json_put_text(document, "hb_inbox", client->info.heartbeat_inbox);
    json_put_unsigned(document, "subs_count", count);
    struct streaming_subscription **all =
        with_subscriptions && count > 0 ? memory_new(count * sizeof *all) : NULL;
    if (all != NULL)
        put_by_channel(document, all, subscriptions_of(control, client->info.id, all));
    memory_free(all);
    json_put_object_end(document);
}

void streaming_clients_begin(struct control *control, struct monitor_task *task)
{
    char given[HTTP_PARAMETER_BYTES];
    const struct streaming *machine = machine_of(control, task);
    bool subscriptions = number_of(task, "subs") == 1;
    struct bytes id = monitor_text(task, "client", given);
    if (machine == NULL)
        return;
    if (id.count > 0) {
        const struct streaming_client *client = client_find(machine, id);
        if (client == NULL) {
            not_found(task, "Client", id);
            return;
        }
        put_client(control, &task->document, client, subscriptions);
        task->done = true;
        return;
    }
    size_t total = machine->clients.count, count = 0;
    struct streaming_client **all = memory_new((total + 1) * sizeof *all);
    if (all == NULL) {
        monitor_fail(task, HTTP_UNAVAILABLE, "out of memory");
        return;
    }
    for (struct list_link *at = list_first(&machine->all_clients); at != NULL;
         at = list_next(&machine->all_clients, at))
        all[count++] = LIST_ELEMENT(at, struct streaming_client, all);
    qsort(all, count, sizeof(struct streaming_client *), compare_clients);
    struct window window = window_of(task, total);
    put_window(control, machine, &task->document, window, total);
    json_put_array(&task->document, "clients");
    for (size_t i = window.offset; i < window.offset + window.count; i++)
        put_client(control, &task->document, all[i], subscriptions);
    json_put_array_end(&task->document);
    memory_free(all);
    end(task);
}
