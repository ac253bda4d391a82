/* net/outer_parser.h - what a NATS server says to a client into operations (spec/client-protocol.md 2): for
 * services that are clients of a server outside of this process.
 *
 *     outer_read_done(): bytes gathered -> outer_parser_next() -> handle()
 *
 * Keeps nothing: who calls has the bytes in one piece, and gives what is left again when more has come. At
 * the bounds: a line above OUTER_LINE_BYTES_MAX and a message above `message_bytes_max` are OUTER_PARSER_BAD
 * as soon as that is known. Thread: any. */
#ifndef NET_OUTER_PARSER_H
#define NET_OUTER_PARSER_H

#include "core/base/bytes.h"
#include "core/base/language.h"

enum outer_operation_kind {
    OUTER_OP_MESSAGE, /* MSG, HMSG */
    OUTER_OP_INFO,
    OUTER_OP_PING,
    OUTER_OP_PONG,
    OUTER_OP_OK,
    OUTER_OP_ERR,
};

/* Views into the bytes that were given. */
struct outer_operation {
    enum outer_operation_kind kind;
    struct bytes arguments; /* INFO: the JSON; -ERR: the words, without quotes */
    struct bytes subject, sid, reply;
    struct bytes header, payload;
    size_t used; /* bytes of all of it */
};

enum outer_parser_result {
    OUTER_PARSER_OPERATION,
    OUTER_PARSER_MORE, /* the operation is not here whole; `used` is how much it will have, 0: not known yet
                        */
    OUTER_PARSER_BAD,  /* that is no server, or beyond a bound: the connection is of no more use */
};

/* INFO with many connect_urls is the longest. */
enum { OUTER_LINE_BYTES_MAX = 256 * 1024 };

/* The operation at the start of `bytes`. */
MUST_USE enum outer_parser_result outer_parser_next(struct bytes bytes, size_t message_bytes_max,
                                                    struct outer_operation *operation);

#endif
