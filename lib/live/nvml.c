#include "live/nvml.h"

#include <dlfcn.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"

enum { GPUS = 16 };

/* The part of NVML's C interface that is used, by its public reference: functions return 0 for success. */
typedef void *device_t;
struct utilization {
    unsigned gpu, memory; /* per cent */
};
struct memory {
    unsigned long long total, free, used;
};
enum { TEMPERATURE_GPU = 0 };

struct nvml {
    void *library;
    int (*init)(void);
    int (*shutdown)(void);
    int (*device_count)(unsigned *);
    int (*device)(unsigned, device_t *);
    int (*name)(device_t, char *, unsigned);
    int (*temperature)(device_t, int, unsigned *);
    int (*utilization)(device_t, struct utilization *);
    int (*memory)(device_t, struct memory *);
    int (*power)(device_t, unsigned *); /* milliwatts */

    pthread_t thread;
    pthread_mutex_t lock; /* what follows */
    pthread_cond_t wake;
    int stop;
    struct nvml_gpu gpu[GPUS];
    size_t n;
};

/* POSIX lets dlsym's object pointer be stored as a function's; ISO C only through memory. */
static int find(struct nvml *n, const char *name, void *function)
{
    void *symbol = dlsym(n->library, name);
    memcpy(function, &symbol, sizeof symbol);
    return symbol != NULL;
}

static int load(struct nvml *n)
{
    n->library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!n->library)
        return 0;
    return find(n, "nvmlInit_v2", &n->init) && find(n, "nvmlShutdown", &n->shutdown) &&
           find(n, "nvmlDeviceGetCount_v2", &n->device_count) &&
           find(n, "nvmlDeviceGetHandleByIndex_v2", &n->device) && find(n, "nvmlDeviceGetName", &n->name) &&
           find(n, "nvmlDeviceGetTemperature", &n->temperature) &&
           find(n, "nvmlDeviceGetUtilizationRates", &n->utilization) &&
           find(n, "nvmlDeviceGetMemoryInfo", &n->memory) && find(n, "nvmlDeviceGetPowerUsage", &n->power);
}

static struct nvml_gpu ask(struct nvml *n, unsigned i)
{
    struct nvml_gpu g = {.index = i,
                         .temperature = NAN,
                         .utilization = NAN,
                         .memory_used = NAN,
                         .memory_total = NAN,
                         .power = NAN};
    device_t device;
    unsigned x;
    struct utilization u;
    struct memory m;
    if (n->device(i, &device))
        return g;
    if (n->name(device, g.name, sizeof g.name))
        g.name[0] = 0;
    g.name[sizeof g.name - 1] = 0;
    if (!n->temperature(device, TEMPERATURE_GPU, &x))
        g.temperature = x;
    if (!n->utilization(device, &u))
        g.utilization = u.gpu / 100.0;
    if (!n->memory(device, &m)) {
        g.memory_used = (double)m.used;
        g.memory_total = (double)m.total;
    }
    if (!n->power(device, &x))
        g.power = x / 1000.0;
    return g;
}

static void *sample(void *user)
{
    struct nvml *n = user;
    if (n->init()) {
        log_note("NVML is there and does not start: no GPU figures");
        return NULL;
    }
    pthread_mutex_lock(&n->lock);
    while (!n->stop) {
        pthread_mutex_unlock(&n->lock);
        struct nvml_gpu gpu[GPUS];
        unsigned count = 0;
        if (n->device_count(&count))
            count = 0;
        if (count > GPUS)
            count = GPUS;
        for (unsigned i = 0; i < count; i++)
            gpu[i] = ask(n, i);
        struct timespec due;
        clock_gettime(CLOCK_REALTIME, &due);
        due.tv_sec++;
        pthread_mutex_lock(&n->lock);
        memcpy(n->gpu, gpu, count * sizeof *gpu);
        n->n = count;
        if (!n->stop)
            pthread_cond_timedwait(&n->wake, &n->lock, &due);
    }
    pthread_mutex_unlock(&n->lock);
    n->shutdown();
    return NULL;
}

struct nvml *nvml_open(void)
{
    struct nvml *n = calloc(1, sizeof *n);
    if (!n)
        return NULL;
    pthread_mutex_init(&n->lock, NULL);
    pthread_cond_init(&n->wake, NULL);
    /* Signals are for the program's own threads. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int running = load(n) && !pthread_create(&n->thread, NULL, sample, n);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (running)
        return n;
    if (n->library)
        dlclose(n->library);
    pthread_mutex_destroy(&n->lock);
    pthread_cond_destroy(&n->wake);
    free(n);
    return NULL;
}

size_t nvml_read(struct nvml *n, struct nvml_gpu *out, size_t max)
{
    if (!n)
        return 0;
    pthread_mutex_lock(&n->lock);
    size_t count = n->n < max ? n->n : max;
    memcpy(out, n->gpu, count * sizeof *out);
    pthread_mutex_unlock(&n->lock);
    return count;
}

void nvml_close(struct nvml *n)
{
    if (!n)
        return;
    pthread_mutex_lock(&n->lock);
    n->stop = 1;
    pthread_cond_signal(&n->wake);
    pthread_mutex_unlock(&n->lock);
    pthread_join(n->thread, NULL);
    dlclose(n->library);
    pthread_mutex_destroy(&n->lock);
    pthread_cond_destroy(&n->wake);
    free(n);
}
