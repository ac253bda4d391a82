/* tests/conformance/monitoring.h - asks a server's monitoring port why a connection was closed, or what a
 * page shows. Place in the flow: script.c, after a case that names a reason, or in a step -> one HTTP
 * request. */
#ifndef TESTS_CONFORMANCE_MONITORING_H
#define TESTS_CONFORMANCE_MONITORING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Asks until the connection is listed as closed, for a second at most; then compares. False with a sentence.
 */
bool monitoring_closed_reason_is(uint16_t port, uint64_t client_id, const char *reason, char *why,
                                 size_t why_bytes);

/* Asks until that page, written without white space, holds the words, for a second at most. False with a
 * sentence. */
bool monitoring_shows(uint16_t port, const char *path, const char *words, char *why, size_t why_bytes);

#endif
