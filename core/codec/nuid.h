/* core/codec/nuid.h - names for events: unique by chance, as NATS writes them. In the flow: events and
 * metrics
 * -> their `id`. Thread: that of the random numbers. */
#ifndef CORE_CODEC_NUID_H
#define CORE_CODEC_NUID_H

#include "core/base/random.h"

enum { NUID_TEXT_BYTES = 22 };

/* Writes one, letters and digits, without a zero behind. 131 bits: two are the same by chance never. */
void nuid_make(char out[NUID_TEXT_BYTES], struct random *random);

#endif
