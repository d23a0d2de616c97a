/* What a forward pass costs, from the shapes alone. */
#include "spt/spt.h"

static double product(double M, double N, double K)
{
    return 2 * M * N * K;
}

/* Scores and weighted sum of Tq queries over Tk keys, all heads together. */
static double attention(double Tq, double Tk, double D)
{
    return 4 * Tq * Tk * D;
}

static double self_attention(double T, double D)
{
    return product(T, 3 * D, D) + attention(T, T, D) + product(T, D, D);
}

/* Without the error head, which runs where it is asked for, as importance does: with patches 288 a pixel. */
static double head(const struct model_config *c, double Q)
{
    double D = c->embed_dim, p = c->query_patch, C = p > 1 && c->head_width ? c->head_width : D;
    double blocks = 4 * product(Q, C, 9 * C);
    if (p == 1)
        return blocks + product(Q, 1, 9 * C);
    double pixels = Q * p * p, in = c->prefill == PREFILL_LINEAR ? 18 : 16;
    return product(Q, C, D) + blocks + product(Q, 16 * p * p, 9 * C) + product(pixels, 16, 9 * in) +
           product(pixels, 16, 9 * 16) + product(pixels, 1, 9 * 16);
}

double spt_flops(const struct model_config *c, uint32_t H, uint32_t W, size_t N)
{
    uint32_t p = c->query_patch;
    double D = c->embed_dim, F = c->feedforward_dim, T = (double)N + 1;
    double Q = (double)((H + p - 1) / p) * ((W + p - 1) / p), forward = 2 * product(1, F, D);
    double encoder = self_attention(T, D) + T * forward;
    double decoder =
        product(Q, D, D) + product(T, 2 * D, D) + attention(Q, T, D) + product(Q, D, D) + Q * forward;
    if (c->self_attention == SELF_ATTENTION_FULL)
        decoder += self_attention(Q, D);
    return product(N, D, 3) + product(1, D, c->max_state_dim) + c->num_encoder_layers * encoder +
           c->num_decoder_layers * decoder + (c->skip ? product(1, D, D) : 0) + head(c, Q);
}
