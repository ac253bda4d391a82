/* store/files_real.c: the same store on real files, its lock against a second one, and where it cannot be. */
#include "core/base/language.h"
#include "store/store.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct folder {
    char path[64];
};

static struct folder folder_new(void)
{
    struct folder folder = {"/tmp/myelin-store-XXXXXX"};
    cr_assert_not_null(mkdtemp(folder.path));
    return folder;
}

static void folder_free(const struct folder *folder)
{
    DIR *entries = opendir(folder->path);
    cr_assert_not_null(entries);
    for (const struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", folder->path, entry->d_name);
        (void)unlink(path);
    }
    (void)closedir(entries);
    cr_expect_eq(rmdir(folder->path), 0);
}

static struct store_options options_for(struct store_files files)
{
    return (struct store_options){.kind = STORE_FILE, .files = files, .segment_bytes = 1 << 20};
}

Test(files, a_store_on_real_files_keeps_what_it_was_given)
{
    struct folder folder = folder_new();
    char why[STORE_WHY_BYTES] = "";
    static uint8_t data[1000];
    for (uint64_t run = 0; run < 3; run++) {
        struct store_files files;
        struct store *store = NULL;
        cr_assert_eq(store_files_open(&files, folder.path, why, sizeof why), ERR_OK, "%s", why);
        struct store_options options = options_for(files);
        options.limits.messages_max = 3000;
        cr_assert_eq(store_open(&store, &options, 1, why, sizeof why), ERR_OK, "%s", why);
        struct store_channel *channel = store_channel_find(store, TEXT("foo"));
        if (run == 0)
            cr_assert_eq(store_channel_create(store, TEXT("foo"), 1, &channel), ERR_OK);
        cr_assert_eq(store_channel_figures(channel).last_sequence, run * 4000);
        for (int i = 0; i < 4000; i++) {
            uint64_t sequence = 0;
            data[0] = (uint8_t)i;
            cr_assert_eq(store_append(store, channel, bytes_of(data, sizeof data), i, &sequence), ERR_OK,
                         "%s", store_error(store));
            if (i % 500 == 0) {
                cr_assert_eq(store_flush(store, i), ERR_OK, "%s", store_error(store));
                store_tick(store, i);
            }
        }
        struct store_channel_figures figures = store_channel_figures(channel);
        for (uint64_t s = figures.first_sequence; s <= figures.last_sequence; s++) {
            struct store_message message;
            cr_assert_eq(store_lookup(store, channel, s, &message), ERR_OK, "%s", store_error(store));
            cr_assert_eq(message.data.data[0], (uint8_t)((s - 1) % 4000));
        }
        cr_expect_leq(store_figures(store).descriptor_count, 10);
        cr_assert_eq(store_close(store), ERR_OK);
        store_files_close(&files);
    }
    folder_free(&folder);
}

Test(files, the_folder_is_one_stores_only)
{
    struct folder folder = folder_new();
    char why[STORE_WHY_BYTES] = "", expected[STORE_WHY_BYTES];
    struct store_files files, second;
    struct store *store = NULL, *other = NULL;
    cr_assert_eq(store_files_open(&files, folder.path, why, sizeof why), ERR_OK);
    cr_assert_eq(store_files_open(&second, folder.path, why, sizeof why), ERR_OK);
    struct store_options options = options_for(files), same = options_for(second);
    cr_assert_eq(store_open(&store, &options, 1, why, sizeof why), ERR_OK);
    cr_expect_eq(store_open(&other, &same, 1, why, sizeof why), ERR_EXISTS);
    (void)snprintf(expected, sizeof expected, "the store is in use by process %d", getpid());
    cr_expect_str_eq(why, expected);
    cr_assert_eq(store_close(store), ERR_OK);
    cr_expect_eq(store_open(&other, &same, 1, why, sizeof why), ERR_OK, "%s", why);
    cr_assert_eq(store_close(other), ERR_OK);
    store_files_close(&files);
    store_files_close(&second);
    folder_free(&folder);
}

Test(files, a_folder_that_cannot_be_is_named)
{
    struct store_files files;
    char why[STORE_WHY_BYTES] = "";
    cr_expect_eq(store_files_open(&files, "/nowhere/at/all", why, sizeof why), ERR_SYSTEM);
    cr_expect_str_eq(why, "unable to make the store's folder /nowhere/at/all: no such file or directory");
    cr_expect_null(files.calls);
    cr_expect_eq(store_files_open_to_look(&files, "/nowhere", why, sizeof why), ERR_SYSTEM);
    cr_expect_str_eq(why, "unable to open the store's folder /nowhere: no such file or directory");
}
