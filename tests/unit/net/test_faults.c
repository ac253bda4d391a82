/* tests/unit/net/test_faults.c - a client's parts while memory runs out: the table of sids, the output, the
 * parser's torn operations. The session over them: test_client_faults.c. */
#include "core/base/language.h"
#include "net/connect.h"
#include "net/output.h"
#include "net/parser.h"
#include "net/sids.h"
#include "tests/unit/faults.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

static struct client_subscription *subscription_make(unsigned number)
{
    char sid[16];
    int count = snprintf(sid, sizeof sid, "%u", number);
    struct client_subscription *made = calloc(1, sizeof *made + (size_t)count);
    cr_assert_not_null(made);
    made->sid_count = (uint16_t)(count & SID_BYTES_MAX);
    memcpy(made->sid, sid, (size_t)count);
    return made;
}

/* A sid that was refused is not there, and all others are where they were. */
Test(net_faults, a_refused_sid_is_not_there)
{
    enum { SIDS = 300 };
    struct client_subscription *all[SIDS];
    for (unsigned i = 0; i < SIDS; i++)
        all[i] = subscription_make(i);
    FOR_EACH_FAULT(plan)
    {
        struct sids sids = {0};
        bool in[SIDS] = {false};
        uint32_t count = 0;
        for (unsigned i = 0; i < SIDS; i++) {
            enum err err = sids_add(&sids, all[i]);
            cr_assert(err == ERR_OK || (err == ERR_MEMORY && faults_met()));
            in[i] = err == ERR_OK;
            count += in[i];
            cr_assert_eq(sids.count, count);
            if (i % 3 == 2 && in[i - 1]) {
                sids_remove(&sids, all[i - 1]);
                in[i - 1] = false;
                count--;
            }
            for (unsigned k = 0; (err != ERR_OK || i % 50 == 0) && k <= i; k++)
                cr_assert_eq(sids_find(&sids, subscription_sid(all[k])), in[k] ? all[k] : NULL);
        }
        for (unsigned i = 0; i < SIDS; i++) {
            cr_assert_eq(sids_find(&sids, subscription_sid(all[i])), in[i] ? all[i] : NULL);
            if (in[i])
                sids_remove(&sids, all[i]);
        }
        cr_assert_eq(sids.count, 0);
        sids_close(&sids);
    }
    for (unsigned i = 0; i < SIDS; i++)
        free(all[i]);
}

/* What was refused is not in the output, and what is in it leaves in order. */
Test(net_faults, a_refused_piece_is_not_in_the_output)
{
    enum { PIECES = 40, PIECE_BYTES = 3000 };
    static uint8_t expected[PIECES * PIECE_BYTES];
    FOR_EACH_FAULT(plan)
    {
        struct output_pool pool = {0};
        struct output output = {0};
        size_t count = 0;
        struct block *block = block_take(&pool.blocks, PIECE_BYTES);
        if (block != NULL)
            memset(block->bytes, 'b', PIECE_BYTES);
        for (unsigned i = 0; i < PIECES; i++) {
            uint8_t piece[PIECE_BYTES];
            memset(piece, i % 4 == 3 ? 'b' : 'A' + (int)(i % 26), sizeof piece);
            enum err err = i % 4 == 3 && block != NULL
                               ? output_share(&output, &pool, block, bytes_of(block->bytes, PIECE_BYTES))
                               : output_append(&output, &pool, bytes_of(piece, sizeof piece));
            cr_assert(err == ERR_OK || (err == ERR_MEMORY && faults_met()));
            if (err == ERR_OK) {
                memcpy(expected + count, piece, sizeof piece);
                count += sizeof piece;
            }
            cr_assert_eq(output.pending_bytes, count);
        }
        size_t left = 0;
        while (!output_empty(&output)) {
            struct iovec parts[3];
            uint32_t used = output_gather(&output, parts, COUNT_OF(parts));
            cr_assert_gt(used, 0);
            cr_assert_eq(memcmp(parts[0].iov_base, expected + left, parts[0].iov_len), 0);
            left += parts[0].iov_len;
            output_sent(&output, &pool, parts[0].iov_len);
        }
        cr_assert_eq(left, count);
        output_clear(&output, &pool);
        block_release(&pool.blocks, block);
        output_pool_close(&pool);
    }
}

/* Operations cut at every byte, so that all of them are torn. PARSER_MEMORY ends it; before that, all that
 * came out is right. */
Test(net_faults, a_torn_operation_without_memory_ends_the_parser)
{
    static const char input[] =
        "CONNECT {\"verbose\":false}\r\nSUB some.subject queue 12\r\nPUB a.b 11\r\n"
        "hello world\r\nPING\r\nHPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nUNSUB 12 3\r\n";
    static const enum operation_kind kinds[] = {OPERATION_CONNECT, OPERATION_SUB,  OPERATION_PUB,
                                                OPERATION_PING,    OPERATION_HPUB, OPERATION_UNSUB};
    FOR_EACH_FAULT(plan)
    {
        struct block_pool pool = {0};
        struct parser parser = {
            .pool = &pool, .max_payload_bytes = 64 * 1024, .max_control_line_bytes = 4096, .headers = true};
        enum parser_result result = PARSER_MORE;
        size_t operations = 0;
        for (size_t i = 0; i < sizeof input - 1 && result == PARSER_MORE; i++) {
            struct operation operation = {0};
            uint8_t byte = (uint8_t)input[i];
            const uint8_t *at = &byte;
            result = parser_next(&parser, &at, &byte + 1, &operation);
            if (result != PARSER_OPERATION)
                continue;
            cr_assert_eq(operation.kind, kinds[operations]);
            if (operation.kind == OPERATION_PUB)
                cr_assert(bytes_equal(bytes_of(operation.message.body, operation.message.total_bytes),
                                      TEXT("hello world")));
            operations++;
            result = PARSER_MORE;
        }
        cr_assert_eq(result, faults_met() ? PARSER_MEMORY : PARSER_MORE);
        cr_assert(faults_met() || operations == COUNT_OF(kinds));
        parser_close(&parser);
        block_pool_close(&pool);
    }
}

/* A payload that needs a block of its own, larger than those of the pool. */
Test(net_faults, a_large_torn_payload_without_memory_ends_the_parser)
{
    enum { BODY = 40000 };
    static uint8_t body[BODY + 2];
    memset(body, 'x', BODY);
    memcpy(body + BODY, "\r\n", 2);
    FOR_EACH_FAULT(plan)
    {
        struct block_pool pool = {0};
        struct parser parser = {
            .pool = &pool, .max_payload_bytes = 64 * 1024, .max_control_line_bytes = 4096};
        struct operation operation = {0};
        const char line[] = "PUB large 40000\r\n";
        const uint8_t *at = (const uint8_t *)line;
        enum parser_result result = parser_next(&parser, &at, at + sizeof line - 1, &operation);
        for (size_t from = 0; from < sizeof body && result == PARSER_MORE; from += 1000) {
            size_t count = sizeof body - from < 1000 ? sizeof body - from : 1000;
            at = body + from;
            result = parser_next(&parser, &at, body + from + count, &operation);
        }
        cr_assert_eq(result, faults_met() ? PARSER_MEMORY : PARSER_OPERATION);
        parser_close(&parser);
        block_pool_close(&pool);
    }
}

/* A CONNECT that memory refuses leaves the options of the one before as they were. */
Test(net_faults, a_refused_connect_changes_no_option)
{
    FOR_EACH_FAULT(plan)
    {
        struct connect_options options;
        connect_init(&options);
        faults_pause();
        cr_assert_eq(connect_parse(&options, TEXT("{\"user\":\"ann\",\"pass\":\"pa\",\"verbose\":true,"
                                                  "\"name\":\"first\"}")),
                     ERR_OK);
        faults_resume();
        enum err err =
            connect_parse(&options, TEXT("{\"verbose\":false,\"name\":\"second\",\"user\":\"bob\"}"));
        cr_assert(err == ERR_OK || (err == ERR_MEMORY && faults_met()));
        bool taken = err == ERR_OK;
        cr_assert_eq(options.verbose, !taken);
        cr_assert(bytes_equal(connect_text(&options, CONNECT_NAME), taken ? TEXT("second") : TEXT("first")));
        cr_assert(bytes_equal(connect_user(&options), taken ? TEXT("bob") : TEXT("ann")));
        cr_assert(bytes_equal(connect_text(&options, CONNECT_PASS), TEXT("pa")));
        connect_forget_secrets(&options);
        cr_assert_eq(connect_text(&options, CONNECT_PASS).count, 0);
        cr_assert(bytes_equal(connect_text(&options, CONNECT_NAME), taken ? TEXT("second") : TEXT("first")));
        connect_close(&options);
    }
}
