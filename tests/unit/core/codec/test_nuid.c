/* Tests core/codec/nuid.c. */
#include "core/codec/nuid.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <string.h>

Test(nuid, is_letters_and_digits_and_never_the_same)
{
    struct random random = {0};
    char one[NUID_TEXT_BYTES], other[NUID_TEXT_BYTES];
    random_seed(&random, 7);
    nuid_make(one, &random);
    nuid_make(other, &random);
    for (int i = 0; i < NUID_TEXT_BYTES; i++)
        cr_expect(isalnum((unsigned char)one[i]), "letter %d is %d", i, one[i]);
    cr_expect(memcmp(one, other, sizeof one) != 0);
}
