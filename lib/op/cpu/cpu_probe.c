#include "op/cpu/cpu_probe.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "op/cpu/cpu.h"

double cpu_peak_flops(int threads, double seconds)
{
    float (*probe)(size_t, double *) = cpu_chosen()->probe;
    const size_t rounds = 400000;
    double best = 0, end = clock_seconds() + seconds;
    do {
        double total = 0, start = clock_seconds();
#pragma omp parallel for num_threads(threads) reduction(+ : total)
        for (int t = 0; t < threads; t++) {
            double flops;
            volatile float sink = probe(rounds, &flops);
            (void)sink;
            total += flops;
        }
        double rate = total / (clock_seconds() - start);
        best = rate > best ? rate : best;
    } while (clock_seconds() < end);
    return best;
}

double cpu_peak_bandwidth(int threads, double seconds)
{
    const size_t bytes = (size_t)256 << 20, share = bytes / (size_t)threads;
    char *from, *to;
    if (mem_alloc(&from, bytes, 1, "memory to copy", NULL))
        return 0;
    if (mem_alloc(&to, bytes, 1, "memory to copy", NULL)) {
        free(from);
        return 0;
    }
    double best = 0, end = clock_seconds() + seconds;
    do {
        double start = clock_seconds();
#pragma omp parallel for num_threads(threads)
        for (int t = 0; t < threads; t++)
            memcpy(to + (size_t)t * share, from + (size_t)t * share, share);
        double rate = 2.0 * (double)(share * (size_t)threads) / (clock_seconds() - start);
        best = rate > best ? rate : best;
    } while (clock_seconds() < end);
    free(from);
    free(to);
    return best;
}

const char *cpu_isa(void)
{
    return cpu_chosen()->isa;
}
