/* The frames of many recordings behind one index: rows of (session, time), read one at a time.
 *
 * Opening reads sizes only. At most a few files are open at once (each has a chunk cache of 16 MB). A file that holds a
 * selection of sgaps-clean and no sessions takes the dropped rows of the sessions it names out of the index.
 * dataset_read may be called by any thread: one lock guards the files. */
#ifndef SGAPS_TRAIN_DATASET_H
#define SGAPS_TRAIN_DATASET_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/recording.h"

struct dataset;

struct dataset_session {
    uint32_t file, in_file; /* which file, and its session there */
    char *id, *checkpoint_key;
    uint32_t W, H;
    float sentinel;
    size_t T, S;
    int has_samples, has_frames;
};

int dataset_open(struct dataset **d, const char *const *files, size_t count, struct err *e);
void dataset_close(struct dataset *d);
size_t dataset_sessions(const struct dataset *d);
const struct dataset_session *dataset_session(const struct dataset *d, size_t i);
const char *dataset_path(const struct dataset *d, size_t session); /* the file it lives in */
const char *dataset_uuid(const struct dataset *d); /* of the first file, "" when it has none */

struct row {
    uint32_t session, t;
};
struct rows {
    struct row *items;
    size_t n, capacity;
};
void rows_release(struct rows *rows);
int rows_append(struct rows *rows, struct row row, struct err *e);

/* Appends the rows of a session that the selection keeps and that have a frame (when needed) and samples (when needed). */
enum { NEED_FRAME = 1, NEED_SAMPLES = 2 };
int dataset_rows(struct dataset *d, size_t session, int need, struct rows *rows, struct err *e);

/* One row's data, in buffers that are reused. */
struct dataset_frame {
    uint8_t *image; /* (H,W) as recorded */
    int has_image;
    uint32_t W, H;
    struct samples samples;
    float *state; /* (state_n) */
    size_t state_n;
    float sentinel;
    size_t image_capacity, state_capacity;
};
enum { READ_IMAGE = 1, READ_SAMPLES = 2, READ_STATE = 4 };
int dataset_read(struct dataset *d, struct row row, int what, struct dataset_frame *f, struct err *e);
void dataset_frame_release(struct dataset_frame *f);

/* Mean and standard deviation (S each) of the valid entries of each state column over rows; a column that is constant
 * or never valid gets deviation 1, columns past a recording's width count as never valid. */
int dataset_state_statistics(struct dataset *d, const struct rows *rows, size_t S, float *mean, float *std,
                             struct err *e);

#endif
