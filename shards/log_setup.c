/* shards/log_setup.c - see log_setup.h. */
#include "shards/log_setup.h"

struct log_options log_setup(const struct server_options *options, const char *program)
{
    return (struct log_options){
        .file = options->log_file,
        .remote_syslog = options->remote_syslog,
        .program = program,
        .size_limit_bytes = options->log_size_limit_bytes,
        .files_max = options->log_files_max,
        .syslog = options->syslog,
        .time = options->logtime,
        .utc = options->logtime_utc,
        .debug = options->debug || options->streaming.debug,
        .trace = options->trace || options->streaming.trace,
    };
}
