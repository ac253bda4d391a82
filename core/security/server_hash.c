/* core/security/server_hash.c - see server_hash.h. */
#include "core/security/server_hash.h"

#include <openssl/evp.h>

static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
enum { LETTERS = sizeof letters - 1 };

static enum err hash(struct bytes text, char *out, size_t count)
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    if (EVP_Digest(text.data, text.count, digest, NULL, EVP_sha256(), NULL) != 1)
        return ERR_MEMORY;
    for (size_t i = 0; i < count; i++)
        out[i] = letters[digest[i] % LETTERS];
    return ERR_OK;
}

enum err server_hash(struct bytes text, char out[SERVER_HASH_BYTES])
{
    return hash(text, out, SERVER_HASH_BYTES);
}

enum err server_hash_long(struct bytes text, char out[SERVER_HASH_LONG_BYTES])
{
    return hash(text, out, SERVER_HASH_LONG_BYTES);
}

/* LETTERS: it is none. */
static uint32_t place_of(char letter)
{
    uint32_t place = 0;
    while (place < LETTERS && letters[place] != letter)
        place++;
    return place;
}

char server_hash_letter(char first, uint32_t steps)
{
    return letters[(place_of(first) + steps) % LETTERS];
}

uint32_t server_hash_steps(char first, char letter)
{
    uint32_t place = place_of(letter);
    return place == LETTERS ? LETTERS : (place + LETTERS - place_of(first)) % LETTERS;
}
