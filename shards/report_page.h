/* shards/report_page.h - writing pages of a report, and reading them.
 * In the flow:  reports_step(), closed_remember() -> page_*() || report_records_next() <- the control core
 * A page is a block of the standard size, or as large as the one record that does not fit into that. One
 * thread's. */
#ifndef SHARDS_REPORT_PAGE_H
#define SHARDS_REPORT_PAGE_H

#include "shards/connection.h"
#include "shards/connection_tls.h"
#include "shards/report.h"

struct report_page {
    struct block_pool *pool;
    struct block *block; /* NULL while empty */
    uint32_t used;
    bool failed; /* memory was out */
};

/* Room for so many bytes behind what is there. NULL: the page is full, or failed. */
MUST_USE uint8_t *page_reserve(struct report_page *page, size_t bytes);

/* Copies. False: the page is full, or failed. */
MUST_USE bool page_put(struct report_page *page, const void *data, size_t bytes);

/* A connection's record before it is written: certificates are hashed once, for its size and for itself. Not
 * to be copied, its texts may point into it. */
struct report_record_draft {
    struct report_connection figures;
    struct bytes texts[REPORT_TEXTS]; /* the connection's, or here */
    size_t bytes;                     /* with the head */
    struct tls_peer peers[TLS_PEERS_MAX];
};

void report_record_make(struct report_record_draft *draft, const struct connection *connection,
                        int64_t now_ns);

/* `draft->bytes` of it, as `pick`. */
void report_record_write(uint8_t *to, const struct report_record_draft *draft, uint32_t pick);

/* One of its subscriptions. 0: it is in no index. */
size_t report_subscription_bytes(const struct client_subscription *subscription, bool with_account);
void report_subscription_write(uint8_t *to, const struct client_subscription *subscription, uint32_t pick,
                               bool with_account);

/* As whom the client is in, and in which account. */
struct bytes report_client_user(const struct client *client);
struct bytes report_client_account(const struct client *client);

#endif
