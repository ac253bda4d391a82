/* net/tls_names.c - a certificate's names as plain data (core/security/certificate_names.h): subject
 * alternative names and the subject in the order of its DER. Names with a zero byte inside are left out:
 * nothing a person configured can mean them. */
#include "net/tls_internal.h"

#include "core/base/memory.h"
#include "net/tls_stream.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { SAN_KINDS = 3, OID_BYTES = 80 };

/* nats-server's names where OpenSSL's short ones differ. */
static const struct {
    int nid;
    const char *name;
} types[] = {
    {NID_serialNumber, "SERIALNUMBER"},
    {NID_streetAddress, "STREET"},
    {NID_postalCode, "POSTALCODE"},
    {NID_domainComponent, "DC"},
};

static bool usable(const uint8_t *data, int count)
{
    return count > 0 && memchr(data, 0, (size_t)count) == NULL;
}

/* Which list a name goes to; -1: none. */
static int kind_of(const GENERAL_NAME *name)
{
    switch (name->type) {
    case GEN_EMAIL:
        return 0;
    case GEN_DNS:
        return 1;
    case GEN_URI:
        return 2;
    default:
        return -1;
    }
}

static enum err take_alternatives(const GENERAL_NAMES *all, struct certificate_names *names,
                                  struct arena *arena)
{
    struct bytes *lists[SAN_KINDS];
    uint32_t counts[SAN_KINDS] = {0};
    int total = sk_GENERAL_NAME_num(all);
    for (int kind = 0; kind < SAN_KINDS; kind++) {
        lists[kind] = arena_new(arena, (size_t)total * sizeof(struct bytes) + 1);
        if (lists[kind] == NULL)
            return ERR_MEMORY;
    }
    for (int i = 0; i < total; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);
        int kind = kind_of(name);
        if (kind < 0)
            continue;
        const uint8_t *data = ASN1_STRING_get0_data(name->d.ia5);
        int count = ASN1_STRING_length(name->d.ia5);
        if (!usable(data, count))
            continue;
        char *copy = arena_copy(arena, bytes_of(data, (size_t)count));
        if (copy == NULL)
            return ERR_MEMORY;
        lists[kind][counts[kind]++] = bytes_of(copy, (size_t)count);
    }
    names->emails = lists[0], names->email_count = counts[0];
    names->hosts = lists[1], names->host_count = counts[1];
    names->uris = lists[2], names->uri_count = counts[2];
    return ERR_OK;
}

static struct bytes type_of(const ASN1_OBJECT *object, struct arena *arena)
{
    char dotted[OID_BYTES];
    int nid = OBJ_obj2nid(object);
    const char *name = nid == NID_undef ? NULL : OBJ_nid2sn(nid);
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        if (types[i].nid == nid)
            name = types[i].name;
    }
    if (name != NULL)
        return text(name); /* OpenSSL's tables live as long as the process */
    int count = OBJ_obj2txt(dotted, sizeof dotted, object, 1);
    if (count <= 0 || count >= OID_BYTES)
        return TEXT("?");
    const char *copy = arena_copy(arena, bytes_of(dotted, (size_t)count));
    return copy == NULL ? TEXT("?") : bytes_of(copy, (size_t)count);
}

static enum err take_subject(const X509_NAME *subject, struct certificate_names *names, struct arena *arena)
{
    int total = X509_NAME_entry_count(subject);
    struct dn_attribute *list = arena_new(arena, (size_t)total * sizeof *list + 1);
    uint32_t used = 0;
    if (list == NULL)
        return ERR_MEMORY;
    for (int i = 0; i < total; i++) {
        const X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);
        uint8_t *utf8 = NULL;
        int count = ASN1_STRING_to_UTF8(&utf8, X509_NAME_ENTRY_get_data(entry));
        struct dn_attribute attribute = {.type = type_of(X509_NAME_ENTRY_get_object(entry), arena),
                                         .rdn = (uint32_t)X509_NAME_ENTRY_set(entry)};
        char *copy = NULL;
        bool whole = count >= 0 && (count == 0 || memchr(utf8, 0, (size_t)count) == NULL);
        if (whole)
            copy = arena_copy(arena, bytes_of(utf8, (size_t)count));
        OPENSSL_free(utf8);
        if (!whole) { /* it must not become the name that is left when this part is left out */
            names->subject_count = 0;
            return ERR_OK;
        }
        if (copy == NULL)
            return ERR_MEMORY;
        attribute.value = bytes_of(copy, (size_t)count);
        list[used++] = attribute;
    }
    names->subject = list;
    names->subject_count = used;
    return ERR_OK;
}

enum err tls_names_take(const X509 *certificate, struct certificate_names *names, struct arena *arena)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    enum err err = ERR_OK;
    if (all != NULL)
        err = take_alternatives(all, names, arena);
    GENERAL_NAMES_free(all);
    return err == ERR_OK ? take_subject(X509_get_subject_name(certificate), names, arena) : err;
}

/* The first label, taken off the front. False: there is none left. */
static bool label_take(struct bytes *from, struct bytes *label)
{
    if (from->data == NULL)
        return false;
    const uint8_t *dot = from->count == 0 ? NULL : memchr(from->data, '.', from->count);
    size_t count = dot == NULL ? from->count : (size_t)(dot - from->data);
    *label = bytes_of(from->data, count);
    *from = dot == NULL ? (struct bytes){0} : bytes_of(dot + 1, from->count - count - 1);
    return true;
}

static bool labels_equal(struct bytes a, struct bytes b)
{
    return a.count == b.count &&
           (a.count == 0 || strncasecmp((const char *)a.data, (const char *)b.data, a.count) == 0);
}

bool tls_host_matches(struct bytes name, struct bytes host)
{
    struct bytes ours, theirs;
    if (name.count == 0 || host.count == 0)
        return false;
    for (bool first = true; label_take(&name, &ours); first = false) {
        if (!label_take(&host, &theirs))
            return false;
        bool any = first && bytes_equal(ours, TEXT("*")) && theirs.count > 0;
        if (!any && !labels_equal(ours, theirs))
            return false;
    }
    return host.data == NULL;
}
