/* A slot for each checkpoint found under the root; a queue of requests; one loader thread, the only one that touches files.
 * All fields of struct models below the lock, and every slot, are the lock's. Weights never change once they are made. */
#include "live/models.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <omp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "live/models_file.h"

static const double LOOK_S = 1; /* a file is looked at no more often */
static const size_t DEFAULT_MEMORY = (size_t)2 << 30;

struct slot {
    char name[65];
    struct weights *weights; /* NULL: refused, or let go for the memory limit */
    struct file_mark mark;   /* of what was read last, taken or refused; young ones are not kept */
    double looked, used;     /* clock_seconds */
    int wanted, forced;      /* a look is due; even when the mark is the same */
    struct slot *next;
};

/* What a session holds. */
struct handle {
    struct model model; /* first: struct model * is this */
    atomic_size_t refs;
    struct weights *weights;
    struct slot *slot; /* NULL: linear */
};

struct request {
    struct handle *handle; /* to be filled */
    char variant[65], key[65];
    models_ready_fn ready;
    void *user;
    struct request *next;
};

struct models {
    char *root, *device;
    int threads;
    enum op_precision precision;
    size_t memory;
    uint32_t W, H;
    cJSON *variants; /* key: [checkpoint, ...] */
    struct weights *linear;
    struct handle *plain; /* linear as a model */
    pthread_t loader;
    int running;

    pthread_mutex_t lock;
    pthread_cond_t work;
    struct slot *slots;
    struct request *first, *last;
    size_t *turns; /* sessions that each key of variants has had */
    int closing;
};

/* --- handles --- */

static struct handle *handle_of(struct model *model)
{
    return (struct handle *)model;
}

/* Takes a reference of its own to the weights. */
static void handle_fill(struct handle *h, struct weights *w, struct slot *slot, int exact)
{
    const char *key = slot ? slot->name : "linear";
    weights_hold(w);
    h->weights = w;
    h->slot = slot;
    h->model.recon = w->recon;
    h->model.exact = exact;
    h->model.max_state_dim = w->max_state_dim;
    h->model.sentinel = w->sentinel;
    memcpy(h->model.version, w->version, sizeof h->model.version);
    memcpy(h->model.key, key, strlen(key) + 1);
    atomic_init(&h->refs, 1);
}

struct model *models_hold(struct model *model)
{
    atomic_fetch_add_explicit(&handle_of(model)->refs, 1, memory_order_relaxed);
    return model;
}

void models_release(struct models *m, struct model *model)
{
    (void)m;
    if (!model || atomic_fetch_sub_explicit(&handle_of(model)->refs, 1, memory_order_acq_rel) > 1)
        return;
    weights_release(handle_of(model)->weights);
    free(model);
}

void models_measure(struct model *model)
{
    weights_measure(handle_of(model)->weights);
}

/* --- slots; with the lock --- */

static struct slot *slot_named(struct models *m, const char *name)
{
    for (struct slot *s = m->slots; s; s = s->next)
        if (!strcmp(s->name, name))
            return s;
    return NULL;
}

static struct slot *slot_add(struct models *m, const char *name)
{
    struct slot *s = slot_named(m, name);
    if (s || mem_alloc(&s, 1, sizeof *s, "a checkpoint", NULL))
        return s;
    memcpy(s->name, name, strlen(name) + 1);
    s->looked = -LOOK_S;
    s->next = m->slots;
    return m->slots = s;
}

static void slot_want_look(struct models *m, struct slot *s)
{
    if (s->wanted || clock_seconds() - s->looked < LOOK_S)
        return;
    s->wanted = 1;
    pthread_cond_signal(&m->work);
}

/* Lets go of what nobody uses, the longest unused first, until the rest fits. */
static void evict(struct models *m)
{
    for (;;) {
        size_t total = 0;
        struct slot *oldest = NULL;
        for (struct slot *s = m->slots; s; s = s->next) {
            if (!s->weights)
                continue;
            total += atomic_load_explicit(&s->weights->bytes, memory_order_relaxed);
            if (atomic_load_explicit(&s->weights->refs, memory_order_acquire) == 1 &&
                (!oldest || s->used < oldest->used))
                oldest = s;
        }
        if (total <= m->memory || !oldest)
            return;
        log_note("checkpoint %s is let go: %zu bytes are over the limit of %zu", oldest->name, total,
                 m->memory);
        weights_release(oldest->weights);
        oldest->weights = NULL;
        oldest->mark = (struct file_mark){0};
    }
}

/* --- the loader thread --- */

/* Puts what was read into the slot, unless it is what is there already. */
static void slot_take(const struct models *m, struct slot *s, struct weights *fresh)
{
    struct weights *old = s->weights;
    if (old && !strcmp(old->sha256, fresh->sha256) && !strcmp(old->version, fresh->version)) {
        weights_release(fresh);
        return;
    }
    if (old)
        log_note("checkpoint %s: %s takes the place of %s", s->name, fresh->version, old->version);
    if (m->W && m->H)
        recon_warn_of_size(fresh->recon, m->W, m->H, "server.resolution");
    s->weights = fresh;
    weights_release(old);
}

/* Looks at the file of a name, reads it when it is new, and returns the slot when there is something to serve. The lock is
 * held, but not while files are touched. */
static struct slot *look(struct models *m, const char *name)
{
    struct file_mark mark;
    struct weights *fresh = NULL;
    struct err e = {0};
    char *path;
    pthread_mutex_unlock(&m->lock);
    int r = models_file_find(m->root, name, &path, &mark, &e);
    pthread_mutex_lock(&m->lock);
    struct slot *s = r == ERR_NOINPUT ? slot_named(m, name) : slot_add(m, name);
    if (!s) {
        free(path);
        return NULL;
    }
    int known = !r && !s->forced && file_mark_equal(&mark, &s->mark);
    int quiet = r == ERR_NOINPUT; /* a file that went away: what was loaded serves on */
    s->wanted = s->forced = 0;
    s->looked = clock_seconds();
    if (!r && !known) {
        pthread_mutex_unlock(&m->lock);
        r = weights_load(&fresh, path, name, m->device, m->threads, m->precision, &e);
        pthread_mutex_lock(&m->lock);
        s->mark = file_mark_young(&mark) || r == ERR_TEMPFAIL ? (struct file_mark){0} : mark;
    }
    if (fresh)
        slot_take(m, s, fresh);
    if (r && !quiet)
        log_warning("%s%s", e.text, s->weights ? ": the version before it serves on" : "");
    free(path);
    return s->weights ? s : NULL;
}

static void answer(struct models *m, struct request *q)
{
    const char *names[] = {q->variant, q->key, "default"};
    struct slot *s = NULL;
    int i = 0;
    for (; i < 3 && !s && m->root && !m->closing; i += !s) {
        if (!*names[i])
            continue;
        s = slot_named(m, names[i]);
        if (!s || !s->weights || clock_seconds() - s->looked >= LOOK_S)
            s = look(m, names[i]);
    }
    if (s) {
        s->used = clock_seconds();
        handle_fill(q->handle, s->weights, s, i < 2);
    } else {
        handle_fill(q->handle, m->linear, NULL, 0);
    }
    evict(m);
    pthread_mutex_unlock(&m->lock);
    q->ready(q->user, &q->handle->model);
    free(q);
    pthread_mutex_lock(&m->lock);
}

static struct slot *slot_wanting(struct models *m)
{
    struct slot *s = m->slots;
    while (s && !s->wanted)
        s = s->next;
    return s;
}

static void *load_loop(void *user)
{
    struct models *m = user;
    pthread_mutex_lock(&m->lock);
    while (!m->closing || m->first) {
        struct request *q = m->first;
        struct slot *s;
        if (q) {
            m->first = q->next;
            answer(m, q);
        } else if ((s = slot_wanting(m))) {
            look(m, s->name);
            evict(m);
        } else {
            pthread_cond_wait(&m->work, &m->lock);
        }
    }
    pthread_mutex_unlock(&m->lock);
    return NULL;
}

/* --- what others call --- */

/* Whose turn it is among the variants of a key; "" without. */
static const char *next_variant(struct models *m, const char *key)
{
    size_t at = 0;
    for (cJSON *list = m->variants ? m->variants->child : NULL; list; list = list->next, at++)
        if (!strcmp(list->string, key)) {
            size_t n = (size_t)cJSON_GetArraySize(list);
            return cJSON_GetArrayItem(list, (int)(m->turns[at]++ % n))->valuestring;
        }
    return "";
}

void models_request(struct models *m, const char *key, models_ready_fn ready, void *user)
{
    struct request *q = NULL;
    struct handle *h = NULL;
    if (!m->root || mem_alloc(&q, 1, sizeof *q, "a request", NULL) ||
        mem_alloc(&h, 1, sizeof *h, "a model", NULL)) {
        free(q);
        ready(user, models_hold(&m->plain->model));
        return;
    }
    *q = (struct request){.handle = h, .ready = ready, .user = user};
    pthread_mutex_lock(&m->lock);
    const char *variant = next_variant(m, key), *name = *variant ? variant : key;
    memcpy(q->variant, variant, strnlen(variant, 64));
    memcpy(q->key, key, strnlen(key, 64));
    struct slot *s = slot_named(m, name);
    int there = s && s->weights;
    if (there) {
        handle_fill(h, s->weights, s, 1);
        s->used = clock_seconds();
        slot_want_look(m, s);
    } else {
        *(m->first ? &m->last->next : &m->first) = q;
        m->last = q;
        pthread_cond_signal(&m->work);
    }
    pthread_mutex_unlock(&m->lock);
    if (there) {
        free(q);
        ready(user, &h->model);
    }
}

int models_renew(struct models *m, struct model **model)
{
    struct handle *h = handle_of(*model), *fresh = NULL;
    if (!h->slot)
        return 0;
    pthread_mutex_lock(&m->lock);
    struct slot *s = h->slot;
    s->used = clock_seconds();
    slot_want_look(m, s);
    if (s->weights && s->weights != h->weights && s->weights->max_state_dim >= h->weights->max_state_dim &&
        !mem_alloc(&fresh, 1, sizeof *fresh, "a model", NULL))
        handle_fill(fresh, s->weights, s, h->model.exact);
    pthread_mutex_unlock(&m->lock);
    if (!fresh)
        return 0;
    models_release(m, *model);
    *model = &fresh->model;
    return 1;
}

void models_reload(struct models *m)
{
    pthread_mutex_lock(&m->lock);
    for (struct slot *s = m->slots; s; s = s->next)
        s->wanted = s->forced = s->weights || s->mark.inode;
    pthread_cond_signal(&m->work);
    pthread_mutex_unlock(&m->lock);
}

void models_each(struct models *m, models_list_fn fn, void *user)
{
    int has_default = 0;
    pthread_mutex_lock(&m->lock);
    for (struct slot *s = m->slots; s; s = s->next) {
        has_default |= !strcmp(s->name, "default");
        fn(user, s->name, s->weights != NULL, s->weights ? s->weights->version : "");
    }
    if (!has_default)
        fn(user, "default", 0, "");
    pthread_mutex_unlock(&m->lock);
}

/* --- open, close --- */

static int is_name(const char *name)
{
    static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    size_t n = strlen(name);
    return n && n <= 64 && name[0] != '.' && strspn(name, allowed) == n;
}

static int check_variants(struct models *m, const char *json, struct err *e)
{
    const cJSON *list, *item;
    m->variants = cJSON_Parse(json);
    if (!cJSON_IsObject(m->variants))
        return err_set(e, ERR_CONFIG, "server.variants: a map {key: [checkpoint, ...]} is expected");
    cJSON_ArrayForEach(list, m->variants)
    {
        if (!is_name(list->string) || !cJSON_IsArray(list) || !list->child)
            return err_set(e, ERR_CONFIG,
                           "server.variants: \"%.80s\": a key and its checkpoints are expected",
                           list->string);
        cJSON_ArrayForEach(item, list)
        {
            if (!cJSON_IsString(item) || !is_name(item->valuestring))
                return err_set(
                    e, ERR_CONFIG,
                    "server.variants: \"%s\": a checkpoint's name has 1 to 64 of A-Z a-z 0-9 . _ -, no dot "
                    "in front",
                    list->string);
        }
    }
    return mem_alloc(&m->turns, (size_t)cJSON_GetArraySize(m->variants), sizeof *m->turns, "variants", e);
}

static int fill(struct models *m, const struct models_options *o, struct err *e)
{
    m->threads = o->threads > 0 ? o->threads : omp_get_max_threads();
    m->precision = o->precision;
    m->memory = o->memory ? o->memory : DEFAULT_MEMORY;
    m->W = o->W;
    m->H = o->H;
    int r = mem_string(&m->device, o->device, e);
    if (!r && o->dir && !(m->root = realpath(o->dir, NULL)))
        r = err_set(e, ERR_NOINPUT, "%s: the folder of the checkpoints: %s", o->dir, strerror(errno));
    if (!r && o->variants && *o->variants)
        r = check_variants(m, o->variants, e);
    if (!r)
        r = weights_linear(&m->linear, e);
    if (!r)
        r = mem_alloc(&m->plain, 1, sizeof *m->plain, "a model", e);
    if (!r)
        handle_fill(m->plain, m->linear, NULL, 0);
    return r;
}

int models_open(struct models **out, const struct models_options *o, struct err *e)
{
    struct models *m;
    *out = NULL;
    int r = mem_alloc(&m, 1, sizeof *m, "the models", e);
    if (r)
        return r;
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->work, NULL);
    r = fill(m, o, e);
    if (!r && (r = pthread_create(&m->loader, NULL, load_loop, m)))
        r = err_set(e, ERR_INTERNAL, "the loader thread: %s", strerror(r));
    m->running = !r;
    if (r)
        models_close(m);
    else
        *out = m;
    return r;
}

void models_close(struct models *m)
{
    if (!m)
        return;
    if (m->running) {
        pthread_mutex_lock(&m->lock);
        m->closing = 1;
        pthread_cond_signal(&m->work);
        pthread_mutex_unlock(&m->lock);
        pthread_join(m->loader, NULL);
    }
    while (m->slots) {
        struct slot *s = m->slots;
        m->slots = s->next;
        weights_release(s->weights);
        free(s);
    }
    if (m->plain)
        models_release(m, &m->plain->model);
    weights_release(m->linear);
    cJSON_Delete(m->variants);
    free(m->turns);
    pthread_cond_destroy(&m->work);
    pthread_mutex_destroy(&m->lock);
    free(m->root);
    free(m->device);
    free(m);
}
