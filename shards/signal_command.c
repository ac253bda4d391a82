/* shards/signal_command.c - see signal_command.h. Processes are found by reading /proc, so no other program
 * has to be installed. */
#include "shards/signal_command.h"

#include "core/base/bytes.h"
#include "core/base/errno_text.h"
#include "core/base/memory.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PROCESSES_MAX = 4096, PID_TEXT_BYTES = 4096, NAME_BYTES = 4096 };

struct signal_word {
    const char *word;
    int number;
};

static const struct signal_word words[] = {
    {"stop", SIGKILL},   {"quit", SIGINT},   {"term", SIGTERM},
    {"reopen", SIGUSR1}, {"reload", SIGHUP}, {"ldm", SIGUSR2},
};

static int number_of(struct bytes word)
{
    for (size_t i = 0; i < COUNT_OF(words); i++) {
        if (bytes_equal(word, text(words[i].word)))
            return words[i].number;
    }
    return 0;
}

static bool program_is(const char *pid, const char *program)
{
    char path[64];
    char name[NAME_BYTES];
    snprintf(path, sizeof path, "/proc/%.20s/cmdline", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t count = read(fd, name, sizeof name - 1);
    close(fd);
    if (count <= 0)
        return false;
    name[count] = 0; /* the first argument ends at its own zero */
    const char *slash = strrchr(name, '/');
    return strcmp(slash == NULL ? name : slash + 1, program) == 0;
}

static size_t find_in_proc(const char *program, pid_t *found, size_t most)
{
    size_t count = 0;
    DIR *directory = opendir("/proc");
    if (directory == NULL)
        return 0;
    for (const struct dirent *at; count < most && (at = readdir(directory)) != NULL;) {
        if (isdigit((unsigned char)at->d_name[0]) && program_is(at->d_name, program))
            found[count++] = (pid_t)strtol(at->d_name, NULL, 10);
    }
    closedir(directory);
    return count;
}

/* What stands behind "=": a number, or the file that holds one and nothing else. */
static bool pid_text_read(const char *given, char *out)
{
    int fd = open(given, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        snprintf(out, PID_TEXT_BYTES, "%s", given);
        return true;
    }
    ssize_t count = read(fd, out, PID_TEXT_BYTES - 1);
    close(fd);
    if (count < 0)
        return false;
    out[count] = 0;
    return true;
}

static bool all_digits(const char *at, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!isdigit((unsigned char)at[i]))
            return false;
    }
    return true;
}

static enum err send_one(const struct signal_world *world, pid_t pid, int number, const char *word, char *why,
                         size_t why_bytes)
{
    if (world->send(pid, number) == 0)
        return ERR_OK;
    const char *cause = errno == ESRCH ? "no such process" : errno_text(errno).text;
    snprintf(why, why_bytes, "\nsignal \"%s\" %ld: %s", word, (long)pid, cause);
    return ERR_SYSTEM;
}

/* All other processes of that name whose number begins with `prefix`. */
static size_t others(const struct signal_world *world, const char *program, const char *prefix, pid_t *found)
{
    size_t kept = 0;
    size_t count = world->find(program, found, PROCESSES_MAX);
    for (size_t i = 0; i < count; i++) {
        char number[32];
        snprintf(number, sizeof number, "%ld", (long)found[i]);
        if (found[i] != world->self && strncmp(number, prefix, strlen(prefix)) == 0)
            found[kept++] = found[i];
    }
    return kept;
}

static void list_processes(const char *program, const pid_t *found, size_t count, char *why, size_t why_bytes)
{
    size_t used = (size_t)snprintf(why, why_bytes, "multiple %s processes running:", program);
    for (size_t i = 0; i < count && used < why_bytes; i++)
        used += (size_t)snprintf(why + used, why_bytes - used, "\n%ld", (long)found[i]);
}

static enum err unknown(struct bytes word, char *why, size_t why_bytes)
{
    snprintf(why, why_bytes, "unknown signal \"%.*s\"", BYTES_PRINTF(word));
    return ERR_INVALID;
}

/* nats-server shows what stands behind the second "=", split at the others. */
static void parameters_refuse(const char *rest, char *why, size_t why_bytes)
{
    int count = snprintf(why, why_bytes, "invalid signal parameters: [%s]", rest);
    for (int i = 0; i < count && (size_t)i < why_bytes; i++) {
        if (why[i] == '=')
            why[i] = ' ';
    }
}

/* Every process that a trailing `*` stands for, or the only one when no pid was given. */
static enum err send_found(const struct signal_world *world, const char *program, const char *prefix,
                           bool many, struct bytes word, char *why, size_t why_bytes)
{
    static const size_t bytes = PROCESSES_MAX * sizeof(pid_t);
    char name[16];
    pid_t *found = memory_new(bytes);
    if (found == NULL) {
        snprintf(why, why_bytes, "out of memory");
        return ERR_MEMORY;
    }
    snprintf(name, sizeof name, "%.*s", BYTES_PRINTF(word));
    size_t count = others(world, program, prefix, found);
    enum err err = ERR_OK;
    if (count == 0 && !many) { /* a pattern that nobody fits is no error */
        snprintf(why, why_bytes, "no %s processes running", program);
        err = ERR_NOT_FOUND;
    } else if (count > 1 && !many) {
        list_processes(program, found, count, why, why_bytes);
        err = ERR_INVALID;
    }
    if (err == ERR_OK && number_of(word) == 0)
        err = unknown(word, why, why_bytes);
    for (size_t i = 0; i < count && err == ERR_OK; i++)
        err = send_one(world, found[i], number_of(word), name, why, why_bytes);
    memory_free(found);
    return err;
}

enum err signal_command_send_in(const struct signal_world *world, const char *program, const char *command,
                                char *why, size_t why_bytes)
{
    char pid[PID_TEXT_BYTES] = "";
    const char *equals = strchr(command, '=');
    struct bytes word = bytes_of(command, equals == NULL ? strlen(command) : (size_t)(equals - command));
    char name[16];
    const char *second = equals == NULL ? NULL : strchr(equals + 1, '=');
    if (second != NULL) {
        parameters_refuse(second + 1, why, why_bytes);
        return ERR_INVALID;
    }
    if (equals == NULL)
        return send_found(world, program, "", false, word, why, why_bytes);
    bool readable = pid_text_read(equals + 1, pid);
    size_t count = strlen(pid);
    bool many = count > 0 && pid[count - 1] == '*';
    if (many)
        pid[--count] = 0;
    long number = count > 0 && count < 10 ? strtol(pid, NULL, 10) : 0;
    if (!readable || !all_digits(pid, count) || (!many && (number <= 0 || number > INT_MAX))) {
        snprintf(why, why_bytes, "invalid pid: %s%s", pid, many ? "*" : "");
        return ERR_INVALID;
    }
    if (number_of(word) == 0)
        return unknown(word, why, why_bytes);
    if (many)
        return send_found(world, program, pid, true, word, why, why_bytes);
    snprintf(name, sizeof name, "%.*s", BYTES_PRINTF(word));
    return send_one(world, (pid_t)number, number_of(word), name, why, why_bytes);
}

enum err signal_command_send(const char *program, const char *command, char *why, size_t why_bytes)
{
    struct signal_world world = {.find = find_in_proc, .send = kill, .self = getpid()};
    return signal_command_send_in(&world, program, command, why, why_bytes);
}
