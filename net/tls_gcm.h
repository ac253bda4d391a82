/* net/tls_gcm.h - AES-GCM for TLS by libipsec-mb, where that is faster than OpenSSL's own: OpenSSL 3.0
 * (Debian 12) does not use the wide registers of processors with VAES, 3.1 and later do. In the flow:
 *   tls_context_new() -> tls_gcm_offer() -> OpenSSL's TLS fetches its ciphers with TLS_GCM_QUERY
 * It is a provider inside of OpenSSL's default library context, so the TLS of OpenSSL stays what speaks the
 * protocol, and sees one cipher that is quicker. Built where the library is (Debian has it for amd64).
 * Thread: tls_gcm_offer() the control core's; the ciphers anybody's, each context one thread's. */
#ifndef NET_TLS_GCM_H
#define NET_TLS_GCM_H

#include <stdbool.h>

/* What SSL_CTX_new_ex() is to prefer; without the provider it changes nothing. */
#define TLS_GCM_QUERY "?provider=myelin-gcm"

/* Makes the ciphers known to OpenSSL, once for the process's life; again it does nothing. False: OpenSSL's
 * own are as good or better here, or memory is out; TLS works all the same. */
bool tls_gcm_offer(void);

/* The same whatever OpenSSL's version: for tests. False: the processor has no VAES with AVX-512. */
bool tls_gcm_offer_always(void);

#endif
