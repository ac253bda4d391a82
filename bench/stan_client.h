/* bench/stan_client.h - one client of NATS Streaming on a connection of its own: its greeting, its
 * subscription, the frames that it publishes and acknowledges with.
 * In the flow: stan.c -> stan_client_open(), stan_client_subscribe() || stan_publish(), stan_acknowledge()
 * hot. A client listens to `_INBOX.<run>.<index>.*`; the last token is one letter, enum stan_inbox, so that
 * what a message is for costs one look. A publish's guid begins with the number of its slot. */
#ifndef BENCH_STAN_CLIENT_H
#define BENCH_STAN_CLIENT_H

#include "bench/connection.h"
#include "bench/frames.h"

enum {
    STAN_RUN_BYTES = 16,
    STAN_INBOX_BYTES = 64,
    STAN_SUBJECT_BYTES = 1024, /* of what a server tells */
    STAN_GUID_DIGITS = 7,      /* OPTION_IN_FLIGHT_MAX - 1 has six */
    STAN_GUID_BYTES = 22,      /* as long as other clients' */
};

/* What came, by the last letter of its subject. */
enum stan_inbox {
    STAN_ACKNOWLEDGED = 'a', /* of a publish */
    STAN_DELIVERED = 'd',
    STAN_HEARTBEAT = 'h',
    STAN_ANSWER = 'r', /* to a request that is not a publish */
};

/* A frame that is sent again and again with little changed. */
struct stan_frame {
    uint8_t *bytes;
    size_t count;
    size_t line_subject; /* where the channel's name stands in the control line, */
    size_t body_subject; /* in the message, */
    size_t guid;         /* and where the slot's digits do */
};

/* All zero, with its connection closed, is closed. */
struct stan_client {
    struct connection connection; /* first: events point to it */
    uint64_t index;
    char inbox[STAN_INBOX_BYTES]; /* with the last dot */
    size_t inbox_count;
    char id[STAN_INBOX_BYTES];
    char publish_prefix[STAN_SUBJECT_BYTES];
    char subscribe_subject[STAN_SUBJECT_BYTES];
    char close_subject[STAN_SUBJECT_BYTES];
    bool answered; /* the request under way */
    /* A publisher's: */
    struct stan_frame publish;
    int64_t *sent_ns;     /* for each slot; 0: free */
    uint32_t *free_slots; /* a stack */
    uint64_t free_count;
    uint64_t number; /* of its next message */
    /* A subscriber's: */
    char ack_inbox[STAN_SUBJECT_BYTES];
    char channel[FRAMES_SUBJECT_BYTES];
    struct stan_frame acknowledge; /* `guid`: where the sequence stands */
    size_t sequence_bytes;         /* that it has now */
    uint64_t sequence;             /* the last one received; 0: none yet */
};

struct stan_host {
    const struct options *options;
    struct failure *failure;
    char run[STAN_RUN_BYTES + 1];
};

void stan_client_init(struct stan_client *client, uint64_t index);
void stan_client_close(struct stan_client *client);

/* Connects to the NATS server and listens to its inboxes; blocks. The request to the streaming server then
 * lies in the output, and so it is with the next two; the answer goes to stan_client_answer(). */
MUST_USE enum err stan_client_open(struct stan_client *client, const struct stan_host *host, char *version,
                                   size_t version_bytes);
MUST_USE enum err stan_client_subscribe(struct stan_client *client, const struct stan_host *host);
MUST_USE enum err stan_client_leave(struct stan_client *client, const struct stan_host *host);

enum stan_step { STAN_CONNECTING, STAN_SUBSCRIBING, STAN_LEAVING };

/* Takes the answer to one of them. */
MUST_USE enum err stan_client_answer(struct stan_client *client, const struct stan_host *host,
                                     enum stan_step step, struct bytes answer);

/* The frames that are sent in masses. */
MUST_USE enum err stan_publish_prepare(struct stan_client *client, const struct stan_host *host,
                                       uint64_t slot_count);

/* Puts one message into the output. Its slot is free. */
MUST_USE enum err stan_publish(struct stan_client *client, const struct stan_host *host, uint32_t slot);

/* Acknowledges a message. */
MUST_USE enum err stan_acknowledge(struct stan_client *client, const struct stan_host *host,
                                   uint64_t sequence);

/* The slot of an acknowledgement. ERR_INVALID: it is none of ours; ERR_DENIED: it refuses, with the server's
 * words. */
MUST_USE enum err stan_slot_of(const struct stan_host *host, const struct scan_event *event, uint32_t *slot);

/* Sequence and size of a delivered message. ERR_INVALID: it is none. */
MUST_USE enum err stan_message_read(const struct stan_host *host, const struct scan_event *event,
                                    uint64_t *sequence, uint64_t *size_bytes);

#endif
