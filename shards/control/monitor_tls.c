/* shards/control/monitor_tls.c - see monitor_tls.h. */
#include "shards/control/monitor_tls.h"

#include "core/base/log.h"
#include "net/tls_stream.h"
#include "shards/control/control_internal.h"

#include <stdio.h>

enum { WHY_BYTES = 512 };

enum err monitor_tls_make(struct control *control, char *why, size_t why_bytes)
{
    struct monitor *monitor = &control->monitor;
    struct tls_context *context = NULL;
    /* Everything but what the clients' own certificates are for. */
    struct tls_options options = control->snapshot->options->net.tls;
    if (!options.on) {
        snprintf(why, why_bytes, "TLS cert and key required for HTTPS");
        return ERR_INVALID;
    }
    options.verify = options.verify_optional = options.map = options.known_urls = false;
    options.pin_count = 0;
    enum err err = tls_context_new(&context, &options, TLS_SERVER, why, why_bytes);
    if (err != ERR_OK)
        return err;
    tls_context_release(monitor->tls); /* streams hold what they were made from */
    monitor->tls = context;
    return ERR_OK;
}

void monitor_reloaded(struct control *control)
{
    char why[WHY_BYTES] = "";
    control->monitor.loaded_ns = control->now_ns;
    if (control->monitor.tls != NULL && monitor_tls_make(control, why, sizeof why) != ERR_OK)
        log_error(control->log, "The monitoring port keeps its certificates: %s", why);
}

bool monitor_tls_begin(struct control *control, struct monitor_connection *connection)
{
    struct monitor *monitor = &control->monitor;
    return monitor->tls == NULL ||
           tls_stream_new(&connection->stream, monitor->tls, &monitor->pool, NULL) == ERR_OK;
}

enum err monitor_tls_received(struct monitor_connection *connection, struct bytes bytes)
{
    uint8_t plain[TLS_RECORD_PLAIN_BYTES];
    enum tls_result result = TLS_DONE;
    if (!tls_stream_open(connection->stream))
        result = tls_stream_handshake(connection->stream, &bytes);
    while (result == TLS_DONE) {
        size_t count = 0;
        result = tls_stream_read(connection->stream, &bytes, plain, sizeof plain, &count);
        enum err err = http_give(&connection->session, bytes_of(plain, count));
        if (err != ERR_OK)
            return err;
    }
    connection->ended = connection->ended || result == TLS_ENDED;
    return result == TLS_FAILED ? ERR_INVALID : ERR_OK;
}
