/* CONNECT: defaults, merging, refusals, secrets, and its copy for traces. Rows named "case n" are conformance
 * cases of spec/client-protocol.md 22. */
#include "core/base/language.h"
#include "net/connect.h"

#include <criterion/criterion.h>
#include <stdio.h>

static void connect_with(struct connect_options *options, const char *json)
{
    connect_init(options);
    cr_assert_eq(connect_parse(options, text(json)), ERR_OK, "%s", json);
}

Test(connect, defaults_hold_before_and_after_an_empty_connect)
{
    static const char *const rows[] = {"{}", "null", "{\"verbose\":null,\"foo\":[1]}" /* cases 7, 10, 11 */};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct connect_options options;
        connect_with(&options, rows[i]);
        cr_expect(options.verbose && options.pedantic && options.echo, "%s", rows[i]);
        cr_expect(!options.headers && !options.no_responders && !options.tls_required, "%s", rows[i]);
        cr_expect_eq(options.protocol, 0);
        cr_expect_null(options.texts, "no strings, no memory");
        cr_expect_eq(connect_user(&options).count, 0);
        connect_close(&options);
    }
}

Test(connect, every_field_is_taken)
{
    static const struct {
        enum connect_text which;
        const char *value;
    } rows[] = {
        {CONNECT_NAME, "n"},  {CONNECT_LANG, "c"},         {CONNECT_VERSION, "1"},
        {CONNECT_USER, "u"},  {CONNECT_NKEY, "UK"},        {CONNECT_ACCOUNT, "acc"},
        {CONNECT_PASS, "pw"}, {CONNECT_AUTH_TOKEN, "tok"}, {CONNECT_SIG, "sg"},
        {CONNECT_JWT, "ey"},  {CONNECT_PROXY_SIG, "ps"},
    };
    struct connect_options options;
    connect_with(
        &options,
        "{\"verbose\":false,\"pedantic\":false,\"echo\":false,\"headers\":true,\"no_responders\":true,"
        "\"tls_required\":true,\"new_account\":true,\"protocol\":1,\"name\":\"n\",\"lang\":\"c\","
        "\"version\":\"1\",\"user\":\"u\",\"pass\":\"pw\",\"auth_token\":\"tok\",\"nkey\":\"UK\","
        "\"sig\":\"sg\",\"proxy_sig\":\"ps\",\"jwt\":\"ey\",\"account\":\"acc\",\"remote_account\":\"r\","
        "\"import\":{\"allow\":[\"a\"]},\"export\":null}");
    cr_expect(!options.verbose && !options.pedantic && !options.echo);
    cr_expect(options.headers && options.no_responders && options.tls_required && options.new_account);
    cr_expect_eq(options.protocol, 1);
    cr_expect_eq(COUNT_OF(rows), CONNECT_TEXTS);
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect(bytes_equal(connect_text(&options, rows[i].which), text(rows[i].value)), "%s",
                  rows[i].value);
    struct credentials credentials = connect_credentials(&options);
    cr_expect(bytes_equal(credentials.user, TEXT("u")) && bytes_equal(credentials.pass, TEXT("pw")));
    cr_expect(bytes_equal(credentials.token, TEXT("tok")) && bytes_equal(credentials.nkey, TEXT("UK")));
    connect_close(&options);
}

Test(connect, a_refused_one_leaves_the_options_as_they_were)
{
    static const char *const rows[] = {
        "{bad}",                 /* case 12 */
        "{\"verbose\":\"yes\"}", /* case 13 */
        "{\"verbose\":false} x", /* case 14 */
        "",                      /* case 15 */
        " ",
        "{\"protocol\":1.0}", /* case 17 */
        "{\"protocol\":\"1\"}",
        "[]",
        "\"text\"",
        "{\"verbose\":false,\"user\":\"other\",\"headers\":1}",
        "{\"import\":1}",
        "{\"import\":{\"allow\":\"a\"}}",
        "{\"proxy_sig\":5}",
        "{\"remote_account\":5}",
    };
    struct connect_options options;
    connect_with(&options, "{\"user\":\"u\",\"pass\":\"pw\",\"verbose\":true}");
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        cr_expect_eq(connect_parse(&options, text(rows[i])), ERR_INVALID, "%s", rows[i]);
        cr_expect(options.verbose && !options.headers, "%s", rows[i]);
        cr_expect(bytes_equal(connect_user(&options), TEXT("u")), "%s", rows[i]);
        cr_expect(bytes_equal(connect_text(&options, CONNECT_PASS), TEXT("pw")), "%s", rows[i]);
    }
    connect_close(&options);
}

Test(connect, a_second_one_is_merged_field_by_field)
{
    struct connect_options options;
    connect_with(&options,
                 "{\"verbose\":false,\"name\":\"first\",\"user\":\"u\",\"pass\":\"pw\",\"protocol\":1}");
    cr_assert_eq(connect_parse(&options, TEXT("{\"verbose\":true,\"name\":\"the second\",\"user\":null}")),
                 ERR_OK); /* case 21 */
    cr_expect(options.verbose);
    cr_expect_eq(options.protocol, 1);
    cr_expect(bytes_equal(connect_text(&options, CONNECT_NAME), TEXT("the second")));
    cr_expect(bytes_equal(connect_user(&options), TEXT("u")));
    cr_expect(bytes_equal(connect_text(&options, CONNECT_PASS), TEXT("pw")));
    cr_assert_eq(connect_parse(&options, TEXT("{\"name\":\"\",\"pass\":\"\"}")), ERR_OK);
    cr_expect_eq(connect_text(&options, CONNECT_NAME).count, 0, "an empty string is a value");
    cr_expect_eq(connect_text(&options, CONNECT_PASS).count, 0);
    connect_close(&options);
}

Test(connect, protocol_is_kept_as_sent_for_the_check_that_comes_later)
{
    struct connect_options options;
    connect_with(&options, "{\"protocol\":2}"); /* case 16 */
    cr_expect_eq(options.protocol, 2);
    cr_assert_eq(connect_parse(&options, TEXT("{\"protocol\":4294967297}")), ERR_OK);
    cr_expect_eq(options.protocol, 4294967297, "not 1 after all");
    connect_close(&options);
}

Test(connect, an_account_is_noticed)
{
    static const struct {
        const char *json;
        bool names;
    } rows[] = {{"{}", false},
                {"{\"account\":\"\",\"new_account\":false}", false},
                {"{\"account\":\"x\"}", true}, /* case 19 */
                {"{\"new_account\":true}", true}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct connect_options options;
        connect_with(&options, rows[i].json);
        cr_expect_eq(connect_names_account(&options), rows[i].names, "%s", rows[i].json);
        connect_close(&options);
    }
}

Test(connect, secrets_are_forgotten_and_the_rest_is_not)
{
    struct connect_options options;
    connect_with(&options,
                 "{\"name\":\"n\",\"user\":\"u\",\"pass\":\"pw\",\"auth_token\":\"t\",\"sig\":\"s\","
                 "\"jwt\":\"j\",\"proxy_sig\":\"p\",\"nkey\":\"UK\"}");
    connect_forget_secrets(&options);
    for (int which = CONNECT_TEXTS_PUBLIC; which < CONNECT_TEXTS; which++)
        cr_expect_eq(connect_text(&options, (enum connect_text)which).count, 0, "%d", which);
    cr_expect(bytes_equal(connect_text(&options, CONNECT_NAME), TEXT("n")));
    cr_expect(bytes_equal(connect_text(&options, CONNECT_NKEY), TEXT("UK")));
    cr_expect(bytes_equal(connect_user(&options), TEXT("u")));
    connect_forget_secrets(&options);
    cr_expect(bytes_equal(connect_user(&options), TEXT("u")), "twice is legal");
    connect_close(&options);
    cr_expect_null(options.texts);
    connect_close(&options);
}

Test(connect, nothing_but_secrets_leaves_no_memory)
{
    struct connect_options options;
    connect_with(&options, "{\"auth_token\":\"secret\"}");
    cr_expect_not_null(options.texts);
    connect_forget_secrets(&options);
    cr_expect_null(options.texts);
    connect_close(&options);
}

Test(connect, a_login_is_due_until_it_is_decided_and_when_credentials_change)
{
    static const struct {
        const char *second;
        bool due;
    } rows[] = {
        {"{}", false},
        {"null", false},
        {"{\"verbose\":false,\"name\":\"x\"}", false},
        {"{\"user\":\"u\"}", false},
        {"{\"pass\":null}", false},
        {"{\"user\":\"u\",\"pass\":\"pw\"}", true}, /* it was forgotten, so it has to be checked again */
        {"{\"user\":\"v\"}", true},
        {"{\"user\":\"\"}", true},
        {"{\"pass\":\"\"}", true}, /* empty is a password, and not the one that was good */
        {"{\"pass\":\"wrong\"}", true},
        {"{\"auth_token\":\"t\"}", true},
        {"{\"nkey\":\"UK\"}", true},
        {"{\"sig\":\"s\"}", true},
        {"{\"proxy_sig\":\"s\"}", true},
        {"{\"jwt\":\"j\"}", true},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct connect_options options;
        connect_init(&options);
        cr_expect(options.credentials_changed);
        cr_assert_eq(connect_parse(&options, TEXT("{\"user\":\"u\",\"pass\":\"pw\"}")), ERR_OK);
        cr_assert_eq(connect_parse(&options, TEXT("{}")), ERR_OK);
        cr_expect(options.credentials_changed, "not decided yet");
        connect_forget_secrets(&options);
        cr_expect_not(options.credentials_changed);
        cr_assert_eq(connect_parse(&options, text(rows[i].second)), ERR_OK);
        cr_expect_eq(options.credentials_changed, rows[i].due, "%s", rows[i].second);
        connect_close(&options);
    }
}

Test(connect, the_client_is_described_by_what_it_sent)
{
    static const struct {
        const char *json, *description;
    } rows[] = {
        {"{}", ""},
        {"{\"version\":\"1\",\"lang\":\"py\",\"name\":\"cli\"}", "v1:py:cli"},
        {"{\"lang\":\"py\",\"name\":\"cli\"}", "py:cli"},
        {"{\"name\":\"cli\"}", "cli"},
        {"{\"version\":\"1\",\"name\":\"cli\"}", "v1:cli"},
        {"{\"name\":\"a\\nb\\\"c\"}", "a?b?c"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[32];
        struct connect_options options;
        connect_with(&options, rows[i].json);
        connect_describe(&options, out, sizeof out);
        cr_expect_str_eq(out, rows[i].description);
        connect_close(&options);
    }
}

Test(connect, a_description_is_cut_where_the_memory_ends)
{
    static const char whole[] = "v1:py:cli";
    struct connect_options options;
    connect_with(&options, "{\"version\":\"1\",\"lang\":\"py\",\"name\":\"cli\"}");
    for (size_t capacity = 1; capacity <= sizeof whole; capacity++) {
        char out[sizeof whole + 1];
        out[capacity] = '#';
        connect_describe(&options, out, capacity);
        cr_expect_eq(strlen(out), capacity - 1, "%zu: %s", capacity, out);
        cr_expect_eq(strncmp(out, whole, capacity - 1), 0, "%zu: %s", capacity, out);
        cr_expect_eq(out[capacity], '#', "%zu", capacity);
    }
    connect_close(&options);
}

Test(connect, traces_show_no_secret)
{
    static const struct {
        const char *json, *redacted;
    } rows[] = {
        {"{\"verbose\":true,\"user\":\"u\",\"pass\":\"p w\",\"lang\":\"py\"}",
         "{\"verbose\":true,\"user\":\"u\",\"pass\":\"[REDACTED]\",\"lang\":\"py\"}"},
        {"{\"auth_token\":\"t\",\"sig\":\"s\",\"proxy_sig\":\"ps\",\"nkey\":\"U\",\"jwt\":\"ey.a\"}",
         "{\"auth_token\":\"[REDACTED]\",\"sig\":\"[REDACTED]\",\"proxy_sig\":\"[REDACTED]\","
         "\"nkey\":\"[REDACTED]\",\"jwt\":\"[REDACTED]\"}"},
        {"{\"password\":\"a\",\"pass_x\":\"b\",\"auth_token2\":\"c\"}",
         "{\"password\":\"[REDACTED]\",\"pass_x\":\"[REDACTED]\",\"auth_token2\":\"[REDACTED]\"}"},
        {"{\"signal\":\"a\",\"compass\":\"b\",\"nkeys\":\"c\"}",
         "{\"signal\":\"a\",\"compass\":\"b\",\"nkeys\":\"c\"}"},
        {"{ \"PaSs\"\t:  \"a\\\"b\" , \"x\":1}", "{ \"PaSs\"\t:  \"[REDACTED]\" , \"x\":1}"},
        {"{\"pass\":\"a\",\"pass\":\"b\"}", "{\"pass\":\"[REDACTED]\",\"pass\":\"[REDACTED]\"}"},
        {"{\"p\\u0061ss\":\"a\",\"\\u0050ASS\":\"b\"}",
         "{\"p\\u0061ss\":\"[REDACTED]\",\"\\u0050ASS\":\"[REDACTED]\"}"},
        {"{\"pa\xc5\xbfs\":\"a\",\"pa\\u017fs\":\"b\",\"n\xe2\x84\xaa"
         "ey\":\"c\"}",
         "{\"pa\xc5\xbfs\":\"[REDACTED]\",\"pa\\u017fs\":\"[REDACTED]\",\"n\xe2\x84\xaa"
         "ey\":\"[REDACTED]\"}"},
        {"{\"pass\":12,\"x\":1}", "{\"pass\":[REDACTED],\"x\":1}"},
        {"{\"pass\":[\"a\",\"b\"],\"x\":1}", "{\"pass\":[REDACTED]"},
        {"{\"pass\":\"not closed", "{\"pass\":\"[REDACTED]\""},
        {"{\"name\":\"pass\",\"x\":\"pass: y\"}", "{\"name\":\"pass\",\"x\":\"pass: y\"}"},
        {"{\"pass\":null,\"x\":1}", "{\"pass\":[REDACTED],\"x\":1}"},
        {"{\"pass\":true }", "{\"pass\":[REDACTED] }"},
        {"{\"pass\":12,b", "{\"pass\":[REDACTED],b"},
        {"{\"pass\":-1.5,\"x\":1}", "{\"pass\":[REDACTED]"},
        {"{pass:secret,user=u}", "{pass:[REDACTED]"},
        {"{pass:with,comma}", "{pass:[REDACTED]"},
        {"{'pass':'with,comma'}", "{'pass':[REDACTED]"},
        {"{'user':'u','pass' = 'p'}", "{'user':'u','pass' = [REDACTED]"},
        {"{pass\":\"secret\"}", "{pass\":\"[REDACTED]\"}"},
        {"{\"pass\":", "{\"pass\":[REDACTED]"},
        {"{\"pass\"", "{\"pass\""},
        {"{\"a\\", "{\"a\\"},
        {"", ""},
        {"null", "null"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[256];
        size_t count = connect_redacted(out, sizeof out, text(rows[i].json));
        cr_expect(bytes_equal(bytes_of(out, count), text(rows[i].redacted)), "%s became %.*s", rows[i].json,
                  (int)count, out);
    }
}

Test(connect, a_trace_is_cut_where_the_memory_ends)
{
    static const char json[] = "{\"user\":\"u\",\"pass\":\"p\",\"x\":1}";
    static const char redacted[] = "{\"user\":\"u\",\"pass\":\"[REDACTED]\",\"x\":1}";
    for (size_t capacity = 0; capacity < sizeof redacted; capacity++) {
        char out[sizeof redacted];
        out[capacity] = '#';
        size_t count = connect_redacted(out, capacity, text(json));
        cr_expect_eq(count, capacity, "%zu", capacity);
        cr_expect_eq(memcmp(out, redacted, count), 0, "%zu", capacity);
        cr_expect_eq(out[capacity], '#', "%zu", capacity);
    }
}

Test(connect, options_stay_small)
{
    /* An idle connection may use 2 KiB in all. */
    cr_expect_leq(sizeof(struct connect_options), 72);
}
