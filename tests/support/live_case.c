#include "live_case.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "io/checkpoint.h"

static void die(int r, const struct err *e)
{
    if (!r)
        return;
    printf("Bail out! %s\n", e->text);
    exit(1);
}

char *live_folder(void)
{
    const char *tmp = getenv("TMPDIR");
    char *path;
    if (asprintf(&path, "%s/sgaps-live-XXXXXX", tmp && *tmp ? tmp : "/tmp") < 0 || !mkdtemp(path)) {
        printf("Bail out! no folder\n");
        exit(1);
    }
    return path;
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s, (void)kind, (void)at;
    return remove(path);
}

void live_folder_remove(char *folder)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(folder);
}

/* The first S columns of the state's weights, and the configuration to them. */
static void shorten_state(struct checkpoint *c, size_t S)
{
    for (size_t i = 0; i < c->tensor_count; i++) {
        struct checkpoint_tensor *t = &c->tensors[i];
        if (strcmp(t->name, "state_encoder.linear.weight"))
            continue;
        for (size_t row = 0; row < t->shape[0]; row++)
            memmove(t->data + row * S, t->data + row * t->shape[1], S * sizeof *t->data);
        t->shape[1] = S;
        t->count = t->shape[0] * S;
    }
    char *at = strstr(c->config, "\"max_state_dim\": 12"), number[24];
    snprintf(number, sizeof number, "%2zu", S);
    memcpy(at + strlen("\"max_state_dim\": "), number, 2);
}

char *live_checkpoint(const char *folder, const char *key, const char *golden, int64_t step, size_t S)
{
    const char *root = getenv("SGAPS_ROOT");
    char *path, *source;
    struct checkpoint c;
    struct err e;
    if (asprintf(&path, "%s/%s/best.h5", folder, key) < 0 ||
        asprintf(&source, "%s/tests/golden/%s/checkpoint.h5", root ? root : ".", golden) < 0)
        exit(1);
    die(atomic_file_make_parents(path, &e), &e);
    die(checkpoint_read(&c, source, 0, &e), &e);
    c.step = step;
    for (size_t i = 0; i < c.tensors[0].count; i++)
        c.tensors[0].data[i] *= 1 + 0.01f * (float)step;
    if (S)
        shorten_state(&c, S);
    die(checkpoint_write(&c, path, 1, &e), &e);
    checkpoint_release(&c);
    free(source);
    return path;
}

struct arrival {
    struct model *model;
    pthread_t by;
    pthread_mutex_t lock;
    pthread_cond_t came;
};

static void on_model(void *user, struct model *model)
{
    struct arrival *a = user;
    pthread_mutex_lock(&a->lock);
    a->model = model;
    a->by = pthread_self();
    pthread_cond_signal(&a->came);
    pthread_mutex_unlock(&a->lock);
}

struct model *live_model(struct models *m, const char *key, int *at_once)
{
    struct arrival a = {.lock = PTHREAD_MUTEX_INITIALIZER, .came = PTHREAD_COND_INITIALIZER};
    models_request(m, key, on_model, &a);
    pthread_mutex_lock(&a.lock);
    while (!a.model)
        pthread_cond_wait(&a.came, &a.lock);
    pthread_mutex_unlock(&a.lock);
    if (at_once)
        *at_once = pthread_equal(a.by, pthread_self());
    return a.model;
}
