/* shards/control/monitor_gatewayz.c - /gatewayz (spec/monitoring.md 2.4): first the shards tell the figures
 * of their connections, all at the same time; then, with `accs`, one of them tells how each cluster's
 * interest in each account is known: that is the same on all. Which cluster it is, is the control core's to
 * say. */
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "shards/control/control_internal.h"
#include "shards/control/monitor_task.h"

#include <stdlib.h>
#include <strings.h>

enum { FIRST = 16, THRESHOLD = 1000 /* spec/gateways.md 8.5: shown, see docs/gateways.md 2 */ };

/* ---- the question ---- */

void gatewayz_begin(struct control *control, struct monitor_task *task)
{
    struct monitor_gatewayz *gatewayz = &task->gatewayz;
    char given[HTTP_PARAMETER_BYTES];
    bool listed;
    struct bytes word = monitor_text(task, "subs", given);
    bool detail = word.count == 6 && strncasecmp((const char *)word.data, "detail", 6) == 0;
    if (!detail && !monitor_bool(task, "subs", &listed))
        return;
    if (!monitor_bool(task, "accs", &gatewayz->accounts))
        return;
    gatewayz->account = monitor_text(task, "acc_name", task->account);
    gatewayz->name = monitor_text(task, "gw_name", task->test);
    gatewayz->accounts |= gatewayz->account.count > 0;
    task->report.kind = REPORT_GATEWAYS;
    monitor_ask_all(control, task);
}

/* ---- collecting ---- */

static void *grown(void *all, uint32_t count, uint32_t *capacity, size_t one)
{
    if (count < *capacity)
        return all;
    uint32_t wanted = *capacity == 0 ? FIRST : *capacity * 2;
    void *more = memory_grow(all, wanted * one);
    if (more != NULL)
        *capacity = wanted;
    return more;
}

void gatewayz_page(struct control *control, struct monitor_task *task, uint32_t from,
                   struct mail_report *mail)
{
    struct monitor_gatewayz *gatewayz = &task->gatewayz;
    bool connections = task->report.kind == REPORT_GATEWAYS;
    size_t one = connections ? sizeof(struct report_gateway) : sizeof(struct report_gateway_account);
    (void)control, (void)from;
    for (uint32_t at = 0; at < mail->bytes; at += (uint32_t)one) {
        void *all = connections ? grown(gatewayz->all, gatewayz->count, &gatewayz->capacity, one)
                                : grown(gatewayz->interest, gatewayz->interest_count,
                                        &gatewayz->interest_capacity, one);
        if (all == NULL) {
            monitor_fail(task, HTTP_UNAVAILABLE, "memory is out");
            return;
        }
        if (connections) {
            gatewayz->all = all;
            memcpy(&gatewayz->all[gatewayz->count++], mail->block->bytes + at, one);
        } else {
            gatewayz->interest = all;
            memcpy(&gatewayz->interest[gatewayz->interest_count++], mail->block->bytes + at, one);
        }
    }
}

void gatewayz_close(struct control *control, struct monitor_task *task)
{
    (void)control;
    memory_free(task->gatewayz.all);
    memory_free(task->gatewayz.interest);
}

/* ---- the document ---- */

/* With its link beside it: by cluster's name, then by number. */
struct shown {
    const struct report_gateway *figures;
    const struct gateway_link *link;
};

static int by_name(const void *a, const void *b)
{
    const struct shown *one = a, *other = b;
    int order = strcmp(one->link->name, other->link->name);
    return order != 0 ? order : one->figures->gid < other->figures->gid ? -1 : 1;
}

static void put_connection(struct control *control, struct json_output *document, const struct shown *shown)
{
    const struct report_gateway *figures = shown->figures;
    int64_t now_ns = clock_monotonic_ns();
    json_put_object(document, "connection");
    json_put_unsigned(document, "cid", figures->gid);
    json_put_text(document, "kind", TEXT("Gateway"));
    json_put_text(document, "ip", text(shown->link->address));
    json_put_int(document, "port", shown->link->port);
    monitor_put_time(document, "start", control, figures->start_ns);
    monitor_put_time(document, "last_activity", control, figures->last_activity_ns);
    if (figures->rtt_ns > 0)
        monitor_put_rtt(document, "rtt", figures->rtt_ns);
    monitor_put_span(document, "uptime", now_ns - figures->start_ns);
    monitor_put_span(document, "idle", now_ns - figures->last_activity_ns);
    json_put_unsigned(document, "pending_bytes", figures->pending_bytes);
    json_put_unsigned(document, "in_msgs", figures->in_messages);
    json_put_unsigned(document, "out_msgs", figures->out_messages);
    json_put_unsigned(document, "in_bytes", figures->in_bytes);
    json_put_unsigned(document, "out_bytes", figures->out_bytes);
    json_put_unsigned(document, "subscriptions", figures->subscriptions);
    json_put_text(document, "name", text(shown->link->server_id));
    json_put_object_end(document);
}

static bool account_wanted(const struct monitor_gatewayz *gatewayz, const struct security_account *account)
{
    return gatewayz->account.count == 0 || bytes_equal(account->name, gatewayz->account);
}

static void put_account(struct json_output *document, const struct security_account *account,
                        const struct report_gateway_account *figures)
{
    static const char *const modes[] = {"Optimistic", "Transitioning", "Interest-Only"};
    json_put_object(document, NULL);
    json_put_text(document, "name", account->name);
    json_put_text(document, "interest_mode", text(modes[figures->mode]));
    json_put_unsigned_some(document, "no_interest_count", figures->silent);
    json_put_int(document, "interest_only_threshold", THRESHOLD);
    json_put_unsigned_some(document, "num_subs", figures->subscriptions);
    json_put_unsigned_some(document, "num_queue_subs", figures->groups);
    json_put_object_end(document);
}

static const struct report_gateway_account *interest_of(const struct monitor_gatewayz *gatewayz, uint32_t id,
                                                        uint32_t number)
{
    for (uint32_t i = 0; i < gatewayz->interest_count; i++) {
        if (gatewayz->interest[i].account == id && gatewayz->interest[i].number == number)
            return &gatewayz->interest[i];
    }
    return NULL;
}

/* Of an outbound connection what the cluster wants; an inbound one was told everything. */
static void put_accounts(const struct control *control, struct monitor_task *task, const struct shown *shown)
{
    static const struct report_gateway_account told = {.mode = REPORT_GATEWAY_LISTED};
    const struct security_accounts *accounts = &control->snapshot->options->security.accounts;
    struct json_output *document = &task->document;
    bool begun = false;
    for (uint32_t i = 0; task->gatewayz.accounts && i < accounts->count; i++) {
        const struct security_account *account = accounts->all[i];
        const struct report_gateway_account *figures = &told;
        if (shown->link->cluster != NULL)
            figures = interest_of(&task->gatewayz, account->id,
                                  gateways_number(&control->gateways, shown->link->cluster));
        if (figures == NULL || !account_wanted(&task->gatewayz, account))
            continue;
        if (!begun)
            json_put_array(document, "accounts");
        begun = true;
        put_account(document, account, figures);
    }
    if (begun)
        json_put_array_end(document);
}

static void put_entry(struct control *control, struct monitor_task *task, const char *key,
                      const struct shown *shown)
{
    const struct gateway_cluster *cluster = shown->link->cluster;
    json_put_object(&task->document, key);
    json_put_bool(&task->document, "configured", cluster != NULL && cluster->remote_number > 0);
    put_connection(control, &task->document, shown);
    put_accounts(control, task, shown);
    json_put_object_end(&task->document);
}

static void put_outbound(struct control *control, struct monitor_task *task, const struct shown *all,
                         uint32_t count)
{
    bool one = task->gatewayz.name.count > 0;
    bool found = false;
    for (uint32_t i = 0; i < count; i++)
        found |= all[i].link->solicited;
    if (one && !found) { /* as nats-server: one that is asked for by name and is not there */
        json_put_null(&task->document, "outbound_gateways");
        return;
    }
    json_put_object(&task->document, "outbound_gateways");
    for (uint32_t i = 0; i < count; i++) {
        if (all[i].link->solicited)
            put_entry(control, task, all[i].link->name, &all[i]);
    }
    json_put_object_end(&task->document);
}

static void put_inbound(struct control *control, struct monitor_task *task, const struct shown *all,
                        uint32_t count)
{
    const char *open = NULL;
    json_put_object(&task->document, "inbound_gateways");
    for (uint32_t i = 0; i < count; i++) {
        const struct gateway_link *link = all[i].link;
        if (link->solicited)
            continue;
        if (open == NULL || strcmp(open, link->name) != 0) {
            if (open != NULL)
                json_put_array_end(&task->document);
            json_put_array(&task->document, link->name);
            open = link->name;
        }
        put_entry(control, task, NULL, &all[i]);
    }
    if (open != NULL)
        json_put_array_end(&task->document);
    json_put_object_end(&task->document);
}

static void put_document(struct control *control, struct monitor_task *task, const struct shown *all,
                         uint32_t count)
{
    struct json_output *document = &task->document;
    const struct gateway_options *options = &control->snapshot->options->gateway;
    json_put_object(document, NULL);
    monitor_put_now(document, control);
    if (options->given) {
        json_put_text(document, "name", text(options->name));
        json_put_text(document, "host", text(options->host == NULL ? "0.0.0.0" : options->host));
        json_put_int(document, "port", control->gateways.port);
        put_outbound(control, task, all, count);
        put_inbound(control, task, all, count);
    } else {
        json_put_object(document, "outbound_gateways");
        json_put_object_end(document);
        json_put_object(document, "inbound_gateways");
        json_put_object_end(document);
    }
    json_put_object_end(document);
    task->done = true;
}

void gatewayz_told(struct control *control, struct monitor_task *task)
{
    struct monitor_gatewayz *gatewayz = &task->gatewayz;
    if (task->report.kind == REPORT_GATEWAYS && gatewayz->accounts && gatewayz->count > 0) {
        task->report.kind = REPORT_GATEWAY_ACCOUNTS;
        monitor_ask(control, task, 0, (struct report_cursor){0});
        return;
    }
    struct shown *all = memory_new((gatewayz->count + 1) * sizeof *all);
    uint32_t count = 0;
    if (all == NULL) {
        monitor_fail(task, HTTP_UNAVAILABLE, "memory is out");
        return;
    }
    for (uint32_t i = 0; i < gatewayz->count; i++) {
        const struct gateway_link *link = gateways_link_find(control, gatewayz->all[i].gid);
        bool wanted =
            gatewayz->name.count == 0 || (link != NULL && bytes_equal(text(link->name), gatewayz->name));
        if (link != NULL && link->registered && wanted)
            all[count++] = (struct shown){&gatewayz->all[i], link};
    }
    if (count > 0)
        qsort(all, count, sizeof *all, by_name);
    put_document(control, task, all, count);
    memory_free(all);
}
