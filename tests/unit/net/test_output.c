/* Tests net/output.c: bytes come out as they went in, however they are taken. */
#include "net/output.h"

#include "core/base/random.h"

#include <criterion/criterion.h>
#include <stdlib.h>

Test(output, bytes_leave_in_order_whatever_was_copied_or_shared)
{
    struct output_pool pool = {0};
    struct output output = {0};
    struct random random;
    uint64_t written = 0;
    uint64_t read = 0;
    random_seed(&random, 99);
    for (int step = 0; step < 20000; step++) {
        uint8_t bytes[600];
        size_t count = 1 + random_below(&random, sizeof bytes);
        for (size_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)((written + i) * 31);
        if (random_below(&random, 10) == 0) {
            struct block *block = block_take(&pool.blocks, count);
            memcpy(block->bytes, bytes, count);
            cr_assert_eq(output_share(&output, &pool, block, bytes_of(block->bytes, count)), ERR_OK);
            block_release(&pool.blocks, block);
        } else {
            cr_assert_eq(output_append(&output, &pool, bytes_of(bytes, count)), ERR_OK);
        }
        written += count;
        cr_assert_eq(output.pending_bytes, written - read);
        if (random_below(&random, 3) == 0) {
            struct iovec parts[8];
            uint32_t used = output_gather(&output, parts, 8);
            uint64_t take = 0;
            uint64_t most = random_below(&random, 2000);
            for (uint32_t p = 0; p < used; p++) {
                for (size_t i = 0; i < parts[p].iov_len && take < most; i++, take++)
                    cr_assert_eq(((uint8_t *)parts[p].iov_base)[i], (uint8_t)((read + take) * 31));
            }
            output_sent(&output, &pool, take);
            read += take;
        }
    }
    output_clear(&output, &pool);
    cr_expect(output_empty(&output));
    cr_expect_null(output.first);
    output_pool_close(&pool);
}

Test(output, what_was_sent_gives_its_blocks_back)
{
    struct output_pool pool = {0};
    struct output output = {0};
    static uint8_t much[100000];
    for (int i = 0; i < 4; i++)
        cr_assert_eq(output_append(&output, &pool, bytes_of(much, 10000)), ERR_OK);
    uint32_t before = pool.blocks.count;
    output_sent(&output, &pool, 40000);
    cr_expect_eq(pool.blocks.count, before + 4);
    cr_expect_null(output.last);
    output_pool_close(&pool);
}
