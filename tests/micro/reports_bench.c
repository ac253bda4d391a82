/* tests/micro/reports_bench.c - how long a shard with so many connections (100,000) works on one page of
 * figures, without sockets: the longest pause that a request to the monitoring port can make for clients
 * (docs/monitoring.md 2).
 *     make micro && build/micro/reports_bench 100000 */
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "shards/host.h"
#include "shards/mail.h"
#include "shards/shard.h"

#include <stdio.h>
#include <stdlib.h>

enum { SHARD, CONTROL, THREADS, PICKS = 128, COLD_BYTES = 64 * 1024 * 1024 };

struct bench {
    struct shard shard;
    struct server_options options;
    struct snapshot snapshot;
    struct info_server info;
    struct post_office office;
    struct post control;
    struct block_pool blocks;
    struct report_key picks[PICKS];
    uint32_t pick_count;
    struct mail_report answer;
    uint8_t *cold; /* written before each page: no cache holds a connection then */
};

static void connection_make(struct bench *bench, uint64_t cid)
{
    struct shard *shard = &bench->shard;
    struct connection *connection = memory_new(sizeof *connection);
    struct client_peer peer = {.address = "127.0.0.1", .port = 1, .cid = cid};
    char hello[160];
    if (connection == NULL || shard_slot_take(shard, connection) != ERR_OK ||
        client_init(&connection->client, &shard->context, &peer) != ERR_OK)
        abort();
    connection->client.place.cid = cid;
    int count =
        snprintf(hello, sizeof hello,
                 "CONNECT {\"verbose\":false,\"name\":\"client-%llu\",\"lang\":\"c\",\"version\":\"1\"}\r\n"
                 "SUB subject.%llu 1\r\nSUB more.%llu 2\r\n",
                 (unsigned long long)cid, (unsigned long long)cid, (unsigned long long)cid);
    (void)client_receive(&connection->client, bytes_of(hello, (size_t)count));
    output_clear(&connection->client.output, &shard->context.pool);
}

static void take_answer(void *context, uint32_t from, const uint8_t *mail, uint32_t bytes)
{
    struct bench *bench = context;
    (void)from;
    (void)bytes;
    memcpy(&bench->answer, mail, sizeof bench->answer);
}

/* The connections of the page are picked for the next question. */
static void keys_keep(struct bench *bench)
{
    const struct mail_report *answer = &bench->answer;
    for (uint32_t at = 0; at < answer->bytes && bench->pick_count < PICKS;
         at += (uint32_t)sizeof bench->picks[0])
        memcpy(&bench->picks[bench->pick_count++], answer->block->bytes + at, sizeof bench->picks[0]);
}

static void ask(struct bench *bench, const char *name, const struct report_query *query)
{
    struct mail_report_ask mail = {.kind = MAIL_REPORT_ASK, .query = query};
    int64_t all_ns = 0, most_ns = 0;
    uint64_t pages = 0, items = 0;
    for (bool more = true; more; pages++) {
        memset(bench->cold, (int)pages, COLD_BYTES);
        reports_ask_take(&bench->shard, (const uint8_t *)&mail);
        int64_t before_ns = clock_thread_cpu_ns();
        reports_step(&bench->shard);
        int64_t took_ns = clock_thread_cpu_ns() - before_ns;
        all_ns += took_ns;
        most_ns = took_ns > most_ns ? took_ns : most_ns;
        post_flush(&bench->shard.post);
        post_drain(&bench->control, take_answer, bench);
        items += bench->answer.counted;
        if (query->kind == REPORT_KEYS)
            keys_keep(bench);
        more = bench->answer.more;
        mail.from = bench->answer.next;
        block_release(&bench->blocks, bench->answer.block);
    }
    printf("%s: %llu pages, %llu items, %.1f us of CPU a page, the longest %.1f us\n", name,
           (unsigned long long)pages, (unsigned long long)items, (double)all_ns / 1e3 / (double)pages,
           (double)most_ns / 1e3);
}

static void shard_make(struct bench *bench)
{
    struct shard *shard = &bench->shard;
    bench->options.net = (struct net_options){.max_payload_bytes = 1 << 20,
                                              .max_control_line_bytes = 4096,
                                              .max_pending_bytes = 64 << 20,
                                              .ping_interval_ns = 1000000000,
                                              .headers = true};
    bench->snapshot.options = &bench->options;
    if (post_office_init(&bench->office, THREADS, 1 << 20) != ERR_OK)
        abort();
    shard->post = (struct post){.office = &bench->office, .self = SHARD};
    bench->control = (struct post){.office = &bench->office, .self = CONTROL};
    shard->shard_count = 1;
    shard->snapshot = &bench->snapshot;
    shard->context.lines = lines_new(0);
    shard->context.host = shard_host();
    shard->context.options = &bench->options.net;
    shard->context.security = &bench->options.security;
    shard->context.info = &bench->info;
    list_init(&shard->with_output);
    list_init(&shard->closing);
    list_init(&shard->shadows);
    list_init(&shard->telling);
    shard->matches = match_cache_new(1024);
    bench->cold = memory_new(COLD_BYTES);
    if (bench->cold == NULL)
        abort();
}

int main(int argc, char **argv)
{
    static struct bench bench;
    unsigned long connections = argc > 1 ? strtoul(argv[1], NULL, 10) : 100000;
    shard_make(&bench);
    for (unsigned long cid = 1; cid <= connections; cid++)
        connection_make(&bench, cid);
    struct report_query keys = {.kind = REPORT_KEYS, .open = true, .sort = REPORT_BY_OUT_MESSAGES};
    struct report_query by_cid = {.kind = REPORT_KEYS, .open = true, .sort = REPORT_BY_CID};
    struct report_query told = {
        .kind = REPORT_CONNECTIONS, .open = true, .subscriptions = true, .picks = bench.picks};
    struct report_query all = {.kind = REPORT_SUBSCRIPTIONS};
    ask(&bench, "sort keys of all", &keys);
    ask(&bench, "sort keys of all, by number", &by_cid);
    told.pick_count = bench.pick_count;
    ask(&bench, "128 connections with their subscriptions", &told);
    ask(&bench, "subscriptions of all", &all);
    return 0;
}
