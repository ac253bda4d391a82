/* bench/progress.h - how far a run is: a bar on a terminal, a plain line per second elsewhere, on stderr. */
#ifndef BENCH_PROGRESS_H
#define BENCH_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

enum progress_form { PROGRESS_NONE, PROGRESS_LINES, PROGRESS_BAR };

struct progress {
    enum progress_form form;
    bool drawn;
    int64_t start_ns;
    int64_t next_ns;
};

void progress_init(struct progress *progress, bool quiet, int64_t now_ns);

/* Draws when it is time to; call it as often as you like. `done` and `total` are in whatever unit. */
void progress_show(struct progress *progress, int64_t now_ns, double done, double total);

/* Takes the bar off the terminal. */
void progress_end(struct progress *progress);

#endif
