/* core/config/duration.h - durations as Go writes them: "1h30m", "1.5s", "100ms" (configuration.md 2.6). */
#ifndef CORE_CONFIG_DURATION_H
#define CORE_CONFIG_DURATION_H

#include "core/base/bytes.h"
#include "core/base/language.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DURATION_TEXT_BYTES_MAX = 96 };

/* Nanoseconds. On false `why` holds nats-server's sentence, cut to fit ("time: invalid duration \"x\""). */
MUST_USE bool duration_parse(struct bytes written, int64_t *duration_ns, char *why, size_t why_bytes);

/* "2m0s", "1.5s", "100ms", "0s"; into a buffer of DURATION_TEXT_BYTES_MAX. Returns it. */
const char *duration_print(int64_t duration_ns, char text[DURATION_TEXT_BYTES_MAX]);

#endif
