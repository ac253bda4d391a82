/* bench/failure.h - the one sentence with which a run ends badly. The code goes up as enum err; the sentence
 * is made where the context is known and printed once, by main(). */
#ifndef BENCH_FAILURE_H
#define BENCH_FAILURE_H

#include "core/base/err.h"

/* At the bound the sentence is cut. */
struct failure {
    char text[512];
};

/* Keeps the sentence and hands `err` back, so that a caller can return it. */
enum err failure_set(struct failure *failure, enum err err, const char *format, ...) PRINTF_LIKE(3, 4);

/* The same, with ": " and the meaning of errno behind it; ERR_SYSTEM. */
enum err failure_set_errno(struct failure *failure, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
