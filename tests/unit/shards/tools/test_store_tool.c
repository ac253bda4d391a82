/* shards/tools/store_tool.c: what `myelin store` says of a store, of a damaged one, and of words that it does
 * not know. */
#include "core/base/language.h"
#include "shards/tools/tool.h"
#include "store/store.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ARGUMENTS_MAX = 12, OUT_BYTES = 4096 };

static char folder[64], out[OUT_BYTES], err[OUT_BYTES];

static void make_store(void)
{
    char why[STORE_WHY_BYTES] = "";
    struct store_files files;
    struct store *store = NULL;
    struct store_channel *foo = NULL, *bar = NULL;
    uint64_t sequence = 0;
    (void)snprintf(folder, sizeof folder, "/tmp/myelin-look-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
    cr_assert_eq(store_files_open(&files, folder, why, sizeof why), ERR_OK);
    struct store_options options = {.kind = STORE_FILE, .files = files, .segment_bytes = 1 << 16};
    cr_assert_eq(store_open(&store, &options, 1, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(store_channel_create(store, TEXT("foo"), 1, &foo), ERR_OK);
    cr_assert_eq(store_channel_create(store, TEXT("bar"), 1, &bar), ERR_OK);
    cr_assert_eq(store_append(store, foo, TEXT("hello\n\\"), 10, &sequence), ERR_OK);
    cr_assert_eq(store_append(store, foo, TEXT("world"), 11, &sequence), ERR_OK);
    cr_assert_eq(store_append(store, bar,
                              TEXT("0123456789012345678901234567890123456789012345678901234567890123456"), 12,
                              &sequence),
                 ERR_OK);
    cr_assert_eq(store_state_put(store, STORE_STATE_SUBSCRIPTION, foo, TEXT("\x01"), TEXT("value")), ERR_OK);
    cr_assert_eq(store_close(store), ERR_OK);
    store_files_close(&files);
}

static void drop_store(void)
{
    static const char *const names[] = {"00000001.wal", "lock"};
    char path[128];
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        cr_expect_eq(unlink(path), 0, "%s", path);
    }
    cr_expect_eq(rmdir(folder), 0, "the tool left something there");
}

/* Words between blanks; `@` stands for the folder. */
static int run(const char *line)
{
    char copy[512], *arguments[ARGUMENTS_MAX];
    int count = 0;
    FILE *out_file = fmemopen(out, sizeof out, "w"), *err_file = fmemopen(err, sizeof err, "w");
    (void)snprintf(copy, sizeof copy, "%s", line);
    for (char *rest = copy, *word; (word = strsep(&rest, " ")) != NULL && count < ARGUMENTS_MAX;)
        arguments[count++] = strcmp(word, "@") == 0 ? folder : word;
    out[0] = err[0] = 0;
    int exit_code = tool_store(count, arguments, &(struct tool_streams){stdin, out_file, err_file});
    (void)fclose(out_file);
    (void)fclose(err_file);
    return exit_code;
}

Test(store_tool, tells_what_is_there)
{
    make_store();
    cr_expect_eq(run("store verify @"), 0, "%s", err);
    cr_expect_not_null(strstr(out, "ok: 1 segments, "), "%s", out);
    cr_expect_not_null(strstr(out, " 2 channels, 3 messages, 1 records\n"), "%s", out);
    cr_expect_eq(run("store list @"), 0, "%s", err);
    cr_expect_str_eq(out, "channel       foo  first 1  last 2  messages 2  bytes 92  subscriptions 1\n"
                          "channel       bar  first 1  last 1  messages 1  bytes 107  subscriptions 0\n"
                          "subscription  foo  01  5 bytes in 1 parts\n");
    cr_expect_eq(run("store dump @"), 0, "%s", err);
    cr_expect_str_eq(out,
                     "foo 1 10 7 hello\\x0a\\x5c\n"
                     "foo 2 11 5 world\n"
                     "bar 1 12 67 0123456789012345678901234567890123456789012345678901234567890123...\n");
    cr_expect_eq(run("store dump -channel foo -from 2 @"), 0, "%s", err);
    cr_expect_str_eq(out, "foo 2 11 5 world\n");
    cr_expect_eq(run("store dump --channel=bar -all @"), 0, "%s", err);
    cr_expect_str_eq(out,
                     "bar 1 12 67 0123456789012345678901234567890123456789012345678901234567890123456\n");
    cr_expect_eq(run("store dump -count 1 -channel foo @"), 0, "%s", err);
    cr_expect_str_eq(out, "foo 1 10 7 hello\\x0a\\x5c\n");
    drop_store();
}

Test(store_tool, tells_where_damage_is)
{
    make_store();
    char path[128];
    (void)snprintf(path, sizeof path, "%s/00000001.wal", folder);
    FILE *file = fopen(path, "r+");
    cr_assert_not_null(file);
    cr_assert_eq(fseek(file, 80, SEEK_SET), 0);
    cr_assert_eq(fputc('x', file), 'x');
    cr_assert_eq(fclose(file), 0);
    cr_expect_eq(run("store verify @"), 1);
    cr_expect_not_null(strstr(err, "00000001.wal at offset 64"), "%s", err);
    cr_expect_str_eq(out, "");
    drop_store();
}

Test(store_tool, explains_itself)
{
    static const char *const wrong[] = {"store",         "store verify",       "store look /tmp",
                                        "store list -x", "store dump -x /tmp", "store verify -all /tmp"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        cr_expect_eq(run(wrong[i]), 2, "%s", wrong[i]);
        cr_expect(strncmp(err, "Usage: myelin store verify", 26) == 0, "%s", wrong[i]);
    }
    cr_expect_eq(run("store --help"), 0);
    cr_expect(strncmp(out, "Usage:", 6) == 0);
    cr_expect_eq(run("store list /nowhere"), 1);
    cr_expect_str_eq(err, "store: unable to open the store's folder /nowhere: no such file or directory\n");
    make_store();
    cr_expect_eq(run("store dump -from x @"), 2);
    cr_expect_eq(run("store dump -channel baz @"), 1);
    cr_expect_str_eq(err, "store: there is no channel baz\n");
    drop_store();
}
