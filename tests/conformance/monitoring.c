/* tests/conformance/monitoring.c - closed connections as /connz lists them; see monitoring.h. */
#include "tests/conformance/monitoring.h"

#include "core/base/clock.h"
#include "tests/conformance/peer.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

enum { ASK_FOR_MS = 1000, ASK_EVERY_MS = 20 };

static json_t *monitoring_page(uint16_t port, const char *path);

bool monitoring_closed_reason_is(uint16_t port, uint64_t client_id, const char *reason, char *why,
                                 size_t why_bytes)
{
    char path[64];
    (void)snprintf(path, sizeof path, "connz?state=closed&cid=%" PRIu64, client_id);
    int64_t deadline_ns = peer_deadline(ASK_FOR_MS);
    do {
        json_t *answer = monitoring_page(port, path);
        const json_t *connection = json_array_get(json_object_get(answer, "connections"), 0);
        const char *got = json_string_value(json_object_get(connection, "reason"));
        bool same = got != NULL && strcmp(got, reason) == 0;
        if (got != NULL && !same)
            (void)snprintf(why, why_bytes, "closed for \"%s\", expected \"%s\"", got, reason);
        bool known = got != NULL;
        json_decref(answer);
        if (known)
            return same;
        peer_pause(ASK_EVERY_MS);
    } while (clock_monotonic_ns() < deadline_ns);
    (void)snprintf(why, why_bytes, "monitoring does not list connection %" PRIu64 " as closed", client_id);
    return false;
}

bool monitoring_shows(uint16_t port, const char *path, const char *words, char *why, size_t why_bytes)
{
    int64_t deadline_ns = peer_deadline(ASK_FOR_MS);
    do {
        json_t *answer = monitoring_page(port, path);
        char *page = json_dumps(answer, JSON_COMPACT | JSON_PRESERVE_ORDER);
        bool shown = page != NULL && strstr(page, words) != NULL;
        (void)snprintf(why, why_bytes, "/%s does not show %s\n    but      %s", path, words,
                       page == NULL ? "nothing" : page);
        free(page); /* jansson's */
        json_decref(answer);
        if (shown)
            return true;
        peer_pause(ASK_EVERY_MS);
    } while (clock_monotonic_ns() < deadline_ns);
    return false;
}

/* That document; NULL when there is none. Owner: the caller. */
static json_t *monitoring_page(uint16_t port, const char *path)
{
    struct peer peer;
    char request[160];
    if (peer_connect(&peer, port, 0) != ERR_OK)
        return NULL;
    int length = snprintf(request, sizeof request, "GET /%s HTTP/1.0\r\nHost: localhost\r\n\r\n", path);
    json_t *answer = NULL;
    if (peer_send(&peer, bytes_of(request, (size_t)length))) {
        int64_t deadline_ns = peer_deadline(ASK_FOR_MS);
        while (!peer.ended && peer_receive(&peer, deadline_ns)) {
        }
        struct bytes got = peer_waiting(&peer);
        const uint8_t *body = got.count == 0 ? NULL : memmem(got.data, got.count, "\r\n\r\n", 4);
        if (body != NULL)
            answer = json_loadb((const char *)body + 4, got.count - (size_t)(body + 4 - got.data), 0, NULL);
    }
    peer_drop(&peer, false);
    return answer;
}
