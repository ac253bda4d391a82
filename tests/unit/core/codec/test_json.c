/* JSON by Go's rules: core/codec/json.c. The rows agree with Go's own decoder. */
#include "core/base/language.h"
#include "core/codec/json.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

struct inner {
    struct bytes label;
};

struct sample {
    bool flag;
    int64_t number;
    struct bytes sky; /* s and k are the letters with relatives beyond ASCII */
    struct inner inner;
    struct bytes texts;
    struct bytes array;
    struct bytes either;
    struct bytes written;
};

static const struct json_field inner_fields[] = {
    {"label", JSON_KIND_TEXT, offsetof(struct inner, label), NULL},
};
static const struct json_shape inner_shape = {inner_fields, COUNT_OF(inner_fields)};
static const struct json_field sample_fields[] = {
    {"flag", JSON_KIND_BOOL, offsetof(struct sample, flag), NULL},
    {"number", JSON_KIND_INT64, offsetof(struct sample, number), NULL},
    {"sky", JSON_KIND_TEXT, offsetof(struct sample, sky), NULL},
    {"list", JSON_KIND_TEXTS_CHECKED, 0, NULL},
    {"inner", JSON_KIND_OBJECT, offsetof(struct sample, inner), &inner_shape},
    {"texts", JSON_KIND_TEXTS, offsetof(struct sample, texts), NULL},
    {"array", JSON_KIND_ARRAY, offsetof(struct sample, array), NULL},
    {"either", JSON_KIND_TEXT_OR_TEXTS, offsetof(struct sample, either), NULL},
    {"written", JSON_KIND_WRITTEN, offsetof(struct sample, written), NULL},
};
static const struct json_shape sample_shape = {sample_fields, COUNT_OF(sample_fields)};

/* Reads from a copy on the heap that ends where the text ends, so that the address sanitizer sees a step too
 * far. */
static enum err read_exact(struct json_document *document, struct bytes json, struct sample *sample)
{
    uint8_t *copy = malloc(json.count + (json.count == 0));
    cr_assert_not_null(copy);
    if (json.count > 0)
        memcpy(copy, json.data, json.count);
    enum err err = json_read(document, bytes_of(copy, json.count), &sample_shape, sample);
    free(copy); /* texts lie in the document, not here */
    return err;
}

Test(json, values_go_where_the_table_says)
{
    struct json_document document;
    struct sample sample = {0};
    cr_assert_eq(
        read_exact(&document,
                   TEXT(" {\"flag\":true, \"number\" : -42,\r\n\t\"sky\":\"blue\",\"list\":[\"a\",null],"
                        "\"inner\":{\"label\":\"x\"}} "),
                   &sample),
        ERR_OK);
    cr_expect(sample.flag);
    cr_expect_eq(sample.number, -42);
    cr_expect(bytes_equal(sample.sky, TEXT("blue")));
    cr_expect(bytes_equal(sample.inner.label, TEXT("x")));
    json_close(&document);
    cr_expect_null(document.text);
}

Test(json, an_array_is_read_element_by_element)
{
    static const struct {
        const char *json;
        const char *elements; /* a bar behind each */
    } rows[] = {
        {"{\"array\":[]}", ""},
        {"{\"array\": [ ] }", ""},
        {"{\"array\":[1]}", "1|"},
        {"{\"array\" : [ {\"a\":[1,2]} , \"x,]\\\"\",[ [],{} ],null,-1e3 ] }",
         "{\"a\":[1,2]}|\"x,]\\\"\"|[ [],{} ]|null|-1e3|"},
        {"{\"array\":[1],\"array\":[2,3]}", "2|3|"},
        {"{\"array\":null}", ""},
        {"{}", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct json_document document;
        struct sample sample = {0};
        struct bytes element;
        char found[128] = "";
        size_t count = 0;
        cr_assert_eq(json_read(&document, text(rows[i].json), &sample_shape, &sample), ERR_OK);
        while (json_array_next(&sample.array, &element) && count < sizeof found)
            count += (size_t)snprintf(found + count, sizeof found - count, "%.*s|", BYTES_PRINTF(element));
        cr_expect_str_eq(found, rows[i].elements, "%s", rows[i].json);
        cr_expect_eq(sample.array.count, 0, "%s", rows[i].json);
        json_close(&document);
    }
}

Test(json, what_is_no_array_is_refused_where_one_is_wanted)
{
    static const char *const rows[] = {"{\"array\":{}}", "{\"array\":1}",    "{\"array\":\"[]\"}",
                                       "{\"array\":[}",  "{\"array\":[1,]}", "{\"array\":[,1]}",
                                       "{\"array\":[1}", "{\"array\":["};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct json_document document;
        struct sample sample = {0};
        cr_expect_eq(read_exact(&document, text(rows[i]), &sample), ERR_INVALID, "%s", rows[i]);
    }
}

Test(json, the_last_of_several_keys_wins_in_document_order)
{
    static const struct {
        const char *json;
        int64_t number;
    } rows[] = {
        {"{\"number\":1,\"number\":2}", 2},
        {"{\"number\":1,\"NUMBER\":2}", 2},
        {"{\"NUMBER\":1,\"number\":2}", 2},
        {"{\"number\":1,\"Number\":2,\"number\":3}", 3},
        {"{\"number\":1,\"Number\":2,\"number\":null}", 2},
        {"{\"number\":1,\"\\u006eumber\":2}", 2},
        {"{}", 7},
        {"null", 7},
        {" null\r\n", 7},
        {"{\"number\":null}", 7},
        {"{\"numbe\":1,\"numbers\":2,\"\":3}", 7},
        {"{\"number\":-0}", 0},
        {"{\"number\":9223372036854775807}", INT64_MAX},
        {"{\"number\":-9223372036854775808}", INT64_MIN},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct json_document document;
        struct sample sample = {.number = 7};
        cr_expect_eq(read_exact(&document, text(rows[i].json), &sample), ERR_OK, "%s", rows[i].json);
        cr_expect_eq(sample.number, rows[i].number, "%s: %lld", rows[i].json, (long long)sample.number);
        json_close(&document);
    }
}

Test(json, texts_are_decoded_as_go_does)
{
    static const struct {
        struct bytes json, text;
    } rows[] = {
        {TEXT("{\"sky\":\"\"}"), TEXT("")},
        {TEXT("{\"sky\":\"a\\/\\\"\\\\\\n\\u00e9\"}"), TEXT("a/\"\\\n\xc3\xa9")},
        {TEXT("{\"sky\":\"a\\u0000b\"}"), TEXT("a\0b")},
        {TEXT("{\"sky\":\"\\ud83d\\ude00\"}"), TEXT("\xf0\x9f\x98\x80")},
        {TEXT("{\"sky\":\"\\ud83d!\"}"), TEXT("\xef\xbf\xbd!")}, /* half of a pair */
        {TEXT("{\"sky\":\"\\ude00\\ude01\"}"), TEXT("\xef\xbf\xbd\xef\xbf\xbd")},
        {TEXT("{\"sky\":\"\\ude00\\ud83d\"}"), TEXT("\xef\xbf\xbd\xef\xbf\xbd")},
        {TEXT("{\"sky\":\"\\ud83d\\u0041\"}"), TEXT("\xef\xbf\xbd"
                                                    "A")},
        {TEXT("{\"sky\":\"<\xff\xfe>\"}"), TEXT("<\xef\xbf\xbd\xef\xbf\xbd>")}, /* invalid UTF-8 */
        {TEXT("{\"sky\":\"\xed\xa0\x80\"}"), TEXT("\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd")},
        {TEXT("{\"\xc5\xbf"
              "\xe2\x84\xaa"
              "Y\":\"folded\"}"),
         TEXT("folded")},
        {TEXT("{\"a\\u0000b\":1,\"x\":{\"c\\u0000\":2},\"inner\":{\"\\u0000\":3},\"sky\":\"behind\"}"),
         TEXT("behind")},
        {TEXT("{\"x\":\"\xff\",\"\\ud800\":1,\"sky\":\"behind\"}"), TEXT("behind")},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct json_document document;
        struct sample sample = {.sky = TEXT("before")};
        cr_expect_eq(read_exact(&document, rows[i].json, &sample), ERR_OK, "row %zu", i);
        cr_expect(bytes_equal(sample.sky, rows[i].text), "row %zu: %.*s", i, BYTES_PRINTF(sample.sky));
        json_close(&document);
    }
}

Test(json, what_is_not_json_or_of_another_type_is_refused)
{
    static const char *const rows[] = {
        "",
        " ",
        "nul",
        "nulls",
        "null null",
        "true",
        "1",
        "\"text\"",
        "[]",
        "{",
        "}",
        "{bad}",
        "{'flag':true}",
        "{\"flag\"}",
        "{\"flag\":}",
        "{\"flag\" true}",
        "{\"flag\":true,}",
        "{,}",
        "{\"flag\":true \"number\":1}",
        "{\"flag\":true} x",
        "{\"flag\":true}{}",
        "{\"flag\":True}",
        "{\"flag\":1}",
        "{\"flag\":\"yes\"}",
        "{\"flag\":\"yes\",\"flag\":true}", /* the last one wins, the type error stays */
        "{\"number\":1.0}",
        "{\"number\":1e2}",
        "{\"number\":\"1\"}",
        "{\"number\":true}",
        "{\"number\":9223372036854775808}",
        "{\"number\":-9223372036854775809}",
        "{\"number\":1e999}",
        "{\"sky\":1}",
        "{\"sky\":[\"a\"]}",
        "{\"sky\":\"not closed}",
        "{\"sky\":\"\\x\"}",
        "{\"sky\":\"\\u12g4\"}",
        "{\"sky\":\"line\nbreak\"}",
        "{\"list\":\"a\"}",
        "{\"list\":[1]}",
        "{\"inner\":1}",
        "{\"inner\":[]}",
        "{\"inner\":{\"label\":1}}",
        "{\"inner\":{\"label\":\"x\"}",
        "{\"unknown\":01}",
        "{\"unknown\":1.}",
        "{\"unknown\":.5}",
        "{\"unknown\":+1}",
        "{\"unknown\":-}",
        "{\"unknown\":1e}",
        "{\"unknown\":[1,]}",
        "{\"unknown\":[}",
        "\xef\xbb\xbf{}", /* a byte order mark */
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct json_document document;
        struct sample sample = {0};
        cr_expect_eq(read_exact(&document, text(rows[i]), &sample), ERR_INVALID, "%s", rows[i]);
        cr_expect_null(document.text, "%s", rows[i]);
    }
}

Test(json, a_zero_byte_is_no_end)
{
    cr_expect_not(json_valid(TEXT("{}\0")));
    cr_expect_not(json_valid(TEXT("null\0")));
    cr_expect_not(json_valid(TEXT("\0{}")));
    cr_expect_not(json_valid(TEXT("{\"a\":\"\0\"}")));
}

Test(json, numbers_that_nobody_asked_for_may_be_any)
{
    static const char *const rows[] = {
        "{\"x\":1e999}",
        "{\"x\":-1.5E-999}",
        "{\"x\":123456789012345678901234567890}",
        "{\"x\":0.5}",
        "{\"x\":[{\"y\":[1e+400,0]}]}",
        "{\"x\":-0.0}",
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect(json_valid(text(rows[i])), "%s", rows[i]);
}

Test(json, nesting_is_bounded)
{
    for (size_t depth = JSON_DEPTH_MAX - 1; depth <= JSON_DEPTH_MAX; depth++) {
        char json[JSON_DEPTH_MAX * 2 + 16] = "{\"x\":";
        size_t count = strlen(json);
        memset(json + count, '[', depth);
        memset(json + count + depth, ']', depth);
        json[count + 2 * depth] = '}';
        cr_expect_eq(json_valid(bytes_of(json, count + 2 * depth + 1)), depth < JSON_DEPTH_MAX, "%zu", depth);
    }
    char open[JSON_DEPTH_MAX * 64];
    memset(open, '[', sizeof open);
    cr_expect_not(json_valid(bytes_of(open, sizeof open)));
}

Test(json, brackets_inside_strings_are_no_nesting)
{
    char json[JSON_DEPTH_MAX * 2 + 16] = "{\"x\":\"";
    size_t count = strlen(json);
    memset(json + count, '[', JSON_DEPTH_MAX * 2);
    memcpy(json + count + JSON_DEPTH_MAX * 2, "\"}", 2);
    cr_expect(json_valid(bytes_of(json, count + JSON_DEPTH_MAX * 2 + 2)));
}

Test(json, closing_twice_is_legal)
{
    struct json_document document = {0};
    json_close(&document);
    json_close(&document);
    cr_expect_null(document.text);
}

struct texts_case {
    const char *json;
    const char *texts; /* a comma behind each */
    enum err err;
};

static const struct texts_case texts_cases[] = {
    {"{\"texts\":[]}", "", ERR_OK},
    {"{\"texts\":[\"a\"]}", "a,", ERR_OK},
    {"{\"texts\":[\"\",null,\"b\\u003e\" , \"\"]}", ",b>,,", ERR_OK},
    {"{\"texts\":[\"a\"],\"sky\":\"x\",\"texts\":[\"b\",\"c\"]}", "b,c,", ERR_OK},
    {"{\"texts\":null}", "", ERR_OK},
    {"{\"texts\":[1]}", "", ERR_INVALID},
    {"{\"texts\":[\"a\",]}", "", ERR_INVALID},
    {"{\"texts\":[\"a\"", "", ERR_INVALID},
    {"{\"texts\":\"a\"}", "", ERR_INVALID},
};

Test(json, an_array_of_texts_lies_in_one_piece)
{
    for (const struct texts_case *c = texts_cases; c < texts_cases + COUNT_OF(texts_cases); c++) {
        struct json_document document;
        struct sample sample = {0};
        char shown[64] = "";
        cr_assert_eq(read_exact(&document, text(c->json), &sample), c->err, "%s", c->json);
        for (size_t i = 0; c->err == ERR_OK && i < sample.texts.count; i++)
            shown[i] = sample.texts.data[i] == 0 ? ',' : (char)sample.texts.data[i];
        cr_expect_str_eq(shown, c->texts, "%s: %s", c->json, shown);
        json_close(&document);
    }
}

static const struct texts_case either_cases[] = {
    {"{\"either\":\"a\"}", "a,", ERR_OK}, {"{\"either\":\"\"}", ",", ERR_OK},
    {"{\"either\":[]}", "", ERR_OK},      {"{\"either\":[\"a\",\"b\"]}", "a,b,", ERR_OK},
    {"{\"either\":null}", "", ERR_OK},    {"{\"either\":5}", "", ERR_INVALID},
    {"{\"either\":{}}", "", ERR_INVALID}, {"{\"either\":\"a}", "", ERR_INVALID},
};

Test(json, a_text_alone_is_a_list_where_both_may_be)
{
    for (const struct texts_case *c = either_cases; c < either_cases + COUNT_OF(either_cases); c++) {
        struct json_document document;
        struct sample sample = {0};
        char shown[64] = "";
        cr_assert_eq(read_exact(&document, text(c->json), &sample), c->err, "%s", c->json);
        for (size_t i = 0; c->err == ERR_OK && i < sample.either.count; i++)
            shown[i] = sample.either.data[i] == 0 ? ',' : (char)sample.either.data[i];
        cr_expect_str_eq(shown, c->texts, "%s: %s", c->json, shown);
        json_close(&document);
    }
}

static const struct written_case {
    const char *json;
    const char *written;
    enum err err;
} written_cases[] = {
    {"{\"written\":[]}", "[]", ERR_OK},
    {"{\"written\": [ {\"a\":[1,2]} , 5,\"x,]\"] }", "[ {\"a\":[1,2]} , 5,\"x,]\"]", ERR_OK},
    {"{\"written\":5}", "5", ERR_OK},
    {"{\"written\":{\"a\":[1]}}", "{\"a\":[1]}", ERR_OK},
    {"{\"written\":null}", "", ERR_OK},
    {"{\"written\":[1,]}", "", ERR_INVALID},
    {"{\"written\":[}", "", ERR_INVALID},
};

Test(json, a_value_may_be_wanted_as_it_is_written)
{
    for (const struct written_case *c = written_cases; c < written_cases + COUNT_OF(written_cases); c++) {
        struct json_document document;
        struct sample sample = {0};
        cr_assert_eq(json_read(&document, text(c->json), &sample_shape, &sample), c->err, "%s", c->json);
        cr_expect(bytes_equal(c->err == ERR_OK ? sample.written : TEXT(""), text(c->written)), "%s: %.*s",
                  c->json, BYTES_PRINTF(sample.written));
        json_close(&document);
    }
}
