/* net/gateway_reply.h - reply subjects that say where their answer belongs (spec/gateways.md 11.3):
 *     _GR_.<cluster>.<server>.<reply>
 * Both are hashes of SERVER_HASH_BYTES letters, so the reply begins at a fixed place. Thread: any. */
#ifndef NET_GATEWAY_REPLY_H
#define NET_GATEWAY_REPLY_H

#include "core/base/bytes.h"
#include "core/security/server_hash.h"

enum {
    GATEWAY_REPLY_CLUSTER = 5,
    GATEWAY_REPLY_SERVER = GATEWAY_REPLY_CLUSTER + SERVER_HASH_BYTES + 1,
    GATEWAY_REPLY_PREFIX_BYTES = GATEWAY_REPLY_SERVER + SERVER_HASH_BYTES + 1,
};

/* Whether a subject is such a one. */
static inline bool gateway_reply_is(struct bytes subject)
{
    return subject.count > GATEWAY_REPLY_PREFIX_BYTES && memcmp(subject.data, "_GR_.", 5) == 0 &&
           subject.data[GATEWAY_REPLY_SERVER - 1] == '.' &&
           subject.data[GATEWAY_REPLY_PREFIX_BYTES - 1] == '.';
}

/* What the requester gave; the subject is such a one. */
static inline struct bytes gateway_reply_stripped(struct bytes subject)
{
    return bytes_of(subject.data + GATEWAY_REPLY_PREFIX_BYTES, subject.count - GATEWAY_REPLY_PREFIX_BYTES);
}

static inline bool gateway_reply_for_cluster(struct bytes subject, const char hash[SERVER_HASH_BYTES])
{
    return memcmp(subject.data + GATEWAY_REPLY_CLUSTER, hash, SERVER_HASH_BYTES) == 0;
}

static inline bool gateway_reply_for_server(struct bytes subject, const char hash[SERVER_HASH_BYTES])
{
    return memcmp(subject.data + GATEWAY_REPLY_SERVER, hash, SERVER_HASH_BYTES) == 0;
}

/* Writes the prefix. */
static inline void gateway_reply_prefix(const char cluster[SERVER_HASH_BYTES],
                                        const char server[SERVER_HASH_BYTES],
                                        uint8_t out[GATEWAY_REPLY_PREFIX_BYTES])
{
    memcpy(out, "_GR_.", 5);
    memcpy(out + GATEWAY_REPLY_CLUSTER, cluster, SERVER_HASH_BYTES);
    memcpy(out + GATEWAY_REPLY_SERVER, server, SERVER_HASH_BYTES);
    out[GATEWAY_REPLY_SERVER - 1] = out[GATEWAY_REPLY_PREFIX_BYTES - 1] = '.';
}

#endif
