/* shards/control/cluster_internal.h - what the files of the cluster share. */
#ifndef SHARDS_CONTROL_CLUSTER_INTERNAL_H
#define SHARDS_CONTROL_CLUSTER_INTERNAL_H

#include "net/closed_reason.h"
#include "shards/control/control.h"

/* cluster.c: a socket becomes a route of some shard. NULL: no memory or room, the socket is closed. */
struct cluster_route *cluster_route_new(struct control *control, int fd, const struct sockaddr *peer,
                                        struct dial *dial);

/* What this server says of itself, all texts in place until the cluster changes; and by other options. */
struct route_info cluster_own_info(const struct control *control);
struct route_info cluster_own_info_by(const struct control *control, const struct server_options *options);
/* The same as a line. Bytes, or 0: it does not fit. */
size_t cluster_own_info_write(const struct control *control, char *buffer, size_t capacity);
/* One that differs from it in a field or two. */
size_t cluster_info_write(const struct route_info *info, char *buffer, size_t capacity);

/* Where others find this server's route port, and its clients' URLs: at the start, and when a reload has
 * changed what the options say. False: `why` says what is wrong. */
MUST_USE bool cluster_addresses_make(struct control *control, char *why, size_t why_bytes);

/* cluster_tell.c: lines for a route. False: no memory or no room for them, and the route ends. */
bool cluster_send(struct control *control, struct cluster_route *route, struct bytes lines);
/* The same, when what its peer wants of accounts with a line of their own has been dropped. */
bool cluster_send_moved(struct control *control, struct cluster_route *route, struct bytes lines);

/* cluster_reload.c: INFO for a route that has had one which is not true any more; one that is not a member's
 * yet gets it as soon as it is. */
void cluster_info_again(struct control *control, struct cluster_route *route);

/* The answer to what a route has said: it goes on, or ends; `error` NULL: without -ERR. One may be ended
 * unasked. What finds no room is said later. `retells`: the peer hears again what this server wants. */
void cluster_route_go_on(struct control *control, struct cluster_route *route, bool retells);
void cluster_route_end(struct control *control, struct cluster_route *route, enum closed_reason reason,
                       const char *error);

/* Says what has found no room. True: some of it has found none again. */
bool cluster_owed_tell(struct control *control);

/* cluster_members.c: a reload has changed what is a good login; routes of this server's own dialling keep
 * theirs, as in nats-server. */
void cluster_login_again(struct control *control, struct cluster_route *route);

/* Notes what the peer says that it lets out: whether that is not what it said before. */
bool cluster_exports_changed(struct cluster_route *route, const struct route_info *info);

/* cluster_dial.c */
/* `like`: a dial to the same address, beside which this one is; NULL: there is none. */
void cluster_dial_new(struct control *control, const struct route_url *url, bool configured, uint8_t line,
                      const struct dial *like);
/* Its route is gone, or was never any good. */
void cluster_dial_again(struct control *control, struct dial *dial, bool registered);
void cluster_dial_drop(struct control *control, struct dial *dial);
/* Whether there is one to that address for that line, or for all. */
bool cluster_dial_known(const struct control *control, const char *host, uint16_t port, uint8_t line);

/* cluster_lines.c: the first INFO of a connection decides where it stands. True: the document was taken. */
bool cluster_first_info(struct control *control, struct cluster_route *route, struct json_document *document,
                        const struct route_info *info);
struct cluster_member *cluster_member_by_id(struct cluster *cluster, struct bytes server_id);
/* The line by which a server is told what is not about an account; NULL: it has none. */
struct cluster_route *cluster_member_route(const struct cluster_member *member);

/* Dials what is missing to a server that has been dialled: slots of the pool, accounts' own lines. */
void cluster_pool_fill(struct control *control, const struct cluster_route *route);

/* cluster_reload_lines.c: pool, accounts with lines of their own, and compression by new options. */
void cluster_lines_reloaded(struct control *control);
/* A member gives an account a line of its own, or answers that it has heard of ours. */
void cluster_account_moves(struct control *control, struct cluster_route *route,
                           const struct route_info *said);

/* Whether a dial has led to a server, or rests because that one has all its routes. */
bool cluster_dial_leads_to(struct cluster *cluster, const struct dial *dial, uint8_t member);

/* cluster_lines.c: a line for all members. */
void cluster_tell_members(struct control *control, struct bytes line);

/* cluster_views.c: name or URLs have changed, all shards have to know: from cluster_step(), which asks for a
 * mail to all of them. False: no room or memory, nobody was told. */
void cluster_urls_tell(struct control *control);
bool cluster_urls_mail(struct control *control);
struct cluster_route *cluster_route_by_rid(const struct cluster *cluster, uint64_t rid);

#endif
