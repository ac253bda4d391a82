/* tests/conformance/tables.h - the tables of cases, one for each file cases_*.c; tables.c lists them. */
#ifndef TESTS_CONFORMANCE_TABLES_H
#define TESTS_CONFORMANCE_TABLES_H

#include "tests/conformance/case.h"

extern const struct case_table cases_wire;
extern const struct case_table cases_subjects;
extern const struct case_table cases_delivery;
extern const struct case_table cases_headers;
extern const struct case_table cases_login;
extern const struct case_table cases_security;
extern const struct case_table cases_proxies;
extern const struct case_table cases_accounts;
extern const struct case_table cases_life;
extern const struct case_table cases_more;
extern const struct case_table cases_bad_days;     /* tests/server */
extern const struct case_table cases_slow_readers; /* tests/server */

#endif
