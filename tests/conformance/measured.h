/* tests/conformance/measured.h - cases that count, compare or flood, and so are functions instead of scripts.
 * Place in the flow: rows name them; script.c calls them. Each returns false after run_fail(). */
#ifndef TESTS_CONFORMANCE_MEASURED_H
#define TESTS_CONFORMANCE_MEASURED_H

#include <stdbool.h>

struct run;

bool measured_cut_anywhere(struct run *run);
bool measured_copies(struct run *run);
bool measured_shares(struct run *run);
bool measured_order(struct run *run);
bool measured_visible(struct run *run);
bool measured_invisible(struct run *run);
bool measured_group_max(struct run *run);
bool measured_one_503(struct run *run);
bool measured_busy_publisher(struct run *run);
bool measured_busy_receiver(struct run *run);
bool measured_slow_consumer(struct run *run);
bool measured_write_deadline(struct run *run);

#endif
