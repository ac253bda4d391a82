/* shards/route_tls.h - TLS between a route's socket and its session: from the first byte on, both sides with
 * certificates (spec/routes.md 6). In the flow: route_connection_received() -> route_tls_received() ->
 * tls_stream_read() -> route_connection_give() route_connection_send() -> route_tls_encrypt() ->
 * tls_stream_write() -> loop_send() At the bounds: `timeout` ends a handshake however slowly it goes on;
 * ciphertext made ahead of the socket is at most ROUTE_TLS_UNSENT_BYTES, the rest waits in clear. Thread: the
 * shard's. */
#ifndef SHARDS_ROUTE_TLS_H
#define SHARDS_ROUTE_TLS_H

#include "shards/route_connection.h"

enum { ROUTE_TLS_UNSENT_BYTES = 512 * 1024 };

/* Begins, when the cluster has TLS. `host`: whom we dialled. False: no memory. */
MUST_USE bool route_tls_start(struct shard *shard, struct route_connection *connection, const char *host);

/* Bytes from the socket. */
void route_tls_received(struct shard *shard, struct route_connection *connection, struct bytes bytes);

/* What responders say of a peer that has dialled, when `ocsp` makes this server staple. */
void route_tls_peer_checked(struct shard *shard, struct route_connection *connection, bool good);

/* Makes ciphertext of what the session has written, as far as there is a handshake; with `last`, close_notify
 * behind all of it. False: failed. */
MUST_USE bool route_tls_encrypt(struct route_connection *connection, bool last);

/* Whether the peer's certificate lets it in (spec/security.md 4.7). With verify_cert_and_check_known_urls a
 * DNS name has to be the host of a configured URL, of the routes for a route, of any remote cluster for a
 * gateway; with verify_and_map one of all its names has to be the user of `authorization`; with both either
 * will do. False where nobody wants to know, there is no certificate, or no memory. Cost: one copy of the
 * names. */
MUST_USE bool route_tls_certified(const struct shard *shard, const struct route_connection *connection);

/* The snapshot is new: closes it when its peer's certificate is not pinned any more. True: it was. */
bool route_tls_options_changed(struct shard *shard, struct route_connection *connection);

/* Its timer was due: whether that was the end of the patience with a handshake. */
bool route_tls_timer_due(struct shard *shard, struct route_connection *connection);

/* The chain that the socket sends from, and whether there is something to send in it or to be made for it. */
struct output *route_connection_output(struct route_connection *connection);
bool route_connection_pending(struct route_connection *connection);

#endif
