/* shards/control/control_files.c - the pid file and the ports file: written at the start, moved by a reload,
 * the ports file removed at the end (spec/configuration.md 1.8). */
#include "core/base/log.h"
#include "shards/control/control_internal.h"
#include "shards/pid_file.h"
#include "shards/ports_file.h"

#include <string.h>

enum { WHY_BYTES = 4096 };

static bool same(const char *a, const char *b)
{
    return (a == NULL) == (b == NULL) && (a == NULL || strcmp(a, b) == 0);
}

static bool given(const char *path)
{
    return path != NULL && path[0] != 0;
}

enum err control_pid_file_write(const struct control *control, enum log_level level)
{
    char why[WHY_BYTES] = "";
    const char *path = control->snapshot->options->pid_file;
    if (!given(path) || pid_file_write(path, why, sizeof why) == ERR_OK)
        return ERR_OK;
    log_line(control->log, level, "%s", why);
    return ERR_SYSTEM;
}

void control_ports_file_write(struct control *control)
{
    const struct server_options *options = control->snapshot->options;
    char why[WHY_BYTES] = "";
    if (!given(options->ports_file_dir))
        return;
    struct ports_file ports = {
        .directory = options->ports_file_dir,
        .program = control->program,
        .host = options->host,
        .port = control->port,
        .tls = options->net.tls.on && !options->net.allow_non_tls,
        .http_host = monitor_host(options),
        .http_port = control->monitor.port,
        .https = options->https_port != 0,
        .cluster_host = options->cluster.host == NULL ? "" : options->cluster.host,
        .cluster_port = control->cluster.port,
        .cluster_tls = options->cluster.tls.on,
    };
    if (ports_file_write(&ports, control->ports_path, sizeof control->ports_path, why, sizeof why) != ERR_OK)
        log_error(control->log, "%s", why);
    else if (why[0] != 0)
        log_warning(control->log, "%s", why);
}

void control_ports_file_remove(struct control *control)
{
    char why[WHY_BYTES] = "";
    if (control->ports_path[0] != 0 && ports_file_remove(control->ports_path, why, sizeof why) != ERR_OK)
        log_error(control->log, "%s", why);
    control->ports_path[0] = 0;
}

void control_files_moved(struct control *control, const struct server_options *before)
{
    const struct server_options *now = control->snapshot->options;
    if (!same(before->pid_file, now->pid_file)) {
        enum err ignored =
            control_pid_file_write(control, LOG_ERROR); /* the server goes on, as nats-server does */
        (void)ignored;
    }
    if (!same(before->ports_file_dir, now->ports_file_dir)) {
        control_ports_file_remove(control);
        control_ports_file_write(control);
    }
}
