/* shards/streaming/texts.h - what streaming clients are told when something is refused, word by word as
 * clients compare it (spec/streaming.md 16); the last ones are Myelin's own. Place in the flow: none; no
 * code. */
#ifndef SHARDS_STREAMING_TEXTS_H
#define SHARDS_STREAMING_TEXTS_H

#include "core/base/bytes.h"

/* name, text */
#define STREAMING_TEXTS(X)                                                                                   \
    X(NONE, "")                                                                                              \
    X(CONNECT_INVALID, "stan: invalid connection request")                                                   \
    X(CLIENT_ID_INVALID, "stan: invalid clientID: only alphanumeric and `-` or `_` characters allowed")      \
    X(CLIENT_EXISTS, "stan: clientID already registered")                                                    \
    X(CLIENT_REPLACED, "client has been replaced or is no longer registered")                                \
    X(PUBLISH_INVALID, "stan: invalid publish request")                                                      \
    X(SUBSCRIBE_INVALID, "stan: invalid subscription request")                                               \
    X(CLIENT_ID_MISSING, "stan: clientID missing")                                                           \
    X(ACK_WAIT_INVALID, "stan: invalid ack wait time, should be >= 1s")                                      \
    X(IN_FLIGHT_INVALID, "stan: invalid MaxInflight, should be >= 1")                                        \
    X(START_INVALID, "stan: invalid start position")                                                         \
    X(SUBJECT_INVALID, "stan: invalid subject")                                                              \
    X(DURABLE_EXISTS, "stan: duplicate durable registration")                                                \
    X(DURABLE_NAME_INVALID,                                                                                  \
      "stan: durable name of a durable queue subscriber can't contain the character ':'")                    \
    X(CLIENT_UNKNOWN, "stan: unknown clientID")                                                              \
    X(UNSUBSCRIBE_INVALID, "stan: invalid unsubscribe request")                                              \
    X(CHANNEL_UNKNOWN, "stan: unknown channel")                                                              \
    X(SUBSCRIPTION_INVALID, "stan: invalid subscription")                                                    \
    X(CLOSE_INVALID, "stan: invalid close request")                                                          \
    X(NOT_LEADER, "node is not the leader")                                                                  \
    X(LEADERSHIP_LOST, "leadership lost while committing log")                                               \
    X(CHANNELS_FULL, "too many channels")                                                                    \
    X(SUBSCRIPTIONS_FULL, "too many subscriptions per channel")                                              \
    X(MEMORY, "stan: out of memory")                                                                         \
    X(BUSY, "stan: too much waits for the store")                                                            \
    X(STORE_FAILED, "stan: the store has failed")

enum streaming_text {
#define X(name, text) STREAMING_##name,
    STREAMING_TEXTS(X)
#undef X
};

/* `rejecting channel ...` is not among them: it names two channels. */
struct bytes streaming_text(enum streaming_text text);

#endif
