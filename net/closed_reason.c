/* net/closed_reason.c - see closed_reason.h. */
#include "net/closed_reason.h"

const char *closed_reason_text(enum closed_reason reason)
{
    switch (reason) {
#define X(code, text, flushes)                                                                               \
    case code:                                                                                               \
        return text;
        CLOSED_REASON_LIST(X)
#undef X
    }
    return "Unknown State";
}

bool closed_reason_flushes(enum closed_reason reason)
{
    switch (reason) {
#define X(code, text, flushes)                                                                               \
    case code:                                                                                               \
        return flushes;
        CLOSED_REASON_LIST(X)
#undef X
    }
    return false;
}
