/* shards/streaming/alone.h - is there another server of this cluster id, at the NATS server outside or behind
 * routes and gateways? Two would take each other's clients and give one channel two histories
 * (spec/streaming.md 2.3). In the flow: service_start() or service_reached() -> alone_ask() -> ConnectRequest
 * to our own subject -> nobody: service_alone() || an answer: the process ends. Before it our own requests
 * are not listened to. Thread: the control core's. */
#ifndef SHARDS_STREAMING_ALONE_H
#define SHARDS_STREAMING_ALONE_H

#include "core/codec/nuid.h"
#include "core/loop/timers.h"
#include "shards/control/desk.h"

#define ALONE_INBOX "_INBOX."
enum { ALONE_INBOX_BYTES = sizeof ALONE_INBOX - 1 + NUID_TEXT_BYTES };

struct streaming;

/* All zero is "not asked yet". */
struct alone {
    struct desk_listener listener;
    struct timer timer;
    const struct streaming *machine;
    char inbox[ALONE_INBOX_BYTES];
    int64_t wait_ns; /* for an answer */
    uint32_t asks_left;
    bool asked; /* the last time; else a mailbox had no room, and that time comes again */
    bool known; /* it was answered, one way or the other */
};

/* Listens for the answer. False: memory is out. */
MUST_USE bool alone_listen(struct control *control, struct alone *alone, const struct streaming *machine);

/* Asks; service_alone() or the end of the process follow, a quarter of a second later at the latest,
 * or so long after the mailbox has room again. `again`: that nobody is there may change in that time, as
 * routes are being made, so it is asked all along. */
void alone_ask(struct control *control, struct alone *alone, bool again);

/* The timer's. */
void alone_due(struct control *control, struct alone *alone);

#endif
