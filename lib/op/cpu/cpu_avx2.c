/* Compiled with the flags mk/build.mk gives files of this name. */
#ifdef __x86_64__
#define CPU_TABLE op_cpu_avx2
#define CPU_PROBE probe_avx2
#include "op/cpu/cpu_table.inc"
#endif
