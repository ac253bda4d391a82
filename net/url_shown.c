/* net/url_shown.c - see url_shown.h. The end of a login is the last @ of all, whatever stands before it: in a
 * wrong URL nothing else is certain, and rather too much is hidden than a letter too few. */
#include "net/url_shown.h"

#include <stdio.h>
#include <string.h>

bool url_is_scheme(struct bytes word)
{
    for (size_t i = 0; i < word.count; i++) {
        uint8_t c = word.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && c != '+' && c != '-' && c != '.')
            return false;
    }
    return word.count > 0;
}

/* The bytes of the scheme with its `://`; 0: it has none. */
static size_t scheme_bytes(struct bytes url)
{
    const uint8_t *end = url.count < 3 ? NULL : memmem(url.data, url.count, "://", 3);
    if (end == NULL || !url_is_scheme(bytes_of(url.data, (size_t)(end - url.data))))
        return 0;
    return (size_t)(end - url.data) + 3;
}

/* The first colon that is not within brackets; NULL: none. */
static const uint8_t *colon_find(struct bytes rest)
{
    const uint8_t *from = rest.data;
    if (rest.count == 0)
        return NULL;
    if (rest.data[0] == '[') {
        const uint8_t *bracket = memchr(rest.data, ']', rest.count);
        from = bracket == NULL ? from : bracket;
    }
    return memchr(from, ':', rest.count - (size_t)(from - rest.data));
}

static bool may_be_port(struct bytes behind)
{
    for (size_t i = 0; i < behind.count; i++) {
        if (memchr("0123456789:-/", behind.data[i], 13) == NULL)
            return false;
    }
    return true;
}

struct url_shown url_shown(struct bytes url)
{
    struct url_shown shown = {""};
    if (url.count == 0)
        return shown;
    size_t start = scheme_bytes(url);
    struct bytes rest = bytes_of(url.data + start, url.count - start);
    const uint8_t *at = rest.count == 0 ? NULL : memrchr(rest.data, '@', rest.count);
    struct bytes login = bytes_of(rest.data, at == NULL ? 0 : (size_t)(at - rest.data));
    const uint8_t *colon = login.count > 0 ? memchr(login.data, ':', login.count)
                           : at != NULL    ? NULL
                                           : colon_find(rest);
    size_t kept = colon == NULL ? 0 : (size_t)(colon - rest.data) + 1;
    if (at == NULL && (colon == NULL || may_be_port(bytes_of(rest.data + kept, rest.count - kept))))
        snprintf(shown.text, sizeof shown.text, "%.*s", BYTES_PRINTF(url));
    else
        snprintf(shown.text, sizeof shown.text, "%.*s" URL_SECRET "%.*s", (int)(start + kept),
                 (const char *)url.data,
                 BYTES_PRINTF(bytes_of(at, at == NULL ? 0 : rest.count - login.count)));
    return shown;
}

struct url_shown url_shown_good(const char *url)
{
    struct url_shown shown;
    if (strchr(url, '@') != NULL)
        return url_shown(text(url));
    snprintf(shown.text, sizeof shown.text, "%s", url);
    return shown;
}
