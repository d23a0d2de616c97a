/* What the parts of sgaps-bench share: options, timing, and the list of results. */
#ifndef SGAPS_CMD_BENCH_H
#define SGAPS_CMD_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "op/op.h"

struct result {
    const char *bench; /* "ops", "infer", ... */
    char name[128];
    size_t runs;
    size_t repeats; /* of the work in one run, whose times are divided by it; 0: 1 */
    double median, low, high,
        spread;          /* seconds; spread: half the distance of the quartiles over the median */
    double processor;    /* median seconds of processor time, all threads: what a busy machine blurs less */
    double flops, bytes; /* of one run; 0: not counted */
    double limit;        /* seconds the machine needs at least; 0: unknown */
    double items;        /* done in one run, of these: */
    const char *unit;
    size_t size; /* what the plot of growth has on its x axis: samples or frames; 0: takes no part */
};

struct bench {
    const char *device; /* as op_open; once run: cpu, cuda or cuda:N */
    const char *model;
    enum op_precision precision;
    int cuda;
    char device_name[160]; /* with the precision in force */
    uint64_t seed;
    int threads, quiet;
    size_t repetitions; /* 0: as many as fit half a second, at least 5 */
    size_t samples, batch;
    size_t frames; /* of the recordings of clean and io */
    uint32_t W, H; /* 0: the model's */
    double peak_flops, peak_bandwidth;
    struct result *results;
    size_t count, capacity;
};

/* One run of what is timed. */
typedef int (*run_fn)(void *user, struct err *e);

/* Two runs to warm up, then the repetitions; fills in the times of r and appends it to the list. A limit of 0 with flops or
 * bytes is set from the machine's peaks. */
int bench_measure(struct bench *b, struct result r, run_fn run, void *user, struct err *e);

int bench_ops(struct bench *b, struct err *e);
int bench_infer(struct bench *b, struct err *e);
int bench_train(struct bench *b, struct err *e);
int bench_clean(struct bench *b, struct err *e);
int bench_io(struct bench *b, struct err *e);

enum format { FORMAT_TABLE, FORMAT_TSV, FORMAT_JSON };
void bench_print(const struct bench *b, enum format format);
/* How the times of infer and train grow with the samples, those of clean and io with the frames. As plot_draw. */
int bench_plot(const struct bench *b, const char *path, struct err *e);

#endif
