/* net/parser.h - the bytes of a client into operations (spec/client-protocol.md 1, 2).
 * In the flow:  receive buffer -> parser_next() -> client_receive()'s switch
 * Works in place. Only an operation torn between two receives is copied aside, into one counted block that
 * then also holds its payload, so that receivers can share it. An idle parser holds no buffer. At the bounds:
 * a control line over max_control_line_bytes and a payload over max_payload_bytes are refused as soon as that
 * is known, so a torn operation never needs more than both together. */
#ifndef NET_PARSER_H
#define NET_PARSER_H

#include "core/base/block.h"
#include "core/base/bytes.h"
#include "net/lines.h"
#include "net/message.h"

enum operation_kind {
    OPERATION_PUB,
    OPERATION_HPUB,
    OPERATION_SUB,
    OPERATION_UNSUB,
    OPERATION_PING,
    OPERATION_PONG,
    OPERATION_CONNECT,
    OPERATION_INFO,
    OPERATION_OK,
    OPERATION_ERR,
};

struct operation {
    enum operation_kind kind;
    struct bytes arguments; /* the raw argument text, without CR LF */
    struct bytes subject;   /* SUB */
    struct bytes queue;     /* SUB; empty: plain */
    struct bytes sid;       /* SUB, UNSUB */
    int64_t max;            /* UNSUB: -1 when there is none, or none that can be read */
    struct message message; /* PUB, HPUB; its publisher and place are the session's to fill in */
    size_t handled_bytes;   /* the session's: of a run that could not be handled whole, what was */
};

enum parser_result {
    PARSER_OPERATION,         /* one operation is complete */
    PARSER_MORE,              /* all given bytes are used up */
    PARSER_UNKNOWN_OPERATION, /* -ERR 'Unknown Protocol Operation' */
    PARSER_BAD_ARGUMENTS,     /* closed without an -ERR */
    PARSER_NO_HEADERS,        /* HPUB without header support: closed without an -ERR */
    PARSER_CONTROL_LINE_EXCEEDED,
    PARSER_PAYLOAD_EXCEEDED,
    PARSER_CONNECT_EXPECTED, /* another operation than CONNECT before authentication */
    PARSER_MEMORY,
};

enum parser_state {
    PARSER_START,
    PARSER_NAME,     /* inside an operation's name */
    PARSER_NAME_END, /* a blank must follow */
    PARSER_BLANKS,   /* before the first argument byte: any number, not counted */
    PARSER_ARGUMENTS,
    PARSER_SKIP_LINE, /* PING, PONG and +OK swallow everything up to the line's end */
    PARSER_PAYLOAD,
    PARSER_DONE,  /* a torn operation was given out; its block lives until the next call */
    PARSER_AGAIN, /* and will be given out once more */
};

enum { PARSER_NAME_BYTES_MAX = 7 };

struct parser {
    struct block_pool *pool;
    struct lines *lines; /* the thread's; NULL: no line is remembered, and there are no runs */
    const struct line
        *line;          /* the one used last; lines_none() at first. Its place may be another line's by now */
    struct block *torn; /* arguments, then the body; NULL when nothing is torn */
    int64_t max_payload_bytes; /* -1: no limit */
    uint32_t max_control_line_bytes;
    uint32_t argument_bytes; /* in `torn` */
    uint32_t body_bytes;     /* in `torn`, behind the arguments */
    uint8_t state;           /* enum parser_state */
    uint8_t kind;            /* enum operation_kind, from PARSER_NAME_END on */
    uint8_t name_count;
    uint8_t name[PARSER_NAME_BYTES_MAX];
    bool headers;          /* HPUB is allowed */
    bool runs;             /* equal PUBs in a row are given out as one operation (message.run_more) */
    bool connect_expected; /* only CONNECT is allowed */
};

/* All zero but for `pool`, `lines` and the limits is a fresh parser. */

/* Takes the next operation from [*at, end) and moves *at behind what was used. The operation's slices point
 * into the given bytes or the parser's block and hold until the next call. After any result but
 * PARSER_OPERATION and PARSER_MORE the parser is of no more use. Allocates only for torn operations. */
enum parser_result parser_next(struct parser *parser, const uint8_t **at, const uint8_t *end,
                               struct operation *operation);

/* The operation given out last could not be handled now. True: it was torn, and the next parser_next() gives
 * it out again, without new bytes. False: it lies in the caller's bytes; give those again from its start. */
bool parser_again(struct parser *parser);

/* Lets go of everything. */
void parser_close(struct parser *parser);

#endif
