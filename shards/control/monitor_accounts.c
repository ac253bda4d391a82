/* shards/control/monitor_accounts.c - /accountz and /accstatz (spec/monitoring.md 2.7, 2.8). What is
 * configured comes from the snapshot in force, figures from the shards. */
#include "shards/control/monitor_accounts.h"

#include "core/base/clock.h"
#include "shards/control/control.h"

#include <inttypes.h>
#include <stdio.h>

static const struct security_accounts *accounts_of(const struct control *control)
{
    return &control->snapshot->options->security.accounts;
}

/* ---- /accountz ---- */

static void head_write(struct control *control, struct monitor_task *task)
{
    const struct security_account *system = accounts_of(control)->system;
    json_put_object(&task->document, NULL);
    monitor_put_now(&task->document, control);
    if (system != NULL)
        json_put_text(&task->document, "system_account", system->name);
}

void accountz_begin(struct control *control, struct monitor_task *task)
{
    char why[HTTP_WHY_BYTES];
    const struct security_accounts *accounts = accounts_of(control);
    task->report.account = monitor_text(task, "acc", task->account);
    if (task->report.account.count > 0) {
        if (security_account_find(accounts, task->report.account) != NULL) {
            monitor_figures_ask(control, task);
            return;
        }
        snprintf(why, sizeof why, "Account %.*s does not exist", BYTES_PRINTF(task->report.account));
        monitor_fail(task, HTTP_BAD_REQUEST, why);
        return;
    }
    head_write(control, task);
    json_put_array(&task->document, "accounts");
    for (uint32_t i = 0; i < accounts->count; i++)
        json_put_text(&task->document, NULL, accounts->all[i]->name);
    json_put_array_end(&task->document);
    json_put_object_end(&task->document);
    task->done = true;
}

void accountz_told(struct control *control, struct monitor_task *task)
{
    if (monitor_matches_ask(control, task))
        return;
    /* It may have gone by a reload while the shards told of it. */
    const struct security_account *account =
        security_account_find(accounts_of(control), task->report.account);
    head_write(control, task);
    if (account != NULL)
        monitor_put_account_detail(&task->document, control, task, account, "account_detail");
    json_put_object_end(&task->document);
    task->done = true;
}

/* A pattern as a mapping's destination that keeps the subject: its `*` are `$1`, `$2`. Cut at the end of
 * `out`, as the key is. */
static struct bytes kept_subject(struct bytes source, char out[HTTP_PARAMETER_BYTES])
{
    enum { NUMBER_BYTES = 12 };
    size_t count = 0;
    unsigned number = 0;
    for (size_t i = 0; i < source.count && count + NUMBER_BYTES < HTTP_PARAMETER_BYTES; i++) {
        bool first = i == 0 || source.data[i - 1] == '.';
        bool last = i + 1 == source.count || source.data[i + 1] == '.';
        if (source.data[i] == '*' && first && last)
            count += (size_t)snprintf(out + count, NUMBER_BYTES, "$%u", ++number);
        else
            out[count++] = (char)source.data[i];
    }
    return bytes_of(out, count);
}

/* What a target has of its cluster's 100: how much more it goes up to than the one before it. */
static uint32_t weight_of(const struct mapping *mapping, uint32_t at)
{
    const struct mapping_target *target = &mapping->targets[at];
    for (uint32_t i = at; i > 0; i--) {
        if (bytes_equal(mapping->targets[i - 1].cluster, target->cluster))
            return (uint32_t)target->up_to - mapping->targets[i - 1].up_to;
    }
    return target->up_to;
}

static void put_target(struct json_output *document, const struct mapping *mapping, uint32_t at,
                       uint32_t up_to)
{
    char kept[HTTP_PARAMETER_BYTES];
    const struct mapping_target *target = &mapping->targets[at];
    json_put_object(document, NULL);
    json_put_text(document, "subject",
                  target->transform == NULL ? kept_subject(mapping->source, kept)
                                            : target->transform->destination);
    json_put_unsigned(document, "weight", up_to);
    json_put_text_some(document, "cluster", target->cluster);
    json_put_object_end(document);
}

/* The targets of one cluster, the lightest first, with weights that add up, as nats-server keeps them. A walk
 * for each weight that there is: weights that differ and make up 100 are 14 at most, 0 among them. */
static void put_cluster(struct json_output *document, const struct mapping *mapping, struct bytes cluster)
{
    uint32_t up_to = 0;
    for (uint32_t weight = 0, next; weight <= MAPPING_WEIGHT_WHOLE; weight = next) {
        next = MAPPING_WEIGHT_WHOLE + 1;
        for (uint32_t i = 0; i < mapping->target_count; i++) {
            uint32_t of_this = weight_of(mapping, i);
            if (of_this < weight || !bytes_equal(mapping->targets[i].cluster, cluster))
                continue;
            if (of_this > weight)
                next = of_this < next ? of_this : next;
            else
                put_target(document, mapping, i, up_to += weight);
        }
    }
}

/* First those for all clusters, then those for each. */
static void put_targets(struct json_output *document, const struct mapping *mapping)
{
    put_cluster(document, mapping, (struct bytes){NULL, 0});
    for (uint32_t i = 0; i < mapping->target_count; i++) {
        struct bytes cluster = mapping->targets[i].cluster;
        uint32_t first = 0;
        while (!bytes_equal(mapping->targets[first].cluster, cluster))
            first++;
        if (first == i && cluster.count > 0)
            put_cluster(document, mapping, cluster);
    }
}

static void put_mappings(struct json_output *document, const struct mappings *mappings)
{
    if (mappings->count == 0)
        return;
    json_put_object(document, "mappings");
    for (uint32_t i = 0; i < mappings->count; i++) {
        const struct mapping *mapping = &mappings->all[i];
        char source[HTTP_PARAMETER_BYTES];
        snprintf(source, sizeof source, "%.*s", BYTES_PRINTF(mapping->source));
        json_put_array(document, source);
        put_targets(document, mapping);
        json_put_array_end(document);
    }
    json_put_object_end(document);
}

static void put_approval(struct json_output *document, const struct account_approval *approval)
{
    if (approval->account_count == 0)
        return;
    json_put_array(document, "approved_accounts");
    for (uint32_t i = 0; i < approval->account_count; i++)
        json_put_text(document, NULL, approval->accounts[i]->name);
    json_put_array_end(document);
}

static void put_latency(struct json_output *document, const char *key, const struct service_latency *latency)
{
    if (latency->subject.count == 0)
        return;
    json_put_object(document, key);
    if (latency->headers)
        json_put_text(document, "sampling", TEXT("headers"));
    else
        json_put_int(document, "sampling", latency->percent);
    json_put_text(document, "results", latency->subject);
    json_put_object_end(document);
}

static void put_exports(struct json_output *document, const struct security_account *account)
{
    static const char *const responses[] = {
        [RESPONSE_SINGLETON] = "Singleton", [RESPONSE_STREAM] = "Streamed", [RESPONSE_CHUNKED] = "Chunked"};
    if (account->service_export_count + account->stream_export_count == 0)
        return;
    json_put_array(document, "exports");
    for (uint32_t i = 0; i < account->service_export_count; i++) {
        const struct service_export *service = &account->service_exports[i];
        json_put_object(document, NULL);
        json_put_text(document, "subject", service->subject);
        json_put_text(document, "type", TEXT("service"));
        json_put_text(document, "response_type", text(responses[service->response]));
        put_latency(document, "service_latency", &service->latency);
        put_approval(document, &service->approval);
        json_put_object_end(document);
    }
    for (uint32_t i = 0; i < account->stream_export_count; i++) {
        const struct stream_export *stream = &account->stream_exports[i];
        json_put_object(document, NULL);
        json_put_text(document, "subject", stream->subject);
        json_put_text(document, "type", TEXT("stream"));
        put_approval(document, &stream->approval);
        json_put_object_end(document);
    }
    json_put_array_end(document);
}

static void put_import_end(struct json_output *document, const char *type, bool share)
{
    json_put_text(document, "type", text(type));
    json_put_bool(document, "invalid", false);
    json_put_bool(document, "share", share);
    json_put_bool(document, "tracking", false);
}

static void put_service(struct json_output *document, const struct service_import *service)
{
    json_put_object(document, NULL);
    json_put_text(document, "subject", service->subject);
    json_put_text(document, "account", service->account->name);
    json_put_text(document, "to", service->local);
    json_put_text(document, "local_subject", service->local);
    put_import_end(document, "service", service->share);
    put_latency(document, "latency", &service->exported->latency);
    json_put_object_end(document);
}

static void put_imports(struct json_output *document, const struct security_account *account)
{
    if (account->service_import_count + account->stream_import_count + account->system_import_count == 0)
        return;
    json_put_array(document, "imports");
    for (uint32_t i = 0; i < account->stream_import_count; i++) {
        const struct stream_import *stream = &account->stream_imports[i];
        json_put_object(document, NULL);
        json_put_text(document, "subject", stream->subject);
        json_put_text(document, "account", stream->account->name);
        json_put_text(document, "local_subject", stream->local);
        put_import_end(document, "stream", false);
        json_put_object_end(document);
    }
    for (uint32_t i = 0; i < account->service_import_count; i++)
        put_service(document, &account->service_imports[i]);
    for (uint32_t i = 0; i < account->system_import_count; i++)
        put_service(document, &account->system_imports[i]);
    json_put_array_end(document);
}

void monitor_put_account_detail(struct json_output *document, struct control *control,
                                const struct monitor_task *task, const struct security_account *account,
                                const char *key)
{
    struct report_account figures = monitor_account(task, account->id);
    json_put_object(document, key);
    json_put_text(document, "account_name", account->name);
    monitor_put_time(document, "update_time", control, control->monitor.loaded_ns);
    json_put_true(document, "is_system", account == accounts_of(control)->system);
    json_put_bool(document, "expired", false);
    json_put_bool(document, "complete", true);
    json_put_bool(document, "jetstream_enabled", false);
    json_put_int(document, "leafnode_connections", 0);
    json_put_unsigned(document, "client_connections", figures.clients);
    json_put_unsigned(document, "subscriptions", figures.subscriptions + figures.remote_subscriptions);
    put_mappings(document, &account->mappings);
    put_exports(document, account);
    put_imports(document, account);
    json_put_text(document, "name_tag", account->name);
    json_put_object(document, "sublist_stats");
    monitor_put_index(document, &figures, 0);
    json_put_object_end(document);
    json_put_object_end(document);
}

/* ---- /accstatz ---- */

void accstatz_begin(struct control *control, struct monitor_task *task)
{
    if (monitor_bool(task, "unused", &task->unused))
        monitor_figures_ask(control, task);
}

/* Messages and bytes, as one thing to hand over. */
struct counted {
    uint64_t messages, bytes;
};

static void put_counted(struct json_output *document, const char *key, struct counted counted)
{
    json_put_object(document, key);
    json_put_unsigned(document, "msgs", counted.messages);
    json_put_unsigned(document, "bytes", counted.bytes);
    json_put_object_end(document);
}

static void put_traffic(struct json_output *document, const char *key, struct counted clients,
                        struct counted routes, struct counted gateways)
{
    json_put_object(document, key);
    json_put_unsigned(document, "msgs", clients.messages + routes.messages + gateways.messages);
    json_put_unsigned(document, "bytes", clients.bytes + routes.bytes + gateways.bytes);
    put_counted(document, "gateways", gateways);
    put_counted(document, "routes", routes);
    put_counted(document, "leafs", (struct counted){0});
    json_put_object_end(document);
}

void monitor_put_account_figures(struct json_output *document, const struct security_account *account,
                                 const struct report_account *figures)
{
    json_put_text(document, "acc", account->name);
    json_put_text(document, "name", account->name);
    json_put_unsigned(document, "conns", figures->clients);
    json_put_int(document, "leafnodes", 0);
    json_put_unsigned(document, "total_conns", figures->clients);
    json_put_unsigned(document, "num_subscriptions", figures->subscriptions + figures->remote_subscriptions);
    put_traffic(document, "sent", (struct counted){figures->out_messages, figures->out_bytes},
                (struct counted){figures->route_out_messages, figures->route_out_bytes},
                (struct counted){figures->gateway_out_messages, figures->gateway_out_bytes});
    put_traffic(document, "received", (struct counted){figures->in_messages, figures->in_bytes},
                (struct counted){figures->route_in_messages, figures->route_in_bytes},
                (struct counted){figures->gateway_in_messages, figures->gateway_in_bytes});
    json_put_unsigned(document, "slow_consumers", figures->slow_consumers);
}

void accstatz_told(struct control *control, struct monitor_task *task)
{
    struct json_output *document = &task->document;
    const struct security_accounts *accounts = accounts_of(control);
    json_put_object(document, NULL);
    monitor_put_now(document, control);
    json_put_array(document, "account_statz");
    for (uint32_t i = 0; i < accounts->count; i++) {
        struct report_account figures = monitor_account(task, accounts->all[i]->id);
        if (figures.clients == 0 && !task->unused)
            continue;
        json_put_object(document, NULL);
        monitor_put_account_figures(document, accounts->all[i], &figures);
        json_put_object_end(document);
    }
    json_put_array_end(document);
    json_put_object_end(document);
    task->done = true;
}
