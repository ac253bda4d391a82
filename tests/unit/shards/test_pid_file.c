/* Tests shards/pid_file.c (spec/configuration.md 1.8). */
#include "shards/pid_file.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t file_read(const char *path, char *out, size_t out_bytes)
{
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    size_t count = fread(out, 1, out_bytes - 1, file);
    out[count] = 0;
    fclose(file);
    return count;
}

Test(pid_file, holds_the_number_and_nothing_else)
{
    char directory[] = "/tmp/myelin-test-XXXXXX";
    char path[64];
    char why[256];
    char got[64];
    char expect[32];
    struct stat about;
    cr_assert_not_null(mkdtemp(directory));
    snprintf(path, sizeof path, "%s/pid", directory);
    for (int round = 0; round < 2; round++) { /* over an older, longer one as well */
        cr_assert_eq(pid_file_write(path, why, sizeof why), ERR_OK, "%s", why);
        snprintf(expect, sizeof expect, "%ld", (long)getpid());
        file_read(path, got, sizeof got);
        cr_expect_str_eq(got, expect);
        cr_assert_eq(stat(path, &about), 0);
        cr_expect_eq(about.st_mode & 0177, 0, "nobody else reads or writes it: %o", about.st_mode & 0777);
        FILE *file = fopen(path, "w");
        cr_assert_not_null(file);
        fputs("something older and longer than a number", file);
        fclose(file);
    }
    unlink(path);
    rmdir(directory);
}

Test(pid_file, says_why_it_could_not_be_written)
{
    char why[256] = "";
    cr_expect_eq(pid_file_write("/tmp/no-such-directory-of-myelin/pid", why, sizeof why), ERR_SYSTEM);
    cr_expect_str_eq(
        why, "Could not write pidfile: open /tmp/no-such-directory-of-myelin/pid: no such file or directory");
    cr_expect_eq(pid_file_write("/dev/full", why, sizeof why), ERR_SYSTEM);
    cr_expect_str_eq(why, "Could not write pidfile: write /dev/full: no space left on device");
}
