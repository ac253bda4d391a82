/* Tests shards/control/account_register.c: an account has one id for as long as the process runs, whoever
 * speaks of it first. */
#include "shards/control/account_register.h"

#include "shards/control/control_internal.h"
#include "shards/mail.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

enum { ACCOUNTS_MAX = 4, FIRST_ID = 2 };

static struct post_office office;
static struct post shard; /* 0 */
static struct control *control;
static struct block_pool blocks;

/* Options with some accounts. */
struct made {
    struct server_options options;
    struct snapshot snapshot;
    struct security_account accounts[ACCOUNTS_MAX];
    struct security_account *all[ACCOUNTS_MAX];
};

static void make(struct made *made, const char *const *names, const uint32_t *ids)
{
    *made = (struct made){.snapshot = {.options = &made->options}};
    struct security_accounts *accounts = &made->options.security.accounts;
    accounts->all = made->all;
    for (; names[accounts->count] != NULL; accounts->count++) {
        uint32_t i = accounts->count;
        made->accounts[i] = (struct security_account){.name = text(names[i]), .id = ids[i]};
        made->all[i] = &made->accounts[i];
    }
    accounts->next_id = FIRST_ID;
}

static struct made first;

static void begin(void)
{
    cr_assert_eq(post_office_init(&office, 2, MAILBOX_BYTES_LEAST), ERR_OK);
    shard = (struct post){.office = &office, .self = 0};
    control = calloc(1, sizeof *control);
    cr_assert_not_null(control);
    control->post = (struct post){.office = &office, .self = 1};
    control->shard_count = 1;
    make(&first, (const char *const[]){"$G", "A", NULL}, (const uint32_t[]){0, 1});
    control->snapshot = &first.snapshot;
    account_register_init(&control->accounts, &first.options);
}

static void end(void)
{
    account_register_close(&control->accounts);
    block_pool_close(&blocks);
    post_office_close(&office);
    free(control);
}

TestSuite(account_register, .init = begin, .fini = end);

static void take(void *context, uint32_t from, const uint8_t *mail, uint32_t bytes)
{
    struct mail_account_name answer;
    (void)from, (void)bytes;
    if (mail[0] != MAIL_ACCOUNT_NAMED)
        return;
    memcpy(&answer, mail, sizeof answer);
    *(uint32_t *)context = answer.account;
    block_release(&blocks, answer.block);
}

/* What the shard has been told last; 0: nothing, which is $G's. */
static uint32_t told(void)
{
    uint32_t id = 0;
    post_flush(&control->post);
    post_drain(&shard, take, &id);
    return id;
}

static void ask(const char *name)
{
    struct mail_account_name mail = {.kind = MAIL_ACCOUNT_ASK,
                                     .count = (uint32_t)strlen(name),
                                     .block = block_take(&blocks, strlen(name))};
    cr_assert_not_null(mail.block);
    memcpy(mail.block->bytes, name, mail.count);
    account_register_mail(control, 0, (const uint8_t *)&mail);
}

static uint32_t id_of(const char *name)
{
    ask(name);
    return told();
}

Test(account_register, a_name_has_one_id_and_no_other_name_has_it)
{
    cr_expect_eq(id_of("B"), FIRST_ID);
    cr_expect_eq(id_of("C"), FIRST_ID + 1);
    cr_expect_eq(id_of("B"), FIRST_ID);
    cr_expect_eq(id_of("A"), 1, "configured meanwhile");
    cr_expect_eq(first.options.security.accounts.next_id, FIRST_ID + ACCOUNT_NAMES_MAX,
                 "those that a reload adds come behind");
}

Test(account_register, there_is_room_for_so_many_names)
{
    char name[16];
    for (uint32_t i = 0; i < ACCOUNT_NAMES_MAX; i++) {
        snprintf(name, sizeof name, "N%u", i);
        cr_assert_eq(id_of(name), FIRST_ID + i);
    }
    cr_expect_eq(id_of("more"), ACCOUNT_NAME_NONE);
    cr_expect_eq(id_of("N7"), FIRST_ID + 7);
}

Test(account_register, an_answer_without_room_is_given_later)
{
    uint8_t other[1000] = {MAIL_STALL};
    for (uint32_t bytes = sizeof other; bytes >= 1; bytes /= 10) { /* until not even a byte finds room */
        while (control_tell(control, 0, other, bytes))
            ;
    }
    ask("B");
    cr_expect(account_register_step(control));
    cr_expect_eq(told(), 0);
    cr_expect_not(account_register_step(control));
    cr_expect_eq(told(), FIRST_ID);
}

Test(account_register, an_account_that_comes_has_the_id_of_its_name)
{
    struct made second;
    cr_assert_eq(id_of("B"), FIRST_ID);
    make(&second, (const char *const[]){"$G", "A", "B", "C", NULL}, (const uint32_t[]){0, 1, 5000, 5001});
    account_register_reload(&control->accounts, &second.options, &first.options);
    cr_expect_eq(second.accounts[1].id, 1);
    cr_expect_eq(second.accounts[2].id, FIRST_ID);
    cr_expect_eq(second.accounts[3].id, 5001, "nobody has spoken of it");
}

Test(account_register, an_account_that_goes_and_comes_again_is_the_same)
{
    struct made second, third;
    make(&second, (const char *const[]){"$G", NULL}, (const uint32_t[]){0});
    account_register_reload(&control->accounts, &second.options, &first.options);
    control->snapshot = &second.snapshot;
    cr_expect_eq(id_of("A"), 1, "what is said of it meanwhile is kept");
    make(&third, (const char *const[]){"$G", "A", NULL}, (const uint32_t[]){0, 5000});
    account_register_reload(&control->accounts, &third.options, &second.options);
    cr_expect_eq(third.accounts[1].id, 1);
}
