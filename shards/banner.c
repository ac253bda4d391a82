/* shards/banner.c - see banner.h. */
#include "shards/banner.h"

#include "core/base/version.h"
#include "core/security/nkey.h"
#include "core/security/password.h"
#include "net/ocsp.h"

enum { PAYLOAD_ADVISED_BYTES_MAX = 8 * 1024 * 1024 };

static bool plain(struct bytes secret)
{
    return secret.count > 0 && !password_is_bcrypt(secret);
}

static bool plain_secrets(const struct security_options *security)
{
    for (const struct security_user *user = security->users.first; user != NULL; user = user->next) {
        if (plain(user->password))
            return true;
    }
    return plain(security->password) || plain(security->token);
}

void banner_start(struct log *log, const struct banner *banner, const struct server_options *options)
{
    log_notice(log, "Starting %s", banner->program);
    log_notice(log, "  Version:  %s", MYELIN_NATS_VERSION);
    log_notice(log, "  Git:      [not set]");
    log_notice(log, "  Name:     %s", banner->server_name);
    log_notice(log, "  ID:       %s", banner->server_id);
    log_notice(log, "  Myelin:   %s, %u shard%s", MYELIN_VERSION, banner->shards,
               banner->shards == 1 ? "" : "s");
    if (plain_secrets(&options->security))
        log_warning(log, "Plaintext passwords detected, use nkeys or bcrypt");
    banner_callout(log, &options->security);
    if (options->config_file != NULL)
        log_notice(log, "Using configuration file: %s (%s)", options->config_file, options->config_digest);
    if (options->net.max_payload_bytes > PAYLOAD_ADVISED_BYTES_MAX)
        log_warning(
            log,
            "Maximum payloads over 8.00 MB are generally discouraged and could lead to poor performance");
    banner_certificates(log, options);
}

void banner_callout(struct log *log, const struct security_options *security)
{
    const struct callout_options *callout = &security->callout;
    if (callout->given && callout->in == NULL)
        log_error(log, "Authorization callout account \"%.*s\" not valid", BYTES_PRINTF(callout->account));
    for (uint32_t i = 0; i < callout->user_count; i++) {
        struct bytes name = callout->users[i];
        if (!bytes_equal(name, security->user) && security_user_find(&security->users, name) == NULL &&
            security_user_find_nkey(&security->users, name) == NULL)
            log_error(log, "Authorization callout user \"%.*s\" not valid",
                      BYTES_PRINTF(nkey_may_be_seed(name) ? TEXT("xxxxx") : name));
    }
}

void banner_certificates(struct log *log, const struct server_options *options)
{
    const struct tls_options *all[] = {&options->net.tls, &options->cluster.tls, &options->gateway.tls};
    for (size_t i = 0; i < COUNT_OF(all); i++) {
        if (ocsp_disregarded(all[i], &options->net.ocsp))
            log_warning(log, "Certificate at '%s' has MustStaple but OCSP is disabled",
                        all[i]->pairs[0].cert_file);
    }
}

void banner_listening(struct log *log, const struct server_options *options, uint16_t port)
{
    const char *host = options->host;
    const struct tls_options *tls = &options->net.tls;
    bool six = false;
    for (const char *at = host; *at != 0; at++)
        six = six || *at == ':';
    log_notice(log,
               six ? "Listening for client connections on [%s]:%u"
                   : "Listening for client connections on %s:%u",
               host, port);
    if (!tls->on)
        return;
    log_notice(log, "TLS %s for client connections", options->net.allow_non_tls ? "available" : "required");
    if (tls->first && tls->first_wait_ns == 0)
        log_warning(log, "Clients that are not using \"TLS Handshake First\" option will fail to connect");
    if (tls->insecure)
        log_warning(log,
                    "TLS certificate chain and hostname will not be verified. DO NOT USE IN PRODUCTION!");
}

void banner_ready(struct log *log)
{
    log_notice(log, "Server is ready");
}
