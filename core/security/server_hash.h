/* core/security/server_hash.h - letters for the name of a cluster or server, or for a server's id: six by
 * which gateways address replies (spec/gateways.md 11.3), eight by which latency samples come home
 * (spec/security.md 5.6): SHA-256 of the text, of its first bytes the rest by 62. Thread: any. */
#ifndef CORE_SECURITY_SERVER_HASH_H
#define CORE_SECURITY_SERVER_HASH_H

#include "core/base/bytes.h"
#include "core/base/err.h"

enum { SERVER_HASH_BYTES = 6, SERVER_HASH_LONG_BYTES = 8 };

/* ERR_MEMORY: the digest could not be made. */
MUST_USE enum err server_hash(struct bytes text, char out[SERVER_HASH_BYTES]);
MUST_USE enum err server_hash_long(struct bytes text, char out[SERVER_HASH_LONG_BYTES]);

/* The letter that is `steps` behind another one of a hash, in a circle of 62; and how far one is behind
 * another, 62 when `letter` is none. */
char server_hash_letter(char first, uint32_t steps);
uint32_t server_hash_steps(char first, char letter);

#endif
