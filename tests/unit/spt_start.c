/* What spt_init_weights begins with. */
#include <math.h>
#include <string.h>

#include "op/op.h"
#include "spt/spt.h"
#include "tap.h"

enum { MOST = 1 << 16 };

struct moments {
    double mean, deviation, most;
};

static struct moments moments_of(struct spt *m, const char *name)
{
    static float values[MOST];
    struct moments r = {0};
    size_t i = 0, n;
    while (strcmp(spt_tensor_at(m, i)->name, name))
        i++;
    n = spt_tensor_at(m, i)->count;
    spt_get_parameter(m, i, values);
    for (size_t k = 0; k < n; k++) {
        r.mean += (double)values[k] / (double)n;
        r.most = fmax(r.most, fabs((double)values[k]));
    }
    for (size_t k = 0; k < n; k++)
        r.deviation += pow((double)values[k] - r.mean, 2) / (double)n;
    r.deviation = sqrt(r.deviation);
    return r;
}

static int about(double x, double want)
{
    return fabs(x - want) <= 0.05 * want;
}

static void test_start(struct op_ctx *ctx)
{
    struct model_config c = {.name = "start",
                             .embed_dim = 64,
                             .num_heads = 2,
                             .num_encoder_layers = 1,
                             .num_decoder_layers = 2,
                             .max_state_dim = 5,
                             .max_freq = 4,
                             .query_patch = 1,
                             .feedforward_dim = 128,
                             .error_head = 1};
    struct err e;
    struct spt *m;
    if (spt_create(&m, &c, ctx, &e))
        return;
    spt_init_weights(m, 1);
    struct moments linear = moments_of(m, "encoder.layers.0.linear1.weight"), again;
    struct moments in = moments_of(m, "decoder.layers.1.multihead_attn.in_proj_weight");
    struct moments conv = moments_of(m, "refine_head.1.conv2.weight");
    ok(about(linear.deviation, 0.02 * 0.8796) && linear.most <= 0.04 && fabs(linear.mean) < 1e-3,
       "linear weights start from a normal of .02 cut at two deviations");
    ok(about(in.most, sqrt(6.0 / (4 * 64))) && about(in.deviation, sqrt(2.0 / (4 * 64))),
       "in-projections are Xavier's");
    ok(about(conv.deviation, sqrt(2.0 / (9 * 64))), "convolutions are Kaiming's");
    ok(moments_of(m, "refine_head.2.weight").most == 0 &&
           moments_of(m, "encoder.layers.0.linear1.bias").most == 0 &&
           moments_of(m, "state_encoder.norm.weight").mean == 1 &&
           moments_of(m, "refine_head.0.bn1.running_var").mean == 1,
       "the last convolution and biases are zero, norms one");
    ok(moments_of(m, "error_head.weight").most == 0 && moments_of(m, "error_head.bias").mean == -3,
       "the error head says the same everywhere");
    spt_init_weights(m, 2);
    again = moments_of(m, "encoder.layers.0.linear1.weight");
    ok(again.mean != linear.mean, "another seed starts elsewhere");
    spt_init_weights(m, 1);
    again = moments_of(m, "encoder.layers.0.linear1.weight");
    ok(again.mean == linear.mean && again.deviation == linear.deviation,
       "and the same seed at the same place");
    spt_free(m);
    c.query_patch = 2;
    if (spt_create(&m, &c, ctx, &e))
        return;
    spt_init_weights(m, 1);
    ok(moments_of(m, "refine_head.full.0.bias").mean == 1 &&
           moments_of(m, "refine_head.full.2.bias").mean == 1 &&
           moments_of(m, "refine_head.up.bias").most == 0 &&
           moments_of(m, "refine_head.out.weight").most == 0,
       "the patch head's last ReLUs start open");
    spt_free(m);
}

int main(void)
{
    struct op_ctx ctx;
    struct err e;
    if (ok(!op_open(&ctx, "ref", 1, OP_FP32, &e), "ref opens")) {
        test_start(&ctx);
        op_close(&ctx);
    }
    return tap_done();
}
