/* shards/control/peer_checks.c - see peer_checks.h. */
#include "shards/control/peer_checks.h"

#include "core/base/check.h"
#include "core/base/log.h"
#include "core/base/memory.h"
#include "core/codec/base64.h"
#include "core/codec/json_output.h"
#include "shards/control/control_internal.h"
#include "shards/mail.h"

enum { BASE64_BYTES_MAX = 256 * 1024 };

static void work(struct inquiry *inquiry, int stop_fd)
{
    peer_check_run(&CONTAINER_OF(inquiry, struct peer_asked, inquiry)->check, stop_fd);
}

static void chain_drop(struct control *control, struct peer_asked *asked)
{
    for (uint32_t i = 0; i < asked->check.link_count; i++)
        block_release(&control->blocks, asked->check.links[i].remembered.block);
    block_release(&control->blocks, asked->chain);
    asked->chain = NULL;
    asked->check.link_count = 0;
}

static void asked_free(struct control *control, struct peer_asked *asked)
{
    ASSERT(list_empty(&asked->same) && !list_linked(&asked->asking));
    chain_drop(control, asked);
    peer_check_close(&asked->check);
    memory_free(asked);
}

/* One of those who wait for its verdict; NULL: there is none. */
static struct peer_asked *same_take(struct peer_asked *asked)
{
    struct list_link *at = list_first(&asked->same);
    if (at == NULL)
        return NULL;
    list_remove(at);
    return LIST_ELEMENT(at, struct peer_asked, answered);
}

static void asking_end(struct peer_asked *asked)
{
    if (list_linked(&asked->asking))
        list_remove(&asked->asking);
}

void peer_checks_init(struct control *control)
{
    list_init(&control->peer_checks.asking);
    list_init(&control->peer_checks.answers);
    control->peer_checks.save_timer.kind = CONTROL_TIMER_OCSP_CACHE;
}

void peer_checks_close(struct control *control)
{
    struct peer_checks *checks = &control->peer_checks;
    if (checks->answers.ends.next == NULL)
        return;
    for (struct list_link *at; (at = list_first(&checks->answers)) != NULL;) {
        list_remove(at);
        asked_free(control, LIST_ELEMENT(at, struct peer_asked, answered));
    }
    peer_cache_close(control);
}

/* ---- answers ---- */

static bool answer_put(struct control *control, const struct peer_asked *asked)
{
    struct mail_peer_checked mail = {.kind = MAIL_PEER_CHECKED,
                                     .good = asked->check.good,
                                     .of_route = asked->of_route,
                                     .rid = asked->rid,
                                     .place = asked->place};
    return control_put(control, asked->place.shard, &mail, sizeof mail);
}

static void answer(struct control *control, struct peer_asked *asked)
{
    if (answer_put(control, asked))
        asked_free(control, asked);
    else
        list_push_last(&control->peer_checks.answers, &asked->answered);
}

bool peer_checks_step(struct control *control)
{
    struct list *answers = &control->peer_checks.answers;
    for (struct list_link *at; (at = list_first(answers)) != NULL;) {
        struct peer_asked *asked = LIST_ELEMENT(at, struct peer_asked, answered);
        if (!answer_put(control, asked))
            return true;
        list_remove(at);
        asked_free(control, asked);
    }
    return false;
}

/* ---- questions ---- */

/* About another server's own certificate the responders are asked that its staple would be from. */
static void rules_set(struct peer_check *check, const struct net_options *net, bool of_route)
{
    check->rules = of_route ? ocsp_peer_default : net->tls.ocsp_peer;
    check->own_only = of_route;
    for (uint32_t i = 0; of_route && i < net->ocsp.url_count; i++) {
        const char *url = arena_copy(&check->arena, text(net->ocsp.urls[i]));
        if (url != NULL)
            check->urls[check->url_count++] = url;
    }
}

static bool same_chain(const struct peer_check *a, const struct peer_check *b)
{
    bool same = a->link_count == b->link_count;
    for (uint32_t i = 0; same && i < a->link_count; i++)
        same = memcmp(a->links[i].fingerprint, b->links[i].fingerprint, OCSP_FINGERPRINT_BYTES) == 0;
    return same;
}

/* A client about which the same is being asked by the same rules waits for that verdict. */
static bool joined(struct control *control, struct peer_asked *asked)
{
    for (struct list_link *at = list_first(&control->peer_checks.asking); at != NULL;
         at = list_next(&control->peer_checks.asking, at)) {
        struct peer_asked *other = LIST_ELEMENT(at, struct peer_asked, asking);
        if (other->of_route || !same_chain(&other->check, &asked->check) ||
            !ocsp_peer_same(&other->check.rules, &asked->check.rules))
            continue;
        chain_drop(control, asked);
        list_push_last(&other->same, &asked->answered);
        if (other->until_ns < asked->until_ns)
            other->until_ns = asked->until_ns;
        return true;
    }
    return false;
}

static struct peer_asked *asked_make(struct control *control, const struct mail_peer_ask *mail)
{
    struct peer_asked *asked = memory_new(sizeof *asked);
    const struct server_options *options = control->snapshot->options;
    uint32_t responder_count = 0;
    if (asked == NULL)
        return NULL;
    asked->inquiry = (struct inquiry){.work = work, .kind = INQUIRY_PEER, .of_client = !mail->of_route};
    asked->place = mail->place;
    asked->rid = mail->rid;
    asked->of_route = mail->of_route;
    asked->chain = mail->block;
    asked->check.log = control->log;
    list_init(&asked->same);
    peer_check_open(&asked->check, mail->block);
    rules_set(&asked->check, &options->net, mail->of_route);
    for (uint32_t i = 0; i < asked->check.link_count; i++)
        responder_count += asked->check.links[i].responder_count;
    asked->until_ns = control->now_ns + peer_check_patience_ns(&asked->check.rules, responder_count,
                                                               options->security.timeout_ns);
    return asked;
}

static void remembered_find(struct control *control, struct peer_check *check)
{
    for (uint32_t i = 0; i < check->link_count; i++) {
        struct peer_link *link = &check->links[i];
        if (link->responder_count > 0)
            link->remembered = ocsp_cache_get(&control->peer_checks.cache, link->fingerprint);
    }
}

void peer_checks_mail_ask(struct control *control, const uint8_t *bytes)
{
    struct mail_peer_ask mail;
    memcpy(&mail, bytes, sizeof mail);
    struct peer_asked *asked = asked_make(control, &mail);
    if (asked == NULL) {
        struct peer_asked nobody = {.place = mail.place, .rid = mail.rid, .of_route = mail.of_route};
        log_error(control->log, "No memory to ask OCSP responders");
        block_release(&control->blocks, mail.block);
        (void)answer_put(control, &nobody); /* else its shard waits until its patience ends */
        return;
    }
    peer_checks_expire(control);
    if (!mail.of_route && joined(control, asked))
        return;
    remembered_find(control, &asked->check);
    if (peer_check_remembered(&asked->check)) {
        peer_checks_done(control, asked);
        return;
    }
    list_push_last(&control->peer_checks.asking, &asked->asking);
    if (inquirers_ask(&control->inquirers, &asked->inquiry) == ERR_OK)
        return;
    log_error(control->log, "Too many peers wait for OCSP responders: %s:%llu is refused",
              mail.of_route ? "rid" : "cid", (unsigned long long)(mail.of_route ? mail.rid : mail.place.cid));
    asking_end(asked);
    answer(control, asked);
}

/* To all who have waited for this verdict. */
static void answer_all(struct control *control, struct peer_asked *asked)
{
    for (struct peer_asked *same; (same = same_take(asked)) != NULL;) {
        same->check.good = asked->check.good;
        answer(control, same);
    }
    answer(control, asked);
}

void peer_checks_expire(struct control *control)
{
    struct list *asking = &control->peer_checks.asking;
    struct list_link *next;
    for (struct list_link *at = list_first(asking); at != NULL; at = next) {
        struct peer_asked *asked = LIST_ELEMENT(at, struct peer_asked, asking);
        next = list_next(asking, at);
        if (asked->of_route || asked->until_ns > control->now_ns ||
            !inquirers_withdraw(&control->inquirers, &asked->inquiry))
            continue;
        asking_end(asked);
        answer_all(control, asked); /* which nobody hears any more */
    }
}

/* What was learned, for the next who shows the same certificate. */
static void remember(struct control *control, const struct peer_check *check)
{
    struct ocsp_cache *cache = &control->peer_checks.cache;
    char subject[PEER_SUBJECT_BYTES];
    for (uint32_t i = 0; i < check->link_count; i++) {
        const struct peer_link *link = &check->links[i];
        if (link->spoiled)
            ocsp_cache_spoiled(cache, link->fingerprint, link->remembered.block, &control->blocks);
        if (link->fetched.count > 0)
            ocsp_cache_put(cache, link->fingerprint, link->fetched, &link->answer,
                           text(peer_subject(link->certificate, subject)), &control->blocks);
    }
}

static void refusal_tell(struct control *control, const struct peer_asked *asked)
{
    const struct list *same = &asked->same;
    if (asked->check.good || asked->of_route || control->state == CONTROL_STOPPING)
        return;
    system_peer_refused(control, &asked->check);
    for (struct list_link *at = list_first(same); at != NULL; at = list_next(same, at))
        system_peer_refused(control, &asked->check);
}

void peer_checks_done(struct control *control, struct peer_asked *asked)
{
    asking_end(asked);
    remember(control, &asked->check);
    refusal_tell(control, asked);
    answer_all(control, asked);
}

void peer_checks_abandoned(struct control *control, struct peer_asked *asked)
{
    asking_end(asked);
    for (struct peer_asked *same; (same = same_take(asked)) != NULL;)
        asked_free(control, same);
    asked_free(control, asked);
}

/* ---- events ---- */

static void put_base64(struct json_output *document, const char *key, struct bytes bytes)
{
    size_t room = BASE64_STANDARD_TEXT_BYTES(bytes.count);
    char *letters = room > BASE64_BYTES_MAX ? NULL : memory_grow(NULL, room + 1);
    if (letters != NULL)
        json_put_text(document, key, bytes_of(letters, base64_standard_encode(letters, room, bytes)));
    memory_free(letters);
}

void peer_checks_put_certificate(struct json_output *document, const char *key,
                                 const struct peer_check *check, uint32_t index)
{
    const struct peer_link *link = &check->links[index];
    char name[PEER_SUBJECT_BYTES];
    uint32_t issuer = index + 1 < check->link_count ? index + 1 : index;
    json_put_object(document, key);
    json_put_text_some(document, "subject", text(peer_subject(link->certificate, name)));
    json_put_text_some(document, "issuer", text(peer_subject(check->links[issuer].certificate, name)));
    put_base64(document, "fingerprint", bytes_of(link->fingerprint, sizeof link->fingerprint));
    put_base64(document, "raw", link->certificate);
    json_put_object_end(document);
}
