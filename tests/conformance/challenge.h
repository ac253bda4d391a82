/* tests/conformance/challenge.h - the cases of NKeys: a client signs the nonce of its INFO, or something
 * else. Place in the flow: rows of cases_security.c name these functions, and script.c calls them; template.c
 * has signatures made for other rows. */
#ifndef TESTS_CONFORMANCE_CHALLENGE_H
#define TESTS_CONFORMANCE_CHALLENGE_H

#include "core/base/bytes.h"

#include <stdbool.h>

struct run;

/* The key of the configurations with an NKey user; its seed is in challenge.c. */
#define CHALLENGE_NKEY "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"

enum { CHALLENGE_SIGNATURE_BYTES = 96 };

/* The signature of a message in base64url, terminated, by the key whose seed counts up from `first`. False:
 * OpenSSL does not sign. */
bool challenge_sign(uint8_t first, struct bytes message, char text[CHALLENGE_SIGNATURE_BYTES]);

/* The nonce of the peer's INFO; empty when it has none. */
struct peer;
struct bytes challenge_nonce(const struct peer *peer);

/* False after run_fail(). */
bool challenge_encodings(struct run *run); /* which texts of a good signature are taken */
bool challenge_wrong(struct run *run);     /* signatures of something else, or none */
bool challenge_again(struct run *run);     /* the nonce counts for the whole connection */

#endif
