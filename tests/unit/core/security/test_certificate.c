/* Tests core/security/certificate_names.c and certificate_user.c: distinguished names, and which user a
 * certificate means (spec/security.md 4.6). */
#include "core/security/authenticate.h"
#include "core/security/certificate_user.h"
#include "tests/unit/core/security/configured.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* A certificate of the rows: its subject as text in the order of the DER, and one name of each kind. */
struct certificate {
    const char *subject, *email, *host, *uri;
};

static struct dn parsed;
static struct dn_attribute attributes[DN_ATTRIBUTES_MAX];
static struct bytes email, host, uri;

static const struct certificate_names *names_of(const struct certificate *certificate)
{
    static struct certificate_names names;
    email = text(certificate->email);
    host = text(certificate->host);
    uri = text(certificate->uri);
    names = (struct certificate_names){.emails = &email,
                                       .hosts = &host,
                                       .uris = &uri,
                                       .subject = attributes,
                                       .email_count = email.count > 0,
                                       .host_count = host.count > 0,
                                       .uri_count = uri.count > 0};
    if (certificate->subject[0] != 0) {
        cr_assert(dn_parse(&parsed, text(certificate->subject)), "%s", certificate->subject);
        memcpy(attributes, parsed.attributes, sizeof attributes);
        names.subject_count = parsed.count;
    }
    return &names;
}

Test(certificate, names_the_user_by_its_names_in_their_order)
{
    static const struct {
        const char *users; /* names in quotes, with commas */
        struct certificate certificate;
        const char *user; /* empty: none */
    } rows[] = {
        {"\"a@x\", \"host\", \"spiffe://x\", \"CN=c\"", {"CN=c", "a@x", "host", "spiffe://x"}, "a@x"},
        {"\"host\", \"spiffe://x\", \"CN=c\"", {"CN=c", "a@x", "host", "spiffe://x"}, "host"},
        {"\"spiffe://x\", \"CN=c\"", {"CN=c", "a@x", "host", "spiffe://x"}, "spiffe://x"},
        {"\"CN=c\"", {"CN=c", "a@x", "host", "spiffe://x"}, "CN=c"},
        {"\"A@x\", \"Host\"", {"CN=c", "a@x", "host", ""}, ""},
        /* DNs: the DER has the most general name first */
        {"\"CN=c,O=Org,C=DE\"", {"C=DE,O=Org,CN=c", "", "", ""}, "CN=c,O=Org,C=DE"},
        {"\"C=DE,O=Org,CN=c\"", {"C=DE,O=Org,CN=c", "", "", ""}, "C=DE,O=Org,CN=c"},
        {"\"C=DE,O=Org,CN=c\", \"CN=c,O=Org,C=DE\"", {"C=DE,O=Org,CN=c", "", "", ""}, "CN=c,O=Org,C=DE"},
        {"\"cn=c, o=Org\"", {"O=Org,CN=c", "", "", ""}, "cn=c, o=Org"},
        {"\"CN=C,O=Org\"", {"O=Org,CN=c", "", "", ""}, ""},
        {"\"CN=c\"", {"O=Org,CN=c", "", "", ""}, ""},
        {"\"CN=c,O=Org,OU=u\"", {"O=Org,CN=c", "", "", ""}, ""},
        {"\"OU=b+CN=a\"", {"CN=a+OU=b", "", "", ""}, "OU=b+CN=a"},
        {"\"OU=b,CN=a\"", {"CN=a+OU=b", "", "", ""}, ""},
        {"\"CN=a,OU=b\"", {"CN=a+OU=b", "", "", ""}, "CN=a,OU=b"}, /* as the canonical text, not as a DN */
        {"\"CN=a,CN=a,O=b\"", {"CN=a,O=b,O=b", "", "", ""}, ""},
        {"\"CN=x\\\\,y\"", {"CN=x\\,y", "", "", ""}, "CN=x\\,y"},
        /* a type that DNs are not compared by: the canonical text is left */
        {"\"CN=c,O=Org\"", {"O=Org,CN=c,UID=u", "", "", ""}, "CN=c,O=Org"},
        {"\"CN=c,UID=u,O=Org\"", {"O=Org,UID=u,CN=c", "", "", ""}, ""},
        /* DCs */
        {"\"CN=c,O=Org,DC=com,DC=example\"",
         {"DC=com,DC=example,O=Org,CN=c", "", "", ""},
         "CN=c,O=Org,DC=com,DC=example"},
        {"\"CN=c,O=Org\"", {"DC=com,DC=example,O=Org,CN=c", "", "", ""}, "CN=c,O=Org"},
        {"\"CN=c,DC=com\"", {"DC=com,UID=1,CN=c", "", "", ""}, "CN=c,DC=com"},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char config[1024];
        struct configured c;
        const char *how;
        int count = snprintf(config, sizeof config, "authorization { users: [");
        for (const char *at = rows[i].users; *at != 0;) { /* each as {user: "..."} */
            const char *end = strchr(at + 1, '"');
            count += snprintf(config + count, sizeof config - (size_t)count, "{user: %.*s},",
                              (int)(end + 1 - at), at);
            at = end + 1 + strspn(end + 1, ", ");
        }
        snprintf(config + count, sizeof config - (size_t)count, "] }");
        cr_assert_str_eq(configure(&c, config), "", "%s", config);
        const struct security_user *user = certificate_user_find(
            &c.options.users, names_of(&rows[i].certificate), CONNECTION_TYPE_STANDARD, &how);
        cr_expect(user == NULL ? rows[i].user[0] == 0 : bytes_equal(user->name, text(rows[i].user)),
                  "row %zu, %s: %.*s", i, rows[i].users, user == NULL ? 0 : (int)user->name.count,
                  user == NULL ? "" : (const char *)user->name.data);
        configured_close(&c);
    }
}

Test(certificate, has_its_subject_as_text)
{
    static const struct {
        const char *subject, *text, *with_dc;
    } rows[] = {
        {"C=DE,O=Org,OU=u,L=l,ST=s,STREET=r,POSTALCODE=1,CN=c,SERIALNUMBER=2",
         "SERIALNUMBER=2,CN=c,POSTALCODE=1,STREET=r,ST=s,L=l,OU=u,O=Org,C=DE",
         "SERIALNUMBER=2,CN=c,POSTALCODE=1,STREET=r,ST=s,L=l,OU=u,O=Org,C=DE"},
        {"OU=a,OU=b,CN=first,CN=last", "CN=last,OU=a+OU=b", "CN=last,OU=a+OU=b"},
        {"DC=com,DC=example,CN=c", "CN=c", "CN=c,DC=com,DC=example"},
        {"CN=\\ a\\,b\\ ", "CN=\\ a\\,b\\ ", "CN=\\ a\\,b\\ "},
        {"UID=u", "", ""},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char out[256];
        struct certificate certificate = {rows[i].subject, "", "", ""};
        const struct certificate_names *names = names_of(&certificate);
        size_t count = certificate_subject_text(out, sizeof out, names, false);
        cr_expect(bytes_equal(bytes_of(out, count), text(rows[i].text)), "row %zu: %.*s", i, (int)count, out);
        count = certificate_subject_text(out, sizeof out, names, true);
        cr_expect(bytes_equal(bytes_of(out, count), text(rows[i].with_dc)), "row %zu: %.*s", i, (int)count,
                  out);
        cr_expect_eq(certificate_subject_text(out, strlen(rows[i].text) / 2, names, false), 0);
    }
}

Test(certificate, has_a_name_to_the_byte_and_its_subject_in_one_order)
{
    static const struct {
        struct certificate certificate;
        const char *wanted;
        bool has;
    } rows[] = {
        {{"CN=c", "a@b", "h", "urn:u"}, "a@b", true},
        {{"CN=c", "a@b", "h", "urn:u"}, "h", true},
        {{"CN=c", "a@b", "h", "urn:u"}, "urn:u", true},
        {{"CN=c", "a@b", "h", "urn:u"}, "CN=c", true},
        {{"CN=c", "a@b", "h", "urn:u"}, "c", false},
        {{"CN=c", "a@b", "h", "urn:u"}, "H", false},
        {{"CN=c", "a@b", "h", "urn:u"}, "", false},
        {{"", "", "", ""}, "", false},
        {{"CN=c", "", "*.h", ""}, "x.h", false},
        {{"DC=com,DC=example,O=o,CN=c", "", "", ""}, "CN=c,O=o", true},
        {{"DC=com,DC=example,O=o,CN=c", "", "", ""}, "CN=c,O=o,DC=com,DC=example", true},
        {{"DC=com,DC=example,O=o,CN=c", "", "", ""}, "O=o,CN=c", false},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_eq(certificate_names_have(names_of(&rows[i].certificate), text(rows[i].wanted)),
                     rows[i].has, "row %zu: %s", i, rows[i].wanted);
}

Test(certificate, what_is_no_dn_is_told)
{
    static const char *const rows[] = {"",       "CN",    "=x",     "CN=a,",   "CN=a,O", "CN=a+",
                                       "CN=#04", "CN=\\", "CN=\\4", "CN=\\xy", ",CN=a",  "CN=a,,O=b"};
    for (size_t i = 0; i < COUNT_OF(rows); i++)
        cr_expect_not(dn_parse(&parsed, text(rows[i])), "%s", rows[i]);
    cr_expect(dn_parse(&parsed, TEXT("CN=a=b, O = c\\20 ,OU=")));
    cr_expect_eq(parsed.count, 3);
    cr_expect(bytes_equal(parsed.attributes[0].value, TEXT("a=b")));
    cr_expect(bytes_equal(parsed.attributes[1].type, TEXT("O")) &&
              bytes_equal(parsed.attributes[1].value, TEXT("c ")));
    cr_expect_eq(parsed.attributes[2].value.count, 0);
}

/* The decisions that need a certificate or a key, as rows of authenticate(). */
Test(authenticate, certificates_keys_and_ways_to_connect)
{
    static const char config[] =
        "authorization { users: [{user: \"m@x\"}, {user: \"p@x\", password: pw}, {user: \"w@x\", clients: "
        "[websocket]}, {user: plain, password: pw}, {user: web, password: pw, clients: [WebSocket]},\n"
        "{nkey: UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK}] }";
    static const struct {
        const char *email;
        bool map;
        const char *user, *pass, *nkey;
        enum connection_type type;
        enum authenticate_verdict verdict;
    } rows[] = {
        {"m@x", true, "", "", "", CONNECTION_TYPE_STANDARD, AUTHENTICATE_ALLOWED},
        {"m@x", true, "plain", "", "", CONNECTION_TYPE_STANDARD, AUTHENTICATE_ALLOWED}, /* as m@x */
        {"m@x", true, "plain", "pw", "", CONNECTION_TYPE_STANDARD, AUTHENTICATE_DENIED},
        {"p@x", true, "", "pw", "", CONNECTION_TYPE_STANDARD, AUTHENTICATE_ALLOWED},
        {"p@x", true, "", "", "", CONNECTION_TYPE_STANDARD, AUTHENTICATE_DENIED},
        {"w@x", true, "", "", "", CONNECTION_TYPE_STANDARD, AUTHENTICATE_DENIED},
        {"w@x", true, "", "", "", CONNECTION_TYPE_WEBSOCKET, AUTHENTICATE_ALLOWED},
        {"no@x", true, "plain", "pw", "", CONNECTION_TYPE_STANDARD, AUTHENTICATE_DENIED},
        {"", true, "plain", "pw", "", CONNECTION_TYPE_STANDARD, AUTHENTICATE_DENIED},
        {"m@x", false, "plain", "pw", "", CONNECTION_TYPE_STANDARD, AUTHENTICATE_ALLOWED},
        {"m@x", false, "", "", "", CONNECTION_TYPE_STANDARD, AUTHENTICATE_DENIED},
        {"", false, "web", "pw", "", CONNECTION_TYPE_STANDARD, AUTHENTICATE_DENIED},
        {"", false, "web", "pw", "", CONNECTION_TYPE_WEBSOCKET, AUTHENTICATE_ALLOWED},
        {"", false, "plain", "pw", "UX", CONNECTION_TYPE_STANDARD, AUTHENTICATE_DENIED},
        {"m@x", true, "", "", "UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK",
         CONNECTION_TYPE_STANDARD, AUTHENTICATE_DENIED}, /* a key is asked for its signature first */
    };
    struct configured c;
    cr_assert_str_eq(configure(&c, config), "");
    cr_expect(authenticate_challenges(&c.options));
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct certificate certificate = {"", rows[i].email, "", ""};
        struct credentials credentials = {.user = text(rows[i].user),
                                          .pass = text(rows[i].pass),
                                          .nkey = text(rows[i].nkey),
                                          .nonce = TEXT("Zm9vYmFyYmF6cXV"),
                                          .connection_type = rows[i].type,
                                          .certificate = rows[i].map ? names_of(&certificate) : NULL};
        struct authentication found;
        cr_expect_eq(authenticate(&c.options, &credentials, &found), rows[i].verdict, "row %zu", i);
    }
    configured_close(&c);
}

Test(authenticate, who_a_certificate_names_may_need_a_proxy)
{
    struct configured c;
    struct authentication found;
    struct trusted_proxy proxy = {.key = TEXT("UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK")};
    struct certificate certificate = {"", "m@x", "", ""};
    cr_assert_str_eq(configure(&c, "authorization { users: [{user: \"m@x\", proxy_required: true}] }"), "");
    struct credentials credentials = {.connection_type = CONNECTION_TYPE_STANDARD,
                                      .certificate = names_of(&certificate)};
    cr_expect_eq(authenticate(&c.options, &credentials, &found), AUTHENTICATE_DENIED);
    cr_expect_eq(found.refusal, AUTHENTICATE_PROXY_REQUIRED);
    credentials.proxy = &proxy;
    cr_expect_eq(authenticate(&c.options, &credentials, &found), AUTHENTICATE_ALLOWED);
    configured_close(&c);
}

Test(authenticate, nobody_may_be_a_key_but_not_before_connect)
{
    struct configured c;
    struct credentials nothing = {.connection_type = CONNECTION_TYPE_STANDARD};
    struct authentication found;
    cr_assert_str_eq(
        configure(
            &c,
            "authorization { users: [{nkey: UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK}] }\n"
            "no_auth_user: UAB2CB576PHBBPQ5ODORRZ2LYCMWPZGWGCN2KDK7DXOIMZASKUY3RLKK"),
        "");
    cr_expect_eq(authenticate(&c.options, &nothing, &found), AUTHENTICATE_ALLOWED);
    cr_expect_eq(found.who, AUTHENTICATE_NOBODY);
    cr_expect_not(authenticate_unannounced(&c.options));
    nothing.token = TEXT("x");
    cr_expect_eq(authenticate(&c.options, &nothing, &found), AUTHENTICATE_DENIED);
    configured_close(&c);
}
