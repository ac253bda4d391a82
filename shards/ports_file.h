/* shards/ports_file.h - the file that tells tools on which ports this server listens
 * (spec/configuration.md 1.8): one JSON object, written under another name and renamed, so that a reader
 * never sees half of it; removed at the end. */
#ifndef SHARDS_PORTS_FILE_H
#define SHARDS_PORTS_FILE_H

#include "core/base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ports_file {
    const char *directory;
    const char *program; /* the file is <directory>/<program>_<pid>.ports */
    const char *host;    /* as configured; a wildcard stands for every local address */
    uint16_t port;
    bool tls;              /* which clients must use: another scheme */
    const char *http_host; /* of the monitoring port, likewise */
    uint16_t http_port;    /* 0: there is none */
    bool https;
    const char *cluster_host; /* likewise for routes; port 0: there is no route port */
    uint16_t cluster_port;
    bool cluster_tls;
};

/* Writes it and says where in `path`. ERR_SYSTEM: `why` is the line for the log, `path` is empty. ERR_OK:
 * `why` is empty, or a warning of what the file could not be told. */
MUST_USE enum err ports_file_write(const struct ports_file *ports, char *path, size_t path_bytes, char *why,
                                   size_t why_bytes);

/* ERR_SYSTEM: `why` is the line for the log. */
MUST_USE enum err ports_file_remove(const char *path, char *why, size_t why_bytes);

#endif
