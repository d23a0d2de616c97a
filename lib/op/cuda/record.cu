/* Sequences of operations as CUDA graphs: one launch instead of hundreds. */
#include "op/cuda/ops.cuh"

int cuda_record_begin(struct op_ctx *ctx, struct err *e)
{
    struct cuda_state *s = cuda_state_of(ctx);
    int r = cuda_check(ctx, e); /* what is noted from here on belongs to the recording */
    if (r)
        return r;
    r = cuda_try(cudaStreamBeginCapture(s->stream, cudaStreamCaptureModeThreadLocal), "graph", e);
    s->recording = !r;
    return r;
}

int cuda_record_end(struct op_ctx *ctx, void **recording, struct err *e)
{
    struct cuda_state *s = cuda_state_of(ctx);
    cudaGraph_t graph = NULL;
    cudaGraphExec_t ready = NULL;
    s->recording = 0;
    *recording = NULL;
    int r = cuda_try(cudaStreamEndCapture(s->stream, &graph), "graph", e);
    if (s->failure.code) { /* an operation is missing in it */
        r = s->failure.code;
        if (e)
            *e = s->failure;
        if (r != ERR_UNAVAILABLE)
            s->failure = {};
    }
    if (!r)
        r = cuda_try(cudaGraphInstantiate(&ready, graph, 0), "graph", e);
    if (graph)
        cudaGraphDestroy(graph);
    if (r)
        cudaGetLastError();
    *recording = ready;
    s->recordings += ready != NULL;
    return r;
}

int cuda_record_run(struct op_ctx *ctx, void *recording, struct err *e)
{
    cuda_use(ctx);
    return cuda_try(cudaGraphLaunch((cudaGraphExec_t)recording, cuda_state_of(ctx)->stream), "graph", e);
}

void cuda_record_free(struct op_ctx *ctx, void *recording)
{
    if (!recording)
        return;
    struct cuda_state *s = cuda_state_of(ctx);
    cuda_use(ctx);
    cuda_note(ctx, cudaStreamSynchronize(s->stream), "a kernel");
    cuda_note(ctx, cudaGraphExecDestroy((cudaGraphExec_t)recording), "graph");
    if (!--s->recordings)
        cuda_release_retired(ctx);
}
