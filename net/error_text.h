/* net/error_text.h - the fixed texts of -ERR that a client can see, from spec/client-protocol.md 14. Clients
 * compare them: a new or changed word makes them give the connection up for good. The texts that quote a
 * subject are put together in the session. Thread: any. */
#ifndef NET_ERROR_TEXT_H
#define NET_ERROR_TEXT_H

/* code, text */
#define ERROR_TEXT_LIST(X)                                                                                   \
    X(ERROR_UNKNOWN_PROTOCOL_OPERATION, "Unknown Protocol Operation")                                        \
    X(ERROR_AUTHORIZATION_VIOLATION, "Authorization Violation")                                              \
    X(ERROR_AUTHENTICATION_TIMEOUT, "Authentication Timeout")                                                \
    X(ERROR_USER_AUTHENTICATION_EXPIRED, "User Authentication Expired")                                      \
    X(ERROR_ACCOUNT_AUTHENTICATION_EXPIRED, "Account Authentication Expired")                                \
    X(ERROR_USER_AUTHENTICATION_REVOKED, "User Authentication Revoked")                                      \
    X(ERROR_FAILED_ACCOUNT_REGISTRATION, "Failed Account Registration")                                      \
    X(ERROR_MAXIMUM_CONNECTIONS, "maximum connections exceeded")                                             \
    X(ERROR_MAXIMUM_ACCOUNT_CONNECTIONS, "maximum account active connections exceeded")                      \
    X(ERROR_MAXIMUM_SUBSCRIPTIONS, "maximum subscriptions exceeded")                                         \
    X(ERROR_MAXIMUM_PAYLOAD, "Maximum Payload Violation")                                                    \
    X(ERROR_MAXIMUM_CONTROL_LINE, "maximum control line exceeded")                                           \
    X(ERROR_INVALID_CLIENT_PROTOCOL, "invalid client protocol")                                              \
    X(ERROR_NO_RESPONDERS_REQUIRES_HEADERS, "no responders requires headers support")                        \
    X(ERROR_INVALID_SUBJECT, "Invalid Subject")                                                              \
    X(ERROR_INVALID_PUBLISH_SUBJECT, "Invalid Publish Subject")                                              \
    X(ERROR_STALE_CONNECTION, "Stale Connection")                                                            \
    X(ERROR_TLS_REQUIRED, "Secure Connection - TLS Required")                                                \
    X(ERROR_CONNECTION_THROTTLING, "Connection throttling is active. Please try again later.")               \
    X(ERROR_ROUTE_PORT, "attempted to connect to route port")                                                \
    X(ERROR_LEAF_NODE_PORT, "attempted to connect to leaf node port")                                        \
    X(ERROR_GATEWAY_PORT, "attempted to connect to gateway port")

enum error_code {
#define X(code, text) code,
    ERROR_TEXT_LIST(X)
#undef X
};

/* What stands between the quotes of -ERR ''. Never NULL. */
const char *error_text(enum error_code code);

#endif
