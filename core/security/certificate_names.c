/* core/security/certificate_names.c - see certificate_names.h. Names are short and few, so everything here
 * compares each with each. */
#include "core/security/certificate_names.h"

#include "core/base/hash.h"

#include <stdio.h>
#include <strings.h>

/* ---- reading ---- */

/* A DN that is being read, byte by byte. */
struct reader {
    struct dn *dn;
    struct bytes written;
    size_t at;
};

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    byte |= 0x20;
    return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

/* What stands behind a backslash: one of the special letters, or two hexadecimal digits. -1: neither. */
static int read_escape(struct reader *reader)
{
    size_t left = reader->written.count - reader->at;
    const uint8_t *at = reader->written.data + reader->at;
    if (left >= 1 && memchr(" \"#+,;<=>\\", at[0], 10) != NULL) {
        reader->at++;
        return at[0];
    }
    if (left < 2 || hex_digit(at[0]) < 0 || hex_digit(at[1]) < 0)
        return -1;
    reader->at += 2;
    return hex_digit(at[0]) * 16 + hex_digit(at[1]);
}

/* Reads up to one of the `ends`, without the blanks around it that are not escaped. False: an escape is
 * broken, or there is no room. */
static bool read_part(struct reader *reader, const char *ends, struct bytes *part)
{
    struct dn *dn = reader->dn;
    size_t start = dn->bytes_count, end = start; /* `end` is behind the last byte that counts */
    while (reader->at < reader->written.count && strchr(ends, reader->written.data[reader->at]) == NULL) {
        int byte = reader->written.data[reader->at++];
        bool escaped = byte == '\\';
        if (escaped)
            byte = read_escape(reader);
        if (byte <= 0) /* a zero byte would end strchr()'s ends as well */
            return false;
        if (!escaped && byte == ' ' && dn->bytes_count == start)
            continue;
        if (dn->bytes_count == DN_BYTES_MAX)
            return false;
        dn->bytes[dn->bytes_count++] = (uint8_t)byte;
        if (escaped || byte != ' ')
            end = dn->bytes_count;
    }
    dn->bytes_count = end;
    *part = bytes_of(dn->bytes + start, end - start);
    return true;
}

bool dn_parse(struct dn *dn, struct bytes written)
{
    struct reader reader = {.dn = dn, .written = written};
    dn->count = dn->rdn_count = 0;
    dn->bytes_count = 0;
    if (written.count == 0 || memchr(written.data, 0, written.count) != NULL)
        return false;
    for (;;) {
        struct dn_attribute attribute = {.rdn = dn->rdn_count};
        if (dn->count == DN_ATTRIBUTES_MAX || !read_part(&reader, "=,+", &attribute.type) ||
            reader.at == written.count || written.data[reader.at] != '=' || attribute.type.count == 0)
            return false;
        reader.at++;
        if (reader.at < written.count && written.data[reader.at] == '#')
            return false; /* BER in hexadecimal: nobody configures users by it */
        if (!read_part(&reader, ",+", &attribute.value))
            return false;
        dn->attributes[dn->count++] = attribute;
        if (reader.at == written.count)
            break;
        dn->rdn_count += written.data[reader.at++] == ',';
    }
    dn->rdn_count++;
    return true;
}

/* ---- certificates ---- */

static bool type_is(struct bytes type, const char *name)
{
    return type.count == strlen(name) && strncasecmp((const char *)type.data, name, type.count) == 0;
}

static bool type_known(struct bytes type)
{
    static const char *const known[] = {"CN", "SERIALNUMBER", "C",  "L",          "ST",
                                        "O",  "STREET",       "OU", "POSTALCODE", "DC"};
    for (size_t i = 0; i < COUNT_OF(known); i++) {
        if (type_is(type, known[i]))
            return true;
    }
    return false;
}

bool dn_of_subject(struct dn *dn, const struct certificate_names *names)
{
    dn->count = dn->rdn_count = 0;
    dn->bytes_count = 0;
    if (names->subject_count == 0 || names->subject_count > DN_ATTRIBUTES_MAX)
        return false;
    uint32_t last = names->subject[names->subject_count - 1].rdn;
    if (last >= DN_ATTRIBUTES_MAX)
        return false;
    for (uint32_t i = names->subject_count; i > 0; i--) {
        const struct dn_attribute *attribute = &names->subject[i - 1];
        if (!type_known(attribute->type))
            return false;
        dn->attributes[dn->count] = *attribute;
        dn->attributes[dn->count++].rdn = last - attribute->rdn;
    }
    dn->rdn_count = last + 1;
    return true;
}

/* ---- comparing ---- */

static bool attribute_equal(const struct dn_attribute *a, const struct dn_attribute *b)
{
    return a->type.count == b->type.count &&
           strncasecmp((const char *)a->type.data, (const char *)b->type.data, a->type.count) == 0 &&
           bytes_equal(a->value, b->value);
}

/* Whether each attribute of one relative name is in the other, and how many there are. */
static bool rdn_within(const struct dn *a, uint32_t a_rdn, const struct dn *b, uint32_t b_rdn,
                       uint32_t *count)
{
    *count = 0;
    for (uint32_t i = 0; i < a->count; i++) {
        bool found = false;
        if (a->attributes[i].rdn != a_rdn)
            continue;
        for (uint32_t j = 0; j < b->count && !found; j++)
            found = b->attributes[j].rdn == b_rdn && attribute_equal(&a->attributes[i], &b->attributes[j]);
        if (!found)
            return false;
        (*count)++;
    }
    return true;
}

static bool rdn_equal(const struct dn *a, uint32_t a_rdn, const struct dn *b, uint32_t b_rdn)
{
    uint32_t a_count, b_count;
    return rdn_within(a, a_rdn, b, b_rdn, &a_count) && rdn_within(b, b_rdn, a, a_rdn, &b_count) &&
           a_count == b_count;
}

/* Each relative name of `a` is among those of `b` as often as there. */
static bool rdns_within(const struct dn *a, const struct dn *b)
{
    bool taken[DN_ATTRIBUTES_MAX] = {false};
    for (uint32_t i = 0; i < a->rdn_count; i++) {
        uint32_t j = 0;
        while (j < b->rdn_count && (taken[j] || !rdn_equal(a, i, b, j)))
            j++;
        if (j == b->rdn_count)
            return false;
        taken[j] = true;
    }
    return true;
}

bool dn_equal(const struct dn *a, const struct dn *b, bool any_order)
{
    if (a->rdn_count != b->rdn_count || a->count != b->count)
        return false;
    if (any_order)
        return rdns_within(a, b);
    for (uint32_t i = 0; i < a->rdn_count; i++) {
        if (!rdn_equal(a, i, b, i))
            return false;
    }
    return true;
}

uint64_t dn_hash(const struct dn *dn)
{
    uint64_t sum = 0; /* of all attributes: no order counts, nor which relative name they stand in */
    for (uint32_t i = 0; i < dn->count; i++) {
        uint8_t type[16];
        struct bytes name = dn->attributes[i].type;
        size_t count = name.count < sizeof type ? name.count : sizeof type;
        for (size_t at = 0; at < count; at++)
            type[at] =
                (uint8_t)(name.data[at] >= 'a' && name.data[at] <= 'z' ? name.data[at] - 32 : name.data[at]);
        sum += hash_bytes(bytes_of(type, count), 0) * 31 + hash_bytes(dn->attributes[i].value, 0);
    }
    return sum;
}

/* ---- the canonical text ---- */

/* A text with a bound; once it was too small it stays so. */
struct writer {
    char *out;
    size_t capacity;
    size_t count;
    bool full;
};

static void write_byte(struct writer *writer, char byte)
{
    if (writer->count == writer->capacity)
        writer->full = true;
    else
        writer->out[writer->count++] = byte;
}

static void write_text(struct writer *writer, const char *terminated)
{
    while (*terminated != 0)
        write_byte(writer, *terminated++);
}

/* With RFC 2253's escapes. */
static void write_value(struct writer *writer, struct bytes value)
{
    for (size_t i = 0; i < value.count; i++) {
        char byte = (char)value.data[i];
        bool escape = (byte != 0 && strchr(",+\"\\<>;", byte) != NULL) ||
                      (i == 0 && (byte == ' ' || byte == '#')) || (i == value.count - 1 && byte == ' ');
        if (escape)
            write_byte(writer, '\\');
        write_byte(writer, byte);
    }
}

/* All attributes of a type, or the last one only, with `between` between them. */
static void write_type(struct writer *writer, const struct certificate_names *names, const char *type,
                       bool last_only, char between)
{
    bool first = true;
    for (uint32_t i = 0; i < names->subject_count; i++) {
        bool later = false;
        if (!type_is(names->subject[i].type, type))
            continue;
        for (uint32_t j = i + 1; last_only && j < names->subject_count; j++)
            later = later || type_is(names->subject[j].type, type);
        if (later)
            continue;
        if (writer->count > 0)
            write_byte(writer, first ? ',' : between);
        first = false;
        write_text(writer, type);
        write_byte(writer, '=');
        write_value(writer, names->subject[i].value);
    }
}

size_t certificate_subject_text(char *out, size_t capacity, const struct certificate_names *names,
                                bool with_dc)
{
    static const struct {
        const char *type;
        bool last_only; /* of these a name has one, the last */
    } order[] = {{"SERIALNUMBER", true}, {"CN", true},  {"POSTALCODE", false},
                 {"STREET", false},      {"ST", false}, {"L", false},
                 {"OU", false},          {"O", false},  {"C", false}};
    struct writer writer = {.out = out, .capacity = capacity};
    if (names->subject_count > DN_ATTRIBUTES_MAX)
        return 0;
    for (size_t i = 0; i < COUNT_OF(order); i++)
        write_type(&writer, names, order[i].type, order[i].last_only, '+');
    if (with_dc)
        write_type(&writer, names, "DC", false, ',');
    return writer.full ? 0 : writer.count;
}

static bool among(const struct bytes *names, uint32_t count, struct bytes wanted)
{
    for (uint32_t i = 0; i < count; i++) {
        if (bytes_equal(names[i], wanted))
            return true;
    }
    return false;
}

bool certificate_names_have(const struct certificate_names *names, struct bytes wanted)
{
    char subject[2 * DN_BYTES_MAX]; /* a longer one is nobody's */
    if (wanted.count == 0)
        return false;
    if (among(names->emails, names->email_count, wanted) || among(names->hosts, names->host_count, wanted) ||
        among(names->uris, names->uri_count, wanted))
        return true;
    for (int with_dc = 0; with_dc < 2; with_dc++) {
        size_t count = certificate_subject_text(subject, sizeof subject, names, with_dc == 1);
        if (bytes_equal(bytes_of(subject, count), wanted))
            return true;
    }
    return false;
}
