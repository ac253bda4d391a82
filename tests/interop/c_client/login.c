/* tests/interop/c_client/login.c - scenarios on who may come in and what they may do: user and password,
 * token, NKeys, credentials files, certificates, permissions, allow_responses, imports of another account;
 * each with a server of its own and a configuration of its own: in clear, or with INTEROP_TLS over TLS where
 * only the server shows a certificate. */
#include "tests/interop/c_client/harness.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    WAIT_MS = 5000,
    NKEY_TRIES = 4,
    PATH_BYTES = 64,
    URL_BYTES = 64,
    FLAGS_BYTES = 128,
    FILE_BYTES = 512, /* a path below INTEROP_TLS */
    CONFIG_BYTES = 8192,
};

#define USER_KEY "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"
#define USER_SEED "SUAAAAICAMCAKBQHBAEQUCYMBUHA6EARCIJRIFIWC4MBSGQ3DQOR4H776Y"
#define OTHER_SEED "SUAGLLGYEGY5NOOICPKGELWSMRU6EYBWY54TCDDG3GTKDWTWAC375MM7AM"

/* "U*U" behind the hash. */
static const char users[] =
    "authorization { users: [\n"
    " {user: plain, password: secret}\n"
    " {user: hashed, password: \"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\"}\n"
    " {nkey: " USER_KEY
    ", permissions: {publish: [\"in.>\", \"req\"], subscribe: {allow: [\"in.>\", \"_INBOX.>\"], "
    "deny: \"in.secret\"}}}\n"
    " {user: service, password: p, permissions: {subscribe: req, allow_responses: true}}\n"
    "] }\n";
static const char accounts[] = "accounts {\n"
                               " EXP { users: [ {user: exporter, password: p} ], exports: [ {stream: "
                               "\"news.>\"}, {service: \"ask.*\"} ] }\n"
                               " IMP { users: [ {user: importer, password: p} ]\n"
                               "  imports: [ {stream: {account: EXP, subject: \"news.>\"}, prefix: far}\n"
                               "   {service: {account: EXP, subject: \"ask.*\"}, to: \"far.ask.*\"} ] }\n"
                               "}\n";
static const char token[] = "authorization { token: t0ken }\n";
/* Whom the certificate of the run means: nobody is called localhost, its DNS name. */
static const char mapped[] =
    "authorization { users: [ {user: \"CN=client\"}, {user: plain, password: secret} ] }\n";
/* A user's JWT and seed, as operator mode wants them. Where that is off nobody looks at them: a server
 * without logins lets them in, one with logins does not know the user. */
static const char creds[] =
    "-----BEGIN NATS USER JWT-----\n"
    "eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.eyJpYXQiOjE3MDAwMDAwMDAsImlzcyI6IkFCW"
    "TM1SElQMlhGSEdTM0hKNUZNTFUzMzVLU1VCTkNGMldRNlBRUEwyS1FWSFVRRUdKWFZRU01CIiwibmFtZSI6I"
    "mludGVyb3AiLCJzdWIiOiJVQUIyQ0I1NzZQSEJCUFE1T0RPUlJaMkxZQ01XUFpHV0dDTjJLREs3RFhPSU1aQ"
    "VNLVVkzUkxLSyIsIm5hdHMiOnsicHViIjp7fSwic3ViIjp7fSwic3VicyI6LTEsImRhdGEiOi0xLCJwYXlsb"
    "2FkIjotMSwidHlwZSI6InVzZXIiLCJ2ZXJzaW9uIjoyfSwianRpIjoiRUM2RllUMlZISUVOWkJWUlNQNUhGN"
    "lQ0Tkc0Q1lITlhVVk9OTkZQM1RMUkYyRDY1QkpNQSJ9.BjgynzuXtk6DYbckJCI4RIDhfdSfzu-QgB017PtD"
    "MaXZVA9gF6jhq54KG61YNVtYfvjs2Tyh64pCKwtBHKoACg"
    "\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n" USER_SEED
    "\n------END USER NKEY SEED------\n";

/* A server with a configuration, and the files that it takes. */
struct guarded {
    pid_t server;
    char config[PATH_BYTES];
    char seed[PATH_BYTES];
    char url[URL_BYTES];
};

static bool write_file(struct run *run, char path[PATH_BYTES], const char *content)
{
    snprintf(path, PATH_BYTES, "/tmp/interop-c-XXXXXX");
    int file = mkstemp(path);
    if (file < 0) {
        return EXPECT(run, file >= 0);
    }
    bool written = write(file, content, strlen(content)) == (ssize_t)strlen(content);
    close(file);
    return EXPECT(run, written);
}

/* `config`, and TLS behind it where the run has it; `map`: who comes shows a certificate, and it says who. */
static void add_tls(char text[CONFIG_BYTES], const char *config, bool map)
{
    const char *folder = getenv("INTEROP_TLS");
    int used = snprintf(text, CONFIG_BYTES, "%s", config);
    if (folder == NULL) {
        return;
    }
    used += snprintf(text + used, (size_t)(CONFIG_BYTES - used),
                     "tls { cert_file: \"%s/server.pem\", key_file: \"%s/server.key\"", folder, folder);
    if (map) {
        used += snprintf(text + used, (size_t)(CONFIG_BYTES - used),
                         ", ca_file: \"%s/ca.pem\", verify_and_map: true", folder);
    }
    snprintf(text + used, (size_t)(CONFIG_BYTES - used), " }\n");
}

static bool guarded_start(struct run *run, struct guarded *guarded, const char *config, const char *seed)
{
    char flags[FLAGS_BYTES];
    char text[CONFIG_BYTES];
    add_tls(text, config, config == mapped);
    const char *given = getenv("MYELIN_FLAGS");
    char *before = given == NULL ? NULL : strdup(given);
    uint16_t port = port_free();
    *guarded = (struct guarded){.server = -1};
    if (write_file(run, guarded->config, text) && write_file(run, guarded->seed, seed)) {
        /* Only its own: flags of the run ask for certificates on both sides. */
        snprintf(flags, sizeof(flags), "-c %s", guarded->config);
        setenv("MYELIN_FLAGS", flags, 1);
        guarded->server = server_start(run->server_binary, port, "");
    }
    if (before == NULL) {
        unsetenv("MYELIN_FLAGS");
    } else {
        setenv("MYELIN_FLAGS", before, 1);
    }
    free(before);
    snprintf(guarded->url, sizeof(guarded->url), "nats://127.0.0.1:%d", port);
    return EXPECT(run, guarded->server > 0);
}

static void guarded_stop(struct guarded *guarded)
{
    server_kill(guarded->server);
    unlink(guarded->config);
    unlink(guarded->seed);
}

/* What a client brings; NULL: not that. */
struct credentials {
    const char *user, *password, *token, *nkey, *seed_file, *creds_file;
    bool certificate; /* the one of the run; only where the run has TLS */
};

/* The other side is checked in any case. */
static natsStatus add_security(natsOptions *options, bool certificate)
{
    char authority[FILE_BYTES];
    const char *folder = getenv("INTEROP_TLS");
    if (folder == NULL || certificate) {
        return options_secure(options);
    }
    snprintf(authority, sizeof(authority), "%s/ca.pem", folder);
    natsStatus status = natsOptions_SetSecure(options, true);
    return status == NATS_OK ? natsOptions_LoadCATrustedCertificates(options, authority) : status;
}

static natsStatus come_in(natsConnection **connection, const struct guarded *guarded,
                          const struct credentials *credentials)
{
    natsOptions *options = NULL;
    natsStatus status = natsOptions_Create(&options);
    if (status == NATS_OK) {
        status = natsOptions_SetURL(options, guarded->url);
    }
    if (status == NATS_OK) {
        status = add_security(options, credentials->certificate);
    }
    if (status == NATS_OK && credentials->creds_file != NULL) {
        status = natsOptions_SetUserCredentialsFromFiles(options, credentials->creds_file, NULL);
    }
    if (status == NATS_OK && credentials->user != NULL) {
        status = natsOptions_SetUserInfo(options, credentials->user, credentials->password);
    }
    if (status == NATS_OK && credentials->token != NULL) {
        status = natsOptions_SetToken(options, credentials->token);
    }
    if (status == NATS_OK && credentials->nkey != NULL) {
        status = natsOptions_SetNKeyFromSeed(options, credentials->nkey, credentials->seed_file);
    }
    if (status == NATS_OK) {
        status = natsConnection_Connect(connection, options);
    }
    natsOptions_Destroy(options);
    return status;
}

/* The same, but this client (3.4.1) sends no signature where its first byte is zero, once in 256 times and to
 * any server: one that is right is tried again. */
static natsStatus come_in_surely(natsConnection **connection, const struct guarded *guarded,
                                 const struct credentials *credentials)
{
    natsStatus status = NATS_ERR;
    for (int tries = 0; tries < NKEY_TRIES && status != NATS_OK; tries++) {
        status = come_in(connection, guarded, credentials);
        if (credentials->nkey == NULL) {
            return status;
        }
    }
    return status;
}

static void expect_logins(struct run *run, const struct guarded *guarded, const struct credentials *rows,
                          int right, int wrong)
{
    for (int i = 0; i < right + wrong; i++) {
        natsConnection *connection = NULL;
        natsStatus status = i < right ? come_in_surely(&connection, guarded, &rows[i])
                                      : come_in(&connection, guarded, &rows[i]);
        EXPECT_STATUS(run, status, i < right ? NATS_OK : NATS_CONNECTION_AUTH_FAILED);
        if (i < right && connection != NULL) {
            EXPECT_OK(run, natsConnection_FlushTimeout(connection, WAIT_MS));
        }
        natsConnection_Destroy(connection);
    }
}

static void credentials_files(struct run *run)
{
    struct guarded guarded;
    if (guarded_start(run, &guarded, "", creds)) {
        const struct credentials row = {.creds_file = guarded.seed};
        expect_logins(run, &guarded, &row, 1, 0);
    }
    guarded_stop(&guarded);
    if (guarded_start(run, &guarded, token, creds)) {
        const struct credentials row = {.creds_file = guarded.seed};
        expect_logins(run, &guarded, &row, 0, 1);
    }
    guarded_stop(&guarded);
}

static void certificates(struct run *run)
{
    struct guarded guarded;
    if (guarded_start(run, &guarded, mapped, USER_SEED)) {
        const struct credentials rows[] = {
            {.certificate = true},
            {.certificate = true, .user = "CN=client", .password = "x"},
            {.certificate = true, .user = "plain", .password = "secret"},
        };
        natsConnection *connection = NULL;
        expect_logins(run, &guarded, rows, 1, 2);
        natsStatus status =
            come_in(&connection, &guarded, &(struct credentials){.user = "plain", .password = "secret"});
        EXPECT(run, status != NATS_OK); /* without a certificate; how it hears of that is OpenSSL's affair */
        natsConnection_Destroy(connection);
    }
    guarded_stop(&guarded);
}

void scenario_logins(struct run *run)
{
    struct guarded guarded;
    if (guarded_start(run, &guarded, users, USER_SEED)) {
        const struct credentials rows[] = {
            {.user = "plain", .password = "secret"},
            {.user = "hashed", .password = "U*U"},
            {.nkey = USER_KEY, .seed_file = guarded.seed},
            {.user = "plain", .password = "Secret"},
            {.user = "hashed", .password = "U*V"},
            {.user = "nobody", .password = "secret"},
            {.token = "secret"},
            {0},
        };
        expect_logins(run, &guarded, rows, 3, 5);
    }
    guarded_stop(&guarded);
    if (guarded_start(run, &guarded, users, OTHER_SEED)) {
        const struct credentials wrong = {.nkey = USER_KEY, .seed_file = guarded.seed};
        expect_logins(run, &guarded, &wrong, 0, 1);
    }
    guarded_stop(&guarded);
    if (guarded_start(run, &guarded, token, USER_SEED)) {
        const struct credentials rows[] = {
            {.token = "t0ken"}, {.token = "token"}, {.user = "t0ken", .password = ""}};
        expect_logins(run, &guarded, rows, 1, 2);
    }
    guarded_stop(&guarded);
    credentials_files(run);
    if (getenv("INTEROP_TLS") != NULL) {
        certificates(run);
    }
}

/* The text of the last thing that the server refused. */
static void expect_refused(struct run *run, natsConnection *connection, const char *what)
{
    const char *text = NULL;
    EXPECT_OK(run, natsConnection_FlushTimeout(connection, WAIT_MS));
    (void)natsConnection_GetLastError(connection, &text);
    EXPECT(run, text != NULL && strcasestr(text, what) != NULL);
}

static void permissions(struct run *run, natsConnection *limited, natsConnection *other)
{
    natsSubscription *wide = NULL;
    natsSubscription *refused = NULL;
    natsMsg *message = NULL;
    EXPECT_OK(run, natsConnection_SubscribeSync(&wide, limited, "in.*"));
    EXPECT_OK(run, natsConnection_SubscribeSync(&refused, limited, "out"));
    expect_refused(run, limited, "permissions violation for subscription to \"out\"");
    EXPECT_OK(run, natsConnection_PublishString(limited, "out", "x"));
    expect_refused(run, limited, "permissions violation for publish to \"out\"");
    EXPECT_OK(run, natsConnection_PublishString(other, "in.secret", "hidden"));
    EXPECT_OK(run, natsConnection_PublishString(other, "in.open", "seen"));
    EXPECT_OK(run, natsConnection_FlushTimeout(other, WAIT_MS));
    if (EXPECT_OK(run, natsSubscription_NextMsg(&message, wide, WAIT_MS))) {
        EXPECT(run, strcmp(natsMsg_GetSubject(message), "in.open") == 0);
    }
    natsMsg_Destroy(message);
    natsSubscription_Destroy(wide);
    natsSubscription_Destroy(refused);
}

static void responses(struct run *run, natsConnection *requester, natsConnection *service)
{
    natsSubscription *requests = NULL;
    natsSubscription *answers = NULL;
    natsMsg *request = NULL;
    natsMsg *answer = NULL;
    EXPECT_OK(run, natsConnection_SubscribeSync(&requests, service, "req"));
    EXPECT_OK(run, natsConnection_SubscribeSync(&answers, requester, "in.answer"));
    EXPECT_OK(run, natsConnection_FlushTimeout(service, WAIT_MS));
    EXPECT_OK(run, natsConnection_PublishRequestString(requester, "req", "in.answer", "?"));
    if (EXPECT_OK(run, natsSubscription_NextMsg(&request, requests, WAIT_MS))) {
        EXPECT_OK(run, natsConnection_PublishString(service, natsMsg_GetReply(request), "!"));
        EXPECT_OK(run, natsSubscription_NextMsg(&answer, answers, WAIT_MS));
        EXPECT_OK(run, natsConnection_PublishString(service, natsMsg_GetReply(request), "!!"));
        expect_refused(run, service, "permissions violation for publish to \"in.answer\"");
    }
    natsMsg_Destroy(request);
    natsMsg_Destroy(answer);
    natsSubscription_Destroy(requests);
    natsSubscription_Destroy(answers);
}

void scenario_permissions(struct run *run)
{
    struct guarded guarded;
    natsConnection *limited = NULL;
    natsConnection *other = NULL;
    natsConnection *service = NULL;
    if (guarded_start(run, &guarded, users, USER_SEED) &&
        EXPECT_OK(run, come_in_surely(&limited, &guarded,
                                      &(struct credentials){.nkey = USER_KEY, .seed_file = guarded.seed})) &&
        EXPECT_OK(run,
                  come_in(&other, &guarded, &(struct credentials){.user = "plain", .password = "secret"})) &&
        EXPECT_OK(run,
                  come_in(&service, &guarded, &(struct credentials){.user = "service", .password = "p"}))) {
        permissions(run, limited, other);
        responses(run, limited, service);
    }
    natsConnection_Destroy(limited);
    natsConnection_Destroy(other);
    natsConnection_Destroy(service);
    guarded_stop(&guarded);
}

static void imported_stream(struct run *run, natsConnection *exporter, natsConnection *importer)
{
    natsSubscription *far = NULL;
    natsMsg *message = NULL;
    EXPECT_OK(run, natsConnection_SubscribeSync(&far, importer, "far.news.*"));
    EXPECT_OK(run, natsConnection_FlushTimeout(importer, WAIT_MS));
    EXPECT_OK(run, natsConnection_PublishString(exporter, "news.a", "first"));
    if (EXPECT_OK(run, natsSubscription_NextMsg(&message, far, WAIT_MS))) {
        EXPECT(run, strcmp(natsMsg_GetSubject(message), "far.news.a") == 0);
        EXPECT(run, strcmp(natsMsg_GetData(message), "first") == 0);
    }
    natsMsg_Destroy(message);
    natsSubscription_Destroy(far);
}

static void answer_request(natsConnection *connection, natsSubscription *subscription, natsMsg *request,
                           void *closure)
{
    const char *who = NULL;
    bool informed = natsMsgHeader_Get(request, "Nats-Request-Info", &who) == NATS_OK;
    (void)subscription;
    (void)closure;
    natsConnection_PublishString(connection, natsMsg_GetReply(request),
                                 informed ? natsMsg_GetSubject(request) : "nobody asks");
    natsMsg_Destroy(request);
}

static void imported_service(struct run *run, natsConnection *exporter, natsConnection *importer)
{
    natsSubscription *service = NULL;
    natsMsg *reply = NULL;
    EXPECT_OK(run, natsConnection_Subscribe(&service, exporter, "ask.*", answer_request, NULL));
    EXPECT_OK(run, natsConnection_FlushTimeout(exporter, WAIT_MS));
    if (EXPECT_OK(run, natsConnection_RequestString(&reply, importer, "far.ask.x", "?", WAIT_MS))) {
        EXPECT(run, strcmp(natsMsg_GetData(reply), "ask.x") == 0);
    }
    natsMsg_Destroy(reply);
    reply = NULL;
    EXPECT_STATUS(run, natsConnection_RequestString(&reply, importer, "ask.x", "?", WAIT_MS),
                  NATS_NO_RESPONDERS);
    natsMsg_Destroy(reply);
    natsSubscription_Destroy(service);
}

void scenario_accounts(struct run *run)
{
    struct guarded guarded;
    natsConnection *exporter = NULL;
    natsConnection *importer = NULL;
    if (guarded_start(run, &guarded, accounts, USER_SEED) &&
        EXPECT_OK(run,
                  come_in(&exporter, &guarded, &(struct credentials){.user = "exporter", .password = "p"})) &&
        EXPECT_OK(run,
                  come_in(&importer, &guarded, &(struct credentials){.user = "importer", .password = "p"}))) {
        imported_stream(run, exporter, importer);
        imported_service(run, exporter, importer);
    }
    natsConnection_Destroy(exporter);
    natsConnection_Destroy(importer);
    guarded_stop(&guarded);
}
