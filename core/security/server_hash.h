/* core/security/server_hash.h - six letters for the name of a cluster or the id of a server, by which
 * gateways address replies (spec/gateways.md 11.3): SHA-256 of the text, of its first bytes the rest by 62.
 * Thread: any. */
#ifndef CORE_SECURITY_SERVER_HASH_H
#define CORE_SECURITY_SERVER_HASH_H

#include "core/base/bytes.h"
#include "core/base/err.h"

enum { SERVER_HASH_BYTES = 6 };

/* ERR_MEMORY: the digest could not be made. */
MUST_USE enum err server_hash(struct bytes text, char out[SERVER_HASH_BYTES]);

#endif
