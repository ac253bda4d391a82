/* core/base/err.c - the sentences that belong to the codes of err.h. */
#include "core/base/err.h"

const char *err_text(enum err err)
{
    switch (err) {
#define X(code, text)                                                                                        \
    case code:                                                                                               \
        return text;
        ERR_LIST(X)
#undef X
    }
    return "unknown error code";
}
