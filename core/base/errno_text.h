/* core/base/errno_text.h - what errno means, in the words that NATS users know: the system's sentence with a
 * small first letter ("no such file or directory"), as in "open /x: no such file or directory". */
#ifndef CORE_BASE_ERRNO_TEXT_H
#define CORE_BASE_ERRNO_TEXT_H

struct errno_text {
    char text[80]; /* terminated; the longest sentence of the C library has 49 letters */
};

/* The sentence for an errno. By value, so that errno_text(errno).text can stand among printf's arguments.
 * Never translated. Thread: any. */
struct errno_text errno_text(int number);

#endif
