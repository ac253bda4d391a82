/* tests/conformance/challenge.c - see challenge.h. Signatures are OpenSSL's. */
#include "tests/conformance/challenge.h"

#include "tests/conformance/info.h"
#include "tests/conformance/script.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

enum { SIGNATURE_BYTES = 64, TEXT_BYTES = CHALLENGE_SIGNATURE_BYTES, LINE_BYTES = 1024, TRIES_MAX = 200 };

/* How a signature is written. */
enum encoding { URL, URL_PADDED, STANDARD_PADDED };

/* What is signed in place of the nonce. */
enum signs { SIGNS_NONCE, SIGNS_DECODED, SIGNS_OTHER, SIGNS_NOTHING };

/* The seed is 32 bytes that count up; from 0, its public half is CHALLENGE_NKEY. */
static bool sign(uint8_t first, struct bytes message, uint8_t signature[SIGNATURE_BYTES])
{
    uint8_t seed[32];
    size_t count = SIGNATURE_BYTES;
    for (size_t i = 0; i < sizeof seed; i++)
        seed[i] = (uint8_t)(first + i);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, seed, sizeof seed);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool done = key != NULL && context != NULL && EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
                EVP_DigestSign(context, signature, &count, message.data, message.count) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    return done;
}

static void write_text(char text[TEXT_BYTES], const uint8_t signature[SIGNATURE_BYTES],
                       enum encoding encoding)
{
    (void)EVP_EncodeBlock((unsigned char *)text, signature, SIGNATURE_BYTES);
    if (encoding == STANDARD_PADDED)
        return;
    for (char *at = text; *at != 0; at++)
        *at = (char)(*at == '+' ? '-' : *at == '/' ? '_' : *at);
    if (encoding == URL)
        text[strcspn(text, "=")] = 0;
}

bool challenge_sign(uint8_t first, struct bytes message, char text[CHALLENGE_SIGNATURE_BYTES])
{
    uint8_t signature[SIGNATURE_BYTES];
    bool done = sign(first, message, signature);
    if (done)
        write_text(text, signature, URL);
    return done;
}

struct bytes challenge_nonce(const struct peer *peer)
{
    const char *at = strstr(peer->info, "\"nonce\":\"");
    if (at == NULL)
        return bytes_of(NULL, 0);
    at += strlen("\"nonce\":\"");
    return bytes_of(at, strcspn(at, "\""));
}

/* What the text of a nonce stands for. */
static struct bytes decoded(struct bytes nonce, uint8_t out[NONCE_BYTES_MAX])
{
    char standard[NONCE_BYTES_MAX] = {0};
    for (size_t i = 0; i < nonce.count && i < 16; i++)
        standard[i] = (char)(nonce.data[i] == '-' ? '+' : nonce.data[i] == '_' ? '/' : nonce.data[i]);
    for (size_t i = nonce.count; i < 16; i++)
        standard[i] = '=';
    return bytes_of(out, EVP_DecodeBlock(out, (const unsigned char *)standard, 16) < 0 ? 0 : 11);
}

/* Sends a CONNECT with an answer to the challenge. */
static bool answer(struct run *run, enum signs signs, enum encoding encoding, char text[TEXT_BYTES])
{
    uint8_t signature[SIGNATURE_BYTES], raw[NONCE_BYTES_MAX];
    char line[LINE_BYTES];
    struct bytes message = challenge_nonce(&run->peers[0]);
    if (message.count != 15)
        return run_fail(run, "a nonce of %zu letters", message.count);
    if (signs == SIGNS_DECODED)
        message = decoded(message, raw);
    else if (signs == SIGNS_OTHER)
        message = TEXT("Zm9vYmFyYmF6cXV");
    if (!sign(0, message, signature))
        return run_fail(run, "OpenSSL does not sign");
    write_text(text, signature, encoding);
    if (signs == SIGNS_NOTHING)
        text[0] = 0;
    int count = snprintf(line, sizeof line,
                         "CONNECT {\"verbose\":false,\"pedantic\":false,\"nkey\":\"" CHALLENGE_NKEY
                         "\",\"sig\":\"%s\"}\r\nPING\r\n",
                         text);
    (void)peer_send(&run->peers[0],
                    bytes_of(line, (size_t)count)); /* one that closes early answers by that */
    return true;
}

static bool is_refused(struct run *run)
{
    return run_expect(run, 0, AUTHORIZATION_ERROR) &&
           (peer_expect_end(&run->peers[0], peer_deadline(PEER_PATIENCE_MS)) ||
            run_fail(run, "it stays open"));
}

bool challenge_encodings(struct run *run)
{
    static const struct {
        enum encoding encoding;
        const char *some; /* the text must have one of these, or the encodings are the same */
        bool taken;
    } rows[] = {{URL, "-_", true}, {STANDARD_PADDED, "+/", true}, {URL_PADDED, "-_", false}};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[TEXT_BYTES] = "";
        bool telling = false;
        for (int tries = 0; tries < TRIES_MAX && !telling; tries++) {
            if (!run_connect(run, 0, NONE) || !answer(run, SIGNS_NONCE, rows[i].encoding, text))
                return false;
            telling = strpbrk(text, rows[i].some) != NULL;
            if (!telling)
                peer_leave(&run->peers[0]);
        }
        if (!telling)
            return run_fail(run, "no signature tells the encodings apart");
        if (!(rows[i].taken ? run_expect(run, 0, "PONG\r\n") : is_refused(run)))
            return run_fail(run, "encoding %zu", i);
        peer_leave(&run->peers[0]);
    }
    return true;
}

bool challenge_wrong(struct run *run)
{
    static const enum signs rows[] = {SIGNS_DECODED, SIGNS_OTHER, SIGNS_NOTHING};
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        char text[TEXT_BYTES];
        if (!run_connect(run, 0, NONE) || !answer(run, rows[i], URL, text) || !is_refused(run))
            return run_fail(run, "row %zu", i);
        peer_leave(&run->peers[0]);
    }
    return true;
}

bool challenge_again(struct run *run)
{
    char text[TEXT_BYTES];
    return run_connect(run, 0, NONE) && answer(run, SIGNS_NONCE, URL, text) &&
           run_expect(run, 0, "PONG\r\n") && answer(run, SIGNS_NONCE, URL, text) &&
           run_expect(run, 0, "PONG\r\n") && answer(run, SIGNS_OTHER, URL, text) && is_refused(run);
}
