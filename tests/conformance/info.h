/* tests/conformance/info.h - questions about the fields of an INFO line, as rows put them.
 * Place in the flow: script.c -> info -> the JSON library. */
#ifndef TESTS_CONFORMANCE_INFO_H
#define TESTS_CONFORMANCE_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `line` is an INFO line without CR LF. `questions` are words:  a (there), !a (absent), a=json (equal),
 * a:string a:int a:bool (type), a#2 (an array of two). False with a sentence in `why`. Also false when the
 * line is not "INFO ", one JSON object without repeated keys, one space. */
bool info_holds(const char *line, const char *questions, char *why, size_t why_bytes);

/* The client_id of an INFO line; 0 when it has none. */
uint64_t info_client_id(const char *line);

#endif
