/* For tests of lib/live: a folder of checkpoints made from the golden ones, and a model waited for. Faults end the program. */
#ifndef SGAPS_TESTS_LIVE_CASE_H
#define SGAPS_TESTS_LIVE_CASE_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "live/models.h"

/* An empty folder below TMPDIR; free() it. */
char *live_folder(void);
void live_folder_remove(char *folder); /* and frees the name */
/* FOLDER/key/best.h5: tests/golden/<golden>/checkpoint.h5 with this step, weights that depend on it, and S columns of state (0: as
 * it is, 12). Written beside and renamed. The path is free()d by the caller. */
char *live_checkpoint(const char *folder, const char *key, const char *golden, int64_t step, size_t S);
/* The model of a key, waited for; *at_once (may be NULL): it was there already. */
struct model *live_model(struct models *m, const char *key, int *at_once);

#endif
