/* core/base/pause.h - what a loop does that only looks: it leaves the core's units to its sibling and saves
 * power. Thread: any. */
#ifndef CORE_BASE_PAUSE_H
#define CORE_BASE_PAUSE_H

#include "core/base/language.h"

static ALWAYS_INLINE void cpu_pause(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#else
    __asm__ volatile("" ::: "memory");
#endif
}

#endif
