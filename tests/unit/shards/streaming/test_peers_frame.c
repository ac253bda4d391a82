/* Messages between nodes in pieces: what is lost, damaged or out of order costs that message alone. */
#include "shards/streaming/peers_frame.h"

#include <criterion/criterion.h>

enum { PIECE_BYTES = 10, PIECES_MAX = 8 };

struct cut {
    uint8_t pieces[PIECES_MAX][PEERS_FRAME_BYTES + PIECE_BYTES];
    size_t counts[PIECES_MAX];
    uint32_t count;
};

/* A message of `total` bytes, each of them as `number` says. */
static struct cut cut(uint64_t from, uint64_t number, uint32_t total)
{
    struct cut made = {0};
    for (uint32_t at = 0; at < total; at += PIECE_BYTES, made.count++) {
        uint8_t *piece = made.pieces[made.count];
        uint32_t part = total - at < PIECE_BYTES ? total - at : PIECE_BYTES;
        memset(piece + PEERS_FRAME_BYTES, (int)number, part);
        struct peers_frame frame = {
            .kind = PEERS_RAFT,
            .from = from,
            .number = number,
            .total_bytes = total,
            .offset_bytes = at,
            .data = bytes_of(piece + PEERS_FRAME_BYTES, part),
        };
        peers_frame_encode(piece, &frame);
        made.counts[made.count] = PEERS_FRAME_BYTES + part;
    }
    return made;
}

static bool take(struct peers_assemblies *assemblies, const struct cut *cut, uint32_t piece,
                 struct bytes *whole)
{
    struct peers_frame frame;
    cr_assert(peers_frame_decode(bytes_of(cut->pieces[piece], cut->counts[piece]), &frame));
    return peers_assemble(assemblies, &frame, whole);
}

Test(peers_frame, every_bit_and_every_length_counts)
{
    struct cut one = cut(7, 3, 9);
    struct peers_frame frame;
    cr_assert(peers_frame_decode(bytes_of(one.pieces[0], one.counts[0]), &frame));
    cr_expect(frame.from == 7 && frame.number == 3 && frame.total_bytes == 9 && frame.offset_bytes == 0);
    cr_expect_eq(frame.data.count, 9);
    for (size_t bit = 0; bit < one.counts[0] * 8; bit++) {
        one.pieces[0][bit / 8] ^= (uint8_t)(1 << bit % 8);
        cr_expect(!peers_frame_decode(bytes_of(one.pieces[0], one.counts[0]), &frame), "bit %zu", bit);
        one.pieces[0][bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    for (size_t count = 0; count < one.counts[0]; count++)
        cr_expect(!peers_frame_decode(bytes_of(one.pieces[0], count), &frame), "%zu bytes", count);
}

Test(peers_frame, what_contradicts_itself_is_no_piece)
{
    uint8_t bytes[PEERS_FRAME_BYTES + 4] = {0};
    struct peers_frame good = {
        .from = 1, .total_bytes = 8, .offset_bytes = 4, .data = bytes_of(bytes + PEERS_FRAME_BYTES, 4)};
    struct peers_frame bad[4] = {good, good, good, good}, frame;
    bad[0].from = 0;
    bad[1].offset_bytes = 8;
    bad[2].offset_bytes = 5; /* beyond its end */
    bad[3].total_bytes = PEERS_MESSAGE_BYTES_MAX + 1;
    peers_frame_encode(bytes, &good);
    cr_expect(peers_frame_decode(bytes_of(bytes, sizeof bytes), &frame));
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        peers_frame_encode(bytes, &bad[i]);
        cr_expect(!peers_frame_decode(bytes_of(bytes, sizeof bytes), &frame), "%zu", i);
    }
}

Test(peers_frame, pieces_make_a_message_whoever_else_sends)
{
    struct peers_assemblies assemblies = {0};
    struct cut first = cut(1, 11, 35), second = cut(2, 22, 21);
    struct bytes whole;
    uint8_t wanted[35];
    cr_expect(!take(&assemblies, &first, 0, &whole));
    cr_expect(!take(&assemblies, &second, 0, &whole));
    cr_expect(!take(&assemblies, &first, 1, &whole));
    cr_expect(!take(&assemblies, &second, 1, &whole));
    cr_assert(take(&assemblies, &second, 2, &whole));
    memset(wanted, 22, sizeof wanted);
    cr_expect(bytes_equal(whole, bytes_of(wanted, 21)));
    cr_expect(!take(&assemblies, &first, 2, &whole));
    cr_assert(take(&assemblies, &first, 3, &whole));
    memset(wanted, 11, sizeof wanted);
    cr_expect(bytes_equal(whole, bytes_of(wanted, 35)));
    cr_expect_eq(assemblies.lost, 0);
    peers_assemblies_close(&assemblies);
}

Test(peers_frame, a_lost_or_repeated_piece_costs_its_message_alone)
{
    struct peers_assemblies assemblies = {0};
    struct cut first = cut(1, 11, 35), second = cut(1, 12, 35);
    struct bytes whole;
    cr_expect(!take(&assemblies, &first, 0, &whole));
    cr_expect(!take(&assemblies, &first, 2, &whole)); /* 1 is lost */
    cr_expect(!take(&assemblies, &first, 3, &whole));
    for (uint32_t i = 0; i < 3; i++) {
        cr_expect(!take(&assemblies, &second, i, &whole));
        if (i == 1) /* comes twice */
            cr_expect(!take(&assemblies, &second, i, &whole));
    }
    cr_expect(take(&assemblies, &second, 3, &whole));
    cr_expect_eq(whole.count, 35);
    cr_expect_eq(assemblies.lost, 1);
    peers_assemblies_close(&assemblies);
}

Test(peers_frame, the_sender_that_was_silent_longest_gives_way)
{
    struct peers_assemblies assemblies = {0};
    struct cut cuts[PEERS_SENDERS_MAX + 1];
    struct bytes whole;
    for (uint32_t i = 0; i <= PEERS_SENDERS_MAX; i++) {
        cuts[i] = cut(i + 1, 1, 15);
        cr_expect(!take(&assemblies, &cuts[i], 0, &whole));
    }
    cr_expect(!take(&assemblies, &cuts[0], 1, &whole), "it has given way");
    cr_expect(take(&assemblies, &cuts[PEERS_SENDERS_MAX], 1, &whole));
    peers_assemblies_close(&assemblies);
}
