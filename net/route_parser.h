/* net/route_parser.h - the bytes of another server into operations (spec/routes.md 9).
 * In the flow:  receive buffer -> route_parser_next() -> route_receive()'s switch
 * Works in place; only an operation torn between two receives is copied aside, into one counted block that
 * also holds its body, so that receivers can share it. At the bounds: a line over line_bytes_max and a
 * message over message_bytes_max are refused as soon as that is known. Thread: its session's. */
#ifndef NET_ROUTE_PARSER_H
#define NET_ROUTE_PARSER_H

#include "core/base/block.h"
#include "core/base/bytes.h"
#include "net/message.h"

enum route_operation_kind {
    ROUTE_OP_MESSAGE,     /* RMSG, HMSG, LMSG */
    ROUTE_OP_SUBSCRIBE,   /* RS+, LS+ */
    ROUTE_OP_UNSUBSCRIBE, /* RS-, LS- */
    ROUTE_OP_PING,
    ROUTE_OP_PONG,
    ROUTE_OP_INFO,
    ROUTE_OP_CONNECT,
    ROUTE_OP_ERR,
    ROUTE_OP_ACCOUNT,    /* A+: a gateway's; a route lets it pass, likewise the next */
    ROUTE_OP_NO_ACCOUNT, /* A- */
    ROUTE_OP_IGNORED,    /* +OK, and lines of clients that real servers let pass */
};

struct route_operation {
    enum route_operation_kind kind;
    struct bytes arguments; /* the raw argument text, without CR LF */
    struct bytes account;
    struct bytes origin; /* the leaf cluster of LS+, LMSG; empty: none */
    struct bytes subject;
    struct bytes queue; /* of RS+, RS-; empty: plain */
    uint32_t weight;    /* of RS+ with a queue; 1 for a plain one */
    struct bytes
        queues; /* of a message: the names of the groups to serve, blanks between them; empty: none */
    struct message message; /* `subject` is in it too; its place is the session's to fill in */
    size_t handled_bytes;   /* the session's: of a run that could not be handled whole, what was */
};

enum route_parser_result {
    ROUTE_PARSER_OPERATION,
    ROUTE_PARSER_MORE,              /* all given bytes are used up */
    ROUTE_PARSER_UNKNOWN_OPERATION, /* -ERR 'Unknown Protocol Operation' */
    ROUTE_PARSER_BAD_ARGUMENTS,     /* closed without an -ERR */
    ROUTE_PARSER_LINE_EXCEEDED,
    ROUTE_PARSER_MESSAGE_EXCEEDED,
    ROUTE_PARSER_MEMORY,
};

/* All zero but for `pool`, the limits, `gateway` and `runs` is a fresh parser. */
struct route_parser {
    struct block_pool *pool;
    struct block *torn; /* the beginning of an operation; NULL when nothing is torn */
    uint32_t line_bytes_max;
    uint32_t message_bytes_max;
    uint32_t torn_bytes;  /* in `torn` */
    uint32_t torn_needed; /* of all of it, once the line is whole; 0 before */
    bool account_implied; /* lines do not name it: `account` of operations is empty */
    bool gateway;         /* a gateway's: LS+, LS-, LMSG, SUB and PUB are unknown there */
    bool runs;            /* the session takes runs (message.run_more), of RMSG without queues */
    bool given;           /* what is torn was given out and lives until the next call */
    bool again;           /* and is to be given out once more */
};

/* Takes the next operation from [*at, end) and moves *at behind what was used. Its slices point into the
 * given bytes or the parser's block and hold until the next call. After any result but OPERATION and MORE the
 * parser is of no more use. Allocates only for torn operations. */
enum route_parser_result route_parser_next(struct route_parser *parser, const uint8_t **at,
                                           const uint8_t *end, struct route_operation *operation);

/* The operation given out last could not be handled now. True: it was torn, and the next call gives it out
 * again, without new bytes. False: it lies in the caller's bytes; those are to be given again from its start.
 */
bool route_parser_again(struct route_parser *parser);

/* Takes the next name from a list with blanks between; false at its end. */
bool route_queue_next(struct bytes *queues, struct bytes *name);

/* Whether that list has the name. */
bool route_queues_have(struct bytes queues, struct bytes name);

/* Lets go of everything. */
void route_parser_close(struct route_parser *parser);

#endif
