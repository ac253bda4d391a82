/* shards/control/monitor_subsz.c - /subsz (spec/monitoring.md 2.6): the figures of all shards, then, with
 * `subs`, one shard after the other tells of its subscriptions, so that offset and limit count over all of
 * them. */
#include "core/base/clock.h"
#include "core/subject/subject.h"
#include "shards/control/control.h"
#include "shards/control/monitor_task.h"
#include "shards/mail.h"

#include <stdio.h>

void subsz_begin(struct control *control, struct monitor_task *task)
{
    char why[HTTP_WHY_BYTES];
    struct report_query *query = &task->report;
    if (!monitor_bool(task, "subs", &task->subsz.listed) ||
        !monitor_paging(task, &task->subsz.offset, &task->subsz.limit))
        return;
    query->test = monitor_text(task, "test", task->test);
    query->account = monitor_text(task, "acc", task->account);
    query->account_given = query->account.count > 0;
    if (query->test.count > 0 && !subject_valid_literal(query->test)) {
        snprintf(why, sizeof why, "invalid test subject, must be valid publish subject: %.*s",
                 BYTES_PRINTF(query->test));
        monitor_fail(task, HTTP_BAD_REQUEST, why);
        return;
    }
    task->cursor =
        (struct report_cursor){.skip = (uint64_t)task->subsz.offset, .want = (uint64_t)task->subsz.limit};
    monitor_figures_ask(control, task);
}

static void put_records(struct monitor_task *task, const struct mail_report *mail)
{
    struct report_record head;
    for (uint32_t at = 0; at < mail->bytes; at += head.bytes) {
        memcpy(&head, mail->block->bytes + at, sizeof head);
        monitor_put_subscription(&task->document, mail->block->bytes + at + sizeof head, true);
    }
}

void subsz_page(struct control *control, struct monitor_task *task, uint32_t from, struct mail_report *mail)
{
    if (task->report.kind != REPORT_SUBSCRIPTIONS) {
        monitor_figures_page(control, task, from, mail);
        return;
    }
    /* The document holds only the list so far: what comes before it needs the total. */
    put_records(task, mail);
    task->subsz.total += mail->counted;
    task->cursor.skip = mail->next.skip;
    task->cursor.want = mail->next.want;
}

/* The figures of all accounts, or of the one that is asked for. */
static struct report_account figures_of(const struct control *control, const struct monitor_task *task)
{
    const struct security_accounts *accounts = &control->snapshot->options->security.accounts;
    if (!task->report.account_given)
        return task->figures.sum;
    const struct security_account *account = security_account_find(accounts, task->report.account);
    return account == NULL ? (struct report_account){0} : monitor_account(task, account->id);
}

void monitor_put_index(struct json_output *document, const struct report_account *figures, uint64_t listeners)
{
    json_put_unsigned(document, "num_subscriptions",
                      figures->subscriptions + figures->remote_subscriptions + listeners);
    json_put_unsigned(document, "num_cache", figures->cached);
    json_put_unsigned(document, "num_inserts", figures->inserts);
    json_put_unsigned(document, "num_removes", figures->removes);
    json_put_unsigned(document, "num_matches", figures->matches + figures->hits);
    json_put_double(document, "cache_hit_rate", monitor_hit_rate(figures));
    json_put_unsigned(document, "max_fanout", figures->fanout_most);
    json_put_double(document, "avg_fanout", monitor_fanout_average(figures->fanout, figures->cached));
}

static void put_head(struct control *control, struct monitor_task *task, struct json_output *document)
{
    struct report_account figures = figures_of(control, task);
    json_put_object(document, NULL);
    monitor_put_now(document, control);
    monitor_put_index(document, &figures, task->report.account.count == 0 ? control->desk.listener_count : 0);
    json_put_unsigned(document, "total", task->subsz.total);
    json_put_int(document, "offset", task->subsz.offset);
    json_put_int(document, "limit", task->subsz.limit);
}

/* Puts the list, which was written as a document of its own at the right depth, behind the head. */
static void finish(struct control *control, struct monitor_task *task)
{
    struct json_output whole;
    json_output_init(&whole, monitor_indent(task), MONITOR_BODY_BYTES_MAX);
    put_head(control, task, &whole);
    if (task->subsz.listed && task->document.comma) {
        json_put_array(&whole, "subscriptions_list");
        json_output_add(&whole, bytes_of(task->document.data, task->document.count));
        whole.comma = true;
        json_put_array_end(&whole);
    }
    json_put_object_end(&whole);
    whole.failed = whole.failed || task->document.failed;
    json_output_close(&task->document);
    task->document = whole;
    task->done = true;
}

void subsz_told(struct control *control, struct monitor_task *task)
{
    if (monitor_matches_ask(control, task))
        return;
    if (task->report.kind == REPORT_MATCHES) {
        task->report.kind = REPORT_SUBSCRIPTIONS;
        task->document.depth = 2; /* in the array in the object */
    }
    if (!task->subsz.listed || task->shard_next == control->shard_count) {
        finish(control, task);
        return;
    }
    task->cursor.major = task->cursor.minor = 0;
    monitor_ask(control, task, task->shard_next++, task->cursor);
}

struct bytes monitor_text_take(const uint8_t **at, uint32_t count)
{
    struct bytes words = bytes_of(*at, count);
    *at += count;
    return words;
}

void monitor_put_subscription(struct json_output *document, const uint8_t *record, bool detail)
{
    struct report_subscription s;
    memcpy(&s, record, sizeof s);
    const uint8_t *texts = record + sizeof s;
    struct bytes account = monitor_text_take(&texts, s.account_count);
    struct bytes subject = monitor_text_take(&texts, s.subject_count);
    struct bytes queue = monitor_text_take(&texts, s.queue_count);
    struct bytes sid = monitor_text_take(&texts, s.sid_count);
    if (!detail) {
        json_put_text(document, NULL, subject);
        return;
    }
    json_put_object(document, NULL);
    json_put_text_some(document, "account", account);
    json_put_text_some(document, "account_tag", account);
    json_put_text(document, "subject", subject);
    json_put_text_some(document, "qgroup", queue);
    json_put_text(document, "sid", sid);
    json_put_unsigned(document, "msgs", s.delivered);
    json_put_unsigned_some(document, "max", s.max);
    json_put_unsigned(document, "cid", s.cid);
    json_put_object_end(document);
}
