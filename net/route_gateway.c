/* net/route_gateway.c - what a session does otherwise when it is a gateway connection (spec/gateways.md 2, 5,
 * 15): messages go from who dialled to who accepted, interest the other way, and all else closes it. Real
 * servers let some of it pass, and some of it ends them; neither is worth repeating. */
#include "net/route.h"

/* Before CONNECT nothing else may come. What comes the wrong way afterwards is worse than a wrong order. */
static enum route_verdict inbound_verdict(const struct route *route, enum route_operation_kind kind)
{
    switch (kind) {
    case ROUTE_OP_CONNECT:
    case ROUTE_OP_ERR:
        return ROUTE_EXPECTED;
    case ROUTE_OP_INFO:
    case ROUTE_OP_PING:
    case ROUTE_OP_PONG:
    case ROUTE_OP_IGNORED:
        return route->state == ROUTE_GREETED ? ROUTE_UNAUTHORIZED : ROUTE_EXPECTED;
    case ROUTE_OP_MESSAGE:
        return route->state == ROUTE_GREETED      ? ROUTE_UNAUTHORIZED
               : route->state == ROUTE_REGISTERED ? ROUTE_EXPECTED
                                                  : ROUTE_MISDIRECTED;
    case ROUTE_OP_SUBSCRIBE:
    case ROUTE_OP_UNSUBSCRIBE:
    case ROUTE_OP_ACCOUNT:
    case ROUTE_OP_NO_ACCOUNT:
        return route->state == ROUTE_GREETED ? ROUTE_UNAUTHORIZED : ROUTE_MISDIRECTED;
    }
    return ROUTE_MISDIRECTED;
}

static enum route_verdict outbound_verdict(const struct route *route, enum route_operation_kind kind)
{
    switch (kind) {
    case ROUTE_OP_INFO:
    case ROUTE_OP_PING:
    case ROUTE_OP_PONG:
    case ROUTE_OP_ERR:
    case ROUTE_OP_IGNORED:
        return ROUTE_EXPECTED;
    case ROUTE_OP_SUBSCRIBE:
    case ROUTE_OP_UNSUBSCRIBE:
    case ROUTE_OP_ACCOUNT:
    case ROUTE_OP_NO_ACCOUNT:
        return route->state == ROUTE_REGISTERED ? ROUTE_EXPECTED : ROUTE_MISDIRECTED;
    case ROUTE_OP_MESSAGE:
    case ROUTE_OP_CONNECT:
        return ROUTE_MISDIRECTED;
    }
    return ROUTE_MISDIRECTED;
}

enum route_verdict route_gateway_verdict(const struct route *route, const struct route_operation *operation)
{
    if (route->state == ROUTE_CLOSED)
        return ROUTE_MISDIRECTED;
    return route->solicited ? outbound_verdict(route, operation->kind)
                            : inbound_verdict(route, operation->kind);
}

enum route_host_result route_gateway_account(struct route *route, const struct route_operation *operation)
{
    struct bytes rest = operation->arguments, account;
    if (!route_queue_next(&rest, &account)) {
        route_close(route, CLOSED_PROTOCOL_VIOLATION, NULL);
        return ROUTE_HOST_SETTLED;
    }
    return route->host->account(route, account, operation->kind == ROUTE_OP_ACCOUNT);
}
