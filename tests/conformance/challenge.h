/* tests/conformance/challenge.h - the cases of NKeys: a client signs the nonce of its INFO, or something
 * else. Place in the flow: rows of cases_security.c name these functions; script.c calls them. */
#ifndef TESTS_CONFORMANCE_CHALLENGE_H
#define TESTS_CONFORMANCE_CHALLENGE_H

#include <stdbool.h>

struct run;

/* The key of the configurations with an NKey user; its seed is in challenge.c. */
#define CHALLENGE_NKEY "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"

/* False after run_fail(). */
bool challenge_encodings(struct run *run); /* which texts of a good signature are taken */
bool challenge_wrong(struct run *run);     /* signatures of something else, or none */
bool challenge_again(struct run *run);     /* the nonce counts for the whole connection */

#endif
