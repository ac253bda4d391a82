/* shards/control/ocsp_cache_file.h - the file of the cache, as nats-server writes it, so that it can be taken
 * along: <local_store>/cache.json, an object by certificate, the responses compressed (S2) and in base64. In
 * the flow: start: ocsp_cache_load();  save_interval: ocsp_cache_save_begin() -> inquirers ->
 * ocsp_cache_save_write() At the bound: a file above OCSP_CACHE_FILE_BYTES_MAX is not read, and what would
 * make it larger is not written. Thread: the control core's; writing: any. */
#ifndef SHARDS_CONTROL_OCSP_CACHE_FILE_H
#define SHARDS_CONTROL_OCSP_CACHE_FILE_H

#include "core/base/err.h"
#include "shards/control/ocsp_cache.h"

enum { OCSP_CACHE_FILE_BYTES_MAX = 15 * 1024 * 1024, OCSP_CACHE_WHY_BYTES = 512 };

/* What was in the cache at one moment: blocks are held, the rest is copied. */
struct ocsp_cache_save {
    struct ocsp_cached *entries; /* without `next` */
    uint32_t count;
    char *folder;
    bool written;
    char why[OCSP_CACHE_WHY_BYTES]; /* when it is not */
};

/* NULL: no memory. Owner: the caller, until ocsp_cache_save_free(). */
MUST_USE struct ocsp_cache_save *ocsp_cache_save_begin(const struct ocsp_cache *cache, const char *folder);
void ocsp_cache_save_free(struct ocsp_cache_save *save, struct block_pool *pool);

/* Fills `written`, or `why`. Whole or not at all; the folder is made if need be. Blocks. */
void ocsp_cache_save_write(struct ocsp_cache_save *save);

/* Fills an empty cache. ERR_NOT_FOUND: there is no file. ERR_INVALID: `why` says what is wrong with it, and
 * the cache is empty. Blocks: at start only. */
MUST_USE enum err ocsp_cache_load(struct ocsp_cache *cache, const char *folder, struct block_pool *pool,
                                  char *why, size_t why_bytes);

#endif
