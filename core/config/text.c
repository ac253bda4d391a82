/* core/config/text.c - a text that grows by doubling. */
#include "core/config/text.h"

#include "core/base/memory.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool make_room(struct config_text *text, size_t more)
{
    if (text->failed)
        return false;
    size_t need = text->count + more + 1;
    if (more > CONFIG_TEXT_BYTES_MAX || need > CONFIG_TEXT_BYTES_MAX) {
        text->failed = true;
        return false;
    }
    if (need <= text->capacity)
        return true;
    size_t capacity = text->capacity == 0 ? 256 : text->capacity;
    while (capacity < need)
        capacity *= 2;
    char *data = memory_grow(text->data, capacity);
    if (data == NULL) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->capacity = capacity;
    return true;
}

void config_text_add_bytes(struct config_text *text, struct bytes bytes)
{
    if (!make_room(text, bytes.count))
        return;
    if (bytes.count > 0)
        memcpy(text->data + text->count, bytes.data, bytes.count);
    text->count += bytes.count;
    text->data[text->count] = 0;
}

void config_text_add(struct config_text *text, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int count = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    if (count < 0 || !make_room(text, (size_t)count)) {
        text->failed = true;
        return;
    }
    va_start(arguments, format);
    vsnprintf(text->data + text->count, (size_t)count + 1, format, arguments);
    va_end(arguments);
    text->count += (size_t)count;
}

const char *config_text_string(const struct config_text *text)
{
    return text->data == NULL ? "" : text->data;
}

void config_text_close(struct config_text *text)
{
    if (text->data != NULL)
        explicit_bzero(text->data, text->capacity);
    memory_free(text->data);
    *text = (struct config_text){0};
}
