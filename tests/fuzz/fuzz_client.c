/* Any bytes at a client session, in cuts that the input chooses, while another session listens to everything
 * and the host is full now and then: nothing crashes, nothing leaks, and what is held stays bounded.
 * The first bytes choose options, cuts and refusals, the rest is what the client sends. */
#include "tests/unit/net/fake_host.h"

enum { HEAD_BYTES = 6, PENDING_BYTES_MAX = 8 * 1024, SUBSCRIPTIONS_PER_CLIENT = 8 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char users[] = "authorization { users: [{user: a, password: b}, {user: h, password: "
                            "\"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\"}] }";

static const char permissions[] = "proxies { trusted: [{key: "
                                  "AAU2ZOXBIG6MV4FSFYNJJU2NBPDTMHSSNUF74EWIS6KLZEZCSZW5OICT}] }\n"
                                  "authorization { users: [{user: a, password: b, permissions: {publish: "
                                  "[\"a.>\", b, \"*\"], subscribe: {allow: "
                                  "[\"*\", \"a.>\", \"b.* q\", \">\"], deny: [\"a.b\", \"*.c\", \"a.* q\"]}, "
                                  "allow_responses: {max: 2}}}, {user: p, proxy_required: true}, {nkey: "
                                  "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK}] }";

static struct fake_host *host_of(const uint8_t *head)
{
    struct fake_host *fake = fake_new();
    fake->options.max_pending_bytes = head[0] & 1 ? PENDING_BYTES_MAX : 600;
    fake->options.max_payload_bytes = 5000;
    fake->options.max_subscriptions = SUBSCRIPTIONS_PER_CLIENT;
    fake->options.max_subscription_tokens = head[0] & 2 ? 4 : 0;
    fake->options.trace = (head[0] & 4) != 0; /* the log is NULL: lines are made, not written */
    fake->options.headers = (head[0] & 8) == 0;
    if (head[0] & 16)
        fake_configure(fake, head[0] & 64 ? permissions : users);
    if (head[0] & 32)
        fake->security.no_auth_user = TEXT("a");
    return fake;
}

/* What a session may hold after any input (DESIGN 6): its limits, and one message above max_pending. */
static void check(const struct fake_host *fake, const struct fake_client *at)
{
    uint64_t most = (uint64_t)fake->options.max_pending_bytes + (uint64_t)fake->options.max_payload_bytes;
    ASSERT(at->client.output.pending_bytes <= most + INFO_BYTES_MAX + 64 * 1024);
    ASSERT(at->client.sids.count <= SUBSCRIPTIONS_PER_CLIENT);
    ASSERT(at->closed == (at->client.state == CLIENT_CLOSED));
    ASSERT(at->client.parser.torn == NULL || at->client.parser.torn->capacity <= 32 * 1024);
}

/* The timers that are due when a while has passed. */
static void time_passes(struct fake_host *fake)
{
    fake->context.now_ns += 3LL * 1000 * 1000 * 1000;
    for (unsigned count = 0; count < FAKE_CLIENTS_MAX; count++) {
        struct timer *timer = timers_expired(&fake->context.timers, fake->context.now_ns);
        if (timer == NULL)
            return;
        client_timer_due(CONTAINER_OF(timer, struct client, timer));
    }
}

/* One receive as the shard does it: a full host is asked again in the next turn, a password is answered. */
static void give(struct fake_host *fake, struct fake_client *at, struct bytes piece, uint8_t choice)
{
    uint8_t *copy = malloc(piece.count + 1);
    ASSERT(copy != NULL);
    memcpy(copy + 1, piece.data, piece.count);
    size_t taken = 0;
    for (unsigned tries = 0; tries < 10000; tries++) {
        taken += client_receive(&at->client, bytes_of(copy + 1 + taken, piece.count - taken));
        ASSERT(taken <= piece.count);
        check(fake, at);
        if (!at->client.blocked || at->client.state == CLIENT_CLOSED)
            break;
        if (at->client.state == CLIENT_AUTHENTICATING)
            client_password_checked(&at->client, (choice & 1) != 0);
        client_resume(&at->client);
        ASSERT(tries < 9999);
    }
    ASSERT(taken == piece.count || at->client.state == CLIENT_CLOSED);
    free(copy);
    if (choice & 2)
        fake_drain(fake);
    if ((choice & 12) == 12)
        time_passes(fake);
    at->out_count = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < HEAD_BYTES)
        return 0;
    struct fake_host *fake = host_of(data);
    struct fake_client *at = fake_connect(fake, 0);
    struct fake_client *listener = fake_connect(fake, 1);
    fake_drain(fake);
    fake_say(fake, listener,
             "CONNECT {\"verbose\":false,\"user\":\"a\",\"pass\":\"b\"}\r\nSUB > 1\r\nSUB a q 2\r\n");
    fake->full_every = data[1] % 8 < 2 ? 0 : data[1] % 8;
    struct bytes words = bytes_of(data + HEAD_BYTES, size - HEAD_BYTES);
    size_t from = 0;
    for (size_t turn = 0; from < words.count && !at->closed; turn++) {
        uint8_t choice = data[2 + turn % (HEAD_BYTES - 2)];
        size_t count = (size_t)(choice >> 4) * (choice >> 4) * 4 + 1;
        if (count > words.count - from)
            count = words.count - from;
        fake->context.turn++;
        give(fake, at, bytes_of(words.data + from, count), choice);
        check(fake, listener);
        listener->out_count = 0;
        from += count;
    }
    fake_drain(fake);
    fake->full_every = 0;
    fake_free(fake);
    return 0;
}
