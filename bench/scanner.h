/* bench/scanner.h - from a NATS server's bytes to events, as cheaply as counting allows.
 * In the flow: connection_receive() -> scanner_begin() -> scanner_next() until SCAN_MORE.
 * A frame whose control line repeats that of the frame before is recognised by comparing the line and the
 * CR LF behind the payload; that is most of what a load generator receives. Everything else is parsed.
 * At the bound: payloads are skipped, never stored, so any size goes; a MSG or HMSG line above
 * SCANNER_LINE_BYTES_MAX is SCAN_BROKEN; an INFO or -ERR line above it is reported cut. */
#ifndef BENCH_SCANNER_H
#define BENCH_SCANNER_H

#include "core/base/bytes.h"

enum {
    SCANNER_LINE_BYTES_MAX = 4096,
    SCANNER_HEAD_BYTES =
        512, /* of headers and payload, shown with a message: a whole answer of NATS Streaming */
    SCANNER_MEMO_BYTES = 256,
    /* What can be kept between two receives: a line, a shown head, and CR LF. */
    SCANNER_TORN_BYTES = SCANNER_LINE_BYTES_MAX + SCANNER_HEAD_BYTES + 2,
    SCANNER_PAYLOAD_BYTES_MAX = 1 << 30,
};

enum scan_result {
    SCAN_MORE, /* all bytes are used; receive again */
    SCAN_MESSAGE,
    SCAN_PING,
    SCAN_PONG,
    SCAN_OK,
    SCAN_INFO,
    SCAN_ERROR,  /* the server's -ERR */
    SCAN_BROKEN, /* not what a NATS server sends; the connection is of no more use */
};

/* What an event points to is true until the next call of any scanner function. */
struct scan_event {
    struct bytes line; /* without its line end */
    /* For SCAN_MESSAGE only: */
    struct bytes subject;
    struct bytes reply;    /* count 0: none */
    struct bytes head;     /* the first bytes of headers and payload, up to SCANNER_HEAD_BYTES */
    uint64_t header_bytes; /* 0 for MSG */
    uint64_t total_bytes;  /* headers and payload */
    uint64_t frame_bytes;  /* all of the frame on the wire */
    uint64_t repeats;      /* frames in this event; above 1 only when counting */
};

enum scanner_mode { SCANNER_AT_LINE, SCANNER_IN_PAYLOAD, SCANNER_IN_LONG_LINE };

/* All zero is ready. One connection's. */
struct scanner {
    enum scanner_mode mode;
    bool counting;       /* fold repeats into one event; set by the owner */
    uint64_t skip_bytes; /* in payload: what is left of the frame, CR LF included */
    size_t torn_count;   /* at line: bytes kept. In payload: line and head of the frame under way */
    size_t memo_count;   /* line to be expected again, with its line end; 0: none */
    uint64_t memo_frame_bytes;
    struct scan_event memo; /* its pointers are offsets from NULL */
    uint8_t memo_line[SCANNER_MEMO_BYTES];
    uint8_t torn[SCANNER_TORN_BYTES];
};

/* Bytes being scanned. */
struct scan_input {
    const uint8_t *at;
    const uint8_t *end;
};

/* Starts on `count` received bytes. What was torn off last time is put in front of them:
 * SCANNER_TORN_BYTES before `received` must be writable. */
struct scan_input scanner_begin(struct scanner *scanner, uint8_t *received, size_t count);

/* The next event. SCAN_MORE keeps what is unfinished in the scanner. */
enum scan_result scanner_next(struct scanner *scanner, struct scan_input *input, struct scan_event *event);

#endif
