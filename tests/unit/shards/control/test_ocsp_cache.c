/* Tests shards/control/ocsp_cache.c and ocsp_cache_file.c: what is remembered, counted and forgotten, and
 * that the file says the same again, or nothing when it is spoiled. */
#include "shards/control/ocsp_cache_file.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WHY_BYTES = 512, PATH_BYTES = 128 };

static const uint8_t *fingerprint(uint8_t number)
{
    static uint8_t digest[OCSP_FINGERPRINT_BYTES];
    memset(digest, number, sizeof digest);
    return digest;
}

static void put(struct ocsp_cache *cache, uint8_t number, const char *response, enum ocsp_status status)
{
    struct block_pool none = {0};
    struct ocsp_answer answer = {.next_update_ns = 1800000000000000000, .status = status};
    ocsp_cache_put(cache, fingerprint(number), text(response), &answer, TEXT("CN=x"), &none);
    block_pool_close(&none);
}

/* What is remembered, as text; NULL: nothing. */
static const char *got(struct ocsp_cache *cache, uint8_t number, char into[64])
{
    struct block_pool none = {0};
    struct peer_remembered remembered = ocsp_cache_get(cache, fingerprint(number));
    if (remembered.block == NULL)
        return NULL;
    snprintf(into, 64, "%.*s", (int)remembered.count, (const char *)remembered.block->bytes);
    block_release(&none, remembered.block);
    block_pool_close(&none);
    return into;
}

Test(ocsp_cache, remembers_the_last_word_and_counts)
{
    struct block_pool pool = {0};
    struct ocsp_cache cache = {.on = true};
    char room[64];
    cr_expect_null(got(&cache, 1, room));
    put(&cache, 1, "one", OCSP_STATUS_GOOD);
    put(&cache, 2, "two", OCSP_STATUS_REVOKED);
    cr_expect_str_eq(got(&cache, 1, room), "one");
    put(&cache, 1, "uno", OCSP_STATUS_UNKNOWN);
    cr_expect_str_eq(got(&cache, 1, room), "uno");
    cr_expect_str_eq(got(&cache, 2, room), "two");
    cr_expect_null(got(&cache, 3, room));
    cr_expect_eq(cache.hits, 3);
    cr_expect_eq(cache.misses, 2);
    cr_expect_eq(cache.count, 2);
    cr_expect_eq(cache.status_counts[OCSP_STATUS_GOOD], 0);
    cr_expect_eq(cache.status_counts[OCSP_STATUS_REVOKED], 1);
    cr_expect_eq(cache.status_counts[OCSP_STATUS_UNKNOWN], 1);
    cr_expect(cache.dirty);
    ocsp_cache_close(&cache, &pool);
    block_pool_close(&pool);
}

Test(ocsp_cache, what_holds_no_more_is_forgotten_unless_it_is_a_revocation_to_be_kept)
{
    struct block_pool pool = {0};
    char room[64];
    for (int preserve = 0; preserve < 2; preserve++) {
        struct ocsp_cache cache = {.on = true, .preserve_revoked = preserve};
        put(&cache, 1, "one", OCSP_STATUS_GOOD);
        put(&cache, 2, "two", OCSP_STATUS_REVOKED);
        for (uint8_t i = 1; i <= 2; i++) {
            struct peer_remembered taken = ocsp_cache_get(&cache, fingerprint(i));
            cr_assert_not_null(taken.block);
            ocsp_cache_spoiled(&cache, fingerprint(i), taken.block, &pool);
            block_release(&pool, taken.block);
        }
        cr_expect_eq(cache.hits, 0);
        cr_expect_eq(cache.misses, 2);
        cr_expect_eq(cache.count, (uint32_t)preserve);
        cr_expect_eq(got(&cache, 2, room) != NULL, preserve);
        ocsp_cache_close(&cache, &pool);
    }
    block_pool_close(&pool);
}

/* Two logins have taken the same old answer; one has fetched a newer one before the other gives up. */
Test(ocsp_cache, what_has_come_in_place_of_an_old_answer_is_not_forgotten_with_it)
{
    struct block_pool pool = {0};
    struct ocsp_cache cache = {.on = true};
    char room[64];
    put(&cache, 1, "old", OCSP_STATUS_GOOD);
    struct peer_remembered first = ocsp_cache_get(&cache, fingerprint(1));
    struct peer_remembered second = ocsp_cache_get(&cache, fingerprint(1));
    ocsp_cache_spoiled(&cache, fingerprint(1), first.block, &pool);
    put(&cache, 1, "new", OCSP_STATUS_REVOKED);
    ocsp_cache_spoiled(&cache, fingerprint(1), second.block, &pool);
    cr_expect_eq(cache.hits, 0);
    cr_expect_eq(cache.misses, 2);
    cr_expect_eq(cache.status_counts[OCSP_STATUS_REVOKED], 1);
    cr_expect_str_eq(got(&cache, 1, room), "new");
    block_release(&pool, first.block);
    block_release(&pool, second.block);
    ocsp_cache_close(&cache, &pool);
    block_pool_close(&pool);
}

static void put_numbered(struct ocsp_cache *cache, uint32_t number, int64_t next_update_ns,
                         struct block_pool *pool)
{
    struct ocsp_answer answer = {.next_update_ns = next_update_ns, .status = OCSP_STATUS_REVOKED};
    uint8_t digest[OCSP_FINGERPRINT_BYTES] = {(uint8_t)(number >> 8), (uint8_t)number,
                                              (uint8_t)(number >> 16)};
    ocsp_cache_put(cache, digest, TEXT("x"), &answer, TEXT("CN=x"), pool);
}

Test(ocsp_cache, a_full_one_makes_room_by_what_holds_no_more)
{
    enum { OVER = 100 }; /* of those that fill it, so many hold no more */
    struct block_pool pool = {0};
    for (int preserve = 0; preserve < 2; preserve++) {
        struct ocsp_cache cache = {.on = true, .preserve_revoked = preserve};
        for (uint32_t i = 0; i < OCSP_CACHE_ENTRIES_MAX; i++)
            put_numbered(&cache, i, i < OVER ? 1 : INT64_MAX / 2, &pool);
        cr_assert_eq(cache.count, OCSP_CACHE_ENTRIES_MAX);
        put_numbered(&cache, OCSP_CACHE_ENTRIES_MAX, INT64_MAX / 2, &pool);
        cr_expect_eq(cache.count, preserve ? OCSP_CACHE_ENTRIES_MAX : OCSP_CACHE_ENTRIES_MAX - OVER + 1);
        cr_expect_eq(cache.status_counts[OCSP_STATUS_REVOKED], cache.count);
        ocsp_cache_close(&cache, &pool);
    }
    block_pool_close(&pool);
}

Test(ocsp_cache, one_that_is_off_remembers_nothing)
{
    struct ocsp_cache cache = {.on = false};
    char room[64];
    put(&cache, 1, "one", OCSP_STATUS_GOOD);
    cr_expect_null(got(&cache, 1, room));
    cr_expect_eq(cache.count + cache.hits + cache.misses, 0);
}

static void file_write(const char *folder, const char *content)
{
    char path[2 * PATH_BYTES];
    snprintf(path, sizeof path, "%s/cache.json", folder);
    FILE *out = fopen(path, "w");
    cr_assert(out != NULL && fputs(content, out) >= 0 && fclose(out) == 0);
}

static void folder_make(char folder[PATH_BYTES])
{
    snprintf(folder, PATH_BYTES, "/tmp/myelin-ocsp-XXXXXX");
    cr_assert_not_null(mkdtemp(folder));
}

static void folder_drop(const char *folder)
{
    char path[2 * PATH_BYTES];
    snprintf(path, sizeof path, "%s/cache.json", folder);
    (void)unlink(path);
    cr_expect_eq(rmdir(folder), 0); /* nothing else is left in it */
}

Test(ocsp_cache, its_file_says_the_same_again)
{
    struct block_pool pool = {0};
    struct ocsp_cache cache = {.on = true}, again = {.on = true};
    char folder[PATH_BYTES], room[64], why[WHY_BYTES] = "";
    folder_make(folder);
    cr_expect_eq(ocsp_cache_load(&again, folder, &pool, why, sizeof why), ERR_NOT_FOUND);
    put(&cache, 1, "one", OCSP_STATUS_GOOD);
    put(&cache, 2, "two", OCSP_STATUS_REVOKED);
    put(&cache, 3, "three", OCSP_STATUS_UNKNOWN);
    struct ocsp_cache_save *save = ocsp_cache_save_begin(&cache, folder);
    cr_assert_not_null(save);
    ocsp_cache_save_write(save);
    cr_expect(save->written, "%s", save->why);
    ocsp_cache_save_free(save, &pool);
    cr_assert_eq(ocsp_cache_load(&again, folder, &pool, why, sizeof why), ERR_OK, "%s", why);
    cr_expect_not(again.dirty);
    cr_expect_str_eq(got(&again, 1, room), "one");
    cr_expect_str_eq(got(&again, 2, room), "two");
    cr_expect_str_eq(got(&again, 3, room), "three");
    for (size_t i = 0; i < COUNT_OF(cache.status_counts); i++)
        cr_expect_eq(again.status_counts[i], 1);
    struct ocsp_cached *entry = ocsp_cache_find(&again, fingerprint(2));
    cr_expect_eq(entry->answer.next_update_ns, 1800000000000000000);
    cr_expect_str_eq(entry->subject, "CN=x");
    cr_expect_gt(entry->cached_ns, 1700000000000000000);
    ocsp_cache_close(&cache, &pool);
    ocsp_cache_close(&again, &pool);
    block_pool_close(&pool);
    folder_drop(folder);
}

Test(ocsp_cache, a_spoiled_file_says_nothing)
{
    static const char key[] = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
    static const char *const files[] = {
        "{\"x\": {\"resp\": \"\"}}",
        "{\"%s\": 5}",
        "{\"%s\": {\"resp\": \"no base64\"}}",
        "{\"%s\": {\"resp\": \"AAAA\"}}",
        "{\"%s\": {\"resp\": \"/wYAAFMyc1R3TwAA\"}}",
        "{\"%s\": {}}",
        "{\"%s\": {\"resp\"",
    };
    struct block_pool pool = {0};
    char folder[PATH_BYTES];
    folder_make(folder);
    for (size_t i = 0; i < COUNT_OF(files); i++) {
        struct ocsp_cache cache = {.on = true, .preserve_revoked = true};
        char content[256], why[WHY_BYTES] = "";
        const char *mark = strstr(files[i], "%s");
        snprintf(content, sizeof content, "%.*s%s%s",
                 mark == NULL ? (int)strlen(files[i]) : (int)(mark - files[i]), files[i],
                 mark == NULL ? "" : key, mark == NULL ? "" : mark + 2);
        file_write(folder, content);
        cr_expect_eq(ocsp_cache_load(&cache, folder, &pool, why, sizeof why), ERR_INVALID, "%s", content);
        cr_expect_gt(strlen(why), 0);
        cr_expect_eq(cache.count, 0);
        cr_expect(cache.on && cache.preserve_revoked && cache.dirty);
        ocsp_cache_close(&cache, &pool);
    }
    block_pool_close(&pool);
    folder_drop(folder);
}

Test(ocsp_cache, a_folder_that_cannot_be_made_is_said)
{
    struct block_pool pool = {0};
    struct ocsp_cache cache = {.on = true};
    struct ocsp_cache_save *save = ocsp_cache_save_begin(&cache, "/dev/null/x");
    cr_assert_not_null(save);
    ocsp_cache_save_write(save);
    cr_expect_not(save->written);
    cr_expect_not_null(strstr(save->why, "not a directory"), "%s", save->why);
    ocsp_cache_save_free(save, &pool);
    block_pool_close(&pool);
}
