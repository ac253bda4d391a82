/* tests/conformance/tables.c - the list of all tables, in the order in which they are reported. */
#include "tests/conformance/tables.h"

#include <stddef.h>

const struct case_table *const conformance_tables[] = {
    &cases_wire,  &cases_subjects, &cases_delivery, &cases_headers,
    &cases_login, &cases_security, &cases_proxies,  &cases_accounts,
    &cases_life,  &cases_more,     &cases_bad_days, &cases_slow_readers,
    NULL};
