/* Tests core/base/memory.h: a buffer that is filled anew each time. */
#include "core/base/memory.h"

#include "tests/unit/faults.h"

#include <criterion/criterion.h>
#include <string.h>

struct room_case {
    size_t bytes, capacity;
};

/* Asked for one after the other. */
static const struct room_case room_cases[] = {
    {0, 0},
    {1, 2},
    {2, 2},
    {100, 200},
    {150, 200},
    {MEMORY_SPARE_BYTES_MAX, 2 * MEMORY_SPARE_BYTES_MAX},
    {2 * MEMORY_SPARE_BYTES_MAX + 1, 3 * MEMORY_SPARE_BYTES_MAX + 1},
    {64 << 20, (64 << 20) + MEMORY_SPARE_BYTES_MAX},
    {1, (64 << 20) + MEMORY_SPARE_BYTES_MAX},
};

Test(memory, room_grows_with_little_to_spare_and_never_shrinks)
{
    uint8_t *buffer = NULL;
    size_t capacity = 0;
    for (size_t i = 0; i < sizeof room_cases / sizeof *room_cases; i++) {
        const struct room_case *c = &room_cases[i];
        cr_assert(memory_room(&buffer, &capacity, c->bytes), "%zu", i);
        cr_expect_eq(capacity, c->capacity, "%zu: %zu", i, capacity);
        cr_assert((buffer == NULL) == (capacity == 0), "%zu", i);
        if (c->bytes > 0)
            memset(buffer, 0xff, capacity);
    }
    memory_free(buffer);
}

Test(memory, room_that_cannot_be_is_refused_and_the_buffer_is_empty)
{
    uint8_t *buffer = NULL;
    size_t capacity = 0;
    cr_assert(memory_room(&buffer, &capacity, 10));
    cr_expect_not(memory_room(&buffer, &capacity, SIZE_MAX));
    cr_expect_null(buffer);
    cr_expect_eq(capacity, 0);
}

Test(memory, room_is_empty_when_memory_is_out_and_may_be_asked_for_again)
{
    FOR_EACH_FAULT(plan)
    {
        uint8_t *buffer = NULL;
        size_t capacity = 0;
        for (size_t bytes = 10; bytes <= 1000; bytes *= 10) {
            bool good = memory_room(&buffer, &capacity, bytes);
            cr_expect_eq(good, capacity >= bytes);
            cr_expect((buffer == NULL) == (capacity == 0));
        }
        memory_free(buffer);
    }
}
