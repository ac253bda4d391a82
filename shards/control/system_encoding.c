/* shards/control/system_encoding.c - see system_encoding.h. */
#include "shards/control/system_encoding.h"

#include "core/base/memory.h"
#include "core/codec/s2.h"

#include <string.h>
#include <strings.h>
#include <zlib.h>

enum { GZIP_WINDOW_BITS = 15 + 16, GZIP_MEMORY_LEVEL = 8 };

struct bytes system_header_value(struct bytes headers, const char *name)
{
    size_t name_count = strlen(name);
    while (headers.count > 0) {
        const uint8_t *newline = memchr(headers.data, '\n', headers.count);
        size_t count = newline == NULL ? headers.count : (size_t)(newline - headers.data) + 1;
        if (count > name_count && headers.data[name_count] == ':' &&
            strncasecmp((const char *)headers.data, name, name_count) == 0)
            return bytes_of(headers.data + name_count + 1, count - name_count - 1);
        headers = bytes_of(headers.data + count, headers.count - count);
    }
    return headers;
}

static bool names(struct bytes value, const char *word)
{
    size_t count = strlen(word);
    for (size_t at = 0; at + count <= value.count; at++) {
        if (strncasecmp((const char *)value.data + at, word, count) == 0)
            return true;
    }
    return false;
}

static bool gzip(struct bytes body, struct system_encoded *encoded)
{
    z_stream stream = {0};
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEMORY_LEVEL,
                     Z_DEFAULT_STRATEGY) != Z_OK)
        return false;
    size_t most = deflateBound(&stream, body.count);
    uint8_t *out = memory_new(most);
    stream.next_in = (uint8_t *)(uintptr_t)body.data; /* zlib does not write there */
    stream.avail_in = (uInt)body.count;
    stream.next_out = out;
    stream.avail_out = (uInt)most;
    bool good = out != NULL && deflate(&stream, Z_FINISH) == Z_STREAM_END;
    if (good) {
        encoded->body = out;
        encoded->body_count = stream.total_out;
    } else {
        memory_free(out);
    }
    (void)deflateEnd(&stream);
    return good;
}

/* As a stream, which says that it is Snappy's. */
static bool snappy(struct bytes body, struct system_encoded *encoded)
{
    static const char identifier[] = "sNaPpY";
    size_t chunks = body.count / S2_WRITE_BYTES + 1;
    uint8_t *out = memory_new(S2_IDENTIFIER_BYTES + chunks * s2_encode_room(S2_WRITE_BYTES));
    if (out == NULL)
        return false;
    encoded->body = out;
    while (body.count > 0) {
        size_t count = body.count < S2_WRITE_BYTES ? body.count : S2_WRITE_BYTES;
        encoded->body_count +=
            s2_encode(bytes_of(body.data, count), encoded->body_count == 0, false, out + encoded->body_count);
        body = bytes_of(body.data + count, body.count - count);
    }
    if (encoded->body_count > 0)
        memcpy(out + S2_IDENTIFIER_BYTES - (sizeof identifier - 1), identifier, sizeof identifier - 1);
    return true;
}

void system_encode(struct bytes request_headers, struct bytes body, struct system_encoded *encoded)
{
    struct bytes wanted = system_header_value(request_headers, "Accept-Encoding");
    *encoded = (struct system_encoded){.headers = TEXT("")};
    if (wanted.count == 0)
        return;
    bool as_snappy = names(wanted, "snappy") || names(wanted, "s2");
    if (as_snappy && snappy(body, encoded))
        encoded->headers = TEXT("NATS/1.0\r\nContent-Encoding: snappy\r\n\r\n");
    else if (!as_snappy && names(wanted, "gzip") && gzip(body, encoded))
        encoded->headers = TEXT("NATS/1.0\r\nContent-Encoding: gzip\r\n\r\n");
    else
        encoded->headers = TEXT("NATS/1.0\r\nContent-Encoding: identity\r\n\r\n");
}
