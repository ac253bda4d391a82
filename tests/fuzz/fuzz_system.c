/* Any bytes as a request of the system account: its headers and its options. Beside not crashing: whatever
 * the options say, they stay the values of their own parameters. */
#include "core/base/check.h"
#include "core/base/memory.h"
#include "net/http.h"
#include "shards/control/system_encoding.h"
#include "shards/control/system_services.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(struct bytes headers, struct bytes body)
{
    struct system_encoded encoded;
    system_encode(headers, body, &encoded);
    ASSERT(encoded.body == NULL || encoded.headers.count > 0);
    memory_free(encoded.body);
}

static void query(struct bytes body, bool listed)
{
    struct system_service service = {.name = "X", .accounts_listed = listed};
    struct system_options options;
    struct json_document document;
    char out[HTTP_PARAMETER_BYTES];
    struct bytes value;
    size_t count = 0;
    if (system_options_read(&service, body, &document, &options)) {
        char *words = system_options_query(&options, TEXT("A"), &count);
        ASSERT(words != NULL);
        ASSERT(http_parameter(bytes_of(words, count), "acc", out, sizeof out, &value));
        ASSERT(bytes_equal(value, TEXT("A")));
        if (options.user.count > 0 && options.user.count <= sizeof out) {
            ASSERT(http_parameter(bytes_of(words, count), "user", out, sizeof out, &value));
            ASSERT(bytes_equal(value, options.user));
        }
        memory_free(words);
    }
    json_close(&document);
}

static void words(struct bytes body)
{
    struct bytes subject, queue = TEXT("");
    bool queue_given;
    system_words_read(body, &subject, &queue, &queue_given);
    ASSERT(subject.count + queue.count + queue_given <= body.count);
    ASSERT(subject.count == 0 || memchr(subject.data, ' ', subject.count) == NULL);
    ASSERT(queue.count == 0 || memchr(queue.data, ' ', queue.count) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t half = size / 2;
    encode(bytes_of(data, half), bytes_of(data + half, size - half));
    query(bytes_of(data, size), size % 2 == 0);
    words(bytes_of(data, size));
    return 0;
}
