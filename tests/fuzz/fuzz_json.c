/* Any bytes as CONNECT: the JSON reader, the merging, and the copy for traces; an array's elements. Beside
 * not crashing: a refused CONNECT changes nothing, and forgetting leaves no secret. */
#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/codec/json.h"
#include "net/connect.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The elements of an array that is the value of "list": all of good form. */
static void elements(struct bytes json)
{
    static const struct json_field field = {"list", JSON_KIND_ARRAY, 0, NULL};
    static const struct json_shape shape = {&field, 1};
    struct json_document document = {0};
    struct bytes array = {0}, element;
    if (json_read(&document, json, &shape, &array) == ERR_OK) {
        while (json_array_next(&array, &element))
            ASSERT(element.count > 0 && (element.data[0] != '{' || json_valid(element)));
        ASSERT(array.count == 0);
    }
    json_close(&document);
}

static void redact(struct bytes json)
{
    size_t capacity = json.count * 2 + 64;
    char *out = memory_new(capacity);
    ASSERT(out != NULL);
    size_t whole = connect_redacted(out, capacity, json);
    ASSERT(whole <= capacity);
    size_t half = connect_redacted(out, whole / 2, json);
    ASSERT(half == whole / 2);
    memory_free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bytes json = bytes_of(data, size);
    struct connect_options options;
    char who[64];
    connect_init(&options);
    ASSERT(connect_parse(&options, TEXT("{\"user\":\"before\",\"pass\":\"secret\"}")) == ERR_OK);
    enum err err = connect_parse(&options, json);
    if (err != ERR_OK) {
        ASSERT(bytes_equal(connect_user(&options), TEXT("before")));
        ASSERT(options.verbose && options.pedantic && options.echo && options.protocol == 0);
    } else {
        ASSERT(json_valid(json));
        ASSERT(connect_parse(&options, json) == ERR_OK); /* the same again is as good */
    }
    connect_describe(&options, who, sizeof who);
    ASSERT(options.credentials_changed);
    connect_forget_secrets(&options);
    ASSERT(!options.credentials_changed);
    ASSERT(connect_credentials(&options).pass.count == 0);
    connect_close(&options);
    redact(json);
    elements(json);
    return 0;
}
