/* core/base/printable.h - which Unicode code points can be shown: letters, marks, numbers, punctuation,
 * symbols and the ASCII space. No other space, no control, no format character, nothing private or
 * unassigned. */
#ifndef CORE_BASE_PRINTABLE_H
#define CORE_BASE_PRINTABLE_H

#include <stdbool.h>
#include <stdint.h>

/* Whether a code point can be shown as it is. Cost: a binary search. Thread: any. */
bool printable(uint32_t code_point);

#endif
