/* A golden case of tests/reference/make_golden.py, read with HDF5 directly: expected.h5 is no format of ours. */
#ifndef SGAPS_TESTS_GOLDEN_CASE_H
#define SGAPS_TESTS_GOLDEN_CASE_H

#include <hdf5.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/model_config.h"
#include "spt/spt.h"

struct golden {
    char name[256];
    hid_t checkpoint, recording, expected;
    struct model_config config;
    size_t B, N, H, W, S;
    int32_t *counts;
    float *pixels, *state, *mask, *target, *prefill;
    /* of loss_sampled */
    int32_t *index;
    float *value;
    uint8_t *select;
};

int golden_open(struct golden *g, const char *dir, struct err *e);
void golden_close(struct golden *g);
/* An array of a file, free() it; NULL: there is none of that name. */
float *golden_floats(hid_t file, const char *path, size_t *n);
float *golden_shaped(hid_t file, const char *path, size_t *n, hsize_t shape[4]);
double golden_number(hid_t file, const char *path); /* NAN: none */
struct spt_batch golden_batch(const struct golden *g);
/* The checkpoint's tensors into the network; 0 when one is missing or has another size. */
int golden_load(const struct golden *g, struct spt *m);

#endif
