/* The frames that sgaps-eval holds at once: truth, the second file's frames, samples and states. Inside of contest.c. */
#ifndef SGAPS_EVAL_BATCH_H
#define SGAPS_EVAL_BATCH_H

#include "contest.h"

struct batch {
    size_t capacity, n; /* frames */
    size_t pixels;
    uint32_t W, H;
    size_t S; /* state columns */
    float sentinel;
    const char *session;
    uint8_t *truth; /* (1 + capacity, H*W): slot 0 the frame before */
    uint8_t *other; /* (capacity, H*W) of the second file, NULL without one */
    uint8_t *out;   /* (1 + capacity, H*W) of one entry */
    uint8_t *mask;  /* (capacity, H*W) which pixels were given */
    float *raw;     /* (capacity, H*W) what a reconstruction gives */
    float *scale;   /* (capacity, H*W) of the error, where a model has an error head, else NULL */
    float *state;   /* (capacity, S) */
    uint16_t *state_len;
    int64_t *frame_id;
    struct samples *recorded; /* (capacity) */
    struct samples *drawn;    /* (capacity) */
    struct frame_score *score;
};

int batch_take(struct batch *b, const struct contest *c, const struct pairing *p, struct err *e);
void batch_release(struct batch *b);
/* Reads the frames of the pairs from *at on, until the batch is full or the pairing ends (*done). */
int batch_fill(struct batch *b, struct contest *c, const struct pairing *p, size_t *at, int *done,
               struct err *e);
/* The samples of every frame at a budget, and their mask. *of is recorded or drawn. */
int batch_samples(struct batch *b, const struct contest *c, size_t budget, struct samples **of,
                  struct err *e);
/* Frame i with its samples and state, as a reconstruction wants it. */
struct recon_frame batch_frame(const struct batch *b, const struct samples *s, size_t i);

#endif
