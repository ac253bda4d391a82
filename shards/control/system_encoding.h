/* shards/control/system_encoding.h - answers of the system account as their readers asked for them: plain, or
 * compressed (spec/monitoring.md 6.1). Thread: any. */
#ifndef SHARDS_CONTROL_SYSTEM_ENCODING_H
#define SHARDS_CONTROL_SYSTEM_ENCODING_H

#include "core/base/bytes.h"

struct system_encoded {
    struct bytes headers; /* empty: nobody asked; else says how the body is encoded. Static. */
    uint8_t *body;        /* NULL: as it was; else to be freed by memory_free() */
    size_t body_count;
};

/* What stands behind the name, which is in any case, in a block of headers; empty: nothing. */
struct bytes system_header_value(struct bytes headers, const char *name);

/* By the request's headers; what cannot be encoded, for lack of memory too, stays as it is. */
void system_encode(struct bytes request_headers, struct bytes body, struct system_encoded *encoded);

#endif
