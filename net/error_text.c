/* net/error_text.c - see error_text.h. */
#include "net/error_text.h"

const char *error_text(enum error_code code)
{
    switch (code) {
#define X(code, text)                                                                                        \
    case code:                                                                                               \
        return text;
        ERROR_TEXT_LIST(X)
#undef X
    }
    return "Unknown Protocol Operation";
}
