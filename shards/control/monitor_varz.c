/* shards/control/monitor_varz.c - /varz (spec/monitoring.md 2.1), in the order of nats-server's keys. */
#include "shards/control/monitor_varz.h"

#include "core/base/clock.h"
#include "core/base/version.h"
#include "core/security/authenticate.h"
#include "net/tls_context.h"
#include "shards/control/control_internal.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static uint64_t resident_bytes(void)
{
    char content[128];
    char *end = NULL;
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t count = read(fd, content, sizeof content - 1);
    close(fd);
    content[count > 0 ? count : 0] = 0;
    (void)strtoull(content, &end, 10); /* the whole size */
    return strtoull(end, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

struct monitor_process monitor_process(struct control *control)
{
    struct monitor *monitor = &control->monitor;
    int64_t now_ns = clock_monotonic_ns();
    int64_t span_ns = now_ns - monitor->cpu_sampled_ns;
    cpu_set_t allowed;
    if (monitor->cpu_sampled_ns == 0)
        span_ns = now_ns - monitor->start_ns;
    if (monitor->cpu_sampled_ns == 0 || span_ns >= NS_PER_SECOND) {
        int64_t used_ns = clock_process_cpu_ns();
        double percent = span_ns > 0 ? 100.0 * (double)(used_ns - monitor->cpu_used_ns) / (double)span_ns : 0;
        monitor->cpu_percent = (double)(int64_t)(percent * 10 + 0.5) / 10;
        monitor->cpu_used_ns = used_ns;
        monitor->cpu_sampled_ns = now_ns;
    }
    CPU_ZERO(&allowed);
    bool known = sched_getaffinity(0, sizeof allowed, &allowed) == 0;
    return (struct monitor_process){
        .resident_bytes = resident_bytes(),
        .cpu_percent = monitor->cpu_percent,
        .cores = known ? CPU_COUNT(&allowed) : 1,
    };
}

struct monitor_sums monitor_sums(const struct control *control, const struct monitor_task *task)
{
    struct monitor_sums sums = {0};
    for (uint32_t i = 0; i < control->shard_count; i++) {
        const struct report_shard *shard = &task->figures.shards[i];
        sums.stalls += shard->stalls;
        sums.slow_consumers +=
            shard->slow_consumers + shard->route_slow_consumers + shard->gateway_slow_consumers;
        sums.slow.clients += shard->slow_consumers;
        sums.slow.routes += shard->route_slow_episodes;
        sums.slow.gateways += shard->gateway_slow_consumers;
        sums.stale.clients += shard->stale_connections;
        sums.stale.routes += shard->route_stale_connections;
        sums.stale.gateways += shard->gateway_stale_connections;
    }
    sums.stale_connections = sums.stale.clients + sums.stale.routes + sums.stale.gateways;
    return sums;
}

struct monitor_traffic monitor_traffic(const struct report_account *figures)
{
    return (struct monitor_traffic){
        .in_messages = figures->in_messages + figures->route_in_messages + figures->gateway_in_messages,
        .in_bytes = figures->in_bytes + figures->route_in_bytes + figures->gateway_in_bytes,
        .out_messages = figures->out_messages + figures->route_out_messages + figures->gateway_out_messages,
        .out_bytes = figures->out_bytes + figures->route_out_bytes + figures->gateway_out_bytes,
    };
}

static struct bytes optional(const char *words)
{
    return words == NULL ? TEXT("") : text(words);
}

static double seconds(int64_t span_ns)
{
    return (double)span_ns / (double)NS_PER_SECOND;
}

static void put_write_timeout(struct json_output *document, int write_timeout)
{
    static const char *const timeouts[] = {"", "close", "retry"};
    json_put_text_some(document, "write_timeout", text(timeouts[write_timeout]));
}

/* host:port, as the file has it. */
static void put_url(struct json_output *document, const struct route_url *url)
{
    char shown[CLUSTER_HOST_BYTES + 16];
    bool six = strchr(url->host, ':') != NULL;
    int count = snprintf(shown, sizeof shown, six ? "[%s]:%u" : "%s:%u", url->host, url->port);
    json_put_text(document, NULL, bytes_of(shown, count < (int)sizeof shown ? (size_t)count : 0));
}

/* When the certificate that peers are shown ends; left out where there is none. */
static void put_valid_until(struct json_output *document, const struct tls_options *tls)
{
    char shown[MONITOR_TIME_BYTES];
    int64_t seconds = tls_context_valid_until_seconds(tls->context);
    if (seconds != 0)
        json_put_text(document, "tls_cert_not_after", text(monitor_date_text(shown, seconds)));
}

static void put_cluster(struct json_output *document, const struct control *control)
{
    const struct cluster_options *options = &control->snapshot->options->cluster;
    json_put_object(document, "cluster");
    json_put_text_some(document, "name", control_cluster_name(control));
    if (control->cluster.on) {
        json_put_text(document, "addr", optional(options->host));
        json_put_unsigned_some(document, "cluster_port", control->cluster.port);
        json_put_double(document, "auth_timeout", seconds(options->authentication_timeout_ns));
        if (options->route_count > 0)
            json_put_array(document, "urls");
        for (uint32_t i = 0; i < options->route_count; i++)
            put_url(document, &options->routes[i]);
        if (options->route_count > 0)
            json_put_array_end(document);
        json_put_double(document, "tls_timeout", seconds(tls_options_timeout_ns(&options->tls)));
        json_put_true(document, "tls_required", options->tls.on);
        json_put_true(document, "tls_verify", options->tls.on);
        json_put_int(document, "pool_size", options->pool.size);
        json_put_unsigned_some(document, "write_deadline", (uint64_t)options->write_deadline_ns);
        put_write_timeout(document, options->write_timeout);
        put_valid_until(document, &options->tls);
    }
    json_put_object_end(document);
}

static void put_urls(struct json_output *document, const struct route_url *urls, uint32_t count)
{
    if (count == 0)
        return;
    json_put_array(document, "urls");
    for (uint32_t i = 0; i < count; i++)
        put_url(document, &urls[i]);
    json_put_array_end(document);
}

static void put_gateway(struct json_output *document, const struct control *control)
{
    const struct gateway_options *options = &control->snapshot->options->gateway;
    json_put_object(document, "gateway");
    if (options->given) {
        json_put_text(document, "name", text(options->name));
        json_put_text(document, "host", text(options->host == NULL ? "0.0.0.0" : options->host));
        json_put_int(document, "port", control->gateways.port);
        json_put_double(document, "auth_timeout", seconds(options->authentication_timeout_ns));
        json_put_double(document, "tls_timeout", seconds(tls_options_timeout_ns(&options->tls)));
        json_put_true(document, "tls_required", options->tls.on);
        json_put_true(document, "tls_verify", options->tls.on);
        json_put_text_some(document, "advertise", optional(options->advertise));
        if (options->connect_retries > 0)
            json_put_int(document, "connect_retries", options->connect_retries);
        if (options->remote_count > 0)
            json_put_array(document, "gateways");
        for (uint32_t i = 0; i < options->remote_count; i++) {
            const struct gateway_remote_options *remote = &options->remotes[i];
            json_put_object(document, NULL);
            json_put_text(document, "name", text(remote->name));
            if (remote->tls.on)
                json_put_double(document, "tls_timeout", seconds(tls_options_timeout_ns(&remote->tls)));
            put_urls(document, remote->urls, remote->url_count);
            json_put_object_end(document);
        }
        if (options->remote_count > 0)
            json_put_array_end(document);
        json_put_true(document, "reject_unknown", options->reject_unknown);
        json_put_unsigned_some(document, "write_deadline", (uint64_t)options->write_deadline_ns);
        put_write_timeout(document, options->write_timeout);
        put_valid_until(document, &options->tls);
    }
    json_put_object_end(document);
}

/* What clients are told, where they are told anything. */
static void put_connect_urls(struct json_output *document, const struct control *control)
{
    struct config_text urls = {0};
    cluster_urls_add(control, &urls);
    if (!urls.failed && urls.count > 0) {
        struct bytes rest = bytes_of(urls.data, urls.count), one;
        json_put_array(document, "connect_urls");
        while (route_texts_next(&rest, &one))
            json_put_text(document, NULL, one);
        json_put_array_end(document);
    }
    config_text_close(&urls);
}

static void put_configuration(struct json_output *document, const struct control *control)
{
    const struct server_options *options = control->snapshot->options;
    bool https = options->https_port != 0;
    bool any = https || options->http_port != 0;
    json_put_text(document, "host", control->snapshot->info.host); /* as clients are told */
    json_put_int(document, "port", control->snapshot->info.port);
    json_put_true(document, "auth_required", authenticate_info_required(&options->security));
    json_put_true(document, "tls_required", options->net.tls.on && !options->net.allow_non_tls);
    json_put_true(document, "tls_verify", options->net.tls.on && options->net.tls.verify);
    json_put_true(document, "tls_ocsp_peer_verify", options->net.tls.on && options->net.tls.ocsp_peer.verify);
    put_connect_urls(document, control);
    json_put_int(document, "max_connections",
                 options->net.max_connections < 0 ? 0 : options->net.max_connections);
    json_put_unsigned_some(document, "max_subscriptions", (uint64_t)options->net.max_subscriptions);
    json_put_int(document, "ping_interval", options->net.ping_interval_ns);
    json_put_int(document, "ping_max", options->net.ping_max);
    json_put_text(document, "http_host", any ? text(monitor_host(options)) : TEXT(""));
    json_put_int(document, "http_port", https ? 0 : control->monitor.port);
    json_put_text(document, "http_base_path", optional(options->http_base_path));
    json_put_int(document, "https_port", https ? control->monitor.port : 0);
    json_put_double(document, "auth_timeout", seconds(options->security.timeout_ns));
    json_put_int(document, "max_control_line", options->net.max_control_line_bytes);
    json_put_int(document, "max_payload", options->net.max_payload_bytes);
    json_put_int(document, "max_pending", options->net.max_pending_bytes);
    put_cluster(document, control);
    put_gateway(document, control);
    static const char *const off[] = {"leaf", "mqtt", "websocket", "jetstream"};
    for (size_t i = 0; i < COUNT_OF(off); i++) {
        json_put_object(document, off[i]);
        json_put_object_end(document);
    }
    json_put_double(document, "tls_timeout", seconds(tls_options_timeout_ns(&options->net.tls)));
    json_put_int(document, "write_deadline", options->net.write_deadline_ns);
    put_write_timeout(document, options->net.write_timeout);
}

void monitor_put_kinds(struct json_output *document, const char *key, const struct monitor_kinds *kinds)
{
    json_put_object(document, key);
    json_put_unsigned(document, "clients", kinds->clients);
    json_put_unsigned(document, "routes", kinds->routes);
    json_put_unsigned(document, "gateways", kinds->gateways);
    json_put_unsigned(document, "leafs", 0);
    json_put_object_end(document);
}

static void put_traffic(struct json_output *document, const struct monitor_task *task)
{
    const struct report_account *sum = &task->figures.sum;
    struct monitor_traffic all = monitor_traffic(sum);
    json_put_unsigned(document, "in_msgs", all.in_messages);
    json_put_unsigned(document, "in_bytes", all.in_bytes);
    json_put_unsigned(document, "in_client_msgs", sum->in_messages);
    json_put_unsigned(document, "in_client_bytes", sum->in_bytes);
    json_put_unsigned(document, "out_msgs", all.out_messages);
    json_put_unsigned(document, "out_bytes", all.out_bytes);
    json_put_unsigned(document, "out_client_msgs", sum->out_messages);
    json_put_unsigned(document, "out_client_bytes", sum->out_bytes);
}

/* Sorted by path, as Go writes maps; only what was asked for. */
static void put_requests(struct json_output *document, const struct control *control)
{
    size_t count;
    const struct monitor_endpoint *endpoints = monitor_endpoints(&count);
    const char *last = "";
    json_put_object(document, "http_req_stats");
    for (;;) {
        size_t next = count;
        for (size_t i = 0; i < count; i++) {
            const char *counter = endpoints[i].counter;
            if (counter != NULL && control->monitor.request_counts[i] > 0 && strcmp(counter, last) > 0 &&
                (next == count || strcmp(counter, endpoints[next].counter) < 0))
                next = i;
        }
        if (next == count)
            break;
        last = endpoints[next].counter;
        json_put_unsigned(document, last, control->monitor.request_counts[next]);
    }
    json_put_object_end(document);
}

static void put_run_time(struct control *control, struct monitor_task *task)
{
    struct json_output *document = &task->document;
    struct monitor_process process = monitor_process(control);
    struct monitor_sums sums = monitor_sums(control, task);
    int64_t now_ns = clock_monotonic_ns();
    monitor_put_time(document, "start", control, control->monitor.start_ns);
    monitor_put_time(document, "now", control, now_ns);
    monitor_put_span(document, "uptime", now_ns - control->monitor.start_ns);
    json_put_unsigned(document, "mem", process.resident_bytes);
    json_put_int(document, "cores", process.cores);
    json_put_unsigned(document, "gomaxprocs", control->shard_count);
    json_put_double(document, "cpu", process.cpu_percent);
    json_put_unsigned(document, "connections", control_open_connections(control));
    json_put_unsigned(document, "total_connections", control->accepted_count);
    json_put_unsigned(document, "routes", cluster_registered_count(control));
    json_put_unsigned(document, "remotes", cluster_remote_count(control));
    json_put_int(document, "leafnodes", 0);
    put_traffic(document, task);
    json_put_unsigned(document, "slow_consumers", sums.slow_consumers);
    json_put_unsigned(document, "stale_connections", sums.stale_connections);
    json_put_unsigned(document, "stalled_clients", sums.stalls);
    json_put_unsigned(document, "subscriptions",
                      task->figures.sum.subscriptions + task->figures.sum.remote_subscriptions +
                          control->desk.listener_count);
    put_requests(document, control);
}

void monitor_put_tags(struct json_output *document, const struct server_options *options)
{
    if (options->server_tag_count > 0) {
        json_put_array(document, "tags");
        for (uint32_t i = 0; i < options->server_tag_count; i++)
            json_put_text(document, NULL, options->server_tags[i]);
        json_put_array_end(document);
    }
    if (options->metadata_count > 0) {
        json_put_object(document, "metadata");
        for (uint32_t i = 0; i < options->metadata_count; i++)
            json_put_text(document, options->metadata[i].key, options->metadata[i].value);
        json_put_object_end(document);
    }
}

static void put_ocsp_cache(struct json_output *document, const struct ocsp_cache *cache)
{
    if (!cache->on)
        return;
    json_put_object(document, "ocsp_peer_cache");
    json_put_text(document, "cache_type", TEXT("local"));
    json_put_unsigned_some(document, "cache_hits", cache->hits);
    json_put_unsigned_some(document, "cache_misses", cache->misses);
    json_put_unsigned_some(document, "cached_responses", cache->count);
    json_put_unsigned_some(document, "cached_revoked_responses", cache->status_counts[OCSP_STATUS_REVOKED]);
    json_put_unsigned_some(document, "cached_good_responses", cache->status_counts[OCSP_STATUS_GOOD]);
    json_put_unsigned_some(document, "cached_unknown_responses", cache->status_counts[OCSP_STATUS_UNKNOWN]);
    json_put_object_end(document);
}

/* Left out where the file has no such block. */
static void put_proxies(struct json_output *document, const struct trusted_proxies *proxies)
{
    if (!proxies->given)
        return;
    json_put_object(document, "proxies");
    if (proxies->count > 0)
        json_put_array(document, "trusted");
    for (uint32_t i = 0; i < proxies->count; i++) {
        json_put_object(document, NULL);
        json_put_text(document, "key", proxies->at[i].key);
        json_put_object_end(document);
    }
    if (proxies->count > 0)
        json_put_array_end(document);
    json_put_object_end(document);
}

static void put_after(struct control *control, struct monitor_task *task)
{
    struct json_output *document = &task->document;
    const struct server_options *options = control->snapshot->options;
    const struct security_account *system = options->security.accounts.system;
    struct monitor_sums sums = monitor_sums(control, task);
    monitor_put_time(document, "config_load_time", control, control->monitor.loaded_ns);
    json_put_text(document, "config_digest", text(options->config_digest));
    monitor_put_tags(document, options);
    if (system != NULL)
        json_put_text(document, "system_account", system->name);
    monitor_put_kinds(document, "slow_consumer_stats", &sums.slow);
    monitor_put_kinds(document, "stale_connection_stats", &sums.stale);
    put_ocsp_cache(document, &control->peer_checks.cache);
    put_proxies(document, &options->security.proxies);
    put_valid_until(document, &options->net.tls);
}

void varz_told(struct control *control, struct monitor_task *task)
{
    struct json_output *document = &task->document;
    json_put_object(document, NULL);
    json_put_text(document, "server_id", text(control->server_id));
    json_put_text(document, "server_name", text(control->server_name));
    json_put_text(document, "version", TEXT(MYELIN_NATS_VERSION));
    json_put_int(document, "proto", 1);
    json_put_text(document, "go", TEXT("myelin" MYELIN_VERSION));
    put_configuration(document, control);
    put_run_time(control, task);
    put_after(control, task);
    json_put_object_end(document);
    task->done = true;
}
