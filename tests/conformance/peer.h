/* tests/conformance/peer.h - one client connection of a case: bytes out, bytes in, and exact comparison.
 * Everything has a deadline; while it sends, it keeps reading, so that a server that answers at length is not
 * held up by a client that only talks. Place in the flow: script.c and measured.c -> peer -> socket. */
#ifndef TESTS_CONFORMANCE_PEER_H
#define TESTS_CONFORMANCE_PEER_H

#include "core/base/bytes.h"
#include "core/base/err.h"
#include "tests/conformance/template.h"

enum {
    PEER_PATIENCE_MS = 10000, /* for what must come; long, because the machine may be busy */
    PEER_INFO_BYTES_MAX = 4096
};

struct peer {
    int socket; /* valid while open */
    bool open;
    bool ended;             /* the server has closed, with FIN or RST */
    bool sees_pings;        /* PINGs are for the case to see; else they are taken aside and answered */
    bool sees_infos;        /* likewise the INFO that may follow a PONG */
    bool pong_was_last;     /* the last consumed bytes were a PONG: the place where an INFO may stand */
    struct buffer received; /* not yet consumed from `consumed` on */
    size_t consumed;
    char info[PEER_INFO_BYTES_MAX]; /* the last INFO line, without its CR LF */
    int64_t marked_ns;
};

/* Connects to 127.0.0.1. `receive_buffer_bytes` of 0 leaves the kernel's choice. */
MUST_USE enum err peer_connect(struct peer *peer, uint16_t port, int receive_buffer_bytes);

/* Half-closes, waits a moment for the server to close too (so that the next case does not meet this client's
 * subscriptions), and closes. */
void peer_leave(struct peer *peer);
void peer_drop(struct peer *peer, bool with_reset);

/* All of it, or false when the server has gone or does not read. */
bool peer_send(struct peer *peer, struct bytes bytes);

/* What has arrived and was not consumed. */
struct bytes peer_waiting(const struct peer *peer);
void peer_consume(struct peer *peer, size_t count);

/* Waits for any new bytes or the end; false at the deadline. */
bool peer_receive(struct peer *peer, int64_t deadline_ns);

/* The next bytes are `expected`. False at the first difference, at the end, or at the deadline; what came
 * instead is then in peer_waiting(), and `*matched` bytes had been right. An INFO with connect_info that
 * directly follows a PONG is taken aside into `info`: newest servers send it after the first PONG, and the
 * rows that look at it say so. A PING is taken aside too, where a line may begin: one comes 2 s after
 * CONNECT, and a busy machine may be late. */
bool peer_expect(struct peer *peer, struct bytes expected, int64_t deadline_ns, size_t *matched);

/* An INFO line comes next; it is left in `info`. */
bool peer_expect_info(struct peer *peer, int64_t deadline_ns);

/* Nothing more comes and the server closes. */
bool peer_expect_end(struct peer *peer, int64_t deadline_ns);

/* Nothing comes until `until_ns`, the end neither. */
bool peer_silent(struct peer *peer, int64_t until_ns);

/* The next whole message (with payload) or line. Valid until the next call; false at the deadline. */
bool peer_frame(struct peer *peer, int64_t deadline_ns, struct bytes *frame);

/* Bytes of the first whole message or line in `bytes`; 0 when it is not whole. */
size_t peer_frame_bytes(struct bytes bytes);

/* `ms` milliseconds from now, on the monotonic clock. */
int64_t peer_deadline(int ms);
void peer_pause(int ms);

#endif
