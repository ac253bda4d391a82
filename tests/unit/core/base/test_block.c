/* Tests core/base/block.c: counting, the pool and its bound. */
#include "core/base/block.h"

#include <criterion/criterion.h>

Test(block, the_last_holder_gives_a_standard_block_to_the_pool)
{
    struct block_pool pool = {0};
    struct block *block = block_take(&pool, 100);
    cr_assert_not_null(block);
    cr_expect_eq(block->capacity, BLOCK_STANDARD_BYTES);
    block_hold(block);
    block_release(&pool, block);
    cr_expect_eq(pool.count, 0);
    block_release(&pool, block);
    cr_expect_eq(pool.count, 1);
    cr_expect_eq(block_take(&pool, BLOCK_STANDARD_BYTES), block);
    cr_expect_eq(pool.count, 0);
    block_release(&pool, block);
    block_pool_close(&pool);
}

Test(block, a_large_block_does_not_stay)
{
    struct block_pool pool = {0};
    struct block *block = block_take(&pool, BLOCK_STANDARD_BYTES + 1);
    cr_assert_not_null(block);
    cr_expect_geq(block->capacity, BLOCK_STANDARD_BYTES + 1);
    block_release(&pool, block);
    cr_expect_eq(pool.count, 0);
    block_release(&pool, NULL);
}

Test(block, the_pool_keeps_no_more_than_its_bound)
{
    static struct block *blocks[BLOCK_POOL_MAX + 5];
    struct block_pool pool = {0};
    for (int i = 0; i < BLOCK_POOL_MAX + 5; i++)
        blocks[i] = block_take(&pool, 1);
    for (int i = 0; i < BLOCK_POOL_MAX + 5; i++)
        block_release(&pool, blocks[i]);
    cr_expect_eq(pool.count, BLOCK_POOL_MAX);
    block_pool_close(&pool);
    cr_expect_eq(pool.count, 0);
}
