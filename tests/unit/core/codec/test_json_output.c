/* Tests core/codec/json_output.c: layout, escapes, numbers, and the bound. Expected texts are what Go's
 * MarshalIndent writes. */
#include "core/base/memory.h"
#include "core/codec/json_output.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>

/* The document as a string. Owner: the caller. */
static char *finish(struct json_output *document)
{
    json_output_add(document, bytes_of("", 1));
    cr_assert(!document->failed);
    size_t count;
    return json_output_take(document, &count);
}

Test(json_output, indents_as_go_does)
{
    struct json_output d;
    json_output_init(&d, 2, 1 << 20);
    json_put_object(&d, NULL);
    json_put_int(&d, "a", -1);
    json_put_array(&d, "list");
    json_put_text(&d, NULL, TEXT("x"));
    json_put_object(&d, NULL);
    json_put_bool(&d, "deep", true);
    json_put_object_end(&d);
    json_put_array_end(&d);
    json_put_object(&d, "none");
    json_put_object_end(&d);
    json_put_array(&d, "empty");
    json_put_array_end(&d);
    json_put_null(&d, "nil");
    json_put_object_end(&d);
    char *text_of = finish(&d);
    cr_expect_str_eq(text_of,
                     "{\n  \"a\": -1,\n  \"list\": [\n    \"x\",\n    {\n      \"deep\": true\n    }\n  ],\n"
                     "  \"none\": {},\n  \"empty\": [],\n  \"nil\": null\n}");
    memory_free(text_of);
}

Test(json_output, is_compact_without_indent)
{
    struct json_output d;
    json_output_init(&d, 0, 1 << 20);
    json_put_object(&d, NULL);
    json_put_text(&d, "status", TEXT("ok"));
    json_put_unsigned(&d, "n", UINT64_MAX);
    json_put_object_end(&d);
    char *text_of = finish(&d);
    cr_expect_str_eq(text_of, "{\"status\":\"ok\",\"n\":18446744073709551615}");
    memory_free(text_of);
}

Test(json_output, writes_all_integers)
{
    struct json_output d;
    json_output_init(&d, 0, 1 << 20);
    json_put_array(&d, NULL);
    json_put_int(&d, NULL, INT64_MIN);
    json_put_int(&d, NULL, INT64_MAX);
    json_put_int(&d, NULL, 0);
    json_put_unsigned(&d, NULL, 10);
    json_put_array_end(&d);
    char *text_of = finish(&d);
    cr_expect_str_eq(text_of, "[-9223372036854775808,9223372036854775807,0,10]");
    memory_free(text_of);
}

Test(json_output, escapes_keys_and_texts)
{
    struct json_output d;
    json_output_init(&d, 0, 1 << 20);
    json_put_object(&d, NULL);
    json_put_text(&d, "a.>", TEXT("\"\\\n\x01\xff\xc2\xb5"));
    json_put_object_end(&d);
    char *text_of = finish(&d);
    cr_expect_str_eq(text_of, "{\"a.\\u003e\":\"\\\"\\\\\\n\\u0001\\ufffd\xc2\xb5\"}");
    memory_free(text_of);
}

Test(json_output, leaves_out_what_is_empty)
{
    struct json_output d;
    json_output_init(&d, 0, 1 << 20);
    json_put_object(&d, NULL);
    json_put_text_some(&d, "a", TEXT(""));
    json_put_unsigned_some(&d, "b", 0);
    json_put_true(&d, "c", false);
    json_put_text_some(&d, "d", TEXT("<&>"));
    json_put_unsigned_some(&d, "e", 1);
    json_put_true(&d, "f", true);
    json_put_object_end(&d);
    char *text_of = finish(&d);
    cr_expect_str_eq(text_of, "{\"d\":\"\\u003c\\u0026\\u003e\",\"e\":1,\"f\":true}");
    memory_free(text_of);
}

struct number_case {
    double value;
    const char *shown;
};

static const struct number_case number_cases[] = {
    {0, "0"},
    {2, "2"},
    {2.5, "2.5"},
    {-0.125, "-0.125"},
    {100, "100"},
    {0.42105263157894735, "0.42105263157894735"},
    {1e20, "100000000000000000000"},
    {1e21, "1e+21"},
    {0.000001, "0.000001"},
    {1.5e-7, "1.5e-07"},
    {1.0 / 0.0, "0"},
};

Test(json_output, numbers_are_as_short_as_they_can_be)
{
    for (size_t i = 0; i < COUNT_OF(number_cases); i++) {
        struct json_output d;
        json_output_init(&d, 0, 1 << 20);
        json_put_double(&d, NULL, number_cases[i].value);
        char *text_of = finish(&d);
        cr_expect_str_eq(text_of, number_cases[i].shown);
        memory_free(text_of);
    }
}

Test(json_output, stops_at_its_bound)
{
    struct json_output d;
    json_output_init(&d, 2, 5000);
    json_put_array(&d, NULL);
    for (int i = 0; i < 10000 && !d.failed; i++)
        json_put_text(&d, NULL, TEXT("words"));
    cr_expect(d.failed);
    cr_expect_leq(d.count, 5000);
    json_put_array_end(&d);
    cr_expect_leq(d.count, 5000);
    json_output_close(&d);
}

Test(json_output, memory_out_is_failed_and_leaks_nothing)
{
    FOR_EACH_FAULT(plan)
    {
        struct json_output d;
        json_output_init(&d, 2, 1 << 20);
        json_put_array(&d, NULL);
        for (int i = 0; i < 2000; i++)
            json_put_text(&d, NULL, TEXT("words"));
        json_put_array_end(&d);
        cr_assert_eq(d.failed, faults_met());
        json_output_close(&d);
    }
}
