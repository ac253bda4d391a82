/* tests/conformance/template.c - growing buffers, placeholders, and bytes made readable; see template.h. */
#include "tests/conformance/template.h"

#include "core/base/memory.h"
#include "tests/conformance/challenge.h"

#include <stdio.h>
#include <stdlib.h>

static enum err template_repeat(struct bytes inside, struct buffer *into);
static enum err template_hex(struct bytes digits, struct buffer *into);
static enum err template_port(struct bytes number, const struct template_values *values, struct buffer *into);
static enum err template_signature(struct bytes first, const struct template_values *values,
                                   struct buffer *into);
static enum err template_placeholder(struct bytes inside, const struct template_values *values,
                                     struct buffer *into);

enum err buffer_append(struct buffer *buffer, struct bytes bytes)
{
    if (bytes.count > BUFFER_BYTES_MAX - buffer->count)
        return ERR_FULL;
    size_t needed = buffer->count + bytes.count;
    if (needed > buffer->capacity) {
        size_t capacity = needed < 2048 ? 4096 : needed * 2;
        uint8_t *grown = memory_grow(buffer->data, capacity);
        if (grown == NULL)
            return ERR_MEMORY;
        buffer->data = grown;
        buffer->capacity = capacity;
    }
    if (bytes.count > 0)
        memcpy(buffer->data + buffer->count, bytes.data, bytes.count);
    buffer->count = needed;
    return ERR_OK;
}

void buffer_close(struct buffer *buffer)
{
    memory_free(buffer->data);
    *buffer = (struct buffer){0};
}

enum err template_expand(const char *source, const struct template_values *values, struct buffer *into)
{
    const char *at = source;
    for (;;) {
        const char *open = strstr(at, "${");
        if (open == NULL)
            return buffer_append(into, text(at));
        enum err err = buffer_append(into, bytes_of(at, (size_t)(open - at)));
        const char *close = strchr(open, '}');
        if (err == ERR_OK && close == NULL)
            err = ERR_INVALID;
        if (err == ERR_OK)
            err = template_placeholder(bytes_of(open + 2, (size_t)(close - open - 2)), values, into);
        if (err != ERR_OK)
            return err;
        at = close + 1;
    }
}

const char *template_escape(struct bytes bytes, char *into, size_t capacity)
{
    enum { ESCAPE_BYTES_MAX = 4, TAIL_BYTES = 40 };
    size_t used = 0;
    size_t i = 0;
    for (; i < bytes.count && used + ESCAPE_BYTES_MAX + TAIL_BYTES < capacity; i++) {
        uint8_t byte = bytes.data[i];
        int written;
        if (byte == '\r')
            written = snprintf(into + used, capacity - used, "\\r");
        else if (byte == '\n')
            written = snprintf(into + used, capacity - used, "\\n");
        else if (byte < 0x20 || byte > 0x7e)
            written = snprintf(into + used, capacity - used, "\\x%02x", byte);
        else
            written = snprintf(into + used, capacity - used, "%c", byte);
        used += (size_t)written;
    }
    if (i < bytes.count)
        (void)snprintf(into + used, capacity - used, "... (%zu bytes)", bytes.count);
    else
        into[used] = 0;
    return into;
}

static enum err template_placeholder(struct bytes inside, const struct template_values *values,
                                     struct buffer *into)
{
    if (bytes_start_with(inside, TEXT("hex ")))
        return template_hex(bytes_of(inside.data + 4, inside.count - 4), into);
    if (bytes_start_with(inside, TEXT("port ")))
        return template_port(bytes_of(inside.data + 5, inside.count - 5), values, into);
    if (bytes_start_with(inside, TEXT("sign ")))
        return template_signature(bytes_of(inside.data + 5, inside.count - 5), values, into);
    if (bytes_equal(inside, TEXT("http"))) {
        enum err err = buffer_append(into, TEXT("http: \"127.0.0.1:"));
        if (err == ERR_OK)
            err = template_port(TEXT("4"), values, into);
        return err == ERR_OK ? buffer_append(into, TEXT("\"\n")) : err;
    }
    return template_repeat(inside, into);
}

static enum err template_repeat(struct bytes inside, struct buffer *into)
{
    size_t star = inside.count;
    while (star > 0 && inside.data[star - 1] != '*')
        star--;
    if (star < 2)
        return ERR_INVALID;
    /* The digits end at the closing brace, which is where strtol() stops. */
    long times = strtol((const char *)inside.data + star, NULL, 10);
    for (long i = 0; i < times; i++) {
        enum err err = buffer_append(into, bytes_of(inside.data, star - 1));
        if (err != ERR_OK)
            return err;
    }
    return ERR_OK;
}

static enum err template_hex(struct bytes digits, struct buffer *into)
{
    for (size_t i = 0; i + 1 < digits.count; i += 2) {
        const char pair[] = {(char)digits.data[i], (char)digits.data[i + 1], 0};
        char *end = NULL;
        uint8_t byte = (uint8_t)strtoul(pair, &end, 16);
        if (end != pair + 2)
            return ERR_INVALID;
        enum err err = buffer_append(into, bytes_of(&byte, 1));
        if (err != ERR_OK)
            return err;
    }
    return digits.count % 2 == 0 ? ERR_OK : ERR_INVALID;
}

static enum err template_port(struct bytes number, const struct template_values *values, struct buffer *into)
{
    if (number.count != 1 || number.data[0] < '0' || number.data[0] >= '0' + SERVER_PORTS)
        return ERR_INVALID;
    char decimal[8];
    (void)snprintf(decimal, sizeof decimal, "%u", values->ports[number.data[0] - '0']);
    return buffer_append(into, text(decimal));
}

static enum err template_signature(struct bytes first, const struct template_values *values,
                                   struct buffer *into)
{
    char signature[CHALLENGE_SIGNATURE_BYTES];
    struct buffer seed = {0};
    enum err err = template_hex(first, &seed);
    if (err == ERR_OK && seed.count != 1)
        err = ERR_INVALID;
    if (err == ERR_OK && !challenge_sign(seed.data[0], text(values->nonce), signature))
        err = ERR_SYSTEM;
    buffer_close(&seed);
    return err == ERR_OK ? buffer_append(into, text(signature)) : err;
}
