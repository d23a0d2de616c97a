/* The CUDA device of a test: the one SGAPS_CUDA_LIBRARY names, else the emulated one. */
#ifndef SGAPS_TESTS_CUDA_CASE_H
#define SGAPS_TESTS_CUDA_CASE_H

#include "base/err.h"

/* Before the first op_open. 0, or the reason why there is none. */
int cuda_case_device(struct err *e);
/* 1: it is the emulated one. */
int cuda_case_emulated(void);

#endif
