/* shards/control/monitor_connz.c - /connz (spec/monitoring.md 2.2) in two walks: first every shard tells the
 * sort key of each connection that is asked for, of which the first offset + limit are kept; then those of
 * the page are told of in full, WINDOW at a time. At the bounds: keys are 40 bytes each; a window whose
 * records exceed PAGES_BYTES_MAX is refused. */
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "net/closed_reason.h"
#include "net/tls_stream.h"
#include "shards/control/control_internal.h"
#include "shards/control/monitor_task.h"
#include "shards/mail.h"

#include <stdio.h>
#include <strings.h>

enum {
    WINDOW = 128,
    PAGES_BYTES_MAX = 64 * 1024 * 1024,
    SORTED_PER_STEP = 2048, /* some 200 us when the heap is in no cache */
    PICKS_FIRST = 256,
    REASONS = CLOSED_PROXY_REQUIRED + 1,
};
_Static_assert((int)REASONS <= (int)REPORT_REASONS, "each has a rank");

static const struct {
    const char *name;
    enum report_sort sort;
} sorts[] = {
    {"cid", REPORT_BY_CID},
    {"start", REPORT_BY_START},
    {"subs", REPORT_BY_SUBSCRIPTIONS},
    {"pending", REPORT_BY_PENDING},
    {"msgs_to", REPORT_BY_OUT_MESSAGES},
    {"msgs_from", REPORT_BY_IN_MESSAGES},
    {"bytes_to", REPORT_BY_OUT_BYTES},
    {"bytes_from", REPORT_BY_IN_BYTES},
    {"last", REPORT_BY_LAST},
    {"idle", REPORT_BY_IDLE},
    {"uptime", REPORT_BY_UPTIME},
    {"stop", REPORT_BY_STOP},
    {"reason", REPORT_BY_REASON},
    {"rtt", REPORT_BY_RTT},
};

static void window_ask(struct control *control, struct monitor_task *task);
static void window_write(struct control *control, struct monitor_task *task);

/* ---- parameters ---- */

/* The place of each reason when their texts are sorted. */
static void reasons_rank(struct report_query *query)
{
    for (unsigned reason = 0; reason < REASONS; reason++) {
        uint8_t rank = 0;
        for (unsigned other = 0; other < REASONS; other++) {
            if (strcmp(closed_reason_text((enum closed_reason)other),
                       closed_reason_text((enum closed_reason)reason)) < 0)
                rank++;
        }
        query->reason_ranks[reason] = rank;
    }
}

static bool read_sort(struct monitor_task *task)
{
    char given[HTTP_PARAMETER_BYTES], why[HTTP_WHY_BYTES];
    struct bytes word = monitor_text(task, "sort", given);
    size_t found = word.count == 0 ? 0 : COUNT_OF(sorts);
    for (size_t i = 0; found == COUNT_OF(sorts) && i < COUNT_OF(sorts); i++)
        found = bytes_equal(word, text(sorts[i].name)) ? i : found;
    if (found == COUNT_OF(sorts)) {
        snprintf(why, sizeof why, "invalid sorting option: %.*s", BYTES_PRINTF(word));
        monitor_fail(task, HTTP_BAD_REQUEST, why);
        return false;
    }
    task->report.sort = sorts[found].sort;
    bool only_closed = task->report.closed && !task->report.open;
    if (!only_closed && (task->report.sort == REPORT_BY_STOP || task->report.sort == REPORT_BY_REASON)) {
        snprintf(why, sizeof why, "sort by %s only valid on closed connections", sorts[found].name);
        monitor_fail(task, HTTP_BAD_REQUEST, why);
        return false;
    }
    reasons_rank(&task->report);
    return true;
}

static bool same_word(struct bytes word, const char *other)
{
    return word.count == strlen(other) && strncasecmp((const char *)word.data, other, word.count) == 0;
}

static bool read_state(struct monitor_task *task)
{
    char given[HTTP_PARAMETER_BYTES], why[HTTP_WHY_BYTES];
    struct bytes word = monitor_text(task, "state", given);
    bool any = same_word(word, "any") || same_word(word, "all");
    task->report.open = any || word.count == 0 || same_word(word, "open");
    task->report.closed = any || same_word(word, "closed");
    if (task->report.open || task->report.closed)
        return true;
    snprintf(why, sizeof why, "Error decoding state for %.*s", BYTES_PRINTF(word));
    monitor_fail(task, HTTP_BAD_REQUEST, why);
    return false;
}

static bool read_parameters(struct monitor_task *task)
{
    char given[HTTP_PARAMETER_BYTES];
    struct monitor_connz *connz = &task->connz;
    struct report_query *query = &task->report;
    connz->detail = same_word(monitor_text(task, "subs", given), "detail");
    if (!monitor_bool(task, "auth", &connz->auth) ||
        (!connz->detail && !monitor_bool(task, "subs", &connz->subscriptions)) ||
        !monitor_paging(task, &connz->offset, &connz->limit) || !monitor_unsigned(task, "cid", &query->cid) ||
        !read_state(task) || !read_sort(task))
        return false;
    query->subscriptions = connz->subscriptions || connz->detail;
    query->account = monitor_text(task, "acc", task->account);
    query->account_given = query->account.count > 0;
    if (task->request != NULL) /* over HTTP there is no such parameter */
        query->filter = monitor_text(task, "filter_subject", task->test);
    if (bytes_equal(query->filter, TEXT(">")))
        query->filter = TEXT("");
    if (query->filter.count > 0 && !query->account_given) {
        monitor_fail(task, HTTP_BAD_REQUEST, "filter by subject only valid with account filtering");
        return false;
    }
    query->user = monitor_text(task, "user", task->user);
    query->user_given = query->user.count > 0;
    if (query->cid > 0)
        connz->limit = 1;
    return true;
}

/* ---- the document ---- */

static void head_write(struct control *control, struct monitor_task *task, bool known)
{
    struct json_output *document = &task->document;
    const struct monitor_connz *connz = &task->connz;
    uint64_t offset = (uint64_t)connz->offset;
    uint64_t count = connz->pick_count > offset ? connz->pick_count - offset : 0;
    json_put_object(document, NULL);
    json_put_text(document, "server_id", known ? text(control->server_id) : TEXT(""));
    monitor_put_time(document, "now", control, clock_monotonic_ns());
    json_put_unsigned(document, "num_connections", count);
    json_put_unsigned(document, "total", connz->total);
    json_put_int(document, "offset", connz->offset);
    json_put_int(document, "limit", connz->limit);
}

static void finish(struct monitor_task *task)
{
    json_put_array_end(&task->document);
    json_put_object_end(&task->document);
    task->done = true;
}

void connz_begin(struct control *control, struct monitor_task *task)
{
    if (!read_parameters(task))
        return;
    const struct security_accounts *accounts = &control->snapshot->options->security.accounts;
    /* Closed connections may have been in an account that is configured no longer. */
    if (task->report.account_given && task->report.open &&
        security_account_find(accounts, task->report.account) == NULL) {
        head_write(control, task, false);
        json_put_null(&task->document, "connections");
        json_put_object_end(&task->document);
        task->done = true;
        return;
    }
    char mqtt[HTTP_PARAMETER_BYTES];
    if (monitor_text(task, "mqtt_client", mqtt).count > 0) {
        task->report.user_given = true; /* nobody is an MQTT client */
        task->report.user = TEXT("\n");
    }
    task->report.kind = REPORT_KEYS;
    task->report.asked_ns = control->now_ns;
    monitor_ask_all(control, task);
}

/* ---- the first walk: a heap of the best ---- */

static bool after(const struct report_key *a, const struct report_key *b)
{
    return a->key != b->key ? a->key > b->key : a->cid > b->cid;
}

/* The heap's first `count` are in order but for the top. */
static void sift_down(struct report_key *heap, size_t count)
{
    struct report_key moving = heap[0];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= count)
            break;
        if (child + 1 < count && after(&heap[child + 1], &heap[child]))
            child++;
        if (!after(&heap[child], &moving))
            break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = moving;
}

static void sift_up(struct report_key *heap, size_t at)
{
    struct report_key moving = heap[at];
    while (at > 0 && after(&moving, &heap[(at - 1) / 2])) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = moving;
}

static bool pick_add(struct monitor_connz *connz, const struct report_key *key)
{
    uint64_t most = (uint64_t)connz->offset + (uint64_t)connz->limit;
    if (connz->pick_count >= most) {
        if (after(&connz->picks[0], key)) {
            connz->picks[0] = *key;
            sift_down(connz->picks, connz->pick_count);
        }
        return true;
    }
    if (connz->pick_count == connz->pick_capacity) {
        size_t capacity = connz->pick_capacity == 0 ? PICKS_FIRST : connz->pick_capacity * 2;
        struct report_key *picks = memory_grow(connz->picks, capacity * sizeof *picks);
        if (picks == NULL)
            return false;
        connz->picks = picks;
        connz->pick_capacity = capacity;
    }
    connz->picks[connz->pick_count] = *key;
    sift_up(connz->picks, connz->pick_count++);
    return true;
}

static bool page_keep(struct monitor_connz *connz, uint32_t from, struct mail_report *mail)
{
    if (mail->block == NULL)
        return true;
    if (connz->page_count == connz->page_capacity) {
        uint32_t capacity = connz->page_capacity == 0 ? 16 : connz->page_capacity * 2;
        struct monitor_page *pages = memory_grow(connz->pages, capacity * sizeof *pages);
        if (pages == NULL)
            return false;
        connz->pages = pages;
        connz->page_capacity = capacity;
    }
    if (connz->page_bytes + mail->block->capacity > PAGES_BYTES_MAX)
        return false;
    connz->page_bytes += mail->block->capacity;
    connz->pages[connz->page_count++] = (struct monitor_page){mail->block, mail->bytes, from};
    mail->block = NULL;
    return true;
}

void connz_page(struct control *control, struct monitor_task *task, uint32_t from, struct mail_report *mail)
{
    struct monitor_connz *connz = &task->connz;
    bool good = true;
    (void)control;
    if (task->report.kind == REPORT_CONNECTIONS) {
        good = page_keep(connz, from, mail);
    } else {
        connz->total += mail->counted;
        for (uint32_t at = 0; good && at < mail->bytes; at += (uint32_t)sizeof(struct report_key)) {
            struct report_key key;
            memcpy(&key, mail->block->bytes + at, sizeof key);
            key.shard = from;
            good = pick_add(connz, &key);
        }
    }
    if (!good)
        monitor_fail(task, HTTP_UNAVAILABLE,
                     "too many connections or subscriptions for one reply: ask for less");
}

void connz_told(struct control *control, struct monitor_task *task)
{
    if (task->report.kind == REPORT_CONNECTIONS) {
        window_write(control, task);
        return;
    }
    task->connz.sorted_from = task->connz.pick_count;
    task->step_wanted = true;
}

/* Sorting: the last in order leaves the heap for the end of the array. */
void connz_step(struct control *control, struct monitor_task *task)
{
    struct monitor_connz *connz = &task->connz;
    for (int steps = 0; steps < SORTED_PER_STEP && connz->sorted_from > 1; steps++) {
        size_t last = --connz->sorted_from;
        struct report_key top = connz->picks[0];
        connz->picks[0] = connz->picks[last];
        connz->picks[last] = top;
        sift_down(connz->picks, last);
    }
    if (connz->sorted_from > 1) {
        task->step_wanted = true;
        return;
    }
    head_write(control, task, true);
    json_put_array(&task->document, "connections");
    connz->window_at = (size_t)connz->offset;
    window_ask(control, task);
}

/* ---- the second walk ---- */

static void window_ask(struct control *control, struct monitor_task *task)
{
    struct monitor_connz *connz = &task->connz;
    bool wanted[SHARDS_MAX] = {false};
    size_t left = connz->pick_count > connz->window_at ? connz->pick_count - connz->window_at : 0;
    if (left == 0) {
        finish(task);
        return;
    }
    connz->window_count = left < WINDOW ? left : WINDOW;
    task->report.kind = REPORT_CONNECTIONS;
    task->report.picks = &connz->picks[connz->window_at];
    task->report.pick_count = (uint32_t)connz->window_count;
    for (size_t i = 0; i < connz->window_count; i++)
        wanted[task->report.picks[i].shard] = true;
    for (uint32_t shard = 0; shard < control->shard_count; shard++) {
        if (wanted[shard])
            monitor_ask(control, task, shard, (struct report_cursor){0});
    }
}

static void pages_drop(struct control *control, struct monitor_connz *connz)
{
    for (uint32_t i = 0; i < connz->page_count; i++)
        block_release(&control->blocks, connz->pages[i].block);
    connz->page_count = 0;
    connz->page_bytes = 0;
}

/* Where the records of a shard are read. */
struct reading {
    uint32_t page;
    uint32_t at;
};

/* The next record of that shard, which stays where it is; NULL: there is none. */
static const uint8_t *record_peek(const struct monitor_connz *connz, uint32_t shard, struct reading *reading,
                                  struct report_record *head)
{
    for (; reading->page < connz->page_count; reading->page++, reading->at = 0) {
        const struct monitor_page *page = &connz->pages[reading->page];
        if (page->shard != shard || reading->at >= page->bytes)
            continue;
        memcpy(head, page->block->bytes + reading->at, sizeof *head);
        return page->block->bytes + reading->at + sizeof *head;
    }
    return NULL;
}

static void put_account(struct monitor_task *task, const struct report_connection *c, struct bytes user,
                        struct bytes account)
{
    if (!task->connz.auth)
        return;
    json_put_text_some(&task->document, "authorized_user", c->token ? TEXT("[REDACTED]") : user);
    if (!bytes_equal(account, TEXT("$G")))
        json_put_text_some(&task->document, "account", account);
}

static void put_digest(struct json_output *document, const char *key, const uint8_t digest[TLS_PIN_BYTES])
{
    char hex[2 * TLS_PIN_BYTES + 1];
    for (size_t i = 0; i < TLS_PIN_BYTES; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    json_put_text(document, key, text(hex));
}

static void put_peers(struct json_output *document, struct bytes peers)
{
    if (peers.count == 0)
        return;
    json_put_array(document, "tls_peer_certs");
    for (size_t at = 0; at < peers.count; at += sizeof(struct tls_peer)) {
        struct tls_peer peer;
        memcpy(&peer, peers.data + at, sizeof peer);
        json_put_object(document, NULL);
        json_put_text_some(document, "subject", bytes_of(peer.subject, peer.subject_count));
        put_digest(document, "spki_sha256", peer.spki_sha256);
        put_digest(document, "cert_sha256", peer.cert_sha256);
        json_put_object_end(document);
    }
    json_put_array_end(document);
}

/* What is told behind all else, its subscriptions too; empty: nothing. */
struct connection_end {
    struct bytes tag;   /* its account once more */
    struct bytes proxy; /* the key of the one that it came through */
};

static struct connection_end put_connection(struct control *control, struct monitor_task *task,
                                            const uint8_t *record)
{
    struct json_output *document = &task->document;
    struct report_connection c;
    memcpy(&c, record, sizeof c);
    const uint8_t *texts = record + sizeof c;
    json_put_object(document, NULL);
    json_put_unsigned(document, "cid", c.cid);
    json_put_text(document, "kind", TEXT("Client"));
    json_put_text(document, "type", TEXT("nats"));
    json_put_text(document, "ip", monitor_text_take(&texts, c.text_counts[REPORT_ADDRESS]));
    json_put_int(document, "port", c.port);
    monitor_put_time(document, "start", control, c.start_ns);
    monitor_put_time(document, "last_activity", control, c.last_activity_ns);
    if (c.closed) {
        monitor_put_time(document, "stop", control, c.stop_ns);
        json_put_text(document, "reason", text(closed_reason_text((enum closed_reason)c.reason)));
    }
    monitor_put_rtt(document, "rtt", c.rtt_ns);
    monitor_put_span(document, "uptime", c.stop_ns - c.start_ns);
    monitor_put_span(document, "idle", c.stop_ns - c.last_activity_ns);
    json_put_unsigned(document, "pending_bytes", c.pending_bytes);
    json_put_unsigned(document, "in_msgs", c.in_messages);
    json_put_unsigned(document, "out_msgs", c.out_messages);
    json_put_unsigned(document, "in_bytes", c.in_bytes);
    json_put_unsigned(document, "out_bytes", c.out_bytes);
    json_put_unsigned_some(document, "stalls", c.stalls);
    json_put_unsigned(document, "subscriptions", c.subscriptions);
    json_put_text_some(document, "name", monitor_text_take(&texts, c.text_counts[REPORT_NAME]));
    json_put_text_some(document, "lang", monitor_text_take(&texts, c.text_counts[REPORT_LANG]));
    json_put_text_some(document, "version", monitor_text_take(&texts, c.text_counts[REPORT_VERSION]));
    json_put_text_some(document, "tls_version", monitor_text_take(&texts, c.text_counts[REPORT_TLS_VERSION]));
    json_put_text_some(document, "tls_cipher_suite",
                       monitor_text_take(&texts, c.text_counts[REPORT_TLS_SUITE]));
    struct bytes peers = monitor_text_take(&texts, c.text_counts[REPORT_TLS_PEERS]);
    if (task->connz.auth)
        put_peers(document, peers);
    json_put_true(document, "tls_first", c.tls_first);
    struct bytes proxy = monitor_text_take(&texts, c.text_counts[REPORT_PROXY]);
    struct bytes user = monitor_text_take(&texts, c.text_counts[REPORT_USER]);
    struct bytes account = monitor_text_take(&texts, c.text_counts[REPORT_ACCOUNT]);
    put_account(task, &c, user, account);
    bool tagged = task->connz.auth && !(c.closed && bytes_equal(account, TEXT("$G")));
    return (struct connection_end){.tag = tagged ? account : TEXT(""), .proxy = proxy};
}

static void put_proxy(struct json_output *document, struct bytes proxy)
{
    if (proxy.count == 0)
        return;
    json_put_object(document, "proxy");
    json_put_text(document, "key", proxy);
    json_put_object_end(document);
}

/* All records of one pick. */
static void put_pick(struct control *control, struct monitor_task *task, uint32_t pick,
                     struct reading *reading)
{
    struct monitor_connz *connz = &task->connz;
    uint32_t shard = task->report.picks[pick].shard;
    struct report_record head;
    bool began = false, listed = false;
    struct connection_end end = {0};
    const uint8_t *record;
    while ((record = record_peek(connz, shard, reading, &head)) != NULL && head.pick == pick) {
        if (head.kind == REPORT_RECORD_CONNECTION) {
            end = put_connection(control, task, record);
            began = true;
        } else {
            if (!listed)
                json_put_array(&task->document,
                               connz->detail ? "subscriptions_list_detail" : "subscriptions_list");
            listed = true;
            monitor_put_subscription(&task->document, record, connz->detail);
        }
        reading->at += head.bytes;
    }
    if (listed)
        json_put_array_end(&task->document);
    json_put_text_some(&task->document, "name_tag", end.tag);
    put_proxy(&task->document, end.proxy);
    if (began)
        json_put_object_end(&task->document);
}

static void window_write(struct control *control, struct monitor_task *task)
{
    struct monitor_connz *connz = &task->connz;
    struct reading readings[SHARDS_MAX] = {{0}};
    for (uint32_t pick = 0; pick < connz->window_count; pick++)
        put_pick(control, task, pick, &readings[task->report.picks[pick].shard]);
    pages_drop(control, connz);
    connz->window_at += connz->window_count;
    window_ask(control, task);
}

void connz_close(struct control *control, struct monitor_task *task)
{
    pages_drop(control, &task->connz);
    memory_free(task->connz.pages);
    memory_free(task->connz.picks);
}
