#include "live/live_log.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"

enum { QUEUE = 4096, TAIL = 1 << 16, CLOSE_SECONDS = 5, GPUS = 16 };
static const double gpu_every = 1.0, retry_after = 10.0;
static const char *const picture_names[PICTURE_KINDS] = {"reconstruction", "importance", "samples"};
static const char *const picture_keys[PICTURE_KINDS] = {"Live/Reconstruction", "Live/Importance Map",
                                                        "Live/Samples"};

struct live_log {
    char *path, *folder;  /* folder: of the pictures */
    const char *relative; /* its last part */
    int fd;
    struct nvml *gpu;
    pthread_t thread;

    /* The writer's own. */
    int folder_made, said_file, said_picture;
    double again; /* clock_seconds from which writing is tried after a failure */
    double last_gpu;

    pthread_mutex_t lock; /* what follows */
    pthread_cond_t wake, finished;
    struct live_log_entry queue[QUEUE];
    size_t first, n;
    uint64_t step;
    double last_picture;
    int stop, done, said_slow;
    struct live_log_stats stats;
};

void live_log_map(struct live_log_entry *entry, const float *map, size_t n)
{
    double sum = 0, squares = 0, max = 0, logs = 0;
    for (size_t i = 0; i < n; i++) {
        double x = map[i];
        sum += x;
        squares += x * x;
        max = x > max ? x : max;
        logs += x > 0 ? x * log(x) : 0;
    }
    entry->map_mean = n ? sum / (double)n : NAN;
    entry->map_max = n ? max : NAN;
    double variance = n ? squares / (double)n - entry->map_mean * entry->map_mean : NAN;
    entry->map_std = n ? sqrt(variance > 0 ? variance : 0) : NAN;
    /* -sum p log p with p = x / sum */
    entry->map_entropy = sum > 0 ? log(sum) - logs / sum : NAN;
}

/* --- one line --- */

static void put_number(struct text *t, const char *key, double x)
{
    text_printf(t, ",\"%s\":", key);
    text_json_double(t, x);
}

/* Four digits are more than these figures are worth. */
static double rounded(double x)
{
    return isfinite(x) ? round(x * 1e4) / 1e4 : x;
}

static void put_gpus(struct text *t, struct nvml *nvml)
{
    struct nvml_gpu gpu[GPUS];
    size_t n = nvml_read(nvml, gpu, GPUS);
    for (size_t i = 0; i < n; i++) {
        const struct nvml_gpu *g = &gpu[i];
        const struct {
            const char *name;
            double value;
        } figures[] = {{"temp", g->temperature},
                       {"gpu", rounded(100 * g->utilization)},
                       {"memoryAllocatedBytes", g->memory_used},
                       {"memoryAllocated", rounded(100 * g->memory_used / g->memory_total)},
                       {"powerWatts", g->power}};
        for (size_t k = 0; k < sizeof figures / sizeof *figures; k++)
            if (isfinite(figures[k].value)) {
                text_printf(t, ",\"System/gpu.%u.%s\":", g->index, figures[k].name);
                text_json_double(t, figures[k].value);
            }
    }
}

static void put_line(struct text *t, const struct live_log_entry *x, const char *const names[PICTURE_KINDS])
{
    text_printf(t, "{\"Session/Global_Step\":%llu,\"time\":%.3f,\"Session/Client_ID\":",
                (unsigned long long)x->step, x->time);
    text_json_string(t, x->client_id);
    text_printf(t, ",\"Session/Frame_ID\":%lld,\"Session/Active Clients\":%zu,\"Session/Model\":",
                (long long)x->frame_id, x->active);
    text_json_string(t, x->model_version);
    put_number(t, "Metrics/Live PSNR", rounded(x->psnr));
    put_number(t, "Metrics/Live SSIM", rounded(x->ssim));
    text_printf(t, ",\"Metrics/Held-out\":%s", x->heldout ? "true" : "false");
    put_number(t, "Metrics/Latency ms", rounded(1e3 * x->latency));
    if (isfinite(x->map_mean)) {
        put_number(t, "Importance/mean", rounded(x->map_mean));
        put_number(t, "Importance/max", rounded(x->map_max));
        put_number(t, "Importance/std", rounded(x->map_std));
        put_number(t, "Importance/entropy", rounded(x->map_entropy));
    }
    for (int k = 0; k < PICTURE_KINDS; k++)
        if (names[k]) {
            text_printf(t, ",\"%s\":", picture_keys[k]);
            text_json_string(t, names[k]);
        }
}

/* --- the writer's thread --- */

static int write_all(int fd, const char *bytes, size_t n)
{
    while (n) {
        ssize_t w = write(fd, bytes, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return w < 0 ? errno : ENOSPC;
        bytes += w;
        n -= (size_t)w;
    }
    return 0;
}

static void failed(struct live_log *l, int *said, const char *path, int error)
{
    if (!*said)
        log_warning("%s: cannot write: %s (serving goes on; tried again every %.0f s)", path, strerror(error),
                    retry_after);
    *said = 1;
    l->again = clock_seconds() + retry_after;
    pthread_mutex_lock(&l->lock);
    l->stats.write_errors++;
    pthread_mutex_unlock(&l->lock);
}

/* relative/000000000012-importance.png in *name (free()); NULL: there is none, or it could not be written. */
static char *write_picture(struct live_log *l, const struct live_log_entry *x, enum live_picture_kind kind)
{
    struct text png = {0};
    char *path = NULL, *name = NULL;
    if (live_picture_png(x->picture, kind, &png, NULL) ||
        asprintf(&path, "%s/%012llu-%s.png", l->folder, (unsigned long long)x->step, picture_names[kind]) <
            0) {
        text_release(&png);
        return NULL;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int error = fd < 0 ? errno : write_all(fd, png.at, png.n);
    if (fd >= 0 && close(fd) && !error)
        error = errno;
    if (error) {
        failed(l, &l->said_picture, path, error);
        if (fd >= 0)
            unlink(path);
    } else if (asprintf(&name, "%s/%012llu-%s.png", l->relative, (unsigned long long)x->step,
                        picture_names[kind]) < 0)
        name = NULL;
    free(path);
    text_release(&png);
    return name;
}

static void write_pictures(struct live_log *l, const struct live_log_entry *x, char *names[PICTURE_KINDS])
{
    if (!x->picture)
        return;
    if (!l->folder_made && mkdir(l->folder, 0755) && errno != EEXIST) {
        failed(l, &l->said_picture, l->folder, errno);
        return;
    }
    l->folder_made = 1;
    for (int k = 0; k < PICTURE_KINDS; k++)
        names[k] = write_picture(l, x, (enum live_picture_kind)k);
}

static void write_entries(struct live_log *l, struct live_log_entry *x, size_t n, struct text *t)
{
    int pause = clock_seconds() < l->again;
    if (t->failed)
        text_release(t); /* memory ran out: from the start again */
    text_clear(t);
    for (size_t i = 0; i < n; i++) {
        char *names[PICTURE_KINDS] = {0};
        if (!pause) {
            write_pictures(l, &x[i], names);
            put_line(t, &x[i], (const char *const *)names);
            if (x[i].time - l->last_gpu >= gpu_every) {
                l->last_gpu = x[i].time;
                put_gpus(t, l->gpu);
            }
            text_add(t, "}\n");
        }
        for (int k = 0; k < PICTURE_KINDS; k++)
            free(names[k]);
        if (x[i].picture) {
            live_picture_release(x[i].picture);
            free(x[i].picture);
        }
    }
    struct stat before;
    int known = !pause && !fstat(l->fd, &before) && S_ISREG(before.st_mode);
    int error = pause ? 0 : t->failed ? ENOMEM : write_all(l->fd, t->at, t->n);
    if (error) {
        failed(l, &l->said_file, l->path, error);
        int cut = known ? ftruncate(l->fd, before.st_size) : 0; /* half a line must not stay */
        (void)cut;
    }
    pthread_mutex_lock(&l->lock);
    if (error || pause)
        l->stats.dropped += n;
    else
        l->stats.lines += n;
    pthread_mutex_unlock(&l->lock);
}

static void *writer(void *user)
{
    enum { BATCH = 64 };
    struct live_log *l = user;
    struct live_log_entry batch[BATCH];
    struct text t = {0};
    pthread_mutex_lock(&l->lock);
    for (;;) {
        while (!l->n && !l->stop)
            pthread_cond_wait(&l->wake, &l->lock);
        size_t n = 0;
        for (; n < BATCH && l->n; n++, l->n--) {
            batch[n] = l->queue[l->first];
            l->first = (l->first + 1) % QUEUE;
        }
        if (!n)
            break;
        pthread_mutex_unlock(&l->lock);
        write_entries(l, batch, n, &t);
        pthread_mutex_lock(&l->lock);
    }
    l->done = 1;
    pthread_cond_signal(&l->finished);
    pthread_mutex_unlock(&l->lock);
    text_release(&t);
    return NULL;
}

/* --- open, put, close --- */

/* Steps go on after the last whole line; a torn one at the end is closed off. */
static void find_end(struct live_log *l)
{
    struct stat st;
    char tail[TAIL + 1];
    if (fstat(l->fd, &st) || !S_ISREG(st.st_mode))
        return;
    int fd = open(l->path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : pread(fd, tail, TAIL, st.st_size > TAIL ? st.st_size - TAIL : 0);
    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return;
    tail[n] = 0;
    static const char key[] = "{\"Session/Global_Step\":";
    for (const char *at = tail; (at = strstr(at, key)); at++)
        l->step = strtoull(at + sizeof key - 1, NULL, 10) + 1;
    if (tail[n - 1] != '\n')
        write_all(l->fd, "\n", 1);
}

/* a/live.jsonl -> a/live.pictures */
static int name_folder(struct live_log *l, struct err *e)
{
    const char *slash = strrchr(l->path, '/');
    const char *name = slash ? slash + 1 : l->path;
    const char *dot = strrchr(name, '.');
    int stem = (int)(dot && dot > name ? dot - l->path : (ptrdiff_t)strlen(l->path));
    if (asprintf(&l->folder, "%.*s.pictures", stem, l->path) < 0) {
        l->folder = NULL;
        return err_memory(e, "the metrics log", 64);
    }
    l->relative = l->folder + (name - l->path);
    return 0;
}

static int start(struct live_log *l, struct err *e)
{
    /* O_NONBLOCK: a FIFO that nobody reads is refused at once instead of holding up the start. */
    l->fd = open(l->path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_APPEND, 0644);
    if (l->fd < 0)
        return err_set(e, ERR_CANTCREATE, "%s: cannot create: %s", l->path, strerror(errno));
    fcntl(l->fd, F_SETFL, O_APPEND);
    find_end(l);
    /* Signals are for the program's own threads; a reader that goes is an error of write, not the end of the server. */
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int bad = pthread_create(&l->thread, NULL, writer, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return bad ? err_set(e, ERR_INTERNAL, "the metrics log's thread does not start: %s", strerror(bad)) : 0;
}

static void release(struct live_log *l)
{
    if (l->fd >= 0)
        close(l->fd);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->wake);
    pthread_cond_destroy(&l->finished);
    free(l->path);
    free(l->folder);
    free(l);
}

int live_log_open(struct live_log **out, const char *path, struct nvml *gpu, struct err *e)
{
    struct live_log *l;
    int r = mem_alloc(&l, 1, sizeof *l, "the metrics log", e);
    if (r)
        return r;
    l->fd = -1;
    l->gpu = gpu;
    l->last_picture = -INFINITY;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->wake, NULL);
    pthread_cond_init(&l->finished, NULL);
    r = mem_string(&l->path, path, e);
    if (!r)
        r = name_folder(l, e);
    if (!r)
        r = start(l, e);
    if (r)
        release(l);
    else
        *out = l;
    return r;
}

double live_log_picture_age(struct live_log *l)
{
    pthread_mutex_lock(&l->lock);
    double age = l->n < QUEUE / 2 ? clock_seconds() - l->last_picture : 0;
    pthread_mutex_unlock(&l->lock);
    return age;
}

void live_log_put(struct live_log *l, const struct live_log_entry *entry)
{
    pthread_mutex_lock(&l->lock);
    uint64_t step = l->step++;
    int full = l->n == QUEUE, say = full && !l->said_slow;
    if (full) {
        l->said_slow = 1;
        l->stats.dropped++;
    } else {
        struct live_log_entry *to = &l->queue[(l->first + l->n++) % QUEUE];
        *to = *entry;
        to->step = step;
        if (entry->picture)
            l->last_picture = clock_seconds();
        pthread_cond_signal(&l->wake);
    }
    pthread_mutex_unlock(&l->lock);
    if (full && entry->picture) {
        live_picture_release(entry->picture);
        free(entry->picture);
    }
    if (say)
        log_warning("%s: the disk is too slow for every line: some are left out (their steps are missing)",
                    l->path);
}

struct live_log_stats live_log_stats(struct live_log *l)
{
    if (!l)
        return (struct live_log_stats){0};
    pthread_mutex_lock(&l->lock);
    struct live_log_stats s = l->stats;
    pthread_mutex_unlock(&l->lock);
    return s;
}

int live_log_close(struct live_log *l)
{
    if (!l)
        return 0;
    struct timespec due;
    clock_gettime(CLOCK_REALTIME, &due);
    due.tv_sec += CLOSE_SECONDS;
    pthread_mutex_lock(&l->lock);
    l->stop = 1;
    pthread_cond_signal(&l->wake);
    int late = 0;
    while (!l->done && !late)
        late = pthread_cond_timedwait(&l->finished, &l->lock, &due) == ETIMEDOUT;
    pthread_mutex_unlock(&l->lock);
    if (late) {
        /* The thread hangs in a write: it keeps what it uses, and ends with the program. */
        log_warning("%s: cannot be finished: its disk does not answer", l->path);
        pthread_detach(l->thread);
        return 1;
    }
    pthread_join(l->thread, NULL);
    release(l);
    return 0;
}
