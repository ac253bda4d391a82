/* net/ocsp.c - see ocsp.h. */
#include "net/ocsp.h"

#include "net/tls_context.h"

static void parse_mode(int *mode, const struct config_entry *entry, struct option_errors *errors)
{
    static const struct {
        const char *name;
        enum ocsp_mode mode;
    } modes[] = {{"auto", OCSP_AUTO}, {"must", OCSP_MUST}, {"never", OCSP_NEVER}};
    if (!option_want(errors, entry, CONFIG_STRING))
        return;
    for (size_t i = 0; i < COUNT_OF(modes); i++) {
        if (config_name_equal(entry->value->string, modes[i].name)) {
            *mode = (int)modes[i].mode;
            return;
        }
    }
    if (config_name_equal(entry->value->string, "always"))
        option_fail(errors, entry->position,
                    "ocsp mode \"always\" is not supported by this version of Myelin: it staples nothing");
    else
        option_fail(errors, entry->position, "error parsing ocsp config: unsupported ocsp mode string");
}

/* The address of a responder is read, and nobody is asked. nats-server takes no list, whatever it says. */
static void parse_key(int *mode, const struct config_entry *entry, struct option_errors *errors)
{
    if (bytes_equal(entry->key, TEXT("mode")))
        parse_mode(mode, entry, errors);
    else if (bytes_equal(entry->key, TEXT("urls")))
        option_fail(errors, entry->position, "interface conversion: interface {} is %s, not []string",
                    config_type_name(entry->value));
    else if (!bytes_equal(entry->key, TEXT("url")))
        option_fail(errors, entry->position, "error parsing ocsp config: unsupported field string");
    else if (!option_want(errors, entry, CONFIG_STRING))
        return; /* it has been noted */
}

void ocsp_mode_parse(int *mode, const struct config_entry *entry, struct option_errors *errors)
{
    const struct config_value *value = entry->value;
    if (value->kind == CONFIG_BOOL) {
        *mode = value->boolean ? OCSP_AUTO : OCSP_NEVER;
        return;
    }
    if (value->kind != CONFIG_MAP) {
        option_fail(errors, entry->position, "error parsing ocsp config: unsupported type %s",
                    config_type_name(value));
        return;
    }
    *mode = OCSP_AUTO;
    for (const struct config_entry *item = value->entries.first; item != NULL; item = item->next)
        parse_key(mode, item, errors);
}

bool ocsp_check(const struct tls_options *tls, int mode, struct config_text *why)
{
    if (mode == OCSP_NEVER || !tls_context_must_staple(tls->context))
        return true;
    config_text_add(why,
                    "certificate at '%s' has MustStaple, and this version of Myelin staples nothing; "
                    "\"ocsp: false\" serves it without",
                    tls->pairs[0].cert_file);
    return false;
}

bool ocsp_disregarded(const struct tls_options *tls, int mode)
{
    return mode == OCSP_NEVER && tls_context_must_staple(tls->context);
}
