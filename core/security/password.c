/* core/security/password.c - SHA-256 and constant-time comparison from OpenSSL, bcrypt from libxcrypt. */
#include "core/security/password.h"

#include "core/base/memory.h"
#include "core/base/random.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <string.h>

/* "$2a$11$" and 22 letters of salt. */
enum { SETTING_BYTES = 29, SALT_BYTES = 16 };

bool password_is_bcrypt(struct bytes stored)
{
    const uint8_t *at = stored.data;
    return stored.count >= 7 && at[0] == '$' && at[1] == '2' && memchr("abxy", at[2], 4) != NULL &&
           at[3] == '$' && at[4] >= '0' && at[4] <= '9' && at[5] >= '0' && at[5] <= '9' && at[6] == '$';
}

bool password_compare_plain(struct bytes stored, struct bytes given)
{
    uint8_t stored_digest[SHA256_DIGEST_LENGTH];
    uint8_t given_digest[SHA256_DIGEST_LENGTH];
    bool digested = SHA256(stored.data, stored.count, stored_digest) != NULL &&
                    SHA256(given.data, given.count, given_digest) != NULL; /* it allocates inside */
    bool same = digested && CRYPTO_memcmp(stored_digest, given_digest, sizeof stored_digest) == 0;
    OPENSSL_cleanse(stored_digest, sizeof stored_digest);
    OPENSSL_cleanse(given_digest, sizeof given_digest);
    return same;
}

/* The hash of a password under a setting (29 letters, or a hash), with the letter of the setting.
 * All four letters mean one algorithm to NATS. To libxcrypt they do not ($2x$ repeats an old bug, $2a$ guards
 * against it), so it always sees $2b$. */
static MUST_USE enum err bcrypt(char out[PASSWORD_HASH_BYTES + 1], struct bytes setting,
                                struct bytes password)
{
    char phrase[PASSWORD_HASHED_BYTES_MAX + 1] = {0};
    char plain_setting[SETTING_BYTES + 1] = {0};
    if (setting.count < SETTING_BYTES)
        return ERR_INVALID;
    if (password.count > PASSWORD_HASHED_BYTES_MAX)
        password.count = PASSWORD_HASHED_BYTES_MAX;
    if (password.count > 0 && memchr(password.data, 0, password.count) != NULL)
        return ERR_INVALID; /* crypt_r() would stop there, and take a part for the whole */
    struct crypt_data *scratch = memory_new(sizeof *scratch); /* 32 KiB */
    if (scratch == NULL)
        return ERR_MEMORY;
    if (password.count > 0)
        memcpy(phrase, password.data, password.count);
    memcpy(plain_setting, setting.data, SETTING_BYTES);
    plain_setting[2] = 'b';
    const char *hash = crypt_r(phrase, plain_setting, scratch);
    bool good = hash != NULL && hash[0] == '$' && strlen(hash) == PASSWORD_HASH_BYTES;
    if (good) {
        memcpy(out, hash, PASSWORD_HASH_BYTES + 1);
        out[2] = (char)setting.data[2];
    }
    OPENSSL_cleanse(scratch, sizeof *scratch);
    OPENSSL_cleanse(phrase, sizeof phrase);
    memory_free(scratch);
    return good ? ERR_OK : ERR_INVALID;
}

bool password_check_bcrypt(struct bytes stored, struct bytes given)
{
    char computed[PASSWORD_HASH_BYTES + 1];
    if (!password_is_bcrypt(stored) || stored.count != PASSWORD_HASH_BYTES)
        return false;
    if (bcrypt(computed, stored, given) != ERR_OK)
        return false;
    bool same = CRYPTO_memcmp(computed, stored.data, PASSWORD_HASH_BYTES) == 0;
    OPENSSL_cleanse(computed, sizeof computed);
    return same;
}

enum err password_hash(char out[PASSWORD_HASH_BYTES + 1], struct bytes password, int cost)
{
    char salt[SALT_BYTES];
    char setting[CRYPT_GENSALT_OUTPUT_SIZE];
    if (cost < 4 || cost > 31)
        return ERR_INVALID;
    enum err err = random_secure(salt, sizeof salt);
    if (err != ERR_OK)
        return err;
    if (crypt_gensalt_rn("$2a$", (unsigned long)cost, salt, sizeof salt, setting, sizeof setting) == NULL)
        return ERR_SYSTEM;
    return bcrypt(out, text(setting), password);
}
