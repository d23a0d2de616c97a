/* Time: a monotonic clock for durations, the wall clock for stamps. */
#ifndef SGAPS_BASE_CLOCK_H
#define SGAPS_BASE_CLOCK_H

double clock_seconds(void); /* monotonic, seconds since an arbitrary start */
double clock_unix(void);    /* wall clock, seconds since 1970 */

/* "2026-01-01T00:00:00Z" (20 characters and the end) of now. */
void clock_iso8601(char out[21]);

#endif
