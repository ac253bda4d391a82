/* core/codec/crc16.h - CRC-16/XMODEM, the checksum inside NKeys (spec/security.md 2.1). Thread: any. */
#ifndef CORE_CODEC_CRC16_H
#define CORE_CODEC_CRC16_H

#include "core/base/bytes.h"

/* Polynomial 0x1021, initial value 0, not reflected, no final xor. Bit by bit: keys are 35 bytes. */
uint16_t crc16_xmodem(struct bytes bytes);

#endif
