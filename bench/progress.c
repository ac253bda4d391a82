/* bench/progress.c - drawing behind progress.h. */
#include "bench/progress.h"

#include "core/base/clock.h"

#include <stdio.h>
#include <unistd.h>

enum { BAR_CELLS = 40 };

void progress_init(struct progress *progress, bool quiet, int64_t now_ns)
{
    *progress = (struct progress){.start_ns = now_ns, .next_ns = now_ns + NS_PER_SECOND / 5};
    if (!quiet)
        progress->form = isatty(STDERR_FILENO) ? PROGRESS_BAR : PROGRESS_LINES;
    if (progress->form == PROGRESS_LINES)
        progress->next_ns = now_ns + NS_PER_SECOND;
}

void progress_show(struct progress *progress, int64_t now_ns, double done, double total)
{
    if (progress->form == PROGRESS_NONE || now_ns < progress->next_ns)
        return;
    double part = total > 0 ? done / total : 0;
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    double seconds = (double)(now_ns - progress->start_ns) / (double)NS_PER_SECOND;
    if (progress->form == PROGRESS_LINES) {
        progress->next_ns = now_ns + NS_PER_SECOND;
        fprintf(stderr, "%3.0f %% after %.0f s\n", part * 100, seconds);
        return;
    }
    progress->next_ns = now_ns + NS_PER_SECOND / 10;
    char bar[BAR_CELLS + 1];
    for (int i = 0; i < BAR_CELLS; i++)
        bar[i] = i < (int)(part * BAR_CELLS) ? '#' : '.';
    bar[BAR_CELLS] = '\0';
    fprintf(stderr, "\r[%s] %3.0f %%  %.1f s", bar, part * 100, seconds);
    progress->drawn = true;
}

void progress_end(struct progress *progress)
{
    if (progress->drawn)
        fprintf(stderr, "\r%*s\r", BAR_CELLS + 24, "");
    progress->drawn = false;
}
