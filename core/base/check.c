/* core/base/check.c - what happens when an assertion fails: say which, and stop. */
#include "core/base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "myelin: assertion failed: %s (%s:%d)\n", condition, file, line);
    abort();
}
