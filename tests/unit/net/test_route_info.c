/* tests/unit/net/test_route_info.c - INFO and CONNECT of routes, written and read back (routes.md 4, 5). */
#include "net/route_info.h"

#include "core/base/language.h"

#include <criterion/criterion.h>

Test(route_info, what_is_written_is_what_nats_server_writes)
{
    char line[1024];
    struct route_info info = {
        .server_id = TEXT("A"),
        .server_name = TEXT("a"),
        .version = TEXT("2.10.29"),
        .runtime = TEXT(""),
        .protocol = 2,
        .host = TEXT("127.0.0.1"),
        .port = 6222,
        .headers = true,
        .max_payload_bytes = 1048576,
        .cluster = TEXT("C"),
        .connect_urls = bytes_of("127.0.0.1:4222\0[::1]:4222", 26),
        .leaf_origin = true,
    };
    size_t count = route_info_write(line, sizeof line, &info);
    cr_assert_gt(count, 0);
    line[count] = 0;
    cr_expect_str_eq(
        line,
        "INFO {\"server_id\":\"A\",\"server_name\":\"a\",\"version\":\"2.10.29\",\"proto\":2,\"go\":\"\","
        "\"host\":\"127.0.0.1\",\"port\":6222,\"headers\":true,\"max_payload\":1048576,"
        "\"cluster\":\"C\",\"connect_urls\":[\"127.0.0.1:4222\",\"[::1]:4222\"],\"lnoc\":true} \r\n");
    for (size_t capacity = 0; capacity < count; capacity++)
        cr_expect_eq(route_info_write(line, capacity, &info), 0, "%zu", capacity);
}

Test(route_info, all_that_is_read_survives_being_passed_on)
{
    const char *json =
        "{\"server_id\":\"F\",\"server_name\":\"fx\",\"version\":\"9.9.9\",\"proto\":2,\"go\":\"c\","
        "\"host\":\"127.0.0.1\",\"port\":14448,\"headers\":true,\"auth_required\":true,"
        "\"max_payload\":1048576,\"jetstream\":true,\"ip\":\"nats-route://127.0.0.1:14448/\",\"cluster\":"
        "\"C\\u003e\",\"cluster_dynamic\":true,\"domain\":\"hub\",\"connect_urls\":[\"a:1\",\"b:2\"],"
        "\"ws_connect_urls\":[\"c:3\"],\"ldm\":true,\"import\":{\"allow\":[\"a\",\"b.*\"],\"deny\":[\"c\"]},"
        "\"export\":{\"deny\":[\"d.\\u003e\"]},\"lnoc\":true,\"gateway_url\":\"g:1\","
        "\"leafnode_urls\":[\"l:1\"]}";
    char line[2048];
    struct json_document document;
    struct route_info info = {0};
    cr_assert_eq(route_info_read(&document, text(json), &info), ERR_OK);
    cr_expect(bytes_equal(info.cluster, TEXT("C>")));
    cr_expect(info.lame_duck && info.cluster_dynamic && info.port == 14448);
    struct bytes urls = info.connect_urls, one;
    cr_assert(route_texts_next(&urls, &one) && bytes_equal(one, TEXT("a:1")));
    cr_assert(route_texts_next(&urls, &one) && bytes_equal(one, TEXT("b:2")));
    cr_expect_not(route_texts_next(&urls, &one));
    cr_expect(bytes_equal(info.imports.allow, bytes_of("a\0b.*\0", 6)));
    cr_expect(bytes_equal(info.exports.deny, bytes_of("d.>\0", 4)) && info.exports.allow.count == 0);
    size_t count = route_info_write(line, sizeof line, &info);
    cr_assert_gt(count, 8);
    line[count - 3] = 0;
    cr_expect_str_eq(line + 5, json);
    json_close(&document);
}

Test(route_info, connect_is_written_as_by_nats_server_and_read_back)
{
    char line[512];
    struct json_document document;
    struct route_connect connect = {.name = TEXT("B"),
                                    .cluster = TEXT("C"),
                                    .headers = true,
                                    .leaf_origin = true,
                                    .user = TEXT("u"),
                                    .password = TEXT("p")};
    size_t count = route_connect_write(line, sizeof line, &connect);
    cr_assert_gt(count, 0);
    line[count] = 0;
    cr_expect_str_eq(
        line, "CONNECT {\"echo\":true,\"verbose\":false,\"pedantic\":false,\"user\":\"u\",\"pass\":\"p\","
              "\"tls_required\":false,\"headers\":true,\"name\":\"B\",\"cluster\":\"C\",\"lnoc\":true}\r\n");
    struct route_connect read = {0};
    cr_assert_eq(route_connect_read(&document, bytes_of(line + 8, count - 10), &read), ERR_OK);
    cr_expect(bytes_equal(read.name, TEXT("B")) && bytes_equal(read.password, TEXT("p")) && read.headers);
    cr_expect_eq(read.language.count, 0);
    json_close(&document);
}

Test(route_info, a_broken_one_is_refused)
{
    struct json_document document;
    struct route_info info = {0};
    cr_expect_eq(route_info_read(&document, TEXT("{\"port\":\"6222\"}"), &info), ERR_INVALID);
    cr_expect_eq(route_info_read(&document, TEXT("{\"connect_urls\":[1]}"), &info), ERR_INVALID);
    cr_expect_eq(route_info_read(&document, TEXT("{\"connect_urls\":\"a\"}"), &info), ERR_INVALID);
    cr_expect_eq(route_info_read(&document, TEXT("{"), &info), ERR_INVALID);
}

Test(route_info, a_gateway_is_introduced_as_by_nats_server)
{
    char line[1024];
    struct route_info info = {.server_id = TEXT("A"),
                              .server_name = TEXT("A1"),
                              .version = TEXT("2.9.10"),
                              .runtime = TEXT(""),
                              .host = TEXT("127.0.0.1"),
                              .port = 14400,
                              .headers = true,
                              .max_payload_bytes = 1048576,
                              .gateway = TEXT("GA"),
                              .gateway_urls = bytes_of("127.0.0.1:14400\0", 16),
                              .gateway_url = TEXT("127.0.0.1:14400"),
                              .gateway_replies = true,
                              .gateway_lists = true};
    line[gateway_info_write(line, sizeof line, &info)] = 0;
    cr_expect_str_eq(line,
                     "INFO {\"server_id\":\"A\",\"server_name\":\"A1\",\"version\":\"2.9.10\",\"proto\":0,"
                     "\"go\":\"\",\"host\":\"127.0.0.1\",\"port\":14400,\"headers\":true,"
                     "\"max_payload\":1048576,\"gateway\":\"GA\",\"gateway_urls\":[\"127.0.0.1:14400\"],"
                     "\"gateway_url\":\"127.0.0.1:14400\",\"gateway_nrp\":true,\"gateway_iom\":true}\r\n");
    struct route_info command = {.gateway = TEXT("GA"),
                                 .gateway_command = GATEWAY_COMMAND_LIST_BEGINS,
                                 .gateway_payload = TEXT("QUND")};
    line[gateway_info_write(line, sizeof line, &command)] = 0;
    cr_expect_str_eq(line,
                     "INFO {\"server_id\":\"\",\"server_name\":\"\",\"version\":\"\",\"proto\":0,\"go\":\"\","
                     "\"host\":\"\",\"port\":0,\"headers\":false,\"max_payload\":0,\"gateway\":\"GA\","
                     "\"gateway_cmd\":2,\"gateway_cmd_payload\":\"QUND\"}\r\n");
    struct route_connect connect = {.name = TEXT("B"), .gateway = TEXT("GB")};
    line[gateway_connect_write(line, sizeof line, &connect)] = 0;
    cr_expect_str_eq(line,
                     "CONNECT {\"echo\":false,\"verbose\":false,\"pedantic\":false,\"tls_required\":false,"
                     "\"headers\":false,\"name\":\"B\",\"cluster\":\"\",\"gateway\":\"GB\"}\r\n");
}
