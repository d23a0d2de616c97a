#include "cuda_case.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "op/op.h"

int cuda_case_device(struct err *e)
{
    char path[4096];
    const char *tests = getenv("SGAPS_TESTS");
    if (!getenv("SGAPS_CUDA_LIBRARY") && tests) {
        snprintf(path, sizeof path, "%s/cuda/libsgaps-cuda-emulated.so", tests);
        setenv("SGAPS_CUDA_LIBRARY", path, 1);
    }
    return op_cuda_available(e);
}

int cuda_case_emulated(void)
{
    const char *library = getenv("SGAPS_CUDA_LIBRARY");
    return library && strstr(library, "emulated");
}
