/* Checkpoints: tensors by torch's names, configuration as JSON, optimiser state. Format: sgaps-checkpoint(5).
 * Reading checks format, version, sha256 (absent: a note), shapes against the caller's table and that all is finite. */
#ifndef SGAPS_IO_CHECKPOINT_H
#define SGAPS_IO_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct checkpoint_tensor {
    char name[96];
    int dims;
    size_t shape[4];
    size_t count;
    float *data; /* in the checkpoint's own memory */
};

struct checkpoint {
    char *config, *checkpoint_key, *metric, *data_uuid, *creator, *created_at, *history; /* text; may be "" */
    int64_t epoch, step;
    double score; /* NAN: none */
    uint64_t seed;
    struct checkpoint_tensor *tensors; /* file order */
    size_t tensor_count;
    /* optimiser: parallel to tensors by name; NULL when absent */
    struct checkpoint_tensor *exp_avg, *exp_avg_sq;
    size_t moment_count;
    int64_t optimizer_step;
    double lr, beta1, beta2, eps, weight_decay;
    /* state statistics, NULL when absent */
    float *state_mean, *state_std;
    size_t state_n;
    char *
        training; /* /scheduler attr "training": JSON of the training loop's own state (for --resume); may be "" */
    char sha256[65]; /* of the tensors' bytes as they were read, hexadecimal; not written */
    char path[4096];
};

/* Reads all of it; optimiser moments only when with_optimizer. `_orig_mod.` prefixes are stripped, query_grid and
 * num_batches_tracked skipped. */
int checkpoint_read(struct checkpoint *c, const char *path, int with_optimizer, struct err *e);
/* The same from a private copy under $TMPDIR, for a file that somebody may be writing to: libhdf5 crashes on bytes that change
 * under it. ERR_TEMPFAIL: it changed while it was copied. No moments. */
int checkpoint_read_copy(struct checkpoint *c, const char *path, struct err *e);
void checkpoint_release(struct checkpoint *c);
const struct checkpoint_tensor *checkpoint_find(const struct checkpoint *c, const char *name);
/* Writes through a .part file; sha256 over the tensors' bytes in order. no_history as for recordings. */
int checkpoint_write(const struct checkpoint *c, const char *path, int no_history, struct err *e);
/* 1 when the file says it is a checkpoint, 0 when not (or cannot be read). */
int checkpoint_probe(const char *path);

#endif
