/* The texts that NATS fixes: net/error_text.c and net/closed_reason.c against spec/client-protocol.md 14, 18.
 */
#include "core/base/language.h"
#include "net/closed_reason.h"
#include "net/error_text.h"

#include <criterion/criterion.h>
#include <string.h>

Test(closed_reason, texts_stand_in_the_order_of_the_protocol)
{
    static const char *const texts[] = {
        "Client Closed",
        "Authentication Timeout",
        "Authentication Failure",
        "TLS Handshake Failure",
        "Slow Consumer (Pending Bytes)",
        "Slow Consumer (Write Deadline)",
        "Write Error",
        "Read Error",
        "Parse Error",
        "Stale Connection",
        "Protocol Violation",
        "Bad Client Protocol Version",
        "Incorrect Port",
        "Maximum Account Connections Exceeded",
        "Maximum Connections Exceeded",
        "Maximum Message Payload Exceeded",
        "Maximum Control Line Exceeded",
        "Maximum Subscriptions Exceeded",
        "Duplicate Route",
        "Route Removed",
        "Server Shutdown",
        "Authentication Expired",
        "Wrong Gateway",
        "Missing Account",
        "Credentials Revoked",
        "Internal Client",
        "Message Header Violation",
        "No Responders Requires Headers",
        "Cluster Name Conflict",
        "Duplicate Remote LeafNode Connection",
        "Duplicate Client ID",
        "Duplicate Server Name",
        "Minimum Version Required",
        "Cluster Names Identical",
        "Kicked",
        "Proxy Not Trusted",
        "Proxy Required",
        "Unknown State",
    };
    for (size_t i = 0; i < COUNT_OF(texts); i++)
        cr_expect_str_eq(closed_reason_text((enum closed_reason)i), texts[i]);
}

Test(closed_reason, only_broken_or_slow_connections_are_not_flushed)
{
    for (int reason = 0; reason <= CLOSED_PROXY_REQUIRED; reason++) {
        bool broken = reason == CLOSED_READ_ERROR || reason == CLOSED_WRITE_ERROR ||
                      reason == CLOSED_SLOW_CONSUMER_PENDING_BYTES ||
                      reason == CLOSED_SLOW_CONSUMER_WRITE_DEADLINE || reason == CLOSED_TLS_HANDSHAKE_FAILURE;
        cr_expect_eq(closed_reason_flushes((enum closed_reason)reason), !broken, "%s",
                     closed_reason_text((enum closed_reason)reason));
    }
}

Test(error_text, has_the_words_that_clients_compare)
{
    static const struct {
        enum error_code code;
        const char *text;
    } rows[] = {
        {ERROR_UNKNOWN_PROTOCOL_OPERATION, "Unknown Protocol Operation"},
        {ERROR_AUTHORIZATION_VIOLATION, "Authorization Violation"},
        {ERROR_AUTHENTICATION_TIMEOUT, "Authentication Timeout"},
        {ERROR_USER_AUTHENTICATION_EXPIRED, "User Authentication Expired"},
        {ERROR_ACCOUNT_AUTHENTICATION_EXPIRED, "Account Authentication Expired"},
        {ERROR_USER_AUTHENTICATION_REVOKED, "User Authentication Revoked"},
        {ERROR_FAILED_ACCOUNT_REGISTRATION, "Failed Account Registration"},
        {ERROR_MAXIMUM_CONNECTIONS, "maximum connections exceeded"},
        {ERROR_MAXIMUM_ACCOUNT_CONNECTIONS, "maximum account active connections exceeded"},
        {ERROR_MAXIMUM_SUBSCRIPTIONS, "maximum subscriptions exceeded"},
        {ERROR_MAXIMUM_PAYLOAD, "Maximum Payload Violation"},
        {ERROR_MAXIMUM_CONTROL_LINE, "maximum control line exceeded"},
        {ERROR_INVALID_CLIENT_PROTOCOL, "invalid client protocol"},
        {ERROR_NO_RESPONDERS_REQUIRES_HEADERS, "no responders requires headers support"},
        {ERROR_INVALID_SUBJECT, "Invalid Subject"},
        {ERROR_INVALID_PUBLISH_SUBJECT, "Invalid Publish Subject"},
        {ERROR_STALE_CONNECTION, "Stale Connection"},
        {ERROR_TLS_REQUIRED, "Secure Connection - TLS Required"},
        {ERROR_CONNECTION_THROTTLING, "Connection throttling is active. Please try again later."},
        {ERROR_ROUTE_PORT, "attempted to connect to route port"},
        {ERROR_LEAF_NODE_PORT, "attempted to connect to leaf node port"},
        {ERROR_GATEWAY_PORT, "attempted to connect to gateway port"},
    };
    cr_expect_eq(COUNT_OF(rows), ERROR_GATEWAY_PORT + 1, "a code has no row here");
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_str_eq(error_text(rows[i].code), rows[i].text);
}
