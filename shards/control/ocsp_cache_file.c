/* shards/control/ocsp_cache_file.c - see ocsp_cache_file.h. JSON is a subset of what configuration files may
 * say, so the parser of these reads it. */
#include "shards/control/ocsp_cache_file.h"

#include "core/base/clock.h"
#include "core/base/errno_text.h"
#include "core/base/memory.h"
#include "core/codec/base64.h"
#include "core/codec/json_output.h"
#include "core/codec/s2.h"
#include "core/config/parser.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, FOLDER_MODE = 0750, FINGERPRINT_LETTERS = 44 };

/* ---- writing ---- */

struct ocsp_cache_save *ocsp_cache_save_begin(const struct ocsp_cache *cache, const char *folder)
{
    struct ocsp_cache_save *save = memory_new(sizeof *save);
    if (save == NULL)
        return NULL;
    save->entries = memory_new((cache->count + 1) * sizeof save->entries[0]);
    save->folder = memory_copy(folder, strlen(folder));
    bool good = save->entries != NULL && save->folder != NULL;
    for (uint32_t i = 0; good && cache->buckets != NULL && i < OCSP_CACHE_BUCKETS; i++) {
        for (const struct ocsp_cached *at = cache->buckets[i]; good && at != NULL; at = at->next) {
            struct ocsp_cached *entry = &save->entries[save->count];
            *entry = *at;
            entry->subject = memory_copy(at->subject, strlen(at->subject));
            good = entry->subject != NULL;
            if (!good)
                break;
            (void)block_hold(entry->response);
            save->count++;
        }
    }
    if (good)
        return save;
    struct block_pool none = {0};
    ocsp_cache_save_free(save, &none);
    block_pool_close(&none);
    return NULL;
}

void ocsp_cache_save_free(struct ocsp_cache_save *save, struct block_pool *pool)
{
    if (save == NULL)
        return;
    for (uint32_t i = 0; save->entries != NULL && i < save->count; i++) {
        block_release(pool, save->entries[i].response);
        memory_free(save->entries[i].subject);
    }
    memory_free(save->entries);
    memory_free(save->folder);
    memory_free(save);
}

static void put_response(struct json_output *document, const struct ocsp_cached *entry)
{
    size_t room = s2_encode_room(entry->response_count);
    size_t letters_room = BASE64_STANDARD_TEXT_BYTES(room);
    uint8_t *packed = memory_grow(NULL, room);
    char *letters = memory_grow(NULL, letters_room);
    if (packed == NULL || letters == NULL) {
        document->failed = true;
    } else {
        size_t count =
            s2_encode(bytes_of(entry->response->bytes, entry->response_count), true, false, packed);
        count = base64_standard_encode(letters, letters_room, bytes_of(packed, count));
        json_put_text(document, "resp", bytes_of(letters, count));
    }
    memory_free(packed);
    memory_free(letters);
}

static void put_entry(struct json_output *document, const struct ocsp_cached *entry)
{
    char key[FINGERPRINT_LETTERS + 1] = "", at[OCSP_TIME_BYTES];
    (void)base64_standard_encode(key, FINGERPRINT_LETTERS,
                                 bytes_of(entry->fingerprint, sizeof entry->fingerprint));
    json_put_object(document, key);
    json_put_text_some(document, "subject", text(entry->subject));
    json_put_text(document, "cached_at", text(ocsp_time_text(at, entry->cached_ns)));
    json_put_text(document, "resp_status", text(ocsp_status_text(entry->answer.status)));
    json_put_text(document, "resp_expires", text(ocsp_time_text(at, entry->answer.next_update_ns)));
    put_response(document, entry);
    json_put_object_end(document);
}

static bool all_written(int fd, const char *data, size_t count)
{
    while (count > 0) {
        ssize_t done = write(fd, data, count);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        data += done;
        count -= (size_t)done;
    }
    return fsync(fd) == 0;
}

/* Beside the old one, then in its place. */
static bool replace(const struct ocsp_cache_save *save, const struct json_output *document)
{
    char path[PATH_BYTES], temporary[PATH_BYTES];
    if (mkdir(save->folder, FOLDER_MODE) != 0 && errno != EEXIST)
        return false;
    if (snprintf(path, sizeof path, "%s/cache.json", save->folder) >= PATH_BYTES ||
        snprintf(temporary, sizeof temporary, "%s/ocsprc-XXXXXX", save->folder) >= PATH_BYTES) {
        errno = ENAMETOOLONG;
        return false;
    }
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return false;
    bool good = all_written(fd, document->data, document->count);
    int error = good ? 0 : errno; /* mkdir() has left its own */
    good = close(fd) == 0 && good && rename(temporary, path) == 0;
    if (good)
        return true;
    error = error == 0 ? errno : error;
    (void)unlink(temporary);
    errno = error;
    return false;
}

void ocsp_cache_save_write(struct ocsp_cache_save *save)
{
    struct json_output document;
    json_output_init(&document, 1, 2 * OCSP_CACHE_FILE_BYTES_MAX);
    json_put_object(&document, NULL);
    for (uint32_t i = 0; i < save->count && document.count < OCSP_CACHE_FILE_BYTES_MAX; i++)
        put_entry(&document, &save->entries[i]);
    json_put_object_end(&document);
    errno = 0;
    save->written = !document.failed && replace(save, &document);
    if (!save->written)
        snprintf(save->why, sizeof save->why, "%s: %s", save->folder,
                 document.failed ? "out of memory" : errno_text(errno).text);
    json_output_close(&document);
}

/* ---- reading ---- */

static struct bytes field_of(const struct config_value *map, const char *name)
{
    for (const struct config_entry *at = map->entries.first; at != NULL; at = at->next) {
        if (config_name_equal(at->key, name) &&
            (at->value->kind == CONFIG_STRING || at->value->kind == CONFIG_DATETIME))
            return at->value->string;
    }
    return (struct bytes){0};
}

/* As Go writes it; 0 when it says nothing, or too much. */
static int64_t time_of(struct bytes written)
{
    char terminated[OCSP_TIME_BYTES * 2];
    struct tm parts = {0};
    if (written.count == 0 || written.count >= sizeof terminated)
        return 0;
    memcpy(terminated, written.data, written.count);
    terminated[written.count] = 0;
    if (strptime(terminated, "%Y-%m-%dT%H:%M:%S", &parts) == NULL || parts.tm_year < 70 ||
        parts.tm_year > 300)
        return 0;
    return (int64_t)timegm(&parts) * NS_PER_SECOND;
}

static enum ocsp_status status_of(struct bytes written)
{
    if (bytes_equal(written, TEXT("good")))
        return OCSP_STATUS_GOOD;
    return bytes_equal(written, TEXT("revoked")) ? OCSP_STATUS_REVOKED : OCSP_STATUS_UNKNOWN;
}

/* All chunks of the stream, at most as much as a response may have; the bytes, 0: it is none. */
static size_t unpack(struct bytes packed, uint8_t into[OCSP_RESPONSE_BYTES_MAX])
{
    struct s2_reader reader = {0};
    struct bytes plain;
    size_t count = 0;
    enum s2_result result;
    while ((result = s2_reader_next(&reader, &packed, &plain)) == S2_DATA) {
        if (plain.count > OCSP_RESPONSE_BYTES_MAX - count)
            break;
        memcpy(into + count, plain.data, plain.count);
        count += plain.count;
    }
    s2_reader_close(&reader);
    return result == S2_MORE ? count : 0;
}

/* False: something in it is not what it should be. What a response says is asked again when it is used. */
static bool entry_read(struct ocsp_cache *cache, const struct config_entry *entry, uint8_t *room,
                       struct block_pool *pool)
{
    uint8_t fingerprint[OCSP_FINGERPRINT_BYTES];
    uint8_t *packed = room + OCSP_RESPONSE_BYTES_MAX;
    if (entry->value->kind != CONFIG_MAP ||
        base64_standard_decode(fingerprint, sizeof fingerprint, entry->key) != sizeof fingerprint)
        return false;
    size_t count = base64_standard_decode(packed, s2_encode_room(OCSP_RESPONSE_BYTES_MAX),
                                          field_of(entry->value, "resp"));
    count = unpack(bytes_of(packed, count), room);
    if (count == 0)
        return false;
    struct ocsp_answer answer = {.next_update_ns = time_of(field_of(entry->value, "resp_expires")),
                                 .status = status_of(field_of(entry->value, "resp_status"))};
    ocsp_cache_put(cache, fingerprint, bytes_of(room, count), &answer, field_of(entry->value, "subject"),
                   pool);
    struct ocsp_cached *put = ocsp_cache_find(cache, fingerprint);
    if (put != NULL)
        put->cached_ns = time_of(field_of(entry->value, "cached_at"));
    return true;
}

static bool tree_read(struct ocsp_cache *cache, const struct config_value *root, struct block_pool *pool)
{
    uint8_t *room = memory_grow(NULL, OCSP_RESPONSE_BYTES_MAX + s2_encode_room(OCSP_RESPONSE_BYTES_MAX));
    bool good = room != NULL;
    for (const struct config_entry *at = root->entries.first; good && at != NULL; at = at->next)
        good = entry_read(cache, at, room, pool);
    memory_free(room);
    return good;
}

static void empty(struct ocsp_cache *cache, struct block_pool *pool)
{
    struct ocsp_cache kept = {.on = cache->on, .preserve_revoked = cache->preserve_revoked, .dirty = true};
    ocsp_cache_close(cache, pool);
    *cache = kept;
}

enum err ocsp_cache_load(struct ocsp_cache *cache, const char *folder, struct block_pool *pool, char *why,
                         size_t why_bytes)
{
    char path[PATH_BYTES];
    struct config_tree tree = {0};
    struct config_text cause = {0};
    struct config_source source = config_source_system();
    source.variable = NULL;
    if (snprintf(path, sizeof path, "%s/cache.json", folder) >= PATH_BYTES) {
        snprintf(why, why_bytes, "%s: the path is too long", folder);
        return ERR_INVALID;
    }
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return ERR_NOT_FOUND;
    enum err err = parser_read(&tree, path, &source, &cause);
    if (err != ERR_OK)
        snprintf(why, why_bytes, "%s", cause.count == 0 ? err_text(err) : config_text_string(&cause));
    else if (!tree_read(cache, tree.root, pool))
        snprintf(why, why_bytes, "%s is no cache of OCSP responses", path);
    else
        why[0] = 0;
    bool good = why[0] == 0;
    if (good)
        cache->dirty = false;
    else
        empty(cache, pool);
    config_text_close(&cause);
    config_tree_close(&tree);
    return good ? ERR_OK : ERR_INVALID;
}
