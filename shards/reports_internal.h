/* shards/reports_internal.h - what the files that write pages share: reports.c, reports_routes.c,
 * reports_gateways.c, reports_interest.c, reports_matches.c, reports_subjects.c, reports_subscribers.c and
 * reports_totals.c. */
#ifndef SHARDS_REPORTS_INTERNAL_H
#define SHARDS_REPORTS_INTERNAL_H

#include "shards/report_page.h"

struct index;
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

/* REPORT_GATEWAYS, REPORT_GATEWAY_ACCOUNTS and REPORT_GATEWAY_SUBSCRIPTIONS. */
void reports_gateways_page(struct answering *answering);
void reports_gateway_accounts_page(struct answering *answering);
void reports_gateway_subscriptions_page(struct answering *answering);

/* Tells what the server or cluster with that number wants, by an index in which it stands for a shard: a
 * struct report_subscription of the connection `id` for each pattern and group, from minor (a cursor of
 * index_step()) and skip (so many of that place are told) on. With an account each has the sid that
 * nats-server gives it, "account subject [queue]". False: the page is full, or it has looked at enough. */
bool reports_interest_tell(struct answering *answering, const struct index *index, uint32_t number,
                           uint64_t id, struct bytes account);

/* REPORT_SUBJECTS. */
void reports_subjects_page(struct answering *answering);

/* REPORT_MATCHES. */
void reports_matches_page(struct answering *answering);

/* REPORT_TOTALS. */
void reports_totals_page(struct answering *answering);

/* REPORT_SUBSCRIBERS. */
void reports_subscribers_page(struct answering *answering);

#endif
