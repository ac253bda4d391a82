/* Tests shards/control/system_options.c: a request's JSON becomes the query of a monitoring endpoint
 * (spec/monitoring.md 6.2, 6.3). */
#include "core/base/memory.h"
#include "net/http.h"
#include "shards/control/system_services.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>

static const struct system_service with_flag = {.name = "X"};
static const struct system_service with_list = {.name = "X", .accounts_listed = true};

struct query_case {
    const char *body;
    const char *account; /* of the subject */
    const char *parameter;
    const char *value; /* NULL: the parameter is not there */
};

static const struct query_case query_cases[] = {
    {"", "", "limit", NULL},
    {"{}", "", "state", NULL},
    {"null", "", "sort", NULL},
    {"{\"sort\":\"cid\"}", "", "sort", "cid"},
    {"{\"SORT\":\"cid\",\"unknown\":[1]}", "", "sort", "cid"},
    {"{\"offset\":-3,\"limit\":12}", "", "offset", "-3"},
    {"{\"cid\":7}", "", "cid", "7"},
    {"{\"cid\":-7}", "", "cid", NULL},
    {"{\"state\":0}", "", "state", NULL},
    {"{\"state\":1}", "", "state", "closed"},
    {"{\"state\":2}", "", "state", "any"},
    {"{\"state\":9}", "", "state", "any"},
    {"{\"auth\":true}", "", "auth", "1"},
    {"{\"subscriptions\":true}", "", "subs", "1"},
    {"{\"subscriptions\":true,\"subscriptions_detail\":true}", "", "subs", "detail"},
    {"{\"acc\":\"B\",\"account\":\"C\"}", "", "acc", "B"},
    {"{\"account\":\"C\"}", "", "acc", "C"},
    {"{\"acc\":\"B\"}", "A", "acc", "A"},
    {"{\"user\":\"a&acc=B;%\\u00e9\"}", "", "user", "a&acc=B;%\xc3\xa9"},
    {"{\"accounts\":true}", "", "accs", "1"},
    {"{\"name\":\"g\"}", "", "gw_name", "g"},
    {"{\"include_unused\":true}", "", "unused", "1"},
};

Test(system_options, become_the_parameters_of_an_endpoint)
{
    for (size_t i = 0; i < COUNT_OF(query_cases); i++) {
        const struct query_case *c = &query_cases[i];
        struct json_document document;
        struct system_options options;
        char out[HTTP_PARAMETER_BYTES];
        struct bytes value = {NULL, 0};
        size_t count = 0;
        cr_assert(system_options_read(&with_flag, text(c->body), &document, &options), "%s", c->body);
        char *query = system_options_query(&options, text(c->account), &count);
        cr_assert_not_null(query);
        bool there = http_parameter(bytes_of(query, count), c->parameter, out, sizeof out, &value);
        cr_expect_eq(there, c->value != NULL, "%s: %s", c->body, c->parameter);
        if (there && c->value != NULL)
            cr_expect(bytes_equal(value, text(c->value)), "%s: %s is %.*s", c->body, c->parameter,
                      BYTES_PRINTF(value));
        memory_free(query);
        json_close(&document);
    }
}

Test(system_options, of_wrong_types_are_refused)
{
    static const char *const wrong[] = {
        "{bad",
        "[]",
        "1",
        "{\"limit\":\"x\"}",
        "{\"limit\":1.5}",
        "{\"state\":\"closed\"}",
        "{\"auth\":1}",
        "{\"tags\":\"x\"}",
        "{\"accounts\":[\"A\"]}",
        "{} x",
    };
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        struct json_document document;
        struct system_options options;
        cr_expect_not(system_options_read(&with_flag, text(wrong[i]), &document, &options), "%s", wrong[i]);
        json_close(&document);
    }
}

Test(system_options, accounts_are_a_list_where_the_service_has_them_so)
{
    struct json_document document;
    struct system_options options;
    cr_assert(system_options_read(&with_list, TEXT("{\"accounts\":[\"A\",\"B\"]}"), &document, &options));
    cr_expect(bytes_equal(options.accounts_listed, bytes_of("A\0B", 4)));
    json_close(&document);
    cr_expect_not(system_options_read(&with_list, TEXT("{\"accounts\":true}"), &document, &options));
    json_close(&document);
}

Test(system_options, without_memory_nothing_is_left)
{
    FOR_EACH_FAULT(plan)
    {
        struct json_document document;
        struct system_options options;
        size_t count = 0;
        if (system_options_read(&with_flag, TEXT("{\"user\":\"somebody\",\"limit\":3}"), &document, &options))
            memory_free(system_options_query(&options, TEXT("A"), &count));
        json_close(&document);
    }
}

struct words_case {
    const char *body, *subject, *queue;
    bool given;
};

static const struct words_case words_cases[] = {
    {"", "", "", false},         {" \t\r\n ", "", "", false},
    {"a.b", "a.b", "", false},   {"  a.b\r\n", "a.b", "", false},
    {"a.b g", "a.b", "g", true}, {"a.b g more", "a.b", "g", true},
    {"a.b  g", "a.b", "", true}, {"a.b\tg", "a.b\tg", "", false},
    {"a ", "a", "", false},
};

Test(system_options, two_words_are_a_subject_and_a_group)
{
    for (size_t i = 0; i < COUNT_OF(words_cases); i++) {
        const struct words_case *c = &words_cases[i];
        struct bytes subject, queue = TEXT("");
        bool given;
        system_words_read(text(c->body), &subject, &queue, &given);
        cr_expect(bytes_equal(subject, text(c->subject)), "subject of '%s'", c->body);
        cr_expect(bytes_equal(queue, text(c->queue)), "group of '%s'", c->body);
        cr_expect_eq(given, c->given, "whether '%s' names a group", c->body);
    }
}
