/* core/codec/utf8.h - where a well-formed UTF-8 sequence ends. Go replaces what is not one by U+FFFD, byte by
 * byte; whoever reads or writes JSON does the same through this. Thread: any. */
#ifndef CORE_CODEC_UTF8_H
#define CORE_CODEC_UTF8_H

#include "core/base/bytes.h"

/* Bytes of the code point that starts the text, 1 to 4; 0 when the text is empty or its first byte starts
 * none (overlong forms, surrogates and values above U+10FFFF are none). */
size_t utf8_sequence_bytes(struct bytes text);

#endif
