/* tests/unit/core/config/test_parser.c - the language (configuration.md 2) and its error sentences
 * (3.1, 3.2). A tree is shown as the JSON of which the digest is made. The texts were given to
 * nats-server 2.15.2 as well. */
#include "core/config/digest.h"
#include "core/config/parser.h"

#include <criterion/criterion.h>
#include <stdio.h>

struct file {
    const char *path;
    const char *text;
};

static enum err read_file(void *context, const char *path, struct arena *arena, struct bytes *out,
                          struct config_text *why)
{
    for (const struct file *file = context; file->path != NULL; file++) {
        if (strcmp(file->path, path) != 0)
            continue;
        *out = text(arena_copy(arena, text(file->text)));
        return ERR_OK;
    }
    config_text_add(why, "open %s: no such file or directory", path);
    return ERR_INVALID;
}

static const char *variable(void *context, const char *name)
{
    static const struct file environment[] = {
        {"NUMBER", "12"},     {"TEXT", "\"12\""}, {"ARRAY", "[a, b]"}, {"EMPTY", ""},     {"TWO", "a b"},
        {"OTHER", "$NUMBER"}, {"SELF", "$SELF"},  {"PING", "$PONG"},   {"PONG", "$PING"}, {NULL, NULL},
    };
    (void)context;
    for (const struct file *file = environment; file->path != NULL; file++) {
        if (strcmp(file->path, name) == 0)
            return file->text;
    }
    return NULL;
}

/* The JSON of a tree, or "! " and the error. The caller frees nothing: one static buffer for each call. */
static const char *parse(const struct file *files, const char *path)
{
    static char shown[4096];
    struct config_source source = {.read = read_file, .variable = variable, .context = (void *)files};
    struct config_tree tree;
    struct config_text why = {0}, json = {0};
    enum err err = parser_read(&tree, path, &source, &why);
    if (err == ERR_OK)
        err = digest_json(tree.root, &json);
    if (err == ERR_OK)
        snprintf(shown, sizeof(shown), "%s", config_text_string(&json));
    else
        snprintf(shown, sizeof(shown), "! %s", config_text_string(&why));
    config_tree_close(&tree);
    config_text_close(&why);
    config_text_close(&json);
    return shown;
}

static const char *parse_text(const char *text)
{
    struct file files[] = {{"c.conf", text}, {NULL, NULL}};
    return parse(files, "c.conf");
}

struct parse_case {
    const char *text;
    const char *shows;
};

#define PARSE_ROWS(rows)                                                                                     \
    for (size_t i = 0; i < COUNT_OF(rows); i++) {                                                            \
        const char *shown = parse_text(rows[i].text);                                                        \
        cr_expect_str_eq(shown, rows[i].shows, "%s\n  gave %s\n  not  %s", rows[i].text, shown,              \
                         rows[i].shows);                                                                     \
    }

static const struct parse_case structure_cases[] = {
    {"", "{}"},
    {"# only\n// comments", "{}"},
    {"a: 1", "{\"a\":1}"},
    {"a=1", "{\"a\":1}"},
    {"a 1", "{\"a\":1}"},
    {"a\n1", "{\"a\":1}"},
    {"a :   1", "{\"a\":1}"},
    {"a:", "{\"a\":\"\"}"},
    {"b: 2\na: 1", "{\"a\":1,\"b\":2}"},
    {"a: 1; b: 2, c: 3", "{\"a\":1,\"b\":2,\"c\":3}"},
    {"a: 1\r\nb: 2\r\n", "{\"a\":1,\"b\":2}"},
    {"\xc2\xa0"
     "a: 1",
     "{\"a\":1}"},
    {"{a: 1}", "{\"a\":1}"},
    {"{{a: 1}}", "{\"a\":1}"},
    {"{ {a: 1}; b: 2 }", "{\"a\":1,\"b\":2}"},
    {"{a: 1} b: 2", "{\"a\":1,\"b\":2}"},
    {"a: 1}", "{\"a\":1}"},
    {"}", "{}"},
    {"{\"a\": 1, \"b\": {\"c\": [true, \"x\"]}}", "{\"a\":1,\"b\":{\"c\":[true,\"x\"]}}"},
    {"cluster{a: 1", "{\"cluster{a\":1}"},
    {"\"a b:c\": 1", "{\"a b:c\":1}"},
    {"'a b': 1", "{\"a b\":1}"},
    {"a: 1\na: {b: 2}", "{\"a\":{\"b\":2}}"},
    {"port: 1\nPort: 2", "{\"Port\":2,\"port\":1}"},
    {"a {b: 1, c: 2; d: 3\n e: 4,}", "{\"a\":{\"b\":1,\"c\":2,\"d\":3,\"e\":4}}"},
    {"a {b:\n1}", "{\"a\":{\"b\":1}}"},
    {"a [b, c\nd,]", "{\"a\":[\"b\",\"c\",\"d\"]}"},
    {"a [{b:1}\n{c:2}]", "{\"a\":[{\"b\":1},{\"c\":2}]}"},
    {"a [[1], []]", "{\"a\":[[1],[]]}"},
    {"a {b: 1 / c: 2}", "{\"a\":{\"b\":1,\"c\":2}}"},
    {"a [1 / 2]", "{\"a\":[1,2]}"},
    {"a: b /\nc: d", "{\"a\":\"b\",\"c\":\"d\"}"},
    {"a: b # c\nd: e // f\n", "{\"a\":\"b\",\"d\":\"e\"}"},
    {"a { # x\n b: 1 # y\n # z\n}", "{\"a\":{\"b\":1}}"},
    {"a [ # x\n b // y\n]", "{\"a\":[\"b\"]}"},
    {"a: b#c", "{\"a\":\"b#c\"}"},
    {"a: nats://h:1", "{\"a\":\"nats://h:1\"}"},
};

Test(config_parser, pairs_are_found_in_every_layout)
{
    PARSE_ROWS(structure_cases)
}

static const struct parse_case scalar_cases[] = {
    {"a: \"x\\t\\n\\r\\\"\\\\\\x41\"", "{\"a\":\"x\\t\\n\\r\\\"\\\\A\"}"},
    {"a: 'x\\t'", "{\"a\":\"x\\\\t\"}"},
    {"a: \"x\ny\"", "{\"a\":\"x\\ny\"}"},
    {"a: ''", "{\"a\":\"\"}"},
    {"a: x\\x41y", "{\"a\":\"xAy\"}"},
    {"a: \\x74rue", "{\"a\":\"true\"}"},
    {"a: x\"y", "{\"a\":\"x\\\"y\"}"},
    {"a: true\nb: YES\nc: oN", "{\"a\":true,\"b\":true,\"c\":true}"},
    {"a: false\nb: No\nc: off", "{\"a\":false,\"b\":false,\"c\":false}"},
    {"a: t\nb: \"true\"", "{\"a\":\"t\",\"b\":\"true\"}"},
    {"a: -5", "{\"a\":-5}"},
    {"a: 007", "{\"a\":7}"},
    {"a: 9223372036854775807\nb: -9223372036854775808",
     "{\"a\":9223372036854775807,\"b\":-9223372036854775808}"},
    {"a: 1k\nb: 1kb\nc: 1KiB\nd: 1ki\ne: 1m\nf: 2MB",
     "{\"a\":1000,\"b\":1024,\"c\":1024,\"d\":1024,\"e\":1000000,\"f\":2097152}"},
    {"a: 1g\nb: 1GB\nc: 1t\nd: 1e\ne: 1EiB", "{\"a\":1000000000,\"b\":1073741824,\"c\":1000000000000,\"d\":"
                                             "1000000000000000000,\"e\":1152921504606846976}"},
    {"a: -5k", "{\"a\":-5000}"},
    {"a: [1,2,3]", "{\"a\":[1,2,3]}"},
    {"a: [1k]", "{\"a\":[1000]}"},
    {"a: 1]", "{\"a\":\"1]\"}"},
    {"a: 1mx\nb: 100ms\nc: 1abc\nd: 0x10\ne: 1_000",
     "{\"a\":\"1mx\",\"b\":\"100ms\",\"c\":\"1abc\",\"d\":\"0x10\",\"e\":\"1_000\"}"},
    {"a: 30s\nb: 1h30m\nc: 5m30s\nd: 2m", "{\"a\":\"30s\",\"b\":\"1h30m\",\"c\":\"5m30s\",\"d\":2000000}"},
    {"a: 1.50\nb: -1.5\nc: 1.0\nd: 0.0000001\ne: 100000000000000000000000.0",
     "{\"a\":1.5,\"b\":-1.5,\"c\":1,\"d\":1e-7,\"e\":1e+23}"},
    {"a: 1.2.3.4\nb: 127.0.0.1:-1", "{\"a\":\"1.2.3.4\",\"b\":\"127.0.0.1:-1\"}"},
    {"a: 2024-01-31T23:59:59Z", "{\"a\":\"2024-01-31T23:59:59Z\"}"},
    {"a: (\nx\n)\nb: 1", "{\"a\":\"\\nx\\n\",\"b\":1}"},
    {"a: (x\n )\n)\n", "{\"a\":\"x\\n )\\n\"}"},
    {"a: \"<>&\\x01\xe2\x80\xa8\xc3\xa9\"", "{\"a\":\"\\u003c\\u003e\\u0026\\u0001\\u2028\xc3\xa9\"}"},
};

Test(config_parser, scalars_have_the_types_of_the_grammar)
{
    PARSE_ROWS(scalar_cases)
}

static const struct parse_case variable_cases[] = {
    {"x: 1\na: $x", "{\"a\":1,\"x\":1}"},
    {"x: {y: [1]}\na: $x", "{\"a\":{\"y\":[1]},\"x\":{\"y\":[1]}}"},
    {"x: 1\nb {x: 2, c: $x}", "{\"b\":{\"c\":2,\"x\":2},\"x\":1}"},
    {"x: 1\nb [$x, {c: $x}]", "{\"b\":[1,{\"c\":1}],\"x\":1}"},
    {"a: \"$x\"\nb: x$y", "{\"a\":\"$x\",\"b\":\"x$y\"}"},
    {"a: $2a$11$abc", "{\"a\":\"$2a$11$abc\"}"},
    {"a: $NUMBER", "{\"a\":12}"},
    {"a: $TEXT", "{\"a\":\"12\"}"},
    {"a: $ARRAY", "{\"a\":[\"a\",\"b\"]}"},
    {"a: $OTHER", "{\"a\":12}"},
    {"a: $EMPTY", "{\"a\":\"\"}"},
    {"a: $x\nx: 1", "! variable reference for 'x' on line 1 can not be found"},
    {"b {x: 1}\na: $x", "! variable reference for 'x' on line 2 can not be found"},
    {"x: 1\na: $X", "! variable reference for 'X' on line 2 can not be found"},
    {"a: ${FOO", "! variable reference for '{FOO' on line 1 can not be found"},
    {"pass: $FOO", "! variable reference for 'xxxxx' on line 1 can not be found"},
    {"a {PassWord: [$2b$11$abc]}", "! variable reference for 'xxxxx' on line 1 can not be found"},
    {"TOKEN: 99999999999999999999", "! integer 'xxxxx' is out of the range"},
    {"nkey: 2020-02-30T00:00:00Z", "! expected Zulu formatted DateTime, but got 'xxxxx'"},
    {"pass: $SELF",
     "! variable reference for 'xxxxx' on line 1 could not be parsed: variable reference for 'xxxxx' on "
     "line 1 could not be parsed: variable reference cycle for 'xxxxx'"},
    {"a: $2b$11$abc", "! variable reference for '2b$11$abc' on line 1 can not be found"},
    {"a: $TWO",
     "! variable reference for 'TWO' on line 1 could not be parsed: Parse error on line 1: 'Expected a "
     "top-level value to end with a new line, comment or EOF, but got 'b' instead.'"},
    {"a: $SELF",
     "! variable reference for 'SELF' on line 1 could not be parsed: variable reference for 'SELF' on "
     "line 1 could not be parsed: variable reference cycle for 'SELF'"},
};

Test(config_parser, variables_come_from_the_scopes_around_and_the_environment)
{
    PARSE_ROWS(variable_cases)
    cr_expect_not_null(strstr(parse_text("a: $PING"), "variable reference cycle for 'PING'"));
}

#define TOP(got)                                                                                             \
    "Expected a top-level value to end with a new line, comment or EOF, but got '" got "' instead.'"
#define MAP(got)                                                                                             \
    "Expected a map value terminator \",\" or a map terminator \"}\", but got '" got "' instead.'"
#define ARRAY(got)                                                                                           \
    "Expected an array value terminator \",\" or an array terminator \"]\", but got '" got "' instead.'"
#define LINE1 "! Parse error on line 1: '"
#define LINE2 "! Parse error on line 2: '"

static const struct parse_case error_cases[] = {
    {"a: b c", LINE1 TOP("c")},
    {"port: 1 MB", LINE1 TOP("M")},
    {"a: 1.5MB", LINE1 TOP("M")},
    {"a: -5x", LINE1 TOP("x")},
    {"a: don't", LINE1 TOP("t")},
    {"a: 10.0.0.1/24", LINE1 TOP("2")},
    {"a: b /* x */", LINE1 TOP("*")},
    {"a: b \xc3\xa9", LINE1 TOP("\xc3\xa9")},
    {"{a 1 b 2}",
     LINE1 "Expected a block-level value to end with a new line, comment or EOF, but got 'b' instead.'"},
    {"{a: 1",
     LINE1 "Expected a block-level value to end with a new line, comment or EOF, but got 'EOF' instead.'"},
    {"{ {a:1} x", LINE1 "Expected a block-level to end with a '}', but got 'x' instead.'"},
    {"a: {x: y z}", LINE1 MAP("z")},
    {"a: {x: y", LINE1 MAP("EOF")},
    {"a: [y z]", LINE1 ARRAY("z")},
    {"a: [", LINE1 ARRAY("EOF")},
    {"a: [a;b]", LINE1 ARRAY(";")},
    {"a: [a,,b]", LINE1 "Unexpected array value terminator ','.'"},
    {"a: [/ b]", LINE1 "Unexpected array value terminator ','.'"},
    {"a: {x:,y:1}", LINE1 "Unexpected map value terminator \",\".'"},
    {"=b", LINE1 "Unexpected key separator '=''"},
    {"a: {=b}", LINE1 "Unexpected key separator '='.'"},
    {"a: {]}", LINE1 "Unexpected array end ']' processing map.'"},
    {"/* x */", LINE1 "Unexpected EOF.'"},
    {"a: \"abc", LINE1 "Unexpected EOF.'"},
    {"a: 'abc\n", LINE2 "Unexpected EOF.'"},
    {"\"a: 1", LINE1 "Unexpected EOF.'"},
    {"a: {", LINE1 "Unexpected EOF processing map.'"},
    {"a: {x", LINE1 "Unexpected EOF processing map key.'"},
    {"a: {'x", LINE1 "Unexpected EOF processing quoted map key.'"},
    {"a: {\"x", LINE1 "Unexpected EOF processing double quoted map key.'"},
    {"a: (abc)", LINE1 "Unexpected EOF processing block.'"},
    {"include 'x", LINE1 "Unexpected EOF in quoted include'"},
    {"include \"x", LINE1 "Unexpected EOF in double quoted include'"},
    {"include 5", LINE1 "Expected include value but found start of a number'"},
    {"include [", LINE1 "Expected include value but found start of an array'"},
    {"include {", LINE1 "Expected include value but found start of a map'"},
    {"include (", LINE1 "Expected include value but found start of a block'"},
    {"include \\x", LINE1 "Expected include value but found escape sequence'"},
    {"include\n", LINE2 "Expected include value but found new line'"},
    {"a: .5", LINE1 "Floats must start with a digit'"},
    {"a: -.5", LINE1 "Floats must start with a digit, not '.'.'"},
    {"a: 5.x", LINE1 "Floats must have a digit after the '.', but got 'x' instead.'"},
    {"a: -x", LINE1 "Expected a digit but got 'x'.'"},
    {"a:\n1", LINE2 "Expected value but found new line'"},
    {"a: 1-2", LINE1 "All ISO8601 dates must be in full Zulu form.'"},
    {"a: 2024-x", LINE1 "Expected digit in ISO8601 datetime, but found 'x' instead.'"},
    {"a: 2024-01-01X", LINE1 "Expected 'T' in ISO8601 datetime, but found 'X' instead.'"},
    {"a: 1234-\n", LINE2 "Expected digit in ISO8601 datetime, but found '\\n' instead.'"},
    {"a: \"\\q\"",
     LINE1 "Invalid escape character 'q'. Only the following escape characters are allowed: \\xXX, "
           "\\t, \\n, \\r, \\\", \\\\.'"},
    {"a: \"\\xzz\"", LINE1 "Expected two hexadecimal digits after '\\x', but got 'zz''"},
    {"a: \"\\x4\n\"", LINE2 "Expected two hexadecimal digits after '\\x', but hit end of line'"},
    {"a: {x: }", LINE1 "Expected a value but found the end of the map.'"},
    {"a: 2024-13-01T00:00:00Z", "! expected Zulu formatted DateTime, but got '2024-13-01T00:00:00Z'"},
    {"a: 2023-02-29T00:00:00Z", "! expected Zulu formatted DateTime, but got '2023-02-29T00:00:00Z'"},
    {"a: 99999999999999999999", "! integer '99999999999999999999' is out of the range"},
    {"a: 9223372036854775807k", "! integer '9223372036854775807k' is out of the range"},
    {"a: 1kbb", "! integer '1kbb' has a suffix that is not a size"},
    {"a: 1kibi", "! integer '1kibi' has a suffix that is not a size"},
    {"port", "! config is invalid (c.conf:1:4)"},
    {"a: 1\nport", "! config is invalid (c.conf:2:5)"},
};

Test(config_parser, errors_have_the_sentences_of_nats_server)
{
    PARSE_ROWS(error_cases)
}

static enum err read_torn(void *context, const char *path, struct arena *arena, struct bytes *out,
                          struct config_text *why)
{
    (void)context;
    (void)path;
    (void)arena;
    (void)why;
    *out = TEXT("a: 1\nb\0c: 2");
    return ERR_OK;
}

Test(config_parser, a_zero_byte_is_refused)
{
    struct config_source source = {.read = read_torn};
    struct config_tree tree;
    struct config_text why = {0};
    cr_expect_eq(parser_read(&tree, "c.conf", &source, &why), ERR_INVALID);
    cr_expect_str_eq(config_text_string(&why), "Parse error on line 2: 'Unexpected zero byte.'");
    config_text_close(&why);
    config_tree_close(&tree);
}

Test(config_parser, includes_add_to_the_open_map_and_have_a_scope_of_their_own)
{
    static const struct file files[] = {
        {"d/main.conf", "v: 1\ninclude sub.conf\nb: $from_sub\nm {include 'e/deep.conf'\n z: 1}\n"},
        {"d/sub.conf", "from_sub: 7\n"},
        {"d/e/deep.conf", "x: 1; include deeper.conf; z: 9\n"},
        {"d/e/deeper.conf", "y: 2\n"},
        {"/abs.conf", "a: 1"},
        {"d/absolute.conf", "include /abs.conf"},
        {"d/missing.conf", "a: 1\ninclude none.conf\n"},
        {"d/broken.conf", "include broken_sub.conf\n"},
        {"d/broken_sub.conf", "a: 1\nb: c d\n"},
        {"d/outer.conf", "v: 1\ninclude uses_v.conf\n"},
        {"d/uses_v.conf", "a: $v\n"},
        {"loop.conf", "include loop.conf\n"},
        {NULL, NULL},
    };
    static const struct file wanted[] = {
        {"d/main.conf", "{\"b\":7,\"from_sub\":7,\"m\":{\"x\":1,\"y\":2,\"z\":1},\"v\":1}"},
        {"d/absolute.conf", "{\"a\":1}"},
        {"d/missing.conf",
         "! error parsing include file 'd/none.conf', open d/none.conf: no such file or directory"},
        {"d/broken.conf", "! error parsing include file 'd/broken_sub.conf', "
                          "Parse error on line 2: '" TOP("d")},
        {"d/outer.conf",
         "! error parsing include file 'd/uses_v.conf', variable reference for 'v' on line 1 can not "
         "be found"},
        {"no.conf", "! open no.conf: no such file or directory"},
    };
    for (size_t i = 0; i < COUNT_OF(wanted); i++) {
        const char *shown = parse(files, wanted[i].path);
        cr_expect_str_eq(shown, wanted[i].text, "%s gave %s", wanted[i].path, shown);
    }
    cr_expect_not_null(strstr(parse(files, "loop.conf"), "includes may be nested 16 levels deep at most"));
}

Test(config_parser, nesting_is_bounded)
{
    struct config_text text = {0};
    config_text_add(&text, "a: ");
    for (int i = 0; i < CONFIG_NESTING_MAX; i++)
        config_text_add(&text, "[");
    for (int i = 0; i < CONFIG_NESTING_MAX; i++)
        config_text_add(&text, "]");
    cr_expect_eq(parse_text(config_text_string(&text))[0], '{');
    struct config_text deeper = {0};
    config_text_add(&deeper, "x: [1]\n%s", config_text_string(&text));
    cr_expect_eq(parse_text(config_text_string(&deeper))[0], '{');
    config_text_close(&deeper);
    config_text_add(&deeper, "a: [%s", config_text_string(&text) + 3);
    cr_expect_str_eq(parse_text(config_text_string(&deeper)),
                     "! Parse error on line 1: 'Maps and arrays may be nested 64 levels deep at most.'");
    config_text_close(&deeper);
    config_text_close(&text);
}

Test(config_parser, variables_cannot_unfold_without_end)
{
    struct config_text text = {0};
    config_text_add(&text, "v0: [x]\n");
    for (int i = 1; i < 40; i++)
        config_text_add(&text, "v%d: [$v%d, $v%d]\n", i, i - 1, i - 1);
    cr_expect_not_null(strstr(parse_text(config_text_string(&text)), "has more than 1048576 values"));
    config_text_close(&text);
    for (int i = 0; i < 80; i++)
        config_text_add(&text, "w%d: [%s%d]\n", i, i == 0 ? "x" : "$w", i - 1);
    cr_expect_not_null(strstr(parse_text(config_text_string(&text)), "nested 64 levels deep at most"));
    config_text_close(&text);
}

Test(config_parser, positions_are_those_of_keys_and_items)
{
    struct file files[] = {{"c.conf", "a: 1\n  \"b\": [x, 'y', {c: 1}]\n"}, {NULL, NULL}};
    struct config_source source = {.read = read_file, .context = files};
    struct config_tree tree;
    struct config_text why = {0};
    cr_assert_eq(parser_read(&tree, "c.conf", &source, &why), ERR_OK);
    const struct config_entry *a = tree.root->entries.first;
    const struct config_entry *x = a->next->value->entries.first;
    cr_expect(a->position.line == 1 && a->position.column == 0);
    cr_expect(a->next->position.line == 2 && a->next->position.column == 4, "column %d",
              a->next->position.column);
    cr_expect(x->position.column == 9, "x at %d", x->position.column);
    cr_expect(x->next->position.column == 13, "y at %d", x->next->position.column);
    cr_expect(x->next->next->position.column == 23, "map ends at %d", x->next->next->position.column);
    cr_expect_str_eq(a->position.file, "c.conf");
    config_tree_close(&tree);
}

Test(config_digest, is_that_of_nats_server)
{
    static const struct parse_case cases[] = {
        {"foo = bar", "sha256:226e49e13d16e5e8aa0d62e58cd63361bf097d3e2b2444aa3044334628a2e8de"},
        {"port: 4222", "sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e"},
        {"# a comment\n{ \"port\" = 4222 }",
         "sha256:797533ebd0dfba7d34a0f9337ecf147e442871f48ddfd07ed751575a5737267e"},
        {"x: \"<>&\\x01\xe2\x80\xa8\xc3\xa9\"\nport: $x\nport: 4222\n",
         "sha256:8a330c7330e5d2f1cb08769079cef8f5092ce9f55a0075afe4170acdaee21e23"},
        {"x: 0.0000001\nport: $x\nport: 4222\n",
         "sha256:da3912bd5ff12960633cb445ccf184fd4e2f8bdc2b9782414367064387401bf9"},
        {"x: 100000000000000000000000.0\nport: $x\nport: 4222\n",
         "sha256:c6e8fcbf1cea7dab3ca88a6879c5f2336035ee0132a801c5edb32af9a75fa7ae"},
    };
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct file files[] = {{"c.conf", cases[i].text}, {NULL, NULL}};
        struct config_source source = {.read = read_file, .context = files};
        struct config_tree tree;
        struct config_text why = {0};
        char digest[DIGEST_TEXT_BYTES];
        cr_assert_eq(parser_read(&tree, "c.conf", &source, &why), ERR_OK);
        cr_assert_eq(digest_tree(tree.root, digest), ERR_OK);
        cr_expect_str_eq(digest, cases[i].shows, "%s", cases[i].text);
        config_tree_close(&tree);
    }
}
