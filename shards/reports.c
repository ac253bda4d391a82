/* shards/reports.c - the pages of reports.h, one function for each kind of question. */
#include "shards/reports.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/subject/subject.h"
#include "shards/mail.h"
#include "shards/reports_internal.h"
#include "shards/shard.h"
#include "shards/top_subjects.h"

static void figures_page(struct answering *answering);
static void keys_page(struct answering *answering);
static void connections_page(struct answering *answering);
static void subscriptions_page(struct answering *answering);

void reports_ask_take(struct shard *shard, const uint8_t *mail)
{
    struct reports *reports = &shard->reports;
    ASSERT(!reports->asked && !reports->owed); /* the control core waits for the answer */
    memcpy(&reports->ask, mail, sizeof reports->ask);
    reports->asked = true;
}

static void page_make(struct shard *shard)
{
    struct reports *reports = &shard->reports;
    struct answering answering = {
        .shard = shard,
        .query = reports->ask.query,
        .page = {.pool = &shard->context.pool.blocks},
        .at = reports->ask.from,
        .items_left = REPORT_ITEMS_MAX,
    };
    switch (answering.query->kind) {
    case REPORT_FIGURES:
        figures_page(&answering);
        break;
    case REPORT_KEYS:
        keys_page(&answering);
        break;
    case REPORT_CONNECTIONS:
        connections_page(&answering);
        break;
    case REPORT_SUBSCRIPTIONS:
        subscriptions_page(&answering);
        break;
    case REPORT_ROUTES:
        reports_routes_page(&answering);
        break;
    case REPORT_ROUTE_SUBSCRIPTIONS:
        reports_route_subscriptions_page(&answering);
        break;
    case REPORT_SUBJECTS:
        reports_subjects_page(&answering);
        break;
    case REPORT_GATEWAYS:
        reports_gateways_page(&answering);
        break;
    case REPORT_GATEWAY_ACCOUNTS:
        reports_gateway_accounts_page(&answering);
        break;
    case REPORT_GATEWAY_SUBSCRIPTIONS:
        reports_gateway_subscriptions_page(&answering);
        break;
    case REPORT_MATCHES:
        reports_matches_page(&answering);
        break;
    case REPORT_TOTALS:
        reports_totals_page(&answering);
        break;
    case REPORT_SUBSCRIBERS:
        reports_subscribers_page(&answering);
        break;
    }
    reports->answer = (struct mail_report){
        .kind = MAIL_REPORT,
        .more = answering.at.major != UINT64_MAX && !answering.page.failed,
        .failed = answering.page.failed,
        .bytes = answering.page.used,
        .counted = answering.counted,
        .next = answering.at,
        .block = answering.page.block,
    };
}

void reports_step(struct shard *shard)
{
    struct reports *reports = &shard->reports;
    if (LIKELY(!reports->asked && !reports->owed))
        return;
    if (reports->asked) {
        int64_t began_ns = clock_monotonic_ns();
        page_make(shard);
        int64_t took_ns = clock_monotonic_ns() - began_ns;
        reports->page_count++;
        reports->page_ns += took_ns;
        if (took_ns > reports->page_ns_most)
            reports->page_ns_most = took_ns;
        reports->asked = false;
        reports->owed = true;
    }
    if (shard_tell_control(shard, &reports->answer, sizeof reports->answer))
        reports->owed = false;
}

void reports_close(struct shard *shard)
{
    if (shard->reports.owed)
        block_release(&shard->context.pool.blocks, shard->reports.answer.block);
    top_subjects_free(shard->reports.top);
    shard->reports = (struct reports){0};
}

/* ---- figures ---- */

static void shard_figures(const struct shard *shard, struct report_shard *figures)
{
    struct match_cache_figures cache = match_cache_figures(shard->matches);
    struct loop_figures ring = loop_figures(shard->loop);
    *figures = (struct report_shard){
        .connections = shard->slot_count - shard->free_slot_count,
        .slow_consumers = shard->context.slow_consumers,
        .stale_connections = shard->context.stale_connections,
        .route_slow_consumers = shard->context.route_slow_consumers,
        .route_slow_episodes = shard->context.route_slow_episodes,
        .route_stale_connections = shard->context.route_stale_connections,
        .gateway_slow_consumers = shard->context.gateway_slow_consumers,
        .gateway_stale_connections = shard->context.gateway_stale_connections,
        .stalls = shard->stall_count,
        .turns = shard->context.turn,
        .turn_ns = (uint64_t)shard->turn_ns,
        .turn_ns_most = (uint64_t)shard->turn_ns_most,
        .enters = ring.enters,
        .submissions = ring.submissions,
        .completions = ring.completions,
        .overflows = ring.overflows,
        .dropped = ring.dropped,
        .no_buffers = ring.no_buffers,
        .looks = shard->look_count,
        .sleeps = shard->sleep_count,
        .cache_hits = cache.hits,
        .cache_misses = cache.misses,
        .cache_entries = cache.entries_used,
        .cache_bytes = cache.bytes,
        .buffers = (uint64_t)shard->snapshot->options->receive_buffers,
        .buffers_window = ring.buffers_shown,
        .buffers_spare = ring.buffers_spare,
        .mailbox_bytes = post_waiting_bytes(&shard->post),
        .written_bytes = shard->context.written_bytes,
        .closed_kept = shard->closed.count,
        .cpu_ns = (uint64_t)clock_thread_cpu_ns(),
        .pages = shard->reports.page_count,
        .page_ns = (uint64_t)shard->reports.page_ns,
        .page_ns_most = (uint64_t)shard->reports.page_ns_most,
        .system_listeners = shard->post.self == SYSTEM_SHARD ? system_shard_listeners(shard) : 0,
    };
}

/* Without the patterns that are the server's. */
static void account_figures(const struct shard *shard, const struct shard_account *account,
                            struct report_account *figures)
{
    const struct host_traffic *traffic = &account->host.traffic, *routes = &account->routes;
    const struct host_traffic *gateways = &account->gateways;
    struct index_figures index = index_figures(account->index);
    uint64_t own = system_shard_own(shard, account);
    *figures = (struct report_account){
        .id = account->id,
        .clients = account->client_count,
        .in_messages = traffic->in_messages,
        .in_bytes = traffic->in_bytes,
        .out_messages = traffic->out_messages,
        .out_bytes = traffic->out_bytes,
        .slow_consumers = traffic->slow_consumers,
        .route_in_messages = routes->in_messages,
        .route_in_bytes = routes->in_bytes,
        .route_out_messages = routes->out_messages,
        .route_out_bytes = routes->out_bytes,
        .gateway_in_messages = gateways->in_messages,
        .gateway_in_bytes = gateways->in_bytes,
        .gateway_out_messages = gateways->out_messages,
        .gateway_out_bytes = gateways->out_bytes,
        .subscriptions = index.subscriptions - own,
        .interests = index.interests - own,
        .inserts = index.inserts - own,
        .removes = index.removes,
        .matches = index.matches,
        .hits = index.hits,
        .remote_subscriptions = remotes_subscriptions(shard, account),
    };
}

/* major: the next account's id, from 1; 0: the shard's own figures come first. */
static void figures_page(struct answering *answering)
{
    const struct shard_accounts *accounts = &answering->shard->accounts;
    if (answering->at.major == 0) {
        struct report_shard figures;
        shard_figures(answering->shard, &figures);
        if (!page_put(&answering->page, &figures, sizeof figures))
            return;
        answering->at.major = 1;
    }
    for (; answering->items_left > 0 && answering->at.major <= accounts->capacity; answering->items_left--) {
        const struct shard_account *account = accounts->by_id[answering->at.major - 1];
        if (account != NULL) {
            struct report_account figures;
            account_figures(answering->shard, account, &figures);
            if (!page_put(&answering->page, &figures, sizeof figures))
                return;
        }
        answering->at.major++;
    }
    if (answering->at.major > accounts->capacity)
        answering->at.major = UINT64_MAX;
}

/* ---- which connections ---- */

static int64_t key_of(const struct report_query *query, const struct report_connection *c)
{
    switch (query->sort) {
    case REPORT_BY_CID:
    case REPORT_BY_START:
        return (int64_t)c->cid;
    case REPORT_BY_SUBSCRIPTIONS:
        return -(int64_t)c->subscriptions;
    case REPORT_BY_PENDING:
        return -(int64_t)c->pending_bytes;
    case REPORT_BY_OUT_MESSAGES:
        return -(int64_t)c->out_messages;
    case REPORT_BY_IN_MESSAGES:
        return -(int64_t)c->in_messages;
    case REPORT_BY_OUT_BYTES:
        return -(int64_t)c->out_bytes;
    case REPORT_BY_IN_BYTES:
        return -(int64_t)c->in_bytes;
    case REPORT_BY_LAST:
        return -c->last_activity_ns;
    case REPORT_BY_IDLE:
        return c->last_activity_ns - c->stop_ns;
    case REPORT_BY_UPTIME:
        return c->stop_ns - c->start_ns;
    case REPORT_BY_STOP:
        return -c->stop_ns;
    case REPORT_BY_REASON:
        return query->reason_ranks[c->reason % REPORT_REASONS];
    case REPORT_BY_RTT:
        return -c->rtt_ns;
    }
    return 0;
}

/* Counts a connection that is asked for, and puts its key on the page. False: no room, it is not counted
 * either. */
static bool key_put(struct answering *answering, const struct report_connection *figures,
                    struct bytes account, struct bytes user, uint64_t place)
{
    const struct report_query *query = answering->query;
    if (query->account_given && !bytes_equal(account, query->account))
        return true;
    struct report_key key = {
        .key = key_of(query, figures), .cid = figures->cid, .place = place, .closed = figures->closed};
    bool wanted = (!query->user_given || bytes_equal(user, query->user)) &&
                  (query->cid == 0 || query->cid == figures->cid);
    if (wanted && !page_put(&answering->page, &key, sizeof key))
        return false;
    answering->counted += wanted;
    return true;
}

/* Only what this sorting needs: each other field may be another cache line, and there may be a hundred
 * thousand clients. */
static void sort_figures(const struct client *client, const struct report_query *query,
                         struct report_connection *figures)
{
    *figures = (struct report_connection){.cid = client->cid, .stop_ns = query->asked_ns};
    switch (query->sort) {
    case REPORT_BY_CID:
    case REPORT_BY_START:
    case REPORT_BY_STOP:
    case REPORT_BY_REASON:
        return;
    case REPORT_BY_SUBSCRIPTIONS:
        figures->subscriptions = client->sids.count;
        return;
    case REPORT_BY_PENDING:
        figures->pending_bytes = client->output.pending_bytes;
        return;
    case REPORT_BY_OUT_MESSAGES:
    case REPORT_BY_OUT_BYTES:
        figures->out_messages = client->out_messages;
        figures->out_bytes = client->out_bytes;
        return;
    case REPORT_BY_IN_MESSAGES:
    case REPORT_BY_IN_BYTES:
        figures->in_messages = client->in_messages;
        figures->in_bytes = client->in_bytes;
        return;
    case REPORT_BY_LAST:
    case REPORT_BY_IDLE:
        figures->last_activity_ns = client_last_ns(client);
        return;
    case REPORT_BY_UPTIME:
        figures->start_ns = client->start_ns;
        return;
    case REPORT_BY_RTT:
        figures->rtt_ns = client->rtt_ns;
        return;
    }
}

enum look { LOOK_YES, LOOK_NO, LOOK_LATER };

/* Whether a client of the account has a subscription that meets the filter. */
static enum look filter_look(struct answering *answering, const struct client *client)
{
    const struct report_query *query = answering->query;
    if (query->filter.count == 0)
        return LOOK_YES;
    if (!bytes_equal(report_client_account(client), query->account))
        return LOOK_NO;
    for (;;) {
        uint64_t next = answering->at.skip;
        const struct client_subscription *subscription = sids_next(&client->sids, &next);
        bool meets = subscription != NULL && subscription->base.interest != NULL &&
                     subject_collides(interest_pattern(subscription->base.interest), query->filter);
        if (subscription == NULL || meets) {
            answering->at.skip = 0;
            return meets ? LOOK_YES : LOOK_NO;
        }
        if (answering->items_left == 0)
            return LOOK_LATER;
        answering->items_left--;
        answering->at.skip = next;
    }
}

/* major 0: the open ones, minor is a slot; 1: the closed ones, minor is a number. */
static void keys_page(struct answering *answering)
{
    struct shard *shard = answering->shard;
    struct report_cursor *at = &answering->at;
    uint32_t slots_left = REPORT_ITEMS_MAX * 8; /* free ones cost little */
    for (; at->major == 0 && answering->query->open; at->minor++) {
        if (at->minor >= shard->slot_count)
            break;
        if (answering->items_left == 0 || slots_left-- == 0)
            return;
        const struct connection *connection = shard->slots[at->minor];
        if (connection == NULL || connection->client.state == CLIENT_CLOSED)
            continue;
        const struct client *client = &connection->client;
        struct report_connection figures;
        answering->items_left--;
        enum look look = filter_look(answering, client);
        if (look == LOOK_LATER)
            return;
        if (look == LOOK_NO)
            continue;
        sort_figures(client, answering->query, &figures);
        if (!key_put(answering, &figures,
                     answering->query->account_given ? report_client_account(client) : TEXT(""),
                     answering->query->user_given ? report_client_user(client) : TEXT(""), at->minor))
            return;
    }
    const struct closed_ring *closed = &shard->closed;
    if (at->major == 0) {
        at->major = 1;
        at->minor = closed->next_number - closed->count;
    }
    if (at->minor < closed->next_number - closed->count) /* forgotten meanwhile */
        at->minor = closed->next_number - closed->count;
    for (; answering->query->closed && at->minor < closed->next_number; at->minor++) {
        const struct closed_connection *one = closed_at(closed, at->minor);
        if (answering->items_left-- == 0)
            return;
        if (!key_put(answering, &one->figures, closed_account(one), closed_user(one), at->minor))
            return;
    }
    at->major = UINT64_MAX;
}

/* ---- connections that were picked ---- */

/* Its subscriptions; minor - 1 is where in them to go on. False: the page is full. */
static bool subscriptions_put(struct answering *answering, const struct client *client, uint32_t pick)
{
    for (;;) {
        uint64_t next = answering->at.minor - 1;
        const struct client_subscription *subscription = sids_next(&client->sids, &next);
        if (subscription == NULL)
            return true;
        size_t bytes = report_subscription_bytes(subscription, false);
        if (answering->items_left == 0)
            return false;
        answering->items_left--;
        uint8_t *room = bytes == 0 ? NULL : page_reserve(&answering->page, bytes);
        if (room == NULL && bytes > 0)
            return false;
        if (bytes > 0)
            report_subscription_write(room, subscription, pick, false);
        answering->at.minor = next + 1;
    }
}

static bool open_put(struct answering *answering, struct connection *connection, uint32_t pick)
{
    struct client *client = &connection->client;
    if (answering->at.minor == 0) {
        struct report_record_draft draft;
        report_record_make(&draft, connection, answering->shard->context.now_ns);
        uint8_t *room = page_reserve(&answering->page, draft.bytes);
        if (room == NULL)
            return false;
        report_record_write(room, &draft, pick);
        client_rtt_ask(client);
        answering->at.minor = 1;
    }
    return !answering->query->subscriptions || subscriptions_put(answering, client, pick);
}

/* A record that was written when it closed, under another number. */
static void pick_set(uint8_t *record, uint32_t bytes, uint32_t pick)
{
    struct report_record head;
    for (uint32_t at = 0; at < bytes; at += head.bytes) {
        memcpy(&head, record + at, sizeof head);
        head.pick = pick;
        memcpy(record + at, &head, sizeof head);
    }
}

static bool closed_put(struct answering *answering, const struct closed_connection *closed, uint32_t pick)
{
    uint32_t bytes = answering->query->subscriptions ? closed->bytes_count : closed->connection_bytes;
    uint8_t *room = page_reserve(&answering->page, bytes);
    if (room == NULL)
        return false;
    memcpy(room, closed->bytes, bytes);
    pick_set(room, bytes, pick);
    return true;
}

/* False: the page is full before all of it was told. */
static bool pick_put(struct answering *answering, const struct report_key *key, uint32_t pick)
{
    struct shard *shard = answering->shard;
    if (key->closed) {
        const struct closed_connection *closed = closed_at(&shard->closed, key->place);
        return closed == NULL || closed->figures.cid != key->cid || closed_put(answering, closed, pick);
    }
    struct publisher_place place = {.cid = key->cid, .slot = (uint32_t)key->place};
    struct connection *connection = shard_connection_at(shard, &place);
    if (connection == NULL || connection->client.state == CLIENT_CLOSED)
        return true; /* it left meanwhile */
    return open_put(answering, connection, pick);
}

/* major: the pick; minor 0: from its beginning, else see subscriptions_put(). */
static void connections_page(struct answering *answering)
{
    const struct report_query *query = answering->query;
    for (; answering->at.major < query->pick_count; answering->at.major++, answering->at.minor = 0) {
        const struct report_key *key = &query->picks[answering->at.major];
        if (key->shard != answering->shard->post.self)
            continue;
        if (answering->items_left == 0)
            return;
        answering->items_left--;
        if (!pick_put(answering, key, (uint32_t)answering->at.major))
            return;
    }
    answering->at.major = UINT64_MAX;
}

/* ---- subscriptions of everybody ---- */

static bool subscription_fits(const struct report_query *query,
                              const struct client_subscription *subscription)
{
    return subscription->base.interest != NULL &&
           (query->test.count == 0 ||
            subject_matches(interest_pattern(subscription->base.interest), query->test));
}

/* False: the page is full, or it has looked at enough. */
static bool client_subscriptions_put(struct answering *answering, const struct client *client)
{
    struct report_cursor *at = &answering->at;
    for (;;) {
        uint64_t next = at->minor;
        const struct client_subscription *subscription = sids_next(&client->sids, &next);
        if (subscription == NULL)
            return true;
        if (answering->items_left == 0)
            return false;
        answering->items_left--;
        if (subscription_fits(answering->query, subscription)) {
            if (at->skip == 0 && at->want > 0) {
                uint8_t *room = page_reserve(&answering->page, report_subscription_bytes(subscription, true));
                if (room == NULL)
                    return false;
                report_subscription_write(room, subscription, 0, true);
                at->want--;
            } else if (at->skip > 0) {
                at->skip--;
            }
            answering->counted++;
        }
        at->minor = next;
    }
}

/* major: the slot, minor: where in its subscriptions to go on. */
static void subscriptions_page(struct answering *answering)
{
    const struct shard *shard = answering->shard;
    const struct report_query *query = answering->query;
    uint32_t slots_left = REPORT_ITEMS_MAX * 4;
    for (; answering->at.major < shard->slot_count; answering->at.major++, answering->at.minor = 0) {
        const struct connection *connection = shard->slots[answering->at.major];
        if (slots_left-- == 0)
            return;
        if (connection == NULL || connection->client.state == CLIENT_CLOSED ||
            (query->account_given &&
             !bytes_equal(report_client_account(&connection->client), query->account)))
            continue;
        if (!client_subscriptions_put(answering, &connection->client))
            return;
    }
    answering->at.major = UINT64_MAX;
}
