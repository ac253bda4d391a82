/* shards/streaming/packing.c - see packing.h. */
#include "shards/streaming/packing.h"

void pack_number(struct packer *to, uint64_t number)
{
    for (bool more = true; more; number >>= 7) {
        more = number >= 0x80;
        if (to->at != NULL)
            *to->at++ = (uint8_t)(more ? number | 0x80 : number);
        to->count++;
    }
}

void pack_text(struct packer *to, struct bytes from)
{
    pack_number(to, from.count);
    if (to->at != NULL && from.count > 0)
        to->at = mempcpy(to->at, from.data, from.count);
    to->count += from.count;
}

static uint64_t fail(struct unpacker *from)
{
    from->failed = true;
    from->rest.count = 0;
    return 0;
}

uint64_t unpack_number(struct unpacker *from)
{
    uint64_t number = 0;
    for (unsigned i = 0; i < PACKED_NUMBER_BYTES_MAX && i < from->rest.count; i++) {
        uint8_t byte = from->rest.data[i];
        number |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte >= 0x80)
            continue;
        if ((byte == 0 && i > 0) || (i == PACKED_NUMBER_BYTES_MAX - 1 && byte > 1))
            return fail(from); /* longer than it need be, or above 64 bits */
        from->rest = bytes_of(from->rest.data + i + 1, from->rest.count - i - 1);
        return number;
    }
    return fail(from);
}

uint64_t unpack_number_up_to(struct unpacker *from, uint64_t most)
{
    uint64_t number = unpack_number(from);
    return number <= most ? number : fail(from);
}

bool unpack_flag(struct unpacker *from)
{
    return unpack_number_up_to(from, 1) != 0;
}

struct bytes unpack_text(struct unpacker *from)
{
    uint64_t count = unpack_number_up_to(from, from->rest.count);
    if (count > from->rest.count) /* without its own length */
        count = fail(from);
    struct bytes text_of = bytes_of(from->rest.data, (size_t)count);
    if (count > 0)
        from->rest = bytes_of(from->rest.data + count, from->rest.count - (size_t)count);
    return text_of;
}

bool unpack_done(const struct unpacker *from)
{
    return !from->failed && from->rest.count == 0;
}
