/* Timing and its report. */
#include <gnu/libc-version.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/mem.h"
#include "bench.h"
#include "cli/output.h"
#include "op/cpu/cpu_probe.h"
#include "op/cpu/onednn.h"

enum { WARM_UP = 2, LEAST = 5, MOST = 1000 };

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t n, double q)
{
    double at = q * (double)(n - 1);
    size_t i = (size_t)at;
    return i + 1 < n ? sorted[i] + (at - (double)i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

static double processor_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void summarise(struct result *r, double *seconds, double *processor, size_t n)
{
    qsort(seconds, n, sizeof *seconds, by_size);
    qsort(processor, n, sizeof *processor, by_size);
    r->processor = quantile(processor, n, 0.5);
    r->runs = n;
    r->median = quantile(seconds, n, 0.5);
    r->low = seconds[0];
    r->high = seconds[n - 1];
    r->spread = (quantile(seconds, n, 0.75) - quantile(seconds, n, 0.25)) / 2 / r->median;
}

int bench_measure(struct bench *b, struct result r, run_fn run, void *user, struct err *e)
{
    double seconds[MOST], processor[MOST], end, each = r.repeats ? (double)r.repeats : 1;
    size_t n = 0, want = b->repetitions ? b->repetitions : LEAST;
    int code = 0;
    for (int i = 0; i < WARM_UP && !code; i++)
        code = run(user, e);
    end = clock_seconds() + 0.5;
    while (!code && n < MOST && (n < want || (!b->repetitions && clock_seconds() < end))) {
        double start = clock_seconds(), used = processor_seconds();
        code = run(user, e);
        seconds[n] = (clock_seconds() - start) / each;
        processor[n++] = (processor_seconds() - used) / each;
    }
    if (!code)
        code = mem_grow(&b->results, &b->capacity, b->count + 1, sizeof r, "results", e);
    if (code)
        return code;
    summarise(&r, seconds, processor, n);
    if (!(r.limit > 0))
        r.limit = fmax(r.flops / b->peak_flops, b->peak_bandwidth > 0 ? r.bytes / b->peak_bandwidth : 0);
    b->results[b->count++] = r;
    return 0;
}

/* "model name" of /proc/cpuinfo. */
static void cpu_name(char *out, size_t size)
{
    char line[256];
    FILE *f = fopen("/proc/cpuinfo", "r");
    snprintf(out, size, "unknown");
    while (f && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon)
            continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(out, size, "%s", colon + 2);
        break;
    }
    if (f)
        fclose(f);
}

static void print_machine(const struct bench *b, struct json *j)
{
    char name[256];
    cpu_name(name, sizeof name);
    json_key_text(j, "tool", "sgaps-bench");
    json_key_text(j, "version", SGAPS_VERSION);
    json_key(j, "machine");
    json_object(j);
    json_key_text(j, "cpu", name);
    json_key_integer(j, "cores", omp_get_num_procs());
    json_key_integer(j, "threads", b->threads);
    json_key_text(j, "instruction_set", cpu_isa());
    json_close(j);
    json_key(j, "build");
    json_object(j);
    json_key_text(j, "compiler", __VERSION__);
    json_key_integer(j, "openmp", _OPENMP);
#ifdef __SANITIZE_ADDRESS__
    json_key_text(j, "sanitizer", "address,undefined");
#endif
    json_close(j);
    json_key(j, "libraries");
    json_object(j);
    json_key_text(j, "oneDNN", onednn_version());
    json_key_text(j, "oneDNN_instruction_set", onednn_isa());
    json_key_text(j, "libc", gnu_get_libc_version());
    json_close(j);
    json_key(j, "peak");
    json_object(j);
    json_key_number(j, "gflops", b->peak_flops / 1e9);
    json_key_number(j, "gigabytes_per_second", b->peak_bandwidth / 1e9);
    json_close(j);
    json_key_text(j, "device", b->device);
    json_key_text(j, "device_name", b->device_name);
    json_key_text(j, "model", b->model);
    json_key_integer(j, "samples", (int64_t)b->samples);
    json_key_integer(j, "batch", (int64_t)b->batch);
}

/* NAN, which prints as null or "-", for what was not counted. */
static double per_second(double amount, const struct result *r)
{
    return amount > 0 ? amount / r->median : NAN;
}

static void print_json(const struct bench *b)
{
    struct json j;
    json_begin(&j, stdout, 2);
    json_object(&j);
    print_machine(b, &j);
    json_key(&j, "results");
    json_array(&j);
    for (size_t i = 0; i < b->count; i++) {
        const struct result *r = b->results + i;
        json_object(&j);
        json_key_text(&j, "bench", r->bench);
        json_key_text(&j, "name", r->name);
        json_key_integer(&j, "runs", (int64_t)r->runs);
        json_key_number(&j, "median_ms", r->median * 1e3);
        json_key_number(&j, "min_ms", r->low * 1e3);
        json_key_number(&j, "max_ms", r->high * 1e3);
        json_key_number(&j, "spread", r->spread);
        json_key_number(&j, "processor_ms", r->processor * 1e3);
        json_key_number(&j, "gflops", per_second(r->flops, r) / 1e9);
        json_key_number(&j, "gigabytes_per_second", per_second(r->bytes, r) / 1e9);
        json_key_number(&j, "share_of_limit", per_second(r->limit, r));
        json_key_number(&j, "rate", per_second(r->items, r));
        json_key_text(&j, "unit", r->unit ? r->unit : "");
        json_close(&j);
    }
    json_end(&j);
}

static void print_table(const struct bench *b, int tsv)
{
    static const char *const headings[] = {"bench",   "what", "runs",       "median ms", "spread %", "cpu ms",
                                           "GFLOP/s", "GB/s", "% of limit", "rate",      "unit"};
    struct table t;
    char name[256];
    cpu_name(name, sizeof name);
    if (b->cuda)
        printf("# %s: %s\n", b->device, b->device_name);
    printf("# %s, %s, %d thread%s; peak %.1f GFLOP/s, %.1f GB/s; oneDNN %s (%s), %s\n", name, cpu_isa(),
           b->threads, b->threads == 1 ? "" : "s", b->peak_flops / 1e9, b->peak_bandwidth / 1e9,
           onednn_version(), onednn_isa(), __VERSION__);
    table_begin(&t, sizeof headings / sizeof *headings, headings);
    for (size_t i = 0; i < b->count; i++) {
        const struct result *r = b->results + i;
        table_cell(&t, "%s", r->bench);
        table_cell(&t, "%s", r->name);
        table_cell(&t, "%zu", r->runs);
        table_number(&t, r->median * 1e3, 3);
        table_number(&t, r->spread * 100, 1);
        table_number(&t, r->processor * 1e3, 3);
        table_number(&t, per_second(r->flops, r) / 1e9, 1);
        table_number(&t, per_second(r->bytes, r) / 1e9, 2);
        table_number(&t, per_second(r->limit, r) * 100, 0);
        table_number(&t, per_second(r->items, r), 1);
        table_cell(&t, "%s", r->unit ? r->unit : "-");
    }
    table_print(&t, stdout, tsv);
    table_release(&t);
}

void bench_print(const struct bench *b, enum format format)
{
    if (format == FORMAT_JSON)
        print_json(b);
    else
        print_table(b, format == FORMAT_TSV);
}
