/* What one asks first about a session, beyond its sizes: how it runs in time, how many samples a row has, what its state
 * holds, where the bytes are. Reads times, sample counts and state in blocks, no pixels: some hundred MB/s. */
#ifndef SGAPS_IO_RECORDING_SURVEY_H
#define SGAPS_IO_RECORDING_SURVEY_H

#include "io/recording.h"

enum recording_part {
    PART_FRAMES,
    PART_RECONSTRUCTION,
    PART_IMPORTANCE,
    PART_SAMPLES,
    PART_STATE,
    PART_TIMES, /* frame_id, timestamp, recv_time */
    RECORDING_PARTS
};
extern const char *const recording_part_names[RECORDING_PARTS];

/* A state column: the finite values that are not the sentinel. */
struct state_survey {
    float low, high;
    size_t valid; /* rows that have one */
};

struct session_survey {
    /* Time, in the client's seconds; NAN where no row has a finite timestamp. */
    double first, last;
    double step;          /* the usual one: the median of the first steps; NAN of less than two rows */
    size_t gaps;          /* steps of more than 2.5 usual ones */
    double gap_seconds;   /* all of them together */
    double longest;       /* 0: none */
    size_t longest_after; /* the row before the longest */
    size_t backwards;     /* steps below zero */
    /* Samples of a row. */
    size_t samples_least, samples_most, rows_without;
    /* Bytes in the file, as compressed; 0 for the older per-frame files, which do not tell. */
    uint64_t bytes[RECORDING_PARTS];
    struct state_survey *state; /* (S) */
};

/* On an error what was found before it stands in s. Release in any case. */
int recording_survey(struct recording *r, size_t session, struct session_survey *s, struct err *e);
void session_survey_release(struct session_survey *s);

#endif
