/* Any bytes at an HTTP session, in cuts that the first byte chooses: nothing crashes, the buffer stays
 * bounded, texts lie in it, and the story is the same when all bytes come at once. */
#include "core/base/check.h"
#include "core/base/memory.h"
#include "net/http.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CLEAN_BYTES = HTTP_HEAD_BYTES_MAX + 2 };

/* A number that two equal stories share. */
static uint64_t mix(uint64_t story, struct bytes words)
{
    for (size_t i = 0; i < words.count; i++)
        story = (story ^ words.data[i]) * 0x100000001b3ULL;
    return (story ^ words.count) * 0x100000001b3ULL;
}

static void look(const struct http_request *request)
{
    static char clean[CLEAN_BYTES], value[HTTP_PARAMETER_BYTES], why[HTTP_WHY_BYTES];
    struct bytes found;
    bool flag;
    int64_t number;
    uint64_t unsigned_number;
    size_t count = http_path_clean(clean, request->path);
    ASSERT(count >= 1 && count <= request->path.count + 1 && clean[0] == '/');
    char *again = memory_new(count + 1);
    ASSERT(again != NULL);
    ASSERT(http_path_clean(again, bytes_of(clean, count)) == count && memcmp(again, clean, count) == 0);
    memory_free(again);
    if (http_parameter(request->query, "a", value, sizeof value, &found))
        ASSERT(found.count <= sizeof value);
    (void)!http_parameter_bool(request->query, "b", &flag, why);
    (void)!http_parameter_int(request->query, "i", &number, why);
    (void)!http_parameter_unsigned(request->query, "u", &unsigned_number, why);
}

static uint64_t run(struct bytes input, size_t step)
{
    struct http_session session = {0};
    uint64_t story = 1;
    bool refused = false;
    for (size_t at = 0; at < input.count && !refused; at += step) {
        struct http_request request;
        enum http_status status = HTTP_OK;
        const char *why = "";
        enum http_result result;
        size_t count = input.count - at < step ? input.count - at : step;
        ASSERT(http_give(&session, bytes_of(input.data + at, count)) == ERR_OK);
        while ((result = http_next(&session, &request, &status, &why)) == HTTP_REQUEST) {
            ASSERT(request.path.count > 0 && request.path.data[0] == '/');
            look(&request);
            story = mix(mix(story, request.path), request.query);
        }
        refused = result == HTTP_REFUSED;
        if (refused)
            story = mix(story, text(why)) ^ (uint64_t)status;
        ASSERT(session.end - session.at <= HTTP_HEAD_BYTES_MAX + step);
    }
    http_close(&session);
    return story;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct bytes input = bytes_of(data + 1, size - 1);
    uint64_t whole = run(input, input.count);
    /* What is too large is refused when it is seen, which depends on the cuts. */
    if (size <= HTTP_HEAD_BYTES_MAX)
        ASSERT(run(input, (size_t)data[0] + 1) == whole);
    return 0;
}
