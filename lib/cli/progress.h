/* Progress of a long job on stderr: only on a terminal, after one second, never with -q. One line, redrawn at most ten
 * times a second: "clean  1234/20000 frames  812/s  ETA 0:23". */
#ifndef SGAPS_CLI_PROGRESS_H
#define SGAPS_CLI_PROGRESS_H

#include <stddef.h>

struct progress {
    const char *what, *unit;
    double total, start, drawn; /* total 0: unknown */
    double before;              /* done when it began, as by a run that is resumed: no part of the rate */
    int on, shown;
};
void progress_begin(struct progress *p, const char *what, const char *unit, double total, int quiet);
void progress_update(struct progress *p, double done, const char *extra /* NULL */);
void progress_end(struct progress *p); /* wipes the line */

/* "0:23", "1:02:03" */
void progress_duration(double seconds, char *out, size_t size);

#endif
