/* How many frames fit: activations counted from the configuration, before anything is taken. */
#include "recon/recon.h"

size_t recon_frame_bytes(const struct model_config *c, uint32_t W, uint32_t H, size_t n, int train)
{
    size_t p = c->query_patch, D = c->embed_dim, F = c->feedforward_dim;
    size_t h = (H + p - 1) / p, w = (W + p - 1) / p, queries = h * w, tokens = n + 1, pixels = h * w * p * p;
    size_t head = c->head_width ? c->head_width : D;
    /* A layer's rows: residual stream, norms, projections, attention's output, feed-forward. Inference reuses one
     * layer's buffers; training keeps every layer's, and needs about one more set for the gradients in flight. */
    size_t encoder = tokens * (8 * D + F) + tokens * c->num_heads;
    size_t decoder = queries * (8 * D + F) + 2 * tokens * D + queries * c->num_heads;
    if (c->self_attention == SELF_ATTENTION_FULL)
        decoder += queries * 5 * D;
    size_t refine =
        p > 1 ? queries * (5 * head + 16 * p * p) + pixels * (18 + 16 + 16 + 2) : pixels * (5 * D + 2);
    size_t encoders = train ? c->num_encoder_layers + 1 : 1, decoders = train ? c->num_decoder_layers + 1 : 1;
    return sizeof(float) * (encoder * encoders + decoder * decoders + refine * (train ? 2 : 1) + 3 * pixels);
}

size_t recon_batch(const struct recon *r, uint32_t W, uint32_t H, size_t n, size_t bytes)
{
    enum { MOST = 64 }; /* beyond this a batch gains nothing and delays the first frame */
    if (!recon_model(r))
        return 1;
    size_t fit = bytes / recon_frame_bytes(spt_config(recon_model(r)), W, H, n, 0);
    return fit < 1 ? 1 : fit > MOST ? MOST : fit;
}
