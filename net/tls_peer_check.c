/* net/tls_peer_check.c - see tls_peer_check.h. Lines and sentences are nats-server's. */
#include "net/tls_peer_check.h"

#include "core/base/clock.h"
#include "net/tls_internal.h"
#include "net/tls_responder.h"
#include "net/url_shown.h"

#include <openssl/err.h>
#include <stdio.h>

enum { NAMES_BYTES_MAX = 256 * 1024, WHY_BYTES = 256, HEAD_BYTES = 1 + OCSP_FINGERPRINT_BYTES + 4 };

/* ---- between threads ---- */

/*    0  4  how many; then of each
 *    0  1  how many responders it names
 *    1 32  its fingerprint
 *   33  4  bytes of DER, which follow */
struct block *peer_chain_pack(const struct bytes *chain, uint32_t count, struct block_pool *pool,
                              uint32_t *responder_count)
{
    size_t bytes = sizeof count;
    *responder_count = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += HEAD_BYTES + chain[i].count;
    struct block *block = block_take(pool, bytes);
    if (block == NULL)
        return NULL;
    uint8_t *at = block->bytes;
    memcpy(at, &count, sizeof count);
    at += sizeof count;
    for (uint32_t i = 0; i < count; i++) {
        struct arena arena = {0};
        const char *urls[OCSP_URLS_MAX];
        uint32_t der_bytes = (uint32_t)chain[i].count;
        uint32_t named = i + 1 < count ? tls_ocsp_urls(chain[i], urls, &arena) : 0;
        arena_close(&arena);
        *responder_count += named;
        at[0] = (uint8_t)named;
        if (!tls_ocsp_fingerprint(chain[i], at + 1)) {
            block_release(pool, block);
            return NULL;
        }
        memcpy(at + 1 + OCSP_FINGERPRINT_BYTES, &der_bytes, sizeof der_bytes);
        memcpy(at + HEAD_BYTES, chain[i].data, der_bytes);
        at += HEAD_BYTES + der_bytes;
    }
    return block;
}

void peer_check_open(struct peer_check *check, const struct block *block)
{
    const uint8_t *at = block->bytes;
    memcpy(&check->link_count, at, sizeof check->link_count);
    at += sizeof check->link_count;
    for (uint32_t i = 0; i < check->link_count; i++) {
        struct peer_link *link = &check->links[i];
        uint32_t der_bytes;
        link->responder_count = at[0];
        memcpy(link->fingerprint, at + 1, sizeof link->fingerprint);
        memcpy(&der_bytes, at + 1 + OCSP_FINGERPRINT_BYTES, sizeof der_bytes);
        link->certificate = bytes_of(at + HEAD_BYTES, der_bytes);
        at += HEAD_BYTES + der_bytes;
    }
}

int64_t peer_check_patience_ns(const struct ocsp_peer_options *rules, uint32_t responder_count,
                               int64_t login_ns)
{
    int64_t most_ns = INT64_MAX / 4; /* of years: the clock may still be added */
    int64_t share_ns = responder_count == 0 ? 0 : most_ns / responder_count;
    int64_t questions_ns = rules->timeout_ns < share_ns ? rules->timeout_ns * responder_count : most_ns;
    return questions_ns + (login_ns < most_ns ? login_ns : most_ns);
}

void peer_check_close(struct peer_check *check)
{
    arena_close(&check->arena);
}

/* ---- one certificate ---- */

const char *peer_subject(struct bytes certificate, char into[PEER_SUBJECT_BYTES])
{
    struct arena arena = {.limit_bytes = NAMES_BYTES_MAX};
    struct certificate_names names = {0};
    const unsigned char *at = certificate.data;
    X509 *opened = d2i_X509(NULL, &at, (long)certificate.count);
    size_t count = 0;
    if (opened != NULL && tls_names_take(opened, &names, &arena) == ERR_OK)
        count = certificate_subject_text(into, PEER_SUBJECT_BYTES - 1, &names, false);
    into[count] = 0;
    X509_free(opened);
    arena_close(&arena);
    ERR_clear_error();
    return into;
}

/* One link while it is checked. */
struct checking {
    struct peer_check *check;
    struct peer_link *link;
    struct ocsp_link about;
    char subject[PEER_SUBJECT_BYTES];
    bool was_revoked; /* what was remembered says so, however old it is */
};

static bool current(const struct peer_check *check, const struct ocsp_answer *answer)
{
    return ocsp_answer_current(answer, clock_wall_ns(), check->rules.skew_ns, check->rules.lasts_ns);
}

/* What was got before, if it will still do. */
static bool remember(struct checking *checking, struct ocsp_answer *answer)
{
    struct peer_link *link = checking->link;
    char why[WHY_BYTES];
    if (link->remembered.block == NULL)
        return false;
    struct bytes response = bytes_of(link->remembered.block->bytes, link->remembered.count);
    if (tls_ocsp_judge(response, &checking->about, answer, why, sizeof why) != OCSP_ANSWERED) {
        log_debug(checking->check->log, "Invalid cached OCSP response for [%s]", checking->subject);
        link->spoiled = true;
        return false;
    }
    bool holds = current(checking->check, answer);
    log_debug(checking->check->log, "Cached OCSP response is %s, status [%s]", holds ? "current" : "expired",
              ocsp_status_text(answer->status));
    link->spoiled = !holds;
    checking->was_revoked = answer->status == OCSP_STATUS_REVOKED;
    return holds;
}

/* The responders in order, by GET, as nats-server asks for peers. */
static bool fetch(struct checking *checking, struct bytes *response, int stop_fd, char *why, size_t why_bytes)
{
    struct peer_check *check = checking->check;
    const char *named[OCSP_URLS_MAX];
    const char *const *urls = check->url_count > 0 ? check->urls : named;
    uint32_t count = check->url_count > 0 ? check->url_count
                                          : tls_ocsp_urls(checking->about.certificate, named, &check->arena);
    struct responder_question question = {.request = tls_ocsp_request(&checking->about, &check->arena),
                                          .timeout_ns = check->rules.timeout_ns,
                                          .stop_fd = stop_fd};
    char cause[WHY_BYTES] = "no available OCSP servers";
    for (uint32_t i = 0; i < count && question.request.count > 0; i++) {
        question.url = urls[i];
        log_debug(check->log, "Trying OCSP responder url [%s]", url_shown_good(urls[i]).text);
        if (responder_ask(&question, &check->arena, response, cause, sizeof cause))
            return true;
    }
    snprintf(why, why_bytes, "exhausted OCSP responders: %.200s", cause);
    return false;
}

/* The link is not good; whether it may pass all the same. */
static bool warned(struct checking *checking, const char *reason)
{
    struct peer_check *check = checking->check;
    if (check->rules.warn_only) {
        log_warning(check->log, "OCSP verify fail for [%s] but WarnOnly is true so allowing",
                    checking->subject);
        return true;
    }
    snprintf(check->reason, sizeof check->reason, "%s", reason);
    return false;
}

static bool unreachable(struct checking *checking, const char *why)
{
    struct log *log = checking->check->log;
    const struct ocsp_peer_options *rules = &checking->check->rules;
    log_warning(log, "Attempt to obtain OCSP response from CA responder for [%s] failed: %s",
                checking->subject, why);
    if (!rules->warn_only && rules->allow_unreachable) {
        log_warning(log, "Failed to obtain OCSP CA response for [%s] but AllowWhenCAUnreachable set; %s",
                    checking->subject,
                    checking->was_revoked ? "cached revocation exists so rejecting"
                                          : "no cached revocation so allowing");
        if (!checking->was_revoked)
            return true;
    }
    return warned(checking, "Failed OCSP response fetch");
}

/* A response that has just come: false: `*passes` says whether the link may pass without one. */
static bool usable(struct checking *checking, struct bytes response, struct ocsp_answer *answer, bool *passes)
{
    struct log *log = checking->check->log;
    char why[WHY_BYTES] = "", reason[PEER_REASON_BYTES];
    switch (tls_ocsp_judge(response, &checking->about, answer, why, sizeof why)) {
    case OCSP_UNREADABLE:
        log_error(log, "Could not parse OCSP CA response for [%s]: %s", checking->subject, why);
        *passes = warned(checking, "Failed OCSP response parse");
        return false;
    case OCSP_BAD_DELEGATION:
        snprintf(reason, sizeof reason, "Invalid OCSP response delegation: %.400s", checking->subject);
        log_warning(log, "%s", reason);
        *passes = warned(checking, reason);
        return false;
    case OCSP_ANSWERED:
        break;
    }
    if (current(checking->check, answer))
        return true;
    log_warning(log, "New OCSP CA response obtained for [%s] but not current", checking->subject);
    *passes = warned(checking, "OCSP response not in effectivity window");
    return false;
}

static bool status_passes(struct checking *checking, const struct ocsp_answer *answer)
{
    char reason[PEER_REASON_BYTES];
    bool bad = answer->status == OCSP_STATUS_REVOKED ||
               (answer->status == OCSP_STATUS_UNKNOWN && !checking->check->rules.unknown_is_good);
    if (!bad) {
        log_debug(checking->check->log, "OCSP verify pass for [%s]", checking->subject);
        return true;
    }
    log_warning(checking->check->log, "OCSP verify fail for [%s] with CA status [%s]", checking->subject,
                ocsp_status_text(answer->status));
    snprintf(reason, sizeof reason, "Invalid OCSP response status: %s", ocsp_status_text(answer->status));
    return warned(checking, reason);
}

static bool link_passes(struct peer_check *check, uint32_t index, int stop_fd)
{
    struct checking checking = {.check = check, .link = &check->links[index]};
    struct ocsp_answer answer;
    struct bytes response = {0};
    char why[WHY_BYTES];
    bool passes = false;
    checking.about = (struct ocsp_link){check->links[index].certificate, check->links[index + 1].certificate};
    peer_subject(checking.about.certificate, checking.subject);
    if (remember(&checking, &answer))
        return status_passes(&checking, &answer);
    if (check->remembered_only) {
        check->undecided = true;
        return false;
    }
    if (!fetch(&checking, &response, stop_fd, why, sizeof why))
        return unreachable(&checking, why);
    if (!usable(&checking, response, &answer, &passes))
        return passes;
    checking.link->fetched = response;
    checking.link->answer = answer;
    return status_passes(&checking, &answer);
}

static bool link_counts(const struct peer_check *check, uint32_t index)
{
    return check->own_only ? index == 0 : check->links[index].responder_count > 0;
}

static void links_check(struct peer_check *check, int stop_fd)
{
    check->good = true;
    for (uint32_t i = 0; i + 1 < check->link_count && check->good; i++) {
        if (!link_counts(check, i))
            continue;
        check->good = link_passes(check, i, stop_fd);
        check->bad_link = i;
    }
}

static void verdict_say(const struct peer_check *check)
{
    log_debug(check->log, "%s",
              check->good ? "Chain [0] is OCSP valid for all eligible links, thus peer is valid"
                          : "No OCSP valid chains, thus peer is invalid");
}

bool peer_check_remembered(struct peer_check *check)
{
    for (uint32_t i = 0; i + 1 < check->link_count; i++) {
        const struct peer_remembered *remembered = &check->links[i].remembered;
        if (!link_counts(check, i))
            continue;
        if (remembered->block == NULL || !current(check, &remembered->answer))
            return false;
        if (remembered->answer.status != OCSP_STATUS_GOOD && !check->rules.warn_only)
            break; /* those behind it may not matter */
    }
    check->remembered_only = true;
    links_check(check, -1);
    bool decided = !check->undecided;
    check->remembered_only = check->undecided = false;
    if (decided)
        verdict_say(check);
    return decided;
}

void peer_check_run(struct peer_check *check, int stop_fd)
{
    links_check(check, stop_fd);
    verdict_say(check);
}
