/* Any machine: whatever the compiler assumes, SSE2 on x86-64. */
#define CPU_TABLE op_cpu_base
#define CPU_PROBE probe_base
#include "op/cpu/cpu_table.inc"
