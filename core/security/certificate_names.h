/* core/security/certificate_names.h - the names that a client's certificate gives it, and which configured
 * user they mean: verify_and_map (spec/security.md 4.6). Pure data and pure code: the TLS layer takes the
 * names out of the first peer certificate, authenticate() asks for the user. In the flow:  TLS handshake ->
 * struct certificate_names -> struct credentials -> authenticate()
 *               -> certificate_user_find() (certificate_user.h)
 * At the bound: DN_ATTRIBUTES_MAX attributes; a longer subject or user name is no DN, and matches none.
 * Thread: any. */
#ifndef CORE_SECURITY_CERTIFICATE_NAMES_H
#define CORE_SECURITY_CERTIFICATE_NAMES_H

#include "core/base/bytes.h"
#include "core/base/language.h"

#include <stdint.h>

enum { DN_ATTRIBUTES_MAX = 64, DN_BYTES_MAX = 2048 };

/* One attribute of a distinguished name. */
struct dn_attribute {
    struct bytes type;  /* "CN", "O", "emailAddress"... in any case; the dotted OID when it has no name */
    struct bytes value; /* UTF-8 without escapes */
    uint32_t rdn; /* which relative name it belongs to, from 0, never falling; several with one number are one
                     multi-valued name */
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

/* A distinguished name, the most specific relative name first, as RFC 4514 writes it. */
struct dn {
    struct dn_attribute attributes[DN_ATTRIBUTES_MAX];
    uint32_t count;
    uint32_t rdn_count;
    size_t bytes_count;
    uint8_t bytes[DN_BYTES_MAX]; /* what the attributes of a parsed one point into */
};

/* Reads "CN=x,OU=a+OU=b"; blanks around types and values do not count unless escaped. False: it is no DN. Do
 * not copy the struct: its attributes point into it. */
MUST_USE bool dn_parse(struct dn *dn, struct bytes written);

/* The subject of a certificate. False: it has none, too much of it, or an attribute of a type that user names
 * are not compared by (CN, SERIALNUMBER, C, L, ST, STREET, O, OU, POSTALCODE and DC are). */
MUST_USE bool dn_of_subject(struct dn *dn, const struct certificate_names *names);

/* The same relative names, each the same set of attributes: types in any case, values to the byte. The order
 * counts, or not. */
bool dn_equal(const struct dn *a, const struct dn *b, bool any_order);

/* The same for names that are equal in any order. */
uint64_t dn_hash(const struct dn *dn);

/* The subject as "SERIALNUMBER=..,CN=..,POSTALCODE=..,STREET=..,ST=..,L=..,OU=..,O=..,C=..", what it has of
 * them, and with its DCs behind them if `with_dc`. Returns the bytes; 0: none, or more than fit. */
size_t certificate_subject_text(char *out, size_t capacity, const struct certificate_names *names,
                                bool with_dc);

/* Whether one of them is this one, to the byte: an e-mail address, a host name, a URI, or the subject as
 * text, with its DCs or without; not the subject in another writing. An empty one is none. This is how a
 * server of a cluster or of another one is known by its certificate (spec/security.md 4.7). */
bool certificate_names_have(const struct certificate_names *names, struct bytes wanted);

#endif
