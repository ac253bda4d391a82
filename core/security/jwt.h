/* core/security/jwt.h - NATS tokens: three parts of base64url, the claims as JSON in the middle, an Ed25519
 * signature by the issuer's NKey (spec/security.md 7.1, 7.2).
 *
 *     base64url({"typ":"JWT","alg":"ed25519-nkey"}) . base64url(claims) . base64url(signature)
 *
 * In the flow:  auth callout's response -> jwt_open() -> json_read(jwt.json, ..) -> user_claims.h
 *               auth callout's request  -> jwt_make() -> published
 * A token of version 2 signs the first two parts, one of version 1 its claims alone. What is signed is the
 * text as it came: nothing is written anew to be checked. What a signature is worth depends on whose it is,
 * which is for the caller to ask. At the bounds: a token above JWT_BYTES_MAX is refused unread. Thread: any.
 * Cost: of reading, the check of a signature. */
#ifndef CORE_SECURITY_JWT_H
#define CORE_SECURITY_JWT_H

#include "core/base/arena.h"
#include "core/codec/json.h"
#include "core/security/nkey.h"

enum { JWT_BYTES_MAX = 1024 * 1024, JWT_WHY_BYTES = 512 };

/* What all tokens say. Empty, 0: not said. Times are Unix seconds. */
struct jwt_claims {
    struct bytes audience;
    struct bytes issuer; /* a public key; of jwt_make(), it writes it */
    struct bytes name;
    struct bytes subject;
    int64_t expires_s;
    int64_t issued_s;
    int64_t not_before_s;
};

/* A token that was read. All zero is closed. */
struct jwt {
    struct jwt_claims claims; /* texts in `document` */
    int64_t version;
    struct bytes json;             /* the claims as they were signed */
    struct json_document document; /* of the common ones */
    uint8_t *decoded;              /* where `json` lies */
};

/* Reads a token and checks that its issuer, who must be of that type, has signed it. `type`: which kind of
 * token it must be; what is said when it is another is `otherwise`. False: `why` says, and it is closed. A
 * token with a zero byte in one of its texts is refused: lists would come apart there. */
MUST_USE bool jwt_open(struct jwt *jwt, struct bytes token, const char *type, const char *otherwise,
                       enum nkey_type issuer, char why[JWT_WHY_BYTES]);

/* Writes into `why` what is wrong with some words, in quotes between two pieces of text; long ones are cut.
 * False, for the caller to return. */
bool jwt_why_quoted(char why[JWT_WHY_BYTES], const char *before, struct bytes words, const char *behind);

/* Wipes and frees; legal when closed. */
void jwt_close(struct jwt *jwt);

/* Why a token with these claims does not count now; NULL: it does. */
const char *jwt_claims_time_check(const struct jwt_claims *claims, int64_t now_s);

/* Makes a token of these claims, signed with the seed. `body`: the object behind "nats", as JSON. Owner: the
 * arena. Nothing (data NULL) when memory is out or OpenSSL refuses. */
struct bytes jwt_make(struct arena *arena, const struct jwt_claims *claims, struct bytes body,
                      enum nkey_type type, const uint8_t seed[NKEY_RAW_BYTES]);

#endif
