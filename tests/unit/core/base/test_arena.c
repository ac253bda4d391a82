/* tests/unit/core/base/test_arena.c - pieces of memory that die together. */
#include "core/base/arena.h"

#include <criterion/criterion.h>

Test(arena, pieces_are_zeroed_aligned_and_apart)
{
    struct arena arena = {0};
    uint8_t *pieces[100];
    for (size_t i = 0; i < COUNT_OF(pieces); i++) {
        pieces[i] = arena_new(&arena, 1 + i * 7);
        cr_assert_not_null(pieces[i]);
        cr_expect_eq((uintptr_t)pieces[i] % 16, 0);
        cr_expect_eq(pieces[i][i * 7], 0);
        memset(pieces[i], (int)i, 1 + i * 7);
    }
    for (size_t i = 0; i < COUNT_OF(pieces); i++)
        cr_expect(pieces[i][0] == i && pieces[i][i * 7] == i, "piece %zu was overwritten", i);
    arena_close(&arena);
    cr_expect_null(arena.chunks);
}

Test(arena, a_piece_larger_than_a_chunk_gets_its_own)
{
    struct arena arena = {0};
    char *large = arena_new(&arena, 100000);
    cr_assert_not_null(large);
    large[99999] = 'x';
    cr_expect_str_eq(arena_copy(&arena, TEXT("behind")), "behind");
    arena_close(&arena);
}

Test(arena, the_limit_is_kept)
{
    struct arena arena = {.limit_bytes = 64};
    cr_expect_not_null(arena_new(&arena, 48));
    cr_expect_null(arena_new(&arena, 32));
    cr_expect_not_null(arena_new(&arena, 16));
    cr_expect_null(arena_new(&arena, 1));
    cr_expect_null(arena_new(&arena, SIZE_MAX));
    arena_close(&arena);
}
