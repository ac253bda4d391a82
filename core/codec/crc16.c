/* core/codec/crc16.c - see crc16.h. */
#include "core/codec/crc16.h"

uint16_t crc16_xmodem(struct bytes bytes)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < bytes.count; i++) {
        crc ^= (uint32_t)bytes.data[i] << 8;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1;
    }
    return (uint16_t)crc;
}
