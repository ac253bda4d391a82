/* net/tls_ocsp.h - OpenSSL's part of OCSP (RFC 6960): the question about a certificate, and whether a
 * responder's bytes answer it. Plain bytes in and out, no socket and no clock but for the dates of a signer's
 * certificate. In the flow:
 *   tls_ocsp_request() -> responder_ask() -> tls_ocsp_judge() -> a staple, or a verdict about a peer
 * At the bound: a response above OCSP_RESPONSE_BYTES_MAX is not read. Thread: any. */
#ifndef NET_TLS_OCSP_H
#define NET_TLS_OCSP_H

#include "core/base/arena.h"
#include "net/ocsp.h"

/* With the signer's certificate and keys of 4096 bits it is 4 KiB. */
enum { OCSP_RESPONSE_BYTES_MAX = 64 * 1024, OCSP_FINGERPRINT_BYTES = 32 };

/* A certificate and who has issued it, as DER. */
struct ocsp_link {
    struct bytes certificate;
    struct bytes issuer;
};

/* The question, as DER in the arena; empty: no memory, or these are no certificates. */
struct bytes tls_ocsp_request(const struct ocsp_link *link, struct arena *arena);

enum ocsp_judgement {
    OCSP_ANSWERED,
    OCSP_UNREADABLE,     /* no answer about this certificate that its issuer, or who may for it, has signed */
    OCSP_BAD_DELEGATION, /* signed by somebody whom the issuer certified for other things */
};

/* Who has signed may be the issuer itself, or one with a certificate by it for OCSP signing, which must be in
 * the response. Whether the answer holds now is not asked here. On anything but OCSP_ANSWERED `why` says what
 * is wrong with the response. */
enum ocsp_judgement tls_ocsp_judge(struct bytes response, const struct ocsp_link *link,
                                   struct ocsp_answer *answer, char *why, size_t why_bytes);

/* The http and https addresses of responders that a certificate names, in its order; into the arena. How
 * many; at most OCSP_URLS_MAX. */
uint32_t tls_ocsp_urls(struct bytes certificate, const char *urls[OCSP_URLS_MAX], struct arena *arena);

/* SHA-256 of the certificate. False: OpenSSL cannot. */
MUST_USE bool tls_ocsp_fingerprint(struct bytes certificate, uint8_t digest[OCSP_FINGERPRINT_BYTES]);

#endif
