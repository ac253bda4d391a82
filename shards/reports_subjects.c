/* shards/reports_subjects.c - REPORT_SUBJECTS: the page of the subjects that are published most. */
#include "core/base/random.h"
#include "shards/host.h"
#include "shards/reports_internal.h"
#include "shards/shard.h"
#include "shards/top_subjects.h"

/* Makes sure that they are watched. NULL: memory is out. */
static const struct top_subjects *watch(struct shard *shard)
{
    struct reports *reports = &shard->reports;
    uint64_t seed = 0;
    if (reports->top != NULL)
        top_subjects_ask(reports->top, shard->context.now_ns);
    else if (random_secure(&seed, sizeof seed) == ERR_OK)
        reports->top = top_subjects_new(seed, shard->context.now_ns);
    if (reports->top != NULL)
        shard->context.host = shard_host_watched();
    return reports->top;
}

void reports_subjects_page(struct answering *answering)
{
    uint32_t best[TOP_SUBJECTS_TOLD];
    const struct top_subjects *top = watch(answering->shard);
    answering->page.failed = top == NULL;
    answering->at.major = UINT64_MAX;
    if (top == NULL)
        return;
    const struct top_window *window = &top->last;
    struct report_subjects all = {.span_ns = window->end_ns == 0 ? 0 : window->end_ns - window->begin_ns,
                                  .messages = window->messages};
    uint32_t count = top_subjects_best(top, best);
    if (!page_put(&answering->page, &all, sizeof all))
        return;
    for (uint32_t i = 0; i < count; i++) {
        const struct top_subject *subject = &window->subjects[best[i]];
        struct report_subject head = {.messages = subject->messages - subject->error,
                                      .bytes = subject->bytes,
                                      .account = subject->account,
                                      .count = subject->count,
                                      .cut = subject->cut};
        if (!page_put(&answering->page, &head, sizeof head) ||
            !page_put(&answering->page, subject->text, subject->count))
            return; /* cannot be: see the assertion */
    }
}
_Static_assert(sizeof(struct report_subjects) +
                       TOP_SUBJECTS_TOLD * (sizeof(struct report_subject) + TOP_SUBJECT_BYTES) <=
                   BLOCK_STANDARD_BYTES,
               "all that are told fit into one page");
