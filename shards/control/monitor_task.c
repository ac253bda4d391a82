/* shards/control/monitor_task.c - the life of a request; see monitor_task.h. What an endpoint shows is in the
 * files monitor_*.c of its name. */
#include "shards/control/monitor_task.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "shards/control/control_internal.h"
#include "shards/mail.h"

#include <stdio.h>
#include <string.h>

static const struct monitor_endpoint endpoints[] = {
    {.path = "", .counter = "/", .begin = index_begin},
    {.path = "varz",
     .counter = "/varz",
     .begin = monitor_figures_ask,
     .page = monitor_figures_page,
     .told = varz_told},
    {.path = "connz",
     .counter = "/connz",
     .parses_first = true,
     .begin = connz_begin,
     .page = connz_page,
     .told = connz_told,
     .step = connz_step,
     .close = connz_close},
    {.path = "routez",
     .counter = "/routez",
     .parses_first = true,
     .begin = routez_begin,
     .page = routez_page,
     .told = routez_told},
    {.path = "gatewayz",
     .counter = "/gatewayz",
     .begin = gatewayz_begin,
     .page = gatewayz_page,
     .told = gatewayz_told,
     .close = gatewayz_close},
    {.path = "leafz", .counter = "/leafz", .begin = leafz_begin},
    {.path = "subsz", .counter = "/subsz", .begin = subsz_begin, .page = subsz_page, .told = subsz_told},
    {.path = "accountz",
     .counter = "/accountz",
     .begin = accountz_begin,
     .page = monitor_figures_page,
     .told = accountz_told},
    {.path = "accstatz",
     .counter = "/accstatz",
     .begin = accstatz_begin,
     .page = monitor_figures_page,
     .told = accstatz_told},
    {.path = "jsz", .counter = "/jsz", .begin = jsz_begin},
    {.path = "healthz", .counter = "/healthz", .begin = healthz_begin},
    {.path = "raftz", .begin = raftz_begin},
    {.path = "ipqueuesz", .begin = ipqueuesz_begin},
    {.path = "stacksz", .begin = stacksz_begin},
    {.path = "debug/vars", .begin = expvarz_begin},
    /* Myelin's own: the live page, and what it asks for. */
    {.path = "links", .begin = links_begin},
    {.path = "page.css", .begin = page_file_begin},
    {.path = "icon.svg", .begin = page_file_begin},
    {.path = "page.js", .begin = page_file_begin},
    {.path = "charts.js", .begin = page_file_begin},
    {.path = "format.js", .begin = page_file_begin},
    {.path = "shardz", .begin = monitor_figures_ask, .page = monitor_figures_page, .told = shardz_told},
    {.path = "topz", .begin = topz_begin, .page = topz_page, .told = topz_told, .close = topz_close},
    {.path = "streaming", .begin = streaming_index_begin},
    {.path = "streaming/isFTActive", .begin = streaming_active_begin},
    {.path = "streaming/serverz", .begin = streaming_server_begin},
    {.path = "streaming/storez", .begin = streaming_store_begin},
    {.path = "streaming/clientsz", .begin = streaming_clients_begin},
    {.path = "streaming/channelsz", .begin = streaming_channels_begin},
    {.path = "metrics",
     .begin = monitor_figures_ask,
     .page = metrics_page,
     .told = metrics_told,
     .step = metrics_step,
     .close = gatewayz_close},
};
_Static_assert(COUNT_OF(endpoints) <= MONITOR_ENDPOINTS_MAX, "each has a counter");

const struct monitor_endpoint *monitor_endpoints(size_t *count)
{
    *count = COUNT_OF(endpoints);
    return endpoints;
}

/* ---- from the path to the endpoint ---- */

static const struct monitor_endpoint *endpoint_find(const struct monitor *monitor, struct bytes path)
{
    struct bytes base = text(monitor->base_path);
    /* The base path is not theirs. */
    if (bytes_equal(path, TEXT("/streaming")) || bytes_start_with(path, TEXT("/streaming/")))
        base = TEXT("");
    if (!bytes_start_with(path, base))
        return NULL;
    struct bytes rest = bytes_of(path.data + base.count, path.count - base.count);
    if (rest.count == 0)
        return base.count > 0 ? &endpoints[0] : NULL;
    if (rest.data[0] != '/')
        return NULL;
    struct bytes name = bytes_of(rest.data + 1, rest.count - 1);
    if (bytes_equal(name, TEXT("subscriptionsz")))
        name = TEXT("subsz");
    for (size_t i = 0; i < COUNT_OF(endpoints); i++) {
        if (bytes_equal(name, text(endpoints[i].path)) && (name.count > 0 || base.count == 0))
            return &endpoints[i];
    }
    return NULL;
}

/* To where the same path is written as it should be. */
static void redirect(struct control *control, struct monitor_connection *connection, struct bytes path,
                     struct bytes query)
{
    struct json_output body;
    struct json_output location;
    size_t count = 0;
    json_output_init(&body, 0, MONITOR_BODY_BYTES_MAX);
    json_output_init(&location, 0, MONITOR_BODY_BYTES_MAX);
    for (size_t i = 0; i < path.count;
         i++) { /* what was decoded is encoded again where it would break a line */
        char byte[4];
        bool plain = path.data[i] > ' ' && path.data[i] < 0x7f && strchr("\"<>%?#", path.data[i]) == NULL;
        int bytes = snprintf(byte, sizeof byte, plain ? "%c" : "%%%02X", path.data[i]);
        json_output_add(&location, bytes_of(byte, (size_t)bytes));
    }
    if (query.count > 0) {
        json_output_add(&location, TEXT("?"));
        json_output_add(&location, query);
    }
    json_output_add(&body, TEXT("Moved Permanently.\n"));
    struct http_reply reply = {
        .status = HTTP_MOVED_PERMANENTLY,
        .content_type = "text/plain; charset=utf-8",
        .location = bytes_of(location.data, location.count),
    };
    char *text_of = json_output_take(&body, &count);
    monitor_reply(control, connection, &reply, text_of, count);
    json_output_close(&location);
}

/* The text of an error, for what never became a task. */
static void refuse(struct control *control, struct monitor_connection *connection, enum http_status status,
                   const char *words)
{
    struct http_reply reply = {
        .status = status, .content_type = "text/plain; charset=utf-8", .no_sniff = true};
    size_t count = strlen(words);
    char *body = memory_copy(words, count);
    monitor_reply(control, connection, &reply, body, body == NULL ? 0 : count);
}

static void reply_when_done(struct control *control);

unsigned monitor_indent(const struct monitor_task *task)
{
    return task->request == NULL ? 2 : 0;
}

/* Whether anybody waits for it. */
static bool awaited(const struct monitor_task *task)
{
    return task->connection != NULL || task->request != NULL;
}

bool monitor_task_for(struct control *control, const struct monitor_endpoint *endpoint, char *query,
                      size_t query_count, struct system_request *request)
{
    struct monitor_task *task = memory_new(sizeof *task);
    if (task == NULL)
        return false;
    ASSERT(control->monitor.task == NULL);
    task->endpoint = endpoint;
    task->request = request;
    task->target = query;
    task->query = bytes_of(query, query_count);
    task->status = HTTP_OK;
    json_output_init(&task->document, monitor_indent(task), MONITOR_BODY_BYTES_MAX);
    control->monitor.task = task;
    endpoint->begin(control, task);
    reply_when_done(control);
    return true;
}

void monitor_task_begin(struct control *control, struct monitor_connection *connection)
{
    struct monitor *monitor = &control->monitor;
    struct bytes path = bytes_of(connection->target, connection->path_count);
    struct bytes query = bytes_of(connection->target + connection->path_count, connection->query_count);
    char *clean = memory_new(path.count + 2);
    size_t clean_count = clean == NULL ? 0 : http_path_clean(clean, path);
    bool same = bytes_equal(bytes_of(clean, clean_count), path);
    const struct monitor_endpoint *endpoint = same ? endpoint_find(monitor, path) : NULL;
    struct monitor_task *task = endpoint == NULL ? NULL : memory_new(sizeof *task);
    if (!same && clean != NULL)
        redirect(control, connection, bytes_of(clean, clean_count), query);
    else if (endpoint == NULL && clean != NULL)
        refuse(control, connection, HTTP_NOT_FOUND, "404 page not found\n");
    else if (task == NULL)
        refuse(control, connection, HTTP_UNAVAILABLE, "memory is out\n");
    memory_free(clean);
    if (task == NULL)
        return;
    task->endpoint = endpoint;
    task->connection = connection;
    task->target = connection->target;
    task->query = query;
    task->status = HTTP_OK;
    connection->target = NULL;
    json_output_init(&task->document, monitor_indent(task), MONITOR_BODY_BYTES_MAX);
    monitor->task = task;
    if (!endpoint->parses_first)
        monitor->request_counts[endpoint - endpoints]++;
    endpoint->begin(control, task);
    if (endpoint->parses_first && !task->failed)
        monitor->request_counts[endpoint - endpoints]++;
    reply_when_done(control);
}

/* ---- its end ---- */

void monitor_fail(struct monitor_task *task, enum http_status status, const char *why)
{
    json_output_close(&task->document);
    json_output_init(&task->document, 0, MONITOR_BODY_BYTES_MAX);
    json_output_add(&task->document, text(why));
    task->status = status;
    task->content_type = "text/plain; charset=utf-8";
    task->failed = task->done = true;
}

/* callback(document), for pages of another origin. */
static bool wrap(struct monitor_task *task)
{
    char given[HTTP_PARAMETER_BYTES];
    struct bytes callback = monitor_text(task, "callback", given);
    if (task->plain || task->failed || callback.count == 0)
        return false;
    struct json_output wrapped;
    json_output_init(&wrapped, 0, MONITOR_BODY_BYTES_MAX);
    json_output_add(&wrapped, callback);
    json_output_add(&wrapped, TEXT("("));
    json_output_add(&wrapped, bytes_of(task->document.data, task->document.count));
    json_output_add(&wrapped, TEXT(")"));
    wrapped.failed = wrapped.failed || task->document.failed;
    json_output_close(&task->document);
    task->document = wrapped;
    return true;
}

static void reply_when_done(struct control *control)
{
    struct monitor_task *task = control->monitor.task;
    if (task == NULL || !task->done || task->asked > 0)
        return;
    if (task->request != NULL)
        system_task_done(control, task);
    if (task->connection != NULL) {
        size_t count = 0;
        bool jsonp = wrap(task);
        if (task->document.failed)
            monitor_fail(task, HTTP_UNAVAILABLE,
                         "the reply would be too large, or memory is out: ask for less");
        struct http_reply reply = {
            .status = task->status,
            .content_type = jsonp                        ? "application/javascript"
                            : task->content_type != NULL ? task->content_type
                                                         : "application/json",
            .any_origin = !task->failed && !task->plain,
            .browsed = !task->failed && task->browsed,
        };
        char *body = json_output_take(&task->document, &count);
        monitor_reply(control, task->connection, &reply, body, body == NULL ? 0 : count);
    }
    monitor_task_free(control);
}

void monitor_task_free(struct control *control)
{
    struct monitor_task *task = control->monitor.task;
    if (task == NULL)
        return;
    if (task->endpoint->close != NULL)
        task->endpoint->close(control, task);
    json_output_close(&task->document);
    memory_free(task->figures.accounts);
    memory_free(task->routes.all);
    memory_free(task->target);
    if (task->request != NULL)
        system_request_free(task->request);
    memory_free(task);
    control->monitor.task = NULL;
}

void monitor_task_step(struct control *control)
{
    struct monitor_task *task = control->monitor.task;
    if (task->step_wanted) {
        task->step_wanted = false;
        task->endpoint->step(control, task);
    }
    /* Nobody waits for it any longer: no more is asked. */
    if (!awaited(task) && task->asked == 0)
        monitor_task_free(control);
    else
        reply_when_done(control);
}

/* ---- asking ---- */

void monitor_ask(struct control *control, struct monitor_task *task, uint32_t shard,
                 struct report_cursor from)
{
    struct mail_report_ask mail = {.kind = MAIL_REPORT_ASK, .query = &task->report, .from = from};
    if (control_tell(control, shard, &mail, sizeof mail))
        task->asked++;
    else if (!task->failed) /* thousands of mails wait for that shard already */
        monitor_fail(task, HTTP_UNAVAILABLE, "a shard has no room for questions");
}

void monitor_ask_all(struct control *control, struct monitor_task *task)
{
    for (uint32_t shard = 0; shard < control->shard_count; shard++)
        monitor_ask(control, task, shard, (struct report_cursor){0});
}

void monitor_task_page(struct control *control, uint32_t from, struct mail_report *mail)
{
    struct monitor_task *task = control->monitor.task;
    ASSERT(task->asked > 0); /* shards answer what was asked, and a task stays until they have */
    task->asked--;
    if (mail->failed && !task->failed)
        monitor_fail(task, HTTP_UNAVAILABLE, "memory is out");
    bool wanted = !task->failed && awaited(task);
    if (wanted)
        task->endpoint->page(control, task, from, mail);
    block_release(&control->blocks, mail->block);
    if (wanted && mail->more && !task->failed)
        monitor_ask(control, task, from, mail->next);
    if (wanted && task->asked == 0 && !task->failed)
        task->endpoint->told(control, task);
    reply_when_done(control);
}

/* ---- parameters ---- */

bool monitor_bool(struct monitor_task *task, const char *name, bool *value)
{
    char why[HTTP_WHY_BYTES];
    if (http_parameter_bool(task->query, name, value, why))
        return true;
    monitor_fail(task, HTTP_BAD_REQUEST, why);
    return false;
}

bool monitor_int(struct monitor_task *task, const char *name, int64_t *value)
{
    char why[HTTP_WHY_BYTES];
    if (http_parameter_int(task->query, name, value, why))
        return true;
    monitor_fail(task, HTTP_BAD_REQUEST, why);
    return false;
}

bool monitor_unsigned(struct monitor_task *task, const char *name, uint64_t *value)
{
    char why[HTTP_WHY_BYTES];
    if (http_parameter_unsigned(task->query, name, value, why))
        return true;
    monitor_fail(task, HTTP_BAD_REQUEST, why);
    return false;
}

struct bytes monitor_text(const struct monitor_task *task, const char *name, char out[HTTP_PARAMETER_BYTES])
{
    struct bytes value = {(const uint8_t *)out, 0};
    if (!http_parameter(task->query, name, out, HTTP_PARAMETER_BYTES, &value))
        value.count = 0;
    return value;
}

bool monitor_paging(struct monitor_task *task, int64_t *offset, int64_t *limit)
{
    enum { LIMIT_DEFAULT = 1024 };
    if (!monitor_int(task, "offset", offset) || !monitor_int(task, "limit", limit))
        return false;
    if (*offset < 0)
        *offset = 0;
    if (*limit <= 0)
        *limit = LIMIT_DEFAULT;
    return true;
}

/* ---- figures ---- */

void monitor_figures_ask(struct control *control, struct monitor_task *task)
{
    task->report.kind = REPORT_FIGURES;
    monitor_ask_all(control, task);
}

static void account_add(struct report_account *to, const struct report_account *add)
{
    to->clients += add->clients;
    to->in_messages += add->in_messages;
    to->in_bytes += add->in_bytes;
    to->out_messages += add->out_messages;
    to->out_bytes += add->out_bytes;
    to->slow_consumers += add->slow_consumers;
    to->route_in_messages += add->route_in_messages;
    to->route_in_bytes += add->route_in_bytes;
    to->route_out_messages += add->route_out_messages;
    to->route_out_bytes += add->route_out_bytes;
    to->gateway_in_messages += add->gateway_in_messages;
    to->gateway_in_bytes += add->gateway_in_bytes;
    to->gateway_out_messages += add->gateway_out_messages;
    to->gateway_out_bytes += add->gateway_out_bytes;
    to->remote_subscriptions += add->remote_subscriptions;
    to->subscriptions += add->subscriptions;
    to->interests += add->interests;
    to->inserts += add->inserts;
    to->removes += add->removes;
    to->matches += add->matches;
    to->hits += add->hits;
}

static bool accounts_grow(struct monitor_figures *figures, uint32_t id)
{
    if (id < figures->account_count)
        return true;
    uint32_t count = (id + 1) * 2;
    struct report_account *accounts = memory_grow(figures->accounts, count * sizeof *accounts);
    if (accounts == NULL)
        return false;
    memset(accounts + figures->account_count, 0, (count - figures->account_count) * sizeof *accounts);
    figures->accounts = accounts;
    figures->account_count = count;
    return true;
}

static void match_add(struct report_account *to, const struct report_match *match)
{
    to->cached++;
    to->fanout += match->fanout;
    if (to->fanout_most < match->fanout)
        to->fanout_most = match->fanout;
}

static void matches_page(struct monitor_figures *figures, const struct mail_report *mail)
{
    for (uint32_t at = 0; at < mail->bytes; at += (uint32_t)sizeof(struct report_match)) {
        struct report_match match;
        memcpy(&match, mail->block->bytes + at, sizeof match);
        if (match.account < figures->account_count) /* else it was met after the accounts were told of */
            match_add(&figures->accounts[match.account], &match);
        match_add(&figures->sum, &match);
    }
}

bool monitor_matches_ask(struct control *control, struct monitor_task *task)
{
    const struct report_account *sum = &task->figures.sum;
    if (task->report.kind == REPORT_FIGURES) {
        task->report.kind = REPORT_MATCHES;
        monitor_ask_all(control, task);
        return true;
    }
    if (task->report.kind == REPORT_MATCHES)
        control->monitor.matches =
            (struct monitor_matches){clock_monotonic_ns(), sum->cached, sum->fanout, sum->fanout_most};
    return false;
}

double monitor_fanout_average(uint64_t fanout, uint64_t cached)
{
    return cached == 0 ? 0 : (double)fanout / (double)cached;
}

double monitor_hit_rate(const struct report_account *figures)
{
    uint64_t all = figures->hits + figures->matches;
    return all == 0 ? 0 : (double)figures->hits / (double)all;
}

void monitor_figures_page(struct control *control, struct monitor_task *task, uint32_t from,
                          struct mail_report *mail)
{
    struct monitor_figures *figures = &task->figures;
    uint32_t at = 0;
    (void)control;
    if (task->report.kind == REPORT_MATCHES) {
        matches_page(figures, mail);
        return;
    }
    /* The first page begins with the thread's own figures: those are asked for at cursor zero. */
    if (figures->shards[from].turns == 0 && mail->bytes >= sizeof figures->shards[from]) {
        memcpy(&figures->shards[from], mail->block->bytes, sizeof figures->shards[from]);
        at = sizeof figures->shards[from];
    }
    for (; at < mail->bytes; at += (uint32_t)sizeof(struct report_account)) {
        struct report_account account;
        memcpy(&account, mail->block->bytes + at, sizeof account);
        if (!accounts_grow(figures, account.id)) {
            monitor_fail(task, HTTP_UNAVAILABLE, "memory is out");
            return;
        }
        account_add(&figures->accounts[account.id], &account);
        account_add(&figures->sum, &account);
    }
}

void monitor_totals_ask(struct control *control, struct monitor_task *task)
{
    task->report.kind = REPORT_TOTALS;
    monitor_ask_all(control, task);
}

void monitor_totals_page(struct monitor_task *task, const struct mail_report *mail)
{
    struct report_totals *sum = &task->totals;
    for (uint32_t at = 0; at < mail->bytes; at += (uint32_t)sizeof *sum) {
        struct report_totals add;
        memcpy(&add, mail->block->bytes + at, sizeof add);
        sum->connections += add.connections;
        sum->in_messages += add.in_messages;
        sum->in_bytes += add.in_bytes;
        sum->out_messages += add.out_messages;
        sum->out_bytes += add.out_bytes;
        sum->pending_bytes += add.pending_bytes;
        sum->subscriptions += add.subscriptions;
    }
}

struct report_account monitor_account(const struct monitor_task *task, uint32_t id)
{
    return id < task->figures.account_count ? task->figures.accounts[id] : (struct report_account){.id = id};
}
