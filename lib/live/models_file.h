/* Inside lib/live/models: one checkpoint file, found under the root and read. */
#ifndef SGAPS_LIVE_MODELS_FILE_H
#define SGAPS_LIVE_MODELS_FILE_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/err.h"
#include "recon/recon.h"

/* What a checkpoint became; shared by the cache and by sessions, freed with its last reference. */
struct weights {
    struct recon *recon;
    atomic_size_t refs, bytes;
    size_t max_state_dim;
    double sentinel;
    char version[128], sha256[65];
};
int weights_linear(struct weights **w, struct err *e);
void weights_hold(struct weights *w);
void weights_release(struct weights *w);
/* Takes its memory anew from the network. */
void weights_measure(struct weights *w);

/* By what a file is known again without reading it. */
struct file_mark {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};
int file_mark_equal(const struct file_mark *a, const struct file_mark *b);

/* ROOT/name/best.h5 with links resolved (free it) and its mark. ERR_NOINPUT when it is not there; ERR_DATA when it leads out
 * of the root or is no regular file. root is resolved already. */
int models_file_find(const char *root, const char *name, char **path, struct file_mark *mark, struct err *e);
/* A file changed in the last two seconds may change again within the clock's grain, or be half-written. */
int file_mark_young(const struct file_mark *mark);

int weights_load(struct weights **w, const char *path, const char *name, const char *device, int threads,
                 enum op_precision precision, struct err *e);

#endif
