/* net/request_info.h - what a service of another account is told about who asks: the header Nats-Request-Info
 * (spec/security.md 5.4), and the same description in latency metrics (5.6).
 * In the flow:  a request meets a service import -> request_info_json() -> request_info_put() -> the exporter
 * At the bounds: a description above REQUEST_INFO_BYTES_MAX is left out, with everything that is in it; a
 * header that is none is replaced. Thread: the session's. */
#ifndef NET_REQUEST_INFO_H
#define NET_REQUEST_INFO_H

#include "core/base/block.h"
#include "core/base/language.h"
#include "net/message.h"

enum {
    REQUEST_INFO_BYTES_MAX = 16 * 1024, /* a client's names are no longer than a control line */
    REQUEST_INFO_HEADER_BYTES = 64,     /* what request_info_put() adds beside the JSON at most */
    REQUEST_SIZE_TEXT_BYTES = 12,
};

struct json_writer;

/* Writes the members that describe a client as JSON, between braces that the caller writes: all of them when
 * it is `shared`, else its account and round trip. `service`: the account through which it came, empty: none.
 */
void request_info_members(struct json_writer *writer, const struct client *client, struct bytes account,
                          struct bytes service, bool shared);

/* The JSON object of it. Returns its bytes; 0: it does not fit. */
size_t request_info_json(char *out, size_t capacity, const struct client *client, struct bytes account,
                         struct bytes service, bool shared);

/* Where a message with a new header keeps the texts of its sizes. */
struct request_texts {
    char header_size[REQUEST_SIZE_TEXT_BYTES];
    char total_size[REQUEST_SIZE_TEXT_BYTES];
};

/* Makes *message the same with the header Nats-Request-Info: <json> in place of any that it had. Its body
 * lies in the block returned then, which the caller releases; its texts in `texts`. NULL: memory is out. */
MUST_USE struct block *request_info_put(struct message *message, struct bytes json, struct block_pool *pool,
                                        struct request_texts *texts);

#endif
