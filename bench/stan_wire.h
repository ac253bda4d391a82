/* bench/stan_wire.h - fields of protobuf, as far as NATS Streaming uses them: numbers and byte strings. The
 * generator speaks to servers of both kinds and so has its own few lines, apart from the server's.
 * In the flow: stan_client.c puts requests together and takes answers apart with these.
 * At the bound: a writer without room sets `full` and writes no more; a reader that meets what is no field
 * ends, with `broken` set. */
#ifndef BENCH_STAN_WIRE_H
#define BENCH_STAN_WIRE_H

#include "core/base/bytes.h"

enum { STAN_VARINT_BYTES_MAX = 10 };

/* Writes into memory of the caller's. */
struct stan_writer {
    uint8_t *at;
    const uint8_t *end;
    bool full;
};

/* A varint; `to` has room for STAN_VARINT_BYTES_MAX. Returns its bytes. */
size_t stan_varint_write(uint8_t *to, uint64_t value);

/* A field; empty texts and zeros are left out, as protobuf does. */
void stan_put_text(struct stan_writer *writer, uint32_t number, struct bytes value);
void stan_put_number(struct stan_writer *writer, uint32_t number, uint64_t value);

struct stan_field {
    uint32_t number;
    bool is_text;
    uint64_t value;    /* a number, or how long a text is */
    struct bytes text; /* as much of it as is here: only the last may be cut, when the message was */
};

struct stan_reader {
    struct bytes rest;
    bool broken;
};

/* The next field. False: there is none, or `broken`. */
bool stan_next(struct stan_reader *reader, struct stan_field *field);

/* The text of the first field of that number; count 0: none. */
struct bytes stan_text(struct bytes message, uint32_t number);

#endif
