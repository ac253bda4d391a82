/* tests/unit/core/subject/test_index_table.c - the hash table of the index while it grows, shrinks and
 * suffers from equal hashes. */
#include "core/subject/index_table.h"

#include "core/base/random.h"

#include <criterion/criterion.h>

enum { ELEMENTS = 20000 };

struct element {
    uint32_t hash;
    uint32_t number;
    bool in;
    bool walked;
};

static bool same_number(const uint32_t *item, const void *key)
{
    return CONTAINER_OF(item, const struct element, hash)->number == *(const uint32_t *)key;
}

static bool finds(const struct index_table *table, const struct element *element)
{
    uint32_t *item = index_table_find(table, element->hash, same_number, &element->number);
    cr_assert(item == NULL || item == &element->hash);
    return item != NULL;
}

static void toggle(struct index_table *table, struct element *element)
{
    if (element->in) {
        index_table_erase(table, &element->hash);
    } else {
        cr_assert_eq(index_table_reserve(table), ERR_OK);
        index_table_put(table, &element->hash);
    }
    element->in = !element->in;
}

static void check_walk(const struct index_table *table, struct element *elements, size_t count)
{
    size_t in = 0;
    for (size_t i = 0; i < count; i++) {
        elements[i].walked = false;
        in += elements[i].in;
    }
    size_t walked = 0;
    for (uint32_t *at = index_table_next(table, NULL); at != NULL; at = index_table_next(table, at)) {
        struct element *element = CONTAINER_OF(at, struct element, hash);
        cr_assert(element->in && !element->walked);
        element->walked = true;
        walked++;
    }
    cr_assert_eq(walked, in);
    cr_assert_eq(table->count, in);
}

/* Goal: whatever is moved from array to array stays found, and nothing else is. Method: random toggles that
 * first mostly add, then mostly take away, with all elements looked up at intervals. */
Test(index_table, keeps_its_elements_while_it_grows_and_shrinks, .timeout = 60)
{
    static struct element elements[ELEMENTS];
    struct index_table table = {0};
    struct random random;
    random_seed(&random, 11);
    for (uint32_t i = 0; i < ELEMENTS; i++)
        elements[i] = (struct element){.hash = (uint32_t)random_next(&random), .number = i};
    size_t bytes_max = 0;
    bool moved = false;
    for (unsigned round = 0; round < 8 * ELEMENTS; round++) {
        struct element *element = &elements[random_below(&random, ELEMENTS)];
        bool adding = round < 4 * ELEMENTS;
        if (element->in != adding || random_below(&random, 8) == 0)
            toggle(&table, element);
        cr_assert_eq(finds(&table, element), element->in);
        moved = moved || table.old.at != NULL;
        bytes_max = index_table_bytes(&table) > bytes_max ? index_table_bytes(&table) : bytes_max;
        if (round % 10007 == 0) {
            check_walk(&table, elements, ELEMENTS);
            for (unsigned i = 0; i < ELEMENTS; i++)
                cr_assert_eq(finds(&table, &elements[i]), elements[i].in, "round %u, element %u", round, i);
        }
    }
    cr_expect(moved);
    for (unsigned i = 0; i < ELEMENTS; i++) {
        if (elements[i].in)
            toggle(&table, &elements[i]);
    }
    cr_expect_eq(table.count, 0);
    cr_expect_lt(index_table_bytes(&table), bytes_max / 50);
    index_table_close(&table);
}

static void visit(void *context, uint32_t *item)
{
    struct element *element = CONTAINER_OF(item, struct element, hash);
    cr_assert(element->in);
    element->walked = true;
    ++*(size_t *)context;
}

/* Goal: a walk in steps meets all that stays, whatever comes and goes meanwhile. Method: elements that stay
 * among others that are toggled between the steps, so that the table grows and shrinks by factors during each
 * walk. */
Test(index_table, a_walk_in_steps_meets_all_that_stays, .timeout = 60)
{
    static struct element elements[ELEMENTS];
    struct index_table table = {0};
    struct random random;
    random_seed(&random, 12);
    for (uint32_t i = 0; i < ELEMENTS; i++)
        elements[i] = (struct element){.hash = (uint32_t)random_next(&random), .number = i};
    for (unsigned i = 0; i < ELEMENTS / 20; i++)
        toggle(&table, &elements[i]);
    size_t sizes_seen = 0, mask = 0;
    for (unsigned walk = 0; walk < 40; walk++) {
        size_t visits = 0, steps = 0;
        uint32_t cursor = 0;
        for (unsigned i = 0; i < ELEMENTS; i++)
            elements[i].walked = false;
        do {
            cursor = index_table_step(&table, cursor, visit, &visits);
            steps++;
            sizes_seen += table.now.mask != mask;
            mask = table.now.mask;
            unsigned changes = walk == 0 ? 0 : random_below(&random, 200); /* first an undisturbed one */
            for (unsigned change = 0; change < changes; change++) {
                struct element *other =
                    &elements[ELEMENTS / 20 + random_below(&random, ELEMENTS - ELEMENTS / 20)];
                if (other->in != (walk % 2 == 0))
                    toggle(&table, other);
            }
        } while (cursor != 0);
        for (unsigned i = 0; i < ELEMENTS / 20; i++)
            cr_assert(elements[i].walked, "walk %u, element %u", walk, i);
        cr_assert(walk > 0 || visits == table.count);
        cr_assert_leq(steps, ELEMENTS);
    }
    cr_expect_gt(sizes_seen, 20);
    for (unsigned i = 0; i < ELEMENTS; i++) {
        if (elements[i].in)
            toggle(&table, &elements[i]);
    }
    index_table_close(&table);
}

static void visit_one(void *context, uint32_t *item)
{
    (void)item;
    ++*(size_t *)context;
}

Test(index_table, a_walk_in_steps_meets_equal_hashes)
{
    static struct element elements[900];
    struct index_table table = {0};
    size_t visits = 0;
    for (uint32_t i = 0; i < COUNT_OF(elements); i++) {
        elements[i] = (struct element){.hash = i < 700 ? 0xfffffff0u : 0xfffffff0u + i, .number = i};
        toggle(&table, &elements[i]);
    }
    for (uint32_t cursor = index_table_step(&table, 0, visit_one, &visits); cursor != 0;)
        cursor = index_table_step(&table, cursor, visit_one, &visits);
    cr_expect_eq(visits, COUNT_OF(elements));
    index_table_close(&table);
    cr_expect_eq(index_table_step(&table, 0, visit_one, &visits), 0);
    cr_expect_eq(visits, COUNT_OF(elements));
}

/* More than 255 of one hash: the passed counters stop counting and must not be counted down either. */
Test(index_table, survives_equal_hashes, .timeout = 60)
{
    static struct element elements[900];
    struct index_table table = {0};
    for (uint32_t i = 0; i < COUNT_OF(elements); i++)
        elements[i] = (struct element){.hash = i < 700 ? 0xfffffff0u : 0xfffffff0u + i, .number = i};
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < COUNT_OF(elements); i++)
            toggle(&table, &elements[i]);
        check_walk(&table, elements, COUNT_OF(elements));
        for (unsigned i = 0; i < COUNT_OF(elements); i += 3)
            toggle(&table, &elements[i]);
        for (unsigned i = 0; i < COUNT_OF(elements); i++)
            cr_assert_eq(finds(&table, &elements[i]), elements[i].in);
        for (unsigned i = 0; i < COUNT_OF(elements); i++) {
            if (elements[i].in)
                toggle(&table, &elements[i]);
        }
        cr_assert_eq(table.count, 0);
    }
    index_table_close(&table);
}

Test(index_table, an_empty_table_finds_and_walks_nothing)
{
    struct index_table table = {0};
    struct element element = {.hash = 1};
    cr_expect_not(finds(&table, &element));
    cr_expect_null(index_table_next(&table, NULL));
    cr_expect_eq(index_table_bytes(&table), 0);
    index_table_close(&table);
}
