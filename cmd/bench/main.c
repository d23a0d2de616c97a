/* sgaps-bench: how fast this machine does the work, and against what it could. */
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "bench.h"
#include "cli/option.h"
#include "op/cpu/cpu_probe.h"
#include "op/op.h"
#include "op/op_probe.h"
#include "view/plot.h"

static struct {
    const char *model, *plot;
    int tsv;
    int64_t repetitions, samples, batch;
    uint32_t size[2];
} option = {.model = "spt-small", .samples = 200, .batch = 1};

// clang-format off
static const struct option_row rows[] = {
    {OPTION_TEXT, 0, "model", &option.model, "PRESET|CKPT", "network of infer and train: a preset with random weights, or a checkpoint; default spt-small", 0, 0},
    {OPTION_INTEGER, 'n', "samples", &option.samples, "N", "samples of a frame; default 200", 1, 1000000},
    {OPTION_SIZE, 0, "size", option.size, "WxH", "size of the frames; default: the model's", 0, 0},
    {OPTION_INTEGER, 0, "batch", &option.batch, "B", "frames in a batch; default 1", 1, 4096},
    {OPTION_INTEGER, 'r', "repetitions", &option.repetitions, "N", "timed runs; default: as many as fit half a second, at least 5", 1, 1000},
    {OPTION_FLAG, 0, "tsv", &option.tsv, NULL, "tab-separated table", 0, 0},
    {OPTION_TEXT, 0, "plot", &option.plot, "FILE", "measure at growing sizes, a quarter to four times of -n or of 1000 frames, and draw how time grows: a .svg or .png, - for the terminal (needs gnuplot)", 0, 0},
    {OPTION_END, 0, NULL, NULL, NULL, NULL, 0, 0},
};
// clang-format on

static const struct tool tool = {
    .name = "sgaps-bench",
    .purpose = "speed of operations, inference, training, cleaning and files, each against its limit",
    .synopsis = "[ops|infer|train|clean|io|all] [--device D] [--precision P] [--model PRESET|CKPT] [-n N] "
                "[--size WxH] [--batch B] "
                "[-r N] [--json|--tsv] [--plot FILE]",
    .options = rows,
    .common = COMMON_THREADS | COMMON_SEED | COMMON_DEVICE | COMMON_PRECISION | COMMON_JSON,
    .cuda = op_cuda_available,
    .epilogue = "Examples:\n"
                "  sgaps-bench ops -j 1\n"
                "  sgaps-bench infer --model spt-fast -r 20\n"
                "  sgaps-bench all --json | jq '.results[] | [.name, .median_ms]'\n"};

enum growth { GROWS_NOT, GROWS_WITH_SAMPLES, GROWS_WITH_FRAMES };
static const struct part {
    const char *name;
    int (*run)(struct bench *b, struct err *e);
    enum growth growth;
} parts[] = {{"ops", bench_ops, GROWS_NOT},
             {"infer", bench_infer, GROWS_WITH_SAMPLES},
             {"train", bench_train, GROWS_WITH_SAMPLES},
             {"clean", bench_clean, GROWS_WITH_FRAMES},
             {"io", bench_io, GROWS_WITH_FRAMES}};
enum { PARTS = sizeof parts / sizeof *parts, FRAMES = 1000 };

/* wanted (PARTS) from the operands; none, or "all": every part. */
static int choose(const struct parsed *p, int *wanted, struct err *e)
{
    for (int i = 0; i < PARTS; i++)
        wanted[i] = !p->file_count;
    for (size_t k = 0; k < p->file_count; k++) {
        int known = !strcmp(p->files[k], "all");
        for (int i = 0; i < PARTS; i++) {
            int same = !strcmp(p->files[k], parts[i].name);
            wanted[i] |= same || !strcmp(p->files[k], "all");
            known |= same;
        }
        if (!known)
            return err_set(e, ERR_USAGE, "%s: no such part (ops, infer, train, clean, io, all)", p->files[k]);
    }
    return 0;
}

static int check_plot(const struct parsed *p, const int *wanted, struct err *e)
{
    int grows = 0;
    for (int i = 0; i < PARTS; i++)
        grows |= wanted[i] && parts[i].growth;
    if (!grows)
        return err_set(e, ERR_USAGE, "--plot draws how infer, train, clean and io grow: name one of these");
    if (!strcmp(option.plot, "-") && (p->common.json || option.tsv))
        return err_set(e, ERR_USAGE, "--plot -: standard output has the figures already (--plot FILE)");
    return plot_check(option.plot, e);
}

/* At one size, or for the plot at five: as asked for, and up to four times less and more. */
static int run_part(const struct part *part, struct bench *b, struct err *e)
{
    const size_t samples = b->samples, frames = b->frames;
    int code = 0;
    if (!option.plot || !part->growth)
        return part->run(b, e);
    for (size_t quarters = 1; quarters <= 16 && !code; quarters *= 2) {
        if (part->growth == GROWS_WITH_SAMPLES)
            b->samples = (samples * quarters + 3) / 4;
        else
            b->frames = frames * quarters / 4;
        code = part->run(b, e);
        if (code == ERR_USAGE && quarters > 4) { /* a frame has no more pixels */
            code = 0;
            break;
        }
    }
    b->samples = samples;
    b->frames = frames;
    return code;
}

/* A device that is not there is told before anything is measured. */
static int probe(struct bench *b, struct err *e)
{
    struct op_ctx ctx;
    int code = op_open(&ctx, b->device, b->threads, b->precision, e);
    if (code)
        return code;
    b->cuda = op_is_cuda(&ctx);
    if (!strcmp(b->device, "auto"))
        b->device = b->cuda ? "cuda" : "cpu";
    op_describe(&ctx, b->device_name, sizeof b->device_name);
    if (b->cuda) {
        code = op_peak_flops(&ctx, &b->peak_flops, e);
        if (!code)
            code = op_peak_bandwidth(&ctx, &b->peak_bandwidth, e);
    } else {
        b->peak_flops = cpu_peak_flops(b->threads, 0.2);
        b->peak_bandwidth = cpu_peak_bandwidth(b->threads, 0.3);
    }
    op_close(&ctx);
    return code;
}

static int run(const struct parsed *p, struct bench *b, struct err *e)
{
    int wanted[PARTS], code = choose(p, wanted, e);
    if (!code && p->common.json && option.tsv)
        code = err_set(e, ERR_USAGE, "--json and --tsv exclude each other");
    if (!code && option.plot)
        code = check_plot(p, wanted, e);
    if (code)
        return code;
    code = probe(b, e);
    for (int i = 0; i < PARTS && !code; i++)
        if (wanted[i])
            code = run_part(&parts[i], b, e);
    if (!code)
        bench_print(b, p->common.json ? FORMAT_JSON : option.tsv ? FORMAT_TSV : FORMAT_TABLE);
    if (!code && option.plot && (code = bench_plot(b, option.plot, e)) == ERR_UNAVAILABLE) {
        log_warning("%s", e->text);
        code = 0;
    }
    return code;
}

int main(int argc, char **argv)
{
    struct parsed p;
    struct err e;
    tool_parse(&tool, &p, argc, argv, 0);
    struct bench b = {.device = p.common.device ? p.common.device : "auto",
                      .precision = (enum op_precision)op_precision_named(p.common.precision),
                      .model = option.model,
                      .seed = p.common.seed >= 0 ? (uint64_t)p.common.seed : 42,
                      .threads = p.common.threads ? (int)p.common.threads : omp_get_max_threads(),
                      .repetitions = (size_t)option.repetitions,
                      .samples = (size_t)option.samples,
                      .batch = (size_t)option.batch,
                      .frames = FRAMES,
                      .W = option.size[0],
                      .H = option.size[1]};
    int code = run(&p, &b, &e);
    if (code)
        tool_fail(&e);
    free(b.results);
    parsed_release(&p);
    return tool_finish(code);
}
