/* net/url_shown.h - an URL for log lines and error texts, without the secret in its login. Good URLs have a
 * text of their own (struct route_url); this is for those that could not be read, whose parts are nowhere
 * yet. In the flow:  a wrong URL in the file, on the command line -> url_shown() -> option_fail(),
 * config_text_add() */
#ifndef NET_URL_SHOWN_H
#define NET_URL_SHOWN_H

#include "core/base/bytes.h"

#define URL_SECRET "xxxxx" /* as nats-server shows a password where it hides one */

enum { URL_SHOWN_BYTES = 1024 }; /* a longer one is cut: it is for people */

struct url_shown {
    char text[URL_SHOWN_BYTES];
};

/* Hides the password, or a login that is one word (a token). Where no login ends, what follows the first
 * colon is hidden too unless it can be a port: a password with a comma or a slash may have been torn. Takes
 * any bytes. Thread: any. */
struct url_shown url_shown(struct bytes url);

/* Of one that is known to be good: as it is, unless there is a login in it. */
struct url_shown url_shown_good(const char *url);

/* Whether all of it can be an URL's scheme: no login hides in it. */
bool url_is_scheme(struct bytes word);

#endif
