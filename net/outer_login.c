/* net/outer_login.c - see outer_login.h. */
#include "net/outer_login.h"

#include "core/base/memory.h"
#include "core/base/version.h"
#include "core/codec/base64.h"
#include "core/codec/json_writer.h"
#include "core/security/nkey.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FILE_BYTES_MAX = 24 * 1024 };

#define FIELD(key, field_kind, field)                                                                        \
    {                                                                                                        \
        .name = key, .kind = JSON_KIND_##field_kind, .offset = offsetof(struct outer_info, field)            \
    }
static const struct json_field info_fields[] = {
    FIELD("server_id", TEXT, server_id),
    FIELD("nonce", TEXT, nonce),
    FIELD("connect_urls", TEXTS, connect_urls),
    FIELD("max_payload", INT64, max_payload_bytes),
    FIELD("headers", BOOL, headers),
    FIELD("auth_required", BOOL, auth_required),
    FIELD("tls_required", BOOL, tls_required),
    FIELD("ldm", BOOL, lame_duck),
};
static const struct json_shape info_shape = {info_fields, COUNT_OF(info_fields)};

enum err outer_info_read(struct json_document *document, struct bytes json, struct outer_info *info)
{
    return json_read(document, json, &info_shape, info);
}

/* ---- files ---- */

/* The whole file, at most FILE_BYTES_MAX. */
static bool file_read(const char *path, uint8_t *to, size_t *count, char *why, size_t why_bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = 0;
    *count = 0;
    while (fd >= 0 && *count < FILE_BYTES_MAX && (got = read(fd, to + *count, FILE_BYTES_MAX - *count)) > 0)
        *count += (size_t)got;
    bool good = fd >= 0 && got == 0;
    if (!good)
        snprintf(why, why_bytes, "open %s: %s", path,
                 fd >= 0 && got > 0 ? "too large for credentials" : strerror(errno));
    if (fd >= 0)
        close(fd);
    return good;
}

/* The next line, without blanks around it; false at the end. */
static bool line_next(struct bytes *content, struct bytes *line)
{
    if (content->count == 0)
        return false;
    const uint8_t *newline = memchr(content->data, '\n', content->count);
    size_t count = newline == NULL ? content->count : (size_t)(newline - content->data);
    *line = bytes_of(content->data, count);
    size_t taken = newline == NULL ? count : count + 1;
    *content = bytes_of(content->data + taken, content->count - taken);
    while (line->count > 0 && (line->data[0] == ' ' || line->data[0] == '\t'))
        *line = bytes_of(line->data + 1, line->count - 1);
    while (line->count > 0 && strchr(" \t\r", line->data[line->count - 1]) != NULL)
        line->count--;
    return true;
}

/* The JWT between its two lines of dashes, and the first line that is a seed. */
static bool credentials_find(struct bytes content, struct bytes *jwt, enum nkey_type *type,
                             uint8_t seed[NKEY_RAW_BYTES])
{
    struct bytes line;
    bool inside = false, found = false;
    while (line_next(&content, &line)) {
        bool dashes = bytes_start_with(line, TEXT("---"));
        if (dashes)
            inside = memmem(line.data, line.count, "BEGIN", 5) != NULL &&
                     memmem(line.data, line.count, "JWT", 3) != NULL;
        else if (inside && jwt->count == 0)
            *jwt = line;
        else if (!found)
            found = nkey_seed_decode(line, type, seed) == ERR_OK;
    }
    return found;
}

/* ---- CONNECT ---- */

static bool put_signature(struct json_writer *writer, enum nkey_type type, const uint8_t seed[NKEY_RAW_BYTES],
                          struct bytes nonce)
{
    uint8_t signature[NKEY_SIGNATURE_BYTES];
    char letters[BASE64_URL_TEXT_BYTES(NKEY_SIGNATURE_BYTES)];
    if (nkey_sign(type, seed, nonce, signature) != ERR_OK)
        return false;
    size_t count = base64_url_encode(letters, sizeof letters, bytes_of(signature, sizeof signature));
    json_write_key(writer, "sig");
    json_write_text(writer, bytes_of(letters, count));
    return true;
}

/* What a file of credentials, or of a seed alone, has to say to the nonce. */
static bool put_key(struct json_writer *writer, const struct outer_identity *identity, struct bytes nonce,
                    char *why, size_t why_bytes)
{
    bool with_jwt = identity->credentials_file != NULL;
    const char *path = with_jwt ? identity->credentials_file : identity->seed_file;
    uint8_t seed[NKEY_RAW_BYTES], raw[NKEY_RAW_BYTES];
    enum nkey_type type = NKEY_USER;
    struct bytes jwt = {NULL, 0};
    char public[NKEY_TEXT_BYTES];
    size_t count;
    uint8_t *content = memory_new(FILE_BYTES_MAX);
    if (content == NULL) {
        snprintf(why, why_bytes, "out of memory");
        return false;
    }
    bool good = file_read(path, content, &count, why, why_bytes);
    if (good && (!credentials_find(bytes_of(content, count), &jwt, &type, seed) || type != NKEY_USER ||
                 (with_jwt && jwt.count == 0) || nkey_seed_public(type, seed, raw) != ERR_OK)) {
        snprintf(why, why_bytes, with_jwt ? "%s holds no user's JWT and seed" : "%s holds no user's seed",
                 path);
        good = false;
    }
    if (good && nonce.count > 0) {
        nkey_encode(public, NKEY_USER, raw);
        json_write_key(writer, with_jwt ? "jwt" : "nkey");
        json_write_text(writer, with_jwt ? jwt : text(public));
        good = put_signature(writer, type, seed, nonce);
        if (!good)
            snprintf(why, why_bytes, "the nonce could not be signed");
    }
    explicit_bzero(content, FILE_BYTES_MAX);
    explicit_bzero(seed, sizeof seed);
    memory_free(content);
    return good;
}

static void put_text_some(struct json_writer *writer, const char *key, struct bytes value)
{
    if (value.count == 0)
        return;
    json_write_key(writer, key);
    json_write_text(writer, value);
}

static void put_flag(struct json_writer *writer, const char *key, bool value)
{
    json_write_key(writer, key);
    json_write_bool(writer, value);
}

size_t outer_connect_write(char *to, size_t capacity, const struct outer_identity *identity,
                           struct bytes nonce, char *why, size_t why_bytes)
{
    static const char before[] = "CONNECT ", behind[] = "\r\n";
    struct json_writer writer;
    snprintf(why, why_bytes, "the CONNECT line would be too long");
    if (capacity < sizeof before + sizeof behind)
        return 0;
    memcpy(to, before, sizeof before - 1);
    json_writer_init(&writer, to + sizeof before - 1, capacity - sizeof before - sizeof behind);
    json_write_object_begin(&writer);
    put_flag(&writer, "verbose", false);
    put_flag(&writer, "pedantic", false);
    put_flag(&writer, "tls_required", identity->secure);
    put_flag(&writer, "echo", true);
    put_flag(&writer, "headers", true);
    put_flag(&writer, "no_responders", true);
    put_text_some(&writer, "name", text(identity->name));
    put_text_some(&writer, "lang", TEXT("c"));
    put_text_some(&writer, "version", TEXT(MYELIN_VERSION));
    json_write_key(&writer, "protocol");
    json_write_int(&writer, 1);
    put_text_some(&writer, "user", identity->user);
    put_text_some(&writer, "pass", identity->password);
    put_text_some(&writer, "auth_token", identity->token);
    if ((identity->credentials_file != NULL || identity->seed_file != NULL) &&
        !put_key(&writer, identity, nonce, why, why_bytes))
        return 0;
    json_write_object_end(&writer);
    size_t count = json_writer_count(&writer);
    if (count == 0)
        return 0;
    memcpy(to + sizeof before - 1 + count, behind, sizeof behind - 1);
    return sizeof before - 1 + count + sizeof behind - 1;
}
