/* Tests net/ocsp.c and tls_context_must_staple(): what the option may say, and certificates that demand what
 * is not built. */
#include "net/ocsp.h"

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
        {"ocsp {mode: always}", 0, "ocsp mode \"always\" is not supported by this version of Myelin"},
        {"ocsp {mode: sometimes}", 0, "error parsing ocsp config: unsupported ocsp mode string"},
        {"ocsp {mode: 5}", 0, "interface conversion: interface {} is int64, not string"},
        {"ocsp {urls: [a]}", 0, "interface conversion: interface {} is []interface {}, not []string"},
        {"ocsp {zzz: 1}", 0, "error parsing ocsp config: unsupported field string"},
        {"ocsp: 5", 0, "error parsing ocsp config: unsupported type int64"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct options_outcome outcome;
        struct server_options *o = load(rows[i].file, &outcome);
        cr_expect_eq(o != NULL, rows[i].error == NULL, "%s", rows[i].file);
        if (o != NULL)
            cr_expect_eq(o->net.ocsp_mode, rows[i].mode, "%s", rows[i].file);
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

Test(ocsp, what_must_be_stapled_is_refused_unless_it_is_to_be_served_without)
{
    static const char *const places[] = {"%s", "cluster {port: -1\n%s}", "gateway {name: G, port: -1\n%s}"};
    struct certificates all;
    certificates_open(&all);
    for (int demanding = 0; demanding < 2; demanding++) {
        for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
            char tls[512], file[1024];
            struct options_outcome outcome;
            snprintf(tls, sizeof tls, "tls {cert_file: \"%s\", key_file: \"%s\", ca_file: \"%s\"}\n",
                     all.server.cert_file, all.server.key_file, all.authority.cert_file);
            snprintf(file, sizeof file, places[i], tls);
            struct server_options *o = load(file, &outcome);
            cr_expect_eq(o == NULL, demanding, "%s%s", file, config_text_string(&outcome.err));
            if (o == NULL)
                cr_expect_not_null(strstr(config_text_string(&outcome.err), "has MustStaple"));
            server_options_free(o);
            options_outcome_close(&outcome);

            snprintf(file + strlen(file), sizeof file - strlen(file), "\nocsp: false\n");
            o = load(file, &outcome);
            cr_assert_not_null(o, "%s%s", file, config_text_string(&outcome.err));
            bool disregarded = ocsp_disregarded(&o->net.tls, o->net.ocsp_mode) ||
                               ocsp_disregarded(&o->cluster.tls, o->net.ocsp_mode) ||
                               ocsp_disregarded(&o->gateway.tls, o->net.ocsp_mode);
            cr_expect_eq(disregarded, demanding);
            server_options_free(o);
            options_outcome_close(&outcome);
        }
        if (!demanding)
            demand_stapling(&all);
    }
    cr_expect_not(tls_context_must_staple(NULL));
    certificates_close(&all);
}
