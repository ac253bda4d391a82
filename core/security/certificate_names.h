/* core/security/certificate_names.h - the names that a client's certificate gives it, and which configured
 * user they mean: verify_and_map (spec/security.md 4.6). Pure data and pure code: the TLS layer takes the
 * names out of the first peer certificate, authenticate() asks for the user. In the flow:  TLS handshake ->
 * struct certificate_names -> struct credentials -> authenticate()
 *               -> certificate_user_find()
 * At the bound: DN_ATTRIBUTES_MAX attributes; a longer subject or user name is no DN, and matches none.
 * Thread: any. */
#ifndef CORE_SECURITY_CERTIFICATE_NAMES_H
#define CORE_SECURITY_CERTIFICATE_NAMES_H

#include "core/base/bytes.h"

#include <stdint.h>

enum { DN_ATTRIBUTES_MAX = 64 };

/* One attribute of a distinguished name. */
struct dn_attribute {
    struct bytes type;  /* "CN", "O", "emailAddress"... in any case; the dotted OID when it has no name */
    struct bytes value; /* UTF-8 without escapes */
    uint32_t rdn; /* which relative name it belongs to, from 0 in the order of the certificate (DER) or text;
                     several attributes with the same number are one multi-valued name */
};

/* What one certificate says. All bytes are the caller's; names with a zero byte inside must be left out. */
struct certificate_names {
    const struct bytes *emails; /* rfc822 SANs, in the order of the certificate; likewise below */
    const struct bytes *hosts;  /* DNS SANs */
    const struct bytes *uris;
    const struct dn_attribute *subject; /* in the order of the DER */
    uint32_t email_count;
    uint32_t host_count;
    uint32_t uri_count;
    uint32_t subject_count;
};

#endif
