/* tests/unit/faults.c - the counter behind faults.h, and what the linker puts before the allocator. */
#include "tests/unit/faults.h"

#include "core/base/language.h"

#include <criterion/criterion.h>
#include <stddef.h>

/* By the names that --wrap gives: __real_x() is the product's, __wrap_x() what its callers get. */
void *__real_memory_new(size_t count);
void *__real_memory_new_aligned(size_t count);
void *__real_memory_grow(void *memory, size_t count);
void *__real_memory_copy(const void *data, size_t count);
void __real_memory_free(void *memory);
void *__wrap_memory_new(size_t count);
void *__wrap_memory_new_aligned(size_t count);
void *__wrap_memory_grow(void *memory, size_t count);
void *__wrap_memory_copy(const void *data, size_t count);
void __wrap_memory_free(void *memory);

/* The one state that is not handed on by argument: the allocator has none. Each test is a process. */
static struct {
    enum fault_kind kind;
    uint32_t at;    /* 0: nothing fails */
    uint32_t count; /* allocations in this run */
    uint32_t met;   /* of them refused */
    uint32_t paused;
    int64_t live; /* pieces of memory that somebody has */
} faults;

void faults_arm(enum fault_kind kind, uint32_t at)
{
    faults.kind = kind;
    faults.at = at;
    faults.count = 0;
    faults.met = 0;
}

bool faults_next(struct fault_plan *plan)
{
    bool met = faults_met();
    faults_arm(FAULT_ONCE, 0);
    cr_assert_eq(faults.paused, 0, "every pause is resumed");
    if (!plan->begun) {
        *plan = (struct fault_plan){.begun = true, .live_before = faults.live, .kind = FAULT_ONCE, .at = 0};
    } else {
        cr_assert_eq(faults.live, plan->live_before,
                     "%lld pieces of memory are lost (kind %d, allocation %u)",
                     (long long)(faults.live - plan->live_before), plan->kind, plan->at);
        if (!met && plan->kind == FAULT_ONWARD) {
            cr_assert_gt(plan->at, 1, "nothing was allocated at all");
            return false;
        }
        if (!met) {
            plan->kind = FAULT_ONWARD;
            plan->at = 0;
        }
    }
    plan->at++;
    cr_assert_leq(plan->at, FAULTS_PER_SCENE_MAX);
    faults_arm(plan->kind, plan->at);
    return true;
}

void faults_pause(void)
{
    faults.paused++;
}

void faults_resume(void)
{
    cr_assert_gt(faults.paused, 0);
    faults.paused--;
}

bool faults_met(void)
{
    return faults.met > 0;
}

/* Counts an allocation, and says whether it is refused. */
static bool refused(void)
{
    if (faults.at == 0 || faults.paused > 0)
        return false;
    faults.count++;
    bool refuse = faults.kind == FAULT_ONCE ? faults.count == faults.at : faults.count >= faults.at;
    faults.met += refuse;
    return refuse;
}

static void *given(void *memory)
{
    faults.live += memory != NULL;
    return memory;
}

void *__wrap_memory_new(size_t count)
{
    return refused() ? NULL : given(__real_memory_new(count));
}

void *__wrap_memory_new_aligned(size_t count)
{
    return refused() ? NULL : given(__real_memory_new_aligned(count));
}

void *__wrap_memory_grow(void *memory, size_t count)
{
    if (refused())
        return NULL;
    void *grown = __real_memory_grow(memory, count);
    return memory == NULL ? given(grown) : grown;
}

void *__wrap_memory_copy(const void *data, size_t count)
{
    return refused() ? NULL : given(__real_memory_copy(data, count));
}

void __wrap_memory_free(void *memory)
{
    faults.live -= memory != NULL;
    __real_memory_free(memory);
}
