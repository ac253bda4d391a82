/* bench/process.c - reading /proc behind process.h. */
#include "bench/process.h"

#include "core/base/clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PROC_TEXT_BYTES = 4096, PROC_PATH_BYTES = 320 };

static bool file_read(const char *path, char text[PROC_TEXT_BYTES]);
static bool tasks_read_ns(uint64_t pid, int64_t *cpu_ns);
static bool stat_read_ns(uint64_t pid, int64_t *cpu_ns);
static bool memory_read(uint64_t pid, int64_t *memory_bytes);

enum err process_read(uint64_t pid, struct process_figures *figures, struct failure *failure)
{
    if (!tasks_read_ns(pid, &figures->cpu_ns) && !stat_read_ns(pid, &figures->cpu_ns))
        return failure_set(failure, ERR_NOT_FOUND, "the CPU time of process %llu cannot be read",
                           (unsigned long long)pid);
    if (!memory_read(pid, &figures->memory_bytes))
        return failure_set(failure, ERR_NOT_FOUND, "the memory of process %llu cannot be read",
                           (unsigned long long)pid);
    return ERR_OK;
}

/* The first PROC_TEXT_BYTES - 1 bytes, terminated. */
static bool file_read(const char *path, char text[PROC_TEXT_BYTES])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    size_t count = 0;
    while (count < PROC_TEXT_BYTES - 1) {
        ssize_t got = read(fd, text + count, PROC_TEXT_BYTES - 1 - count);
        if (got <= 0)
            break;
        count += (size_t)got;
    }
    (void)close(fd);
    text[count] = '\0';
    return count > 0;
}

static bool tasks_read_ns(uint64_t pid, int64_t *cpu_ns)
{
    char path[PROC_PATH_BYTES];
    char text[PROC_TEXT_BYTES];
    (void)snprintf(path, sizeof(path), "/proc/%llu/task", (unsigned long long)pid);
    DIR *tasks = opendir(path);
    if (tasks == NULL)
        return false;
    int64_t sum_ns = 0;
    for (struct dirent *entry = readdir(tasks); entry != NULL; entry = readdir(tasks)) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof(path), "/proc/%llu/task/%.32s/schedstat", (unsigned long long)pid,
                       entry->d_name);
        if (file_read(path, text))
            sum_ns += strtoll(text, NULL, 10);
    }
    (void)closedir(tasks);
    *cpu_ns = sum_ns;
    return sum_ns > 0;
}

static bool stat_read_ns(uint64_t pid, int64_t *cpu_ns)
{
    char path[PROC_PATH_BYTES];
    char text[PROC_TEXT_BYTES];
    (void)snprintf(path, sizeof(path), "/proc/%llu/stat", (unsigned long long)pid);
    if (!file_read(path, text))
        return false;
    const char *at = strrchr(text, ')'); /* the name before it may hold anything */
    unsigned long long user_ticks = 0;
    unsigned long long system_ticks = 0;
    if (at == NULL || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu", &user_ticks,
                             &system_ticks) != 2)
        return false;
    *cpu_ns = (int64_t)(user_ticks + system_ticks) * (NS_PER_SECOND / sysconf(_SC_CLK_TCK));
    return true;
}

static bool memory_read(uint64_t pid, int64_t *memory_bytes)
{
    static const struct {
        const char *file;
        const char *key;
    } rows[] = {{"smaps_rollup", "\nRss:"}, {"status", "\nVmRSS:"}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char path[PROC_PATH_BYTES];
        char text[PROC_TEXT_BYTES];
        (void)snprintf(path, sizeof(path), "/proc/%llu/%s", (unsigned long long)pid, rows[i].file);
        const char *at = file_read(path, text) ? strstr(text, rows[i].key) : NULL;
        if (at != NULL) {
            *memory_bytes = strtoll(at + strlen(rows[i].key), NULL, 10) * 1024;
            return true;
        }
    }
    return false;
}
