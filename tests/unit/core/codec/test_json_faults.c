/* tests/unit/core/codec/test_json_faults.c - JSON while memory runs out. ERR_MEMORY is not ERR_INVALID: a
 * client whose CONNECT found no memory has sent nothing wrong. And what was read is right to the last byte:
 * the reader that stood here before left characters out when its buffer could not grow. The writer allocates
 * nothing; its bound is the caller's buffer. */
#include "core/base/language.h"
#include "core/codec/json.h"
#include "core/codec/json_writer.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>

struct sample {
    bool flag;
    int64_t number;
    struct bytes label;
};

static const struct json_field nested_fields[] = {{"list", JSON_KIND_TEXTS_CHECKED, 0, NULL}};
static const struct json_shape nested_shape = {nested_fields, COUNT_OF(nested_fields)};
static const struct json_field sample_fields[] = {
    {"flag", JSON_KIND_BOOL, offsetof(struct sample, flag), NULL},
    {"number", JSON_KIND_INT64, offsetof(struct sample, number), NULL},
    {"label", JSON_KIND_TEXT, offsetof(struct sample, label), NULL},
    {"nested", JSON_KIND_OBJECT, 0, &nested_shape},
};
static const struct json_shape sample_shape = {sample_fields, COUNT_OF(sample_fields)};

static const char *const documents[] = {
    "{\"flag\":true,\"number\":42,\"label\":\"a label that is not short at all\"}",
    "{\"label\":\"\\u00e4\\n\",\"nested\":{\"list\":[\"a\",\"b\"]},\"unknown\":{\"x\":[1,{\"y\":0.5}]}}",
    "null",
    "{\"a\":[[],[[]],{}],\"b\":-7,\"c\":1e3,\"flag\":false}",
};

Test(json_faults, memory_out_is_not_taken_for_a_wrong_text)
{
    for (size_t i = 0; i < COUNT_OF(documents); i++) {
        FOR_EACH_FAULT(plan)
        {
            struct json_document document = {0};
            struct sample sample = {0};
            enum err err = json_read(&document, text(documents[i]), &sample_shape, &sample);
            cr_assert_eq(err, faults_met() ? ERR_MEMORY : ERR_OK, "%s: %s", documents[i], err_text(err));
            if (err == ERR_OK && i == 0)
                cr_assert(bytes_equal(sample.label, TEXT("a label that is not short at all")));
            cr_assert(err == ERR_OK || document.text == NULL);
            json_close(&document);
        }
    }
}

Test(json_faults, a_wrong_text_is_never_taken_for_a_right_one)
{
    static const char *const wrong[] = {"{\"flag\":1}", "{\"number\":\"x\"}", "{\"a\":",
                                        "[1]",          "{\"label\":\"abc",   "{\"nested\":{\"list\":[1]}}"};
    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        FOR_EACH_FAULT(plan)
        {
            struct json_document document = {0};
            struct sample sample = {0};
            enum err err = json_read(&document, text(wrong[i]), &sample_shape, &sample);
            cr_assert(err == ERR_INVALID || (err == ERR_MEMORY && faults_met()), "%s: %s", wrong[i],
                      err_text(err));
            cr_assert_null(document.text);
        }
    }
}

/* For the writer the n-th byte is what the n-th allocation is elsewhere. */
Test(json_faults, a_writer_without_room_says_so_at_every_byte)
{
    char whole[256];
    size_t count = 0;
    for (size_t capacity = sizeof whole;; capacity = capacity == sizeof whole ? count : capacity - 1) {
        char buffer[sizeof whole];
        struct json_writer writer;
        memset(buffer, '#', sizeof buffer);
        json_writer_init(&writer, buffer, capacity);
        json_write_object_begin(&writer);
        json_write_key(&writer, "text");
        json_write_text(&writer, TEXT("a\"b\n<\xe2\x80\xa8\xff z"));
        json_write_key(&writer, "list");
        json_write_array_begin(&writer);
        json_write_int(&writer, INT64_MIN);
        json_write_unsigned(&writer, UINT64_MAX);
        json_write_bool(&writer, true);
        json_write_null(&writer);
        json_write_array_end(&writer);
        json_write_object_end(&writer);
        if (capacity == sizeof whole) {
            count = json_writer_count(&writer);
            cr_assert_gt(count, 0);
            memcpy(whole, buffer, count);
            continue;
        }
        cr_assert_eq(json_writer_count(&writer), capacity == count ? count : 0, "capacity %zu", capacity);
        cr_assert_eq(memcmp(buffer, whole, writer.count), 0, "what was written is the beginning");
        for (size_t at = capacity; at < sizeof buffer; at++)
            cr_assert_eq(buffer[at], '#', "capacity %zu: byte %zu is not the writer's", capacity, at);
        if (capacity == 0)
            return;
    }
}
