/* shards/service_manager.h - tells the service manager that started the process how it is getting on:
 * systemd's notification protocol (sd_notify(3)), one datagram of VARIABLE=value lines to the socket named by
 * NOTIFY_SOCKET. In the flow:  server_run(), control_reload(), stop() -> service_manager_tell() At the bound:
 * who does not listen is told nothing and waited for by nobody. Thread: the control core's, and the main
 * thread before that runs. */
#ifndef SHARDS_SERVICE_MANAGER_H
#define SHARDS_SERVICE_MANAGER_H

#include "core/base/err.h"
#include "core/base/language.h"

#include <stdint.h>

enum service_state {
    SERVICE_READY,     /* it listens; or a reload is over, done or refused */
    SERVICE_RELOADING, /* READY follows */
    SERVICE_STOPPING,  /* lame duck mode, or the end */
};

/* `socket_path`: as NOTIFY_SOCKET has it, '@' for an abstract name; NULL or empty: nobody wants to know,
 * ERR_OK. `now_ns`: of the monotonic clock, by which the manager tells one reload from another. ERR_SYSTEM:
 * it could not be told, errno says why. Cost: three system calls. */
MUST_USE enum err service_manager_tell(const char *socket_path, enum service_state state, int64_t now_ns);

#endif
