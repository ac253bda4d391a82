/* tests/unit/core/security/test_server_hash.c - core/security/server_hash.c and net/gateway_reply.h by the
 * vectors of spec/gateways.md 11.3. */
#include "core/base/language.h"
#include "net/gateway_reply.h"

#include <criterion/criterion.h>

static const struct {
    const char *text;
    const char *hash;
} vectors[] = {{"GA", "F2cAWZ"}, {"GB", "u4xB6R"}, {"C1", "lAT7oY"}};

Test(server_hash, the_vectors)
{
    for (size_t i = 0; i < COUNT_OF(vectors); i++) {
        char hash[SERVER_HASH_BYTES + 1] = "";
        cr_assert_eq(server_hash(text(vectors[i].text), hash), ERR_OK);
        cr_expect_str_eq(hash, vectors[i].hash, "%s", vectors[i].text);
    }
}

Test(server_hash, the_long_one_goes_on_behind_the_short_one)
{
    char hash[SERVER_HASH_LONG_BYTES + 1] = "";
    cr_assert_eq(server_hash_long(TEXT("S1"), hash), ERR_OK);
    cr_expect_str_eq(hash, "sQnRv29R", "as nats-server makes it of its name");
    cr_assert_eq(server_hash_long(TEXT("GA"), hash), ERR_OK);
    hash[SERVER_HASH_BYTES] = 0;
    cr_expect_str_eq(hash, "F2cAWZ");
}

Test(server_hash, letters_stand_in_a_circle)
{
    cr_expect_eq(server_hash_letter('x', 0), 'x');
    cr_expect_eq(server_hash_letter('0', 61), 'z');
    cr_expect_eq(server_hash_letter('z', 1), '0');
    for (uint32_t steps = 0; steps < 62; steps++)
        cr_expect_eq(server_hash_steps('R', server_hash_letter('R', steps)), steps, "%u", steps);
    cr_expect_eq(server_hash_steps('R', '-'), 62, "no letter");
}

static const struct {
    const char *subject;
    bool mapped;
} subjects[] = {
    {"_GR_.F2cAWZ.u4xB6R._INBOX.1", true},
    {"_GR_.F2cAWZ.u4xB6R.x", true},
    {"_GR_.F2cAWZ.u4xB6R.", false},
    {"_GR_.F2cAWZ.u4xB6R", false},
    {"_GR_.F2cAWZxu4xB6R.x", false},
    {"_GR_.F2cAWZ.u4xB6Rxx", false},
    {"_GR_", false},
    {"_INBOX.F2cAWZ.u4xB6R.x", false},
    {"", false},
};

Test(gateway_reply, is_known_by_its_form)
{
    for (size_t i = 0; i < COUNT_OF(subjects); i++)
        cr_expect_eq(gateway_reply_is(text(subjects[i].subject)), subjects[i].mapped, "%s",
                     subjects[i].subject);
}

Test(gateway_reply, says_where_it_belongs)
{
    struct bytes subject = TEXT("_GR_.F2cAWZ.u4xB6R._INBOX.1");
    uint8_t prefix[GATEWAY_REPLY_PREFIX_BYTES];
    cr_expect(bytes_equal(gateway_reply_stripped(subject), TEXT("_INBOX.1")));
    cr_expect(gateway_reply_for_cluster(subject, "F2cAWZ") && !gateway_reply_for_cluster(subject, "u4xB6R"));
    cr_expect(gateway_reply_for_server(subject, "u4xB6R") && !gateway_reply_for_server(subject, "F2cAWZ"));
    gateway_reply_prefix("F2cAWZ", "u4xB6R", prefix);
    cr_expect(bytes_start_with(subject, bytes_of(prefix, sizeof prefix)));
}
