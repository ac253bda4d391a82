/* shards/control/system_services.h - what the server answers in the system account: subjects, options, and
 * which document goes into the answer (spec/monitoring.md 6). One row of the table in system_services.c is
 * one service; it has a pattern for each place where it is asked. Thread: the control core's. */
#ifndef SHARDS_CONTROL_SYSTEM_SERVICES_H
#define SHARDS_CONTROL_SYSTEM_SERVICES_H

#include "core/codec/json.h"
#include "core/codec/json_output.h"
#include "shards/control/system.h"

struct monitor_endpoint;

/* Those that the server asks itself. */
enum system_own { SYSTEM_OWN_STATSZ, SYSTEM_OWN_ACCOUNTS, SYSTEM_OWN_CHANGES };

/* Where a service is asked; the account is a token of the subject. */
enum system_place {
    SYSTEM_AT_SERVER = 1,  /* $SYS.REQ.SERVER.<id>.NAME */
    SYSTEM_AT_PING = 2,    /* $SYS.REQ.SERVER.PING.NAME */
    SYSTEM_AT_ACCOUNT = 4, /* $SYS.REQ.ACCOUNT.*.NAME */
    SYSTEM_AT_NAME = 8,    /* the name is the whole subject */
    SYSTEM_AT_PEERS = 16,  /* likewise, where there may be other servers */
    SYSTEM_AT_INBOX = 32,  /* $SYS._INBOX.<id>.*, likewise: what other servers answer this one */
};

/* What an answer looks like. */
enum system_answer {
    SYSTEM_ANSWER_DATA,   /* {"server":..,"data":the document} */
    SYSTEM_ANSWER_STATSZ, /* {"server":..,"statsz":the document}, broadcast when nobody waits for it */
    SYSTEM_ANSWER_WHOLE,  /* the document */
    SYSTEM_ANSWER_DONE,   /* {"server":..} */
    SYSTEM_ANSWER_NONE,
};

/* What a request may say, of all services; struct bytes are in the document's memory. */
struct system_options {
    struct bytes server_name, cluster, host, domain, tags;
    struct bytes sort, user, acc, account, account_name, filter_subject, mqtt_client, test, name;
    struct bytes stream, consumer;
    struct bytes accounts_listed; /* `accounts` where it is a list, a zero byte behind each */
    int64_t offset, limit, cid, state;
    bool exact_match, auth, subscriptions, subscriptions_detail, accounts, include_unused, leader_only,
        details;
};

struct system_service {
    const char *name;
    uint8_t places;   /* bits of enum system_place */
    uint8_t answer;   /* enum system_answer */
    const char *path; /* of the monitoring endpoint that tells it; NULL: `endpoint` */
    const struct monitor_endpoint *endpoint;
    bool accounts_listed; /* `accounts` is a list, else a flag */
    bool words;           /* a request's body is not options: its endpoint reads it */
    bool at_once;         /* `take` does not stand in line: they come many together, and are soon done */
    void (*take)(struct control *control, const struct system_request *request);
};

/* The patterns by number. False: this server has not that one, or it is too long. */
uint32_t system_pattern_count(void);
bool system_pattern(const struct control *control, uint32_t number, char *out, size_t capacity);
const struct system_service *system_service_of(uint32_t number);
struct bytes system_service_account(uint32_t number, struct bytes subject);
const struct system_service *system_service_named(enum system_own own);

/* Works on a request, which it takes. True: it became a task. */
bool system_service_begin(struct control *control, struct system_request *request);

/* Reads a request's body; false: it is no JSON, or of wrong types. The texts live until json_close(). */
MUST_USE bool system_options_read(const struct system_service *service, struct bytes body,
                                  struct json_document *document, struct system_options *options);
/* Whether they mean this server. */
bool system_options_match(const struct control *control, const struct system_options *options);
/* The same as the parameters of a monitoring request. NULL: memory is out. Owner: the caller. */
MUST_USE char *system_options_query(const struct system_options *options, struct bytes account,
                                    size_t *count);

/* A subject and, behind a blank, a queue group, which may be empty; what is behind another blank does not
 * count.
 */
void system_words_read(struct bytes body, struct bytes *subject, struct bytes *queue, bool *queue_given);

/* The services' own documents. */
extern const struct monitor_endpoint system_endpoint_statsz, system_endpoint_idz, system_endpoint_profilez,
    system_endpoint_raftz, system_endpoint_info, system_endpoint_account_jsz, system_endpoint_statz,
    system_endpoint_conns, system_endpoint_user, system_endpoint_kick, system_endpoint_lame_duck,
    system_endpoint_reload, system_endpoint_subscribers, system_endpoint_nsubs, system_endpoint_own_accounts,
    system_endpoint_own_changes;

#endif
