/* shards/control/monitor_gatewayz.c - /gatewayz (spec/monitoring.md 2.4): first the shards tell the figures
 * of their connections, all at the same time; then, with `accs`, one of them tells how each cluster's
 * interest in each account is known, and with `subs` what it is, account after account, straight into the
 * document: that is the same on all shards. Which cluster it is, is the control core's to say, and is noted
 * before the document is begun: a connection may go while it is written. A reload meanwhile may leave an
 * account out. */
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
    struct bytes word = monitor_text(task, "subs", given);
    gatewayz->detail = word.count == 6 && strncasecmp((const char *)word.data, "detail", 6) == 0;
    if (!gatewayz->detail && !monitor_bool(task, "subs", &gatewayz->listed))
        return;
    gatewayz->listed |= gatewayz->detail;
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

static void subscriptions_page(struct monitor_task *task, const struct mail_report *mail)
{
    struct report_record head;
    struct monitor_gatewayz *gatewayz = &task->gatewayz;
    for (uint32_t at = 0; at < mail->bytes; at += head.bytes) {
        memcpy(&head, mail->block->bytes + at, sizeof head);
        if (!gatewayz->list_begun)
            json_put_array(&task->document,
                           gatewayz->detail ? "subscriptions_list_detail" : "subscriptions_list");
        gatewayz->list_begun = true;
        monitor_put_subscription(&task->document, mail->block->bytes + at + sizeof head, gatewayz->detail);
    }
}

void gatewayz_page(struct control *control, struct monitor_task *task, uint32_t from,
                   struct mail_report *mail)
{
    struct monitor_gatewayz *gatewayz = &task->gatewayz;
    bool connections = task->report.kind == REPORT_GATEWAYS;
    size_t one = connections ? sizeof(struct report_gateway) : sizeof(struct report_gateway_account);
    (void)control, (void)from;
    if (task->report.kind == REPORT_GATEWAY_SUBSCRIPTIONS) {
        subscriptions_page(task, mail);
        return;
    }
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
    memory_free(task->gatewayz.entries);
}

/* ---- the document ---- */

struct gatewayz_entry {
    const struct report_gateway *figures;
    uint32_t number; /* of the cluster; GATEWAYS_MAX: it is inbound */
    uint16_t port;
    bool outbound, configured;
    char name[sizeof((struct gateway_link *)NULL)->name];
    char server_id[sizeof((struct gateway_link *)NULL)->server_id];
    char address[sizeof((struct gateway_link *)NULL)->address];
};

static void put_connection(struct control *control, struct json_output *document,
                           const struct gatewayz_entry *entry)
{
    const struct report_gateway *figures = entry->figures;
    int64_t now_ns = clock_monotonic_ns();
    json_put_object(document, "connection");
    json_put_unsigned(document, "cid", figures->gid);
    json_put_text(document, "kind", TEXT("Gateway"));
    json_put_text(document, "ip", text(entry->address));
    json_put_int(document, "port", entry->port);
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
    json_put_text(document, "name", text(entry->server_id));
    json_put_object_end(document);
}

static bool account_wanted(const struct monitor_gatewayz *gatewayz, const struct security_account *account)
{
    return gatewayz->account.count == 0 || bytes_equal(account->name, gatewayz->account);
}

static void account_begin(struct json_output *document, const struct security_account *account,
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

/* Goes on with the accounts of an entry: of an outbound connection what the cluster wants; an inbound one was
 * told everything. True: it waits for a list of subscriptions. */
static bool accounts_write(struct control *control, struct monitor_task *task,
                           const struct gatewayz_entry *entry)
{
    static const struct report_gateway_account told = {.mode = REPORT_GATEWAY_LISTED};
    const struct security_accounts *accounts = &control->snapshot->options->security.accounts;
    struct monitor_gatewayz *gatewayz = &task->gatewayz;
    while (gatewayz->accounts && gatewayz->next_account < accounts->count) {
        const struct security_account *account = accounts->all[gatewayz->next_account++];
        const struct report_gateway_account *figures =
            entry->outbound ? interest_of(gatewayz, account->id, entry->number) : &told;
        if (figures == NULL || !account_wanted(gatewayz, account))
            continue;
        if (!gatewayz->accounts_begun)
            json_put_array(&task->document, "accounts");
        gatewayz->accounts_begun = true;
        account_begin(&task->document, account, figures);
        if (gatewayz->listed && figures->subscriptions > 0) {
            task->report.kind = REPORT_GATEWAY_SUBSCRIPTIONS;
            task->report.cid = entry->figures->gid;
            task->report.account_id = account->id;
            monitor_ask(control, task, 0, (struct report_cursor){0});
            return true;
        }
        json_put_object_end(&task->document);
    }
    return false;
}

static void list_end(struct monitor_task *task)
{
    if (task->gatewayz.list_begun)
        json_put_array_end(&task->document);
    task->gatewayz.list_begun = false;
    json_put_object_end(&task->document);
}

/* Whether two inbound entries lie in one array. */
static bool same_name(const struct monitor_gatewayz *gatewayz, uint32_t one, uint32_t other)
{
    return one < gatewayz->entry_count && other < gatewayz->entry_count && !gatewayz->entries[one].outbound &&
           !gatewayz->entries[other].outbound &&
           strcmp(gatewayz->entries[one].name, gatewayz->entries[other].name) == 0;
}

static void entry_begin(struct control *control, struct monitor_task *task,
                        const struct gatewayz_entry *entry)
{
    struct monitor_gatewayz *gatewayz = &task->gatewayz;
    if (!entry->outbound && !same_name(gatewayz, gatewayz->next - 1, gatewayz->next))
        json_put_array(&task->document, entry->name);
    json_put_object(&task->document, entry->outbound ? entry->name : NULL);
    json_put_bool(&task->document, "configured", entry->configured);
    put_connection(control, &task->document, entry);
    gatewayz->entry_open = true;
    gatewayz->next_account = 0;
}

static void entry_end(struct monitor_task *task, const struct gatewayz_entry *entry)
{
    struct monitor_gatewayz *gatewayz = &task->gatewayz;
    if (gatewayz->accounts_begun)
        json_put_array_end(&task->document);
    gatewayz->accounts_begun = gatewayz->entry_open = false;
    json_put_object_end(&task->document);
    if (!entry->outbound && !same_name(gatewayz, gatewayz->next, gatewayz->next + 1))
        json_put_array_end(&task->document);
    gatewayz->next++;
}

static void outbound_begin(struct monitor_task *task)
{
    struct monitor_gatewayz *gatewayz = &task->gatewayz;
    bool some = gatewayz->entry_count > 0 && gatewayz->entries[0].outbound;
    if (gatewayz->name.count > 0 &&
        !some) /* as nats-server: one that is asked for by name and is not there */
        json_put_null(&task->document, "outbound_gateways");
    else
        json_put_object(&task->document, "outbound_gateways");
}

static void inbound_begin(struct monitor_task *task)
{
    struct monitor_gatewayz *gatewayz = &task->gatewayz;
    if (gatewayz->name.count == 0 || gatewayz->next > 0)
        json_put_object_end(&task->document);
    json_put_object(&task->document, "inbound_gateways");
    gatewayz->inbound = true;
}

static void go_on(struct control *control, struct monitor_task *task)
{
    struct monitor_gatewayz *gatewayz = &task->gatewayz;
    while (gatewayz->next < gatewayz->entry_count) {
        const struct gatewayz_entry *entry = &gatewayz->entries[gatewayz->next];
        if (!gatewayz->inbound && !entry->outbound)
            inbound_begin(task);
        if (!gatewayz->entry_open)
            entry_begin(control, task, entry);
        if (accounts_write(control, task, entry))
            return;
        entry_end(task, entry);
    }
    if (!gatewayz->inbound)
        inbound_begin(task);
    json_put_object_end(&task->document);
    json_put_object_end(&task->document);
    task->done = true;
}

static void document_begin(struct control *control, struct monitor_task *task)
{
    struct json_output *document = &task->document;
    const struct gateway_options *options = &control->snapshot->options->gateway;
    json_put_object(document, NULL);
    monitor_put_now(document, control);
    if (options->given) {
        json_put_text(document, "name", text(options->name));
        json_put_text(document, "host", text(control->gateways.host)); /* as other clusters are told */
        json_put_int(document, "port", control->gateways.advertised_port);
    } else {
        task->gatewayz.name.count = 0; /* both are empty, whatever is asked for */
    }
    outbound_begin(task);
}

/* What is outbound first, then by cluster's name, then by number. */
static int in_order(const void *a, const void *b)
{
    const struct gatewayz_entry *one = a, *other = b;
    if (one->outbound != other->outbound)
        return one->outbound ? -1 : 1;
    int order = strcmp(one->name, other->name);
    return order != 0 ? order : one->figures->gid < other->figures->gid ? -1 : 1;
}

static void entry_make(const struct control *control, const struct gateway_link *link,
                       const struct report_gateway *figures, struct gatewayz_entry *entry)
{
    const struct gateway_cluster *cluster = link->cluster;
    *entry = (struct gatewayz_entry){
        .figures = figures,
        .number = cluster == NULL ? GATEWAYS_MAX : gateways_number(&control->gateways, cluster),
        .port = link->port,
        .outbound = link->solicited,
        .configured = cluster != NULL && cluster->remote_number > 0,
    };
    memcpy(entry->name, link->name, sizeof entry->name);
    memcpy(entry->server_id, link->server_id, sizeof entry->server_id);
    memcpy(entry->address, link->address, sizeof entry->address);
}

static bool entries_make(struct control *control, struct monitor_task *task)
{
    struct monitor_gatewayz *gatewayz = &task->gatewayz;
    gatewayz->entries = memory_new((gatewayz->count + 1) * sizeof *gatewayz->entries);
    if (gatewayz->entries == NULL)
        return false;
    for (uint32_t i = 0; i < gatewayz->count; i++) {
        const struct gateway_link *link = gateways_link_find(control, gatewayz->all[i].gid);
        if (link != NULL && link->registered &&
            (gatewayz->name.count == 0 || bytes_equal(text(link->name), gatewayz->name)))
            entry_make(control, link, &gatewayz->all[i], &gatewayz->entries[gatewayz->entry_count++]);
    }
    if (gatewayz->entry_count > 0)
        qsort(gatewayz->entries, gatewayz->entry_count, sizeof *gatewayz->entries, in_order);
    return true;
}

void gatewayz_told(struct control *control, struct monitor_task *task)
{
    struct monitor_gatewayz *gatewayz = &task->gatewayz;
    if (task->report.kind == REPORT_GATEWAYS && gatewayz->accounts && gatewayz->count > 0) {
        task->report.kind = REPORT_GATEWAY_ACCOUNTS;
        monitor_ask(control, task, 0, (struct report_cursor){0});
        return;
    }
    if (gatewayz->entries != NULL) {
        list_end(task);
    } else if (entries_make(control, task)) {
        document_begin(control, task);
    } else {
        monitor_fail(task, HTTP_UNAVAILABLE, "memory is out");
        return;
    }
    go_on(control, task);
}
