/* --log-metrics: each line is JSON with its keys, the steps go on over restarts and torn lines, pictures come at most once
 * a second, a full or slow disk costs lines and no time, and gets said once. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "base/clock.h"
#include "io/stream.h"
#include "live/live_log.h"
#include "tap.h"

static char dir[] = "/tmp/sgaps-live-log-XXXXXX";

static const char *path_of(const char *name)
{
    static char path[4][256];
    static int i;
    i = (i + 1) % 4;
    snprintf(path[i], sizeof path[i], "%s/%s", dir, name);
    return path[i];
}

/* The lines of a file as JSON; cJSON's null for one that is none. */
static size_t read_lines(const char *path, cJSON **lines, size_t max)
{
    FILE *f = fopen(path, "r");
    char *line = NULL;
    size_t capacity = 0, n = 0;
    while (f && n < max && getline(&line, &capacity, f) > 0)
        lines[n++] = cJSON_ParseWithOpts(line, NULL, 1);
    free(line);
    if (f)
        fclose(f);
    return n;
}

static void drop_lines(cJSON **lines, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cJSON_Delete(lines[i]);
}

static double number(const cJSON *j, const char *key)
{
    const cJSON *x = cJSON_GetObjectItem(j, key);
    return cJSON_IsNumber(x) ? x->valuedouble : NAN;
}

static struct live_log_entry entry(int64_t frame)
{
    struct live_log_entry x = {.time = clock_unix(),
                               .frame_id = frame,
                               .active = 2,
                               .psnr = 25.5,
                               .ssim = NAN,
                               .heldout = 1,
                               .map_mean = NAN,
                               .latency = 0.012};
    strcpy(x.client_id, "client \"1\"");
    strcpy(x.model_version, "linear");
    return x;
}

static struct live_picture *picture(void)
{
    static const float image[12], map[12] = {1}, uv[2];
    static const uint8_t value[1] = {9};
    struct engine_result r = {
        .W = 4, .H = 3, .map_w = 4, .map_h = 3, .image = image, .map = map, .uv = uv, .value = value, .n = 1};
    struct live_picture *p = calloc(1, sizeof *p);
    if (p)
        live_picture_take(p, &r, NULL);
    return p;
}

static void test_lines(void)
{
    struct err e;
    struct live_log *l;
    cJSON *lines[16];
    const char *path = path_of("live.jsonl");
    ok(!live_log_open(&l, path, NULL, &e), "a log opens");
    struct live_log_entry x = entry(7);
    const float map[4] = {0, 0.5f, 0.5f, 1};
    live_log_map(&x, map, 4);
    ok(live_log_picture_age(l) > 1, "the first entry may bring pictures");
    x.picture = picture();
    live_log_put(l, &x);
    ok(live_log_picture_age(l) < 1, "the next may not, for a second");
    x = entry(8);
    live_log_put(l, &x);
    ok(!live_log_close(l), "it closes");

    size_t n = read_lines(path, lines, 16);
    const cJSON *a = n > 0 ? lines[0] : NULL, *b = n > 1 ? lines[1] : NULL;
    ok(n == 2 && a && b, "two lines of JSON");
    ok(number(a, "Session/Global_Step") == 0 && number(b, "Session/Global_Step") == 1 &&
           number(a, "Session/Frame_ID") == 7 && number(a, "Session/Active Clients") == 2 &&
           !strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(a, "Session/Client_ID")), "client \"1\""),
       "step, frame, client");
    ok(number(a, "Metrics/Live PSNR") == 25.5 && cJSON_IsNull(cJSON_GetObjectItem(a, "Metrics/Live SSIM")) &&
           cJSON_IsTrue(cJSON_GetObjectItem(a, "Metrics/Held-out")),
       "quality; what is not known is null");
    ok(number(a, "Importance/mean") == 0.5 && number(a, "Importance/max") == 1 &&
           fabs(number(a, "Importance/std") - sqrt(0.125)) < 1e-4 &&
           fabs(number(a, "Importance/entropy") - 1.5 * log(2)) < 1e-4 &&
           !cJSON_GetObjectItem(b, "Importance/mean"),
       "the map's mean, max, deviation and entropy; no map, no keys");
    static const char *const keys[] = {"Live/Reconstruction", "Live/Importance Map", "Live/Samples"};
    int good = 1;
    for (int k = 0; k < 3; k++) {
        uint8_t *pixels = NULL;
        uint32_t w, h;
        const char *name = cJSON_GetStringValue(cJSON_GetObjectItem(a, keys[k]));
        good &= name && !strncmp(name, "live.pictures/", 14) &&
                !png_read(path_of(name), &pixels, &w, &h, &e) && w == (k ? 8 : 4) &&
                !cJSON_GetObjectItem(b, keys[k]);
        free(pixels);
    }
    ok(good, "three pictures lie beside it under the names of the line");
    drop_lines(lines, n);

    /* The server was killed in the middle of a line. */
    FILE *f = fopen(path, "a");
    fputs("{\"Session/Global_Step\":2,\"time\":17", f);
    fclose(f);
    ok(!live_log_open(&l, path, NULL, &e), "it opens again");
    x = entry(1);
    live_log_put(l, &x);
    live_log_close(l);
    n = read_lines(path, lines, 16);
    ok(n == 4 && !lines[2] && number(lines[3], "Session/Global_Step") == 3,
       "the torn line is closed off and the steps go on after it");
    drop_lines(lines, n);
    ok(live_log_open(&l, path_of("no/such/folder/x"), NULL, &e) && e.code == ERR_CANTCREATE &&
           strstr(e.text, "no/such"),
       "a file that cannot be made is refused by name");
}

static void test_many(void)
{
    struct err e;
    struct live_log *l;
    static cJSON *lines[5000];
    const char *path = path_of("many.jsonl");
    if (live_log_open(&l, path, NULL, &e))
        return;
    for (int i = 0; i < 3000; i++) {
        struct live_log_entry x = entry(i);
        live_log_put(l, &x);
    }
    live_log_close(l);
    size_t n = read_lines(path, lines, 5000), good = 0;
    for (size_t i = 0; i < n; i++)
        good += lines[i] && number(lines[i], "Session/Global_Step") == (double)i;
    ok(n == 3000 && good == n, "a burst is written whole and in order (%zu lines)", n);
    drop_lines(lines, n);
}

static void test_full(void)
{
    struct err e;
    struct live_log *l;
    ok(!live_log_open(&l, "/dev/full", NULL, &e), "a full device opens");
    for (int i = 0; i < 10; i++) {
        struct live_log_entry x = entry(i);
        live_log_put(l, &x);
    }
    struct live_log_stats s;
    double until = clock_seconds() + 20;
    do {
        usleep(1000);
        s = live_log_stats(l);
    } while (s.dropped < 10 && clock_seconds() < until);
    ok(s.dropped == 10 && s.lines == 0 && s.write_errors == 1,
       "its lines are counted as left out, after one attempt");
    ok(!live_log_close(l), "and it closes");

    /* A file that may not grow further: what is in it stays whole lines. */
    const char *path = path_of("small.jsonl");
    if (live_log_open(&l, path, NULL, &e))
        return;
    struct live_log_entry first = entry(0);
    live_log_put(l, &first);
    until = clock_seconds() + 20;
    while (live_log_stats(l).lines < 1 && clock_seconds() < until)
        usleep(1000);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit before, limit;
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 1000;
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int i = 1; i < 50; i++) {
        struct live_log_entry x = entry(i);
        live_log_put(l, &x);
        usleep(500);
    }
    live_log_close(l);
    setrlimit(RLIMIT_FSIZE, &before);
    cJSON *lines[64];
    size_t n = read_lines(path, lines, 64), whole = 0;
    for (size_t i = 0; i < n; i++)
        whole += lines[i] != NULL;
    ok(n > 0 && n < 50 && whole == n, "a disk that fills leaves %zu whole lines and no half one", n);
    drop_lines(lines, n);
}

static void *drain(void *user)
{
    char bytes[65536];
    int fd = *(int *)user;
    while (read(fd, bytes, sizeof bytes) > 0)
        ;
    return NULL;
}

/* A FIFO that is not read stands for a disk that does not answer. */
static void test_slow(void)
{
    struct err e;
    struct live_log *l;
    const char *path = path_of("fifo");
    if (mkfifo(path, 0600))
        return;
    ok(live_log_open(&l, path, NULL, &e) == ERR_CANTCREATE, "a FIFO that nobody reads is refused at once");
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    if (live_log_open(&l, path, NULL, &e)) {
        ok(0, "%s", e.text);
        return;
    }
    double begun = clock_seconds(), worst = 0;
    for (int i = 0; i < 20000; i++) {
        struct live_log_entry x = entry(i);
        double at = clock_seconds();
        live_log_put(l, &x);
        double took = clock_seconds() - at;
        worst = took > worst ? took : worst;
    }
    double took = clock_seconds() - begun;
    struct live_log_stats s = live_log_stats(l);
    ok(s.dropped > 10000 && took < 5, "20000 lines for a disk that does not answer: %.0f ms, %llu left out",
       1e3 * took, (unsigned long long)s.dropped);
    tap_diag("worst call %.3f ms", 1e3 * worst);
    pthread_t thread;
    fcntl(fd, F_SETFL, 0);
    pthread_create(&thread, NULL, drain, &fd);
    ok(!live_log_close(l), "it finishes when the disk answers again");
    pthread_join(thread, NULL);
    close(fd);
}

int main(void)
{
    if (!mkdtemp(dir))
        return 1;
    test_lines();
    test_many();
    test_full();
    test_slow();
    char command[300];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command) || tap_done();
}
