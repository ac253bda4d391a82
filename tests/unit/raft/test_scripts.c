/* Tests the raft machine by scripts: scripts/ *.txt, verbs in lab.c. A block is some lines of verbs, "----",
 * and what they print, up to an empty line. With RAFT_SCRIPTS_REWRITE set the expectations are written anew;
 * the difference is to be reviewed. */
#include "tests/unit/raft/lab.h"

#include "core/base/memory.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#define FOLDER "tests/unit/raft/scripts"

enum { SCRIPT_BYTES_MAX = 64 * 1024, NAME_BYTES = 300 };

struct script {
    char text[SCRIPT_BYTES_MAX];
    char now[SCRIPT_BYTES_MAX]; /* as it would be with today's output */
};

static void script_read(const char *path, struct script *script)
{
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    size_t count = fread(script->text, 1, SCRIPT_BYTES_MAX - 1, file);
    cr_assert_lt(count, SCRIPT_BYTES_MAX - 1, "%s is too long", path);
    script->text[count] = '\0';
    fclose(file);
}

static void script_add(struct script *script, const char *text)
{
    size_t count = strlen(script->now);
    cr_assert_lt(count + strlen(text), SCRIPT_BYTES_MAX);
    memcpy(script->now + count, text, strlen(text) + 1);
}

/* Copies verbs and comments, runs the verbs, and puts what they print behind "----". */
static void script_run(struct script *script)
{
    struct lab *lab = memory_new(sizeof *lab);
    cr_assert_not_null(lab);
    char copy[SCRIPT_BYTES_MAX];
    memcpy(copy, script->text, SCRIPT_BYTES_MAX);
    char *rest = copy;
    bool skips = false;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        if (skips && *line != '\0')
            continue;
        if (skips && *line == '\0')
            skips = false;
        if (rest == NULL && *line == '\0')
            break;
        script_add(script, line);
        script_add(script, "\n");
        if (strcmp(line, "----") == 0) {
            script_add(script, lab->output);
            lab->output_bytes = 0;
            lab->output[0] = '\0';
            skips = true;
        } else if (*line != '#') {
            lab_run(lab, line);
        }
    }
    cr_expect_eq(lab->output_bytes, 0, "the last verbs have no ----");
    lab_close(lab);
    memory_free(lab);
}

static void first_difference(const char *name, const struct script *script)
{
    unsigned line = 1;
    const char *wanted = script->text, *now = script->now, *line_start = script->now,
               *wanted_start = script->text;
    for (; *wanted != '\0' && *wanted == *now; wanted++, now++) {
        if (*wanted == '\n') {
            line++;
            line_start = now + 1;
            wanted_start = wanted + 1;
        }
    }
    cr_expect(*wanted == '\0' && *now == '\0', "%s:%u: expected \"%.*s\", got \"%.*s\"", name, line,
              (int)strcspn(wanted_start, "\n"), wanted_start, (int)strcspn(line_start, "\n"), line_start);
}

static void script_test(const char *name)
{
    char path[NAME_BYTES];
    struct script *script = memory_new(sizeof *script);
    cr_assert_not_null(script);
    snprintf(path, sizeof path, FOLDER "/%s", name);
    script_read(path, script);
    script_run(script);
    if (getenv("RAFT_SCRIPTS_REWRITE") != NULL) {
        FILE *file = fopen(path, "w");
        cr_assert_not_null(file);
        fputs(script->now, file);
        fclose(file);
    }
    first_difference(name, script);
    memory_free(script);
}

Test(raft_scripts, print_what_they_say)
{
    DIR *folder = opendir(FOLDER);
    cr_assert_not_null(folder, "run from the top of the tree");
    unsigned count = 0;
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        script_test(entry->d_name);
        count++;
    }
    closedir(folder);
    cr_expect_gt(count, 10);
}
