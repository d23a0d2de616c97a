/* Cleaning: which frames of a data set are worth training on.
 *
 * Three rules, in order: pre-filter (each frame on its own), stationarity (a session's movement), balancing (K-means over
 * the whole data set). Nothing of the input is changed: every frame gets a reason, the kept ones are copied.
 *
 *     clean_init(&c);
 *     clean_add(&c, recording, file, ...)    for each file: states are read, pixels and samples only looked at
 *     clean_run(&c, &params, &e);
 *     clean_write_session(...), clean_write_trail(...)    or clean_report
 *
 * Memory: the states, and some thirty bytes a frame. */
#ifndef SGAPS_CLEAN_CLEAN_H
#define SGAPS_CLEAN_CLEAN_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "conf/conf.h"
#include "io/recording.h"

enum clean_reason {
    CLEAN_KEPT,
    CLEAN_NOT_SELECTED, /* by a selection given beside the recordings */
    CLEAN_NOT_FINITE,   /* NaN or infinity among state, samples or timestamp */
    CLEAN_OUT_OF_RANGE, /* a coordinate outside [0,1] */
    CLEAN_NO_STATE,     /* every entry is the sentinel */
    CLEAN_FEW_SAMPLES,
    CLEAN_STATIONARY,         /* a frame of a run that stands still */
    CLEAN_STATIONARY_SESSION, /* a session that stands still */
    CLEAN_BALANCED,           /* thinned out of a large cluster */
    CLEAN_REASONS
};
const char *clean_reason_name(int reason);

enum stationarity { STATIONARITY_FRAME, STATIONARITY_SESSION, STATIONARITY_NONE };

struct clean_params {
    size_t min_pixels, keep_every;
    enum stationarity stationarity;
    int raw_velocity; /* raw units, per frame, not per second */
    double ratio, noise_floor;
    size_t clusters; /* 0: no balancing */
    char cap[24];    /* p80, median, mean or a number */
    int plus_plus;   /* initial centroids by k-means++ */
    uint64_t seed;
};
/* From the configuration's group; the older server's floor 0.15 with raw_velocity, unless the floor was given. */
void clean_params_from(struct clean_params *p, const struct config *conf, int raw_velocity, int plus_plus);

struct clean_session {
    char *id;                      /* unique over the data set */
    char *source_id, *source_uuid; /* as its file says; "" where it does not */
    size_t file, session;
    size_t T, S;
    double fps; /* 0: not recorded */
    int has_samples;
    float *state;     /* (T,S); NAN: missing. A row with a value that is not finite is missing as a whole */
    double *time;     /* (T) */
    uint32_t *count;  /* (T) samples */
    uint8_t *reason;  /* (T) enum clean_reason */
    float *velocity;  /* (T); NAN: there is none */
    int32_t *cluster; /* (T); -1: took no part in the balancing */
    double median;    /* of its velocities; NAN */
};

struct clean {
    struct clean_session *session;
    size_t sessions, capacity;
    size_t S; /* of the widest session */
    size_t n; /* frames */
    /* after clean_run: */
    size_t count[CLEAN_REASONS];
    size_t without_samples, without_state; /* sessions */
    size_t columns;                        /* state columns in use: valid somewhere and not constant */
    double *mean, *deviation; /* (S) over the frames that pass the pre-filter; deviation 0: not in use */
    int raw_velocity;         /* as asked for */
    double median, threshold; /* of the velocities; NAN when there are none */
    size_t clusters, features, cap; /* clusters 0: not balanced, and why: */
    const char *not_balanced;
    size_t *before, *after; /* (clusters) sizes */
    int iterations;
};

/* Frames read so far (clean_add), or written of this session (clean_write_session); iterations of K-means (clean_run). */
typedef void (*clean_progress_fn)(void *user, size_t done);

void clean_init(struct clean *c);
void clean_release(struct clean *c);

/* Reads every session of r. file is the caller's number for it. Each frame's own rules are applied here. A selection (see
 * recording_keep) may be NULL. */
int clean_add(struct clean *c, struct recording *r, size_t file, const struct clean_params *p,
              struct recording *const *selection, size_t selections, clean_progress_fn progress, void *user,
              struct err *e);
/* Stationarity and balancing, and the counts. */
int clean_run(struct clean *c, const struct clean_params *p, clean_progress_fn progress, void *user,
              struct err *e);

/* The steps of clean_run, in their order. */
int clean_standardise(struct clean *c, struct err *e);
int clean_stationarity(struct clean *c, const struct clean_params *p, struct err *e);
int clean_balance(struct clean *c, const struct clean_params *p, clean_progress_fn progress, void *user,
                  struct err *e);

/* Copies the kept frames of session i from its recording; nothing is written for a session without any. The pictures'
 * chunks are copied as they are. */
int clean_write_session(const struct clean *c, size_t i, struct recording *source, struct recording_writer *w,
                        clean_progress_fn progress, void *user, struct err *e);
/* /clean/<id>/{keep,reason,velocity,cluster} of every session, parameters, counts and reasons as attributes of /clean.
 * source: the inputs' uuids and names, one a line; paths: by the caller's numbers for the files, NULL: not said. */
int clean_write_trail(const struct clean *c, const struct clean_params *p, const char *source,
                      const char *const *paths, struct recording_writer *w, struct err *e);

/* The report: lines "# name<TAB>value" with parameters, results and notes, then a table with a row for each session. */
void clean_report(const struct clean *c, const struct clean_params *p, FILE *f);
/* Every rule that did not apply, as sentences; usual: nothing to wonder about. */
void clean_notes(const struct clean *c, void (*say)(void *user, const char *text, int usual), void *user);

/* The velocities in bins of equal steps of the logarithm, from a hundredth of the threshold up; what is slower is in the
 * first bin. */
enum { CLEAN_BINS = 60 };
struct clean_histogram {
    double low, high;
    size_t count[CLEAN_BINS];
};
void clean_histogram(const struct clean *c, struct clean_histogram *h);
double clean_histogram_edge(const struct clean_histogram *h, int bin); /* the left one; of CLEAN_BINS: high */
/* order (clusters): the clusters by their size before, the largest first. */
void clean_order_clusters(const struct clean *c, size_t *order);

/* Sorts in place; the p-th percentile of sorted values by linear interpolation, NAN of none. */
void clean_sort(double *x, size_t n);
double clean_percentile(const double *sorted, size_t n, double p);

#endif
