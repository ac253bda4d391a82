/* core/base/check.h - assertions: what must be true whatever the world does.
 * ASSERT and UNREACHABLE stay on in release builds. ASSERT_HOT costs nothing there: it is on in tests,
 * sanitizer and fuzz builds (MYELIN_CHECK_HOT=1). Never for input, disk or network: those return errors. */
#ifndef CORE_BASE_CHECK_H
#define CORE_BASE_CHECK_H

#ifndef MYELIN_CHECK_HOT
#define MYELIN_CHECK_HOT 0
#endif

#define ASSERT(condition) ((condition) ? (void)0 : assert_failed(#condition, __FILE__, __LINE__))
#define ASSERT_HOT(condition) ((void)(MYELIN_CHECK_HOT && (ASSERT(condition), 0)))

/* Where no path leads: `text` is a literal that says what would have come here. Not ASSERT(!"text"): clang
 * takes a literal that becomes a bool for a slip. Does not return. */
#define UNREACHABLE(text) assert_failed("" text, __FILE__, __LINE__)

/* Prints one line to stderr and aborts. Thread: any. */
_Noreturn void assert_failed(const char *condition, const char *file, int line);

#endif
