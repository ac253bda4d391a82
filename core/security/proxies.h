/* core/security/proxies.h - proxies that are trusted: `proxies { trusted: [ {key: ...} ] }` (spec/security.md
 * 1.9). A proxy signs the nonce of the INFO that it was given in its client's place, and adds its signature
 * to the client's CONNECT; whose user is `proxy_required` comes in no other way. In the flow:  the row ->
 * trusted_proxies_parse() -> snapshot; authenticate() -> trusted_proxies_find() At the bound:
 * PROXIES_TRUSTED_MAX keys, one more is an error in the file. All of it lies in the snapshot's arena. Thread:
 * the control core until the snapshot is handed out, then any, to read. */
#ifndef CORE_SECURITY_PROXIES_H
#define CORE_SECURITY_PROXIES_H

#include "core/base/bytes.h"
#include "core/config/option.h"
#include "core/security/nkey.h"

/* Whoever connects can have all keys tried with one wrong signature, on a shard's thread: with this many it
 * takes some milliseconds. */
enum { PROXIES_TRUSTED_MAX = 32 };

struct trusted_proxy {
    struct bytes key; /* its public NKey's text, of any type that signs */
    uint8_t raw[NKEY_RAW_BYTES];
};

/* All zero: the block is not there. */
struct trusted_proxies {
    struct trusted_proxy *at;
    uint32_t count;
    bool given; /* the block is there, perhaps without any key */
};

/* Reads the block's value. What is wrong is noted in `errors`; a seed is not shown. */
void trusted_proxies_parse(struct trusted_proxies *proxies, const struct config_entry *entry,
                           struct arena *arena, struct option_errors *errors);

/* The first proxy whose signature of the nonce that is, in base64url without padding. NULL: nobody's; `*why`
 * is then a sentence for the debug log. Cost: a tenth of a millisecond for each key that is tried. */
MUST_USE const struct trusted_proxy *trusted_proxies_find(const struct trusted_proxies *proxies,
                                                          struct bytes nonce, struct bytes signature,
                                                          const char **why);

/* The same key in another snapshot, or NULL: it is trusted no more. `proxy` may be NULL: it came without. */
const struct trusted_proxy *trusted_proxies_again(const struct trusted_proxies *proxies,
                                                  const struct trusted_proxy *proxy);

/* Notes which keys were removed and which were added. */
void trusted_proxies_compare(const struct trusted_proxies *before, const struct trusted_proxies *after,
                             struct option_changes *changes);

#endif
