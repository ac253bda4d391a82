/* core/base/errno_text.c - sentences for errno. Used wherever a failed system call is told to a person. */
#include "core/base/errno_text.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

struct errno_text errno_text(int number)
{
    struct errno_text result;
    const char *known = strerrordesc_np(number); /* unlike strerror(), for any thread and in one language */
    if (known == NULL)
        (void)snprintf(result.text, sizeof result.text, "errno %d", number);
    else
        (void)snprintf(result.text, sizeof result.text, "%s", known);

    /* A word in capitals (".lib", "RFS specific error") keeps them. */
    if (isupper((unsigned char)result.text[0]) && !isupper((unsigned char)result.text[1]))
        result.text[0] = (char)tolower((unsigned char)result.text[0]);
    return result;
}
