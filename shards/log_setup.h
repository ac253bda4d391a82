/* shards/log_setup.h - the log's options from the server's. */
#ifndef SHARDS_LOG_SETUP_H
#define SHARDS_LOG_SETUP_H

#include "core/base/log.h"
#include "shards/options.h"

/* Points into `options` and `program`. Thread: main, control core. */
struct log_options log_setup(const struct server_options *options, const char *program);

#endif
