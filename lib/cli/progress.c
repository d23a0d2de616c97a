#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

void progress_duration(double seconds, char *out, size_t size)
{
    unsigned long s = seconds > 0 && seconds < 1e9 ? (unsigned long)(seconds + 0.5) : 0;
    if (s >= 3600)
        snprintf(out, size, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, size, "%lu:%02lu", s / 60, s % 60);
}

void progress_begin(struct progress *p, const char *what, const char *unit, double total, int quiet)
{
    *p = (struct progress){.what = what, .unit = unit, .total = total, .start = clock_seconds()};
    p->on = !quiet && isatty(STDERR_FILENO);
}

void progress_update(struct progress *p, double done, const char *extra)
{
    if (!p->on)
        return;
    double now = clock_seconds(), passed = now - p->start;
    if (passed < 1 || now - p->drawn < 0.1)
        return;
    p->drawn = now;
    p->shown = 1;
    double rate = (done - p->before) / passed;
    char line[256], eta[32];
    int n = snprintf(line, sizeof line, "\r%s  %.0f", p->what, done);
    if (p->total > 0)
        n += snprintf(line + n, sizeof line - (size_t)n, "/%.0f", p->total);
    n += snprintf(line + n, sizeof line - (size_t)n, " %s  %.*f/s", p->unit, rate < 10 ? 2 : 0, rate);
    if (p->total > done && rate > 0) {
        progress_duration((p->total - done) / rate, eta, sizeof eta);
        n += snprintf(line + n, sizeof line - (size_t)n, "  ETA %s", eta);
    }
    if (extra)
        snprintf(line + n, sizeof line - (size_t)n, "  %.120s", extra);
    fprintf(stderr, "%s\033[K", line);
}

void progress_end(struct progress *p)
{
    if (p->shown)
        fputs("\r\033[K", stderr);
    p->on = p->shown = 0;
}
