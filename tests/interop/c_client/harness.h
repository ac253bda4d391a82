/* tests/interop/c_client/harness.h - what the scenarios of the C client share: counting what failed, and a
 * server of one's own for the scenario that kills it.
 * In the flow: main() -> each scenario(run) -> EXPECT(); main() prints the closing line. One thread's. */
#ifndef TESTS_INTEROP_C_CLIENT_HARNESS_H
#define TESTS_INTEROP_C_CLIENT_HARNESS_H

#include <nats/nats.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* One run of all scenarios against one server. */
struct run {
    const char *url;           /* of the server that all scenarios but reconnect use */
    const char *server_binary; /* for reconnect; NULL: that scenario is skipped */
    const char *scenario;      /* the one that runs now */
    int failures;              /* of this scenario */
};

/* Notes a failed expectation with its line; evaluates to the condition. */
#define EXPECT(run, condition) run_expect((run), (condition), #condition, __FILE__, __LINE__)

/* A call of the client library that must succeed. */
#define EXPECT_OK(run, call) run_expect_status((run), (call), NATS_OK, #call, __FILE__, __LINE__)
#define EXPECT_STATUS(run, call, wanted) run_expect_status((run), (call), (wanted), #call, __FILE__, __LINE__)

bool run_expect(struct run *run, bool condition, const char *text, const char *file, int line);
bool run_expect_status(struct run *run, natsStatus got, natsStatus wanted, const char *text, const char *file,
                       int line);

/* Lays what every connection of a run has over `options`: with INTEROP_TLS (a folder with ca.pem, client.pem
 * and client.key) TLS and a certificate, else nothing. */
natsStatus options_secure(natsOptions *options);

/* natsConnection_ConnectTo(), with that. */
natsStatus client_connect(natsConnection **connection, const char *url);

/* A loopback port that was free a moment ago, or 0. */
uint16_t port_free(void);

/* Starts `binary -a 127.0.0.1 -p port` with the words of MYELIN_FLAGS and of `more` behind it, and waits at
 * most ten seconds until it accepts. Returns its process id, or -1 with the reason on stderr. */
pid_t server_start(const char *binary, uint16_t port, const char *more);

/* Kills it as a power cut would, and waits until it is gone. */
void server_kill(pid_t server);

/* Milliseconds that never go back. */
int64_t now_ms(void);
void sleep_ms(int milliseconds);

/* The scenarios; each opens and closes its own connections. */
void scenario_publish_subscribe(struct run *run);
void scenario_auto_unsubscribe(struct run *run);
void scenario_queue_groups(struct run *run);
void scenario_request_reply(struct run *run);
void scenario_no_responders(struct run *run);
void scenario_headers(struct run *run);
void scenario_drain(struct run *run);
void scenario_drain_connection(struct run *run);
void scenario_mixed_bytes(struct run *run);
void scenario_reconnect(struct run *run);
void scenario_logins(struct run *run);
void scenario_permissions(struct run *run);
void scenario_accounts(struct run *run);

/* Those of NATS Streaming. */
void scenario_stream_publish(struct run *run);
void scenario_stream_start_positions(struct run *run);
void scenario_stream_durable(struct run *run);
void scenario_stream_queue_group(struct run *run);
void scenario_stream_durable_queue_group(struct run *run);
void scenario_stream_redelivery(struct run *run);
void scenario_stream_clients(struct run *run);
void scenario_stream_restart(struct run *run);

/* Something else: publishes and subscribes in the channel `name` of a cluster, prints what happens, and obeys
 * stdin until its end; tests/interop/go/history.go describes both. Returns the program's exit code. */
int history_play(const char *urls, const char *name);

#endif
