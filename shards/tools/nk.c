/* shards/tools/nk.c - `myelin nk`: what the tool nk of NATS does with keys. Seeds are read from files and
 * written to the standard output; everything that is printed ends with a newline. */
#include "core/base/errno_text.h"
#include "core/base/language.h"
#include "core/base/memory.h"
#include "core/codec/base64.h"
#include "core/security/nkey.h"
#include "shards/tools/tool.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

enum {
    KEY_FILE_BYTES_MAX = 64 * 1024,
    CONTENT_BYTES_MAX = 256 * 1024 * 1024, /* signing wants it all in memory */
};

static const char usage[] =
    "Usage: myelin nk [options]\n"
    "    -gen <type>        Generate a key: user, account, server, cluster, operator or curve\n"
    "    -sign <file>       Sign a file with -inkey <keyfile>\n"
    "    -verify <file>     Verify a file with -sigfile <file> and -inkey <keyfile> or -pubin <public>\n"
    "    -inkey <file>      File with a seed\n"
    "    -pubin <file>      File with a public key\n"
    "    -sigfile <file>    File with a signature\n"
    "    -pubout            Print the public key\n"
    "    -e <file>          Take the randomness of -gen from a file\n";

/* What the command line says; NULL: nothing. */
struct words {
    const char *gen, *sign, *verify, *inkey, *pubin, *sigfile, *entropy;
    int pubout, help;
};

struct key {
    enum nkey_type type;
    uint8_t seed[NKEY_RAW_BYTES];
    uint8_t raw[NKEY_RAW_BYTES];
};

static int fail(const struct tool_streams *streams, const char *before, const char *what)
{
    fprintf(streams->err, "%s%s%s\n", before, before[0] == 0 ? "" : ": ", what);
    return 1;
}

/* ---- files ---- */

/* A whole file, or its first bytes when `exactly` is not 0. Owner: the caller, who wipes and frees it. NULL:
 * it cannot be read, which was said. */
static uint8_t *read_file(const struct tool_streams *streams, const char *path, size_t most, size_t exactly,
                          size_t *count)
{
    FILE *file = fopen(path, "rb");
    size_t capacity = exactly != 0 ? exactly : 4096;
    uint8_t *bytes = file == NULL ? NULL : memory_new(capacity);
    *count = 0;
    while (bytes != NULL) {
        size_t wanted = capacity - *count;
        size_t got = fread(bytes + *count, 1, wanted, file);
        *count += got;
        if (got < wanted || exactly != 0)
            break;
        capacity *= 2;
        uint8_t *grown = capacity > most ? NULL : memory_grow(bytes, capacity);
        if (grown == NULL) {
            explicit_bzero(bytes, *count);
            memory_free(bytes);
            bytes = NULL;
            errno = EFBIG;
        }
        bytes = grown;
    }
    bool failed = bytes != NULL && (ferror(file) != 0 || (exactly != 0 && *count < exactly));
    if (bytes == NULL || failed)
        (void)fail(streams, path, failed ? "it cannot be read, or is too short" : errno_text(errno).text);
    if (failed) {
        memory_free(bytes);
        bytes = NULL;
    }
    if (file != NULL)
        fclose(file);
    return bytes;
}

static void drop_file(uint8_t *bytes, size_t count)
{
    if (bytes != NULL)
        explicit_bzero(bytes, count);
    memory_free(bytes);
}

/* The first line of a key file that is a seed, or else a public key, alone on its line. */
static bool find_key(struct bytes content, bool seed, struct key *key)
{
    while (content.count > 0) {
        const uint8_t *end = memchr(content.data, '\n', content.count);
        size_t count = end == NULL ? content.count : (size_t)(end - content.data);
        struct bytes line = bytes_of(content.data, count);
        if (line.count > 0 && line.data[line.count - 1] == '\r')
            line.count--;
        if (seed ? nkey_seed_decode(line, &key->type, key->seed) == ERR_OK
                 : nkey_decode(line, &key->type, key->raw) == ERR_OK)
            return true;
        count += end != NULL;
        content = bytes_of(content.data + count, content.count - count);
    }
    return false;
}

/* Reads a seed with its public half, or a public key. */
static bool read_key(const struct tool_streams *streams, const char *path, bool seed, struct key *key)
{
    size_t count;
    uint8_t *content = read_file(streams, path, KEY_FILE_BYTES_MAX, 0, &count);
    if (content == NULL)
        return false;
    bool found = find_key(bytes_of(content, count), seed, key);
    drop_file(content, count);
    if (!found)
        (void)fail(streams, path, "Could not find a valid key");
    if (!found || !seed)
        return found;
    bool made = nkey_seed_public(key->type, key->seed, key->raw) == ERR_OK;
    if (!made)
        (void)fail(streams, path, "OpenSSL does not take it");
    return made;
}

/* ---- what it does ---- */

static int print_public(const struct tool_streams *streams, const struct key *key)
{
    char public_text[NKEY_TEXT_BYTES];
    nkey_encode(public_text, key->type, key->raw);
    fprintf(streams->out, "%s\n", public_text);
    return 0;
}

static bool type_of(const char *word, enum nkey_type *type)
{
    static const struct {
        const char *word;
        enum nkey_type type;
    } types[] = {{"user", NKEY_USER},       {"account", NKEY_ACCOUNT},   {"server", NKEY_SERVER},
                 {"cluster", NKEY_CLUSTER}, {"operator", NKEY_OPERATOR}, {"curve", NKEY_CURVE},
                 {"x25519", NKEY_CURVE}};
    for (size_t i = 0; i < COUNT_OF(types); i++) {
        if (strcasecmp(word, types[i].word) != 0)
            continue;
        *type = types[i].type;
        return true;
    }
    return false;
}

static int generate(const struct tool_streams *streams, const struct words *words, struct key *key)
{
    char seed_text[NKEY_SEED_TEXT_BYTES];
    if (!type_of(words->gen, &key->type))
        return fail(streams, "Usage", "myelin nk -gen [user|account|server|cluster|operator|curve|x25519]");
    if (words->entropy != NULL) {
        size_t count;
        uint8_t *bytes = read_file(streams, words->entropy, 0, sizeof key->seed, &count);
        if (bytes == NULL)
            return 1;
        memcpy(key->seed, bytes, sizeof key->seed);
        drop_file(bytes, count);
    } else if (nkey_seed_new(key->seed) != ERR_OK) {
        return fail(streams, "", "The kernel has no random bytes");
    }
    if (nkey_seed_public(key->type, key->seed, key->raw) != ERR_OK)
        return fail(streams, "", "OpenSSL makes no key");
    nkey_seed_encode(seed_text, key->type, key->seed);
    fprintf(streams->out, "%s\n", seed_text);
    explicit_bzero(seed_text, sizeof seed_text);
    return words->pubout ? print_public(streams, key) : 0;
}

static int sign(const struct tool_streams *streams, const struct words *words, struct key *key)
{
    uint8_t signature[NKEY_SIGNATURE_BYTES];
    char signature_text[NKEY_SIGNATURE_TEXT_BYTES] = "";
    size_t count;
    if (words->inkey == NULL)
        return fail(streams, "", "Sign requires a seed via -inkey <file>");
    if (!read_key(streams, words->inkey, true, key))
        return 1;
    uint8_t *content = read_file(streams, words->sign, CONTENT_BYTES_MAX, 0, &count);
    if (content == NULL)
        return 1;
    enum err err = nkey_sign(key->type, key->seed, bytes_of(content, count), signature);
    drop_file(content, count);
    if (err != ERR_OK)
        return fail(streams, "", "This kind of key does not sign");
    (void)base64_url_encode(signature_text, sizeof signature_text - 1, bytes_of(signature, sizeof signature));
    fprintf(streams->out, "%s\n", signature_text);
    return 0;
}

/* A file with base64url, blanks and newlines around it. */
static bool read_signature(const struct tool_streams *streams, const char *path,
                           uint8_t signature[NKEY_SIGNATURE_BYTES])
{
    size_t count;
    uint8_t *content = read_file(streams, path, KEY_FILE_BYTES_MAX, 0, &count);
    if (content == NULL)
        return false;
    struct bytes text = bytes_of(content, count);
    while (text.count > 0 && strchr(" \r\n\t", text.data[text.count - 1]) != NULL)
        text.count--;
    bool read = base64_url_decode(signature, NKEY_SIGNATURE_BYTES, text) == NKEY_SIGNATURE_BYTES;
    drop_file(content, count);
    if (!read)
        (void)fail(streams, path, "Not a signature");
    return read;
}

static int verify(const struct tool_streams *streams, const struct words *words, struct key *key)
{
    uint8_t signature[NKEY_SIGNATURE_BYTES];
    size_t count;
    if (words->inkey == NULL && words->pubin == NULL)
        return fail(streams, "", "Verify requires a seed via -inkey or a public key via -pubin");
    if (words->sigfile == NULL)
        return fail(streams, "", "Verify requires a signature via -sigfile");
    bool seed = words->inkey != NULL;
    if (!read_key(streams, seed ? words->inkey : words->pubin, seed, key) ||
        !read_signature(streams, words->sigfile, signature))
        return 1;
    uint8_t *content = read_file(streams, words->verify, CONTENT_BYTES_MAX, 0, &count);
    if (content == NULL)
        return 1;
    bool holds = key->type != NKEY_CURVE && nkey_verify(key->raw, bytes_of(content, count), signature);
    drop_file(content, count);
    if (!holds)
        return fail(streams, "", "Signature not verified");
    fprintf(streams->out, "Verified OK\n");
    return 0;
}

static int act(const struct tool_streams *streams, const struct words *words, struct key *key)
{
    if (words->gen != NULL)
        return generate(streams, words, key);
    if (words->entropy != NULL)
        return fail(streams, "", "Entropy file only used when creating keys with -gen");
    if (words->sign != NULL)
        return sign(streams, words, key);
    if (words->verify != NULL)
        return verify(streams, words, key);
    if (words->inkey != NULL && words->pubout)
        return read_key(streams, words->inkey, true, key) ? print_public(streams, key) : 1;
    fputs(usage, streams->err);
    return 1;
}

int tool_nk(int count, char *const arguments[], const struct tool_streams *streams)
{
    struct words words = {0};
    struct key key = {0};
    const struct tool_option options[] = {
        {"gen", &words.gen, NULL},     {"sign", &words.sign, NULL},     {"verify", &words.verify, NULL},
        {"inkey", &words.inkey, NULL}, {"pubin", &words.pubin, NULL},   {"sigfile", &words.sigfile, NULL},
        {"e", &words.entropy, NULL},   {"pubout", NULL, &words.pubout}, {"help", NULL, &words.help},
        {"h", NULL, &words.help},
    };
    const char *wrong = tool_options_read(options, COUNT_OF(options), count, arguments);
    if (wrong != NULL || words.help) {
        fputs(usage, words.help ? streams->out : streams->err);
        return words.help ? 0 : 1;
    }
    int exit_code = act(streams, &words, &key);
    explicit_bzero(&key, sizeof key);
    return fflush(streams->out) == 0 ? exit_code : 1;
}
