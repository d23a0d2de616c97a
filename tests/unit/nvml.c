/* NVML is loaded when the program runs: without the library there are no GPU figures and nothing else changes; with one,
 * /metrics and the log tell what it tells. The library is one of our own, compiled here, because no test may need a GPU: it
 * has two devices, the second of which answers only the half. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "live/nvml.h"
#include "tap.h"

static const char library[] =
    "#include <string.h>\n"
    "static int up;\n"
    "int nvmlInit_v2(void) { return up++ ? 5 : 0; }\n"
    "int nvmlShutdown(void) { return --up; }\n"
    "int nvmlDeviceGetCount_v2(unsigned *n) { *n = 2; return up == 1 ? 0 : 1; }\n"
    "int nvmlDeviceGetHandleByIndex_v2(unsigned i, void **d) { *d = (char *)0 + 1 + i; return 0; }\n"
    "int nvmlDeviceGetName(void *d, char *s, unsigned n) { strncpy(s, d == (char *)1 ? \"GPU \\\"A\\\"\" : "
    "\"B\", n); return 0; }\n"
    "int nvmlDeviceGetTemperature(void *d, int k, unsigned *t) { *t = 61 + k; return 0; }\n"
    "int nvmlDeviceGetUtilizationRates(void *d, unsigned *u) { u[0] = 37; u[1] = 5; return d == (char *)2 ? "
    "3 : 0; }\n"
    "int nvmlDeviceGetMemoryInfo(void *d, unsigned long long *m)\n"
    "{ m[0] = 16000000000; m[1] = 12000000000; m[2] = 4000000000; return 0; }\n"
    "int nvmlDeviceGetPowerUsage(void *d, unsigned *p) { *p = 70500; return d == (char *)2 ? 3 : 0; }\n";

static int compile(const char *dir, const char *text)
{
    char path[256], command[800];
    snprintf(path, sizeof path, "%s/double.c", dir);
    FILE *f = fopen(path, "w");
    if (!f)
        return 1;
    fputs(text, f);
    fclose(f);
    snprintf(command, sizeof command, "%s -shared -fPIC -w -o %s/libnvidia-ml.so.1 %s",
             getenv("CC") ? getenv("CC") : "cc", dir, path);
    return system(command);
}

static void test_library(void)
{
    struct nvml *n = nvml_open();
    struct nvml_gpu g[4];
    size_t count = 0;
    ok(n != NULL, "the library is found");
    for (double until = clock_seconds() + 20; !(count = nvml_read(n, g, 4)) && clock_seconds() < until;)
        usleep(1000);
    ok(count == 2 && g[0].index == 0 && g[1].index == 1 && !strcmp(g[0].name, "GPU \"A\""),
       "two devices by name");
    ok(g[0].temperature == 61 && g[0].utilization == 0.37 && g[0].memory_used == 4e9 &&
           g[0].memory_total == 16e9 && g[0].power == 70.5,
       "temperature, utilisation, memory, power");
    ok(g[1].temperature == 61 && isnan(g[1].utilization) && isnan(g[1].power),
       "what a device does not tell is NAN");
    ok(nvml_read(n, g, 1) == 1, "no more are given than there is room for");
    nvml_close(n);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "poor")) /* the library there lacks most of it: it is not used */
        return nvml_open() != NULL;
    if (argc > 1) { /* again, with the library on the loader's path */
        test_library();
        return tap_done();
    }
    char dir[] = "/tmp/sgaps-nvml-XXXXXX", command[400];
    if (!mkdtemp(dir))
        return 1;
    struct nvml *n = nvml_open();
    if (n) {
        tap_skip("no library", "this machine has a real one");
        nvml_close(n);
    } else
        ok(nvml_read(n, NULL, 0) == 0, "without the library there are no figures");
    nvml_close(NULL);
    ok(!compile(dir, "int nvmlInit_v2(void) { return 0; }\n"), "a library that lacks most of it compiles");
    snprintf(command, sizeof command, "LD_LIBRARY_PATH=%s %s poor", dir, argv[0]);
    ok(system(command) == 0, "and is not used");
    ok(!compile(dir, library), "a library of our own compiles");
    snprintf(command, sizeof command, "LD_LIBRARY_PATH=%s %s again | sed 's/^/# /; /^# not ok/q1'", dir,
             argv[0]);
    fflush(stdout);
    ok(system(command) == 0, "its figures arrive");
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command) || tap_done();
}
