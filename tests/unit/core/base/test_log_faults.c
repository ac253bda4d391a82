/* tests/unit/core/base/test_log_faults.c - opening and changing the log while memory runs out: a sentence,
 * ERR_MEMORY, no descriptor left, and a log that was open goes on as before. Arenas and blocks, too. */
#include "core/base/arena.h"
#include "core/base/block.h"
#include "core/base/err.h"
#include "core/base/language.h"
#include "core/base/log.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct place {
    char directory[64];
    char log[96];
    char other[96];
    char socket[96];
    char url[128];
    int daemon;
};

static int descriptors(void)
{
    int count = 0;
    DIR *entries = opendir("/proc/self/fd");
    cr_assert_not_null(entries);
    while (readdir(entries) != NULL)
        count++;
    closedir(entries);
    return count;
}

static void place_open(struct place *place)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(place->directory, sizeof place->directory, "/tmp/myelin-test-XXXXXX");
    cr_assert_not_null(mkdtemp(place->directory));
    snprintf(place->log, sizeof place->log, "%s/log", place->directory);
    snprintf(place->other, sizeof place->other, "%s/other", place->directory);
    snprintf(place->socket, sizeof place->socket, "%s/socket", place->directory);
    snprintf(place->url, sizeof place->url, "unix://%s", place->socket);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", place->socket);
    place->daemon = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(place->daemon, (struct sockaddr *)&address, sizeof address), 0);
}

static void place_close(struct place *place)
{
    close(place->daemon);
    unlink(place->log);
    unlink(place->other);
    unlink(place->socket);
    rmdir(place->directory);
}

Test(log_faults, a_log_without_memory_says_so_and_holds_nothing)
{
    struct place place = {0};
    place_open(&place);
    const struct log_options rows[] = {
        {.file = place.log, .size_limit_bytes = 10, .files_max = 2},
        {.remote_syslog = place.url},
        {.debug = true},
    };
    int open_before = descriptors();
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        FOR_EACH_FAULT(plan)
        {
            struct log *log = NULL;
            char why[512] = "";
            enum err err = log_open(&log, &rows[i], why, sizeof why);
            cr_assert_eq(err, faults_met() ? ERR_MEMORY : ERR_OK, "row %zu: %s", i, why);
            cr_assert(err == ERR_OK ? log != NULL : log == NULL && strstr(why, "out of memory") != NULL,
                      "row %zu: %s", i, why);
            log_close(log);
            cr_assert_eq(descriptors(), open_before);
        }
    }
    place_close(&place);
}

/* A reload of the log that memory refuses: the old file takes the next line. */
Test(log_faults, a_refused_change_leaves_the_log_as_it_was)
{
    struct place place = {0};
    place_open(&place);
    FOR_EACH_FAULT(plan)
    {
        struct log *log = NULL;
        struct stat about;
        char why[512] = "";
        faults_pause();
        cr_assert_eq(log_open(&log, &(struct log_options){.file = place.log}, why, sizeof why), ERR_OK);
        cr_assert_eq(truncate(place.log, 0), 0);
        faults_resume();
        struct log_options next = {.file = place.other};
        enum err err = log_reconfigure(log, &next, why, sizeof why);
        cr_assert_eq(err, faults_met() ? ERR_MEMORY : ERR_OK);
        log_notice(log, "a line");
        cr_assert_eq(stat(place.log, &about), 0);
        cr_assert_eq(about.st_size > 0, err != ERR_OK);
        log_close(log);
    }
    place_close(&place);
}

/* A purge that finds no memory for its list says so in the log, and the line that caused it is written. */
Test(log_faults, a_purge_without_memory_waits_for_the_next_rotation)
{
    struct place place = {0};
    place_open(&place);
    FOR_EACH_FAULT(plan)
    {
        struct log *log = NULL;
        char why[512] = "";
        struct stat about;
        faults_pause();
        struct log_options options = {.file = place.log, .size_limit_bytes = 200, .files_max = 1};
        cr_assert_eq(log_open(&log, &options, why, sizeof why), ERR_OK);
        faults_resume();
        for (int i = 0; i < 12; i++)
            log_notice(log, "a line of some length, number %d", i);
        cr_assert_eq(stat(place.log, &about), 0);
        log_close(log);
    }
    DIR *entries = opendir(place.directory);
    cr_assert_not_null(entries);
    for (const struct dirent *at; (at = readdir(entries)) != NULL;)
        (void)unlinkat(dirfd(entries), at->d_name, 0);
    closedir(entries);
    place_close(&place);
}

Test(log_faults, arenas_and_blocks_without_memory_give_nothing)
{
    FOR_EACH_FAULT(plan)
    {
        struct arena arena = {.limit_bytes = 100000};
        struct block_pool pool = {0};
        size_t used = 0;
        for (size_t i = 0; i < 12; i++) {
            uint8_t *piece = arena_new(&arena, 3000);
            cr_assert(piece != NULL || faults_met());
            used += piece == NULL ? 0 : 3008;
            cr_assert_eq(arena.used_bytes, used);
            for (size_t k = 0; piece != NULL && k < 3000; k++)
                cr_assert_eq(piece[k], 0);
            if (piece != NULL)
                memset(piece, 0xff, 3000);
            struct block *block = block_take(&pool, i * 5000);
            cr_assert(block != NULL || faults_met());
            block_release(&pool, block);
        }
        block_pool_close(&pool);
        arena_close(&arena);
    }
}
