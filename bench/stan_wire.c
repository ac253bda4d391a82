/* bench/stan_wire.c - see stan_wire.h. */
#include "bench/stan_wire.h"

enum { WIRE_NUMBER = 0, WIRE_TEXT = 2 };

size_t stan_varint_write(uint8_t *to, uint64_t value)
{
    size_t count = 0;
    for (; value >= 0x80; value >>= 7)
        to[count++] = (uint8_t)(value | 0x80);
    to[count++] = (uint8_t)value;
    return count;
}

static bool room(struct stan_writer *writer, size_t count)
{
    writer->full = writer->full || (size_t)(writer->end - writer->at) < count;
    return !writer->full;
}

void stan_put_text(struct stan_writer *writer, uint32_t number, struct bytes value)
{
    if (value.count == 0 || !room(writer, 2 * STAN_VARINT_BYTES_MAX + value.count))
        return;
    writer->at += stan_varint_write(writer->at, (uint64_t)number << 3 | WIRE_TEXT);
    writer->at += stan_varint_write(writer->at, value.count);
    writer->at = mempcpy(writer->at, value.data, value.count);
}

void stan_put_number(struct stan_writer *writer, uint32_t number, uint64_t value)
{
    if (value == 0 || !room(writer, 2 * STAN_VARINT_BYTES_MAX))
        return;
    writer->at += stan_varint_write(writer->at, (uint64_t)number << 3 | WIRE_NUMBER);
    writer->at += stan_varint_write(writer->at, value);
}

static bool varint_next(struct bytes *from, uint64_t *value)
{
    *value = 0;
    for (unsigned shift = 0; shift < 64 && from->count > 0; shift += 7) {
        uint8_t byte = from->data[0];
        *from = bytes_of(from->data + 1, from->count - 1);
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return true;
    }
    return false;
}

bool stan_next(struct stan_reader *reader, struct stan_field *field)
{
    uint64_t key = 0;
    if (reader->broken || reader->rest.count == 0)
        return false;
    bool good = varint_next(&reader->rest, &key) && key >> 3 <= UINT32_MAX &&
                ((key & 7) == WIRE_NUMBER || (key & 7) == WIRE_TEXT) &&
                varint_next(&reader->rest, &field->value);
    reader->broken = !good;
    if (!good)
        return false;
    field->number = (uint32_t)(key >> 3);
    field->is_text = (key & 7) == WIRE_TEXT;
    field->text = bytes_of(NULL, 0);
    if (field->is_text) {
        size_t here = field->value < reader->rest.count ? (size_t)field->value : reader->rest.count;
        field->text = bytes_of(reader->rest.data, here);
        reader->rest = bytes_of(reader->rest.data + here, reader->rest.count - here);
    }
    return true;
}

struct bytes stan_text(struct bytes message, uint32_t number)
{
    struct stan_reader reader = {.rest = message};
    struct stan_field field;
    while (stan_next(&reader, &field)) {
        if (field.number == number && field.is_text)
            return field.text;
    }
    return bytes_of(NULL, 0);
}
