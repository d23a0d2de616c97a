/* What this machine can do at most, measured: the yardstick of sgaps-bench. */
#ifndef SGAPS_OP_CPU_CPU_PROBE_H
#define SGAPS_OP_CPU_CPU_PROBE_H

/* "avx512", "avx2" or "base": what the cpu backend runs here. */
const char *cpu_isa(void);

/* Floating point operations a second of fused multiply-adds in registers, in that instruction set; the best of a few
 * tries within about `seconds`. */
double cpu_peak_flops(int threads, double seconds);

/* Bytes a second read and written by copying between two blocks far larger than the caches; 0 without memory. */
double cpu_peak_bandwidth(int threads, double seconds);

#endif
