/* net/ocsp.h - whose certificates are stapled, and what an OCSP responder's answer is worth: the `ocsp`
 * option and the plain data of an answer (spec/configuration.md 4.4, spec/security.md 4.8; docs/ocsp.md). In
 * the flow: the option's row -> server_options_load() -> ocsp_staples() -> shards/control/staples.h a
 * responder's bytes -> tls_ocsp_judge() -> struct ocsp_answer -> ocsp_answer_current() OpenSSL's part is in
 * net/tls_ocsp.h. Thread: options: the control core's (main's at start); answers: any. */
#ifndef NET_OCSP_H
#define NET_OCSP_H

#include "core/config/option.h"

struct tls_options;

enum ocsp_mode {
    OCSP_UNSET,  /* as AUTO */
    OCSP_AUTO,   /* certificates decide: those that demand it are stapled */
    OCSP_MUST,   /* likewise, and the server ends when one of these is revoked */
    OCSP_ALWAYS, /* all are, and likewise */
    OCSP_NEVER,
};

enum { OCSP_URLS_MAX = 16 };

struct ocsp_options {
    const char **urls; /* of responders, in place of those that a certificate names */
    uint32_t url_count;
    int mode; /* enum ocsp_mode */
};

/* Reads the option; texts go into the arena. */
void ocsp_options_parse(struct ocsp_options *options, const struct config_entry *entry, struct arena *arena,
                        struct option_errors *errors);
bool ocsp_options_same(const struct ocsp_options *a, const struct ocsp_options *b);

/* Whether what this block shows is stapled, and whether the server ends when it is revoked. */
bool ocsp_staples(const struct tls_options *tls, const struct ocsp_options *options);
bool ocsp_ends_revoked(const struct tls_options *tls, const struct ocsp_options *options);

/* Whether it is served without a staple against its demand: that is worth a warning. */
bool ocsp_disregarded(const struct tls_options *tls, const struct ocsp_options *options);

/* ---- answers ---- */

enum ocsp_status { OCSP_STATUS_GOOD, OCSP_STATUS_REVOKED, OCSP_STATUS_UNKNOWN };

struct ocsp_answer {
    int64_t this_update_ns; /* since 1970 */
    int64_t next_update_ns; /* 0: the responder does not say */
    enum ocsp_status status;
};

/* For what peers staple, and for what is asked about them, where nothing else is configured. */
#define OCSP_SKEW_DEFAULT_NS INT64_C(30000000000)
#define OCSP_LASTS_DEFAULT_NS INT64_C(3600000000000)

/* "good", "revoked", "unknown". */
const char *ocsp_status_text(enum ocsp_status status);

/* Whether an answer holds at that moment, clocks being that far apart at most; without a next update it holds
 * for `lasts_ns`. */
bool ocsp_answer_current(const struct ocsp_answer *answer, int64_t now_ns, int64_t skew_ns, int64_t lasts_ns);

/* For a staple the clocks are held to be the same, and without a next update it holds for ever: nats-server's
 * rule. False: `why` is its sentence. */
MUST_USE bool ocsp_answer_staples(const struct ocsp_answer *answer, int64_t now_ns, char *why,
                                  size_t why_bytes);

/* How long to wait before the next question: half of the time that the answer holds; a day when it does not
 * say, two minutes when it does not hold any more. */
int64_t ocsp_answer_rest_ns(const struct ocsp_answer *answer, int64_t now_ns);

/* "2026-11-30T12:00:00Z", as Go writes a time; of 0, Go's zero time. Returns `text`. */
enum { OCSP_TIME_BYTES = 32 };
const char *ocsp_time_text(char text[OCSP_TIME_BYTES], int64_t wall_ns);

#endif
