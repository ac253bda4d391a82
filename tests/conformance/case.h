/* tests/conformance/case.h - the vocabulary of the tables: what a row of the conformance suite can say.
 *
 * A row describes what a client does and what it must see, and nothing about the server's insides, so the
 * same rows run against Myelin and against nats-server. Most rows are one exchange (setup, send, expect,
 * then); those with several connections or with times are a script of steps; those that measure (shares,
 * orders, back-pressure) name a function. Place in the flow: cases_*.c (rows) -> runner.c (which, where) ->
 * script.c (how). */
#ifndef TESTS_CONFORMANCE_CASE_H
#define TESTS_CONFORMANCE_CASE_H

#include "core/base/bytes.h"
#include "core/base/language.h"

struct run; /* script.h */

/* Which server is under test: they differ in a few places, and rows say where. */
enum flavour { FLAVOUR_MYELIN, FLAVOUR_NATS_2_9, FLAVOUR_NATS_NEW, FLAVOURS };
#define MYELIN (1u << FLAVOUR_MYELIN)
#define NATS_2_9 (1u << FLAVOUR_NATS_2_9) /* 2.9.x: the reference that was driven by hand */
#define NATS_NEW (1u << FLAVOUR_NATS_NEW) /* 2.12.8, 2.14.4 and newer */

/* What a server must have for a row to make sense. needs_rows[] in runner.c says what Myelin lacks, and why.
 */
enum need { NEEDS_NOTHING, NEEDS_ACCOUNTS, NEEDS_MAPPINGS, NEEDS_LEAF_NODES, NEEDS };

/* Of trusted proxies: keys whose seeds count up from 0x20 and 0x40, and users who need one. */
#define PROXY_20 "AAU2ZOXBIG6MV4FSFYNJJU2NBPDTMHSSNUF74EWIS6KLZEZCSZW5OICT"
#define PROXY_40 "OASUHOJP6EEVKEKHNLOIG2O3NXOJGNTFUEMXRXNBIBHOCBTMVFKZ2TJ6"
#define PROXIES_TRUSTED "proxies { trusted: [ {key: \"" PROXY_20 "\"}, {key: \"" PROXY_40 "\"} ] }\n"
#define PROXIES_USERS                                                                                        \
    "{user: \"in\", password: \"p\", proxy_required: true}, {user: \"any\", password: \"p\"}, {nkey: "       \
    "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK, proxy_required: true}"

/* One line for each: name, the text of the configuration file. */
#define CONFIGURATION_LIST(X)                                                                                \
    X(DEFAULT, "")                                                                                           \
    X(DEFAULT_TIMED, "")                                                                                     \
    X(TOKEN, "authorization { token: \"s3cret\", timeout: 20 }\n")                                           \
    X(TOKEN_TIMEOUT, "authorization { token: \"s3cret\", timeout: 0.6 }\n")                                  \
    X(USERS, "authorization { users = [ {user: \"ann\", password: \"pa\"}, {user: \"bob\", password: "       \
             "\"$2b$04$1Zk3EnkqJwTFrhiEjbTF2uCgtgZmxmsE6E/WgtAu1bi/rLK6QSBIq\"} ], timeout: 20 }\n")         \
    X(SINGLE_USER, "authorization { user: \"ann\", password: \"pa\", timeout: 20 }\n")                       \
    X(NO_AUTH_USER, "authorization { users = [ {user: \"ann\", password: \"pa\"} ] }\nno_auth_user: "        \
                    "\"ann\"\n")                                                                             \
    X(MAX_SUBSCRIPTIONS, "max_subscriptions: 2\n")                                                           \
    X(MAX_CONNECTIONS, "max_connections: 2\n")                                                               \
    X(MAX_SUB_TOKENS, "max_sub_tokens: 3\n")                                                                 \
    X(MAX_PAYLOAD, "max_payload: 100\nmax_control_line: 512\n")                                              \
    X(PING, "ping_interval: \"1s\"\nping_max: 2\n")                                                          \
    X(PING_BUSY, "ping_interval: \"1s\"\nping_max: 2\n")                                                     \
    X(NO_HEADERS, "no_header_support: true\n")                                                               \
    X(SMALL_PENDING, "max_pending: 1048576\n")                                                               \
    X(WRITE_DEADLINE, "write_deadline: \"1s\"\n")                                                            \
    X(WRITE_RETRY, "write_deadline: \"1s\"\nwrite_timeout: retry\n")                                         \
    X(LAME_DUCK, "lame_duck_grace_period: \"1s\"\nlame_duck_duration: \"30s\"\n")                            \
    X(NAMED, "server_name: \"rose\"\n")                                                                      \
    X(PERMISSIONS,                                                                                           \
      "authorization { users = [\n"                                                                          \
      " {user: \"any\", password: \"p\"}\n"                                                                  \
      " {user: \"ok\", password: \"p\", permissions: {publish: {allow: [\"ok.>\"]}, subscribe: {allow: "     \
      "[\"ok.>\"]}}}\n"                                                                                      \
      " {user: \"queue\", password: \"p\", permissions: {subscribe: {allow: [\"q.x v1\", \"q.w v.*\"]}}}\n"  \
      " {user: \"deny\", password: \"p\", permissions: {subscribe: {deny: [\"ok.secret\", \"bar.*\"]}}}\n"   \
      " {user: \"svc\", password: \"p\", permissions: {subscribe: [\"req\"], allow_responses: {max: 2, "     \
      "expires: \"1m\"}}}\n"                                                                                 \
      "] }\n")                                                                                               \
    X(RELOAD, "authorization { users = [ {user: \"ann\", password: \"p\", permissions: {subscribe: {allow: " \
              "[\"ok.>\"]}}} ] }\n")                                                                         \
    X(HASHES,                                                                                                \
      "authorization { timeout: 20, users = [\n"                                                             \
      " {user: \"a\", password: \"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\"}\n"         \
      " {user: \"b\", password: \"$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\"}\n"         \
      " {user: \"x\", password: \"$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\"}\n"         \
      " {user: \"y\", password: \"$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\"}\n"         \
      " {user: \"long\", password: \"$2b$04$1Zk3EnkqJwTFrhiEjbTF2uVx8Jhl5CVVC75agTHv5BxnL4tNt5pja\"}\n"      \
      " {user: \"plain\", password: \"$2a$zz\"}\n"                                                           \
      "] }\n")                                                                                               \
    X(NO_AUTH_TIMEOUT, "authorization { timeout: 0.6, users = [ {user: \"ann\", password: \"pa\"} ] }\n"     \
                       "no_auth_user: \"ann\"\n")                                                            \
    X(NO_AUTH_HASH, "authorization { users = [ {user: \"h\", password: "                                     \
                    "\"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\"} ] }\n"                \
                    "no_auth_user: \"h\"\n")                                                                 \
    X(NKEYS,                                                                                                 \
      "authorization { timeout: 20, users = [ {nkey: "                                                       \
      "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK}, {user: \"ann\", password: \"pa\"} ] }\n")  \
    X(STORM, "authorization { timeout: 60, users = [ {user: \"ann\", password: \"pa\"}, {user: \"bob\", "    \
             "password: \"$2b$06$1Zk3EnkqJwTFrhiEjbTF2uS0Y6f9Rb7q.IqckNjJCD2AJWyPMwZCe\"}, {nkey: "          \
             "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK} ] }\nno_auth_user: \"ann\"\n")       \
    X(PROXIES, PROXIES_TRUSTED "authorization { timeout: 20, users: [ " PROXIES_USERS " ] }\n")              \
    X(PROXIES_NOBODY,                                                                                        \
      PROXIES_TRUSTED "authorization { users: [ " PROXIES_USERS " ] }\nno_auth_user: \"in\"\n")              \
    X(PROXIES_SINGLE,                                                                                        \
      PROXIES_TRUSTED "authorization { user: \"in\", password: \"p\", proxy_required: true }\n")             \
    X(PROXIES_ALONE, PROXIES_TRUSTED)                                                                        \
    X(NO_AUTH_NKEY,                                                                                          \
      "authorization { users = [ {nkey: UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK} ] }\n"     \
      "no_auth_user: UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK\n")                            \
    X(CONNECTION_TYPES, "authorization { users = [\n"                                                        \
                        "{user: \"web\", password: \"p\", allowed_connection_types: [websocket]}\n"          \
                        "{user: \"both\", password: \"p\", connection_types: [\"STANDARD\", \"mqtt\"]}\n"    \
                        "{user: \"any\", password: \"p\", clients: []}\n"                                    \
                        "] }\n")                                                                             \
    X(SUBJECTS,                                                                                              \
      "authorization { users = [\n"                                                                          \
      " {user: \"any\", password: \"p\"}\n"                                                                  \
      " {user: \"pub\", password: \"p\", permissions: {publish: [\"foo\", \"bar.*\"]}}\n"                    \
      " {user: \"pubdeny\", password: \"p\", permissions: {publish: {allow: [\"a.>\"], deny: [\"a.b\"]}}}\n" \
      " {user: \"empty\", password: \"p\", permissions: {publish: {allow: []}}}\n"                           \
      " {user: \"sub\", password: \"p\", permissions: {subscribe: [\"q.*\"]}}\n"                             \
      " {user: \"subdeny\", password: \"p\", permissions: {subscribe: {deny: [\"foo\", \"bar.*\"]}}}\n"      \
      " {user: \"queues\", password: \"p\", permissions: {subscribe: [\"a\", \"b v1\", \"c >\", \"d "        \
      "v2.*\"]}}\n"                                                                                          \
      " {user: \"qdeny\", password: \"p\", permissions: {subscribe: {deny: [\"foo v1\"]}}}\n"                \
      " {user: \"once\", password: \"p\", permissions: {subscribe: \"req\", allow_responses: true}}\n"       \
      " {user: \"late\", password: \"p\", permissions: {subscribe: \"req2\", allow_responses: {max: 5, "     \
      "expires: \"50ms\"}}}\n"                                                                               \
      " {user: \"respdeny\", password: \"p\", permissions: {publish: {deny: \"x\"}, allow_responses: "       \
      "true}}\n"                                                                                             \
      "] }\n")                                                                                               \
    X(DEFAULT_PERMISSIONS,                                                                                   \
      "authorization { default_permissions: {publish: \"d.>\"}, users = [ {user: \"none\", password: "       \
      "\"p\"}, {user: \"own\", password: \"p\", permissions: {subscribe: \"s\"}} ] }\n")                     \
    X(ACCOUNT_DEFAULTS,                                                                                      \
      "authorization { default_permissions: {publish: \"g.>\"}, users: [ {user: \"global\", password: "      \
      "\"p\"} ] }\n"                                                                                         \
      "accounts {\n"                                                                                         \
      " ONE { default_permissions: {publish: \"d.>\", subscribe: {allow: [\"s.>\"], deny: \"s.no\"}}\n"      \
      "  users: [ {user: \"none\", password: \"p\"}, {user: \"own\", password: \"p\", permissions: "         \
      "{subscribe: "                                                                                         \
      "[\"q\", \"d.>\"]}}, {user: \"empty\", password: \"p\", permissions: {}} ] }\n"                        \
      " TWO { users: [ {user: \"free\", password: \"p\"} ] }\n"                                              \
      " THREE { users: [ {user: \"three\", password: \"p\"} ], default_permissions: {publish: {deny: "       \
      "\"x\"}, "                                                                                             \
      "allow_responses: {max: 1}} }\n}\n")                                                                   \
    X(ACCOUNTS, "accounts {\n"                                                                               \
                " ONE { users: [ {user: \"one\", password: \"p\"} ], limits: { max_connections: 1 } }\n"     \
                " PAY { users: [ {user: \"pay\", password: \"p\"} ], limits: { max_payload: 8 } }\n"         \
                "}\nmax_payload: 100\n")                                                                     \
    X(MAPPINGS, "mappings = { \"m.*\": \"dst.$1\" }\n"                                                       \
                "authorization { users = [ {user: \"src\", password: \"p\", permissions: {publish: "         \
                "[\"m.>\"]}}, {user: \"dst\", password: \"p\", permissions: {publish: [\"dst.>\"]}}, "       \
                "{user: \"any\", password: \"p\"} ] }\n")                                                    \
    X(IMPORTS,                                                                                               \
      "shards: 3\naccounts {\n" /* nats-server takes this for a variable, since it is used as one */         \
      " EXP { users: [ {user: \"exp\", password: \"p\"} ], mappings { \"one\": \"one.mapped\" }\n"           \
      "  exports: [ {stream: \"pub.>\"}, {stream: \"turn.*.*\"}, {stream: \"both\"}, {service: "             \
      "\"map.*.*\"}, {service: \"one\"}, "                                                                   \
      "{service: \"many\", response: stream}, {service: \"slow\", threshold: \"300ms\"}, {service: "         \
      "\"lat\", latency: "                                                                                   \
      "{sampling: 100, subject: \"lat.out\"}}, {service: \"both\"}, {service: \"mid.*\"} ]\n"                \
      "  imports: [ {service: {account: FAR, subject: \"end.*\"}, to: \"mid.*\"} ] }\n"                      \
      " FAR { users: [ {user: \"far\", password: \"p\"} ], exports: [ {service: \"end.*\"} ] }\n"            \
      " IMP { users: [ {user: \"imp\", password: \"p\"}, {user: \"deaf\", password: \"p\", permissions: "    \
      "{subscribe: {deny: [\"from.exp.pub.secret\", \"from.exp.pub.queued\"]}}}, {user: \"few\", password: " \
      "\"p\", permissions: {subscribe: {deny: [\"from.exp.pub.no\", \"from.exp.pub.q q\"]}}} ]\n"            \
      "  imports: [ {stream: {account: EXP, subject: \"pub.>\"}, prefix: \"from.exp\"}, {stream: {account: " \
      "EXP, "                                                                                                \
      "subject: \"turn.*.*\"}, to: \"turned.$2.$1\"}, {service: {account: EXP, subject: \"map.*.*\"}, to: "  \
      "\"lmap.$2.$1\"}, {service: {account: EXP, subject: \"one\"}}, {service: {account: EXP, subject: "     \
      "\"many\"}}, "                                                                                         \
      "{service: {account: EXP, subject: \"slow\"}}, {service: {account: EXP, subject: \"lat\"}}, "          \
      "{service: {account: EXP, subject: \"both\"}}, {service: {account: EXP, subject: \"mid.*\"}, to: "     \
      "\"begin.*\"} ] }\n"                                                                                   \
      " OTHER { users: [ {user: \"other\", password: \"p\"} ], imports: [ {stream: {account: EXP, subject: " \
      "\"pub.>\"}}, "                                                                                        \
      "{stream: {account: EXP, subject: \"both\"}} ] }\n"                                                    \
      " SMALL { users: [ {user: \"small\", password: \"p\"} ], limits: { max_connections: 2, max_subs: 2, "  \
      "max_payload: 10, max_leafnodes: $shards } }\n"                                                        \
      "}\n")                                                                                                 \
    X(SYSTEM_USERS,                                                                                          \
      "accounts { SYS { users: [ {user: \"sys\", password: \"p\"} ] } }\nsystem_account: SYS\n")             \
    X(WEIGHTS,                                                                                               \
      "authorization { users = [ {user: \"any\", password: \"p\"} ] }\n"                                     \
      "mappings = { \"w.80\": [ {destination: \"w.a\", weight: 80%}, {destination: \"w.b\", weight: 20%} "   \
      "]\n"                                                                                                  \
      " \"w.half\": [ {destination: \"w.c\", weight: 50} ]\n \"w.loss\": [ {destination: \"w.loss\", "       \
      "weight: 50} ]\n"                                                                                      \
      " \"chain.a\": \"chain.b\"\n \"chain.b\": \"chain.c\"\n"                                               \
      " \"f.part.*\": \"r.{{partition(3,1)}}\"\n \"f.split.*\": \"r.{{split(1,-)}}\"\n"                      \
      " \"f.left.*\": \"r.{{splitFromLeft(1,3)}}\"\n \"f.slice.*\": \"r.{{sliceFromRight(1,3)}}\"\n"         \
      " \"f.rest.>\": \"r.>\" }\n")                                                                          \
    X(MOVING,                                                                                                \
      "accounts {\n EXP { users: [ {user: \"exp\", password: \"p\"} ], exports: [ {stream: \"s.>\"} ] }\n"   \
      " IMP { users: [ {user: \"imp\", password: \"p\"} ], imports: [ {stream: {account: EXP, subject: "     \
      "\"s.>\"}, "                                                                                           \
      "prefix: p} ] }\n}\n")                                                                                 \
    X(CLUSTER, "cluster { name: \"cc\", listen: \"127.0.0.1:${port 1}\" }\n")                                \
    X(GATEWAY_PORT, "server_name: \"rose\"\naccounts { SYS { } }\nsystem_account: SYS\n"                     \
                    "gateway { name: \"cc\", listen: \"127.0.0.1:${port 1}\" }\n")                           \
    X(LEAF_PORT, "server_name: \"rose\"\naccounts { SYS { } }\nsystem_account: SYS\n"                        \
                 "leafnodes { listen: \"127.0.0.1:${port 1}\" }\n")

enum configuration {
#define X(name, text) ON_##name,
    CONFIGURATION_LIST(X)
#undef X
        CONFIGURATIONS
};

/* What a client says first. Its answer (the +OK of the verbose ones) is expected before the row's own. */
enum setup { NONE, Q, VB, P, Q0, QUIET_ECHO_OFF, QUIET_NO_HEADERS, SETUPS };

/* What must follow the expected bytes. */
enum then { OPEN, CLOSES };

enum step_kind {
    STEP_END,
    STEP_CONNECT,    /* connect, read the INFO, send a setup and read its answer */
    STEP_SEND,       /* bytes, in one write */
    STEP_SEND_EACH,  /* bytes, each in a segment of its own */
    STEP_SEND_TIMES, /* bytes, `number` times */
    STEP_EXPECT,     /* exactly these bytes */
    STEP_EXPECT_TIMES,
    STEP_UNORDERED, /* these messages and lines, in any order */
    STEP_BETWEEN,   /* these bytes, from `number` to `limit` ms after the peer's last mark */
    STEP_MARK,      /* the peer's clock starts */
    STEP_INFO,      /* an INFO line comes now, and its fields are ... */
    STEP_INFO_WAS,  /* the last INFO line had these fields */
    STEP_CLOSED,    /* nothing more, then the end of the stream */
    STEP_SILENCE,   /* nothing for `number` ms, and not the end */
    STEP_ALIVE,     /* PING brings PONG and nothing else */
    STEP_FIN,       /* shut down the sending side */
    STEP_DROP,      /* close */
    STEP_RESET,     /* close with RST */
    STEP_PAUSE,
    STEP_SIGNAL,  /* to the server */
    STEP_REWRITE, /* the configuration file, then SIGHUP, then a moment */
    STEP_REFUSED, /* new connections are refused by the kernel, within `number` ms */
    STEP_EXITS,   /* the server's process ends within `number` ms */
    STEP_SHOWS, /* a page of monitoring: its path, a space, what stands in its document without white space */
    STEP_SECOND /* a second server starts with this configuration text */
};

struct step {
    enum step_kind kind;
    int peer;
    const char *text;
    int number;
    int limit;
};

/* Steps as they stand in rows; `p` is the connection's number, from 0. */
#define CONNECT(p, setup)                                                                                    \
    {                                                                                                        \
        STEP_CONNECT, p, NULL, setup, 0                                                                      \
    }
#define CONNECT_PORT(p, port)                                                                                \
    {                                                                                                        \
        STEP_CONNECT, p, NULL, NONE, port                                                                    \
    }
#define SEND(p, bytes)                                                                                       \
    {                                                                                                        \
        STEP_SEND, p, bytes, 0, 0                                                                            \
    }
#define SEND_EACH_BYTE(p, bytes)                                                                             \
    {                                                                                                        \
        STEP_SEND_EACH, p, bytes, 0, 0                                                                       \
    }
#define SEND_TIMES(p, times, bytes)                                                                          \
    {                                                                                                        \
        STEP_SEND_TIMES, p, bytes, times, 0                                                                  \
    }
#define EXPECT(p, bytes)                                                                                     \
    {                                                                                                        \
        STEP_EXPECT, p, bytes, 0, 0                                                                          \
    }
#define EXPECT_TIMES(p, times, bytes)                                                                        \
    {                                                                                                        \
        STEP_EXPECT_TIMES, p, bytes, times, 0                                                                \
    }
#define EXPECT_UNORDERED(p, bytes)                                                                           \
    {                                                                                                        \
        STEP_UNORDERED, p, bytes, 0, 0                                                                       \
    }
#define EXPECT_BETWEEN(p, least_ms, most_ms, bytes)                                                          \
    {                                                                                                        \
        STEP_BETWEEN, p, bytes, least_ms, most_ms                                                            \
    }
#define MARK(p)                                                                                              \
    {                                                                                                        \
        STEP_MARK, p, NULL, 0, 0                                                                             \
    }
#define EXPECT_INFO(p, fields)                                                                               \
    {                                                                                                        \
        STEP_INFO, p, fields, 0, 0                                                                           \
    }
#define INFO_WAS(p, fields)                                                                                  \
    {                                                                                                        \
        STEP_INFO_WAS, p, fields, 0, 0                                                                       \
    }
#define EXPECT_CLOSE(p)                                                                                      \
    {                                                                                                        \
        STEP_CLOSED, p, NULL, 0, 0                                                                           \
    }
#define EXPECT_SILENCE(p, ms)                                                                                \
    {                                                                                                        \
        STEP_SILENCE, p, NULL, ms, 0                                                                         \
    }
#define ALIVE(p)                                                                                             \
    {                                                                                                        \
        STEP_ALIVE, p, NULL, 0, 0                                                                            \
    }
#define HALF_CLOSE(p)                                                                                        \
    {                                                                                                        \
        STEP_FIN, p, NULL, 0, 0                                                                              \
    }
#define DROP(p)                                                                                              \
    {                                                                                                        \
        STEP_DROP, p, NULL, 0, 0                                                                             \
    }
#define RESET(p)                                                                                             \
    {                                                                                                        \
        STEP_RESET, p, NULL, 0, 0                                                                            \
    }
#define PAUSE(ms)                                                                                            \
    {                                                                                                        \
        STEP_PAUSE, 0, NULL, ms, 0                                                                           \
    }
#define SIGNAL(signal_number)                                                                                \
    {                                                                                                        \
        STEP_SIGNAL, 0, NULL, signal_number, 0                                                               \
    }
#define RELOAD(configuration_text)                                                                           \
    {                                                                                                        \
        STEP_REWRITE, 0, configuration_text, 0, 0                                                            \
    }
#define SHOWS(path, words)                                                                                   \
    {                                                                                                        \
        STEP_SHOWS, 0, path " " words, 0, 0                                                                  \
    }
#define CONNECT_REFUSED(ms)                                                                                  \
    {                                                                                                        \
        STEP_REFUSED, 0, NULL, ms, 0                                                                         \
    }
#define SERVER_EXITS(ms)                                                                                     \
    {                                                                                                        \
        STEP_EXITS, 0, NULL, ms, 0                                                                           \
    }
#define START_SECOND(configuration_text)                                                                     \
    {                                                                                                        \
        STEP_SECOND, 0, configuration_text, 0, 0                                                             \
    }
#define STEPS(...) ((const struct step[]){__VA_ARGS__, {STEP_END, 0, NULL, 0, 0}})
#define EACH(...) ((const char *const[]){__VA_ARGS__, NULL})

struct conformance_case {
    const char *spec; /* number in section 22 of spec/client-protocol.md, or "section n" of that page */
    const char *name; /* the behaviour, as a sentence */
    enum configuration configuration;
    enum setup setup;

    const char *send;               /* one exchange, or ... */
    const char *const *send_each;   /* ... several, each on a connection of its own (EACH) */
    const char *expect;             /* NULL: nothing */
    const char *const *expect_each; /* when each has its own answer */
    bool unordered;
    enum then then;
    const char *closed_reason; /* what monitoring says afterwards */

    const struct step *steps;  /* or a script */
    bool (*run)(struct run *); /* or a function of measured.c */
    bool alone;                /* ends or harms its server: gets one of its own */
    bool slow;                 /* `run` takes seconds or all of the machine: not with --quick */
    int server_files;          /* descriptors that its server may have; 0: what the machine allows */
    bool sees_pings; /* the server's PINGs are part of the case; else they are answered on the way */
    bool sees_infos; /* so is the INFO behind the first PONG; else it is taken aside */

    unsigned only;       /* servers on which it holds; 0 is all */
    const char *differs; /* why not on all; always there when `only` is */
    enum need needs;
};

struct case_table {
    const struct conformance_case *rows;
    size_t count;
};

/* Every table there is; ends with NULL. Defined in tables.c. */
extern const struct case_table *const conformance_tables[];

#define UPO "-ERR 'Unknown Protocol Operation'\r\n"
#define CONTROL_LINE_ERROR "-ERR 'maximum control line exceeded'\r\n"
#define PAYLOAD_ERROR "-ERR 'Maximum Payload Violation'\r\n"
#define AUTHORIZATION_ERROR "-ERR 'Authorization Violation'\r\n"
#define NO_RESPONDERS_OLD(reply, sid) "HMSG " reply " " sid " 16 16\r\nNATS/1.0 503\r\n\r\n\r\n"
/* `n` is 32 + the length of the subject. */
#define NO_RESPONDERS_NEW(reply, sid, n, subject)                                                            \
    "HMSG " reply " " sid " " n " " n "\r\nNATS/1.0 503\r\nNats-Subject: " subject "\r\n\r\n\r\n"

#endif
