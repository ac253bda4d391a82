/* Tests net/tls_options.c, net/tls_suites.c and net/tls_context.c: the rows of a `tls` block with their
 * sentences, and what files that are wrong are told. */
#include "core/config/parser.h"
#include "net/tls_context.h"
#include "net/tls_suites.h"
#include "shards/options.h"
#include "tests/unit/net/tls_certificates.h"

struct files {
    const char *text;
};

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

/* The text with C, K, A and O for the files of server certificate, its key, the authority and the other's
 * key. */
static void fill_in(const struct certificates *all, const char *pattern, char *out, size_t out_bytes)
{
    size_t count = 0;
    for (; *pattern != 0; pattern++) {
        const char *file = *pattern == '^'   ? all->server.cert_file
                           : *pattern == '&' ? all->server.key_file
                           : *pattern == '%' ? all->authority.cert_file
                           : *pattern == '~' ? all->client.key_file
                                             : NULL;
        count += (size_t)(file == NULL ? snprintf(out + count, out_bytes - count, "%c", *pattern)
                                       : snprintf(out + count, out_bytes - count, "\"%s\"", file));
    }
}

static struct server_options *load(int argc, char *const argv[], const char *file,
                                   struct options_outcome *outcome)
{
    struct server_options *options;
    struct config_source source = {.read = read_file, .context = (void *)(uintptr_t)file};
    server_options_load_from(argc, argv, &source, &options, outcome);
    return options;
}

static struct server_options *load_block(const struct certificates *all, const char *block,
                                         struct options_outcome *outcome)
{
    static char *const argv[] = {"myelin", "-c", "c.conf", NULL};
    static char file[4096];
    fill_in(all, block, file, sizeof file);
    return load(3, argv, file, outcome);
}

static const struct {
    const char *block;
    const char *error; /* without the program's name; up to its length */
} wrong[] = {
    {"tls: 5", "c.conf:1:0: interface conversion: interface {} is int64, not map[string]interface {}\n"},
    {"tls {zzz: 5}", "c.conf:1:5: error parsing tls config, unknown field \"zzz\"\n"},
    {"tls {cert_file: 5}", "c.conf:1:5: error parsing tls config, expected 'cert_file' to be filename\n"},
    {"tls {ca_file: 5}", "c.conf:1:5: error parsing tls config, expected 'ca_file' to be filename\n"},
    {"tls {key_file: &}", "c.conf:1:0: missing 'cert_file' in TLS configuration\n"},
    {"tls {cert_file: ^}", "c.conf:1:0: missing 'key_file' in TLS configuration\n"},
    {"tls {cert_file: \"/no\", key_file: &}",
     "c.conf:1:0: error parsing X509 certificate/key pair: open /no: no such file or directory\n"},
    {"tls {cert_file: ^, key_file: \"/no\"}",
     "c.conf:1:0: error parsing X509 certificate/key pair: open /no: no such file or directory\n"},
    {"tls {cert_file: &, key_file: &}",
     "c.conf:1:0: error parsing X509 certificate/key pair: tls: failed to find any PEM certificate data"},
    {"tls {cert_file: ^, key_file: ^}", "c.conf:1:0: error parsing X509 certificate/key pair: tls: failed to "
                                        "find an unencrypted PEM private key"},
    {"tls {cert_file: ^, key_file: ~}",
     "c.conf:1:0: error parsing X509 certificate/key pair: tls: private key of "},
    {"tls {cert_file: ^, key_file: &, ca_file: \"/no\"}",
     "c.conf:1:0: open /no: no such file or directory\n"},
    {"tls {cert_file: ^, key_file: &, ca_file: &}", "c.conf:1:0: failed to parse root ca certificate\n"},
    {"tls {verify: 5}",
     "c.conf:1:5: error parsing tls config, expected 'verify' to be a boolean or 'optional'\n"},
    {"tls {insecure: x}", "c.conf:1:5: error parsing tls config, expected 'insecure' to be a boolean\n"},
    {"tls {verify_and_map: 1}",
     "c.conf:1:5: error parsing tls config, expected 'verify_and_map' to be a boolean\n"},
    {"tls {verify_cert_and_check_known_urls: true}",
     "c.conf:1:5: verify_cert_and_check_known_urls not supported in this context\n"},
    {"tls {timeout: true}", "c.conf:1:5: error parsing tls config, 'timeout' wrong type\n"},
    {"tls {timeout: x}", "c.conf:1:5: error parsing tls config, 'timeout' time: invalid duration \"x\"\n"},
    {"tls {timeout: -1}",
     "c.conf:1:5: error parsing tls config, 'timeout' must be from 0 to 9000000000 seconds\n"},
    {"tls {cipher_suites: x}",
     "c.conf:1:5: interface conversion: interface {} is string, not []interface {}\n"},
    {"tls {cipher_suites: []}", "c.conf:1:5: error parsing tls config, 'cipher_suites' cannot be empty\n"},
    {"tls {cipher_suites: [XX]}", "c.conf:1:21: unrecognized cipher XX\n"},
    {"tls {cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA, TLS_RSA_WITH_RC4_128_SHA]}",
     "c.conf:1:0: insecure cipher suites configured without 'allow_insecure_cipher_suites' option set: "
     "TLS_RSA_WITH_AES_128_CBC_SHA, TLS_RSA_WITH_RC4_128_SHA\n"},
    {"tls {curve_preferences: []}",
     "c.conf:1:5: error parsing tls config, 'curve_preferences' cannot be empty\n"},
    {"tls {curve_preferences: [XX]}", "c.conf:1:25: unrecognized curve preference XX\n"},
    {"tls {min_version: \"1.1\"}",
     "c.conf:1:5: error parsing tls config: unsupported TLS version: TLS 1.1\n"},
    {"tls {min_version: \"2\"}", "c.conf:1:5: error parsing tls config: unknown version: 2\n"},
    {"tls {pinned_certs: 5}", "c.conf:1:5: error parsing tls config, expected 'pinned_certs' to be a list of "
                              "hex-encoded sha256 of DER encoded "
                              "SubjectPublicKeyInfo\n"},
    {"tls {pinned_certs: [\"xx\"]}", "c.conf:1:21: error parsing tls config, 'pinned_certs' key xx does not "
                                     "look like hex-encoded sha256 of DER encoded "
                                     "SubjectPublicKeyInfo\n"},
    {"tls {connection_rate_limit: x}",
     "c.conf:1:5: error parsing tls config, 'connection_rate_limit' wrong type\n"},
    {"tls {handshake_first: 5}",
     "c.conf:1:5: field \"handshake_first\" should be a boolean or a string, got int64\n"},
    {"tls {first: bla}", "c.conf:1:5: field \"first\"'s value \"bla\" is invalid\n"},
    {"tls {ocsp_peer: true}",
     "c.conf:1:0: OCSP peer verification for client connections requires TLS verify (mTLS) to be enabled\n"},
    {"tls {ocsp_peer: 5}", "c.conf:1:5: error parsing ocsp peer config: unsupported type int64\n"},
    {"tls {ocsp_peer {x: 5}}", "c.conf:1:16: error parsing tls peer config, unknown field [\"x\"]\n"},
    {"tls {cert_store: x}", "c.conf:1:5: cert store type not implemented\n"},
    {"tls {cert_match: x}", "c.conf:1:5: cert match by type not implemented\n"},
    {"tls {certs: 5}", "c.conf:1:5: error parsing certificates config: unsupported type int64\n"},
    {"tls {certs: [{cert_file: ^}]}", "c.conf:1:14: error parsing certificates config: both 'cert_file' and "
                                      "'cert_key' options are required\n"},
    {"tls {cert_file: ^, key_file: &, certs: [{cert_file: ^, key_file: &}]}",
     "c.conf:1:0: error parsing tls config, cannot combine 'cert_file' option with 'certs' option\n"},
    {"tls {verify: optional, verify_and_map: true}",
     "c.conf:1:0: error parsing tls config, cannot combine 'verify: optional' with options requiring client "
     "certificates\n"},
    {"allow_non_tls: 5", "c.conf:1:0: interface conversion: interface {} is int64, not bool\n"},
};

Test(tls_options, a_wrong_block_is_refused_with_nats_servers_sentence)
{
    struct certificates all;
    certificates_open(&all);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct options_outcome outcome;
        cr_expect_null(load_block(&all, wrong[i].block, &outcome), "%s", wrong[i].block);
        const char *error = config_text_string(&outcome.err);
        cr_expect(strncmp(error, "myelin: ", 8) == 0 &&
                      strncmp(error + 8, wrong[i].error, strlen(wrong[i].error)) == 0,
                  "%s\n%s", wrong[i].block, error);
        options_outcome_close(&outcome);
    }
    certificates_close(&all);
}

Test(tls_options, a_block_is_read_as_it_was_written)
{
    struct certificates all;
    struct options_outcome outcome;
    certificates_open(&all);
    struct server_options *o = load_block(
        &all,
        "allow_non_tls: true\n"
        "tls {cert_file: ^, key_file: &, ca_file: %, verify_and_map: true, timeout: 0.5, handshake_first: "
        "auto,\n"
        " min_version: \"1.3\", connection_rate_limit: 7, curve_preferences: [CurveP256, X25519],\n"
        " cipher_suites: [TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, TLS_AES_128_GCM_SHA256],\n"
        " pinned_certs: [\"FF00000000000000000000000000000000000000000000000000000000000000\",\n"
        "                \"0a00000000000000000000000000000000000000000000000000000000000001\"]}\n",
        &outcome);
    cr_assert_not_null(o, "%s", config_text_string(&outcome.err));
    const struct tls_options *tls = &o->net.tls;
    cr_expect(tls->on && tls->verify && tls->map && tls->first && tls->tls13_only && o->net.allow_non_tls);
    cr_expect_eq(tls_options_timeout_ns(tls), 500000000);
    cr_expect_eq(tls->first_wait_ns, TLS_FIRST_AUTO_NS);
    cr_expect_eq(tls->rate_limit, 7);
    cr_expect_str_eq(tls->groups, "P-256:X25519");
    cr_expect_str_eq(tls->suites, "ECDHE-RSA-AES256-GCM-SHA384");
    cr_expect_not_null(tls->context);
    cr_expect_eq(o->security.timeout_ns, 1500000000, "a second more than the handshake has");
    static const uint8_t listed[TLS_PIN_BYTES] = {0xff}, other[TLS_PIN_BYTES] = {0xfe};
    uint8_t second[TLS_PIN_BYTES] = {0x0a};
    second[TLS_PIN_BYTES - 1] = 1;
    cr_expect(tls_options_pinned(tls, listed) && tls_options_pinned(tls, second) &&
              !tls_options_pinned(tls, other));
    server_options_free(o);
    options_outcome_close(&outcome);
    certificates_close(&all);
}

Test(tls_options, a_context_tells_when_its_first_certificate_ends)
{
    struct certificates all;
    struct options_outcome outcome;
    certificates_open(&all);
    struct server_options *o = load_block(&all, "tls {cert_file: ^, key_file: &}", &outcome);
    cr_assert_not_null(o, "%s", config_text_string(&outcome.err));
    int64_t seconds = tls_context_valid_until_seconds(o->net.tls.context);
    ASN1_TIME *at = ASN1_TIME_set(NULL, (time_t)seconds);
    cr_assert_not_null(at);
    cr_expect_eq(ASN1_TIME_compare(at, X509_get0_notAfter(all.server.certificate)), 0);
    ASN1_TIME_free(at);
    cr_expect_eq(tls_context_valid_until_seconds(NULL), 0);
    server_options_free(o);
    options_outcome_close(&outcome);
    certificates_close(&all);
}

Test(tls_options, users_by_certificate_need_one_whatever_else_is_said)
{
    struct certificates all;
    struct options_outcome outcome;
    certificates_open(&all);
    struct server_options *o =
        load_block(&all, "tls {cert_file: ^, key_file: &, verify_and_map: true, verify: false}", &outcome);
    cr_assert_not_null(o, "%s", config_text_string(&outcome.err));
    cr_expect(o->net.tls.map && o->net.tls.verify);
    server_options_free(o);
    options_outcome_close(&outcome);
    certificates_close(&all);
}

Test(tls_options, words_for_handshake_first)
{
    static const struct {
        const char *word;
        bool first;
        int64_t wait_ns;
    } rows[] = {{"true", true, 0},
                {"\"on\"", true, 0},
                {"\"off\"", false, 0},
                {"false", false, 0},
                {"auto_fallback", true, 50000000},
                {"\"300ms\"", true, 300000000}};
    struct certificates all;
    certificates_open(&all);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char block[256];
        struct options_outcome outcome;
        snprintf(block, sizeof block, "tls {cert_file: ^, key_file: &, immediate: %s}", rows[i].word);
        struct server_options *o = load_block(&all, block, &outcome);
        cr_assert_not_null(o, "%s", config_text_string(&outcome.err));
        cr_expect_eq(o->net.tls.first, rows[i].first, "%s", rows[i].word);
        cr_expect_eq(o->net.tls.first_wait_ns, rows[i].wait_ns, "%s", rows[i].word);
        server_options_free(o);
        options_outcome_close(&outcome);
    }
    certificates_close(&all);
}

Test(tls_options, flags_replace_the_files_certificates_and_nothing_else)
{
    struct certificates all;
    struct options_outcome outcome;
    char file[1024];
    certificates_open(&all);
    fill_in(&all, "tls {cert_file: ^, key_file: &, verify: true, ca_file: %, timeout: 9}", file, sizeof file);
    char *with[] = {
        "myelin", "-c", "c.conf", "--tlscert", all.client.cert_file, "--tlskey", all.client.key_file, NULL};
    struct server_options *o = load(7, with, file, &outcome);
    cr_assert_not_null(o, "%s", config_text_string(&outcome.err));
    cr_expect_str_eq(o->net.tls.pairs[0].cert_file, all.client.cert_file);
    cr_expect(o->net.tls.on && !o->net.tls.verify && o->net.tls.ca_file == NULL);
    cr_expect_eq(tls_options_timeout_ns(&o->net.tls), INT64_C(9000000000));
    server_options_free(o);
    options_outcome_close(&outcome);
    char *off[] = {"myelin", "-c", "c.conf", "--tls=false", NULL};
    o = load(4, off, file, &outcome);
    cr_assert_not_null(o, "%s", config_text_string(&outcome.err));
    cr_expect(!o->net.tls.on && o->net.tls.context == NULL);
    server_options_free(o);
    options_outcome_close(&outcome);
    certificates_close(&all);
}

Test(tls_options, flags_that_are_not_enough_are_refused)
{
    static char *const rows[][6] = {
        {"myelin", "--tls"},
        {"myelin", "--tls", "--tlscert", "x"},
        {"myelin", "--tlscert", "/no", "--tlskey", "/no"},
        {"myelin", "--tls=false", "--tlsverify"},
    };
    static const char *const errors[] = {
        "myelin: TLS Server certificate must be present and valid\n",
        "myelin: TLS Server private key must be present and valid\n",
        "myelin: error parsing X509 certificate/key pair: open /no: no such file or directory\n",
        "myelin: TLS is disabled by --tls=false, but another TLS flag asks for it\n",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct options_outcome outcome;
        int argc = 0;
        while (argc < 6 && rows[i][argc] != NULL)
            argc++;
        cr_expect_null(load(argc, rows[i], "", &outcome));
        cr_expect_str_eq(config_text_string(&outcome.err), errors[i]);
        cr_expect_eq(outcome.exit_code, 1);
        options_outcome_close(&outcome);
    }
}

static void expect_reload(const struct certificates *all, const char *before, const char *after,
                          const char *lines, const char *refusal)
{
    static char *const argv[] = {"myelin", "-c", "c.conf", NULL};
    struct options_outcome outcome;
    struct server_options *fresh = NULL;
    struct option_changes changes;
    char file[2048];
    struct server_options *old = load_block(all, before, &outcome);
    cr_assert_not_null(old, "%s", config_text_string(&outcome.err));
    fill_in(all, after, file, sizeof file);
    struct config_source source = {.read = read_file, .context = file};
    enum err err = server_options_reload_from(old, 3, argv, &source, &fresh, &changes);
    cr_expect_eq(err == ERR_OK, refusal == NULL, "%s", config_text_string(&changes.refusal));
    if (refusal != NULL)
        cr_expect(strstr(config_text_string(&changes.refusal), refusal) != NULL, "%s",
                  config_text_string(&changes.refusal));
    else
        cr_expect(strncmp(config_text_string(&changes.lines), lines, strlen(lines)) == 0, "%s -> %s:\n%s",
                  before, after, config_text_string(&changes.lines));
    server_options_free(fresh);
    server_options_free(old);
    option_changes_close(&changes);
    options_outcome_close(&outcome);
}

Test(tls_options, a_reload_says_what_changed_or_refuses)
{
    struct certificates all;
    certificates_open(&all);
    const char *plain = "tls {cert_file: ^, key_file: &}";
    expect_reload(&all, plain, plain, "Reloaded: authorization users\n", NULL);
    expect_reload(&all, "port: 4222", plain, "Reloaded: tls = enabled\n", NULL);
    expect_reload(&all, plain, "port: 4222", "Reloaded: tls = disabled\n", NULL);
    expect_reload(&all, plain, "tls {cert_file: ^, key_file: &, verify: true, ca_file: %}",
                  "Reloaded: tls = enabled\n", NULL);
    expect_reload(&all, plain, "tls {cert_file: ^, key_file: &, timeout: 3}", "Reloaded: tls timeout = 3\n",
                  NULL);
    expect_reload(&all, plain, "tls {cert_file: ^, key_file: &, handshake_first: true}",
                  "Reloaded: Client TLS handshake first: true\n", NULL);
    expect_reload(&all, plain, "tls {cert_file: ^, key_file: &, connection_rate_limit: 3}", "",
                  "config reload not supported for TLSRateLimit: old=0, new=3");
    expect_reload(&all, plain, "tls {cert_file: ^, key_file: &, verify_and_map: true}", "",
                  "config reload not supported for TLSMap: old=false, new=true");
    expect_reload(&all, plain, "allow_non_tls: true\ntls {cert_file: ^, key_file: &}", "",
                  "config reload not supported for AllowNonTLS: old=false, new=true");
    expect_reload(&all, plain, "tls {cert_file: ^}", "", "missing 'key_file' in TLS configuration");
    certificates_close(&all);
}

/* The `tls` block of a file with nothing else in it, for that place. */
static const char *parse_for(const struct certificates *all, enum tls_place place, const char *block,
                             struct tls_options *options, struct arena *arena, struct option_errors *errors)
{
    static char file[4096];
    struct config_source source = {.read = read_file, .context = file};
    struct config_tree tree;
    struct config_text why = {0};
    fill_in(all, block, file, sizeof file);
    cr_assert_eq(parser_read(&tree, "c.conf", &source, &why), ERR_OK);
    tls_options_parse(options, place, tree.root->entries.first, arena, errors);
    config_tree_close(&tree);
    config_text_close(&why);
    return config_text_string(&errors->errors);
}

Test(tls_options, each_place_accepts_or_dials_as_it_must)
{
    static const struct {
        enum tls_place place;
        bool accepts, dials, verifies;
    } rows[] = {
        {TLS_FOR_CLIENTS, true, false, false}, {TLS_FOR_CLUSTER, true, true, true},
        {TLS_FOR_GATEWAY, true, true, true},   {TLS_FOR_LEAF, true, false, false},
        {TLS_FOR_REMOTE, false, true, false},
    };
    struct certificates all;
    certificates_open(&all);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tls_options options = {0};
        struct arena arena = {0};
        struct option_errors errors = {0};
        const char *error = parse_for(&all, rows[i].place, "tls {cert_file: ^, key_file: &, ca_file: %}",
                                      &options, &arena, &errors);
        cr_expect_str_eq(error, "", "row %zu", i);
        cr_expect_eq(options.context != NULL, rows[i].accepts, "row %zu", i);
        cr_expect_eq(options.dialler != NULL, rows[i].dials, "row %zu", i);
        cr_expect_eq(options.verify, rows[i].verifies, "row %zu", i);
        tls_options_close(&options);
        error = parse_for(&all, rows[i].place, "tls {verify_cert_and_check_known_urls: true}", &options,
                          &arena, &errors);
        cr_expect_eq(error[0] == 0, rows[i].verifies, "row %zu: %s", i, error);
        tls_options_close(&options);
        option_errors_close(&errors);
        arena_close(&arena);
    }
    certificates_close(&all);
}

Test(tls_options, names_of_suites_and_curves_are_exact)
{
    cr_expect_null(tls_suite_find(TEXT("tls_aes_128_gcm_sha256")));
    cr_expect_null(tls_suite_find(TEXT("")));
    cr_expect_str_eq(tls_suite_find(TEXT("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305"))->openssl,
                     tls_suite_find(TEXT("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"))->openssl);
    cr_expect_null(tls_curve_find(TEXT("P256")));
    cr_expect_str_eq(tls_curve_find(TEXT("CurveP521"))->openssl, "P-521");
}
