/* sgaps-sample: one job, its inputs, and the two ways to take samples of a session. */
#ifndef SGAPS_CMD_SAMPLING_H
#define SGAPS_CMD_SAMPLING_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "cli/progress.h"
#include "conf/conf.h"
#include "io/recording.h"
#include "io/selection.h"
#include "recon/recon.h"
#include "sample/sample.h"

struct job {
    enum pattern pattern;
    size_t n;
    uint64_t seed;
    const struct config *conf; /* sampling, mask_update */
    /* the closed loop; recon is NULL for the open one */
    struct recon *recon;
    size_t latency;
    struct recording_writer *out;
    struct selections selections;
    struct progress progress;
    size_t done, without_frame;
};

/* Where the samples of a frame lie: everything but the map is filled in. */
struct sample_request job_request(const struct job *j, const struct session_info *s, int64_t frame_id);

/* Rows t with keep[t] of a session into j->out, between recording_begin and recording_end.
 * Open loop: every row has a set of its own. Closed loop: as live, each set is computed from what a frame before gave. */
int open_loop(struct job *j, struct recording *in, size_t session, const uint8_t *keep, struct err *e);
int closed_loop(struct job *j, struct recording *in, size_t session, const uint8_t *keep, struct err *e);

struct input {
    const char *path;
    struct recording *held; /* standard input, which opens only once */
    int is_selection;
};
struct inputs {
    struct input *item;
    size_t n;
    char *history; /* of the first recording */
};
/* A look at every input before the work: a selection counts wherever it stands. */
int inputs_look(struct inputs *list, struct job *j, const char *const *paths, size_t n, struct err *e);
int inputs_sample(struct inputs *list, struct job *j, struct err *e);
void inputs_release(struct inputs *list);

#endif
