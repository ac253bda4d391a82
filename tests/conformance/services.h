/* tests/conformance/services.h - the cases of services in other accounts: the reply subject is the server's
 * own, so it is read and used, not compared; and those that count over accounts. Place in the flow: rows of
 * cases_accounts.c name these functions; script.c calls them. Each returns false after run_fail(). */
#ifndef TESTS_CONFORMANCE_SERVICES_H
#define TESTS_CONFORMANCE_SERVICES_H

#include <stdbool.h>

struct run;

bool services_swap_tokens(struct run *run);  /* `to` with numbers, who asks, and one reply only */
bool services_keep_headers(struct run *run); /* a forged Nats-Request-Info is replaced, the rest stays */
bool services_stream(struct run *run);       /* replies until an empty one */
bool services_late(struct run *run);         /* a reply behind the threshold */
bool services_chain(struct run *run);        /* a service behind a service */
bool services_latency(struct run *run);      /* what is measured, for each way it can end */
bool services_queue_over_accounts(struct run *run);
bool services_weights(struct run *run);

#endif
