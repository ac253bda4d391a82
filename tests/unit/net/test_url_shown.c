/* tests/unit/net/test_url_shown.c - what is hidden of an URL that could not be read, and what is not. */
#include "net/url_shown.h"

#include <criterion/criterion.h>
#include <string.h>

static const struct {
    const char *url;
    const char *shown;
} rows[] = {
    {"", ""},
    {"xx", "xx"},
    {"nats://a", "nats://a"},
    {"nats://127.0.0.1:99999999", "nats://127.0.0.1:99999999"},
    {"nats://127.0.0.1:0/", "nats://127.0.0.1:0/"},
    {"nats://[::1]:-5", "nats://[::1]:-5"},
    {"::1:5", "::1:5"},
    {"://", "://"},
    {"nats://x:secret@h:99999", "nats://x:xxxxx@h:99999"},
    {"nats://x:@h:99999", "nats://x:xxxxx@h:99999"},
    {"nats://:secret@h", "nats://:xxxxx@h"},
    {"nats://@h", "nats://xxxxx@h"},
    {"nats://token@h", "nats://xxxxx@h"},
    {"nats://x:sec@ret@h:1", "nats://x:xxxxx@h:1"},
    {"nats://x:sec/ret@h:1", "nats://x:xxxxx@h:1"},
    {"nats://x:sec?ret#@h:1", "nats://x:xxxxx@h:1"},
    {"x:secret@h:1", "x:xxxxx@h:1"},
    {"secret@h:1", "xxxxx@h:1"},
    {"x:sec://ret@h:1", "x:xxxxx@h:1"},
    {"x:secret@nats://h:1", "x:xxxxx@nats://h:1"},
    {"nats:x:secret@h:1", "nats:xxxxx@h:1"},
    {"nats://x:secret", "nats://x:xxxxx"},
    {"nats://x:1secret", "nats://x:xxxxx"},
    {"nats://[secret:secret", "nats://[secret:xxxxx"},
    {"nats://[::1]:secret", "nats://[::1]:xxxxx"},
};

Test(url_shown, hides_secrets)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct url_shown shown = url_shown(text(rows[i].url));
        cr_expect_str_eq(shown.text, rows[i].shown, "%s: %s, not %s", rows[i].url, shown.text, rows[i].shown);
    }
}

Test(url_shown, takes_none)
{
    cr_expect_str_empty(url_shown((struct bytes){0}).text);
}

Test(url_shown, cuts_long_ones)
{
    static char long_one[4 * URL_SHOWN_BYTES];
    memset(long_one, 'a', sizeof long_one - 1);
    memcpy(long_one, "nats://x:", 9);
    long_one[sizeof long_one - 3] = '@';
    cr_expect_str_eq(url_shown(text(long_one)).text, "nats://x:xxxxx@a");
    long_one[9] = '@';
    long_one[sizeof long_one - 3] = 'a';
    cr_expect_eq(strlen(url_shown(text(long_one)).text), URL_SHOWN_BYTES - 1);
}

Test(url_shown, knows_schemes)
{
    cr_expect(url_is_scheme(text("nats-route")));
    cr_expect(url_is_scheme(text("tls+x.1")));
    cr_expect_not(url_is_scheme(text("")));
    cr_expect_not(url_is_scheme(text("x:secret@nats")));
}

Test(url_shown, a_good_one_is_shown_as_it_is_but_for_its_login)
{
    cr_expect_str_eq(url_shown_good("http://h:8080/ca").text, "http://h:8080/ca");
    cr_expect_str_eq(url_shown_good("http://x:secret@h:8080/ca").text, "http://x:xxxxx@h:8080/ca");
}
