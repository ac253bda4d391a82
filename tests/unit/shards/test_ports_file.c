/* Tests shards/ports_file.c (spec/configuration.md 1.8). */
#include "core/base/language.h"
#include "shards/ports_file.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void file_read(const char *path, char *out, size_t out_bytes)
{
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    out[fread(out, 1, out_bytes - 1, file)] = 0;
    fclose(file);
}

static int files_in(const char *directory)
{
    int count = 0;
    DIR *entries = opendir(directory);
    cr_assert_not_null(entries);
    for (const struct dirent *at; (at = readdir(entries)) != NULL;)
        count += at->d_name[0] != '.';
    closedir(entries);
    return count;
}

Test(ports_file, names_the_url_and_is_gone_at_the_end)
{
    static const struct {
        const char *host;
        bool tls;
        uint16_t http_port;
        const char *expect;
    } rows[] = {
        {"127.0.0.1", false, 0, "{\"nats\":[\"nats://127.0.0.1:4333\"]}"},
        {"::1", false, 0, "{\"nats\":[\"nats://[::1]:4333\"]}"},
        {"127.0.0.1", true, 0, "{\"nats\":[\"tls://127.0.0.1:4333\"]}"},
        {"127.0.0.1", false, 80,
         "{\"nats\":[\"nats://127.0.0.1:4333\"],\"monitoring\":[\"http://127.0.0.2:80\"]}"},
        {"127.0.0.1", true, 80,
         "{\"nats\":[\"tls://127.0.0.1:4333\"],\"monitoring\":[\"https://127.0.0.2:80\"]}"},
    };
    char directory[] = "/tmp/myelin-test-XXXXXX";
    char path[128];
    char expect[128];
    char why[256];
    char got[1024];
    cr_assert_not_null(mkdtemp(directory));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct ports_file ports = {.directory = directory,
                                   .program = "myelin",
                                   .host = rows[i].host,
                                   .port = 4333,
                                   .tls = rows[i].tls,
                                   .http_host = "127.0.0.2",
                                   .http_port = rows[i].http_port,
                                   .https = rows[i].tls};
        cr_assert_eq(ports_file_write(&ports, path, sizeof path, why, sizeof why), ERR_OK, "%s", why);
        snprintf(expect, sizeof expect, "%s/myelin_%ld.ports", directory, (long)getpid());
        cr_expect_str_eq(path, expect);
        file_read(path, got, sizeof got);
        cr_expect_str_eq(got, rows[i].expect);
        cr_expect_eq(files_in(directory), 1, "no draft is left");
        cr_expect_eq(ports_file_remove(path, why, sizeof why), ERR_OK);
        cr_expect_eq(files_in(directory), 0);
    }
    rmdir(directory);
}

Test(ports_file, names_every_local_address_for_a_wildcard)
{
    static const char *const hosts[] = {"", "0.0.0.0", "::"};
    char directory[] = "/tmp/myelin-test-XXXXXX";
    char path[128];
    char why[256];
    char got[16 * 1024];
    cr_assert_not_null(mkdtemp(directory));
    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        struct ports_file ports = {
            .directory = directory, .program = "myelin", .host = hosts[i], .port = 4333};
        cr_assert_eq(ports_file_write(&ports, path, sizeof path, why, sizeof why), ERR_OK, "%s", why);
        file_read(path, got, sizeof got);
        cr_expect_not_null(strstr(got, "\"nats://127.0.0.1:4333\""), "%s", got);
        cr_expect_null(strstr(got, "0.0.0.0"), "%s", got);
        cr_expect_eq(ports_file_remove(path, why, sizeof why), ERR_OK);
    }
    rmdir(directory);
}

Test(ports_file, says_why_it_could_not_be_written_or_removed)
{
    char path[128] = "x";
    char why[512];
    char expect[512];
    struct ports_file ports = {
        .directory = "/tmp/no-such-directory-of-myelin", .program = "m", .host = "127.0.0.1", .port = 1};
    cr_expect_eq(ports_file_write(&ports, path, sizeof path, why, sizeof why), ERR_SYSTEM);
    cr_expect_str_empty(path);
    snprintf(expect, sizeof expect,
             "Error writing ports file (%s/m_%ld.ports): open %s/m_%ld.ports: "
             "no such file or directory",
             ports.directory, (long)getpid(), ports.directory, (long)getpid());
    cr_expect_str_eq(why, expect);
    cr_expect_eq(ports_file_remove("/tmp/no-such-file-of-myelin", why, sizeof why), ERR_SYSTEM);
    cr_expect_str_eq(why, "Error cleaning up ports file /tmp/no-such-file-of-myelin: remove "
                          "/tmp/no-such-file-of-myelin: no such file or directory");
    char tiny[8];
    ports.directory = "/tmp";
    cr_expect_eq(ports_file_write(&ports, tiny, sizeof tiny, why, sizeof why), ERR_SYSTEM);
    cr_expect_str_empty(tiny);
}

Test(ports_file, the_route_port_stands_behind_that_of_clients)
{
    char directory[] = "/tmp/myelin-ports-XXXXXX", path[4096], why[4096], content[1024];
    cr_assert_not_null(mkdtemp(directory));
    struct ports_file ports = {.directory = directory,
                               .program = "p",
                               .host = "127.0.0.1",
                               .port = 4222,
                               .cluster_host = "::1",
                               .cluster_port = 6222,
                               .cluster_tls = true};
    cr_assert_eq(ports_file_write(&ports, path, sizeof path, why, sizeof why), ERR_OK, "%s", why);
    file_read(path, content, sizeof content);
    cr_expect_str_eq(content, "{\"nats\":[\"nats://127.0.0.1:4222\"],\"cluster\":[\"tls://[::1]:6222\"]}",
                     "%s", content);
    cr_expect_eq(ports_file_remove(path, why, sizeof why), ERR_OK);
    rmdir(directory);
}
