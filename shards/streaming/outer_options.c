/* shards/streaming/outer_options.c - see outer_options.h. */
#include "shards/streaming/outer_options.h"

#include "core/security/options.h"
#include "shards/control/outer.h"

#define FIELD(field) INTO(struct streaming_outer_options, field)

static const struct option tls_rows[] = {
    {.name = "client_cert", .kind = OPTION_TEXT, .offset = FIELD(tls_cert)},
    {.name = "client_key", .kind = OPTION_TEXT, .offset = FIELD(tls_key)},
    {.name = "client_ca", .aliases = "client_cacert", .kind = OPTION_TEXT, .offset = FIELD(tls_ca)},
    {.name = "server_name", .aliases = "server_hostname", .kind = OPTION_TEXT, .offset = FIELD(tls_host)},
    {.name = "skip_verify", .aliases = "insecure", .kind = OPTION_BOOL, .offset = FIELD(tls_insecure)},
};

const struct option *streaming_outer_tls_rows(size_t *count)
{
    *count = COUNT_OF(tls_rows);
    return tls_rows;
}

static struct bytes either(struct bytes first, const char *second)
{
    return first.count > 0 || second == NULL ? first : text(second);
}

void streaming_outer_setup(const struct streaming_outer_options *options, const char *username,
                           const struct security_options *security, const char *name,
                           struct outer_setup *setup)
{
    *setup = (struct outer_setup){
        .urls = options->urls,
        .identity = {.name = name,
                     .user = either(security->user, username),
                     .password = either(security->password, options->password),
                     .token = either(security->token, options->token),
                     .credentials_file = options->credentials_file,
                     .seed_file = options->seed_file},
        .tls = {.ca_file = options->tls_ca,
                .insecure = options->tls_insecure,
                .on = options->secure || options->tls_ca != NULL || options->tls_cert != NULL ||
                      options->tls_insecure || options->tls_host != NULL},
        .tls_host = options->tls_host,
        .pair = {.cert_file = options->tls_cert, .key_file = options->tls_key},
    };
}
