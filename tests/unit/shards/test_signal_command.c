/* Tests shards/signal_command.c: every answer of spec/configuration.md 1.6, in a world of its own. */
#include "core/base/language.h"
#include "shards/signal_command.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What `find` answers and `send` was told. Each test has a process of its own, so it may be file-wide. */
static struct {
    const pid_t *running;
    size_t running_count;
    char sent[256]; /* "pid:number " for each */
} world_state;

static size_t find_running(const char *program, pid_t *found, size_t most)
{
    cr_expect_str_eq(program, "myelin");
    cr_assert_leq(world_state.running_count, most);
    memcpy(found, world_state.running, world_state.running_count * sizeof *found);
    return world_state.running_count;
}

/* 666 is dead, 1 is somebody else's. */
static int send_noted(pid_t pid, int number)
{
    size_t used = strlen(world_state.sent);
    if (pid == 666 || pid == 1) {
        errno = pid == 666 ? ESRCH : EPERM;
        return -1;
    }
    snprintf(world_state.sent + used, sizeof world_state.sent - used, "%ld:%d ", (long)pid, number);
    return 0;
}

static const struct signal_world world = {.find = find_running, .send = send_noted, .self = 100};

static const pid_t nobody[] = {100};
static const pid_t one[] = {100, 4321};
static const pid_t three[] = {4321, 100, 43, 5555};
static const pid_t dead[] = {666};

struct signal_case {
    const char *command;
    const pid_t *running;
    size_t running_count;
    enum err err;
    const char *sent;
    const char *why;
};
#define RUNNING(list) list, COUNT_OF(list)

static const struct signal_case signal_cases[] = {
    /* the words */
    {"stop=7", RUNNING(nobody), ERR_OK, "7:9 ", ""},
    {"quit=7", RUNNING(nobody), ERR_OK, "7:2 ", ""},
    {"term=7", RUNNING(nobody), ERR_OK, "7:15 ", ""},
    {"reopen=7", RUNNING(nobody), ERR_OK, "7:10 ", ""},
    {"reload=7", RUNNING(nobody), ERR_OK, "7:1 ", ""},
    {"ldm=7", RUNNING(nobody), ERR_OK, "7:12 ", ""},
    /* without a pid */
    {"reload", RUNNING(one), ERR_OK, "4321:1 ", ""},
    {"reload", RUNNING(nobody), ERR_NOT_FOUND, "", "no myelin processes running"},
    {"reload", RUNNING(three), ERR_INVALID, "", "multiple myelin processes running:\n4321\n43\n5555"},
    {"bogus", RUNNING(one), ERR_INVALID, "", "unknown signal \"bogus\""},
    {"", RUNNING(one), ERR_INVALID, "", "unknown signal \"\""},
    {"reload", RUNNING(dead), ERR_SYSTEM, "", "\nsignal \"reload\" 666: no such process"},
    /* with one */
    {"bogus=7", RUNNING(one), ERR_INVALID, "", "unknown signal \"bogus\""},
    {"quit=666", RUNNING(one), ERR_SYSTEM, "", "\nsignal \"quit\" 666: no such process"},
    {"quit=1", RUNNING(one), ERR_SYSTEM, "", "\nsignal \"quit\" 1: operation not permitted"},
    {"quit=abc", RUNNING(one), ERR_INVALID, "", "invalid pid: abc"},
    {"bogus=abc", RUNNING(one), ERR_INVALID, "", "invalid pid: abc"},
    {"quit=", RUNNING(one), ERR_INVALID, "", "invalid pid: "},
    {"quit=0", RUNNING(one), ERR_INVALID, "", "invalid pid: 0"},
    {"quit=-7", RUNNING(one), ERR_INVALID, "", "invalid pid: -7"},
    {"quit=99999999999999999999", RUNNING(one), ERR_INVALID, "", "invalid pid: 99999999999999999999"},
    {"quit=1=2=3", RUNNING(one), ERR_INVALID, "", "invalid signal parameters: [2 3]"},
    /* with a pattern */
    {"quit=*", RUNNING(three), ERR_OK, "4321:2 43:2 5555:2 ", ""},
    {"quit=43*", RUNNING(three), ERR_OK, "4321:2 43:2 ", ""},
    {"quit=9*", RUNNING(three), ERR_OK, "", ""},
    {"quit=*", RUNNING(nobody), ERR_OK, "", ""},
    {"bogus=*", RUNNING(three), ERR_INVALID, "", "unknown signal \"bogus\""},
    {"quit=a*", RUNNING(three), ERR_INVALID, "", "invalid pid: a*"},
    {"quit=6*", RUNNING(dead), ERR_SYSTEM, "", "\nsignal \"quit\" 666: no such process"},
};

Test(signal_command, answers_as_the_table_says)
{
    for (size_t i = 0; i < COUNT_OF(signal_cases); i++) {
        const struct signal_case *c = &signal_cases[i];
        char why[256] = "";
        world_state.running = c->running;
        world_state.running_count = c->running_count;
        world_state.sent[0] = 0;
        enum err err = signal_command_send_in(&world, "myelin", c->command, why, sizeof why);
        cr_expect_eq(err, c->err, "%s: %s", c->command, err_text(err));
        cr_expect_str_eq(world_state.sent, c->sent, "%s: %s", c->command, world_state.sent);
        cr_expect_str_eq(why, c->why, "%s: %s", c->command, why);
    }
}

/* The file's whole content is the number: a newline behind it is one byte too many, as in nats-server. */
Test(signal_command, takes_the_number_from_a_file)
{
    static const struct {
        const char *content;
        const char *sent;
        const char *why;
    } rows[] = {
        {"4711", "4711:1 ", ""},
        {"99999\n", "", "invalid pid: 99999\n"},
        {"", "", "invalid pid: "},
        {"x", "", "invalid pid: x"},
    };
    char path[] = "/tmp/myelin-test-XXXXXX";
    char command[64];
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    snprintf(command, sizeof command, "reload=%s", path);
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char why[256] = "";
        size_t count = strlen(rows[i].content);
        cr_assert_eq(ftruncate(fd, 0), 0);
        cr_assert_eq(pwrite(fd, rows[i].content, count, 0), (ssize_t)count);
        world_state.sent[0] = 0;
        enum err err = signal_command_send_in(&world, "myelin", command, why, sizeof why);
        cr_expect_eq(err, rows[i].why[0] == 0 ? ERR_OK : ERR_INVALID);
        cr_expect_str_eq(world_state.sent, rows[i].sent);
        cr_expect_str_eq(why, rows[i].why);
    }
    close(fd);
    unlink(path);
}

/* The real world, in which nothing has this name. */
Test(signal_command, finds_nobody_of_an_unknown_name)
{
    char why[256] = "";
    cr_expect_eq(signal_command_send("no-such-program-of-myelin", "reload", why, sizeof why), ERR_NOT_FOUND);
    cr_expect_str_eq(why, "no no-such-program-of-myelin processes running");
}

/* However small the caller's buffer is. */
Test(signal_command, cuts_its_sentence_to_the_buffer)
{
    world_state.running = three;
    world_state.running_count = COUNT_OF(three);
    for (size_t room = 1; room < 64; room++) {
        char why[65];
        memset(why, 'x', sizeof why);
        cr_expect_eq(signal_command_send_in(&world, "myelin", "reload", why, room), ERR_INVALID);
        cr_expect_lt(strlen(why), room);
        cr_expect_eq(signal_command_send_in(&world, "myelin", "reload=1=2=3", why, room), ERR_INVALID);
        cr_expect_lt(strlen(why), room);
    }
}
