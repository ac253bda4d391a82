/* net/payload_trace.c - see payload_trace.h. */
#include "net/payload_trace.h"

#include "core/base/memory.h"
#include "core/base/quote.h"

void payload_trace(struct log *log, const char *prefix, const char *direction, struct bytes payload,
                   int64_t most_bytes)
{
    bool cut = most_bytes > 0 && payload.count > (size_t)most_bytes;
    if (payload.count == 0)
        return;
    if (cut)
        payload.count = (size_t)most_bytes;
    size_t quoted_bytes = QUOTE_BYTES_NEEDED(payload.count);
    if (quoted_bytes > LOG_LINE_BYTES_MAX)
        quoted_bytes = LOG_LINE_BYTES_MAX; /* the log cuts there anyway */
    char *quoted = memory_new(quoted_bytes);
    if (quoted == NULL)
        return; /* a trace line less */
    size_t count = quote(payload, quoted, quoted_bytes);
    if (count >= 2 && quoted[count - 1] == '"')
        quoted[count - 1] = 0;
    log_line(log, LOG_TRACE, "%s - %s MSG_PAYLOAD: [%s%s\"]", prefix, direction, quoted, cut ? "..." : "");
    memory_free(quoted);
}

struct bytes payload_trace_headers(struct bytes body, uint32_t header_bytes)
{
    enum { END_BYTES = 4 }; /* CR LF CR LF */
    return bytes_of(body.data, header_bytes > END_BYTES ? header_bytes - END_BYTES : 0);
}
