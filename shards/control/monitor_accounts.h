/* shards/control/monitor_accounts.h - what of accounts the system account shows too. Thread: the control
 * core's. */
#ifndef SHARDS_CONTROL_MONITOR_ACCOUNTS_H
#define SHARDS_CONTROL_MONITOR_ACCOUNTS_H

#include "core/security/account.h"
#include "shards/control/monitor_task.h"

/* All about one, as in /accountz; the task has collected the figures. */
void monitor_put_account_detail(struct json_output *document, struct control *control,
                                const struct monitor_task *task, const struct security_account *account,
                                const char *key);

/* The members of an entry of /accstatz. */
void monitor_put_account_figures(struct json_output *document, const struct security_account *account,
                                 const struct report_account *figures);

#endif
