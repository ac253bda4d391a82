/* Any text as distinguished names: two lines as two names and as the subjects of certificates. Comparing is
 * symmetric, what is equal has one hash, and a user whose name is that of a certificate's subject is found.
 */
#include "core/base/check.h"
#include "core/security/certificate_user.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The same name as a certificate has it: the other way round. */
static void as_certificate(const struct dn *dn, struct dn_attribute out[DN_ATTRIBUTES_MAX],
                           struct certificate_names *names)
{
    for (uint32_t i = 0; i < dn->count; i++) {
        out[i] = dn->attributes[dn->count - 1 - i];
        out[i].rdn = dn->rdn_count - 1 - out[i].rdn;
    }
    *names = (struct certificate_names){.subject = out, .subject_count = dn->count};
}

static void find(struct bytes name, const struct dn *dn)
{
    struct dn_attribute attributes[DN_ATTRIBUTES_MAX];
    struct certificate_names names;
    struct security_users users = {0};
    struct security_user user = {.name = name, .connection_types = CONNECTION_TYPE_STANDARD};
    struct arena arena = {0};
    struct dn subject;
    const char *how;
    char out[256];
    as_certificate(dn, attributes, &names);
    ASSERT(security_users_add(&users, &user, &arena) == ERR_OK);
    const struct security_user *found = certificate_user_find(&users, &names, CONNECTION_TYPE_STANDARD, &how);
    ASSERT(certificate_user_find(&users, &names, CONNECTION_TYPE_MQTT, &how) == NULL);
    if (dn_of_subject(&subject, &names)) {
        ASSERT(dn_equal(&subject, dn, false));
        ASSERT(found == &user);
    }
    for (size_t capacity = 0; capacity < sizeof out; capacity += 17)
        ASSERT(certificate_subject_text(out, capacity, &names, true) <= capacity);
    arena_close(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *newline = size == 0 ? NULL : memchr(data, '\n', size);
    size_t first = newline == NULL ? size : (size_t)(newline - data);
    size_t second_at = newline == NULL ? size : first + 1;
    struct bytes a_text = bytes_of(data, first), b_text = bytes_of(data + second_at, size - second_at);
    static struct dn a, b;
    bool a_read = dn_parse(&a, a_text), b_read = dn_parse(&b, b_text);
    if (a_read) {
        ASSERT(a.count > 0 && a.rdn_count > 0 && a.rdn_count <= a.count);
        ASSERT(dn_equal(&a, &a, false) && dn_equal(&a, &a, true));
        find(a_text, &a);
    }
    if (a_read && b_read) {
        ASSERT(dn_equal(&a, &b, false) == dn_equal(&b, &a, false));
        ASSERT(dn_equal(&a, &b, true) == dn_equal(&b, &a, true));
        ASSERT(!dn_equal(&a, &b, false) || dn_equal(&a, &b, true));
        ASSERT(!dn_equal(&a, &b, true) || dn_hash(&a) == dn_hash(&b));
    }
    return 0;
}
