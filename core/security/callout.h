/* core/security/callout.h - auth callout: a service, a client of this server or of another one of the
 * cluster, decides who may come in and as whom (spec/security.md 10, docs/auth-callout.md). Pure: here is who
 * is asked about, what is asked, and what an answer is worth; how question and answer travel is
 * shards/callouts.h.
 * In the flow:  authenticate() -> callout_decides() -> callout_request_make() -> the service ->
 * callout_answer() -> a claimed_user, or why not
 * At the bounds: an answer above JWT_BYTES_MAX, sealed or not, is refused unread. Thread: any. Cost: of an
 * answer, the checks of two signatures. */
#ifndef CORE_SECURITY_CALLOUT_H
#define CORE_SECURITY_CALLOUT_H

#include "core/security/authenticate.h"
#include "core/security/user_claims.h"

/* ---- who is asked about ---- */

enum callout_part {
    CALLOUT_NO_PART,        /* what authenticate() says holds */
    CALLOUT_ASKED,          /* the service decides, whatever authenticate() says */
    CALLOUT_AFTER_PASSWORD, /* that shows only when the password is checked: ask again then */
};

/* `verdict` is authenticate()'s, or what the check of a password has come to; `user`: whom it found, or NULL;
 * `present`: the account that the client is in until then. */
enum callout_part callout_decides(const struct security_options *options,
                                  const struct credentials *credentials, const struct security_user *user,
                                  enum authenticate_verdict verdict, const struct security_account *present);

/* ---- the question ---- */

/* What the service is told. Texts are the caller's; empty: left out. */
struct callout_request {
    const struct callout_options *options;
    struct bytes user_nkey; /* the key that the answer must be for */
    int64_t now_s, expires_s;
    /* the server */
    struct bytes server_name, server_host, server_id, server_version, cluster;
    const struct bytes *tags;
    size_t tag_count;
    struct bytes server_xkey; /* with sealing */
    /* the client */
    const struct credentials *credentials;
    struct bytes host, name, lang, version;
    int64_t protocol;
    uint64_t cid;
    /* its TLS; tls_version empty: in clear */
    struct bytes tls_version, tls_suite;
    const struct bytes *certificates; /* PEM */
    size_t certificate_count;
    bool certificates_verified;
};

/* The question as a token signed with the server's seed. Owner: the arena, which wipes it: there are
 * passwords in it. Nothing (data NULL): memory is out, or OpenSSL refuses. */
struct bytes callout_request_make(struct arena *arena, const struct callout_request *request,
                                  const uint8_t seed[NKEY_RAW_BYTES]);

/* ---- the answer ---- */

/* What was asked, for reading the answer to it. */
struct callout_question {
    const struct security_options *options;
    struct bytes user_nkey, server_id;
    const uint8_t *xkey_seed; /* the server's */
    struct bytes address;     /* the client's */
    enum connection_type connection_type;
    int64_t now_s;
};

/* Who the client is, of the account that user.account names; to be freed by the caller. NULL: he does not
 * come in, `why` says the reason for the log, as nats-server words it. */
MUST_USE struct claimed_user *callout_answer(const struct callout_question *question, struct bytes payload,
                                             char why[JWT_WHY_BYTES]);

#endif
