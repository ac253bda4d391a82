/* Any text as an NKey, a seed, a signature, base32 and base64: what is read is what would have been written,
 * so no key has two texts, and nothing is taken for a signature of what it does not sign. */
#include "core/base/check.h"
#include "core/codec/base32.h"
#include "core/codec/base64.h"
#include "core/security/nkey.h"

#include <stdlib.h>

enum { DECODED_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void decode_and_encode(struct bytes input)
{
    static uint8_t binary[DECODED_MAX];
    static char again[DECODED_MAX * 2];
    size_t count = base32_decode(binary, sizeof binary, input);
    if (count > 0) {
        size_t letters = base32_encode(again, sizeof again, bytes_of(binary, count));
        ASSERT(bytes_equal(bytes_of(again, letters), input));
    }
    count = base64_url_decode(binary, sizeof binary, input);
    if (count > 0) {
        size_t letters = base64_url_encode(again, sizeof again, bytes_of(binary, count));
        ASSERT(bytes_equal(bytes_of(again, letters), input));
    }
    count = base64_standard_decode(binary, sizeof binary, input);
    ASSERT(count <= input.count);
}

static void keys(struct bytes input)
{
    uint8_t raw[NKEY_RAW_BYTES];
    enum nkey_type type;
    if (nkey_decode(input, &type, raw) == ERR_OK) {
        char again[NKEY_TEXT_BYTES];
        nkey_encode(again, type, raw);
        ASSERT(bytes_equal(text(again), input));
        ASSERT(nkey_is_user(input) == (type == NKEY_USER));
    }
    if (nkey_seed_decode(input, &type, raw) == ERR_OK) {
        char again[NKEY_SEED_TEXT_BYTES];
        nkey_seed_encode(again, type, raw);
        ASSERT(bytes_equal(text(again), input));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char user[] = "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK";
    struct bytes input = bytes_of(data, size);
    decode_and_encode(input);
    keys(input);
    /* Nobody here has the private half, and no signature in the corpus is of this nonce. */
    ASSERT(nkey_answer_check(text(user), TEXT("AAAAAAAAAAAAAAA"), input) != NULL);
    return 0;
}
