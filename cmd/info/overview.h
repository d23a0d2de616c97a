/* All sessions of a recording as one: added up one after the other, so that memory does not grow with their states. */
#ifndef SGAPS_CMD_INFO_OVERVIEW_H
#define SGAPS_CMD_INFO_OVERVIEW_H

#include "io/recording.h"
#include "io/recording_survey.h"

struct overview_column {
    const char *name; /* NULL: without one, or not the same in all sessions */
    struct state_survey values;
    size_t rows; /* of the sessions that have this column */
};

struct overview {
    size_t sessions, frames, full, not_closed;
    double seconds; /* of all sessions together */
    size_t gaps, backwards;
    double gap_seconds, longest;
    size_t longest_session, longest_after; /* where the longest gap is */
    size_t samples, samples_least, samples_most, rows_without, sampled_rows;
    double coverage_sum; /* over sampled rows: samples over pixels */
    uint64_t bytes[RECORDING_PARTS];
    struct overview_column *column;
    size_t columns, capacity;
};

/* Rows of a session in seconds: from the first to the last, and one usual step for the last. NAN without times. */
double survey_seconds(const struct session_survey *s);
/* Surveys session i into s, which the caller releases, and adds it. An error leaves what was found. */
int overview_add(struct overview *o, struct recording *r, size_t i, struct session_survey *s, struct err *e);
void overview_release(struct overview *o);
/* The mean share of a frame's pixels that was sampled; NAN without samples. */
double overview_coverage(const struct overview *o);

#endif
