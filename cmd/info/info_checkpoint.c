/* A checkpoint as text. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "conf/conf.h"
#include "info.h"
#include "lines.h"
#include "spt/spt.h"

size_t checkpoint_parameters(const struct checkpoint *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->tensor_count; i++) {
        const char *name = c->tensors[i].name;
        if (!strstr(name, "running_") && strcmp(name, "pos_encoder.freqs"))
            n += c->tensors[i].count;
    }
    return n;
}

double checkpoint_flops(const struct checkpoint *c, uint32_t *W, uint32_t *H, size_t *n)
{
    struct config conf;
    struct model_config model;
    config_init(&conf); /* what the file does not say about sampling */
    config_from_json(&conf, c->config, NULL);
    *n = (size_t)conf.sampling.default_sample_count;
    config_release(&conf);
    if (config_model_from_json(&model, c->config, NULL))
        return NAN;
    *H = model.resolution[0];
    *W = model.resolution[1];
    return spt_flops(&model, *H, *W, *n);
}

static void print_key(void *user, const char *key, const char *type, const char *value, const char *help)
{
    const char *json = user; /* groups that the file says nothing about are left out */
    char group[64];
    (void)type;
    (void)help;
    snprintf(group, sizeof group, "\"%.*s\"", (int)strcspn(key, "."), key);
    if (strstr(json, group))
        printf("    %s = %s\n", key, value);
}

static void print_config(char *json)
{
    struct config c;
    config_init(&c);
    if (!config_from_json(&c, json, NULL)) {
        puts("  configuration:");
        config_each_key(&c, print_key, json);
    } else if (*json) {
        print_line("config", json);
    }
    config_release(&c);
}

void print_checkpoint(const struct content *content)
{
    const struct checkpoint *c = content->checkpoint;
    char size[24];
    uint32_t W, H;
    size_t n;
    double flops = checkpoint_flops(c, &W, &H, &n);
    print_plain(content->name, strlen(content->name));
    printf(": checkpoint, %zu parameters in %zu tensors, %s\n", checkpoint_parameters(c), c->tensor_count,
           size_text((double)content->bytes, size));
    print_line("created", c->created_at);
    print_line("creator", c->creator);
    print_line("key", c->checkpoint_key);
    print_formatted("trained", "epoch %" PRId64 ", step %" PRId64 ", seed %" PRIu64, c->epoch, c->step,
                    c->seed);
    if (!isnan(c->score) && *c->metric && strcmp(c->metric, "none"))
        print_formatted("score", "%s %.6g", c->metric, c->score);
    if (isfinite(flops))
        print_formatted("cost", "%.3g GFLOP a frame of %ux%u from %zu samples", flops / 1e9, W, H, n);
    print_line("data", c->data_uuid);
    if (c->exp_avg)
        print_formatted("optimizer", "step %" PRId64 ", lr %g: can be resumed", c->optimizer_step, c->lr);
    if (checkpoint_find(c, "error_head.weight"))
        print_line("error head", "expected error of each pixel: --importance=error");
    if (c->state_n)
        print_formatted("state", "mean and deviation of %zu columns", c->state_n);
    print_newest(c->history);
    print_config(c->config);
}
