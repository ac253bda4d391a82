/* shards/control/control_reload.c - SIGHUP: new options for everybody, or a line that says why not
 * (spec/configuration.md 5). One reload at a time: the next one waits until every shard has let go of the
 * last snapshot. */
#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/base/version.h"
#include "core/security/authenticate.h"
#include "shards/control/control_internal.h"
#include "shards/mail.h"

static struct bytes optional_text(const char *terminated)
{
    return terminated == NULL ? (struct bytes){NULL, 0} : text(terminated);
}

void control_info_make(const struct control *control, struct snapshot *snapshot)
{
    const struct server_options *options = snapshot->options;
    snapshot->info = (struct info_server){
        .server_id = text(control->server_id),
        .server_name = text(control->server_name),
        .version = text(MYELIN_NATS_VERSION),
        .myelin_version = text(MYELIN_VERSION),
        .host = optional_text(options->host),
        .port = control->port,
        .max_payload_bytes = options->net.max_payload_bytes,
        .headers = options->net.headers,
        .auth_required = authenticate_info_required(&options->security),
    };
}

void control_snapshot_released(struct control *control, struct snapshot *snapshot)
{
    ASSERT(snapshot == control->retired && snapshot->holders > 0);
    if (--snapshot->holders > 0)
        return;
    control->retired = NULL;
    server_options_free(snapshot->options);
    memory_free(snapshot);
}

void control_reload(struct control *control)
{
    if (control->state != CONTROL_RUNNING || control->retired != NULL) {
        log_error(control->log, "Failed to reload server configuration: %s",
                  control->retired != NULL ? "another reload is under way" : "the server is about to stop");
        return;
    }
}
