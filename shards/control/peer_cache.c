/* shards/control/peer_cache.c - when the cache of responders' answers is read and written; see peer_checks.h.
 */
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "shards/control/control_internal.h"

static void work(struct inquiry *inquiry, int stop_fd)
{
    (void)stop_fd;
    ocsp_cache_save_write(CONTAINER_OF(inquiry, struct peer_cache_saving, inquiry)->save);
}

static void timer_arm(struct control *control)
{
    struct peer_checks *checks = &control->peer_checks;
    if (timers_set(&control->timers, &checks->save_timer, control->now_ns + checks->save_interval_ns) !=
        ERR_OK)
        log_error(control->log, "No memory to save the OCSP peer cache now and then");
}

static void load(struct control *control)
{
    struct peer_checks *checks = &control->peer_checks;
    char why[OCSP_CACHE_WHY_BYTES];
    if (ocsp_cache_load(&checks->cache, checks->store, &control->blocks, why, sizeof why) == ERR_INVALID)
        log_warning(control->log, "Unable to load OCSP peer cache: %s", why);
}

void peer_cache_configure(struct control *control)
{
    struct peer_checks *checks = &control->peer_checks;
    const struct net_options *net = &control->snapshot->options->net;
    const struct ocsp_cache_options *options = &net->ocsp_cache;
    const char *store = ocsp_cache_store(options);
    bool first = checks->store == NULL;
    if (!net->tls.on || !net->tls.ocsp_peer.verify) {
        checks->cache.on = false;
        return;
    }
    checks->cache.on = !options->none;
    checks->cache.preserve_revoked = options->preserve_revoked;
    checks->save_interval_ns = ocsp_cache_save_interval_ns(options);
    if (!options->none) {
        char *copy = memory_copy(store, strlen(store));
        if (copy != NULL) {
            checks->cache.dirty = checks->cache.dirty || (!first && strcmp(copy, checks->store) != 0);
            memory_free(checks->store);
            checks->store = copy;
        }
        if (first && copy != NULL)
            load(control);
        timer_arm(control);
    }
    log_notice(control->log, "OCSP peer cache online, type [%s]", options->none ? "none" : "local");
}

void peer_cache_due(struct control *control)
{
    struct peer_checks *checks = &control->peer_checks;
    if (!checks->cache.on)
        return;
    timer_arm(control);
    if (!checks->cache.dirty || checks->saving != NULL || checks->store == NULL)
        return;
    struct peer_cache_saving *saving = memory_new(sizeof *saving);
    if (saving != NULL)
        saving->save = ocsp_cache_save_begin(&checks->cache, checks->store);
    if (saving == NULL || saving->save == NULL) {
        memory_free(saving);
        log_error(control->log, "Unable to save OCSP peer cache: out of memory");
        return;
    }
    saving->inquiry = (struct inquiry){.work = work, .kind = INQUIRY_CACHE_SAVE};
    checks->saving = saving;
    checks->cache.dirty = false;
    if (inquirers_ask(&control->inquirers, &saving->inquiry) != ERR_OK)
        peer_cache_saved(control, saving); /* all are busy: the next time */
}

void peer_cache_saved(struct control *control, struct peer_cache_saving *saving)
{
    struct peer_checks *checks = &control->peer_checks;
    if (!saving->save->written) {
        checks->cache.dirty = true;
        if (saving->save->why[0] != 0)
            log_error(control->log, "Unable to save OCSP peer cache: %s", saving->save->why);
    }
    ocsp_cache_save_free(saving->save, &control->blocks);
    memory_free(saving);
    checks->saving = NULL;
}

void peer_cache_close(struct control *control)
{
    struct peer_checks *checks = &control->peer_checks;
    struct ocsp_cache_save *save = NULL;
    if (checks->cache.on && checks->cache.dirty && checks->store != NULL)
        save = ocsp_cache_save_begin(&checks->cache, checks->store);
    if (save != NULL) {
        ocsp_cache_save_write(save);
        if (!save->written)
            log_error(control->log, "Unable to save OCSP peer cache: %s", save->why);
    }
    ocsp_cache_save_free(save, &control->blocks);
    timers_cancel(&control->timers, &checks->save_timer);
    ocsp_cache_close(&checks->cache, &control->blocks);
    memory_free(checks->store);
    checks->store = NULL;
}
