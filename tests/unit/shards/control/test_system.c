/* Tests shards/control/system.c and system_events.c: when heartbeats go out and whom they are about, and the
 * last words of a server; system_counts.c: how many clients accounts have on other servers. Method: a control
 * core without threads; time is a number, the test takes out the timers that are due and reads the mailbox of
 * shard 0, through which all is published. */
#include "shards/control/system.h"

#include "core/base/clock.h"
#include "shards/control/control_internal.h"
#include "shards/control/monitor_task.h"
#include "shards/control/system_services.h"
#include "shards/mail.h"
#include "shards/system_shard.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SAID_MAX = 256, SAID_BYTES = 1024, ACCOUNTS_MAX = 100 };
#define START_NS (1000 * NS_PER_SECOND)

static struct post_office office;
static struct post shard; /* 0 */
static struct control *control;
static struct server_options options;
static struct snapshot snapshot = {.options = &options};
static struct security_account accounts[ACCOUNTS_MAX];
static struct security_account *all[ACCOUNTS_MAX];
static char names[ACCOUNTS_MAX][8];

static void begin(void)
{
    cr_assert_eq(post_office_init(&office, 2, 1 << 20), ERR_OK);
    shard = (struct post){.office = &office, .self = 0};
    control = calloc(1, sizeof *control);
    cr_assert_not_null(control);
    control->post = (struct post){.office = &office, .self = 1};
    control->shard_count = 1;
    control->snapshot = &snapshot;
    control->server_id = control->server_name = "N1";
    control->now_ns = START_NS;
    for (uint32_t i = 0; i < ACCOUNTS_MAX; i++) {
        snprintf(names[i], sizeof names[i], "A%u", i);
        accounts[i] = (struct security_account){.name = text(names[i]), .id = i, .number = i};
        all[i] = &accounts[i];
    }
    snapshot.info.host = TEXT("127.0.0.1");
    options.security.accounts =
        (struct security_accounts){.all = all, .count = ACCOUNTS_MAX, .system = &accounts[ACCOUNTS_MAX - 1]};
    cr_assert_eq(system_init(control), ERR_OK);
}

static void end(void)
{
    system_close(control);
    timers_close(&control->timers);
    block_pool_close(&control->blocks);
    post_office_close(&office);
    free(control);
}

TestSuite(system, .init = begin, .fini = end);

/* ---- what is published ---- */

struct said {
    char subjects[SAID_MAX][SAID_BYTES];
    char bodies[SAID_MAX][SAID_BYTES];
    bool last[SAID_MAX];
    uint32_t count;
};

static void take(void *context, uint32_t from, const uint8_t *bytes, uint32_t count)
{
    struct said *said = context;
    struct mail_system_publish mail;
    (void)from, (void)count;
    if (bytes[0] != MAIL_SYSTEM_PUBLISH)
        return;
    memcpy(&mail, bytes, sizeof mail);
    cr_assert_lt(said->count, SAID_MAX);
    cr_assert(mail.subject_count < SAID_BYTES && mail.total_bytes < SAID_BYTES);
    memcpy(said->subjects[said->count], mail.block->bytes, mail.subject_count);
    memcpy(said->bodies[said->count], mail.block->bytes + mail.subject_count + mail.reply_count,
           mail.total_bytes);
    said->last[said->count++] = mail.last;
    block_release(&control->blocks, mail.block);
}

/* What has been published since the last call; the caller frees it. */
static struct said *said(void)
{
    struct said *said = calloc(1, sizeof *said);
    cr_assert_not_null(said);
    post_flush(&control->post);
    post_drain(&shard, take, said);
    return said;
}

/* ---- heartbeats ---- */

#define END_NS (90 * NS_PER_SECOND) /* behind the last heartbeat that is looked for */

/* Drops all that waits to be asked. */
static void forget_waiting(void)
{
    for (struct list_link *at; (at = list_first(&control->system.waiting)) != NULL;) {
        list_remove(at);
        control->system.waiting_count--;
        system_request_free(LIST_ELEMENT(at, struct system_request, waiting));
    }
}

/* Works on the next timer, as the control core's loop does. Its kind. */
static uint8_t next_timer(void)
{
    control->now_ns = timers_next_ns(&control->timers);
    cr_assert_neq(control->now_ns, INT64_MAX);
    struct timer *timer = timers_expired(&control->timers, control->now_ns);
    cr_assert(timer->kind == CONTROL_TIMER_STATSZ || timer->kind == CONTROL_TIMER_ACCOUNTS ||
              timer->kind == CONTROL_TIMER_ACCEPT);
    if (timer->kind == CONTROL_TIMER_STATSZ)
        system_statsz_due(control);
    else if (timer->kind == CONTROL_TIMER_ACCOUNTS)
        system_accounts_due(control);
    return timer->kind;
}

/* Whether exactly that was asked since the last call. */
static bool asked_itself(enum system_own own)
{
    struct list_link *first = list_first(&control->system.waiting);
    if (first == NULL || control->system.waiting_count != 1)
        return false;
    struct system_request *request = LIST_ELEMENT(first, struct system_request, waiting);
    bool good = request->service == system_service_named(own) && request->reply.count == 0;
    list_remove(first);
    control->system.waiting_count--;
    system_request_free(request);
    return good;
}

/* The first comes a quarter of a second after the start; each gap is twice the one before, up to 10 s. */
Test(system, the_gaps_between_heartbeats_double_up_to_ten_seconds)
{
    static const int64_t due_ms[] = {250, 750, 1750, 3750, 7750, 15750, 25750, 35750, 45750};
    control->accept_timer.kind = CONTROL_TIMER_ACCEPT;
    cr_assert(system_start(control));
    for (size_t i = 0; i < COUNT_OF(due_ms);) {
        uint8_t kind = next_timer();
        cr_assert_leq(control->now_ns - START_NS, END_NS, "heartbeat %zu never comes", i);
        if (kind != CONTROL_TIMER_STATSZ) {
            forget_waiting();
            continue;
        }
        cr_expect_eq(control->now_ns - START_NS, due_ms[i] * NS_PER_MS, "heartbeat %zu at %lld ms", i,
                     (long long)((control->now_ns - START_NS) / NS_PER_MS));
        cr_expect(asked_itself(SYSTEM_OWN_STATSZ), "heartbeat %zu", i);
        i++;
    }
}

Test(system, accounts_are_told_of_every_thirty_seconds)
{
    control->accept_timer.kind = CONTROL_TIMER_ACCEPT;
    cr_assert(system_start(control));
    for (int64_t i = 1; i <= 3;) {
        uint8_t kind = next_timer();
        cr_assert_leq(control->now_ns - START_NS, END_NS, "%lld of them never comes", (long long)i);
        if (kind != CONTROL_TIMER_ACCOUNTS) {
            forget_waiting();
            continue;
        }
        cr_expect_eq(control->now_ns - START_NS, i++ * 30 * NS_PER_SECOND);
        cr_expect(asked_itself(SYSTEM_OWN_ACCOUNTS));
    }
}

static struct report_account known[ACCOUNTS_MAX];

/* A heartbeat of accounts, or what is to be told of changes, when the figures are in. */
static void work_with_figures(const struct monitor_endpoint *endpoint, bool listener)
{
    struct monitor_task task = {.endpoint = endpoint,
                                .figures = {.accounts = known, .account_count = ACCOUNTS_MAX}};
    task.figures.shards[SYSTEM_SHARD].system_listeners = listener;
    endpoint->told(control, &task);
    for (uint32_t steps = 0; task.step_wanted; steps++) {
        cr_assert_lt(steps, ACCOUNTS_MAX);
        endpoint->step(control, &task);
    }
    cr_expect(task.done);
}

/* Every second account has clients. */
static void work(const struct monitor_endpoint *endpoint, bool listener)
{
    for (uint32_t i = 0; i < ACCOUNTS_MAX; i++)
        known[i] = (struct report_account){.id = i, .clients = i % 2 == 0 ? 1 + i : 0};
    work_with_figures(endpoint, listener);
}

Test(system, a_heartbeat_tells_of_each_account_with_clients_on_both_subjects)
{
    work(&system_endpoint_own_accounts, true);
    struct said *heard = said();
    cr_assert_eq(heard->count, 2 * (ACCOUNTS_MAX / 2 - 1), "%u", heard->count); /* not of $G, which is 0 */
    for (uint32_t i = 0; i < heard->count; i++) {
        uint32_t account = (i / 2 + 1) * 2;
        char subject[64], figures[64];
        snprintf(subject, sizeof subject,
                 i % 2 == 0 ? "$SYS.SERVER.ACCOUNT.A%u.CONNS" : "$SYS.ACCOUNT.A%u.SERVER.CONNS", account);
        snprintf(figures, sizeof figures, "\"acc\":\"A%u\",\"name\":\"A%u\",\"conns\":%u", account, account,
                 account + 1);
        cr_expect_str_eq(heard->subjects[i], subject);
        cr_expect_not_null(strstr(heard->bodies[i], figures), "%s", heard->bodies[i]);
    }
    free(heard);
}

Test(system, a_heartbeat_of_accounts_is_for_listeners_and_other_servers)
{
    work(&system_endpoint_own_accounts, false);
    struct said *heard = said();
    cr_expect_eq(heard->count, 0);
    free(heard);
    control->cluster.on = true;
    memcpy(control->cluster.name, "C", 2);
    work(&system_endpoint_own_accounts, false);
    heard = said();
    cr_expect_gt(heard->count, 0);
    free(heard);
}

/* How many clients the next heartbeat tells that account A7, alone, has; -1: it tells of none. */
static int64_t heartbeat_of_a7(uint32_t clients)
{
    long told = -1;
    for (uint32_t i = 0; i < ACCOUNTS_MAX; i++)
        known[i] = (struct report_account){.id = i, .clients = i == 7 ? clients : 0};
    work_with_figures(&system_endpoint_own_accounts, true);
    struct said *heard = said();
    if (heard->count > 0) {
        const char *at = strstr(heard->bodies[0], "\"acc\":\"A7\",\"name\":\"A7\",\"conns\":");
        cr_expect_eq(heard->count, 2);
        cr_assert_not_null(at);
        told = strtol(strstr(at, "conns") + 7, NULL, 10);
    }
    free(heard);
    return told;
}

/* The event that says so may be lost. */
Test(system, that_an_account_has_no_clients_any_more_is_told_by_two_heartbeats_too)
{
    static const struct {
        uint32_t clients;
        int64_t told;
    } rows[] = {{0, -1}, {3, 3}, {0, 0}, {0, 0}, {0, -1}, {1, 1}, {0, 0}, {2, 2}, {0, 0}, {0, 0}, {0, -1}};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(heartbeat_of_a7(rows[i].clients), rows[i].told, "heartbeat %zu", i);
}

Test(system, clients_that_come_and_go_between_heartbeats_are_told_of_too)
{
    const struct mail_system_account mail = {.kind = MAIL_SYSTEM_ACCOUNT, .account = 7};
    system_mail_account(control, (const uint8_t *)&mail);
    cr_expect(asked_itself(SYSTEM_OWN_CHANGES));
    cr_expect_eq(heartbeat_of_a7(0), 0);
    cr_expect_eq(heartbeat_of_a7(0), 0);
    cr_expect_eq(heartbeat_of_a7(0), -1);
}

/* ---- clients on other servers ---- */

#define PEER_1 "N1111111111111111111111111111111111111111111111111111111"
#define PEER_2 "N2222222222222222222222222222222222222222222222222222222"
enum { LIMITED = 5, LIMIT = 10 };

static void only_one_is_limited(void)
{
    for (uint32_t i = 0; i < ACCOUNTS_MAX; i++)
        accounts[i].limits.connections = i == LIMITED ? LIMIT : -1;
}

typedef void peer_taker(struct control *control, const struct system_request *request);

static void peer_says(const char *id, const char *what, peer_taker *taker)
{
    char subject[128];
    snprintf(subject, sizeof subject, "$SYS.SERVER.%s.%s", id, what);
    const struct system_request request = {.subject = text(subject)};
    taker(control, &request);
}

/* By mail, as it comes: with a reply and headers between subject and body, which are not to be taken for it.
 */
static void mail_to(const char *service, const char *id, const char *says)
{
    uint8_t bytes[sizeof(struct mail_system_request) + 512];
    char words[512];
    int count =
        snprintf(words, sizeof words,
                 "subjectreplyheaders{\"server\":{\"name\":\"x\",\"id\":\"%s\",\"seq\":1},%s}", id, says);
    struct mail_system_request mail = {.kind = MAIL_SYSTEM_REQUEST,
                                       .subject_count = 7,
                                       .reply_count = 5,
                                       .header_bytes = 7,
                                       .total_bytes = (uint32_t)count - 12};
    while (strcmp(system_service_of(mail.number)->name, service) != 0)
        mail.number++;
    memcpy(bytes, &mail, sizeof mail);
    memcpy(bytes + sizeof mail, words, (size_t)count);
    system_mail_request(control, bytes);
    cr_expect_eq(control->system.waiting_count, 0, "it stands in line");
}

static void peer_has(const char *id, const char *account, const char *clients)
{
    char says[128];
    snprintf(says, sizeof says, "\"acc\":\"%s\",\"conns\":%s,\"leafnodes\":0", account, clients);
    mail_to("$SYS.SERVER.ACCOUNT.*.CONNS", id, says);
}

struct counted {
    struct mail_account_count last;
    uint32_t mails;
};

static void take_count(void *context, uint32_t from, const uint8_t *bytes, uint32_t count)
{
    struct counted *counted = context;
    (void)from, (void)count;
    if (bytes[0] != MAIL_ACCOUNT_COUNT)
        return;
    memcpy(&counted->last, bytes, sizeof counted->last);
    counted->mails++;
}

/* Whether the shard was told just that since the last call; -1: nothing. */
static bool shard_hears(int64_t clients)
{
    struct counted counted = {0};
    post_flush(&control->post);
    post_drain(&shard, take_count, &counted);
    if (clients < 0)
        return counted.mails == 0;
    return counted.mails == 1 && counted.last.account == LIMITED && counted.last.count == clients;
}

/* Two servers that have been heard of, and the greetings for them forgotten. */
static void two_peers(void)
{
    only_one_is_limited();
    peer_says(PEER_1, "STATSZ", system_peer_statsz);
    peer_says(PEER_2, "STATSZ", system_peer_statsz);
    forget_waiting();
}

Test(system, shards_hear_how_many_clients_a_limited_account_has_on_all_other_servers)
{
    two_peers();
    peer_has(PEER_1, "A5", "3");
    cr_expect(shard_hears(3));
    peer_has(PEER_2, "A5", "4");
    cr_expect(shard_hears(7));
    peer_has(PEER_2, "A5", "4");
    cr_expect(shard_hears(-1), "the same again");
    peer_has(PEER_1, "A5", "1");
    cr_expect(shard_hears(5));
    peer_has(PEER_1, "A6", "3");
    cr_expect(shard_hears(-1), "it has no limit");
    peer_has(PEER_1, "A5", "5000000000");
    cr_expect(shard_hears(UINT32_MAX));
    peer_has(PEER_1, "A5", "0");
    cr_expect(shard_hears(4));
}

Test(system, what_makes_no_sense_or_comes_from_nobody_does_not_count)
{
    static const char unknown[] = "N3333333333333333333333333333333333333333333333333333333";
    two_peers();
    peer_has(unknown, "A5", "3");
    peer_has("N1", "A5", "3");
    peer_has(PEER_1, "NOPE", "3");
    peer_has(PEER_1, "A5", "-1");
    peer_has(PEER_1, "A5", "\"3\"");
    peer_has(PEER_1, "A5", "3}");
    cr_expect(shard_hears(-1));
}

Test(system, the_clients_of_a_server_that_is_gone_do_not_count)
{
    two_peers();
    peer_has(PEER_1, "A99", "1"); /* one table is longer than the other */
    peer_has(PEER_1, "A5", "3");
    peer_has(PEER_2, "A5", "4");
    cr_expect_not(shard_hears(-1));
    peer_says(PEER_1, "SHUTDOWN", system_peer_gone);
    cr_expect(shard_hears(4));
    control->now_ns += 151 * NS_PER_SECOND;
    system_peers_forget(control);
    cr_expect(shard_hears(0));
    cr_expect_eq(control->system.peer_count, 0);
}

Test(system, clients_that_a_server_tells_of_no_more_do_not_count)
{
    two_peers();
    peer_has(PEER_1, "A5", "3");
    peer_has(PEER_2, "A5", "4");
    cr_expect_not(shard_hears(-1));
    for (int i = 0; i < 6; i++) {
        control->now_ns += 30 * NS_PER_SECOND;
        peer_says(PEER_1, "STATSZ", system_peer_statsz);
        peer_says(PEER_2, "STATSZ", system_peer_statsz);
        peer_has(PEER_2, "A5", "4");
        system_peers_forget(control);
        cr_expect(shard_hears(i < 5 ? -1 : 4), "after %d heartbeats", i + 1);
    }
    peer_has(PEER_1, "A5", "1");
    cr_expect(shard_hears(5));
}

Test(system, a_limit_that_a_reload_brings_counts_what_was_told_before)
{
    two_peers();
    accounts[LIMITED].limits.connections = -1;
    peer_has(PEER_1, "A5", "3");
    cr_expect(shard_hears(-1));
    accounts[LIMITED].limits.connections = LIMIT;
    system_reloaded(control, &options);
    cr_expect(shard_hears(3));
}

Test(system, a_count_waits_for_room_and_is_the_last_one_then)
{
    uint8_t filler[sizeof(struct mail_account_count)] = {MAIL_SYSTEM_SERVICES};
    two_peers();
    while (control_put(control, 0, filler, sizeof filler))
        ;
    peer_has(PEER_1, "A5", "3");
    peer_has(PEER_1, "A5", "2");
    cr_expect(system_counts_step(control), "there is no room");
    cr_expect(shard_hears(-1));
    cr_expect_not(system_counts_step(control));
    cr_expect(shard_hears(2));
}

Test(system, when_a_server_is_new_all_are_asked_for_limited_accounts_once)
{
    two_peers();
    accounts[8].limits.connections = 0;
    system_counts_ask(control);
    system_counts_ask(control);
    struct said *heard = said();
    cr_assert_eq(heard->count, 1);
    cr_expect_str_eq(heard->subjects[0], "$SYS.REQ.ACCOUNT.PING.STATZ");
    cr_expect_str_eq(heard->bodies[0], "{\"accounts\":[\"A5\",\"A8\"]}");
    free(heard);
}

Test(system, without_limited_accounts_nobody_is_asked)
{
    two_peers();
    accounts[LIMITED].limits.connections = -1;
    system_counts_ask(control);
    struct said *heard = said();
    cr_expect_eq(heard->count, 0);
    free(heard);
}

Test(system, an_answer_tells_of_several_accounts)
{
    static const char *const wrong[] = {
        "\"data\":{\"account_statz\":[{\"acc\":\"A5\",\"conns\":-1}]}",
        "\"data\":{\"account_statz\":[3,{\"acc\":\"A5\"},null,[]]}",
        "\"data\":{\"account_statz\":{\"acc\":\"A5\",\"conns\":3}}",
        "\"data\":null",
        "\"error\":{\"code\":500}",
    };
    two_peers();
    mail_to(SYSTEM_COUNTS_INBOX, PEER_1,
            "\"data\":{\"now\":\"x\",\"account_statz\":[{\"acc\":\"A6\",\"conns\":7}, "
            "{\"conns\":3,\"acc\":\"A5\"} ,"
            "{\"acc\":\"A2\",\"conns\":1}]}");
    cr_expect(shard_hears(3));
    mail_to(SYSTEM_COUNTS_INBOX, PEER_2, "\"data\":{\"account_statz\":[{\"acc\":\"A5\",\"conns\":4}]}");
    cr_expect(shard_hears(7));
    mail_to(SYSTEM_COUNTS_INBOX, "N1", "\"data\":{\"account_statz\":[{\"acc\":\"A5\",\"conns\":5}]}");
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        mail_to(SYSTEM_COUNTS_INBOX, PEER_1, wrong[i]);
        cr_expect_eq(control->system.elsewhere[LIMITED].count, i == 0 ? 7 : 4, "%s", wrong[i]);
    }
}

/* The server hears its own question, as everybody does. */
Test(system, its_own_question_is_not_answered_that_of_others_is)
{
    const struct {
        const char *inbox;
        uint32_t waiting;
    } rows[] = {{"$SYS._INBOX.N1." SYSTEM_COUNTS_INBOX, 0},
                {"$SYS._INBOX." PEER_1 "." SYSTEM_COUNTS_INBOX, 1}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        uint8_t bytes[sizeof(struct mail_system_request) + 256];
        struct mail_system_request mail = {.kind = MAIL_SYSTEM_REQUEST,
                                           .reply_count = (uint32_t)strlen(rows[i].inbox)};
        while (strcmp(system_service_of(mail.number)->name, "$SYS.REQ.ACCOUNT.PING.STATZ") != 0)
            mail.number++;
        memcpy(bytes, &mail, sizeof mail);
        memcpy(bytes + sizeof mail, rows[i].inbox, mail.reply_count);
        system_mail_request(control, bytes);
        cr_expect_eq(control->system.waiting_count, rows[i].waiting, "%s", rows[i].inbox);
    }
}

/* ---- the end ---- */

Test(system, a_server_says_that_it_takes_no_more_clients_and_at_last_that_it_goes)
{
    system_lame_duck(control);
    cr_assert(system_shutdown(control));
    struct said *heard = said();
    cr_assert_eq(heard->count, 2);
    cr_expect_str_eq(heard->subjects[0], "$SYS.SERVER.N1.LAMEDUCK");
    cr_expect_str_eq(heard->subjects[1], "$SYS.SERVER.N1.SHUTDOWN");
    for (uint32_t i = 0; i < 2; i++) {
        char number[32];
        snprintf(number, sizeof number, "\"seq\":%u,", i + 1);
        cr_expect_eq(heard->last[i], i == 1);
        cr_expect_eq(strncmp(heard->bodies[i], "{\"name\":\"N1\",\"host\":\"127.0.0.1\",\"id\":\"N1\",", 42),
                     0, "%s", heard->bodies[i]);
        cr_expect_not_null(strstr(heard->bodies[i], number), "%s", heard->bodies[i]);
    }
    free(heard);
}

Test(system, a_server_without_a_system_account_goes_silently)
{
    control->system.on = false;
    system_lame_duck(control);
    cr_expect_not(system_shutdown(control));
    struct said *heard = said();
    cr_expect_eq(heard->count, 0);
    free(heard);
}
