/* shards/control/system_documents.c - what the system account answers and monitoring over HTTP has not: the
 * short figures of this server, accounts' figures one by one, and who a user is (spec/monitoring.md 5.3, 6).
 */
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "core/security/account.h"
#include "shards/control/control_internal.h"
#include "shards/control/monitor_accounts.h"
#include "shards/control/monitor_task.h"
#include "shards/control/monitor_varz.h"
#include "shards/control/system_services.h"

#include <stdio.h>

enum { STATZ_PER_STEP = 32 }; /* accounts, or names: one out of order is looked for among all */

/* ---- STATSZ ---- */

static void put_data(struct json_output *document, const char *key, uint64_t messages, uint64_t bytes)
{
    json_put_object(document, key);
    json_put_unsigned(document, "msgs", messages);
    json_put_unsigned(document, "bytes", bytes);
    json_put_object_end(document);
}

static uint64_t active_accounts(const struct monitor_task *task)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < task->figures.account_count; i++)
        count += task->figures.accounts[i].clients > 0;
    return count;
}

static void put_routes(struct json_output *document, const struct control *control,
                       const struct monitor_routes *routes)
{
    if (routes->count == 0)
        return;
    json_put_array(document, "routes");
    for (uint32_t i = 0; i < routes->count; i++) {
        const struct report_route *figures = &routes->all[i].figures;
        const struct cluster_route *known = cluster_route_find(control, figures->rid);
        json_put_object(document, NULL);
        json_put_unsigned(document, "rid", figures->rid);
        if (known != NULL && known->member != CLUSTER_NO_MEMBER)
            json_put_text_some(document, "name", control->cluster.members[known->member].info.server_name);
        put_data(document, "sent", figures->out_messages, figures->out_bytes);
        put_data(document, "received", figures->in_messages, figures->in_bytes);
        json_put_unsigned(document, "pending", figures->pending_bytes);
        json_put_object_end(document);
    }
    json_put_array_end(document);
}

/* One for each cluster that this server has an outbound connection to, with what comes from there. */
static void put_gateways(struct json_output *document, const struct control *control,
                         const struct monitor_gatewayz *gatewayz)
{
    bool begun = false;
    for (uint32_t i = 0; i < gatewayz->count; i++) {
        const struct report_gateway *out = &gatewayz->all[i];
        const struct gateway_link *link = gateways_link_find(control, out->gid);
        uint64_t messages = 0, bytes = 0, inbound = 0;
        if (link == NULL || !link->registered || !link->solicited)
            continue;
        for (uint32_t k = 0; k < gatewayz->count; k++) {
            const struct report_gateway *in = &gatewayz->all[k];
            const struct gateway_link *other = gateways_link_find(control, in->gid);
            bool from_there = other != NULL && other->registered && !other->solicited &&
                              strcmp(other->name, link->name) == 0;
            messages += from_there ? in->in_messages : 0;
            bytes += from_there ? in->in_bytes : 0;
            inbound += from_there;
        }
        if (!begun)
            json_put_array(document, "gateways");
        begun = true;
        json_put_object(document, NULL);
        json_put_unsigned(document, "gwid", out->gid);
        json_put_text(document, "name", text(link->name));
        put_data(document, "sent", out->out_messages, out->out_bytes);
        put_data(document, "received", messages, bytes);
        json_put_unsigned(document, "inbound_connections", inbound);
        json_put_object_end(document);
    }
    if (begun)
        json_put_array_end(document);
}

static void put_statsz_traffic(struct json_output *document, const struct report_account *sum)
{
    struct monitor_traffic all = monitor_traffic(sum);
    json_put_unsigned(document, "subscriptions", sum->subscriptions + sum->remote_subscriptions);
    put_data(document, "sent", all.out_messages, all.out_bytes);
    put_data(document, "sent_to_clients", sum->out_messages, sum->out_bytes);
    put_data(document, "received", all.in_messages, all.in_bytes);
    put_data(document, "received_from_clients", sum->in_messages, sum->in_bytes);
}

static void put_statsz(struct control *control, struct monitor_task *task)
{
    struct json_output *document = &task->document;
    struct monitor_process process = monitor_process(control);
    struct monitor_sums sums = monitor_sums(control, task);
    json_put_object(document, NULL);
    monitor_put_time(document, "start", control, control->monitor.start_ns);
    json_put_unsigned(document, "mem", process.resident_bytes);
    json_put_int(document, "cores", process.cores);
    json_put_double(document, "cpu", process.cpu_percent);
    json_put_unsigned(document, "connections", control_open_connections(control));
    json_put_unsigned(document, "total_connections", control->accepted_count);
    json_put_unsigned(document, "active_accounts", active_accounts(task));
    put_statsz_traffic(document, &task->figures.sum);
    json_put_unsigned(document, "slow_consumers", sums.slow_consumers);
    if (sums.slow_consumers > 0)
        monitor_put_kinds(document, "slow_consumer_stats", &sums.slow);
    json_put_unsigned_some(document, "stale_connections", sums.stale_connections);
    if (sums.stale_connections > 0)
        monitor_put_kinds(document, "stale_connection_stats", &sums.stale);
    json_put_unsigned_some(document, "stalled_clients", sums.stalls);
    put_routes(document, control, &task->routes);
    put_gateways(document, control, &task->gatewayz);
    json_put_unsigned(document, "active_servers", system_active_servers(control));
    json_put_unsigned(document, "gomaxprocs", control->shard_count);
    json_put_object_end(document);
}

static void statsz_page(struct control *control, struct monitor_task *task, uint32_t from,
                        struct mail_report *mail)
{
    if (task->report.kind == REPORT_FIGURES)
        monitor_figures_page(control, task, from, mail);
    else if (task->report.kind == REPORT_ROUTES)
        monitor_routes_page(control, task, from, mail);
    else
        gatewayz_page(control, task, from, mail);
}

/* All shards have told their figures, then their routes, then their gateway connections. */
static void statsz_told(struct control *control, struct monitor_task *task)
{
    if (task->report.kind == REPORT_FIGURES && control->cluster.on) {
        monitor_routes_ask(control, task);
        return;
    }
    if (task->report.kind != REPORT_GATEWAYS && control->snapshot->options->gateway.given) {
        task->report.kind = REPORT_GATEWAYS;
        monitor_ask_all(control, task);
        return;
    }
    put_statsz(control, task);
    task->done = true;
}

const struct monitor_endpoint system_endpoint_statsz = {
    .begin = monitor_figures_ask, .page = statsz_page, .told = statsz_told, .close = gatewayz_close};

/* ---- what needs nothing of the shards ---- */

static void idz_begin(struct control *control, struct monitor_task *task)
{
    json_put_object(&task->document, NULL);
    json_put_text(&task->document, "name", text(control->server_name));
    json_put_text(&task->document, "host", control->snapshot->info.host);
    json_put_text(&task->document, "id", text(control->server_id));
    json_put_object_end(&task->document);
    task->done = true;
}

const struct monitor_endpoint system_endpoint_idz = {.begin = idz_begin};

static void profilez_begin(struct control *control, struct monitor_task *task)
{
    char name[HTTP_PARAMETER_BYTES], why[HTTP_WHY_BYTES];
    (void)control;
    snprintf(why, sizeof why, "Profile \"%.*s\" not found",
             BYTES_PRINTF(monitor_text(task, "gw_name", name)));
    json_put_object(&task->document, NULL);
    json_put_null(&task->document, "profile");
    json_put_text(&task->document, "error", text(why));
    json_put_object_end(&task->document);
    task->done = true;
}

const struct monitor_endpoint system_endpoint_profilez = {.begin = profilez_begin};

static void raftz_empty_begin(struct control *control, struct monitor_task *task)
{
    (void)control;
    json_put_object(&task->document, NULL);
    json_put_object_end(&task->document);
    task->done = true;
}

const struct monitor_endpoint system_endpoint_raftz = {.begin = raftz_empty_begin};

static void account_jsz_begin(struct control *control, struct monitor_task *task)
{
    (void)control;
    monitor_fail(task, HTTP_BAD_REQUEST, "jetstream not enabled");
}

const struct monitor_endpoint system_endpoint_account_jsz = {.begin = account_jsz_begin};

/* ---- accounts ---- */

static const struct security_accounts *accounts_of(const struct control *control)
{
    return &control->snapshot->options->security.accounts;
}

static void info_told(struct control *control, struct monitor_task *task)
{
    if (monitor_matches_ask(control, task))
        return;
    const struct security_account *account =
        security_account_find(accounts_of(control), task->report.account);
    task->silent = account == NULL; /* gone by a reload meanwhile */
    if (account != NULL)
        monitor_put_account_detail(&task->document, control, task, account, NULL);
    task->done = true;
}

const struct monitor_endpoint system_endpoint_info = {
    .begin = accountz_begin, .page = monitor_figures_page, .told = info_told};

static void put_statz(struct monitor_task *task, const struct security_account *account)
{
    struct report_account figures = monitor_account(task, account->id);
    if (figures.clients == 0 && !task->unused)
        return;
    json_put_object(&task->document, NULL);
    monitor_put_account_figures(&task->document, account, &figures);
    json_put_object_end(&task->document);
    task->silent = false;
}

static void statz_told(struct control *control, struct monitor_task *task)
{
    task->silent = true;
    json_put_object(&task->document, NULL);
    monitor_put_now(&task->document, control);
    json_put_array(&task->document, "account_statz");
    task->step_wanted = true;
}

/* Those that are asked for, in that order, or all; account_next is a place in the list of the names, or in
 * that of the accounts. */
static void statz_step(struct control *control, struct monitor_task *task)
{
    const struct security_accounts *accounts = accounts_of(control);
    const struct system_request *request = task->request;
    bool one = request->account.count > 0, listed = !one && request->listed != NULL;
    size_t count = one ? 1 : listed ? request->listed_count : accounts->count;
    for (int i = 0; i < STATZ_PER_STEP && task->account_next < count && !task->document.failed; i++) {
        struct bytes name = one ? request->account : TEXT("");
        if (listed)
            name = text(request->listed + task->account_next);
        const struct security_account *account =
            one || listed ? security_account_find_next(accounts, name, &task->account_found)
                          : accounts->all[task->account_next];
        if (account != NULL)
            put_statz(task, account);
        task->account_next += listed ? (uint32_t)name.count + 1 : 1;
    }
    task->step_wanted = task->account_next < count && !task->document.failed;
    task->done = !task->step_wanted;
    if (!task->done)
        return;
    json_put_array_end(&task->document);
    json_put_object_end(&task->document);
}

const struct monitor_endpoint system_endpoint_statz = {
    .begin = accstatz_begin, .page = monitor_figures_page, .told = statz_told, .step = statz_step};

static void conns_told(struct control *control, struct monitor_task *task)
{
    const struct security_account *account =
        security_account_find(accounts_of(control), task->request->account);
    if (account != NULL && monitor_account(task, account->id).clients > 0)
        system_account_say(control, task, account, task->request->reply);
    task->done = true;
}

const struct monitor_endpoint system_endpoint_conns = {
    .begin = monitor_figures_ask, .page = monitor_figures_page, .told = conns_told};

/* ---- a user ---- */

static void user_begin(struct control *control, struct monitor_task *task)
{
    const struct publisher_place *place = &task->request->place;
    /* Somebody on another server is that server's to know. */
    if (place->cid == 0 || place->shard >= control->shard_count) {
        task->silent = task->done = true;
        return;
    }
    task->pick = (struct report_key){.cid = place->cid, .place = place->slot, .shard = place->shard};
    task->report.kind = REPORT_CONNECTIONS;
    task->report.picks = &task->pick;
    task->report.pick_count = 1;
    monitor_ask(control, task, place->shard, (struct report_cursor){0});
}

/* The entries as they were written, those with a queue last. */
static void put_list(struct json_output *document, const char *key, const struct permission_list *list)
{
    char entry[HTTP_PARAMETER_BYTES];
    if (list->pattern_count + list->queue_count == 0)
        return;
    json_put_array(document, key);
    for (uint32_t i = 0; i < list->pattern_count; i++)
        json_put_text(document, NULL, list->patterns[i]);
    for (uint32_t i = 0; i < list->queue_count; i++) {
        snprintf(entry, sizeof entry, "%.*s %.*s", BYTES_PRINTF(list->queues[i].pattern),
                 BYTES_PRINTF(list->queues[i].queue));
        json_put_text(document, NULL, text(entry));
    }
    json_put_array_end(document);
}

static bool said(const struct permission_list *list)
{
    return list->pattern_count + list->queue_count > 0;
}

static void put_direction(struct json_output *document, const char *key,
                          const struct permission_direction *lists)
{
    if (!said(&lists->allow) && !said(&lists->deny))
        return;
    json_put_object(document, key);
    put_list(document, "allow", &lists->allow);
    put_list(document, "deny", &lists->deny);
    json_put_object_end(document);
}

static void put_permissions(struct json_output *document, const struct security_permissions *permissions)
{
    json_put_object(document, "permissions");
    put_direction(document, "publish", &permissions->publish);
    put_direction(document, "subscribe", &permissions->subscribe);
    if (permissions->responses.given) {
        json_put_object(document, "responses");
        json_put_int(document, "max", permissions->responses.count_max);
        json_put_int(document, "ttl", permissions->responses.expires_ns);
        json_put_object_end(document);
    }
    json_put_object_end(document);
}

static void user_page(struct control *control, struct monitor_task *task, uint32_t from,
                      struct mail_report *mail)
{
    struct json_output *document = &task->document;
    struct report_connection connection;
    struct bytes texts[REPORT_TEXTS];
    (void)from;
    if (mail->block == NULL || task->document.count > 0)
        return;
    const uint8_t *at = mail->block->bytes + sizeof(struct report_record);
    memcpy(&connection, at, sizeof connection);
    at += sizeof connection;
    for (size_t i = 0; i < REPORT_TEXTS; i++)
        texts[i] = monitor_text_take(&at, connection.text_counts[i]);
    const struct security_users *users = &control->snapshot->options->security.users;
    const struct security_user *user = security_user_find(users, texts[REPORT_USER]);
    if (user == NULL)
        user = security_user_find_nkey(users, texts[REPORT_USER]);
    json_put_object(document, NULL);
    json_put_text(document, "user", connection.token ? TEXT("[REDACTED]") : texts[REPORT_USER]);
    json_put_text(document, "account", texts[REPORT_ACCOUNT]);
    json_put_text(document, "account_name", texts[REPORT_ACCOUNT]);
    if (user != NULL && user->permissions != NULL)
        put_permissions(document, user->permissions);
    json_put_object_end(document);
}

static void user_told(struct control *control, struct monitor_task *task)
{
    (void)control;
    task->silent = task->document.count == 0; /* it has left meanwhile */
    task->done = true;
}

const struct monitor_endpoint system_endpoint_user = {
    .begin = user_begin, .page = user_page, .told = user_told};
