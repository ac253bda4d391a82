/* Tests net/ocsp.c and tls_context_must_staple(): what the option may say, whose certificates are stapled,
 * and how long an answer holds. */
#include "net/ocsp.h"

#include "core/base/clock.h"
#include "core/config/parser.h"
#include "net/tls_context.h"
#include "shards/options.h"
#include "tests/unit/net/tls_certificates.h"

static enum err read_file(void *context, const char *path, struct arena *arena, struct bytes *out,
                          struct config_text *why)
{
    if (strcmp(path, "c.conf") == 0) {
        *out = text(arena_copy(arena, text(context)));
        return ERR_OK;
    }
    config_text_add(why, "open %s: no such file or directory", path);
    return ERR_INVALID;
}

static struct server_options *load(const char *file, struct options_outcome *outcome)
{
    static char *const argv[] = {"myelin", "-c", "c.conf", NULL};
    struct server_options *options;
    struct config_source source = {.read = read_file, .context = (void *)(uintptr_t)file};
    server_options_load_from(3, argv, &source, &options, outcome);
    return options;
}

Test(ocsp, the_option_says_what_nats_server_lets_it_say)
{
    static const struct {
        const char *file;
        int mode;
        const char *error; /* NULL: it is taken */
    } rows[] = {
        {"port: 1", OCSP_UNSET, NULL},
        {"ocsp: true", OCSP_AUTO, NULL},
        {"ocsp: false", OCSP_NEVER, NULL},
        {"ocsp {}", OCSP_AUTO, NULL},
        {"ocsp {mode: AUTO}", OCSP_AUTO, NULL},
        {"ocsp {mode: must, url: \"http://127.0.0.1:1\"}", OCSP_MUST, NULL},
        {"ocsp {mode: never}", OCSP_NEVER, NULL},
        {"ocsp {mode: Always}", OCSP_ALWAYS, NULL},
        {"ocsp {mode: auto, urls: [\"http://a\", \"http://b\"]}", OCSP_AUTO, NULL},
        {"ocsp {mode: sometimes}", 0, "error parsing ocsp config: unsupported ocsp mode string"},
        {"ocsp {mode: 5}", 0, "interface conversion: interface {} is int64, not string"},
        {"ocsp {url: 5}", 0, "interface conversion: interface {} is int64, not string"},
        {"ocsp {urls: [5]}", 0, "interface conversion: interface {} is int64, not string"},
        {"ocsp {urls: a}", 0, "interface conversion: interface {} is string, not []interface {}"},
        {"ocsp {urls: [a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a]}", 0, "at most 16 urls"},
        {"ocsp {zzz: 1}", 0, "error parsing ocsp config: unsupported field string"},
        {"ocsp: 5", 0, "error parsing ocsp config: unsupported type int64"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct options_outcome outcome;
        struct server_options *o = load(rows[i].file, &outcome);
        cr_expect_eq(o != NULL, rows[i].error == NULL, "%s", rows[i].file);
        if (o != NULL)
            cr_expect_eq(o->net.ocsp.mode, rows[i].mode, "%s", rows[i].file);
        else if (rows[i].error != NULL)
            cr_expect_not_null(strstr(config_text_string(&outcome.err), rows[i].error), "%s: %s",
                               rows[i].file, config_text_string(&outcome.err));
        server_options_free(o);
        options_outcome_close(&outcome);
    }
}

/* The server's certificate again, with the demand. */
static void demand_stapling(struct certificates *all)
{
    X509 *certificate = all->server.certificate;
    X509_EXTENSION *feature = X509V3_EXT_conf_nid(NULL, NULL, NID_tlsfeature, "status_request");
    cr_assert(feature != NULL && X509_add_ext(certificate, feature, -1) == 1);
    X509_EXTENSION_free(feature);
    cr_assert_gt(X509_sign(certificate, all->authority.key, EVP_sha256()), 0);
    FILE *out = fopen(all->server.cert_file, "w");
    cr_assert(out != NULL && PEM_write_X509(out, certificate) == 1 && fclose(out) == 0);
}

Test(ocsp, certificates_and_the_option_decide_what_is_stapled)
{
    static const char *const places[] = {"%s", "cluster {port: -1\n%s}", "gateway {name: G, port: -1\n%s}"};
    static const struct {
        const char *option;
        bool demanding, staples, ends, disregarded;
    } rows[] = {
        {"", false, false, false, false},
        {"", true, true, false, false},
        {"ocsp: true", true, true, false, false},
        {"ocsp {mode: must}", false, false, false, false},
        {"ocsp {mode: must}", true, true, true, false},
        {"ocsp {mode: always}", false, true, true, false},
        {"ocsp {mode: always}", true, true, true, false},
        {"ocsp: false", false, false, false, false},
        {"ocsp: false", true, false, false, true},
    };
    struct certificates all;
    certificates_open(&all);
    for (int demanding = 0; demanding < 2; demanding++) {
        for (size_t i = 0; i < COUNT_OF(places) * COUNT_OF(rows); i++) {
            char tls[512], file[1024];
            struct options_outcome outcome;
            size_t row = i % COUNT_OF(rows);
            if (rows[row].demanding != demanding)
                continue;
            snprintf(tls, sizeof tls, "tls {cert_file: \"%s\", key_file: \"%s\", ca_file: \"%s\"}\n",
                     all.server.cert_file, all.server.key_file, all.authority.cert_file);
            snprintf(file, sizeof file, places[i / COUNT_OF(rows)], tls);
            snprintf(file + strlen(file), sizeof file - strlen(file), "\n%s\n", rows[row].option);
            struct server_options *o = load(file, &outcome);
            cr_assert_not_null(o, "%s%s", file, config_text_string(&outcome.err));
            const struct tls_options *blocks[] = {&o->net.tls, &o->cluster.tls, &o->gateway.tls};
            const struct tls_options *block = blocks[i / COUNT_OF(rows)];
            cr_expect_eq(ocsp_staples(block, &o->net.ocsp), rows[row].staples, "%s", file);
            cr_expect_eq(ocsp_ends_revoked(block, &o->net.ocsp), rows[row].ends, "%s", file);
            cr_expect_eq(ocsp_disregarded(block, &o->net.ocsp), rows[row].disregarded, "%s", file);
            server_options_free(o);
            options_outcome_close(&outcome);
        }
        if (!demanding)
            demand_stapling(&all);
    }
    cr_expect_not(tls_context_must_staple(NULL));
    certificates_close(&all);
}

#define HOUR_NS (3600 * NS_PER_SECOND)

Test(ocsp, an_answer_holds_from_its_update_to_the_next)
{
    static const struct {
        int64_t this_ns, next_ns; /* from now; 0: the responder does not say */
        bool current, staples;
        int64_t rest_ns;
    } rows[] = {
        {-HOUR_NS, HOUR_NS, true, true, HOUR_NS / 2},
        {-HOUR_NS, -20 * NS_PER_SECOND, true, false, 120 * NS_PER_SECOND}, /* clocks may be 30 s apart */
        {-HOUR_NS, -31 * NS_PER_SECOND, false, false, 120 * NS_PER_SECOND},
        {20 * NS_PER_SECOND, HOUR_NS, true, false, HOUR_NS / 2},
        {31 * NS_PER_SECOND, HOUR_NS, false, false, HOUR_NS / 2},
        {-60 * NS_PER_SECOND, 0, true, true, 24 * HOUR_NS},
        {-HOUR_NS - 20 * NS_PER_SECOND, 0, true, true, 24 * HOUR_NS},
        {-HOUR_NS - 31 * NS_PER_SECOND, 0, false, true, 24 * HOUR_NS},
    };
    const int64_t now_ns = 1800000000 * NS_PER_SECOND;
    char why[128];
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        struct ocsp_answer answer = {.this_update_ns = now_ns + rows[i].this_ns,
                                     .next_update_ns = rows[i].next_ns == 0 ? 0 : now_ns + rows[i].next_ns};
        cr_expect_eq(ocsp_answer_current(&answer, now_ns, OCSP_SKEW_DEFAULT_NS, OCSP_LASTS_DEFAULT_NS),
                     rows[i].current, "row %zu", i);
        cr_expect_eq(ocsp_answer_staples(&answer, now_ns, why, sizeof why), rows[i].staples, "row %zu", i);
        cr_expect_eq(ocsp_answer_rest_ns(&answer, now_ns), rows[i].rest_ns, "row %zu", i);
    }
}

Test(ocsp, times_are_written_as_go_writes_them)
{
    char at[OCSP_TIME_BYTES];
    cr_expect_str_eq(ocsp_time_text(at, 0), "0001-01-01T00:00:00Z");
    cr_expect_str_eq(ocsp_time_text(at, 1800000000 * NS_PER_SECOND), "2027-01-15T08:00:00Z");
}
