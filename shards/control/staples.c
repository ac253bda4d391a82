/* shards/control/staples.c - see staples.h. */
#include "shards/control/staples.h"

#include "core/base/check.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/config/duration.h"
#include "net/tls_context.h"
#include "shards/control/control_internal.h"
#include "shards/mail.h"

#include <stdio.h>

#define AGAIN_NS (120 * NS_PER_SECOND) /* after a question without an answer that would say when */

/* A staple that was replaced. */
struct retired_staple {
    struct list_link link;
    struct tls_staple *staple;
    uint64_t seq;
};

static void work(struct inquiry *inquiry, int stop_fd)
{
    staple_obtain(&CONTAINER_OF(inquiry, struct staple_place, inquiry)->question, stop_fd);
}

/* ---- places ---- */

static void place_free(struct control *control, struct staple_place *place)
{
    if (place == NULL)
        return;
    timers_cancel(&control->timers, &place->timer);
    if (place->asked) {
        place->dropped = true;
        return;
    }
    tls_context_release(place->context);
    staple_question_close(&place->question);
    memory_free(place);
}

/* NULL: not stapled, or `why` says what is missing. */
static struct staple_place *place_make(const struct server_options *options, const struct tls_options *tls,
                                       const char *kind, char *why, size_t why_bytes)
{
    const struct net_options *net = &options->net;
    struct staple_place *place = NULL;
    why[0] = 0;
    if (!ocsp_staples(tls, &net->ocsp))
        return NULL;
    if (!staple_folder_make(net->store_dir, why, why_bytes))
        return NULL;
    if ((place = memory_new(sizeof *place)) == NULL) {
        snprintf(why, why_bytes, "out of memory");
        return NULL;
    }
    place->inquiry = (struct inquiry){.work = work, .kind = INQUIRY_STAPLE};
    place->timer.kind = CONTROL_TIMER_STAPLE;
    place->kind = kind;
    place->ends_revoked = ocsp_ends_revoked(tls, &net->ocsp);
    bool good = staple_question_make(&place->question, tls->context, &net->ocsp, net->store_dir);
    place->cert_file = good ? arena_copy(&place->question.arena, text(tls->pairs[0].cert_file)) : NULL;
    if (place->cert_file == NULL) {
        snprintf(why, why_bytes, "%s", good ? "out of memory" : place->question.why);
        staple_question_close(&place->question);
        memory_free(place);
        return NULL;
    }
    place->context = tls_context_hold(tls->context);
    return place;
}

struct stapled_block {
    const struct tls_options *tls;
    const char *kind;
};

static void blocks_of(const struct server_options *options, struct stapled_block blocks[STAPLE_PLACES])
{
    blocks[0] = (struct stapled_block){&options->net.tls, "Client"};
    blocks[1] = (struct stapled_block){&options->cluster.tls, "Router"};
    blocks[2] = (struct stapled_block){&options->gateway.tls, "Gateway"};
}

static void ask_if_stapled(const struct tls_options *tls, const struct ocsp_options *ocsp)
{
    if (tls->dialler != NULL && ocsp_staples(tls, ocsp))
        tls_context_ask_staple(tls->dialler);
}

/* Who staples to other servers wants the same from those that it dials. */
static void ask_peers(const struct server_options *options)
{
    const struct ocsp_options *ocsp = &options->net.ocsp;
    ask_if_stapled(&options->cluster.tls, ocsp);
    ask_if_stapled(&options->gateway.tls, ocsp);
    for (uint32_t i = 0; i < options->gateway.remote_count; i++)
        ask_if_stapled(&options->gateway.remotes[i].tls, ocsp);
}

void staples_init(struct control *control)
{
    list_init(&control->staples.retired);
}

void staples_close(struct control *control)
{
    struct staples *staples = &control->staples;
    if (staples->retired.ends.next == NULL)
        return;
    for (int i = 0; i < STAPLE_PLACES; i++) {
        struct staple_place *both[] = {staples->places[i], staples->coming[i]};
        for (size_t j = 0; j < COUNT_OF(both); j++) {
            ASSERT(both[j] == NULL || !both[j]->asked); /* the threads have ended */
            place_free(control, both[j]);
        }
    }
    for (struct list_link *at; (at = list_first(&staples->retired)) != NULL;) {
        struct retired_staple *retired = LIST_ELEMENT(at, struct retired_staple, link);
        list_remove(at);
        tls_staple_free(retired->staple);
        memory_free(retired);
    }
}

/* ---- publishing ---- */

bool staples_step(struct control *control)
{
    struct staples *staples = &control->staples;
    struct mail_plain mail = {.kind = MAIL_STAPLE_PASSED};
    bool more = false;
    for (uint32_t to = 0; to < control->shard_count; to++) {
        while (staples->told[to] < staples->retired_seq && control_put(control, to, &mail, sizeof mail))
            staples->told[to]++;
        more = more || staples->told[to] < staples->retired_seq;
    }
    return more;
}

void staples_mail_passed(struct control *control, uint32_t from, const uint8_t *bytes)
{
    struct staples *staples = &control->staples;
    struct mail_staple_passed mail;
    uint64_t all = UINT64_MAX;
    memcpy(&mail, bytes, sizeof mail);
    staples->passed[from] += mail.count;
    for (uint32_t i = 0; i < control->shard_count; i++)
        all = staples->passed[i] < all ? staples->passed[i] : all;
    for (struct list_link *at; (at = list_first(&staples->retired)) != NULL;) {
        struct retired_staple *retired = LIST_ELEMENT(at, struct retired_staple, link);
        if (retired->seq > all)
            return;
        list_remove(at);
        tls_staple_free(retired->staple);
        memory_free(retired);
    }
}

/* Without memory for a note of it the old staple is kept for ever: better than to free what is being read. */
static void retire(struct control *control, struct tls_staple *staple)
{
    struct retired_staple *retired = staple == NULL ? NULL : memory_new(sizeof *retired);
    if (retired == NULL)
        return;
    retired->staple = staple;
    retired->seq = ++control->staples.retired_seq;
    list_push_last(&control->staples.retired, &retired->link);
}

void staples_monitor(struct control *control)
{
    struct staple_place *place = control->staples.places[0];
    const struct tls_staple *staple = place == NULL ? NULL : tls_context_stapled(place->context);
    if (control->monitor.tls == NULL || staple == NULL)
        return;
    struct tls_staple *copy = tls_staple_new(bytes_of(staple->response, staple->count), &staple->answer);
    tls_staple_free(tls_context_staple(control->monitor.tls, copy)); /* this thread alone reads it */
}

static void publish(struct control *control, struct staple_place *place)
{
    retire(control, tls_context_staple(place->context, place->question.staple));
    place->question.staple = NULL;
    place->question.ask = true;
    staples_monitor(control);
}

/* ---- keeping them fresh ---- */

static void rest(struct control *control, struct staple_place *place, int64_t rest_ns)
{
    int64_t due_ns = control->now_ns + (rest_ns < NS_PER_SECOND ? NS_PER_SECOND : rest_ns);
    if (timers_set(&control->timers, &place->timer, due_ns) != ERR_OK)
        log_error(control->log, "No memory to keep the OCSP status of the certificate '%s' fresh",
                  place->cert_file);
}

static int64_t rest_of(const struct staple_place *place)
{
    const struct tls_staple *staple = tls_context_stapled(place->context);
    return staple == NULL ? AGAIN_NS : ocsp_answer_rest_ns(&staple->answer, clock_wall_ns());
}

/* `how` has "Found OCSP status for %s certificate at '%s'" or the like before it. */
static void good_say(struct control *control, const struct staple_place *place, const char *format,
                     int64_t rest_ns)
{
    char at[OCSP_TIME_BYTES], in[DURATION_TEXT_BYTES_MAX], what[512];
    const struct tls_staple *staple = tls_context_stapled(place->context);
    snprintf(what, sizeof what, "%s OCSP status for %s certificate %s'%s'", format, place->kind,
             format[0] == 'F' ? "at " : "", place->cert_file);
    log_notice(control->log, "%s: good, next update %s, checking again in %s", what,
               ocsp_time_text(at, staple->answer.next_update_ns), duration_print(rest_ns, in));
}

static void begin(struct control *control, struct staple_place *place)
{
    const struct tls_staple *staple = tls_context_stapled(place->context);
    log_notice(control->log, "OCSP Stapling enabled for %s connections", place->kind);
    int64_t rest_ns = rest_of(place);
    if (staple != NULL && staple->answer.status == OCSP_STATUS_GOOD)
        good_say(control, place, "Found", rest_ns);
    else if (staple != NULL)
        rest_ns = 0; /* it may have been unknown by mistake */
    rest(control, place, rest_ns);
}

/* A responder has said something about a certificate in force, or nobody has. */
static void refreshed(struct control *control, struct staple_place *place)
{
    char in[DURATION_TEXT_BYTES_MAX];
    if (place->question.staple == NULL) {
        int64_t rest_ns = rest_of(place);
        log_error(control->log, "Bad OCSP status update for certificate '%s': %s, trying again in %s",
                  place->cert_file, place->question.why, duration_print(rest_ns, in));
        rest(control, place, rest_ns);
        return;
    }
    enum ocsp_status status = place->question.staple->answer.status;
    publish(control, place);
    if (status == OCSP_STATUS_GOOD) {
        good_say(control, place, "Received", rest_of(place));
        rest(control, place, rest_of(place));
        return;
    }
    log_error(control->log, "Received OCSP status for %s certificate '%s': %s", place->kind, place->cert_file,
              ocsp_status_text(status));
    if (place->ends_revoked)
        control_end(control, 0);
}

void staples_due(struct control *control, struct staple_place *place)
{
    if (place->asked || control->state == CONTROL_STOPPING || control->state == CONTROL_STOPPED)
        return;
    place->asked = inquirers_ask(&control->inquirers, &place->inquiry) == ERR_OK;
    if (!place->asked)
        rest(control, place, AGAIN_NS);
}

void staples_done(struct control *control, struct staple_place *place)
{
    place->asked = false;
    if (place->dropped) {
        place_free(control, place);
        return;
    }
    if (!place->coming) {
        refreshed(control, place);
        return;
    }
    ASSERT(control->staples.coming_count > 0);
    if (--control->staples.coming_count == 0)
        control_reload_ready(control);
}

void staples_abandoned(struct control *control, struct staple_place *place)
{
    place->asked = false;
    if (place->dropped)
        place_free(control, place);
}

/* ---- start ---- */

/* What nats-server says of a staple that will not do for a start. */
static bool will_do(const struct staple_place *place, char *why, size_t why_bytes)
{
    const struct tls_staple *staple = place->question.staple;
    if (staple == NULL)
        snprintf(why, why_bytes, "bad OCSP status update for certificate at '%s': %s", place->cert_file,
                 place->question.why);
    else if (staple->answer.status != OCSP_STATUS_GOOD && place->ends_revoked)
        snprintf(why, why_bytes, "found existing OCSP status for certificate at '%s': %s", place->cert_file,
                 ocsp_status_text(staple->answer.status));
    else
        return true;
    return false;
}

bool staples_start(struct control *control, char *why, size_t why_bytes)
{
    struct stapled_block blocks[STAPLE_PLACES];
    blocks_of(control->snapshot->options, blocks);
    ask_peers(control->snapshot->options);
    for (int i = 0; i < STAPLE_PLACES; i++) {
        struct staple_place *place =
            place_make(control->snapshot->options, blocks[i].tls, blocks[i].kind, why, why_bytes);
        control->staples.places[i] = place;
        if (place == NULL && why[0] != 0)
            return false;
        if (place == NULL)
            continue;
        staple_obtain(&place->question, -1); /* nothing else runs yet */
        if (!will_do(place, why, why_bytes))
            return false;
        publish(control, place);
    }
    return true;
}

void staples_announce(struct control *control)
{
    staples_monitor(control);
    for (int i = 0; i < STAPLE_PLACES; i++) {
        if (control->staples.places[i] != NULL)
            begin(control, control->staples.places[i]);
    }
}

/* ---- reload ---- */

/* The same certificate as before, with a staple that holds: nobody need be asked. */
static bool inherit(const struct staples *staples, struct staple_place *place)
{
    char why[STAPLE_WHY_BYTES];
    for (int i = 0; i < STAPLE_PLACES; i++) {
        const struct staple_place *old = staples->places[i];
        const struct tls_staple *staple = old == NULL ? NULL : tls_context_stapled(old->context);
        if (staple == NULL ||
            memcmp(old->question.fingerprint, place->question.fingerprint, OCSP_FINGERPRINT_BYTES) != 0 ||
            !bytes_equal(old->question.link.issuer, place->question.link.issuer) ||
            !ocsp_answer_staples(&staple->answer, clock_wall_ns(), why, sizeof why))
            continue;
        place->question.staple = tls_staple_new(bytes_of(staple->response, staple->count), &staple->answer);
        return place->question.staple != NULL;
    }
    return false;
}

bool staples_prepare(struct control *control, const struct server_options *options)
{
    struct staples *staples = &control->staples;
    struct stapled_block blocks[STAPLE_PLACES];
    char why[STAPLE_WHY_BYTES];
    blocks_of(options, blocks);
    ask_peers(options);
    ASSERT(staples->coming_count == 0);
    for (int i = 0; i < STAPLE_PLACES; i++) {
        struct staple_place *place = place_make(options, blocks[i].tls, blocks[i].kind, why, sizeof why);
        staples->coming[i] = place;
        if (place == NULL && why[0] != 0)
            log_warning(control->log, "Can't restart OCSP features: %s", why);
        if (place == NULL || inherit(staples, place))
            continue;
        place->coming = true;
        place->asked = inquirers_ask(&control->inquirers, &place->inquiry) == ERR_OK;
        staples->coming_count += place->asked;
    }
    return staples->coming_count == 0;
}

void staples_take_over(struct control *control)
{
    struct staples *staples = &control->staples;
    char why[STAPLE_WHY_BYTES];
    for (int i = 0; i < STAPLE_PLACES; i++) {
        struct staple_place *place = staples->coming[i];
        place_free(control, staples->places[i]);
        staples->places[i] = place;
        staples->coming[i] = NULL;
        if (place == NULL)
            continue;
        place->coming = false;
        /* In force it is all the same, as in nats-server; but here it is asked again soon. */
        if (!will_do(place, why, sizeof why))
            log_warning(control->log, "Can't restart OCSP features: %s", why);
        if (place->question.staple != NULL)
            publish(control, place);
        begin(control, place);
    }
}

void staples_forget(struct control *control)
{
    struct staples *staples = &control->staples;
    for (int i = 0; i < STAPLE_PLACES; i++) {
        place_free(control, staples->coming[i]);
        staples->coming[i] = NULL;
    }
    staples->coming_count = 0;
}
