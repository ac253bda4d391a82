/* core/security/certificate_user.h - which configured user a client's certificate means: verify_and_map
 * (spec/security.md 4.6). Place in the flow: certificate_names.h. Thread: any; cost: a look-up for each name
 * in the certificate. */
#ifndef CORE_SECURITY_CERTIFICATE_USER_H
#define CORE_SECURITY_CERTIFICATE_USER_H

#include "core/security/certificate_names.h"
#include "core/security/user.h"

/* The first of the certificate's names that is a user's who may connect in this way: e-mail addresses, host
 * names, URIs, the subject as a DN, the subject as text. NULL: none is. `how` says for the log by what. */
const struct security_user *certificate_user_find(const struct security_users *users,
                                                  const struct certificate_names *names,
                                                  enum connection_type type, const char **how);

#endif
