/* Tests net/tls_ocsp.c: which responses answer, whoever signed them and whatever was done to them. */
#include "net/tls_ocsp.h"

#include "core/base/clock.h"
#include "tests/unit/net/ocsp_answers.h"

enum { WHY_BYTES = 256, HOUR = 3600 };

/* Certificates, and one that may sign responses in their authority's place. */
struct world {
    struct certificates all;
    struct made delegate;
    struct ocsp_link link; /* the server's certificate */
};

static void world_open(struct world *world)
{
    certificates_open(&world->all);
    certificate_make(&world->all, &world->delegate, "delegate", "CN=delegate", NULL, &world->all.authority,
                     2);
    X509_EXTENSION *usage = X509V3_EXT_conf_nid(NULL, NULL, NID_ext_key_usage, "OCSPSigning");
    cr_assert(usage != NULL && X509_add_ext(world->delegate.certificate, usage, -1) == 1);
    X509_EXTENSION_free(usage);
    cr_assert_gt(X509_sign(world->delegate.certificate, world->all.authority.key, EVP_sha256()), 0);
    world->link.certificate = certificate_der(&world->all.server);
    world->link.issuer = certificate_der(&world->all.authority);
}

static void world_close(struct world *world)
{
    OPENSSL_free((void *)(uintptr_t)world->link.certificate.data);
    OPENSSL_free((void *)(uintptr_t)world->link.issuer.data);
    certificate_drop(&world->delegate);
    certificates_close(&world->all);
}

static enum ocsp_judgement judge(struct world *world, const struct told *told, struct ocsp_answer *answer)
{
    char why[WHY_BYTES] = "";
    struct bytes response = answer_make(told, &world->all.server, &world->all.authority);
    enum ocsp_judgement judgement = tls_ocsp_judge(response, &world->link, answer, why, sizeof why);
    cr_expect_eq(judgement == OCSP_ANSWERED, why[0] == 0 || judgement == OCSP_ANSWERED, "%s", why);
    OPENSSL_free((void *)(uintptr_t)response.data);
    return judgement;
}

Test(tls_ocsp, who_may_sign_is_believed)
{
    struct world world;
    world_open(&world);
    const struct {
        const char *name;
        struct told told;
        enum ocsp_judgement judgement;
    } rows[] = {
        {"the issuer", {.signer = &world.all.authority}, OCSP_ANSWERED},
        {"the issuer, shown", {.signer = &world.all.authority, .with_signer = true}, OCSP_ANSWERED},
        {"by SHA-256", {.signer = &world.all.authority, .named_by = EVP_sha256()}, OCSP_ANSWERED},
        {"a delegate", {.signer = &world.delegate, .with_signer = true}, OCSP_ANSWERED},
        {"a delegate, not shown", {.signer = &world.delegate}, OCSP_UNREADABLE},
        {"certified for other things",
         {.signer = &world.all.client, .with_signer = true},
         OCSP_BAD_DELEGATION},
        {"itself", {.signer = &world.all.server, .with_signer = true}, OCSP_BAD_DELEGATION},
        {"another authority", {.signer = &world.all.other_authority, .with_signer = true}, OCSP_UNREADABLE},
        {"a stranger", {.signer = &world.all.stranger, .with_signer = true}, OCSP_UNREADABLE},
    };
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct told told = rows[i].told;
        struct ocsp_answer answer;
        told.status = V_OCSP_CERTSTATUS_REVOKED;
        told.this_seconds = -HOUR;
        told.next_seconds = HOUR;
        cr_expect_eq(judge(&world, &told, &answer), rows[i].judgement, "%s", rows[i].name);
        cr_expect_eq(answer.status,
                     rows[i].judgement == OCSP_ANSWERED ? OCSP_STATUS_REVOKED : OCSP_STATUS_GOOD,
                     "%s: what nobody may say is not taken for said", rows[i].name);
    }
    world_close(&world);
}

Test(tls_ocsp, status_and_times_are_read)
{
    static const struct {
        int told;
        enum ocsp_status status;
    } rows[] = {{V_OCSP_CERTSTATUS_GOOD, OCSP_STATUS_GOOD},
                {V_OCSP_CERTSTATUS_REVOKED, OCSP_STATUS_REVOKED},
                {V_OCSP_CERTSTATUS_UNKNOWN, OCSP_STATUS_UNKNOWN}};
    struct world world;
    world_open(&world);
    for (size_t i = 0; i < 2 * COUNT_OF(rows); i++) {
        long next = i % 2 == 0 ? HOUR : 0;
        struct told told = {.signer = &world.all.authority,
                            .status = rows[i / 2].told,
                            .this_seconds = -2 * HOUR,
                            .next_seconds = next};
        struct ocsp_answer answer;
        int64_t before_ns = clock_wall_ns();
        cr_assert_eq(judge(&world, &told, &answer), OCSP_ANSWERED);
        int64_t after_ns = clock_wall_ns();
        cr_expect_eq(answer.status, rows[i / 2].status);
        cr_expect(answer.this_update_ns > before_ns - 2 * HOUR * NS_PER_SECOND - NS_PER_SECOND &&
                  answer.this_update_ns <= after_ns - 2 * HOUR * NS_PER_SECOND);
        if (next == 0)
            cr_expect_eq(answer.next_update_ns, 0);
        else
            cr_expect(answer.next_update_ns > before_ns &&
                      answer.next_update_ns <= after_ns + HOUR * NS_PER_SECOND);
    }
    world_close(&world);
}

/* In nanoseconds there is no year 1640. */
Test(tls_ocsp, times_before_all_certificates_are_refused)
{
    static const char long_ago[] = "16400101000000Z";
    struct world world;
    world_open(&world);
    for (int next = 0; next < 2; next++) {
        struct told told = {.signer = &world.all.authority,
                            .status = V_OCSP_CERTSTATUS_GOOD,
                            .this_seconds = -HOUR,
                            .next_seconds = HOUR,
                            .this_text = next ? NULL : long_ago,
                            .next_text = next ? long_ago : NULL};
        struct ocsp_answer answer;
        cr_expect_eq(judge(&world, &told, &answer), OCSP_UNREADABLE);
    }
    world_close(&world);
}

Test(tls_ocsp, an_answer_about_another_is_none)
{
    struct world world;
    char why[WHY_BYTES];
    struct ocsp_answer answer;
    struct told told = {.signer = NULL, .this_seconds = -HOUR, .next_seconds = HOUR};
    world_open(&world);
    told.signer = &world.all.authority;
    struct bytes response = answer_make(&told, &world.all.client, &world.all.authority);
    cr_expect_eq(tls_ocsp_judge(response, &world.link, &answer, why, sizeof why), OCSP_UNREADABLE);
    cr_expect_str_eq(why, "no response matching the supplied certificate");
    OPENSSL_free((void *)(uintptr_t)response.data);
    world_close(&world);
}

/* Whatever byte is changed or cut off: never another answer than the true one. */
Test(tls_ocsp, no_changed_byte_is_believed)
{
    struct world world;
    char why[WHY_BYTES];
    struct told told = {.status = V_OCSP_CERTSTATUS_REVOKED, .this_seconds = -HOUR, .next_seconds = HOUR};
    world_open(&world);
    told.signer = &world.all.authority;
    struct bytes response = answer_make(&told, &world.all.server, &world.all.authority);
    uint8_t changed[4096];
    cr_assert_lt(response.count, sizeof changed);
    for (size_t i = 0; i < response.count; i++) {
        struct ocsp_answer answer;
        memcpy(changed, response.data, response.count);
        changed[i] ^= 1;
        if (tls_ocsp_judge(bytes_of(changed, response.count), &world.link, &answer, why, sizeof why) ==
            OCSP_ANSWERED)
            cr_expect_eq(answer.status, OCSP_STATUS_REVOKED, "byte %zu", i);
        cr_expect_neq(tls_ocsp_judge(bytes_of(response.data, i), &world.link, &answer, why, sizeof why),
                      OCSP_ANSWERED, "cut to %zu", i);
    }
    OPENSSL_free((void *)(uintptr_t)response.data);
    world_close(&world);
}

Test(tls_ocsp, a_request_names_the_certificate)
{
    struct world world;
    struct arena arena = {0};
    world_open(&world);
    struct bytes request = tls_ocsp_request(&world.link, &arena);
    const unsigned char *at = request.data;
    OCSP_REQUEST *read = d2i_OCSP_REQUEST(NULL, &at, (long)request.count);
    cr_assert_not_null(read);
    OCSP_CERTID *wanted =
        OCSP_cert_to_id(NULL, world.all.server.certificate, world.all.authority.certificate);
    cr_expect_eq(OCSP_request_onereq_count(read), 1);
    cr_expect_eq(OCSP_id_cmp(OCSP_onereq_get0_id(OCSP_request_onereq_get0(read, 0)), wanted), 0);
    OCSP_CERTID_free(wanted);
    OCSP_REQUEST_free(read);
    struct ocsp_link none = {.certificate = TEXT("no certificate"), .issuer = world.link.issuer};
    cr_expect_eq(tls_ocsp_request(&none, &arena).count, 0);
    arena_close(&arena);
    world_close(&world);
}

Test(tls_ocsp, addresses_on_the_web_are_taken)
{
    struct world world;
    struct arena arena = {0};
    const char *urls[OCSP_URLS_MAX];
    world_open(&world);
    cr_expect_eq(tls_ocsp_urls(world.link.certificate, urls, &arena), 0);
    X509_EXTENSION *access =
        X509V3_EXT_conf_nid(NULL, NULL, NID_info_access,
                            "OCSP;URI:http://a.test/x,OCSP;URI:ldap://b.test,caIssuers;URI:http://"
                            "c.test,OCSP;URI:HTTPS://d.test");
    cr_assert(access != NULL && X509_add_ext(world.all.server.certificate, access, -1) == 1);
    X509_EXTENSION_free(access);
    cr_assert_gt(X509_sign(world.all.server.certificate, world.all.authority.key, EVP_sha256()), 0);
    struct bytes der = certificate_der(&world.all.server);
    cr_assert_eq(tls_ocsp_urls(der, urls, &arena), 2);
    cr_expect_str_eq(urls[0], "http://a.test/x");
    cr_expect_str_eq(urls[1], "HTTPS://d.test");
    cr_expect_eq(tls_ocsp_urls(TEXT("no certificate"), urls, &arena), 0);
    OPENSSL_free((void *)(uintptr_t)der.data);
    arena_close(&arena);
    world_close(&world);
}
