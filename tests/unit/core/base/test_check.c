/* Tests core/base/check.h: what an assertion stops, and what it lets pass. */
#include "core/base/check.h"

#include <criterion/criterion.h>
#include <signal.h>

Test(check, a_true_assertion_lets_pass_and_is_asked_once)
{
    int asked = 0;
    ASSERT(++asked == 1);
    cr_assert_eq(asked, 1);
}

Test(check, a_false_assertion_aborts, .signal = SIGABRT)
{
    int zero = 0;
    ASSERT(zero == 1);
}

Test(check, a_hot_assertion_is_asked_where_it_is_switched_on)
{
    int asked = 0;
    ASSERT_HOT(++asked == 1);
    cr_assert_eq(asked, MYELIN_CHECK_HOT);
}

Test(check, where_no_path_leads_aborts, .signal = SIGABRT)
{
    UNREACHABLE("a path that leads here");
}
