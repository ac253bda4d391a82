/* shards/control/monitor_live.c - Myelin's own documents, which the live page is made of: /shardz, the
 * figures of each shard by the names that /metrics has, and /topz, the subjects that clients publish most
 * (shards/top_subjects.h, docs/monitoring.md 5). */
#include "core/base/clock.h"
#include "core/base/memory.h"
#include "shards/control/control.h"
#include "shards/control/monitor_task.h"
#include "shards/mail.h"
#include "shards/top_subjects.h"

#include <stdlib.h>
#include <string.h>

void shardz_told(struct control *control, struct monitor_task *task)
{
    size_t row_count;
    const struct monitor_shard_row *rows = monitor_shard_rows(&row_count);
    json_put_object(&task->document, NULL);
    monitor_put_now(&task->document, control);
    json_put_array(&task->document, "shards");
    for (uint32_t shard = 0; shard < control->shard_count; shard++) {
        json_put_object(&task->document, NULL);
        json_put_unsigned(&task->document, "shard", shard);
        for (size_t row = 0; row < row_count; row++)
            json_put_double(&task->document, rows[row].name, monitor_shard_figure(task, &rows[row], shard));
        json_put_object_end(&task->document);
    }
    json_put_array_end(&task->document);
    json_put_object_end(&task->document);
    task->done = true;
}

/* ---- the subjects that are published most ---- */

struct monitor_subject {
    double messages_per_second;
    double bytes_per_second;
    uint32_t account;
    uint8_t count;
    bool cut;
    uint8_t text[TOP_SUBJECT_BYTES];
};

void topz_begin(struct control *control, struct monitor_task *task)
{
    task->report.kind = REPORT_SUBJECTS;
    task->topz.subjects =
        memory_new(control->shard_count * TOP_SUBJECTS_TOLD * sizeof(struct monitor_subject));
    if (task->topz.subjects == NULL) {
        monitor_fail(task, HTTP_UNAVAILABLE, "memory is out");
        return;
    }
    task->topz.capacity = control->shard_count * TOP_SUBJECTS_TOLD;
    monitor_ask_all(control, task);
}

/* Each shard's is one page. */
void topz_page(struct control *control, struct monitor_task *task, uint32_t from, struct mail_report *mail)
{
    struct monitor_topz *topz = &task->topz;
    struct report_subjects all;
    struct report_subject head;
    (void)control;
    (void)from;
    memcpy(&all, mail->block->bytes, sizeof all);
    if (all.span_ns == 0)
        return;
    double seconds = (double)all.span_ns / (double)NS_PER_SECOND;
    topz->messages_per_second += (double)all.messages / seconds;
    if (all.span_ns > topz->span_ns)
        topz->span_ns = all.span_ns;
    for (uint32_t at = sizeof all; at < mail->bytes && topz->count < topz->capacity;) {
        struct monitor_subject *subject = &topz->subjects[topz->count++];
        memcpy(&head, mail->block->bytes + at, sizeof head);
        *subject = (struct monitor_subject){.messages_per_second = (double)head.messages / seconds,
                                            .bytes_per_second = (double)head.bytes / seconds,
                                            .account = head.account,
                                            .count = head.count,
                                            .cut = head.cut};
        memcpy(subject->text, mail->block->bytes + at + sizeof head, head.count);
        at += (uint32_t)sizeof head + head.count;
    }
}

static int by_name(const void *left, const void *right)
{
    const struct monitor_subject *a = left, *b = right;
    if (a->account != b->account)
        return a->account < b->account ? -1 : 1;
    if (a->count != b->count)
        return a->count < b->count ? -1 : 1;
    return memcmp(a->text, b->text, a->count);
}

static int by_messages(const void *left, const void *right)
{
    const struct monitor_subject *a = left, *b = right;
    if (a->messages_per_second != b->messages_per_second)
        return a->messages_per_second > b->messages_per_second ? -1 : 1;
    return by_name(left, right);
}

/* Adds up what several shards tell of one subject, and orders them: a few thousand at most. */
static void put_together(struct monitor_topz *topz)
{
    uint32_t kept = 0;
    qsort(topz->subjects, topz->count, sizeof topz->subjects[0], by_name);
    for (uint32_t i = 0; i < topz->count; i++) {
        struct monitor_subject *last = kept == 0 ? NULL : &topz->subjects[kept - 1];
        const struct monitor_subject *one = &topz->subjects[i];
        if (last == NULL || by_name(last, one) != 0) {
            topz->subjects[kept++] = *one;
            continue;
        }
        last->messages_per_second += one->messages_per_second;
        last->bytes_per_second += one->bytes_per_second;
        last->cut = last->cut || one->cut;
    }
    topz->count = kept;
    qsort(topz->subjects, topz->count, sizeof topz->subjects[0], by_messages);
}

static struct bytes account_name(const struct control *control, uint32_t id)
{
    const struct security_accounts *accounts = &control->snapshot->options->security.accounts;
    for (uint32_t i = 0; i < accounts->count; i++) {
        if (accounts->all[i]->id == id)
            return accounts->all[i]->name;
    }
    return TEXT(""); /* a reload took it */
}

void topz_told(struct control *control, struct monitor_task *task)
{
    struct monitor_topz *topz = &task->topz;
    struct json_output *document = &task->document;
    put_together(topz);
    json_put_object(document, NULL);
    monitor_put_now(document, control);
    json_put_double(document, "window_seconds", (double)topz->span_ns / (double)NS_PER_SECOND);
    json_put_double(document, "msgs_per_second", topz->messages_per_second);
    json_put_array(document, "subjects");
    for (uint32_t i = 0; i < topz->count && i < TOP_SUBJECTS_TOLD; i++) {
        const struct monitor_subject *subject = &topz->subjects[i];
        json_put_object(document, NULL);
        json_put_text(document, "subject", bytes_of(subject->text, subject->count));
        json_put_true(document, "cut", subject->cut);
        json_put_text(document, "account", account_name(control, subject->account));
        json_put_double(document, "msgs_per_second", subject->messages_per_second);
        json_put_double(document, "bytes_per_second", subject->bytes_per_second);
        json_put_object_end(document);
    }
    json_put_array_end(document);
    json_put_object_end(document);
    task->done = true;
}

void topz_close(struct control *control, struct monitor_task *task)
{
    (void)control;
    memory_free(task->topz.subjects);
}
