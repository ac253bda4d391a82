/* net/http.c - requests and heads of replies; the query is in http_query.c. See http.h. */
#include "net/http.h"

#include "core/base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>

enum { BUFFER_BYTES_FIRST = 2048 };

/* What the headers say. */
struct headers {
    uint64_t content_bytes;
    bool host;
    bool chunked;
    bool close;
    bool keep_alive;
};

static bool head_find(struct http_session *session, size_t *head_bytes);
static enum http_result head_parse(struct http_session *session, struct bytes head,
                                   struct http_request *request, enum http_status *status, const char **why);
static bool line_take(struct bytes *rest, struct bytes *line);
static enum http_status request_line(struct bytes line, struct http_request *request, struct bytes *target,
                                     const char **why);
static enum http_status header_line(struct bytes line, struct headers *headers);
static bool target_split(struct bytes target, struct http_request *request);

void http_close(struct http_session *session)
{
    memory_free(session->buffer);
    *session = (struct http_session){0};
}

enum err http_give(struct http_session *session, struct bytes bytes)
{
    if (session->at > 0) {
        memmove(session->buffer, session->buffer + session->at, session->end - session->at);
        session->end -= session->at;
        session->at = 0;
    }
    if (session->capacity - session->end < bytes.count) {
        size_t capacity = session->capacity == 0 ? BUFFER_BYTES_FIRST : session->capacity;
        while (capacity - session->end < bytes.count)
            capacity *= 2;
        uint8_t *buffer = memory_grow(session->buffer, capacity);
        if (buffer == NULL)
            return ERR_MEMORY;
        session->buffer = buffer;
        session->capacity = capacity;
    }
    if (bytes.count > 0)
        memcpy(session->buffer + session->end, bytes.data, bytes.count);
    session->end += bytes.count;
    return ERR_OK;
}

bool http_torn(const struct http_session *session)
{
    return session->end > session->at || session->body_left > 0;
}

static void body_skip(struct http_session *session)
{
    uint64_t here = session->end - session->at;
    uint64_t skipped = here < session->body_left ? here : session->body_left;
    session->at += (size_t)skipped;
    session->body_left -= skipped;
    session->scanned = 0;
}

enum http_result http_next(struct http_session *session, struct http_request *request,
                           enum http_status *status, const char **why)
{
    size_t head_bytes;
    if (session->body_left > 0)
        body_skip(session);
    *why = "";
    /* Empty lines before a request are old clients' habit. */
    while (session->body_left == 0 && session->at < session->end && session->scanned == 0 &&
           (session->buffer[session->at] == '\r' || session->buffer[session->at] == '\n'))
        session->at++;
    if (session->body_left > 0 || session->at == session->end)
        return HTTP_MORE;
    bool found = head_find(session, &head_bytes);
    if ((found && head_bytes > HTTP_HEAD_BYTES_MAX) || (!found && session->scanned > HTTP_HEAD_BYTES_MAX)) {
        *status = HTTP_HEAD_TOO_LARGE;
        return HTTP_REFUSED;
    }
    if (!found)
        return HTTP_MORE;
    struct bytes head = bytes_of(session->buffer + session->at, head_bytes);
    session->at += head_bytes;
    session->scanned = 0;
    return head_parse(session, head, request, status, why);
}

/* Looks for the empty line. */
static bool head_find(struct http_session *session, size_t *head_bytes)
{
    const uint8_t *start = session->buffer + session->at;
    size_t count = session->end - session->at;
    for (size_t at = session->scanned; at < count; at++) {
        if (start[at] != '\n')
            continue;
        size_t before = at > 0 && start[at - 1] == '\r' ? at - 1 : at;
        if (before > 0 && start[before - 1] == '\n') {
            *head_bytes = at + 1;
            return true;
        }
    }
    session->scanned = count;
    return false;
}

static enum http_result refuse(enum http_status with, enum http_status *status)
{
    *status = with;
    return HTTP_REFUSED;
}

static enum http_result head_parse(struct http_session *session, struct bytes head,
                                   struct http_request *request, enum http_status *status, const char **why)
{
    struct bytes line = {0}, target = {0};
    struct headers headers = {0};
    *request = (struct http_request){0};
    (void)line_take(&head, &line);
    enum http_status bad = request_line(line, request, &target, why);
    if (bad != HTTP_OK)
        return refuse(bad, status);
    while (line_take(&head, &line) && line.count > 0) {
        bad = header_line(line, &headers);
        if (bad != HTTP_OK)
            return refuse(bad, status);
    }
    if (!headers.host && !request->old) {
        *why = ": missing required Host header";
        return refuse(HTTP_BAD_REQUEST, status);
    }
    if (!target_split(target, request))
        return refuse(HTTP_BAD_REQUEST, status);
    /* A body in chunks would have to be parsed to be skipped; nobody sends one here. */
    request->close = headers.close || (request->old && !headers.keep_alive) || headers.chunked ||
                     headers.content_bytes > HTTP_BODY_BYTES_MAX;
    session->body_left = request->close ? 0 : headers.content_bytes;
    return HTTP_REQUEST;
}

/* The next line, without its end. False: there is none left. */
static bool line_take(struct bytes *rest, struct bytes *line)
{
    const uint8_t *newline = rest->count == 0 ? NULL : memchr(rest->data, '\n', rest->count);
    if (newline == NULL)
        return false;
    size_t count = (size_t)(newline - rest->data);
    *line = bytes_of(rest->data, count > 0 && newline[-1] == '\r' ? count - 1 : count);
    *rest = bytes_of(newline + 1, rest->count - count - 1);
    return true;
}

static bool token_byte(uint8_t byte)
{
    return byte > ' ' && byte < 0x7f && strchr("()<>@,;:\\\"/[]?={}", byte) == NULL;
}

static bool is_token(struct bytes word)
{
    for (size_t i = 0; i < word.count; i++) {
        if (!token_byte(word.data[i]))
            return false;
    }
    return word.count > 0;
}

/* METHOD SP target SP HTTP/x.y */
static enum http_status request_line(struct bytes line, struct http_request *request, struct bytes *target,
                                     const char **why)
{
    const uint8_t *first = line.count == 0 ? NULL : memchr(line.data, ' ', line.count);
    const uint8_t *last = line.count == 0 ? NULL : memrchr(line.data, ' ', line.count);
    if (first == NULL || last == first)
        return HTTP_BAD_REQUEST;
    struct bytes method = bytes_of(line.data, (size_t)(first - line.data));
    struct bytes version = bytes_of(last + 1, line.count - (size_t)(last + 1 - line.data));
    *target = bytes_of(first + 1, (size_t)(last - first) - 1);
    if (!is_token(method) || target->count == 0)
        return HTTP_BAD_REQUEST;
    for (size_t i = 0; i < target->count; i++) {
        if (target->data[i] <= ' ' || target->data[i] == 0x7f)
            return HTTP_BAD_REQUEST;
    }
    bool version_like = version.count == 8 && bytes_start_with(version, TEXT("HTTP/")) &&
                        version.data[6] == '.' && version.data[5] >= '0' && version.data[5] <= '9' &&
                        version.data[7] >= '0' && version.data[7] <= '9';
    if (!version_like)
        return HTTP_BAD_REQUEST;
    if (version.data[5] != '1') {
        *why = ": unsupported protocol version";
        return HTTP_VERSION_NOT_SUPPORTED;
    }
    request->old = version.data[7] == '0';
    request->head = bytes_equal(method, TEXT("HEAD"));
    return HTTP_OK;
}

static bool same_word(struct bytes a, const char *b)
{
    return a.count == strlen(b) && strncasecmp((const char *)a.data, b, a.count) == 0;
}

/* Whether a list separated by commas has that word. */
static bool list_has(struct bytes list, const char *word)
{
    while (list.count > 0) {
        const uint8_t *comma = memchr(list.data, ',', list.count);
        size_t count = comma == NULL ? list.count : (size_t)(comma - list.data);
        struct bytes item = bytes_of(list.data, count);
        while (item.count > 0 && (item.data[0] == ' ' || item.data[0] == '\t'))
            item = bytes_of(item.data + 1, item.count - 1);
        while (item.count > 0 && (item.data[item.count - 1] == ' ' || item.data[item.count - 1] == '\t'))
            item.count--;
        if (same_word(item, word))
            return true;
        list = bytes_of(list.data + count, list.count - count);
        if (list.count > 0)
            list = bytes_of(list.data + 1, list.count - 1);
    }
    return false;
}

static bool length_parse(struct bytes digits, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < digits.count; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9' || *value > UINT64_MAX / 10 - 1)
            return false;
        *value = *value * 10 + (digits.data[i] - (uint64_t)'0');
    }
    return digits.count > 0;
}

static enum http_status header_line(struct bytes line, struct headers *headers)
{
    const uint8_t *colon = memchr(line.data, ':', line.count);
    if (colon == NULL)
        return HTTP_BAD_REQUEST;
    struct bytes name = bytes_of(line.data, (size_t)(colon - line.data));
    if (!is_token(name)) /* so is a line that continues another one: obsolete, and a way to smuggle */
        return HTTP_BAD_REQUEST;
    struct bytes value = bytes_of(colon + 1, line.count - name.count - 1);
    while (value.count > 0 && (value.data[0] == ' ' || value.data[0] == '\t'))
        value = bytes_of(value.data + 1, value.count - 1);
    while (value.count > 0 && (value.data[value.count - 1] == ' ' || value.data[value.count - 1] == '\t'))
        value.count--;
    if (same_word(name, "Host"))
        headers->host = true;
    else if (same_word(name, "Transfer-Encoding"))
        headers->chunked = true;
    else if (same_word(name, "Content-Length"))
        return length_parse(value, &headers->content_bytes) ? HTTP_OK : HTTP_BAD_REQUEST;
    else if (same_word(name, "Connection")) {
        headers->close |= list_has(value, "close");
        headers->keep_alive |= list_has(value, "keep-alive");
    }
    return HTTP_OK;
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* Undoes %xx in place: what comes out is no longer. */
static bool path_decode(struct bytes *path)
{
    uint8_t *out = (uint8_t *)path->data; /* the session's own buffer */
    size_t count = 0;
    for (size_t at = 0; at < path->count; at++) {
        uint8_t byte = path->data[at];
        if (byte == '%') {
            int high = at + 2 < path->count ? hex_digit(path->data[at + 1]) : -1;
            int low = high < 0 ? -1 : hex_digit(path->data[at + 2]);
            if (low < 0)
                return false;
            byte = (uint8_t)(high * 16 + low);
            at += 2;
        }
        out[count++] = byte;
    }
    path->count = count;
    return true;
}

/* "/path?query", or with "http://host" before it. */
static bool target_split(struct bytes target, struct http_request *request)
{
    if (bytes_start_with(target, TEXT("http://")) || bytes_start_with(target, TEXT("https://"))) {
        const uint8_t *host = (const uint8_t *)memmem(target.data, target.count, "//", 2) + 2;
        size_t left = target.count - (size_t)(host - target.data);
        const uint8_t *slash = left == 0 ? NULL : memchr(host, '/', left);
        target = slash == NULL ? TEXT("") : bytes_of(slash, target.count - (size_t)(slash - target.data));
    }
    const uint8_t *mark = target.count == 0 ? NULL : memchr(target.data, '?', target.count);
    size_t path_count = mark == NULL ? target.count : (size_t)(mark - target.data);
    request->path = bytes_of(target.data, path_count);
    if (mark != NULL)
        request->query = bytes_of(mark + 1, target.count - path_count - 1);
    if (path_count == 0) { /* only a host */
        request->path = TEXT("/");
        return true;
    }
    return target.data[0] == '/' && path_decode(&request->path);
}

/* ---- replies ---- */

const char *http_status_text(enum http_status status)
{
    switch (status) {
    case HTTP_OK:
        return "OK";
    case HTTP_NO_CONTENT:
        return "No Content";
    case HTTP_MOVED_PERMANENTLY:
        return "Moved Permanently";
    case HTTP_BAD_REQUEST:
        return "Bad Request";
    case HTTP_NOT_FOUND:
        return "Not Found";
    case HTTP_HEAD_TOO_LARGE:
        return "Request Header Fields Too Large";
    case HTTP_INTERNAL_ERROR:
        return "Internal Server Error";
    case HTTP_UNAVAILABLE:
        return "Service Unavailable";
    case HTTP_VERSION_NOT_SUPPORTED:
        return "HTTP Version Not Supported";
    }
    return "";
}

size_t http_head_write(char *out, size_t capacity, const struct http_reply *reply)
{
    static const char *const days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t seconds = (time_t)(reply->wall_ns / 1000000000);
    struct tm tm = {0};
    (void)gmtime_r(&seconds, &tm);
    /* Nothing from elsewhere, nothing inline, not in another page's frame; and asked for anew each time, so
     * that page and server are of one version. */
    static const char browsed[] =
        "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
        "Referrer-Policy: no-referrer\r\nCache-Control: no-cache\r\n";
    char length[sizeof "Content-Length: \r\n" + 20] = "";
    bool empty = reply->status == HTTP_NO_CONTENT;
    if (!empty)
        snprintf(length, sizeof length, "Content-Length: %" PRIu64 "\r\n", reply->content_bytes);
    int count =
        snprintf(out, capacity,
                 "HTTP/1.1 %d %s\r\n%s%s%s%s%s%.*s%s%s%s%sDate: %s, %02d %s %d %02d:%02d:%02d GMT\r\n%s\r\n",
                 (int)reply->status, http_status_text(reply->status),
                 reply->any_origin ? "Access-Control-Allow-Origin: *\r\n" : "",
                 reply->no_sniff || reply->browsed ? "X-Content-Type-Options: nosniff\r\n" : "",
                 reply->browsed ? browsed : "",
                 reply->close        ? "Connection: close\r\n"
                 : reply->keep_alive ? "Connection: keep-alive\r\n"
                                     : "",
                 reply->location.count > 0 ? "Location: " : "", BYTES_PRINTF(reply->location),
                 reply->location.count > 0 ? "\r\n" : "",
                 empty ? "" : "Content-Type: ", empty ? "" : reply->content_type, empty ? "" : "\r\n",
                 days[tm.tm_wday], tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                 tm.tm_sec, length);
    return count > 0 && (size_t)count < capacity ? (size_t)count : 0;
}

size_t http_path_clean(char *out, struct bytes path)
{
    size_t count = 0;
    size_t at = 0;
    bool slash_last = path.count > 0 && path.data[path.count - 1] == '/';
    while (at < path.count) {
        while (at < path.count && path.data[at] == '/')
            at++;
        size_t start = at;
        while (at < path.count && path.data[at] != '/')
            at++;
        struct bytes part = bytes_of(path.data + start, at - start);
        if (part.count == 0 || bytes_equal(part, TEXT(".")))
            continue;
        if (bytes_equal(part, TEXT(".."))) {
            while (count > 0 && out[--count] != '/')
                continue;
            continue;
        }
        out[count++] = '/';
        memcpy(out + count, part.data, part.count);
        count += part.count;
    }
    if (count == 0 || slash_last)
        out[count++] = '/';
    return count;
}
