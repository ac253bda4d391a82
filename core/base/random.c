/* core/base/random.c - the kernel's random bytes behind random.h. */
#include "core/base/random.h"

#include <errno.h>
#include <sys/random.h>

enum err random_secure(void *bytes, size_t count)
{
    uint8_t *at = bytes;
    while (count > 0) {
        ssize_t got = getrandom(at, count, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return ERR_SYSTEM;
        at += got;
        count -= (size_t)got;
    }
    return ERR_OK;
}
