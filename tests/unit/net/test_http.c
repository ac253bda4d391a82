/* Tests net/http.c: requests in any cut of their bytes, what is refused and how, replies. Statuses and texts
 * are those of nats-server (spec/monitoring.md 1.2). */
#include "net/http.h"

#include "core/base/memory.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* What a stream of bytes comes to, as one line: "path?query flags;" for each request, "status why;" for a
 * refusal. */
struct story {
    char words[1024];
    size_t count;
};

static void tell(struct story *story, const char *format, ...) PRINTF_LIKE(2, 3);
static void tell(struct story *story, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(story->words + story->count, sizeof story->words - story->count, format, arguments);
    va_end(arguments);
    story->count += (size_t)count;
}

/* Takes all requests that are there. False: it was refused. */
static bool take(struct http_session *session, struct story *story)
{
    struct http_request request;
    enum http_status status = HTTP_OK;
    const char *why = "";
    for (;;) {
        switch (http_next(session, &request, &status, &why)) {
        case HTTP_MORE:
            return true;
        case HTTP_REFUSED:
            tell(story, "%d%s;", (int)status, why);
            return false;
        case HTTP_REQUEST:
            tell(story, "%.*s?%.*s%s%s%s;", BYTES_PRINTF(request.path), BYTES_PRINTF(request.query),
                 request.head ? " head" : "", request.close ? " close" : "", request.old ? " old" : "");
        }
    }
}

static void run(const char *bytes, size_t count, size_t step, struct story *story)
{
    struct http_session session = {0};
    *story = (struct story){0};
    for (size_t at = 0; at < count; at += step) {
        size_t piece = count - at < step ? count - at : step;
        cr_assert_eq(http_give(&session, bytes_of(bytes + at, piece)), ERR_OK);
        if (!take(&session, story))
            break;
    }
    http_close(&session);
}

struct request_case {
    const char *bytes;
    const char *story;
};

#define HOST "Host: x\r\n"

static const struct request_case request_cases[] = {
    {"GET /varz HTTP/1.1\r\n" HOST "\r\n", "/varz?;"},
    {"GET /connz?limit=1&x=%20 HTTP/1.1\r\n" HOST "\r\n", "/connz?limit=1&x=%20;"},
    {"GET /varz HTTP/1.1\n"
     "host:x\n\n",
     "/varz?;"},
    {"\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", "/?;"},
    {"HEAD / HTTP/1.1\r\n" HOST "\r\n", "/? head;"},
    {"GET /a HTTP/1.1\r\n" HOST "\r\nGET /b HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", "/a?;/b? close;"},
    {"GET /a HTTP/1.0\r\n\r\n", "/a? close old;"},
    {"GET /a HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "/a? old;"},
    {"GET /a HTTP/1.1\r\n" HOST "Connection: upgrade , CLOSE\r\n\r\n", "/a? close;"},
    {"POST /a HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\nhelloGET /b HTTP/1.1\r\n" HOST "\r\n", "/a?;/b?;"},
    {"POST /a HTTP/1.1\r\n" HOST "Content-Length: 300000\r\n\r\n", "/a? close;"},
    {"POST /a HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", "/a? close;"},
    {"GET /%76arz%2f HTTP/1.1\r\n" HOST "\r\n", "/varz/?;"},
    {"GET http://host:1/varz?a=b HTTP/1.1\r\n" HOST "\r\n", "/varz?a=b;"},
    {"GET http://host HTTP/1.1\r\n" HOST "\r\n", "/?;"},
    {"GET /a?x?y HTTP/1.1\r\n" HOST "\r\n", "/a?x?y;"},
    {"GET /a HTTP/1.1\r\n\r\n", "400: missing required Host header;"},
    {"rubbish\r\n\r\n", "400;"},
    {"GET /a\r\n\r\n", "400;"},
    {"GET  HTTP/1.1\r\n" HOST "\r\n", "400;"},
    {"G(T /a HTTP/1.1\r\n" HOST "\r\n", "400;"},
    {"GET a HTTP/1.1\r\n" HOST "\r\n", "400;"},
    {"GET /%zz HTTP/1.1\r\n" HOST "\r\n", "400;"},
    {"GET /%7 HTTP/1.1\r\n" HOST "\r\n", "400;"},
    {"GET /a HTTP/x.y\r\n" HOST "\r\n", "400;"},
    {"GET /a HTTP/2.0\r\n" HOST "\r\n", "505: unsupported protocol version;"},
    {"GET /a HTTP/1.1\r\n" HOST "no colon\r\n\r\n", "400;"},
    {"GET /a HTTP/1.1\r\n" HOST " folded: x\r\n\r\n", "400;"},
    {"POST /a HTTP/1.1\r\n" HOST "Content-Length: -1\r\n\r\n", "400;"},
    {"POST /a HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n", "400;"},
    {"GET /a b HTTP/1.1\r\n" HOST "\r\n", "400;"},
};

Test(http, requests_are_the_same_in_any_cut)
{
    struct story story;
    for (size_t i = 0; i < COUNT_OF(request_cases); i++) {
        const struct request_case *c = &request_cases[i];
        size_t count = strlen(c->bytes);
        for (size_t step = 1; step <= count; step++) {
            run(c->bytes, count, step, &story);
            cr_expect_str_eq(story.words, c->story, "step %zu: %s", step, c->bytes);
        }
    }
}

Test(http, every_prefix_asks_for_more)
{
    static const char request[] = "GET /varz HTTP/1.1\r\n" HOST "\r\n";
    struct story story;
    for (size_t count = 0; count < sizeof request - 1; count++) {
        run(request, count, count + 1, &story);
        cr_expect_str_eq(story.words, "", "%zu bytes", count);
    }
}

Test(http, a_head_has_a_bound)
{
    struct http_session session = {0};
    struct story story = {0};
    char line[1024];
    memset(line, 'a', sizeof line);
    cr_assert_eq(http_give(&session, TEXT("GET / HTTP/1.1\r\nX: ")), ERR_OK);
    size_t given = 0;
    while (take(&session, &story) && given < 2 * HTTP_HEAD_BYTES_MAX) {
        cr_assert_eq(http_give(&session, bytes_of(line, sizeof line)), ERR_OK);
        given += sizeof line;
    }
    cr_expect_str_eq(story.words, "431;");
    cr_expect_leq(given, HTTP_HEAD_BYTES_MAX + 2 * sizeof line);
    http_close(&session);
}

Test(http, writes_heads)
{
    char out[512];
    struct http_reply reply = {.status = HTTP_OK,
                               .content_type = "application/json",
                               .content_bytes = 15,
                               .wall_ns = 1764468182000000000,
                               .any_origin = true,
                               .close = true};
    size_t count = http_head_write(out, sizeof out, &reply);
    cr_assert_gt(count, 0);
    cr_expect_str_eq(out, "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nConnection: close\r\n"
                          "Content-Type: application/json\r\nDate: Sun, 30 Nov 2025 02:03:02 GMT\r\n"
                          "Content-Length: 15\r\n\r\n");
    cr_expect_eq(http_head_write(out, 40, &reply), 0);
}

Test(http, an_answer_without_content_says_nothing_of_a_body)
{
    char out[512];
    struct http_reply reply = {.status = HTTP_NO_CONTENT,
                               .content_type = "application/json",
                               .content_bytes = 15,
                               .wall_ns = 1764468182000000000};
    cr_assert_gt(http_head_write(out, sizeof out, &reply), 0);
    cr_expect_str_eq(out, "HTTP/1.1 204 No Content\r\nDate: Sun, 30 Nov 2025 02:03:02 GMT\r\n\r\n");
}

Test(http, pages_for_people_may_load_from_their_own_origin_only)
{
    char out[HTTP_REPLY_HEAD_BYTES];
    struct http_reply reply = {
        .status = HTTP_OK, .content_type = "text/html; charset=utf-8", .browsed = true};
    cr_assert_gt(http_head_write(out, sizeof out, &reply), 0);
    cr_expect_not_null(strstr(out, "\r\nContent-Security-Policy: default-src 'none'; script-src 'self';"));
    cr_expect_not_null(strstr(out, "\r\nX-Content-Type-Options: nosniff\r\n"));
    cr_expect_null(strstr(out, "Access-Control-Allow-Origin"));
}

struct clean_case {
    const char *path;
    const char *clean;
};

static const struct clean_case clean_cases[] = {
    {"/", "/"},        {"//", "/"},         {"/varz", "/varz"}, {"//varz", "/varz"}, {"/varz/", "/varz/"},
    {"/a//b", "/a/b"}, {"/a/./b", "/a/b"},  {"/a/../b", "/b"},  {"/..", "/"},        {"/../../a", "/a"},
    {"/a/b/..", "/a"}, {"/a/b/../", "/a/"}, {"/...", "/..."},   {"", "/"},
};

Test(http, cleans_paths)
{
    for (size_t i = 0; i < COUNT_OF(clean_cases); i++) {
        char out[64];
        size_t count = http_path_clean(out, text(clean_cases[i].path));
        cr_expect_eq(count, strlen(clean_cases[i].clean), "%s", clean_cases[i].path);
        cr_expect_eq(memcmp(out, clean_cases[i].clean, count), 0, "%s: %.*s", clean_cases[i].path, (int)count,
                     out);
    }
}

/* ---- the query ---- */

struct parameter_case {
    const char *query;
    const char *value; /* of `a`; NULL: none */
};

static const struct parameter_case parameter_cases[] = {
    {"", NULL},       {"a", ""},         {"a=", ""},       {"a=1", "1"},
    {"b=2&a=1", "1"}, {"a=1&a=2", "1"},  {"a=%zz", NULL},  {"a=%zz&a=3", "3"},
    {"a=1;b", NULL},  {"a;=1&a=2", "2"}, {"%61=x", "x"},   {"a=x+y%20z", "x y z"},
    {"A=1", NULL},    {"&&a=1&&", "1"},  {"a=b=c", "b=c"}, {"a=%4", NULL},
};

Test(http_query, first_good_pair_counts)
{
    for (size_t i = 0; i < COUNT_OF(parameter_cases); i++) {
        const struct parameter_case *c = &parameter_cases[i];
        char out[HTTP_PARAMETER_BYTES];
        struct bytes value = {0};
        bool found = http_parameter(text(c->query), "a", out, sizeof out, &value);
        cr_expect_eq(found, c->value != NULL, "%s", c->query);
        if (found && c->value != NULL)
            cr_expect(bytes_equal(value, text(c->value)), "%s: %.*s", c->query, BYTES_PRINTF(value));
    }
    char tiny[2];
    struct bytes value;
    cr_expect_not(http_parameter(TEXT("a=123"), "a", tiny, sizeof tiny, &value));
}

Test(http_query, reads_values_as_go_does)
{
    char why[HTTP_WHY_BYTES];
    bool flag = true;
    int64_t number = 7;
    uint64_t size = 7;
    cr_expect(http_parameter_bool(TEXT(""), "a", &flag, why) && !flag);
    cr_expect(http_parameter_bool(TEXT("a=T"), "a", &flag, why) && flag);
    cr_expect(http_parameter_bool(TEXT("a=False"), "a", &flag, why) && !flag);
    cr_expect_not(http_parameter_bool(TEXT("a=yes"), "a", &flag, why));
    cr_expect_str_eq(why,
                     "Error decoding boolean for 'a': strconv.ParseBool: parsing \"yes\": invalid syntax");
    cr_expect(http_parameter_int(TEXT("a=-12"), "a", &number, why) && number == -12);
    cr_expect(http_parameter_int(TEXT("a=%2B12"), "a", &number, why) && number == 12);
    cr_expect(http_parameter_int(TEXT("a="), "a", &number, why) && number == 0);
    cr_expect_not(http_parameter_int(TEXT("a=9223372036854775808"), "a", &number, why));
    cr_expect_str_eq(
        why, "Error decoding int for 'a': strconv.Atoi: parsing \"9223372036854775808\": value out of range");
    cr_expect_not(http_parameter_int(TEXT("a=1%00"), "a", &number, why));
    cr_expect(http_parameter_unsigned(TEXT("a=18446744073709551615"), "a", &size, why) && size == UINT64_MAX);
    cr_expect_not(http_parameter_unsigned(TEXT("a=-1"), "a", &size, why));
    cr_expect_str_eq(why, "Error decoding uint64 for 'a': strconv.ParseUint: parsing \"-1\": invalid syntax");
}

Test(http, memory_out_leaves_the_session_as_it_was)
{
    static const char request[] = "GET /varz HTTP/1.1\r\n" HOST "\r\n";
    char padding[8 * 1024];
    memset(padding, '\n', sizeof padding);
    FOR_EACH_FAULT(plan)
    {
        struct http_session session = {0};
        struct story story = {0};
        bool first = http_give(&session, bytes_of(padding, 100)) == ERR_OK;
        bool second = http_give(&session, bytes_of(padding, sizeof padding)) == ERR_OK;
        cr_assert(faults_met() || (first && second));
        faults_pause();
        cr_assert_eq(http_give(&session, bytes_of(request, sizeof request - 1)), ERR_OK);
        cr_assert(take(&session, &story));
        cr_expect_str_eq(story.words, "/varz?;");
        faults_resume();
        http_close(&session);
    }
}
