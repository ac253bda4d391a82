/* Tests shards/reports.c: how much a shard looks at, and tells, for a /connz of the default length while very
 * many connections are open (docs/monitoring.md 2). Counted, not timed: pages, and items on each. */
#include "shards/reports.h"

#include "core/base/memory.h"
#include "shards/mail.h"
#include "shards/shard.h"

#include <criterion/criterion.h>

enum {
    SHARD,
    CONTROL,
    THREADS,
    CONNECTIONS = 4096,     /* as many as a shard then has slots, which double */
    LIMIT = 1024,           /* of /connz, where none is asked for */
    PICKS_A_QUESTION = 128, /* as the control core asks */
    PAGE_BYTES_MOST = 16 * 1024,
    SLOTS_A_PAGE = 8 * REPORT_ITEMS_MAX,
};

struct scene {
    struct shard shard;
    struct server_options options;
    struct snapshot snapshot;
    struct post_office office;
    struct post control;
    struct report_key keys[CONNECTIONS];
    uint32_t key_count;
    struct mail_report answer;
    uint32_t answer_count;
};

static struct scene *scene_new(void)
{
    struct scene *scene = memory_new(sizeof *scene);
    cr_assert_not_null(scene);
    cr_assert_eq(post_office_init(&scene->office, THREADS, 1 << 16), ERR_OK);
    scene->shard.post = (struct post){.office = &scene->office, .self = SHARD};
    scene->control = (struct post){.office = &scene->office, .self = CONTROL};
    scene->snapshot.options = &scene->options;
    scene->shard.shard_count = 1;
    scene->shard.snapshot = &scene->snapshot;
    scene->shard.context.options = &scene->options.net;
    scene->shard.context.security = &scene->options.security;
    return scene;
}

/* One that has its number and its slot, and never spoke. */
static void connection_open(struct scene *scene, uint64_t cid)
{
    struct connection *connection = memory_new(sizeof *connection);
    cr_assert_not_null(connection);
    cr_assert_eq(shard_slot_take(&scene->shard, connection), ERR_OK);
    connection->client.context = &scene->shard.context;
    connection->client.cid = cid;
    connection->client.place.cid = cid;
}

static void take_answer(void *context, uint32_t from, const uint8_t *mail, uint32_t bytes)
{
    struct scene *scene = context;
    (void)from;
    (void)bytes;
    memcpy(&scene->answer, mail, sizeof scene->answer);
    scene->answer_count++;
}

/* One page; where the next goes on is in the answer. */
static void page_ask(struct scene *scene, const struct report_query *query, struct report_cursor from)
{
    struct mail_report_ask mail = {.kind = MAIL_REPORT_ASK, .query = query, .from = from};
    uint32_t before = scene->answer_count;
    reports_ask_take(&scene->shard, (const uint8_t *)&mail);
    reports_step(&scene->shard);
    post_flush(&scene->shard.post);
    post_drain(&scene->control, take_answer, scene);
    cr_assert_eq(scene->answer_count, before + 1, "one question, one page");
    cr_assert(!scene->answer.failed && scene->answer.bytes <= PAGE_BYTES_MOST);
}

static void page_drop(struct scene *scene)
{
    block_release(&scene->shard.context.pool.blocks, scene->answer.block);
}

/* Returns how many pages it took. */
static uint32_t keys_ask(struct scene *scene, const struct report_query *query)
{
    uint32_t pages = 0;
    struct report_cursor at = {0};
    do {
        page_ask(scene, query, at);
        const struct mail_report *answer = &scene->answer;
        cr_expect_leq(answer->counted, REPORT_ITEMS_MAX);
        cr_expect_eq(answer->bytes, answer->counted * sizeof(struct report_key));
        cr_assert_leq(scene->key_count + answer->counted, CONNECTIONS, "nobody is told of twice");
        if (answer->counted > 0)
            memcpy(&scene->keys[scene->key_count], answer->block->bytes, answer->bytes);
        scene->key_count += (uint32_t)answer->counted;
        at = answer->next;
        pages++;
        page_drop(scene);
        cr_assert_leq(pages, CONNECTIONS, "it comes to an end");
    } while (scene->answer.more);
    return pages;
}

static uint32_t rows_ask(struct scene *scene, uint32_t first, uint32_t *pages)
{
    struct report_query query = {.kind = REPORT_CONNECTIONS,
                                 .open = true,
                                 .picks = &scene->keys[first],
                                 .pick_count = PICKS_A_QUESTION};
    struct report_cursor at = {0};
    uint32_t rows = 0;
    do {
        struct report_record head;
        page_ask(scene, &query, at);
        for (uint32_t byte = 0; byte < scene->answer.bytes; byte += head.bytes, rows++) {
            memcpy(&head, scene->answer.block->bytes + byte, sizeof head);
            cr_assert(head.kind == REPORT_RECORD_CONNECTION && head.bytes > 0);
        }
        at = scene->answer.next;
        page_drop(scene);
        cr_assert_leq(++*pages, LIMIT, "it comes to an end");
    } while (scene->answer.more);
    return rows;
}

static void scene_free(struct scene *scene)
{
    for (uint32_t slot = 0; slot < scene->shard.slot_count; slot++)
        memory_free(scene->shard.slots[slot]);
    memory_free(scene->shard.slots);
    memory_free(scene->shard.free_slots);
    reports_close(&scene->shard);
    output_pool_close(&scene->shard.context.pool);
    post_office_close(&scene->office);
    memory_free(scene);
}

/* A key of each connection, once, in full pages; then the rows of the page alone.
 */
Test(reports, of_very_many_connections_look_once_at_each_and_tell_those_of_the_page_in_full)
{
    struct scene *scene = scene_new();
    for (uint64_t cid = 1; cid <= CONNECTIONS; cid++)
        connection_open(scene, cid);
    struct report_query query = {.kind = REPORT_KEYS, .open = true, .sort = REPORT_BY_CID};
    uint32_t key_pages = keys_ask(scene, &query), row_pages = 0, rows = 0;
    cr_expect_eq(scene->key_count, CONNECTIONS);
    cr_expect_eq(key_pages, CONNECTIONS / REPORT_ITEMS_MAX);
    for (uint32_t first = 0; first < LIMIT; first += PICKS_A_QUESTION)
        rows += rows_ask(scene, first, &row_pages);
    cr_expect_eq(rows, LIMIT);
    cr_expect_leq(row_pages, 4 * LIMIT / PICKS_A_QUESTION, "some hundred bytes for a row, not kilobytes");
    cr_expect_eq(scene->shard.reports.page_count, key_pages + row_pages);
    scene_free(scene);
}

/* A shard that had many and has few: free slots are passed over, but not all of them for one page. */
Test(reports, pass_over_free_slots_in_steps)
{
    struct scene *scene = scene_new();
    for (uint64_t cid = 1; cid <= CONNECTIONS; cid++)
        connection_open(scene, cid);
    for (uint32_t slot = 0; slot + 1 < CONNECTIONS; slot++) {
        struct connection *connection = scene->shard.slots[slot];
        shard_slot_give(&scene->shard, connection);
        memory_free(connection);
    }
    struct report_query query = {.kind = REPORT_KEYS, .open = true, .sort = REPORT_BY_CID};
    cr_expect_eq(keys_ask(scene, &query), CONNECTIONS / SLOTS_A_PAGE);
    cr_expect_eq(scene->key_count, 1);
    cr_expect_eq(scene->keys[0].cid, CONNECTIONS);
    scene_free(scene);
}
