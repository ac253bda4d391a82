/* core/security/password.h - comparing and making passwords (spec/security.md 1.5). A configured password or
 * token is a bcrypt hash if it looks like one, else it is plain. Nothing here logs. */
#ifndef CORE_SECURITY_PASSWORD_H
#define CORE_SECURITY_PASSWORD_H

#include "core/base/bytes.h"
#include "core/base/err.h"

enum {
    PASSWORD_HASH_BYTES = 60,      /* "$2a$11$", 22 letters of salt, 31 of digest */
    PASSWORD_HASH_COST = 11,       /* what the usual tools write */
    PASSWORD_HASHED_BYTES_MAX = 72 /* bcrypt looks at no more of a password */
};

/* Whether a configured secret is to be taken as a hash: it starts $2a$, $2b$, $2x$ or $2y$, two digits and $.
 * A broken hash is one too, and matches nothing. Thread: any. */
bool password_is_bcrypt(struct bytes stored);

/* Whether both are the same. The time taken tells neither where they differ nor whether their lengths do.
 * Thread: any; cost: two SHA-256 of the texts. */
bool password_compare_plain(struct bytes stored, struct bytes given);

/* Whether the hash is of that password. A given password with a zero byte in its first 72 matches nothing.
 * Thread: the worker's only; cost: 2^cost, tenths of a second and more. */
MUST_USE bool password_check_bcrypt(struct bytes stored, struct bytes given);

/* Hashes a password, "$2a$..", terminated. `cost` is from 4 to 31. ERR_INVALID: another cost, or a zero byte
 * in the password; ERR_MEMORY, ERR_SYSTEM. Thread and cost: as password_check_bcrypt(). */
MUST_USE enum err password_hash(char out[PASSWORD_HASH_BYTES + 1], struct bytes password, int cost);

#endif
