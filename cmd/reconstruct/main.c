/* sgaps-reconstruct: sparse samples -> whole frames, by a checkpoint or a classical method. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli/option.h"
#include "op/op.h"
#include "reconstruct.h"

static struct {
    const char *model, *method, *output, *format, *dtype, *importance;
    uint32_t size[2];
} option = {.output = "-"};

// clang-format off
static const struct option_row rows[] = {
    {OPTION_HEADING, 0, NULL, NULL, NULL, "From", 0, 0},
    {OPTION_TEXT, 'm', "model", &option.model, "CKPT", "a checkpoint of sgaps-train", 0, 0},
    {OPTION_CHOICE, 0, "method", &option.method, "nearest|linear|natural", "a classical method instead of a model", 0, 0},
    {OPTION_SIZE, 0, "size", option.size, "WxH", "size of the frames; default: the recording's, for messages the model's", 0, 0},
    {OPTION_HEADING, 0, NULL, NULL, NULL, "To", 0, 0},
    {OPTION_TEXT, 'o', "output", &option.output, "OUT", "a file, - for standard output (the default), for PNG a pattern such as out/%06d.png", 0, 0},
    {OPTION_CHOICE, 'f', "format", &option.format, "h5|y4m|pgm|png|sixel", "default h5, or what the name of OUT ends with; sixel: to look at in the terminal", 0, 0},
    {OPTION_CHOICE, 0, "dtype", &option.dtype, "u8|f32", "values in h5: clipped and rounded (the default), or the raw output", 0, 0},
    {OPTION_OPTIONAL_TEXT, 0, "importance", &option.importance, "entropy|variance|error|residual|none", "also the importance map, in h5, or drawn beside the frame (png, sixel); default entropy with a model, else residual", 0, 0},
    {OPTION_END, 0, NULL, NULL, NULL, NULL, 0, 0},
};
// clang-format on

static const struct tool tool = {
    .name = "sgaps-reconstruct",
    .purpose = "rebuild whole frames from sparse samples",
    .synopsis =
        "[-m CKPT | --method nearest|linear|natural] [-o OUT] [-f h5|y4m|pgm|png|sixel] [--dtype u8|f32] "
        "[--importance[=KIND]] [--size WxH] FILE...",
    .options = rows,
    .common = COMMON_THREADS | COMMON_DEVICE | COMMON_PRECISION | COMMON_FORCE | COMMON_JSON |
              COMMON_DRY_RUN | COMMON_HISTORY,
    .cuda = op_cuda_available,
    .epilogue = "FILE is a recording with samples or a stream of messages, one a line; - is standard input.\n"
                "\n"
                "Examples:\n"
                "  sgaps-reconstruct -m runs/demo/best.h5 sparse.h5 -o frames.h5\n"
                "  sgaps-reconstruct -m runs/demo/best.h5 sparse.h5 -f y4m | ffplay -\n"
                "  sgaps-reconstruct --method linear --size 112x112 sparse.h5 -o out/%06d.png\n"
                "  tail -f session.ndjson | sgaps-reconstruct -m runs/demo/best.h5 - -f sixel\n"};

static int ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

static int choose_format(struct sink *s, struct err *e)
{
    static const struct {
        const char *name, *suffix;
        enum stream_format format;
    } known[] = {{"h5", ".h5", STREAM_HDF5},
                 {"y4m", ".y4m", STREAM_Y4M},
                 {"pgm", ".pgm", STREAM_PGM},
                 {"png", ".png", STREAM_PNG}};
    s->format = STREAM_HDF5;
    s->sixel = option.format ? !strcmp(option.format, "sixel") : ends_with(option.output, ".sixel");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (option.format ? !strcmp(option.format, known[i].name) : ends_with(option.output, known[i].suffix))
            s->format = known[i].format;
    if (s->format == STREAM_PNG && !strcmp(option.output, "-"))
        return err_set(e, ERR_USAGE, "-f png: writes files: name them with -o, such as out/%%06d.png");
    if ((s->format != STREAM_HDF5 || s->sixel) && option.dtype && !strcmp(option.dtype, "f32"))
        return err_set(e, ERR_USAGE, "--dtype f32: only h5 output holds floats (-f h5)");
    if ((s->format == STREAM_Y4M || s->format == STREAM_PGM) && !s->sixel && option.importance)
        return err_set(e, ERR_USAGE, "--importance: a grey film holds no map (-f h5, png or sixel)");
    return 0;
}

/* Then standard output is what somebody looks at. */
static int shown_on_terminal(const struct sink *s)
{
    return s->sixel && !strcmp(s->path, "-") && isatty(STDOUT_FILENO);
}

static int choose_importance(struct sink *s, struct err *e)
{
    if (!option.importance)
        return 0;
    const char *name = *option.importance ? option.importance : option.model ? "entropy" : "residual";
    int kind = recon_importance_by_name(name);
    if (kind < 0)
        return err_set(e, ERR_USAGE, "--importance=%s: is none of entropy, variance, error, residual, none",
                       name);
    s->importance = (enum recon_importance)kind;
    return 0;
}

static int open_recon(struct batch *b, const struct common_options *c, struct err *e)
{
    if (!option.model == !option.method)
        return err_set(e, ERR_USAGE, "either -m CKPT or --method nearest|linear|natural is needed");
    if (option.method)
        return recon_open_method(&b->recon, (enum recon_method)recon_method_by_name(option.method), e);
    return recon_open_model(&b->recon, option.model, c->device, (int)c->threads,
                            (enum op_precision)op_precision_named(c->precision), e);
}

static int look_at_recording(struct input *in, struct selections *selections, size_t *frames, char **history,
                             struct err *e)
{
    int code = input_open_recording(in, e);
    if (code)
        return code;
    code = selections_take(selections, in->recording, &in->is_selection, e);
    if (in->is_selection) {
        in->recording = NULL; /* the selections have it */
        return code;
    }
    for (size_t s = 0; s < recording_sessions(in->recording); s++)
        *frames += recording_session(in->recording, s)->T;
    if (!code && !*history)
        code = mem_string(history, recording_attribute(in->recording, "history"), e);
    if (strcmp(in->path, "-"))
        input_close(in);
    return code;
}

/* What is at hand before the work begins: formats, sessions, selections, and the history that goes on. */
static int look_at(const struct parsed *p, struct input *inputs, struct selections *selections,
                   size_t *frames, char **history, struct err *e)
{
    int code = 0;
    for (size_t i = 0; i < p->file_count && !code; i++) {
        inputs[i].path = p->files[i];
        code = input_probe(&inputs[i], e);
        if (!code && inputs[i].format == STREAM_HDF5)
            code = look_at_recording(&inputs[i], selections, frames, history, e);
    }
    return code;
}

static int dry_run(const struct parsed *p, struct input *inputs, const struct batch *b, struct err *e)
{
    int code = 0;
    for (size_t i = 0; i < p->file_count && !code; i++) {
        struct input *in = &inputs[i];
        if (in->is_selection)
            continue;
        if (in->format == STREAM_NDJSON) {
            printf("%s: messages by %s\n", in->path, recon_name(b->recon));
            continue;
        }
        code = input_open_recording(in, e);
        for (size_t s = 0; !code && s < recording_sessions(in->recording); s++) {
            const struct session_info *info = recording_session(in->recording, s);
            uint32_t W = b->size[0] ? b->size[0] : info->W, H = b->size[0] ? b->size[1] : info->H;
            size_t n = info->T ? info->M / info->T : 0;
            printf("%s: session %s: %zu frames of %ux%u from %zu samples each by %s", in->path, info->id,
                   info->T, W, H, n, recon_name(b->recon));
            if (recon_model(b->recon))
                printf(", %.3g GFLOP a frame", spt_flops(spt_config(recon_model(b->recon)), H, W, n) / 1e9);
            putchar('\n');
        }
        input_close(in);
    }
    return code;
}

static int run_inputs(const struct parsed *p, struct input *inputs, struct batch *b, size_t frames,
                      struct err *e)
{
    progress_begin(&b->progress, "reconstruct", "frames", (double)frames,
                   p->common.quiet || shown_on_terminal(b->sink));
    int code = sink_open(b->sink, e);
    for (size_t i = 0; i < p->file_count && !code; i++)
        code = input_run(&inputs[i], b, e);
    progress_end(&b->progress);
    if (!code && !b->done)
        code = err_set(e, ERR_DATA, "%s: %s", strcmp(p->files[0], "-") ? p->files[0] : "standard input",
                       b->selections.n == p->file_count ? "is a selection without its recording: name both"
                                                        : "no frame with samples");
    if (!code && b->left_out)
        log_warning("%zu frames without samples are left out", b->left_out);
    code = code ? code : sink_close(b->sink, e);
    if (!code)
        tool_written(p, b->sink->path, b->done);
    return code;
}

int main(int argc, char **argv)
{
    struct parsed p;
    struct err e = {0};
    tool_parse(&tool, &p, argc, argv, 1);
    struct sink sink = {.path = option.output, .f32 = option.dtype && !strcmp(option.dtype, "f32")};
    struct batch batch = {.sink = &sink, .size = {option.size[0], option.size[1]}};
    struct input *inputs = NULL;
    size_t frames = 0;
    char *before = NULL, *history = NULL;
    int code =
        p.file_count ? 0 : err_set(&e, ERR_USAGE, "no input: name a recording, or - for standard input");
    code = code ? code : choose_format(&sink, &e);
    code = code ? code : choose_importance(&sink, &e);
    code = code ? code : parsed_expand_directories(&p, &e);
    code = code                                           ? code
           : p.common.dry_run || shown_on_terminal(&sink) ? 0
                                                          : tool_check_output(&p, option.output, &e);
    code = code ? code : tool_check_json(&p, option.output, &e);
    code = code ? code : open_recon(&batch, &p.common, &e);
    code = code ? code : recon_check_importance(batch.recon, sink.importance, &e);
    code = code ? code : mem_alloc(&inputs, p.file_count, sizeof *inputs, "inputs", &e);
    code = code ? code : look_at(&p, inputs, &batch.selections, &frames, &before, &e);
    history = tool_history(&tool, &p, before);
    sink.meta = (struct recording_meta){
        .creator = "sgaps-reconstruct " SGAPS_VERSION, .history = history, .no_history = p.common.no_history};
    if (!code)
        code =
            p.common.dry_run ? dry_run(&p, inputs, &batch, &e) : run_inputs(&p, inputs, &batch, frames, &e);
    for (size_t i = 0; inputs && i < p.file_count; i++)
        input_close(&inputs[i]);
    sink_abandon(&sink);
    batch_release(&batch);
    recon_close(batch.recon);
    free(inputs);
    free(before);
    free(history);
    parsed_release(&p);
    return code ? tool_fail(&e) : tool_finish(0);
}
