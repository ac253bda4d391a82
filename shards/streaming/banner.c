/* shards/streaming/banner.c - see banner.h. */
#include "shards/streaming/banner.h"

#include "core/base/version.h"
#include "core/config/duration.h"

#include <inttypes.h>
#include <stdio.h>

enum { VALUE_BYTES = 64 };

/* The defaults that a star marks. */
enum { CHANNELS_DEFAULT = 100, SUBSCRIPTIONS_DEFAULT = 1000, MESSAGES_DEFAULT = 1000000 };
#define BYTES_DEFAULT 1024000000LL

void streaming_banner_start(struct log *log, const struct streaming_options *options, struct bytes server_id)
{
    log_notice(log, "STREAM: Starting nats-streaming-server[%s] version %s", options->cluster_id,
               MYELIN_STREAMING_VERSION);
    log_notice(log, "STREAM: ServerID: %.*s", BYTES_PRINTF(server_id));
    log_notice(log, "STREAM: Go version: none, Myelin %s", MYELIN_VERSION);
    log_notice(log, "STREAM: Git commit: [not set]");
}

/* As people read sizes: two digits behind the point from a kilobyte on. */
static const char *size_text(int64_t bytes, char *to)
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB", "EB"};
    double value = (double)bytes;
    size_t unit = 0;
    for (; value >= 1024 && unit + 1 < COUNT_OF(units); unit++)
        value /= 1024;
    snprintf(to, VALUE_BYTES, unit == 0 ? "%.0f %s" : "%.2f %s", value, units[unit]);
    return to;
}

static const char *count_text(int64_t count, char *to)
{
    snprintf(to, VALUE_BYTES, "%" PRId64, count);
    return to;
}

static const char *duration_text(int64_t duration_ns, char *to)
{
    char printed[DURATION_TEXT_BYTES_MAX];
    snprintf(to, VALUE_BYTES, "%s", duration_print(duration_ns, printed));
    return to;
}

/* One line: the value right of its name, a star where it is the default. */
static void row(struct log *log, const char *name, const char *value, bool unlimited, bool is_default)
{
    log_notice(log, "STREAM: %s%13s%s", name, unlimited ? "unlimited" : value, is_default ? " *" : "");
}

/* What a rule says itself; what it inherits is not repeated. */
static void rule_rows(struct log *log, const struct store_limits_rule *rule)
{
    char value[VALUE_BYTES];
    log_notice(log, "STREAM: %.*s", BYTES_PRINTF(rule->name));
    if (rule->subscriptions_max >= 0)
        row(log, " |-> Subscriptions ", count_text(rule->subscriptions_max, value),
            rule->subscriptions_max == 0, false);
    if (rule->messages_max >= 0)
        row(log, " |-> Messages      ", count_text(rule->messages_max, value), rule->messages_max == 0,
            false);
    if (rule->bytes_max >= 0)
        row(log, " |-> Bytes         ", size_text(rule->bytes_max, value), rule->bytes_max == 0, false);
    if (rule->age_max_ns >= 0)
        row(log, " |-> Age           ", duration_text(rule->age_max_ns, value), rule->age_max_ns == 0, false);
    if (rule->inactivity_max_ns >= 0)
        row(log, " |-> Inactivity    ", duration_text(rule->inactivity_max_ns, value),
            rule->inactivity_max_ns == 0, false);
}

static void subject_rows(struct log *log, const struct streaming *machine)
{
    static const struct {
        const char *words;
        enum streaming_request_kind kind;
    } subjects[] = {
        {"Discover subject:          ", STREAMING_REQUEST_CONNECT},
        {"Publish subject:           ", STREAMING_REQUEST_PUBLISH},
        {"Subscribe subject:         ", STREAMING_REQUEST_SUBSCRIBE},
        {"Subscription Close subject:", STREAMING_REQUEST_SUBSCRIPTION_CLOSE},
        {"Unsubscribe subject:       ", STREAMING_REQUEST_UNSUBSCRIBE},
        {"Close subject:             ", STREAMING_REQUEST_CLOSE},
    };
    for (size_t i = 0; i < COUNT_OF(subjects); i++)
        log_line(log, LOG_DEBUG, "STREAM: %s %.*s", subjects[i].words,
                 BYTES_PRINTF(streaming_subject(machine, subjects[i].kind)));
}

void streaming_banner_ready(struct log *log, const struct streaming_options *options,
                            const struct store *store, const struct streaming *machine)
{
    char value[VALUE_BYTES];
    uint32_t channels = store_channel_count(store);
    if (channels > 0)
        log_notice(log, "STREAM: Recovered %u channel(s)", channels);
    else
        log_notice(log, "STREAM: No recovered state");
    if (options->debug)
        subject_rows(log, machine);
    log_notice(log, "STREAM: Message store is %s", store_kind_name(store));
    if (options->store == STREAMING_STORE_FILE)
        log_notice(log, "STREAM: Store location: %s", options->folder);
    log_notice(log, "STREAM: ---------- Store Limits ----------");
    row(log, "Channels:        ", count_text(options->channels_max, value), options->channels_max == 0,
        options->channels_max == CHANNELS_DEFAULT);
    log_notice(log, "STREAM: --------- Channels Limits --------");
    row(log, "  Subscriptions: ", count_text(options->subscriptions_max, value),
        options->subscriptions_max == 0, options->subscriptions_max == SUBSCRIPTIONS_DEFAULT);
    row(log, "  Messages     : ", count_text(options->messages_max, value), options->messages_max == 0,
        options->messages_max == MESSAGES_DEFAULT);
    row(log, "  Bytes        : ", size_text(options->bytes_max, value), options->bytes_max == 0,
        options->bytes_max == BYTES_DEFAULT);
    row(log, "  Age          : ", duration_text(options->age_max_ns, value), options->age_max_ns == 0,
        options->age_max_ns == 0);
    row(log, "  Inactivity   : ", duration_text(options->inactivity_max_ns, value),
        options->inactivity_max_ns == 0, options->inactivity_max_ns == 0);
    if (options->rule_count > 0)
        log_notice(log, "STREAM: -------- List of Channels ---------");
    for (uint32_t i = 0; i < options->rule_count; i++)
        rule_rows(log, &options->rules[i]);
    log_notice(log, "STREAM: ----------------------------------");
    if (!options->cluster.on) /* else when it leads */
        log_notice(log, "STREAM: Streaming Server is ready");
}
