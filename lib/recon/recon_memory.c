/* How many frames fit: activations counted from the configuration, before anything is taken. */
#include "recon/recon_private.h"

/* An estimate: the arena's own layout is for one shape, and this is asked before there is any. */
static size_t frame_bytes(const struct spt *model, uint32_t W, uint32_t H, size_t n)
{
    const struct model_config *c = spt_config(model);
    size_t p = c->query_patch, D = c->embed_dim, F = c->feedforward_dim;
    size_t h = (H + p - 1) / p, w = (W + p - 1) / p, queries = h * w, tokens = n + 1, pixels = h * w * p * p;
    size_t head = c->head_width ? c->head_width : D;
    /* A layer's rows: residual stream, norms, projections, attention's output, feed-forward. One layer's buffers serve all. */
    size_t encoder = tokens * (8 * D + F) + tokens * c->num_heads;
    size_t decoder = queries * (8 * D + F) + 2 * tokens * D + queries * c->num_heads;
    if (c->self_attention == SELF_ATTENTION_FULL)
        decoder += queries * 5 * D;
    size_t refine =
        p > 1 ? queries * (5 * head + 16 * p * p) + pixels * (18 + 16 + 16 + 2) : pixels * (5 * D + 2);
    return (spt_context(model)->bf16 ? 2 : sizeof(float)) * (encoder + decoder + refine + 3 * pixels);
}

/* A device with memory of its own is shared by all models that are loaded, each of which asks what is free. */
enum { SHARE = 4 };

size_t recon_batch(const struct recon *r, uint32_t W, uint32_t H, size_t n, size_t bytes)
{
    enum { MOST = 64 }; /* beyond this a batch gains nothing and delays the first frame */
    if (!recon_model(r))
        return 1;
    size_t room = recon_device_room(r),
           fit = (room ? room / SHARE : bytes) / frame_bytes(recon_model(r), W, H, n);
    return fit < 1 ? 1 : fit > MOST ? MOST : fit;
}
