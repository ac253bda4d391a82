/* shards/control/dial_address.h - where to connect: one of the addresses that the worker found for a name,
 * and what to say when it fails. For dials of routes and of gateways. Thread: the control core's. */
#ifndef SHARDS_CONTROL_DIAL_ADDRESS_H
#define SHARDS_CONTROL_DIAL_ADDRESS_H

#include "core/base/bytes.h"
#include "core/base/random.h"

#include <sys/socket.h>

struct server_options;

union dial_address {
    struct sockaddr any;
    struct sockaddr_storage storage;
};

/* Takes one of the texts with a zero behind each, at random. False: there is none. */
bool dial_address_choose(struct random *random, struct bytes addresses, uint16_t port,
                         union dial_address *address, socklen_t *count);

/* Why a connect has failed, in Go's words. */
void dial_failure_text(int error, char *why, size_t why_bytes);

/* Whether that attempt, from 1 on, is worth a line that everybody sees: the first, and then each n-th, by an
 * option of its own where the other server was there once. */
bool dial_reported(const struct server_options *options, bool was_connected, uint64_t attempts);

/* Whether a host is written as an address. */
bool dial_host_is_address(const char *host);

/* The address of a socket, as text, and its port; another family leaves both as they are. */
void dial_address_show(const struct sockaddr *peer, char *text, size_t text_bytes, uint16_t *port);

#endif
