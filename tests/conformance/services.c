/* tests/conformance/services.c - see services.h. */
#include "tests/conformance/services.h"

#include "tests/conformance/case.h"
#include "tests/conformance/script.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    SUBJECT_BYTES = 128,
    QUEUE_MESSAGES = 400,
    DRAWS = 1000,
    /* One in a million runs of a fair draw falls outside: 5 standard deviations of 12.6 and 15.8. */
    EIGHTY_LEAST = 737,
    EIGHTY_MOST = 863,
    HALF_LEAST = 421,
    HALF_MOST = 579,
};

#define LOGIN_AS(user)                                                                                       \
    "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true,\"protocol\":1,"  \
    "\"user\":\"" user "\",\"pass\":\"p\"}\r\n"

/* Two connections: 0 asks, 1 is the service with `subscriptions`. */
static bool begin(struct run *run, const char *asks, const char *serves)
{
    return run_connect(run, 0, NONE) && run_send(run, 0, asks) && run_alive(run, 0) &&
           run_connect(run, 1, NONE) && run_send(run, 1, serves) && run_alive(run, 1);
}

/* The next frame of a peer, which must contain `wanted`. */
static bool frame_with(struct run *run, int peer, const char *wanted, struct bytes *frame)
{
    if (!peer_frame(&run->peers[peer], peer_deadline(PEER_PATIENCE_MS), frame))
        return run_fail(run, "peer %d: nothing comes where \"%s\" should", peer, wanted);
    if (memmem(frame->data, frame->count, wanted, strlen(wanted)) == NULL)
        return run_fail(run, "peer %d: \"%s\" is not in \"%.*s\"", peer, wanted, BYTES_PRINTF(*frame));
    return true;
}

/* A request arrives at the service; where it is to be answered comes in `reply`. */
static bool request_arrives(struct run *run, int peer, const char *start, const char *info,
                            char reply[SUBJECT_BYTES])
{
    struct bytes frame;
    char line[512];
    if (!frame_with(run, peer, info, &frame))
        return false;
    snprintf(line, sizeof line, "%.*s", (int)(frame.count < sizeof line ? frame.count : sizeof line - 1),
             (const char *)frame.data);
    if (strncmp(line, start, strlen(start)) != 0)
        return run_fail(run, "expected \"%s\", got \"%s\"", start, line);
    if (sscanf(line + strlen(start), " %127s", reply) != 1 || strncmp(reply, "_R_.", 4) != 0)
        return run_fail(run, "no reply subject of the server in \"%s\"", line);
    return true;
}

static bool answer(struct run *run, int peer, const char *reply, const char *payload)
{
    char message[2 * SUBJECT_BYTES];
    snprintf(message, sizeof message, "PUB %s %zu\r\n%s\r\n", reply, strlen(payload), payload);
    return peer_send(&run->peers[peer], text(message)) && run_alive(run, peer);
}

bool services_swap_tokens(struct run *run)
{
    char reply[SUBJECT_BYTES];
    return begin(run, LOGIN_AS("imp") "SUB in.* 1\r\n", LOGIN_AS("exp") "SUB map.*.* 1\r\n") &&
           run_send(run, 0, "PUB lmap.A.B in.1 2\r\nhi\r\n") &&
           request_arrives(run, 1, "HMSG map.B.A 1", "\r\nNats-Request-Info: {\"acc\":\"IMP\"", reply) &&
           answer(run, 1, reply, "one") && run_expect(run, 0, "MSG in.1 1 3\r\none\r\n") &&
           answer(run, 1, reply, "two") && run_alive(run, 0);
}

bool services_keep_headers(struct run *run)
{
    char reply[SUBJECT_BYTES];
    return begin(run, LOGIN_AS("imp") "SUB in.* 1\r\n", LOGIN_AS("exp") "SUB one.mapped 1\r\n") &&
           run_send(
               run, 0,
               "HPUB one in.1 59 61\r\nNATS/1.0\r\nA: b\r\nNats-Request-Info: {\"acc\":\"EVIL\"}\r\nC: d\r\n"
               "\r\nhi\r\n") &&
           request_arrives(run, 1, "HMSG one.mapped 1",
                           "NATS/1.0\r\nA: b\r\nC: d\r\nNats-Request-Info: {\"acc\":\"IMP\"", reply) &&
           run_send(run, 1, "SUB x 9\r\n") && run_alive(run, 1);
}

bool services_stream(struct run *run)
{
    char reply[SUBJECT_BYTES];
    return begin(run, LOGIN_AS("imp") "SUB in.* 1\r\n", LOGIN_AS("exp") "SUB many 1\r\n") &&
           run_send(run, 0, "PUB many in.1 2\r\nhi\r\n") &&
           request_arrives(run, 1, "HMSG many 1", "hi", reply) && answer(run, 1, reply, "one") &&
           answer(run, 1, reply, "two") && answer(run, 1, reply, "") && answer(run, 1, reply, "late") &&
           run_expect(run, 0, "MSG in.1 1 3\r\none\r\nMSG in.1 1 3\r\ntwo\r\nMSG in.1 1 0\r\n\r\n") &&
           run_alive(run, 0);
}

bool services_late(struct run *run)
{
    char reply[SUBJECT_BYTES];
    if (!begin(run, LOGIN_AS("imp") "SUB in.* 1\r\n", LOGIN_AS("exp") "SUB slow 1\r\n") ||
        !run_send(run, 0, "PUB slow in.1 2\r\nhi\r\n") ||
        !request_arrives(run, 1, "HMSG slow 1", "hi", reply))
        return false;
    peer_pause(1000); /* the threshold is 300 ms, and nats-server looks once per threshold */
    return answer(run, 1, reply, "late") && run_alive(run, 0);
}

bool services_chain(struct run *run)
{
    char reply[SUBJECT_BYTES];
    return begin(run, LOGIN_AS("imp") "SUB in.* 1\r\n", LOGIN_AS("far") "SUB end.* 1\r\n") &&
           run_send(run, 0, "PUB begin.x in.1 2\r\nhi\r\n") &&
           request_arrives(run, 1, "HMSG end.x 1", "\r\nNats-Request-Info: {\"acc\":\"IMP\",\"svc\":\"EXP\"",
                           reply) &&
           answer(run, 1, reply, "back") && run_expect(run, 0, "MSG in.1 1 4\r\nback\r\n") &&
           run_alive(run, 0);
}

static bool has(struct bytes frame, const char *words)
{
    return memmem(frame.data, frame.count, words, strlen(words)) != NULL;
}

/* A sample with that status; the responder, on whatever shard he is, is named when he answered. */
static bool measured_as(struct run *run, int status)
{
    char wanted[32];
    struct bytes frame;
    snprintf(wanted, sizeof wanted, "\"status\":%d", status);
    if (!frame_with(run, 2, wanted, &frame))
        return false;
    if (!has(frame, "\"requestor\":{\"acc\":\"IMP\""))
        return run_fail(run, "no requestor in \"%.*s\"", BYTES_PRINTF(frame));
    bool named = has(frame, "\"responder\":{\"start\":\"") &&
                 has(frame, ",\"acc\":\"EXP\",\"user\":\"exp\",") &&
                 has(frame, ",\"kind\":\"Client\",\"client_type\":\"nats\"}");
    if (named != (status == 200) || has(frame, "responder") != named)
        return run_fail(run, "the responder in \"%.*s\"", BYTES_PRINTF(frame));
    return true;
}

bool services_latency(struct run *run)
{
    char reply[SUBJECT_BYTES];
    return begin(run, LOGIN_AS("imp") "SUB in.* 1\r\n", LOGIN_AS("exp") "SUB lat 1\r\n") &&
           run_connect(run, 2, NONE) && run_send(run, 2, LOGIN_AS("exp") "SUB lat.out 1\r\n") &&
           run_alive(run, 2) && run_send(run, 0, "PUB lat in.1 2\r\nhi\r\n") &&
           request_arrives(run, 1, "HMSG lat 1", "hi", reply) && answer(run, 1, reply, "ok") &&
           run_expect(run, 0, "MSG in.1 1 2\r\nok\r\n") && measured_as(run, 200) &&
           run_send(run, 0, "PUB lat 2\r\nhi\r\n") && run_alive(run, 0) && measured_as(run, 400) &&
           run_send(run, 0, "PUB lat in.2 2\r\nhi\r\n") && run_alive(run, 0) &&
           run_send(run, 0, "UNSUB 1\r\n") && measured_as(run, 408) && run_send(run, 1, "UNSUB 1\r\n") &&
           frame_with(run, 1, "hi", &(struct bytes){0}) && frame_with(run, 1, "hi", &(struct bytes){0}) &&
           run_alive(run, 1) && run_send(run, 0, "SUB in.* 1\r\nPUB lat in.3 2\r\nhi\r\n") &&
           measured_as(run, 503);
}

/* Counts the frames of a peer up to its PONG. */
static bool count_frames(struct run *run, int peer, int *count)
{
    struct bytes frame;
    *count = 0;
    if (!run_send(run, peer, "PING\r\n"))
        return false;
    for (;;) {
        if (!peer_frame(&run->peers[peer], peer_deadline(PEER_PATIENCE_MS), &frame))
            return run_fail(run, "peer %d: no PONG", peer);
        if (bytes_equal(frame, TEXT("PONG\r\n")))
            return true;
        ++*count;
    }
}

bool services_queue_over_accounts(struct run *run)
{
    static const char *const members[] = {
        LOGIN_AS("exp") "SUB pub.q work 1\r\n",
        LOGIN_AS("imp") "SUB from.exp.pub.q work 1\r\n",
        LOGIN_AS("imp") "SUB from.exp.pub.* work 1\r\n",
        LOGIN_AS("other") "SUB pub.q work 1\r\n",
    };
    int sum = 0;
    for (int i = 0; i < (int)COUNT_OF(members); i++) {
        if (!run_connect(run, i, NONE) || !run_send(run, i, members[i]) || !run_alive(run, i))
            return false;
    }
    if (!run_connect(run, 5, NONE) || !run_send(run, 5, LOGIN_AS("exp")) ||
        !run_send_times(run, 5, QUEUE_MESSAGES, "PUB pub.q 1\r\nx\r\n") || !run_alive(run, 5))
        return false;
    for (int i = 0; i < (int)COUNT_OF(members); i++) {
        int count;
        if (!count_frames(run, i, &count))
            return false;
        if (count == 0)
            return run_fail(run, "member %d got nothing", i);
        sum += count;
    }
    return sum == QUEUE_MESSAGES || run_fail(run, "%d deliveries of %d messages", sum, QUEUE_MESSAGES);
}

/* How many of DRAWS messages on a subject come to a receiver of another one. */
static bool draw(struct run *run, const char *publish, const char *subscribe, int least, int most)
{
    int count;
    if (!run_send(run, 0, subscribe) || !run_alive(run, 0) || !run_send_times(run, 1, DRAWS, publish) ||
        !run_alive(run, 1) || !count_frames(run, 0, &count) || !run_send(run, 0, "UNSUB 1\r\n"))
        return false;
    return (count >= least && count <= most) ||
           run_fail(run, "%d of %d, and not %d to %d", count, DRAWS, least, most);
}

bool services_weights(struct run *run)
{
    return begin(run, LOGIN_AS("any"), LOGIN_AS("any")) &&
           draw(run, "PUB w.80 1\r\nx\r\n", "SUB w.a 1\r\n", EIGHTY_LEAST, EIGHTY_MOST) &&
           draw(run, "PUB w.80 1\r\nx\r\n", "SUB w.b 1\r\n", DRAWS - EIGHTY_MOST, DRAWS - EIGHTY_LEAST) &&
           draw(run, "PUB w.half 1\r\nx\r\n", "SUB w.half 1\r\n", HALF_LEAST, HALF_MOST) &&
           draw(run, "PUB w.half 1\r\nx\r\n", "SUB w.c 1\r\n", HALF_LEAST, HALF_MOST) &&
           draw(run, "PUB w.loss 1\r\nx\r\n", "SUB w.> 1\r\n", HALF_LEAST, HALF_MOST);
}
