/* GPU figures through NVML (libnvidia-ml.so.1), loaded when the program runs. A thread of its own asks once a second, because
 * a driver may take its time; readers get the last answer. */
#ifndef SGAPS_LIVE_NVML_H
#define SGAPS_LIVE_NVML_H

#include <stddef.h>

struct nvml;

/* What the driver did not tell is NAN. */
struct nvml_gpu {
    unsigned index; /* the driver's, which CUDA_VISIBLE_DEVICES does not change */
    char name[96];
    double temperature;               /* degrees Celsius */
    double utilization;               /* 0..1, of the last sample period */
    double memory_used, memory_total; /* bytes */
    double power;                     /* watts */
};

struct nvml *nvml_open(void); /* NULL: no such library on this machine */
/* Up to max of them; how many. Any thread. */
size_t nvml_read(struct nvml *n, struct nvml_gpu *out, size_t max);
void nvml_close(struct nvml *n);

#endif
