/* The inside of lib/spt: what its files share. D is embed_dim, T = N + 1 the tokens of a frame (state, then pixels),
 * Q the queries of a frame, F feedforward_dim, C head_width. Rows are (B*T) or (B*Q). */
#ifndef SGAPS_SPT_NETWORK_H
#define SGAPS_SPT_NETWORK_H

#include "base/err.h"
#include "op/op.h"
#include "spt/spt.h"

/* Passes an error on. */
#define TRY(call)                                                                                            \
    do {                                                                                                     \
        int try_code = (call);                                                                               \
        if (try_code)                                                                                        \
            return try_code;                                                                                 \
    } while (0)

/* --- parameters (parameters.c): pointers into the arenas --- */

struct norm_weights {
    float *gamma, *beta; /* (n) */
};
struct linear_weights {
    float *w, *b; /* (out,in), (out) */
};
struct attention_weights {
    struct linear_weights in;  /* (3D,D): query, key, value */
    struct linear_weights out; /* (D,D) */
};
struct forward_weights { /* the feed-forward part */
    struct norm_weights norm;
    struct linear_weights first, second; /* (F,D), (D,F) */
};
struct self_weights {
    struct norm_weights norm;
    struct attention_weights attention;
};
struct encoder_weights {
    struct self_weights self;
    struct forward_weights forward;
};
struct decoder_weights {
    struct self_weights self; /* self_attention full */
    struct norm_weights norm;
    struct attention_weights cross;
    struct forward_weights forward;
};
struct batch_norm_weights {
    struct norm_weights norm;
    float *mean, *var; /* running statistics */
};
/* A convolution without bias and the batch norm behind it; for evaluation folded into one with a bias. */
struct conv_norm {
    float *w; /* (C,C,3,3) */
    struct batch_norm_weights bn;
    float *folded_w, *folded_b;
};
struct block_weights {
    struct conv_norm half[2];
};
struct head_weights {
    struct linear_weights proj;        /* patches: (C,D) */
    struct block_weights block[2];     /* at width C */
    struct linear_weights up, full[2]; /* patches: (16pp,C,3,3), (16,16|18,3,3), (16,16,3,3) */
    struct linear_weights out;         /* (1,C|16,3,3) */
    struct linear_weights error;       /* error_head: the same, beside out */
};

enum { FULL_CHANNELS = 16 }; /* of the full-resolution convolutions behind patch queries */

/* How a tensor starts. */
enum start { START_ZERO, START_ONE, START_LINEAR, START_XAVIER, START_CONV, START_SCALE, START_FREQUENCIES };

struct parameter {
    struct spt_tensor tensor;
    float **slot; /* where its pointer goes */
    enum start start;
};

/* --- activations (activations.c): pointers into one arena, laid out anew when shapes change --- */

struct norm_act {
    act *y;
    float *mean, *rstd;
};
struct self_act {
    struct norm_act norm;
    act *qkv, *out; /* (rows,3D), (rows,D) */
    float *lse;
};
struct forward_act {
    struct norm_act norm;
    act *hidden; /* (rows,F) after ReLU and dropout */
};
struct encoder_act {
    act *x; /* what enters the layer */
    struct self_act self;
    act *x1; /* after the attention */
    struct forward_act forward;
};
struct decoder_act {
    act *x;
    struct self_act self;
    act *xs; /* after the self-attention; x without it */
    struct norm_act norm;
    act *q, *kv, *out; /* (rows,D), (B*T,2D), (rows,D) */
    float *lse;
    act *x1; /* after the cross-attention */
    struct forward_act forward;
};
struct block_act {
    act *x, *conv[2], *middle; /* (B*Q,C); middle is between the halves */
    float *mean[2], *rstd[2];
};
struct head_act {
    act *x; /* (B*Q,D): the decoder's output */
    struct block_act block[2];
    act *blocks;  /* (B*Q,C): what leaves the second */
    act *up;      /* patches: (B*Q,16pp) */
    act *full[3]; /* patches: (B*Hp*Wp,16|18), then 16 after each convolution */
    act *planes;  /* prefill (B,Hp,Wp,2) */
    float *base;  /* its first (B,H,W), which the output is added to; NULL without prefill */
    act *out;     /* (B,Hp,Wp) the result, less base */
    act *error;   /* error_head: (B,Hp,Wp) the raw scale */
};
struct skip_act {
    act *mean, *linear; /* (B,D) */
    struct norm_act norm;
};
/* Scratch of the backward pass. x carries the gradient from layer to layer. */
struct gradient_act {
    act *x, *n, *a, *wide; /* (rows,D) three times, (rows,3D or F) */
    act *kv, *memory;      /* (B*T,2D), (B*T,D) */
    act *full[2];          /* (B*Hp*Wp,18) */
    act *row[2];           /* (B,D) */
};

struct shape {
    size_t B, N, T, H, W, Hp, Wp, h, w, Q;
    int train, ragged, stages;
};

/* Some queries: rows r0 .. r0+rows-1 of frames b0 .. b0+frames-1. More than one frame only with all rows. */
struct part {
    size_t b0, frames, r0, rows;
};

struct activations {
    struct shape shape;
    char *base;
    size_t size;
    struct part tile;          /* the most queries that go through the decoder at once; b0 = r0 = 0 */
    float *pixels, *values;    /* (B,N,3), (B,N) */
    int32_t *counts, *keys;    /* (B) samples, tokens; NULL unless ragged */
    act *state, *state_linear; /* (B,S), (B,D) */
    float *state_mean, *state_rstd;
    act *tokens, *memory; /* (B,T,D) before and after the encoder */
    struct encoder_act *encoder;
    struct decoder_act *decoder;
    struct skip_act skip;
    struct head_act head;
    float *map;              /* (B,Q) */
    act *cropped;            /* (B,H,W) */
    float *output, *doutput; /* (B,H,W) */
    act *cropped_scale;      /* error_head: the same of the raw scale */
    float *scale, *dscale;
    struct gradient_act g;
};

/* What does not depend on the input: positions of the queries, and in evaluation what the first decoder layer makes
 * of them before it looks at the memory. */
struct constants {
    uint32_t H, W; /* 0: nothing yet */
    uint64_t version;
    act *position; /* (Q,D) */
    act *base, *q; /* (Q,D); base is position unless there is self-attention */
};

/* A sequence of evaluation as the backend recorded it (recordings.c). */
struct recording {
    struct shape shape;
    int importance, scale;
    uint64_t runs, used; /* 0 runs: the entry is empty; used: by recordings.clock */
    void *recording;     /* NULL: not yet */
};
enum { RECORDINGS = 8 };
struct recordings {
    struct recording each[RECORDINGS];
    uint64_t version, clock;
    int refused; /* the backend could not: it is not asked again */
};

struct spt {
    struct model_config config;
    struct op_ctx *ctx;
    const struct op_table *ops;
    size_t D, heads, F, S, C, patch, encoder_layers, decoder_layers, act_size;
    int full; /* self-attention over the queries */

    struct parameter *table;
    size_t tensor_count, table_capacity;
    size_t parameter_count, statistic_count; /* floats of the arenas */
    float *parameters, *gradients, *statistics;
    uint64_t version; /* of the parameters and running statistics */
    int written;      /* parameters, since the backend was told (parameters_settle) */

    struct linear_weights pixel_embed, state_linear, skip_linear;
    struct norm_weights state_norm, skip_norm;
    float *freqs;
    struct encoder_weights *encoder;
    struct decoder_weights *decoder;
    struct head_weights head;
    float *folded;
    uint64_t folded_version;

    float *state_mean, *state_std; /* (S) each, on the host */
    int state_normed;              /* are they used? */
    struct constants constants;
    struct activations act;
    struct spt_options options; /* of the last forward */
    int forward_kept;           /* the last forward was one for training */
    struct recordings recordings;
    float *host; /* room to rearrange inputs */
    size_t host_capacity;
    spt_stage_fn stage;
    void *stage_user;
};

int parameters_create(struct spt *m, struct err *e);
void parameters_free(struct spt *m);
int parameters_settle(struct spt *m, struct err *e); /* before every forward pass */
int gradients_take(struct spt *m, struct err *e);    /* once, before the first backward pass */
/* Where the gradient of a parameter accumulates. */
static inline float *gradient_of(const struct spt *m, const float *w)
{
    return m->gradients + (w - m->parameters);
}

/* Bytes of a shape's activations; with a base also hands out the pointers. SIZE_MAX: does not fit. */
size_t activations_layout(struct spt *m, const struct shape *s, char *base);
/* Sizes come from files and options: what the machine does not have is refused before any of it is taken. */
int activations_check(struct spt *m, const struct shape *s, struct err *e);
int activations_prepare(struct spt *m, const struct shape *s, struct err *e);
int shape_equal(const struct shape *a, const struct shape *b);

static inline act *act_at(const struct spt *m, const act *p, size_t n)
{
    return (char *)(uintptr_t)p + n * m->act_size;
}

/* queries.c */
int positions_prepare(struct spt *m, const struct shape *s, struct err *e);
int queries_prepare(struct spt *m, struct err *e); /* for evaluation; with the activations laid out */
void queries_free(struct spt *m);
/* fold.c: batch norm into the convolutions for evaluation, once per version of the parameters */
int fold_prepare(struct spt *m, struct err *e);

/* recordings.c: encoder to output, in evaluation by a recording where the backend has them */
int forward_all(struct spt *m, struct err *e);
void recordings_drop(struct spt *m); /* when what they point to goes */

/* Dropout: one stream for each place of the network and step. */
enum place {
    PLACE_WEIGHTS,
    PLACE_OUT,
    PLACE_HIDDEN,
    PLACE_FORWARD,
    PLACE_CROSS_WEIGHTS,
    PLACE_CROSS_OUT,
    PLACES
};
struct op_dropout dropout_at(const struct spt *m, size_t layer, enum place place, double p);

/* sublayers.c. Backward: g.x holds the gradient of y and then that of x. layer tells dropout masks apart. */
int self_forward(struct spt *m, size_t layer, const struct part *at, const int32_t *keys,
                 const struct self_weights *w, const act *x, const struct self_act *a, act *y, struct err *e);
int self_backward(struct spt *m, size_t layer, const struct part *at, const int32_t *keys,
                  const struct self_weights *w, const act *x, const struct self_act *a, struct err *e);
int feed_forward(struct spt *m, size_t layer, size_t rows, const struct forward_weights *w, const act *x,
                 const struct forward_act *a, act *y, struct err *e);
int feed_backward(struct spt *m, size_t layer, size_t rows, const struct forward_weights *w, const act *x,
                  const struct forward_act *a, struct err *e);
/* y = residual + dropout(x w^T + b); the residual's rows repeat after residual_rows. */
int project_forward(struct spt *m, const struct op_dropout *drop, const struct linear_weights *w, size_t rows,
                    size_t in, const act *x, const act *residual, size_t residual_rows, act *y,
                    struct err *e);
/* From g.x: dw, db and dx. */
int project_backward(struct spt *m, const struct op_dropout *drop, const struct linear_weights *w,
                     size_t rows, size_t in, const act *x, act *dx, struct err *e);

/* encode.c: state and samples to memory */
int encode_forward(struct spt *m, struct err *e);
int encode_backward(struct spt *m, struct err *e); /* from g.memory */
/* decode.c: queries and memory to head.x, skip included */
int decode_forward(struct spt *m, struct err *e);
int decode_backward(struct spt *m, struct err *e); /* from g.x, to g.memory */
/* refine.c: head.x to out, cropped and as float to output; where it is asked for, the scale beside it */
int refine_forward(struct spt *m, struct err *e);
int refine_backward(struct spt *m, struct err *e); /* from doutput and dscale, to g.x */

int host_room(struct spt *m, size_t n, struct err *e); /* m->host holds n floats */
void stage_report(const struct spt *m, const char *name, const act *x, size_t rows, size_t columns);

#endif
