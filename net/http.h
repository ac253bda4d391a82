/* net/http.h - the monitoring port's HTTP/1.1, server side: requests out of bytes, the head of a reply into
 * bytes (spec/monitoring.md 1). No socket, no clock, no thread. In the flow:  control's monitor ->
 * http_give() -> http_next() -> an endpoint -> http_head_write() -> the socket Why a parser of our own: what
 * Debian 12 has as a library either owns the sockets (libmicrohttpd, libevent) or is no parser for servers
 * that keep no thread; and of HTTP this port needs little: a request line, headers of which five matter, and
 * bodies that nobody reads. At the bounds: HTTP_HEAD_BYTES_MAX for a request line with its headers (431),
 * HTTP_BODY_BYTES_MAX for a body that is skipped (a larger one ends the connection behind the reply).
 * Pipelined requests wait in the buffer, which the caller stops filling meanwhile. Thread: its owner's. */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include "core/base/bytes.h"
#include "core/base/err.h"

enum {
    HTTP_HEAD_BYTES_MAX = 64 * 1024,
    HTTP_BODY_BYTES_MAX = 256 * 1024,
    HTTP_REPLY_HEAD_BYTES = 512 + HTTP_HEAD_BYTES_MAX, /* a redirect repeats the target */
};

enum http_status {
    HTTP_OK = 200,
    HTTP_NO_CONTENT = 204, /* the head says nothing of a body, and there is none */
    HTTP_MOVED_PERMANENTLY = 301,
    HTTP_BAD_REQUEST = 400,
    HTTP_NOT_FOUND = 404,
    HTTP_HEAD_TOO_LARGE = 431,
    HTTP_INTERNAL_ERROR = 500,
    HTTP_UNAVAILABLE = 503,
    HTTP_VERSION_NOT_SUPPORTED = 505,
};

/* What has been received and not been taken yet. All zero is empty. */
struct http_session {
    uint8_t *buffer; /* owned */
    size_t at;       /* bytes before it are done with */
    size_t end;
    size_t capacity;
    size_t scanned;     /* from `at` on, known to hold no end of a head */
    uint64_t body_left; /* of the last request's body, to be skipped */
};

/* Its texts lie in the session's buffer, until the next http_give() or http_next(). */
struct http_request {
    struct bytes path;  /* decoded; begins with '/' */
    struct bytes query; /* as sent, without '?' */
    bool head;          /* only the head of the reply is wanted */
    bool close;         /* the connection ends behind the reply */
    bool old;           /* HTTP/1.0 */
};

enum http_result {
    HTTP_MORE,    /* not a whole request yet */
    HTTP_REQUEST, /* *request is one */
    HTTP_REFUSED, /* *status and *why say what to answer; the connection ends behind it */
};

/* Appends what was received. ERR_MEMORY: nothing has changed. */
MUST_USE enum err http_give(struct http_session *session, struct bytes bytes);

/* The next request. */
enum http_result http_next(struct http_session *session, struct http_request *request,
                           enum http_status *status, const char **why);

/* Whether there are bytes of a request that is not whole. */
bool http_torn(const struct http_session *session);

void http_close(struct http_session *session);

/* What the head of a reply says. */
struct http_reply {
    enum http_status status;
    const char *content_type;
    struct bytes location; /* of HTTP_MOVED_PERMANENTLY */
    uint64_t content_bytes;
    int64_t wall_ns; /* for Date */
    bool any_origin; /* pages from elsewhere may read it */
    bool no_sniff;
    bool browsed; /* a page for people, or a part of one: it may load from its own origin only */
    bool close;
    bool keep_alive; /* to be said to HTTP/1.0 */
};

/* Writes the head with its empty line. Returns the bytes; 0: it does not fit. */
size_t http_head_write(char *out, size_t capacity, const struct http_reply *reply);

const char *http_status_text(enum http_status status);

/* A path without `//`, `/./` and `/../`, as nats-server cleans it; a slash at the end stays. `out` has room
 * for path.count + 1 bytes. Returns the bytes written. */
size_t http_path_clean(char *out, struct bytes path);

/* ---- the query: name=value pairs, the first of a name counts; what is badly escaped or holds ';' is as if
 * it were not there ---- */

/* The decoded value of the parameter, in `out`; false: it is not there, or longer than `capacity`. */
bool http_parameter(struct bytes query, const char *name, char *out, size_t capacity, struct bytes *value);

enum { HTTP_PARAMETER_BYTES = 1024, HTTP_WHY_BYTES = 2 * HTTP_PARAMETER_BYTES };

/* Values in Go's notation; absent or empty is zero. False: `why` says so in nats-server's words. */
MUST_USE bool http_parameter_bool(struct bytes query, const char *name, bool *value,
                                  char why[HTTP_WHY_BYTES]);
MUST_USE bool http_parameter_int(struct bytes query, const char *name, int64_t *value,
                                 char why[HTTP_WHY_BYTES]);
MUST_USE bool http_parameter_unsigned(struct bytes query, const char *name, uint64_t *value,
                                      char why[HTTP_WHY_BYTES]);

#endif
