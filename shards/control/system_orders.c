/* shards/control/system_orders.c - what the system account may tell the server to do: a client to go, a
 * client to look for another server, the configuration to be read again (spec/monitoring.md 6.3). A client is
 * looked for on all shards by its id; then the one that has it is told. */
#include "core/base/clock.h"
#include "shards/control/control_internal.h"
#include "shards/control/monitor_task.h"
#include "shards/control/system_services.h"
#include "shards/mail.h"

static void client_begin_search(struct control *control, struct monitor_task *task)
{
    task->report.kind = REPORT_KEYS;
    task->report.open = true;
    if (!monitor_unsigned(task, "cid", &task->report.cid))
        return;
    if (task->report.cid == 0)
        task->report.cid = UINT64_MAX; /* 0 would mean any */
    monitor_ask_all(control, task);
}

static void client_page(struct control *control, struct monitor_task *task, uint32_t from,
                        struct mail_report *mail)
{
    (void)control;
    if (mail->bytes < sizeof task->pick)
        return;
    memcpy(&task->pick, mail->block->bytes, sizeof task->pick);
    task->pick.shard = from;
}

/* Tells the shard, or fails with `why`. */
static void order(struct control *control, struct monitor_task *task, bool kick, const char *why)
{
    struct mail_system_client mail = {
        .kind = MAIL_SYSTEM_CLIENT,
        .kick = kick,
        .place = {.cid = task->pick.cid, .slot = (uint32_t)task->pick.place, .shard = task->pick.shard},
    };
    if (task->pick.cid == 0)
        monitor_fail(task, HTTP_NOT_FOUND, why);
    else if (!control_put(control, task->pick.shard, &mail, sizeof mail))
        monitor_fail(task, HTTP_UNAVAILABLE, "a shard has no room for orders");
    task->done = true;
}

static void kick_told(struct control *control, struct monitor_task *task)
{
    order(control, task, true, "no such client or leafnode id");
}

static void lame_duck_told(struct control *control, struct monitor_task *task)
{
    order(control, task, false, "no such client id");
}

const struct monitor_endpoint system_endpoint_kick = {
    .begin = client_begin_search, .page = client_page, .told = kick_told};
const struct monitor_endpoint system_endpoint_lame_duck = {
    .begin = client_begin_search, .page = client_page, .told = lame_duck_told};

static void reload_begin(struct control *control, struct monitor_task *task)
{
    char why[HTTP_WHY_BYTES];
    if (!control_reload(control, why, sizeof why))
        monitor_fail(task, HTTP_BAD_REQUEST, why);
    task->done = true;
}

const struct monitor_endpoint system_endpoint_reload = {.begin = reload_begin};
