/* core/base/err.h - the codes by which functions say what the world refused.
 * A code is for the program; the sentence for the person is made where the context is known. */
#ifndef CORE_BASE_ERR_H
#define CORE_BASE_ERR_H

#include "core/base/language.h"

/* code, what it means */
#define ERR_LIST(X)                                                                                          \
    X(ERR_OK, "no error")                                                                                    \
    X(ERR_MEMORY, "out of memory")                                                                           \
    X(ERR_FULL, "a bound is reached; nothing was done")                                                      \
    X(ERR_INVALID, "the input is not valid")                                                                 \
    X(ERR_EXISTS, "it exists already")                                                                       \
    X(ERR_NOT_FOUND, "there is no such thing")                                                               \
    X(ERR_SYSTEM, "a system call failed; errno says why")                                                    \
    X(ERR_UNSUPPORTED, "this machine or build cannot do that")                                               \
    X(ERR_DENIED, "not allowed")                                                                             \
    X(ERR_DAMAGED, "stored bytes are not what was written")

enum err {
#define X(code, text) code,
    ERR_LIST(X)
#undef X
};

/* The meaning of a code, for logs; never NULL. Thread: any. */
const char *err_text(enum err err);

#endif
