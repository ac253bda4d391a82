/* net/closed_reason.h - why a connection ended, in the words and the order of spec/client-protocol.md 18:
 * monitoring, events and the log show them. Thread: any. */
#ifndef NET_CLOSED_REASON_H
#define NET_CLOSED_REASON_H

#include <stdbool.h>

/* code, text, whether what is pending is sent before the close */
#define CLOSED_REASON_LIST(X)                                                                                \
    X(CLOSED_CLIENT_CLOSED, "Client Closed", true)                                                           \
    X(CLOSED_AUTHENTICATION_TIMEOUT, "Authentication Timeout", true)                                         \
    X(CLOSED_AUTHENTICATION_FAILURE, "Authentication Failure", true)                                         \
    X(CLOSED_TLS_HANDSHAKE_FAILURE, "TLS Handshake Failure", false)                                          \
    X(CLOSED_SLOW_CONSUMER_PENDING_BYTES, "Slow Consumer (Pending Bytes)", false)                            \
    X(CLOSED_SLOW_CONSUMER_WRITE_DEADLINE, "Slow Consumer (Write Deadline)", false)                          \
    X(CLOSED_WRITE_ERROR, "Write Error", false)                                                              \
    X(CLOSED_READ_ERROR, "Read Error", false)                                                                \
    X(CLOSED_PARSE_ERROR, "Parse Error", true)                                                               \
    X(CLOSED_STALE_CONNECTION, "Stale Connection", true)                                                     \
    X(CLOSED_PROTOCOL_VIOLATION, "Protocol Violation", true)                                                 \
    X(CLOSED_BAD_CLIENT_PROTOCOL, "Bad Client Protocol Version", true)                                       \
    X(CLOSED_INCORRECT_PORT, "Incorrect Port", true)                                                         \
    X(CLOSED_MAXIMUM_ACCOUNT_CONNECTIONS, "Maximum Account Connections Exceeded", true)                      \
    X(CLOSED_MAXIMUM_CONNECTIONS, "Maximum Connections Exceeded", true)                                      \
    X(CLOSED_MAXIMUM_PAYLOAD, "Maximum Message Payload Exceeded", true)                                      \
    X(CLOSED_MAXIMUM_CONTROL_LINE, "Maximum Control Line Exceeded", true)                                    \
    X(CLOSED_MAXIMUM_SUBSCRIPTIONS, "Maximum Subscriptions Exceeded", true)                                  \
    X(CLOSED_DUPLICATE_ROUTE, "Duplicate Route", true)                                                       \
    X(CLOSED_ROUTE_REMOVED, "Route Removed", true)                                                           \
    X(CLOSED_SERVER_SHUTDOWN, "Server Shutdown", true)                                                       \
    X(CLOSED_AUTHENTICATION_EXPIRED, "Authentication Expired", true)                                         \
    X(CLOSED_WRONG_GATEWAY, "Wrong Gateway", true)                                                           \
    X(CLOSED_MISSING_ACCOUNT, "Missing Account", true)                                                       \
    X(CLOSED_CREDENTIALS_REVOKED, "Credentials Revoked", true)                                               \
    X(CLOSED_INTERNAL_CLIENT, "Internal Client", true)                                                       \
    X(CLOSED_MESSAGE_HEADER_VIOLATION, "Message Header Violation", true)                                     \
    X(CLOSED_NO_RESPONDERS_REQUIRES_HEADERS, "No Responders Requires Headers", true)                         \
    X(CLOSED_CLUSTER_NAME_CONFLICT, "Cluster Name Conflict", true)                                           \
    X(CLOSED_DUPLICATE_REMOTE_LEAF, "Duplicate Remote LeafNode Connection", true)                            \
    X(CLOSED_DUPLICATE_CLIENT_ID, "Duplicate Client ID", true)                                               \
    X(CLOSED_DUPLICATE_SERVER_NAME, "Duplicate Server Name", true)                                           \
    X(CLOSED_MINIMUM_VERSION_REQUIRED, "Minimum Version Required", true)                                     \
    X(CLOSED_CLUSTER_NAMES_IDENTICAL, "Cluster Names Identical", true)                                       \
    X(CLOSED_KICKED, "Kicked", true)                                                                         \
    X(CLOSED_PROXY_NOT_TRUSTED, "Proxy Not Trusted", true)                                                   \
    X(CLOSED_PROXY_REQUIRED, "Proxy Required", true)

enum closed_reason {
#define X(code, text, flushes) code,
    CLOSED_REASON_LIST(X)
#undef X
};

/* The exact text; `Unknown State` for a value that is none. Never NULL. */
const char *closed_reason_text(enum closed_reason reason);

/* Whether it was closed because its login was refused. */
static inline bool closed_reason_is_login(enum closed_reason reason)
{
    return reason == CLOSED_AUTHENTICATION_FAILURE || reason == CLOSED_PROXY_NOT_TRUSTED ||
           reason == CLOSED_PROXY_REQUIRED;
}

/* Whether what is pending is sent before the connection is closed; not where sending is what failed. */
bool closed_reason_flushes(enum closed_reason reason);

#endif
