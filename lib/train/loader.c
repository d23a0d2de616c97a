#include "train/loader.h"

#include <omp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

struct slot {
    struct example_batch batch;
    int64_t step; /* that it holds, -1: none */
    int code;
    struct err error;
};

/* One lock guards the counters and the slots' step, code and error. A slot's batch belongs to the thread that fills it
 * until its step is published, then to the training loop until it asks for the next. */
struct loader {
    const struct example_plan *plan;
    struct slot *slots;
    int depth, thread_count, stop;
    pthread_t *threads;
    pthread_mutex_t lock;
    pthread_cond_t filled, freed;
    int64_t to_make; /* the next step that no thread has taken */
    int64_t to_give; /* the next step the training loop gets */
    double waited;
};

static void fill(struct loader *l, struct example_maker *maker, int64_t step)
{
    struct slot *slot = &l->slots[step % l->depth];
    struct err e = {0};
    int code = example_make(maker, step, &slot->batch, &e);
    pthread_mutex_lock(&l->lock);
    slot->code = code;
    slot->error = e;
    slot->step = step;
    pthread_cond_broadcast(&l->filled);
    pthread_mutex_unlock(&l->lock);
}

/* Takes the next step once its slot is free: the batch before it in that slot has been given and let go. */
static int take(struct loader *l, int64_t *step)
{
    pthread_mutex_lock(&l->lock);
    while (!l->stop && l->to_make >= l->to_give - 1 + l->depth)
        pthread_cond_wait(&l->freed, &l->lock);
    *step = l->to_make;
    if (!l->stop)
        l->to_make++;
    int go = !l->stop;
    pthread_mutex_unlock(&l->lock);
    return go;
}

static void *work(void *user)
{
    struct loader *l = user;
    struct example_maker maker;
    struct err e = {0};
    int64_t step;
    omp_set_num_threads(1); /* the cores belong to the network */
    int code = example_maker_init(&maker, l->plan, &e);
    while (take(l, &step)) {
        if (!code) {
            fill(l, &maker, step);
            continue;
        }
        pthread_mutex_lock(&l->lock);
        struct slot *slot = &l->slots[step % l->depth];
        slot->code = code;
        slot->error = e;
        slot->step = step;
        pthread_cond_broadcast(&l->filled);
        pthread_mutex_unlock(&l->lock);
    }
    example_maker_release(&maker);
    return NULL;
}

/* Signals go to the main thread, which knows what to do with them. */
static int start_thread(pthread_t *thread, struct loader *l)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(thread, NULL, work, l);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return r;
}

int loader_start(struct loader **out, const struct example_plan *plan, int64_t first_step, int threads,
                 int depth, struct err *e)
{
    struct loader *l;
    *out = NULL;
    int code = mem_alloc(&l, 1, sizeof *l, "the loader", e);
    if (code)
        return code;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->filled, NULL);
    pthread_cond_init(&l->freed, NULL);
    l->plan = plan;
    l->depth = depth;
    l->to_make = l->to_give = first_step;
    code = mem_alloc(&l->slots, (size_t)depth, sizeof *l->slots, "the loader's ring", e);
    if (!code)
        code = mem_alloc(&l->threads, (size_t)threads, sizeof *l->threads, "the loader's threads", e);
    for (int i = 0; i < depth && !code; i++)
        l->slots[i].step = -1;
    for (int i = 0; i < threads && !code; i++) {
        if (start_thread(&l->threads[i], l))
            code = err_set(e, ERR_INTERNAL, "cannot start a loader thread");
        else
            l->thread_count++;
    }
    if (code)
        loader_stop(l);
    else
        *out = l;
    return code;
}

int loader_next(struct loader *l, const struct example_batch **b, struct err *e)
{
    pthread_mutex_lock(&l->lock);
    int64_t step = l->to_give++;
    struct slot *slot = &l->slots[step % l->depth];
    pthread_cond_broadcast(&l->freed); /* the batch given before is free now */
    double start = clock_seconds();
    while (slot->step != step)
        pthread_cond_wait(&l->filled, &l->lock);
    l->waited += clock_seconds() - start;
    int code = slot->code;
    if (code && e)
        *e = slot->error;
    pthread_mutex_unlock(&l->lock);
    *b = code ? NULL : &slot->batch;
    return code;
}

double loader_waited(const struct loader *l)
{
    return l->waited;
}

void loader_stop(struct loader *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->lock);
    l->stop = 1;
    pthread_cond_broadcast(&l->freed);
    pthread_mutex_unlock(&l->lock);
    for (int i = 0; i < l->thread_count; i++)
        pthread_join(l->threads[i], NULL);
    for (int i = 0; l->slots && i < l->depth; i++)
        example_release(&l->slots[i].batch);
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->filled);
    pthread_cond_destroy(&l->freed);
    free(l->slots);
    free(l->threads);
    free(l);
}
