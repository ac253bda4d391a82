/* shards/reports_internal.h - what the files that write pages share: reports.c, reports_routes.c,
 * reports_gateways.c and reports_subjects.c. */
#ifndef SHARDS_REPORTS_INTERNAL_H
#define SHARDS_REPORTS_INTERNAL_H

#include "shards/report_page.h"

struct shard;

/* What is being answered. */
struct answering {
    struct shard *shard;
    const struct report_query *query;
    struct report_page page;
    struct report_cursor at; /* where the next page begins; major UINT64_MAX: there is none */
    uint64_t counted;
    uint32_t items_left;
};

/* REPORT_ROUTES and REPORT_ROUTE_SUBSCRIPTIONS. */
void reports_routes_page(struct answering *answering);
void reports_route_subscriptions_page(struct answering *answering);

/* REPORT_GATEWAYS and REPORT_GATEWAY_ACCOUNTS. */
void reports_gateways_page(struct answering *answering);
void reports_gateway_accounts_page(struct answering *answering);

/* REPORT_SUBJECTS. */
void reports_subjects_page(struct answering *answering);

#endif
