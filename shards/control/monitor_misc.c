/* shards/control/monitor_misc.c - the endpoints that need nothing of the shards: the shapes of what this
 * server has not (spec/monitoring.md 2.5, 2.9, 2.10, 2.11). */
#include "core/base/clock.h"
#include "shards/control/control.h"
#include "shards/control/monitor_task.h"

/* ---- nothing of it here ---- */

static void begin(struct control *control, struct monitor_task *task)
{
    json_put_object(&task->document, NULL);
    monitor_put_now(&task->document, control);
}

static void end(struct monitor_task *task)
{
    json_put_object_end(&task->document);
    task->done = true;
}

void leafz_begin(struct control *control, struct monitor_task *task)
{
    bool subscriptions;
    if (!monitor_bool(task, "subs", &subscriptions))
        return;
    begin(control, task);
    json_put_int(&task->document, "leafnodes", 0);
    json_put_array(&task->document, "leafs");
    json_put_array_end(&task->document);
    end(task);
}

static bool jsz_parameters(struct monitor_task *task)
{
    static const char *const flags[] = {"accounts", "streams",     "consumers", "direct-consumers",
                                        "config",   "leader-only", "raft",      "stream-leader-only"};
    int64_t offset, limit;
    bool leader_only = false;
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        bool set;
        if (!monitor_bool(task, flags[i], &set))
            return false;
        leader_only = leader_only || (set && strcmp(flags[i], "leader-only") == 0);
    }
    if (!monitor_paging(task, &offset, &limit))
        return false;
    if (leader_only && task->request != NULL)
        task->silent = task->done = true;
    else if (leader_only)
        monitor_fail(task, HTTP_BAD_REQUEST, "filtered response: not leader");
    return !leader_only;
}

void jsz_begin(struct control *control, struct monitor_task *task)
{
    static const char *const before[] = {"memory",           "storage",  "reserved_memory",
                                         "reserved_storage", "accounts", "ha_assets"};
    static const char *const after[] = {"streams", "consumers", "messages", "bytes", "total"};
    struct json_output *document = &task->document;
    if (!jsz_parameters(task))
        return;
    json_put_object(document, NULL);
    for (size_t i = 0; i < COUNT_OF(before); i++)
        json_put_int(document, before[i], 0);
    json_put_object(document, "api");
    json_put_int(document, "level", 0);
    json_put_int(document, "total", 0);
    json_put_int(document, "errors", 0);
    json_put_object_end(document);
    monitor_put_now(document, control);
    json_put_bool(document, "disabled", true);
    json_put_object(document, "config");
    json_put_int(document, "max_memory", 0);
    json_put_int(document, "max_storage", 0);
    json_put_object_end(document);
    for (size_t i = 0; i < COUNT_OF(after); i++)
        json_put_int(document, after[i], 0);
    end(task);
}

/* ---- health ---- */

/* What is wrong with the request; `details` asks for a list of all that is. */
static void put_health_error(struct monitor_task *task, const char *wrong, bool details)
{
    struct json_output *document = &task->document;
    task->status = HTTP_BAD_REQUEST;
    if (!details) {
        json_put_text(document, "error", text(wrong));
        return;
    }
    json_put_array(document, "errors");
    json_put_object(document, NULL);
    json_put_text(document, "type", TEXT("BAD_REQUEST"));
    json_put_text(document, "error", text(wrong));
    json_put_object_end(document);
    json_put_array_end(document);
}

void healthz_begin(struct control *control, struct monitor_task *task)
{
    static const char *const flags[] = {"js-enabled", "js-enabled-only", "js-server-only", "js-meta-only",
                                        "details"};
    char account[HTTP_PARAMETER_BYTES], stream[HTTP_PARAMETER_BYTES], consumer[HTTP_PARAMETER_BYTES];
    bool details = false; /* the last one read */
    (void)control;
    for (size_t i = 0; i < COUNT_OF(flags); i++) {
        if (!monitor_bool(task, flags[i], &details))
            return;
    }
    bool stream_given = monitor_text(task, "stream", stream).count > 0;
    const char *wrong = NULL;
    if (stream_given && monitor_text(task, "account", account).count == 0)
        wrong = "\"account\" must not be empty when checking stream health";
    else if (!stream_given && monitor_text(task, "consumer", consumer).count > 0)
        wrong = "\"stream\" must not be empty when checking consumer health";
    json_output_init(&task->document, 0, MONITOR_BODY_BYTES_MAX);
    json_put_object(&task->document, NULL);
    json_put_text(&task->document, "status", wrong == NULL ? TEXT("ok") : TEXT("error"));
    if (task->request != NULL)
        json_put_int(&task->document, "status_code", wrong == NULL ? HTTP_OK : HTTP_BAD_REQUEST);
    if (wrong != NULL)
        put_health_error(task, wrong, details);
    end(task);
}

/* ---- insides that this server has not ---- */

void raftz_begin(struct control *control, struct monitor_task *task)
{
    (void)control;
    monitor_fail(task, HTTP_NOT_FOUND, "No Raft nodes registered");
}

void ipqueuesz_begin(struct control *control, struct monitor_task *task)
{
    bool all;
    (void)control;
    if (!monitor_bool(task, "all", &all))
        return;
    json_output_init(&task->document, task->request == NULL ? 3 : 0, MONITOR_BODY_BYTES_MAX);
    json_put_object(&task->document, NULL);
    end(task);
}

static void put_memory(struct json_output *document)
{
    json_put_object(document, "memstats"); /* of Go's */
    json_put_object_end(document);
}

void expvarz_begin(struct control *control, struct monitor_task *task)
{
    struct json_output *document = &task->document;
    bool over_http = task->request == NULL; /* then in the order of names */
    json_put_object(document, NULL);
    if (!over_http)
        put_memory(document);
    json_put_array(document, "cmdline");
    for (int i = 0; i < control->argument_count; i++)
        json_put_text(document, NULL, text(control->arguments[i]));
    json_put_array_end(document);
    if (over_http) {
        put_memory(document);
        task->content_type = "application/json; charset=utf-8";
        task->plain = true;
    }
    json_put_object_end(document);
    task->done = true;
}

void stacksz_begin(struct control *control, struct monitor_task *task)
{
    (void)control;
    json_output_add(&task->document,
                    TEXT("Myelin has no goroutines. Its threads: shards, control core, worker; "
                         "what each does is in /metrics.\n"));
    task->done = true;
}
