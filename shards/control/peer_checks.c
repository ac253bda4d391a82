/* shards/control/peer_checks.c - see peer_checks.h. */
#include "shards/control/peer_checks.h"

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

static void asked_free(struct control *control, struct peer_asked *asked)
{
    for (uint32_t i = 0; i < asked->check.link_count; i++)
        block_release(&control->blocks, asked->check.links[i].remembered.block);
    block_release(&control->blocks, asked->chain);
    peer_check_close(&asked->check);
    memory_free(asked);
}

void peer_checks_init(struct control *control)
{
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

void peer_checks_mail_ask(struct control *control, const uint8_t *bytes)
{
    struct mail_peer_ask mail;
    struct peer_asked *asked = memory_new(sizeof *asked);
    memcpy(&mail, bytes, sizeof mail);
    if (asked == NULL) {
        struct peer_asked nobody = {.place = mail.place, .rid = mail.rid, .of_route = mail.of_route};
        log_error(control->log, "No memory to ask OCSP responders");
        block_release(&control->blocks, mail.block);
        (void)answer_put(control, &nobody); /* else its shard waits as for a slow responder */
        return;
    }
    asked->inquiry = (struct inquiry){.work = work, .kind = INQUIRY_PEER};
    asked->place = mail.place;
    asked->rid = mail.rid;
    asked->of_route = mail.of_route;
    asked->chain = mail.block;
    asked->check.log = control->log;
    peer_check_open(&asked->check, mail.block);
    rules_set(&asked->check, &control->snapshot->options->net, mail.of_route);
    for (uint32_t i = 0; i < asked->check.link_count; i++) {
        struct peer_link *link = &asked->check.links[i];
        if (link->asks)
            link->remembered = ocsp_cache_get(&control->peer_checks.cache, link->fingerprint);
    }
    if (inquirers_ask(&control->inquirers, &asked->inquiry) == ERR_OK)
        return;
    log_error(control->log, "Too many peers wait for OCSP responders: %s:%llu is refused",
              mail.of_route ? "rid" : "cid", (unsigned long long)(mail.of_route ? mail.rid : mail.place.cid));
    answer(control, asked);
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

void peer_checks_done(struct control *control, struct peer_asked *asked)
{
    remember(control, &asked->check);
    if (!asked->check.good && !asked->of_route && control->state != CONTROL_STOPPING)
        system_peer_refused(control, &asked->check);
    answer(control, asked);
}

void peer_checks_abandoned(struct control *control, struct peer_asked *asked)
{
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
