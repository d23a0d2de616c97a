/* Rows of one session, as many as the memory bound allows, through the network at once. */
#include <stdlib.h>

#include "base/mem.h"
#include "reconstruct.h"

enum { ACTIVATION_BYTES = 256 << 20 };

int batch_begin(struct batch *b, const struct session_info *info, size_t n, int live, struct err *e)
{
    b->info = *info;
    if (b->size[0]) {
        b->info.W = b->size[0];
        b->info.H = b->size[1];
    }
    uint32_t W = b->info.W, H = b->info.H;
    recon_map_size(b->recon, b->sink->importance, W, H, &b->info.map_w, &b->info.map_h);
    b->live = live;
    b->n = 0;
    b->limit = live ? 1 : recon_batch(b->recon, W, H, n, ACTIVATION_BYTES);
    size_t before = b->row_capacity, pixels = (size_t)W * H, cells = (size_t)b->info.map_w * b->info.map_h;
    int code = mem_grow(&b->rows, &b->row_capacity, b->limit, sizeof *b->rows, "rows", e);
    for (size_t i = before; i < b->row_capacity && !code; i++)
        b->rows[i] = (struct row){0};
    if (!code)
        code = mem_grow(&b->frames, &b->frame_capacity, b->limit, sizeof *b->frames, "frames", e);
    if (!code)
        code = mem_grow(&b->pictures, &b->picture_capacity, b->limit * pixels, sizeof(float), "frames", e);
    if (!code && b->sink->importance != RECON_IMPORTANCE_NONE)
        code = mem_grow(&b->maps, &b->map_capacity, b->limit * cells, sizeof(float), "importance maps", e);
    return code ? code : sink_begin(b->sink, &b->info, e);
}

struct row *batch_row(struct batch *b)
{
    return &b->rows[b->n];
}

static int run(struct batch *b, struct err *e)
{
    uint32_t W = b->info.W, H = b->info.H;
    size_t pixels = (size_t)W * H, cells = (size_t)b->info.map_w * b->info.map_h;
    int with_map = b->sink->importance != RECON_IMPORTANCE_NONE;
    for (size_t i = 0; i < b->n; i++) {
        const struct row *r = &b->rows[i];
        b->frames[i] = (struct recon_frame){.n = r->samples.n,
                                            .uv = r->samples.uv,
                                            .value = r->samples.value,
                                            .state = r->state_n ? r->state : NULL,
                                            .state_n = r->state_n,
                                            .sentinel = b->info.sentinel};
    }
    int code = recon_run(b->recon, b->frames, b->n, W, H, b->pictures, b->sink->importance,
                         with_map ? b->maps : NULL, e);
    if (code)
        return err_prefix(e, "%s: session %s, frames %lld..%lld: ", b->source, b->info.id,
                          (long long)b->rows[0].frame_id, (long long)b->rows[b->n - 1].frame_id);
    recon_warn_of_size(b->recon, W, H, "--size");
    for (size_t i = 0; i < b->n && !code; i++) {
        const struct row *r = &b->rows[i];
        struct frame f = {.frame_id = r->frame_id,
                          .timestamp = r->timestamp,
                          .recv_time = r->recv_time,
                          .state = r->state_n ? r->state : NULL,
                          .state_n = r->state_n,
                          .samples_n = r->samples.n,
                          .uv = r->samples.uv,
                          .value = r->samples.value,
                          .set = r->set};
        code = sink_write(b->sink, &f, b->pictures + i * pixels, with_map ? b->maps + i * cells : NULL,
                          b->live, e);
    }
    b->done += b->n;
    b->n = 0;
    progress_update(&b->progress, (double)b->done, NULL);
    return code;
}

int batch_push(struct batch *b, struct err *e)
{
    if (!b->rows[b->n].samples.n) {
        b->left_out++;
        return 0;
    }
    return ++b->n == b->limit ? run(b, e) : 0;
}

int batch_end(struct batch *b, int closed, struct err *e)
{
    int code = b->n ? run(b, e) : 0;
    return code ? code : sink_end(b->sink, closed, e);
}

void batch_release(struct batch *b)
{
    for (size_t i = 0; i < b->row_capacity; i++) {
        samples_release(&b->rows[i].samples);
        free(b->rows[i].state);
    }
    selections_release(&b->selections);
    free(b->rows);
    free(b->frames);
    free(b->pictures);
    free(b->maps);
}
