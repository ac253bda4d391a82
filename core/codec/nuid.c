/* core/codec/nuid.c - see nuid.h. */
#include "core/codec/nuid.h"

void nuid_make(char out[NUID_TEXT_BYTES], struct random *random)
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for (int i = 0; i < NUID_TEXT_BYTES; i++)
        out[i] = letters[random_below(random, sizeof letters - 1)];
}
