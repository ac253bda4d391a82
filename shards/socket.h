/* shards/socket.h - what the socket of a client, a route or a gateway is set to before it is used.
 * In the flow:  connection_new() or route_connection_new() -> socket_set_up() -> loop_receive() */
#ifndef SHARDS_SOCKET_H
#define SHARDS_SOCKET_H

/* Small messages leave at once, and between two ends of one machine nothing is paced: TCP_NODELAY, and BBR
 * gives way to Reno there (docs/architecture.md 9). Owner: the socket stays the caller's. A socket of another
 * family, or a kernel that refuses, is no error: it works as it is. Thread: any. Cost: two system calls,
 * where BBR is the system's choice up to five. */
void socket_set_up(int fd);

#endif
