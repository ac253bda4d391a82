/* core/security/server_hash.c - see server_hash.h. */
#include "core/security/server_hash.h"

#include <openssl/evp.h>

enum err server_hash(struct bytes text, char out[SERVER_HASH_BYTES])
{
    static const char letters[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    uint8_t digest[EVP_MAX_MD_SIZE];
    if (EVP_Digest(text.data, text.count, digest, NULL, EVP_sha256(), NULL) != 1)
        return ERR_MEMORY;
    for (size_t i = 0; i < SERVER_HASH_BYTES; i++)
        out[i] = letters[digest[i] % (sizeof letters - 1)];
    return ERR_OK;
}
