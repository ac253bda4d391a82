/* shards/reports.h - the shard's side of monitoring: writes one page of what the control core asks for, once
 * a turn. In the flow:  MAIL_REPORT_ASK -> reports_ask_take() -> reports_step() -> MAIL_REPORT At the bounds:
 * an answer that finds no room in the control core's mailbox is put again in the next turn; memory out is an
 * answer that says so. Thread: the shard's. */
#ifndef SHARDS_REPORTS_H
#define SHARDS_REPORTS_H

#include "shards/report.h"

struct shard;
struct top_subjects;

/* All zero: nothing is asked. */
struct reports {
    bool asked;
    bool owed; /* `answer` found no room */
    struct mail_report_ask ask;
    struct mail_report answer;
    struct top_subjects *top; /* NULL: nobody has asked yet */
    uint64_t page_count;
    int64_t page_ns;      /* spent on all pages */
    int64_t page_ns_most; /* on one */
};

void reports_ask_take(struct shard *shard, const uint8_t *mail);

/* Answers what is asked, one page. */
void reports_step(struct shard *shard);

/* Lets go of an answer that nobody will get. */
void reports_close(struct shard *shard);

#endif
