/* core/security/certificate_user.c - see certificate_user.h: the steps in nats-server's order. */
#include "core/security/certificate_user.h"

enum { SUBJECT_BYTES_MAX = 4096 };

static const struct security_user *named(const struct security_users *users, struct bytes name,
                                         enum connection_type type)
{
    const struct security_user *user = name.count == 0 ? NULL : security_user_find(users, name);
    return user != NULL && security_user_may_connect(user, type) ? user : NULL;
}

static const struct security_user *any_named(const struct security_users *users, const struct bytes *names,
                                             uint32_t count, enum connection_type type)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct security_user *user = named(users, names[i], type);
        if (user != NULL)
            return user;
    }
    return NULL;
}

static const struct security_user *subject_named(const struct security_users *users,
                                                 const struct certificate_names *names,
                                                 enum connection_type type, bool with_dc)
{
    char subject[SUBJECT_BYTES_MAX]; /* a longer one names nobody */
    size_t count = certificate_subject_text(subject, sizeof subject, names, with_dc);
    return named(users, bytes_of(subject, count), type);
}

const struct security_user *certificate_user_find(const struct security_users *users,
                                                  const struct certificate_names *names,
                                                  enum connection_type type, const char **how)
{
    const struct security_user *user;
    struct dn subject;
    *how = "Using email found in cert for auth";
    if ((user = any_named(users, names->emails, names->email_count, type)) != NULL)
        return user;
    *how = "Using SAN found in cert for auth";
    if ((user = any_named(users, names->hosts, names->host_count, type)) != NULL)
        return user;
    *how = "Using URI found in cert for auth";
    if ((user = any_named(users, names->uris, names->uri_count, type)) != NULL)
        return user;
    *how = "Using DistinguishedNameMatch for auth";
    if (dn_of_subject(&subject, names) && (user = security_user_find_dn(users, &subject, type)) != NULL)
        return user;
    *how = "Using RDNSequence for auth";
    if ((user = subject_named(users, names, type, true)) != NULL)
        return user;
    *how = "Using certificate subject for auth";
    return subject_named(users, names, type, false);
}
