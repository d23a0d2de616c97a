/* Who is compared: the second file, and every model and method at every budget of samples. All see the same frames with
 * the same samples, in one pass over the reference, a batch of frames at a time. */
#ifndef SGAPS_EVAL_CONTEST_H
#define SGAPS_EVAL_CONTEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "film_pair.h"
#include "io/selection.h"
#include "recon/recon.h"
#include "sample/sample.h"
#include "score.h"

/* A model, or a method with one handle for each thread. */
struct contender {
    const char *name;
    int is_model;
    struct recon **handle;
    size_t handles;
};

struct entry {
    const struct contender *who; /* NULL: the second file */
    size_t budget;               /* into contest.budgets */
    struct score score;
    uint8_t *before; /* its previous frame of the session, if has_before */
    int has_before;
};

struct contest {
    struct film *reference, *second; /* the latter may be NULL */
    int compared;                    /* the second is compared itself; else it only gives its samples */
    struct selections selections;    /* rows of the reference to leave out */
    struct contender *contenders;
    size_t contender_count;
    size_t *budgets; /* samples a frame; 0: as recorded */
    size_t budget_count;
    enum pattern pattern;
    uint64_t seed;
    uint32_t size[2];                 /* --size, 0: the reference's */
    int keep;                         /* every frame's figures */
    enum recon_importance importance; /* on pictures */
    /* out */
    struct entry *entries; /* the second file's first, then budget by budget */
    size_t entry_count;
    size_t unmatched, frameless, sampleless; /* frames left out, and why */
    uint32_t W, H;                           /* of the frames compared last */
};

/* report is called now and then with the number of frames done. */
int contest_run(struct contest *c, void (*report)(void *user, size_t frames), void *user, struct err *e);
void contest_release(struct contest *c);

#endif
