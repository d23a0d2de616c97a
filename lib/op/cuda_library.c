#include "op/cuda_library.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY "libsgaps-cuda.so"

static struct {
    const struct op_table *table;
    int devices;
    struct err error;
} found;

/* FOLDER_OF_THE_PROGRAM/below, when there is such a file. */
static int beside_program(const char *below, char *path, size_t size)
{
    char program[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n < 0)
        return 0;
    program[n] = 0;
    char *slash = strrchr(program, '/');
    if (!slash)
        return 0;
    *slash = 0;
    return (size_t)snprintf(path, size, "%s/%s", program, below) < size && !access(path, R_OK);
}

static void *open_library(struct err *e)
{
    static const char *const below[] = {LIBRARY, "../lib/" LIBRARY, "../lib/sgaps/" LIBRARY};
    char path[PATH_MAX + 64];
    const char *given = getenv("SGAPS_CUDA_LIBRARY"), *name = given && *given ? given : NULL;
    int named = name != NULL;
    for (size_t i = 0; !name && i < sizeof below / sizeof *below; i++)
        if (beside_program(below[i], path, sizeof path))
            name = path;
    if (!name)
        name = LIBRARY;
    /* The library brings half a gigabyte of cuBLAS with it: not where there is no driver that could use it. */
    void *library = NULL, *driver = named ? NULL : dlopen("libcuda.so.1", RTLD_LAZY);
    const char *lacks = "there is no CUDA driver";
    if (driver || named) {
        library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
        lacks = "the CUDA backend cannot be loaded";
    }
    if (!library) {
        const char *why = dlerror(); /* "FILE: reason"; the next dlclose forgets it */
        int blas = why && strstr(why, "libcublas");
        err_set(e, ERR_UNAVAILABLE, "%s: %s%s", lacks, why ? why : LIBRARY,
                blas ? " (install CUDA's libcublas, or name its folder in LD_LIBRARY_PATH)" : "");
    }
    if (driver)
        dlclose(driver);
    return library;
}

static void find(void)
{
    void *library = open_library(&found.error);
    if (!library)
        return;
    const struct op_cuda_backend *b = dlsym(library, "sgaps_cuda_backend");
    if (!b || b->version != OP_CUDA_VERSION || b->table_size != sizeof(struct op_table) ||
        b->ctx_size != sizeof(struct op_ctx)) {
        err_set(&found.error, ERR_UNAVAILABLE,
                LIBRARY " belongs to another version of sgaps: install both from one build");
        return;
    }
    found.devices = b->device_count(&found.error);
    if (found.devices > 0)
        found.table = b->table;
}

int cuda_library_table(const struct op_table **table, int *devices, struct err *e)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, find);
    *table = found.table;
    *devices = found.devices;
    if (!found.table && e)
        *e = found.error;
    return found.table ? 0 : ERR_UNAVAILABLE;
}
