/* bench/failure.c - sentences behind failure.h. */
#include "bench/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum err failure_set(struct failure *failure, enum err err, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(failure->text, sizeof(failure->text), format,
                    arguments); /* a cut sentence is still one */
    va_end(arguments);
    return err;
}

enum err failure_set_errno(struct failure *failure, const char *format, ...)
{
    int number = errno;
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(failure->text, sizeof(failure->text), format, arguments);
    va_end(arguments);
    if (count >= 0 && (size_t)count < sizeof(failure->text))
        (void)snprintf(failure->text + count, sizeof(failure->text) - (size_t)count, ": %s",
                       strerror(number));
    return ERR_SYSTEM;
}
