/* The `accounts` block: nats-server's sentence for each mistake (each row was seen from it, but for a few
 * where it says nothing or shows a value in Go's way), and what a good block becomes (spec/security.md 5). */
#include "core/base/language.h"
#include "core/config/parser.h"
#include "core/security/options.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* A configuration of the rows of core/security alone. */
struct loaded {
    struct security_options options;
    struct arena arena;
    struct option_errors errors;
    struct config_text why;
    bool finished;
};

static enum err read_file(void *context, const char *path, struct arena *arena, struct bytes *out,
                          struct config_text *why)
{
    (void)path;
    (void)why;
    *out = text(arena_copy(arena, text(context)));
    return ERR_OK;
}

static void load(struct loaded *loaded, const char *file)
{
    struct config_tree tree = {0};
    struct option_group group = {0};
    struct option_table table = {&group, 1};
    struct config_source source = {.read = read_file, .context = (void *)(uintptr_t)file};
    *loaded = (struct loaded){0};
    group.rows = security_option_rows(&group.count);
    cr_assert_eq(options_default(&table, &loaded->options, &loaded->arena), ERR_OK);
    cr_assert_eq(parser_read(&tree, "c.conf", &source, &loaded->why), ERR_OK, "%s",
                 config_text_string(&loaded->why));
    options_apply(&table, &loaded->options, tree.root, &loaded->arena, &loaded->errors);
    config_tree_close(&tree);
    loaded->finished = loaded->errors.errors.count == 0 &&
                       security_options_finish(&loaded->options, &loaded->arena, &loaded->why);
}

static void unload(struct loaded *loaded)
{
    option_errors_close(&loaded->errors);
    config_text_close(&loaded->why);
    arena_close(&loaded->arena);
}

/* A block, and what is wrong with it; NULL: nothing. */
static const struct {
    const char *file, *error;
} rows[] = {
    {"accounts: 5", "c.conf:1:0: Expected accounts to be a map or an array of names, got int64"},
    {"accounts: [A, A]", "c.conf:1:14: Duplicate Account Entry: A"},
    {"accounts: [A, 5 ]", "c.conf:1:14: interface conversion: interface {} is int64, not string"},
    {"accounts: [A, \"$G\"]", "c.conf:1:15: \"$G\" is a Reserved Account"},
    {"accounts: [A, \"$SYS\"]", NULL},
    {"accounts { \"$G\" {} }", "c.conf:1:12: \"$G\" is a Reserved Account"},
    {"accounts { A: 5 }", "c.conf:1:11: Expected map entries for accounts"},
    {"accounts { A: [x] }", "c.conf:1:11: Expected map entries for accounts"},
    {"accounts { A {zz: 1} }", "c.conf:1:14: unknown field \"zz\""},
    {"accounts { A {nkey: foo} }", "c.conf:1:14: Not a valid public nkey for an account: \"xxxxx\""},
    {"accounts { A {nkey: 5} }", "c.conf:1:14: Not a valid public nkey for an account: \"xxxxx\""},
    {"accounts { A {exports: 5} }", "c.conf:1:14: Exports should be an array, got int64"},
    {"accounts { A {exports: [5 ]} }",
     "c.conf:1:24: Export Items should be a map with type entry, got int64"},
    {"accounts { A {exports: [{foo: 1}]} }", "c.conf:1:25: unknown field \"foo\""},
    {"accounts { A {exports: [{stream: a, service: b}]} }",
     "c.conf:1:36: Detected service \"b\" but already saw a stream"},
    {"accounts { A {exports: [{service: a, stream: b}]} }",
     "c.conf:1:37: Detected stream \"b\" but already saw a service"},
    {"accounts { A {exports: [{accounts: [B]}]}, B {} }", NULL},
    {"accounts { A {exports: [{stream: 5}]} }", "c.conf:1:25: Expected stream name to be string, got int64"},
    {"accounts { A {exports: [{stream: \"a..b\"}]} }", NULL},
    {"accounts { A {exports: [{service: \"a..b\"}]} }", NULL},
    {"accounts { A {exports: [{stream: a, accounts: [B]}]} }",
     "c.conf:1:0: \"B\" account not defined for stream export"},
    {"accounts { A {exports: [{service: a, accounts: [B]}]} }",
     "c.conf:1:0: \"B\" account not defined for service export"},
    {"accounts { A {exports: [{stream: a, accounts: 5}]} }",
     "c.conf:1:36: interface conversion: interface {} is int64, not []interface {}"},
    {"accounts { A {exports: [{stream: a, accounts: [5 ]}]} }",
     "c.conf:1:47: interface conversion: interface {} is int64, not string"},
    {"accounts { A {exports: [{stream: a, response: stream}]} }",
     "c.conf:1:36: Detected response directive on non-service"},
    {"accounts { A {exports: [{response: stream, stream: a}]} }",
     "c.conf:1:25: Detected response directive on non-service"},
    {"accounts { A {exports: [{service: a, response: foo}]} }",
     "c.conf:1:37: Unknown response type: \"foo\""},
    {"accounts { A {exports: [{service: a, response: 5}]} }",
     "c.conf:1:37: Expected response type to be string, got int64"},
    {"accounts { A {exports: [{service: a, threshold: 5}]} }",
     "c.conf:1:37: Expected response threshold to be a parseable time duration, got int64"},
    {"accounts { A {exports: [{service: a, threshold: \"x\"}]} }",
     "c.conf:1:37: Expected response threshold to be a parseable time duration, got \"x\""},
    {"accounts { A {exports: [{stream: a, threshold: \"5s\"}]} }",
     "c.conf:1:36: Detected response directive on non-service"},
    {"accounts { A {exports: [{service: a, latency: 5}]} }",
     "c.conf:1:37: Expected latency entry to be a map/struct or string, got int64"},
    {"accounts { A {exports: [{service: a, latency: \"lat\"}]} }", NULL},
    {"accounts { A {exports: [{service: a, latency: \"lat.*\"}]} }",
     "c.conf:1:0: Error adding service latency sampling for \"a\" on subject \"lat.*\": invalid publish "
     "subject"},
    {"accounts { A {exports: [{service: a, latency: {sampling: 50}}]} }",
     "c.conf:1:37: Latency subject required, but missing"},
    {"accounts { A {exports: [{service: a, latency: {sampling: 0, subject: x}}]} }",
     "c.conf:1:47: bad sampling percentage, should be 1-100"},
    {"accounts { A {exports: [{service: a, latency: {sampling: 101, subject: x}}]} }",
     "c.conf:1:47: bad sampling percentage, should be 1-100"},
    {"accounts { A {exports: [{service: a, latency: {sampling: \"50%\", subject: x}}]} }", NULL},
    {"accounts { A {exports: [{service: a, latency: {sampling: \"x\", subject: x}}]} }",
     "c.conf:1:47: Failed to parse latency sample: strconv.Atoi: parsing \"x\": invalid syntax"},
    {"accounts { A {exports: [{service: a, latency: {sampling: \"headers\", subject: x}}]} }", NULL},
    {"accounts { A {exports: [{service: a, latency: {sampling: true, subject: x}}]} }",
     "c.conf:1:47: Expected latency sample to be a string or map/struct, got bool"},
    {"accounts { A {exports: [{service: a, latency: {subject: 5}}]} }",
     "c.conf:1:47: Expected latency subject to be a string, got int64"},
    {"accounts { A {exports: [{service: a, response: stream, latency: lat}]} }",
     "c.conf:1:0: Error adding service latency sampling for \"a\" on subject \"lat\": bad service response "
     "type"},
    {"accounts { A {exports: [{stream: a, latency: lat}]} }",
     "c.conf:1:36: Detected latency directive on non-service"},
    {"accounts { A {exports: [{service: a, latency: a}]} }",
     "c.conf:1:0: Error adding service latency sampling for \"a\" on subject \"a\": invalid publish subject"},
    {"accounts { A {exports: [{service: a}, {stream: lat}], exports: [{service: a, latency: lat}]} }", NULL},
    {"no_system_account: true, accounts { A {exports: [{service: a, latency: lat}]} }", NULL},
    {"accounts { A {exports: [{stream: \"foo.bar\", account_token_position: 2}]} }",
     "c.conf:1:0: Error adding stream export \"foo.bar\": sublist: invalid subject"},
    {"accounts { A {exports: [{service: \"foo.bar\", account_token_position: 2}]} }",
     "c.conf:1:0: Error adding service export \"foo.bar\": sublist: invalid subject"},
    {"accounts { A {exports: [{service: \"foo.*\", account_token_position: 3}]} }",
     "c.conf:1:0: Error adding service export \"foo.*\": sublist: invalid subject"},
    {"accounts { A {exports: [{service: \"foo.*\", account_token_position: x}]} }",
     "c.conf:1:43: interface conversion: interface {} is string, not int64"},
    {"accounts { A {exports: [{service: \"foo.*\", account_token_position: 2, accounts: [A]}]} }", NULL},
    {"accounts { A {exports: [{stream: \"foo.*\", account_token_position: 2, accounts: [A]}]} }", NULL},
    {"accounts { A {exports: [{stream: a, allow_trace: true}]} }",
     "c.conf:1:36: Detected allow_trace directive on non-service"},
    {"accounts { A {exports: [{service: a, allow_trace: 5}]} }",
     "c.conf:1:37: interface conversion: interface {} is int64, not bool"},
    {"accounts { A {imports: 5} }", "c.conf:1:14: Imports should be an array, got int64"},
    {"accounts { A {imports: [5 ]} }",
     "c.conf:1:24: Import Items should be a map with type entry, got int64"},
    {"accounts { A {imports: [{foo: 1}]} }", "c.conf:1:25: unknown field \"foo\""},
    {"accounts { A {imports: [{stream: {account: A, subject: b}, service: {account: A, subject: b}}]} }",
     "c.conf:1:59: Detected service but already saw a stream"},
    {"accounts { A {imports: [{service: {account: A, subject: b}, stream: {account: A, subject: b}}]} }",
     "c.conf:1:60: Detected stream but already saw a service"},
    {"accounts { A {imports: [{to: x}]} }", NULL},
    {"accounts { A {imports: [{stream: {account: B, subject: b}}]} }",
     "c.conf:1:0: \"B\" account not defined for stream import"},
    {"accounts { A {imports: [{service: {account: B, subject: b}}]} }",
     "c.conf:1:0: \"B\" account not defined for service import"},
    {"accounts { A {imports: [{stream: {account: A, subject: b}}]} }",
     "c.conf:1:0: Error adding stream import \"b\": stream import not authorized"},
    {"accounts { A {imports: [{service: {account: A, subject: b}}]} }",
     "c.conf:1:0: Error adding service import \"b\": service import not authorized"},
    {"accounts { A {imports: [{stream: 5}]} }",
     "c.conf:1:25: Stream entry should be an account map, got int64"},
    {"accounts { A {imports: [{stream: {account: B}}]}, B {} }",
     "c.conf:1:25: Expect an account name and a subject"},
    {"accounts { A {imports: [{stream: {subject: b}}]}, B {} }",
     "c.conf:1:25: Expect an account name and a subject"},
    {"accounts { A {imports: [{stream: {account: B, subject: b, zz: 1}}]}, B {exports: [{stream: b}]} }",
     "c.conf:1:58: unknown field \"zz\""},
    {"accounts { A {imports: [{stream: {account: B, subject: b}}]}, B {} }",
     "c.conf:1:0: Error adding stream import \"b\": stream import not authorized"},
    {"accounts { A {imports: [{service: {account: B, subject: b}}]}, B {} }",
     "c.conf:1:0: Error adding service import \"b\": service import not authorized"},
    {"accounts { A {imports: [{stream: {account: B, subject: b}}]}, B {exports: [{stream: b}]} }", NULL},
    {"accounts { A {imports: [{stream: {account: B, subject: \">\"}}]}, B {exports: [{stream: \"b.>\"}]} }",
     "c.conf:1:0: Error adding stream import \">\": stream import not authorized"},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b.*\"}}]}, B {exports: [{stream: \"b.>\"}]} }",
     NULL},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b.>\"}}]}, B {exports: [{stream: \"b.*\"}]} }",
     "c.conf:1:0: Error adding stream import \"b.>\": stream import not authorized"},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b.x\"}}]}, B {exports: [{stream: \"b.*\", "
     "accounts: [A]}]} }",
     NULL},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b.x\"}}]}, B {exports: [{stream: \"b.*\", "
     "accounts: [C]}]}, C {} }",
     "c.conf:1:0: Error adding stream import \"b.x\": stream import not authorized"},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b.A\"}}]}, B {exports: [{stream: \"b.*\", "
     "account_token_position: 2}]}, C {} }",
     NULL},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b.C\"}}]}, B {exports: [{stream: \"b.*\", "
     "account_token_position: 2}]}, C {} }",
     "c.conf:1:0: Error adding stream import \"b.C\": stream import not authorized"},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b.*\"}}]}, B {exports: [{stream: \"b.*\", "
     "account_token_position: 2}]}, C {} }",
     "c.conf:1:0: Error adding stream import \"b.*\": stream import not authorized"},
    {"accounts { A {imports: [{stream: {account: B, subject: b}, prefix: p, to: q}]}, B {exports: [{stream: "
     "b}]} }",
     "c.conf:1:70: Stream import can not have a 'prefix' and a 'to' property"},
    {"accounts { A {imports: [{stream: {account: B, subject: b}, to: q, prefix: p}]}, B {exports: [{stream: "
     "b}]} }",
     "c.conf:1:66: Stream import can not have a 'prefix' and a 'to' property"},
    {"accounts { A {imports: [{service: {account: B, subject: b}, prefix: p}]}, B {exports: [{service: b}]} "
     "}",
     NULL},
    {"accounts { A {imports: [{prefix: p, service: {account: B, subject: b}}]}, B {exports: [{service: b}]} "
     "}",
     NULL},
    {"accounts { A {imports: [{stream: {account: B, subject: b}, prefix: \"p.*\"}]}, B {exports: [{stream: "
     "b}]} }",
     "c.conf:1:0: Error adding stream import \"b\": stream import prefix can not contain wildcard tokens"},
    {"accounts { A {imports: [{stream: {account: B, subject: b}, prefix: \"p..x\"}]}, B {exports: [{stream: "
     "b}]} }",
     "c.conf:1:0: Error adding stream import \"b\": failed to create mapping transform for stream import "
     "subject from \"b\" to \"p..x.b\": invalid subject"},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b.*\"}, to: \"p\"}]}, B {exports: [{stream: "
     "\"b.*\"}]} }",
     "c.conf:1:0: Error adding stream import \"b.*\": failed to create mapping transform for stream import "
     "subject from \"b.*\" to \"p\": invalid mapping destination: not using all of the token wildcard(s) in "
     "p"},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b.*\"}, to: \"p.*\"}]}, B {exports: [{stream: "
     "\"b.*\"}]} }",
     NULL},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b.*\"}, to: \"p.$1\"}]}, B {exports: "
     "[{stream: \"b.*\"}]} }",
     NULL},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b.*.*\"}, to: \"p.$1\"}]}, B {exports: "
     "[{stream: \"b.*.*\"}]} }",
     "c.conf:1:0: Error adding stream import \"b.*.*\": failed to create mapping transform for stream import "
     "subject from \"b.*.*\" to \"p.$1\": invalid mapping destination: not using all of the token "
     "wildcard(s) in p.$1"},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b.*.*\"}, to: \"p.$2.$1\"}]}, B {exports: "
     "[{stream: \"b.*.*\"}]} }",
     NULL},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b.*\"}, to: \"p.$2\"}]}, B {exports: "
     "[{stream: \"b.*\"}]} }",
     "c.conf:1:0: Error adding stream import \"b.*\": failed to create mapping transform for stream import "
     "subject from \"b.*\" to \"p.$2\": invalid mapping destination: wildcard index out of range in $2: [2]"},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b.*\"}, to: \"p.{{partition(3,1)}}\"}]}, B "
     "{exports: [{stream: \"b.*\"}]} }",
     "c.conf:1:0: Error adding stream import \"b.*\": failed to create mapping transform for stream import "
     "subject from \"b.*\" to \"p.{{partition(3,1)}}\": invalid mapping destination: the only mapping "
     "function allowed for import transforms is {{Wildcard()}} in {{partition(3,1)}}"},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b.>\"}, to: \"p.>\"}]}, B {exports: [{stream: "
     "\"b.>\"}]} }",
     NULL},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b.>\"}, to: \"p\"}]}, B {exports: [{stream: "
     "\"b.>\"}]} }",
     "c.conf:1:0: Error adding stream import \"b.>\": failed to create mapping transform for stream import "
     "subject from \"b.>\" to \"p\": invalid subject"},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b\"}, to: \"p.*\"}]}, B {exports: [{stream: "
     "\"b\"}]} }",
     "c.conf:1:0: Error adding stream import \"b\": 'to' can not contain wildcards that the subject does not "
     "have"},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b\"}},{stream: {account: B, subject: "
     "\"b\"}}]}, B {exports: [{stream: \"b\"}]} }",
     "c.conf:1:0: Error adding stream import \"b\": stream import already exists"},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b\"}},{stream: {account: B, subject: \"b\"}, "
     "to: c}]}, B {exports: [{stream: \"b\"}]} }",
     "c.conf:1:0: Error adding stream import \"b\": stream import already exists"},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b\"}, to: q},{stream: {account: B, subject: "
     "\"b\"}, prefix: c}]}, B {exports: [{stream: \"b\"}]} }",
     "c.conf:1:0: Error adding stream import \"b\": stream import already exists"},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b\"}, to: q},{stream: {account: B, subject: "
     "\"b\"}, to: q}]}, B {exports: [{stream: \"b\"}]} }",
     "c.conf:1:0: Error adding stream import \"b\": stream import already exists"},
    {"accounts { A {imports: [{stream: {account: B, subject: \"a..b\"}}]}, B {exports: [{stream: \"b\"}]} }",
     "c.conf:1:0: Error adding stream import \"a..b\": stream import not authorized"},
    {"accounts { A {imports: [{service: {account: B, subject: \"a..b\"}}]}, B {exports: [{service: \"b\"}]} "
     "}",
     "c.conf:1:0: Error adding service import \"a..b\": sublist: invalid subject"},
    {"accounts { A {imports: [{service: {account: B, subject: \"b.*\"}, to: \"p.$1\"}]}, B {exports: "
     "[{service: \"b.*\"}]} }",
     NULL},
    {"accounts { A {imports: [{service: {account: B, subject: \"b.*\"}, to: \"p.*\"}]}, B {exports: "
     "[{service: \"b.*\"}]} }",
     NULL},
    {"accounts { A {imports: [{service: {account: B, subject: \"b.*\"}, to: \"p\"}]}, B {exports: [{service: "
     "\"b.*\"}]} }",
     "c.conf:1:0: Error adding service import \"b.*\": failed to create mapping transform for service import "
     "subject from \"p\" to \"b.*\": invalid mapping destination: not using all of the token wildcard(s) in "
     "p"},
    {"accounts { A {imports: [{service: {account: B, subject: \"b.>\"}, to: \"p.>\"}]}, B {exports: "
     "[{service: \"b.>\"}]} }",
     NULL},
    {"accounts { A {imports: [{service: {account: B, subject: \"b.>\"}, to: \"p\"}]}, B {exports: [{service: "
     "\"b.>\"}]} }",
     "c.conf:1:0: Error adding service import \"b.>\": failed to create mapping transform for service import "
     "subject from \"p\" to \"b.>\": invalid subject"},
    {"accounts { A {imports: [{service: {account: B, subject: \"b.*.*\"}, to: \"p.$2.$1\"}]}, B {exports: "
     "[{service: \"b.*.*\"}]} }",
     NULL},
    {"accounts { A {imports: [{service: {account: B, subject: \"b.x.y\"}, to: \"p.*\"}]}, B {exports: "
     "[{service: \"b.*.*\"}]} }",
     NULL},
    {"accounts { A {imports: [{service: {account: B, subject: \"b\"}},{service: {account: B, subject: "
     "\"b\"}}]}, B {exports: [{service: \"b\"}]} }",
     "c.conf:1:99: Duplicate service import subject \"b\", previously used in import for account \"B\", "
     "subject \"b\""},
    {"accounts { A {imports: [{service: {account: B, subject: \"b\"}, to: z},{service: {account: C, subject: "
     "\"b\"}, to: z}]}, B {exports: [{service: \"b\"}]}, C {exports: [{service: \"b\"}]} }",
     NULL},
    {"accounts { A {imports: [{service: {account: B, subject: \"b\"}, to: z},{service: {account: B, subject: "
     "\"c\"}, to: z}]}, B {exports: [{service: \"b\"},{service: c}]} }",
     "c.conf:1:113: Duplicate service import subject \"z\", previously used in import for account \"B\", "
     "subject \"b\""},
    {"accounts { A {imports: [{service: {account: B, subject: \"b\"}}], exports: [{service: b}]}, B "
     "{exports: [{service: \"b\"}], imports: [{service: {account: A, subject: b}}]} }",
     "c.conf:1:0: Error adding service import \"b\": import forms a cycle"},
    {"accounts { A {imports: [{service: {account: B, subject: \"b\"}, to: x}], exports: [{service: b}]}, B "
     "{exports: [{service: \"b\"}], imports: [{service: {account: A, subject: b}, to: y}]} }",
     NULL},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b.>\"}}], exports: [{stream: \"b.>\"}]}, B "
     "{exports: [{stream: \"b.>\"}], imports: [{stream: {account: A, subject: \"b.>\"}}]} }",
     "c.conf:1:0: Error adding stream import \"b.>\": import forms a cycle"},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b.>\"}, prefix: x}], exports: [{stream: "
     "\"b.>\"}]}, B {exports: [{stream: \"b.>\"}], imports: [{stream: {account: A, subject: \"b.>\"}, "
     "prefix: y}]} }",
     NULL},
    {"accounts { A {imports: [{service: {account: B, subject: \"b\"}, share: 5}]}, B {exports: [{service: "
     "\"b\"}]} }",
     "c.conf:1:62: interface conversion: interface {} is int64, not bool"},
    {"accounts { A {imports: [{service: {account: B, subject: \"b\"}, to: 5}]}, B {exports: [{service: "
     "\"b\"}]} }",
     "c.conf:1:62: interface conversion: interface {} is int64, not string"},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b\"}, share: true}]}, B {exports: [{stream: "
     "\"b\"}]} }",
     NULL},
    {"accounts { A {imports: [{stream: {account: B, subject: \"b\"}, allow_trace: true}]}, B {exports: "
     "[{stream: \"b\"}]} }",
     NULL},
    {"accounts { A {imports: [{service: {account: B, subject: \"b\"}, allow_trace: true}]}, B {exports: "
     "[{service: \"b\"}]} }",
     "c.conf:1:62: Detected allow_trace directive on a non-stream"},
    {"accounts { A {exports: [{stream: b},{stream: b}]} }", NULL},
    {"accounts { A {exports: [{service: b},{service: b}]} }", NULL},
    {"accounts { A {limits: 5} }", "c.conf:1:14: Expected account limits to be a map/struct, got 5"},
    {"accounts { A {limits {zz: 5}} }", "c.conf:1:22: Unknown field \"zz\" parsing account limits"},
    {"accounts { A {limits {max_conn: x}} }",
     "c.conf:1:22: interface conversion: interface {} is string, not int64"},
    {"accounts { A {limits {max_conn: 5, max_subs: 3, max_pay: 1KB, max_leafs: 3}} }", NULL},
    {"accounts { A {users: [{user: a, password: b}]}, B {users: [{user: a, password: b}]} }",
     "c.conf:1:51: Duplicate user \"a\" detected"},
    {"accounts { A {nkey: \"AAU2ZOXBIG6MV4FSFYNJJU2NBPDTMHSSNUF74EWIS6KLZEZCSZW5OICT\"} }", NULL},
    {"accounts { A {jetstream: disabled} }", NULL},
    {"accounts { A {mappings: 5} }",
     "c.conf:1:14: interface conversion: interface {} is int64, not map[string]interface {}"},
    {"accounts { A {mappings { a: \"b.$1\"}} }",
     "c.conf:1:25: Error adding mapping for \"a\" to \"b.$1\" : invalid mapping destination: wildcard index "
     "out of range in $1"},
    {"accounts { \"A B\" {} }", NULL},
    {"accounts { \"\" {} }", NULL},
    {"accounts { A {} } , accounts { B {} }", NULL},
    {"accounts { A {}, a {} }", NULL},
    {"system_account: 5", "c.conf:1:0: system account name must be a string"},
    {"system_account: Z", NULL},
    {"system_account: A, accounts { A {} }", NULL},
    {"SYSTEM_account: A, accounts { A {} }", NULL},
    {"no_system_account: 5", "c.conf:1:0: interface conversion: interface {} is int64, not bool"},
    {"mappings: 5", "c.conf:1:0: interface conversion: interface {} is int64, not map[string]interface {}"},
};

Test(account, each_mistake_has_its_sentence)
{
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct loaded loaded;
        char expected[512] = "";
        load(&loaded, rows[i].file);
        if (rows[i].error != NULL)
            snprintf(expected, sizeof expected, "%s\n", rows[i].error);
        cr_expect_str_eq(config_text_string(&loaded.errors.errors), expected, "%s", rows[i].file);
        unload(&loaded);
    }
}

/* ---- what holds when all is read ---- */

static const struct {
    const char *file, *why, *system; /* NULL: no sentence; no system account */
    uint32_t count;
    bool open;
} finishes[] = {
    {"", NULL, "$SYS", 2, false},
    {"no_system_account: true", NULL, NULL, 1, false},
    {"accounts { A {}, B {} }", NULL, "$SYS", 4, false},
    {"accounts [A, B]", NULL, "$SYS", 4, false},
    {"accounts { A {}, B {} }, system_account: B", NULL, "B", 3, false},
    {"accounts { \"$SYS\" {users: [{user: s, password: s}]} }", NULL, "$SYS", 2, true},
    {"accounts { S {users: [{user: s, password: s}]} }, system: S", NULL, "S", 2, true},
    {"accounts { S {users: [{user: s, password: s}]}, A {} }, system: S", NULL, "S", 3, false},
    {"accounts { S {users: [{user: s, password: s}]} }, system: S, no_auth_user: s", NULL, "S", 2, false},
    {"accounts { S {users: [{user: s, password: s}]} }, system: S\nauthorization {users: [{user: g, "
     "password: g}]}",
     NULL, "S", 2, false},
    {"system_account: Z", "error resolving system account: account missing", NULL, 0, false},
    {"system_account: \"$SYS\"", NULL, "$SYS", 2, false},
    {"no_system_account: true, accounts { A {exports: [{service: a, latency: lat}]} }",
     "Error adding service latency sampling for \"a\": system account not setup", NULL, 0, false},
};

Test(account, the_global_and_the_system_account_are_always_there)
{
    for (size_t i = 0; i < COUNT_OF(finishes); i++) {
        struct loaded loaded;
        load(&loaded, finishes[i].file);
        const struct security_accounts *accounts = &loaded.options.accounts;
        cr_expect_eq(loaded.finished, finishes[i].why == NULL, "%s", finishes[i].file);
        if (finishes[i].why != NULL) {
            cr_expect_str_eq(config_text_string(&loaded.why), finishes[i].why);
        } else {
            cr_expect_eq(accounts->count, finishes[i].count, "%s: %u", finishes[i].file, accounts->count);
            cr_expect(bytes_equal(accounts->all[0]->name, TEXT("$G")));
            cr_expect_eq(accounts->system == NULL, finishes[i].system == NULL);
            if (accounts->system != NULL && finishes[i].system != NULL)
                cr_expect(bytes_equal(accounts->system->name, text(finishes[i].system)), "%s",
                          finishes[i].file);
            cr_expect_eq(loaded.options.global_open, finishes[i].open, "%s", finishes[i].file);
        }
        unload(&loaded);
    }
}

Test(account, users_are_in_their_accounts)
{
    struct loaded loaded;
    load(&loaded, "authorization {users: [{user: g, password: g}]}\n"
                  "accounts { A {users: [{user: a, password: a}]}, B {users: [{user: b, password: b}]} }");
    cr_assert(loaded.finished, "%s", config_text_string(&loaded.errors.errors));
    static const char *const expected[][2] = {{"g", "$G"}, {"a", "A"}, {"b", "B"}};
    for (size_t i = 0; i < COUNT_OF(expected); i++) {
        const struct security_user *user = security_user_find(&loaded.options.users, text(expected[i][0]));
        cr_assert_not_null(user);
        cr_expect(
            bytes_equal(security_account_of(&loaded.options.accounts, user)->name, text(expected[i][1])));
    }
    cr_expect(bytes_equal(security_account_of(&loaded.options.accounts, NULL)->name, TEXT("$G")));
    unload(&loaded);
}

/* ---- links ---- */

static const struct security_account *account(const struct loaded *loaded, const char *name)
{
    const struct security_account *found = security_account_find(&loaded->options.accounts, text(name));
    cr_assert_not_null(found, "%s", name);
    return found;
}

static void expect_transform(const struct transform *transform, const char *from, const char *to)
{
    uint8_t out[64];
    cr_assert_not_null(transform);
    size_t count = transform_apply(transform, text(from), NULL, out, sizeof out);
    cr_expect(bytes_equal(bytes_of(out, count), text(to)), "%s: %.*s", from, (int)count, out);
}

Test(account, stream_imports_know_both_ways)
{
    static const struct {
        const char *import, *local, *there, *here;
    } imports[] = {
        {"{stream: {account: B, subject: \"s.*.*\"}}", "s.*.*", NULL, NULL},
        {"{stream: {account: B, subject: \"s.*.*\"}, prefix: p}", "p.s.*.*", "s.1.2", "p.s.1.2"},
        {"{stream: {account: B, subject: \"s.*.*\"}, prefix: \"p.q.\"}", "p.q.s.*.*", "s.1.2", "p.q.s.1.2"},
        {"{stream: {account: B, subject: \"s.*.*\"}, to: \"t.$2.x.$1\"}", "t.*.x.*", "s.1.2", "t.2.x.1"},
        {"{stream: {account: B, subject: \"s.*.*\"}, to: \"t.*.*\"}", "t.*.*", "s.1.2", "t.1.2"},
        {"{stream: {account: B, subject: \"s.>\"}, prefix: p}", "p.s.>", "s.1.2", "p.s.1.2"},
        {"{stream: {account: B, subject: \"s.>\"}, to: \"t.>\"}", "t.>", "s.1.2", "t.1.2"},
        {"{stream: {account: B, subject: \"s.a\"}, to: \"t\"}", "t", "s.a", "t"},
    };
    for (size_t i = 0; i < COUNT_OF(imports); i++) {
        struct loaded loaded;
        char file[256];
        snprintf(file, sizeof file, "accounts { A {imports: [%s]}, B {exports: [{stream: \"s.>\"}]} }",
                 imports[i].import);
        load(&loaded, file);
        cr_assert(loaded.finished, "%s%s", config_text_string(&loaded.errors.errors), file);
        const struct security_account *importer = account(&loaded, "A");
        cr_assert_eq(importer->stream_import_count, 1);
        const struct stream_import *import = &importer->stream_imports[0];
        cr_expect_eq(import->account, account(&loaded, "B"));
        cr_expect(bytes_equal(import->local, text(imports[i].local)), "%.*s", BYTES_PRINTF(import->local));
        if (imports[i].there == NULL) {
            cr_expect_null(import->forward);
        } else {
            expect_transform(import->forward, imports[i].there, imports[i].here);
            expect_transform(import->backward, imports[i].here, imports[i].there);
        }
        unload(&loaded);
    }
}

Test(account, service_imports_know_their_export)
{
    struct loaded loaded;
    load(
        &loaded,
        "accounts { A {imports: [{service: {account: B, subject: \"map.*.*\"}, to: \"m.$2.$1\", share: true},"
        "{service: {account: B, subject: \"map.x.y\"}, to: \"n.*\"}, {service: {account: B, subject: "
        "\"q.*\"}}]},"
        "B {exports: [{service: \"map.>\", response: stream, threshold: \"5s\"}, {service: \"q.>\"},"
        "{service: \"q.*\", response: chunked, latency: {sampling: 50%, subject: lat}}]} }"
        /* the latency is refused below: chunked */);
    cr_expect_not(loaded.finished);
    cr_expect(strstr(config_text_string(&loaded.errors.errors), "bad service response type") != NULL);
    const struct security_account *importer = account(&loaded, "A");
    cr_assert_eq(importer->service_import_count, 3);
    const struct service_import *imports = importer->service_imports;
    expect_transform(imports[0].request, "m.1.2", "map.2.1");
    cr_expect(bytes_equal(imports[0].local, TEXT("m.*.*")));
    cr_expect(imports[0].share && !imports[0].literal);
    cr_expect_eq(imports[0].exported->response, RESPONSE_STREAM);
    cr_expect_eq(imports[0].exported->threshold_ns, 5000000000);
    cr_expect(imports[1].literal && !imports[1].share && imports[1].request == NULL);
    cr_expect(bytes_equal(imports[1].local, TEXT("n.*")));
    cr_expect_null(imports[2].request);
    cr_expect_eq(imports[2].exported->response, RESPONSE_CHUNKED, "the export of that very subject counts");
    cr_expect_eq(imports[2].exported->threshold_ns, 120000000000);
    unload(&loaded);
}

Test(account, longer_circles_are_found_and_diamonds_are_none)
{
    struct loaded loaded;
    load(&loaded, "accounts { A {exports: [{service: x}], imports: [{service: {account: B, subject: x}}]},"
                  "B {exports: [{service: x}], imports: [{service: {account: C, subject: x}}]},"
                  "C {exports: [{service: x}], imports: [{service: {account: A, subject: x}}]} }");
    cr_expect_str_eq(config_text_string(&loaded.errors.errors),
                     "c.conf:1:0: Error adding service import \"x\": import forms a cycle\n");
    unload(&loaded);
    load(&loaded,
         "accounts { A {imports: [{stream: {account: B, subject: x}}, {stream: {account: C, subject: x}}]},"
         "B {exports: [{stream: x}], imports: [{stream: {account: D, subject: x}}]},"
         "C {exports: [{stream: x}], imports: [{stream: {account: D, subject: x}}]},"
         "D {exports: [{stream: x}]} }");
    cr_expect(loaded.finished, "%s", config_text_string(&loaded.errors.errors));
    unload(&loaded);
}

Test(account, a_chain_as_long_as_allowed_and_one_longer)
{
    enum { LONGEST = ACCOUNT_CYCLE_DEPTH_MAX };
    for (int extra = 0; extra < 2; extra++) {
        struct config_text file = {0};
        struct loaded loaded;
        int count = LONGEST + extra + 1;
        config_text_add(&file, "accounts {\n");
        for (int i = count - 1; i >= 0; i--) { /* the last link is added at the very end */
            config_text_add(&file, "N%d {exports: [{service: x}]", i);
            if (i + 1 < count)
                config_text_add(&file, ", imports: [{service: {account: N%d, subject: x}}]", i + 1);
            config_text_add(&file, "}\n");
        }
        config_text_add(&file, "}\n");
        load(&loaded, config_text_string(&file));
        cr_expect_eq(loaded.finished, extra == 0, "%d accounts: %s", count,
                     config_text_string(&loaded.errors.errors));
        if (extra == 1)
            cr_expect(strstr(config_text_string(&loaded.errors.errors), "search cycle depth exhausted") !=
                      NULL);
        unload(&loaded);
        config_text_close(&file);
    }
}

/* ---- ids ---- */

Test(account, an_id_stays_with_its_name_and_is_never_given_twice)
{
    struct loaded first, second, third;
    load(&first, "accounts [A, B]");
    load(&second, "accounts [C, B]");
    load(&third, "accounts [A, B, C]");
    cr_assert_eq(security_accounts_inherit(&second.options.accounts, &first.options.accounts, &second.arena),
                 ERR_OK);
    cr_assert_eq(security_accounts_inherit(&third.options.accounts, &second.options.accounts, &third.arena),
                 ERR_OK);
    cr_expect_eq(account(&second, "B")->id, account(&first, "B")->id);
    cr_expect_eq(account(&second, "$G")->id, account(&first, "$G")->id);
    cr_expect_eq(account(&second, "$SYS")->id, account(&first, "$SYS")->id);
    cr_expect_neq(account(&second, "C")->id, account(&first, "A")->id);
    cr_expect_eq(account(&third, "C")->id, account(&second, "C")->id);
    cr_expect_neq(account(&third, "A")->id, account(&first, "A")->id, "it was away: it is another one");
    for (uint32_t i = 0; i < third.options.accounts.count; i++) {
        for (uint32_t j = 0; j < i; j++)
            cr_expect_neq(third.options.accounts.all[i]->id, third.options.accounts.all[j]->id);
    }
    unload(&first);
    unload(&second);
    unload(&third);
}

Test(account, mappings_of_the_top_level_are_those_of_the_global_account)
{
    struct loaded loaded;
    load(&loaded, "mappings {a: b}\naccounts { A {mappings: {c: d}} }");
    cr_assert(loaded.finished);
    cr_expect_not_null(mappings_find(&account(&loaded, "$G")->mappings, TEXT("a")));
    cr_expect_null(mappings_find(&account(&loaded, "$G")->mappings, TEXT("c")));
    cr_expect_not_null(mappings_find(&account(&loaded, "A")->mappings, TEXT("c")));
    unload(&loaded);
}

Test(account, limits_that_are_not_given_are_none)
{
    struct loaded loaded;
    load(&loaded, "accounts { A {limits {max_conn: 3, max_payload: 1KB}}, B {} }");
    cr_assert(loaded.finished);
    cr_expect_eq(account(&loaded, "A")->limits.connections, 3);
    cr_expect_eq(account(&loaded, "A")->limits.payload_bytes, 1024);
    cr_expect_eq(account(&loaded, "A")->limits.subscriptions, -1);
    cr_expect_eq(account(&loaded, "B")->limits.connections, -1);
    unload(&loaded);
}

struct system_import_case {
    const char *file;
    const char *account;
    const char *local;
    const char *subject; /* in the system account; NULL: not imported without a word */
};

static const struct system_import_case system_imports[] = {
    {"", "$G", "$SYS.REQ.USER.INFO", "$SYS.REQ.USER.$G.INFO"},
    {"accounts { A {} }", "A", "$SYS.REQ.USER.INFO", "$SYS.REQ.USER.A.INFO"},
    {"accounts { A {} }", "A", "$SYS.REQ.SERVER.PING.CONNZ", "$SYS.REQ.ACCOUNT.A.CONNZ"},
    {"accounts { A {} }", "A", "$SYS.REQ.ACCOUNT.PING.CONNZ", "$SYS.REQ.ACCOUNT.A.CONNZ"},
    {"accounts { A {} }", "A", "$SYS.REQ.ACCOUNT.PING.STATZ", "$SYS.REQ.ACCOUNT.A.STATZ"},
    {"accounts { A {} }", "A", "$SYS.REQ.SERVER.PING.VARZ", NULL},
    {"accounts { A {} }", "A", "$SYS.REQ.SERVER.PING", NULL},
    {"accounts { A {} }", "A", "other", NULL},
    {"accounts { A {} }", "$SYS", "$SYS.REQ.USER.INFO", NULL},
    {"accounts { \"a b\" {} }", "a b", "$SYS.REQ.USER.INFO", NULL}, /* no token of a subject */
    {"no_system_account: true, accounts { A {} }", "A", "$SYS.REQ.USER.INFO", NULL},
    {"accounts { A {imports: [{service: {account: B, subject: x}, to: \"$SYS.REQ.USER.INFO\"}]}, "
     "B {exports: [{service: x}]} }",
     "A", "$SYS.REQ.USER.INFO", NULL}, /* what the file says comes first */
};

Test(account, every_account_imports_a_little_of_the_system_account)
{
    for (size_t i = 0; i < COUNT_OF(system_imports); i++) {
        const struct system_import_case *c = &system_imports[i];
        struct loaded loaded;
        load(&loaded, c->file);
        cr_assert(loaded.finished, "%s: %s", c->file, config_text_string(&loaded.why));
        const struct security_account *account =
            security_account_find(&loaded.options.accounts, text(c->account));
        cr_assert_not_null(account, "%s", c->file);
        const struct service_import *import = security_account_system_import(account, text(c->local));
        cr_expect_eq(import != NULL, c->subject != NULL, "%s: %s", c->account, c->local);
        if (import != NULL && c->subject != NULL) {
            cr_expect(bytes_equal(import->subject, text(c->subject)), "%.*s", BYTES_PRINTF(import->subject));
            cr_expect_eq(import->account, loaded.options.accounts.system);
            cr_expect_eq(import->exported->response, bytes_start_with(import->subject, TEXT("$SYS.REQ.USER"))
                                                         ? RESPONSE_SINGLETON
                                                         : RESPONSE_STREAM);
        }
        unload(&loaded);
    }
}
