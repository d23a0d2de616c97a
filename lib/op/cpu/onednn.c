#include "op/cpu/onednn.h"

#include <dnnl.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#if DNNL_VERSION_MAJOR != 2
#error                                                                                                       \
    "this file speaks oneDNN's 2.x interface (Debian 12: libdnnl-dev 2.6); 3.x changed it: descriptors lost their _init"
#endif

/* Index of the three memories of a convolution. */
enum { X, W, Y, MEMORIES };

struct convolution {
    enum onednn_direction direction;
    size_t B, H, W, C, O;
    dnnl_primitive_t primitive,
        reorder; /* reorder: NULL when the primitive takes torch's layout of the weights */
    dnnl_memory_t memory[MEMORIES], plain; /* plain: the weights as the caller has them */
    struct convolution *next;
};

struct onednn {
    int threads;
    dnnl_engine_t engine;
    dnnl_stream_t stream;
    struct convolution *convolutions;
};

/* First failure wins, so that a sequence of calls is checked once at its end. */
static int failed(dnnl_status_t status, const char *what, struct err *e)
{
    if (status == dnnl_success)
        return 0;
    return err_set(e, ERR_INTERNAL, "oneDNN %s: %s failed with status %d", onednn_version(), what,
                   (int)status);
}

int onednn_open(struct onednn **out, int threads, struct err *e)
{
    struct onednn *d;
    int code = mem_alloc(&d, 1, sizeof *d, "oneDNN", e);
    *out = NULL;
    if (code)
        return code;
    d->threads = threads;
    code = failed(dnnl_engine_create(&d->engine, dnnl_cpu, 0), "the CPU engine", e);
    if (!code)
        code = failed(dnnl_stream_create(&d->stream, d->engine, dnnl_stream_in_order), "the stream", e);
    if (code) {
        onednn_close(d);
        return code;
    }
    *out = d;
    return 0;
}

static void convolution_free(struct convolution *c)
{
    for (int i = 0; i < MEMORIES; i++)
        if (c->memory[i])
            dnnl_memory_destroy(c->memory[i]);
    if (c->plain)
        dnnl_memory_destroy(c->plain);
    if (c->primitive)
        dnnl_primitive_destroy(c->primitive);
    if (c->reorder)
        dnnl_primitive_destroy(c->reorder);
    free(c);
}

void onednn_close(struct onednn *d)
{
    if (!d)
        return;
    while (d->convolutions) {
        struct convolution *c = d->convolutions;
        d->convolutions = c->next;
        convolution_free(c);
    }
    if (d->stream)
        dnnl_stream_destroy(d->stream);
    if (d->engine)
        dnnl_engine_destroy(d->engine);
    free(d);
}

/* oneDNN takes its number of threads from OpenMP's setting of the calling thread. */
static void use_threads(int threads)
{
    if (omp_get_max_threads() != threads)
        omp_set_num_threads(threads);
}

int onednn_multiply(struct onednn *d, const struct onednn_product *p, struct err *e)
{
    if (!p->M || !p->N || !p->K)
        return 0;
    /* A product of a few microseconds is done before a second thread is awake. */
    int small = (double)p->M * (double)p->N * (double)p->K < 1e6;
    use_threads(small ? 1 : d->threads);
    int code = failed(dnnl_sgemm(p->transpose_a ? 'T' : 'N', p->transpose_b ? 'T' : 'N', (dnnl_dim_t)p->M,
                                 (dnnl_dim_t)p->N, (dnnl_dim_t)p->K, 1, p->a, (dnnl_dim_t)p->lda, p->b,
                                 (dnnl_dim_t)p->ldb, (float)!!p->accumulate, p->c, (dnnl_dim_t)p->ldc),
                      "sgemm", e);
    use_threads(d->threads);
    return code;
}

static dnnl_status_t describe(dnnl_memory_desc_t *m, size_t a, size_t b, size_t c, size_t d,
                              dnnl_format_tag_t tag)
{
    const dnnl_dims_t dims = {(dnnl_dim_t)a, (dnnl_dim_t)b, (dnnl_dim_t)c, (dnnl_dim_t)d};
    return dnnl_memory_desc_init_by_tag(m, 4, dims, dnnl_f32, tag);
}

static dnnl_status_t convolution_descriptor(const struct convolution *c, const dnnl_memory_desc_t m[MEMORIES],
                                            dnnl_primitive_desc_t *pd, dnnl_engine_t engine)
{
    static const dnnl_dims_t one = {1, 1};
    dnnl_convolution_desc_t forward, desc;
    dnnl_primitive_desc_t hint = NULL;
    dnnl_status_t s = dnnl_convolution_forward_desc_init(
        &forward, dnnl_forward_training, dnnl_convolution_direct, &m[X], &m[W], NULL, &m[Y], one, one, one);
    if (s == dnnl_success)
        s = dnnl_primitive_desc_create(&hint, &forward, NULL, engine, NULL);
    if (c->direction == ONEDNN_FORWARD || s != dnnl_success) {
        *pd = hint;
        return s;
    }
    if (c->direction == ONEDNN_BACKWARD_DATA)
        s = dnnl_convolution_backward_data_desc_init(&desc, dnnl_convolution_direct, &m[X], &m[W], &m[Y], one,
                                                     one, one);
    else
        s = dnnl_convolution_backward_weights_desc_init(&desc, dnnl_convolution_direct, &m[X], &m[W], NULL,
                                                        &m[Y], one, one, one);
    if (s == dnnl_success)
        s = dnnl_primitive_desc_create(pd, &desc, NULL, engine, hint);
    dnnl_primitive_desc_destroy(hint);
    return s;
}

/* The reorder between the caller's weights and the layout the primitive wants, in the direction the data flows. */
static dnnl_status_t weight_reorder(struct onednn *d, struct convolution *c, const dnnl_memory_desc_t *plain,
                                    const dnnl_memory_desc_t *wanted)
{
    dnnl_primitive_desc_t pd;
    int out = c->direction == ONEDNN_BACKWARD_WEIGHT;
    dnnl_status_t s = dnnl_memory_create(&c->plain, plain, d->engine, DNNL_MEMORY_NONE);
    if (s != dnnl_success)
        return s;
    if (dnnl_memory_desc_equal(plain, wanted))
        return dnnl_memory_create(&c->memory[W], wanted, d->engine, DNNL_MEMORY_NONE);
    s = dnnl_memory_create(&c->memory[W], wanted, d->engine, DNNL_MEMORY_ALLOCATE);
    if (s == dnnl_success)
        s = dnnl_reorder_primitive_desc_create(&pd, out ? wanted : plain, d->engine, out ? plain : wanted,
                                               d->engine, NULL);
    if (s != dnnl_success)
        return s;
    s = dnnl_primitive_create(&c->reorder, pd);
    dnnl_primitive_desc_destroy(pd);
    return s;
}

static int convolution_create(struct onednn *d, struct convolution *c, struct err *e)
{
    dnnl_memory_desc_t m[MEMORIES], plain;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_query_t weights =
        c->direction == ONEDNN_BACKWARD_WEIGHT ? dnnl_query_diff_weights_md : dnnl_query_weights_md;
    dnnl_status_t s = describe(&m[X], c->B, c->C, c->H, c->W, dnnl_nhwc);
    if (s == dnnl_success)
        s = describe(&m[W], c->O, c->C, 3, 3, dnnl_format_tag_any);
    if (s == dnnl_success)
        s = describe(&plain, c->O, c->C, 3, 3, dnnl_oihw);
    if (s == dnnl_success)
        s = describe(&m[Y], c->B, c->O, c->H, c->W, dnnl_nhwc);
    if (s == dnnl_success)
        s = convolution_descriptor(c, m, &pd, d->engine);
    if (s == dnnl_success)
        s = dnnl_primitive_create(&c->primitive, pd);
    if (s == dnnl_success)
        s = dnnl_memory_create(&c->memory[X], &m[X], d->engine, DNNL_MEMORY_NONE);
    if (s == dnnl_success)
        s = dnnl_memory_create(&c->memory[Y], &m[Y], d->engine, DNNL_MEMORY_NONE);
    if (s == dnnl_success)
        s = weight_reorder(d, c, &plain, dnnl_primitive_desc_query_md(pd, weights, 0));
    if (pd)
        dnnl_primitive_desc_destroy(pd);
    return failed(s, "a 3x3 convolution", e);
}

static int convolution_find(struct onednn *d, const struct onednn_conv *p, struct convolution **out,
                            struct err *e)
{
    struct convolution *c;
    for (c = d->convolutions; c; c = c->next)
        if (c->direction == p->direction && c->B == p->B && c->H == p->H && c->W == p->W && c->C == p->C &&
            c->O == p->O) {
            *out = c;
            return 0;
        }
    int code = mem_alloc(&c, 1, sizeof *c, "oneDNN", e);
    if (code)
        return code;
    c->direction = p->direction;
    c->B = p->B;
    c->H = p->H;
    c->W = p->W;
    c->C = p->C;
    c->O = p->O;
    code = convolution_create(d, c, e);
    if (code) {
        convolution_free(c);
        return code;
    }
    c->next = d->convolutions;
    d->convolutions = c;
    *out = c;
    return 0;
}

static dnnl_status_t reorder_weights(struct onednn *d, struct convolution *c, int from, int to)
{
    const dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from == W ? c->memory[W] : c->plain},
                                    {DNNL_ARG_TO, to == W ? c->memory[W] : c->plain}};
    return dnnl_primitive_execute(c->reorder, d->stream, 2, args);
}

int onednn_convolve(struct onednn *d, const struct onednn_conv *p, struct err *e)
{
    static const int names[][MEMORIES] = {
        [ONEDNN_FORWARD] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST},
        [ONEDNN_BACKWARD_DATA] = {DNNL_ARG_DIFF_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DIFF_DST},
        [ONEDNN_BACKWARD_WEIGHT] = {DNNL_ARG_SRC, DNNL_ARG_DIFF_WEIGHTS, DNNL_ARG_DIFF_DST},
    };
    struct convolution *c;
    use_threads(d->threads);
    int code = convolution_find(d, p, &c, e);
    if (code)
        return code;
    const int *name = names[p->direction], out = p->direction == ONEDNN_BACKWARD_WEIGHT;
    dnnl_exec_arg_t args[MEMORIES];
    for (int i = 0; i < MEMORIES; i++)
        args[i] = (dnnl_exec_arg_t){name[i], c->memory[i]};
    dnnl_status_t s = dnnl_memory_set_data_handle(c->memory[X], p->x);
    if (s == dnnl_success)
        s = dnnl_memory_set_data_handle(c->memory[Y], p->y);
    if (s == dnnl_success)
        s = dnnl_memory_set_data_handle(c->reorder ? c->plain : c->memory[W], p->w);
    if (s == dnnl_success && c->reorder && !out)
        s = reorder_weights(d, c, MEMORIES, W);
    if (s == dnnl_success)
        s = dnnl_primitive_execute(c->primitive, d->stream, MEMORIES, args);
    if (s == dnnl_success && c->reorder && out)
        s = reorder_weights(d, c, W, MEMORIES);
    if (s == dnnl_success)
        s = dnnl_stream_wait(d->stream);
    return failed(s, "running a convolution", e);
}

const char *onednn_version(void)
{
    static char text[32];
    const dnnl_version_t *v = dnnl_version();
    snprintf(text, sizeof text, "%d.%d.%d", v->major, v->minor, v->patch);
    return text;
}

const char *onednn_isa(void)
{
    switch ((int)dnnl_get_effective_cpu_isa()) {
    case dnnl_cpu_isa_sse41:
        return "sse4.1";
    case dnnl_cpu_isa_avx:
        return "avx";
    case dnnl_cpu_isa_avx2:
        return "avx2";
    case dnnl_cpu_isa_avx512_core:
        return "avx512";
    case dnnl_cpu_isa_avx512_core_vnni:
        return "avx512-vnni";
    case dnnl_cpu_isa_avx512_core_bf16:
        return "avx512-bf16";
    default:
        return "other";
    }
}
