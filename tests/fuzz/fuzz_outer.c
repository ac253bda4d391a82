/* Any bytes as a NATS server's to a client of it (net/outer_parser.c): what the parser gives out lies within
 * what it was given, an operation cut anywhere before its end is "more", never something else, and every INFO
 * is read or refused (net/outer_login.c). The first byte chooses the bound of messages. */
#include "core/base/check.h"
#include "net/outer_login.h"
#include "net/outer_parser.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_inside(struct bytes whole, struct bytes part)
{
    ASSERT(part.count == 0 ||
           (part.data >= whole.data && part.data + part.count <= whole.data + whole.count));
}

static void check_operation(struct bytes left, size_t message_bytes_max,
                            const struct outer_operation *operation)
{
    struct bytes whole = bytes_of(left.data, operation->used);
    ASSERT(operation->used > 0 && operation->used <= left.count);
    check_inside(whole, operation->arguments);
    check_inside(whole, operation->subject);
    check_inside(whole, operation->sid);
    check_inside(whole, operation->reply);
    check_inside(whole, operation->header);
    check_inside(whole, operation->payload);
    ASSERT(operation->header.count + operation->payload.count <= message_bytes_max);
    for (size_t cut = 0; cut < operation->used; cut += 1 + operation->used / 16) {
        struct outer_operation part;
        ASSERT(outer_parser_next(bytes_of(left.data, cut), message_bytes_max, &part) == OUTER_PARSER_MORE);
        ASSERT(part.used == 0 || part.used == operation->used);
    }
}

static void read_info(struct bytes json)
{
    struct json_document document = {0};
    struct outer_info info = {0};
    if (outer_info_read(&document, json, &info) == ERR_OK)
        json_close(&document);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t message_bytes_max = size == 0 ? 0 : data[0];
    struct bytes left = size == 0 ? bytes_of(data, 0) : bytes_of(data + 1, size - 1);
    struct outer_operation operation;
    while (outer_parser_next(left, message_bytes_max, &operation) == OUTER_PARSER_OPERATION) {
        check_operation(left, message_bytes_max, &operation);
        if (operation.kind == OUTER_OP_INFO)
            read_info(operation.arguments);
        left = bytes_of(left.data + operation.used, left.count - operation.used);
    }
    return 0;
}
