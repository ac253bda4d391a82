/* INFO lines: the framing to the byte, the order of fields, and what a JSON parser of another hand reads. */
#include "core/base/language.h"
#include "net/info.h"

#include <criterion/criterion.h>
#include <jansson.h>

static struct info_server server_small(void)
{
    return (struct info_server){
        .server_id = TEXT("NID"),
        .server_name = TEXT("name"),
        .version = TEXT("2.12.0"),
        .myelin_version = TEXT("0.1.0"),
        .host = TEXT("127.0.0.1"),
        .port = 4222,
        .headers = true,
        .max_payload_bytes = 1048576,
    };
}

static const char small_line[] =
    "INFO {\"server_id\":\"NID\",\"server_name\":\"name\",\"version\":\"2.12.0\","
    "\"myelin\":\"0.1.0\",\"proto\":1,\"go\":\"\",\"host\":\"127.0.0.1\","
    "\"port\":4222,\"headers\":true,\"max_payload\":1048576,\"client_id\":5,"
    "\"client_ip\":\"::1\"} \r\n";

Test(info, fields_that_are_not_set_are_left_out)
{
    char line[INFO_BYTES_MAX];
    struct info_server server = server_small();
    struct info_client client = {.client_id = 5, .client_ip = "::1"};
    size_t count = info_write(line, sizeof line, &server, &client);
    cr_expect(bytes_equal(bytes_of(line, count), text(small_line)), "%.*s", (int)count, line);
}

Test(info, all_fields_come_in_the_order_of_the_protocol)
{
    static const char *const order[] = {
        "server_id",     "server_name",  "version",    "myelin",        "proto",
        "git_commit",    "go",           "host",       "port",          "headers",
        "auth_required", "tls_required", "tls_verify", "tls_available", "max_payload",
        "jetstream",     "client_id",    "client_ip",  "nonce",         "cluster",
        "domain",        "connect_urls", "ldm",        "connect_info",  "remote_account",
        "acc_is_sys",    "api_lvl",      "xkey",
    };
    static const struct bytes urls[] = {{(const uint8_t *)"a:1", 3}, {(const uint8_t *)"[::1]:2", 7}};
    struct info_server server = server_small();
    server.git_commit = TEXT("abcdef0");
    server.runtime = TEXT("C");
    server.cluster = TEXT("c<1>");
    server.domain = TEXT("d");
    server.xkey = TEXT("XK");
    server.connect_urls = urls;
    server.connect_url_count = COUNT_OF(urls);
    server.api_level = 2;
    server.auth_required = server.tls_required = server.tls_verify = server.tls_available = true;
    server.jetstream = true;
    struct info_client client = {
        .client_id = 1ULL << 40,
        .client_ip = "10.0.0.1",
        .nonce = TEXT("Zm9vYmFyYmF6cXV"),
        .max_payload_bytes = 8,
        .remote_account = "$G",
        .lame_duck = true,
        .connect_info = true,
        .account_is_system = true,
    };
    char line[INFO_BYTES_MAX];
    size_t count = info_write(line, sizeof line, &server, &client);
    cr_assert(count > 8);
    cr_expect(bytes_start_with(bytes_of(line, count), TEXT("INFO {")));
    cr_expect(bytes_equal(bytes_of(line + count - 4, 4), TEXT("} \r\n")));
    cr_expect_eq(memchr(line, '\n', count), line + count - 1, "one line");
    json_t *json = json_loadb(line + 5, count - 8, 0, NULL);
    cr_assert_not_null(json, "%.*s", (int)count, line);
    size_t at = 0;
    const char *key;
    json_t *value;
    json_object_foreach(json, key, value)
    {
        cr_assert_lt(at, COUNT_OF(order), "%s is one too many", key);
        cr_expect_str_eq(key, order[at]);
        at++;
    }
    cr_expect_eq(at, COUNT_OF(order));
    cr_expect_eq(json_integer_value(json_object_get(json, "max_payload")), 8, "the connection's own");
    cr_expect_eq(json_integer_value(json_object_get(json, "client_id")), 1LL << 40);
    cr_expect_str_eq(json_string_value(json_object_get(json, "cluster")), "c<1>");
    cr_expect_eq(json_array_size(json_object_get(json, "connect_urls")), 2);
    cr_expect_str_eq(json_string_value(json_array_get(json_object_get(json, "connect_urls"), 1)), "[::1]:2");
    cr_expect(json_is_true(json_object_get(json, "ldm")));
    json_decref(json);
}

Test(info, a_line_that_does_not_fit_is_not_written)
{
    struct info_server server = server_small();
    struct info_client client = {.client_id = 5, .client_ip = "::1"};
    const size_t needed = sizeof small_line - 1;
    for (size_t capacity = 0; capacity <= needed; capacity++) {
        char line[sizeof small_line];
        line[capacity] = '#';
        size_t count = info_write(line, capacity, &server, &client);
        cr_expect_eq(count, capacity == needed ? needed : 0, "%zu", capacity);
        cr_expect_eq(line[capacity], '#', "%zu", capacity);
    }
}

Test(info, headers_false_is_said)
{
    char line[INFO_BYTES_MAX];
    struct info_server server = server_small();
    struct info_client client = {0};
    server.headers = false;
    server.max_payload_bytes = -1;
    size_t count = info_write(line, sizeof line, &server, &client);
    line[count] = 0;
    cr_expect_not_null(strstr(line, "\"headers\":false,\"max_payload\":-1} \r\n"), "%s", line);
}
