/* lib/conf: defaults, presets, YAML files, --set, JSON both ways, the errors of each. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/philox.h"
#include "conf/conf.h"
#include "conf/conf_keys.h"
#include "tap.h"

static char path[] = "/tmp/sgaps-conf-XXXXXX";

static int file_of(struct config *c, const char *yaml, struct err *e)
{
    FILE *f = fopen(path, "w");
    fputs(yaml, f);
    fclose(f);
    return config_file(c, path, e);
}

static void test_table(void)
{
    struct config c;
    struct err e = {0};
    int bad = 0, outside = 0, double_names = 0;
    config_init(&c);
    for (int i = 0; i < conf_key_count; i++) {
        const struct key *k = &conf_keys[i];
        bad += conf_value_from_text(k, &c, k->standard, ERR_INTERNAL, &e) != 0;
        bad += k->checkpoint && strcmp(k->checkpoint, CONF_MUST) &&
               conf_value_from_text(k, &c, k->checkpoint, ERR_INTERNAL, &e);
        outside += k->offset + k->size > sizeof c;
        for (int j = 0; j < i; j++)
            double_names += !strcmp(conf_keys[j].name, k->name);
    }
    ok(!bad, "every default of the table is valid %s", e.text);
    ok(!outside && !double_names && conf_key_count > 80, "%d keys, each once", conf_key_count);
    for (int i = 0; i < conf_preset_count; i++) {
        char set[64];
        snprintf(set, sizeof set, "%s=%s", conf_presets[i].group, conf_presets[i].name);
        ok(!config_set(&c, set, &e) && !config_check(&c, &e), "preset %s is valid", set);
    }
    config_release(&c);
}

static void test_defaults(void)
{
    struct config c;
    config_init(&c);
    ok(!strcmp(c.model.name, "spt-fast") && c.model.embed_dim == 128 && c.model.query_patch == 8 &&
           c.model.head_width == 64 && c.model.prefill == PREFILL_LINEAR && c.model.state_norm &&
           !c.model.skip && c.model.skip_weight == 1 && c.model.max_freq == 56 &&
           c.model.resolution[1] == 224,
       "defaults of model");
    ok(c.training.loss_auto && c.training.lr == 4e-4 && c.training.beta2 == 0.999 &&
           c.training.patterns[2] == 0.5 && c.training.patterns[0] == 0.25 && c.training.patterns[5] == 0 &&
           c.training.scheduler_cosine && c.training.sampling_random && c.training.samples[1] == 0.04 &&
           c.training.seed == 42 && c.training.batch_size == 26 && c.training.shuffle &&
           !strcmp(c.training.validation, "sessions"),
       "defaults of training");
    ok(c.sampling.default_sample_count == 500 && c.sampling.floor == 0.35 &&
           c.mask_update.max_interval == 10 && !strcmp(c.cleaning.cap, "p80") &&
           c.cleaning.keep_every == 30 && c.server.port == 8080 && c.server.variants &&
           !strcmp(c.server.variants, "{}"),
       "defaults of the other groups");
    ok(!config_given(&c, "training.lr") && !config_given(&c, "no.such"), "nothing is given");
    struct err e;
    ok(!config_check(&c, &e), "the defaults pass the check");
    config_release(&c);
}

static void test_set(void)
{
    struct config c;
    struct err e;
    config_init(&c);
    ok(!config_set(&c, "model=spt-seed", &e) && c.model.coordinates == COORDINATES_SEED &&
           c.model.self_attention == SELF_ATTENTION_FULL && c.model.embed_dim == 256 && !c.model.state_norm &&
           c.model.feedforward_dim == 1024 && c.model.max_freq == 10 && !strcmp(c.model.name, "spt-seed"),
       "a preset on top of a preset");
    ok(!config_set(&c, "model=spt-small", &e) && c.model.coordinates == COORDINATES_CENTRES &&
           c.model.state_norm && c.model.self_attention == SELF_ATTENTION_NONE &&
           c.model.resolution[0] == 112 && c.model.resolution[1] == 112 && c.model.query_patch == 1,
       "another preset starts from the defaults");
    ok(!config_set(&c, "model.resolution=[48,64]", &e) && c.model.resolution[0] == 48 &&
           c.model.resolution[1] == 64,
       "a list");
    ok(!config_set(&c, "model=spt-tiny", &e) && c.model.embed_dim == 64 && c.model.resolution[0] == 48,
       "a preset leaves what was given");
    ok(config_given(&c, "model.resolution") && !config_given(&c, "model.embed_dim"),
       "given, and through a preset");
    ok(!config_set(&c, "model.name=spt-base", &e) && c.model.embed_dim == 256 && c.model.resolution[0] == 48,
       "a preset's name picks it");
    ok(!config_set(&c, "model.name=mine", &e) && c.model.embed_dim == 256 && !strcmp(c.model.name, "mine"),
       "any other name is a label");
    ok(!config_set(&c, "training=phase3", &e) && !c.training.loss_auto && c.training.loss[LOSS_L1] == 1 &&
           c.training.loss[LOSS_SSIM] == 0.15 && c.training.loss[LOSS_L2] == 0,
       "a map of losses in a preset");
    ok(!config_set(&c, "training.loss=heldout_l2", &e) && c.training.loss[LOSS_HELDOUT_L2] == 1 &&
           c.training.loss[LOSS_L1] == 0,
       "a loss by name");
    ok(!config_set(&c, "training.loss={charbonnier: 2, gradient: .5}", &e) &&
           c.training.loss[LOSS_CHARBONNIER] == 2 && c.training.loss[LOSS_GRADIENT] == 0.5 &&
           c.training.loss[LOSS_HELDOUT_L2] == 0,
       "a map of losses");
    ok(!config_set(&c, "training.loss=auto", &e) && c.training.loss_auto &&
           c.training.loss[LOSS_CHARBONNIER] == 0,
       "auto");
    ok(!config_set(&c, "training.patterns={random: 1}", &e) && c.training.patterns[1] == 1 &&
           c.training.patterns[2] == 0,
       "a map of patterns replaces");
    ok(!config_set(&c, "training={lr: 1.0e-3, optimizer: {betas: [0.5, 0.6]}}", &e) &&
           c.training.lr == 1e-3 && c.training.beta1 == 0.5 && c.training.beta2 == 0.6,
       "a map of keys for a group");
    ok(!config_set(&c, "cleaning.cap=250", &e) && !strcmp(c.cleaning.cap, "250"), "a cap that is a number");
    ok(!config_set(&c, "cleaning.cap=median", &e) && !strcmp(c.cleaning.cap, "median"), "a cap by name");
    ok(!config_set(&c, "training.seed=9007199254740993", &e) && c.training.seed == 9007199254740993u,
       "a large seed");
    ok(!config_set(&c, "server.variants={doom: [a.h5, b.h5]}", &e) &&
           !strcmp(c.server.variants, "{\"doom\":[\"a.h5\",\"b.h5\"]}"),
       "a map kept as JSON");
    ok(!config_set(&c, "server.host=::1", &e) && !strcmp(c.server.host, "::1"), "text with colons");
    config_release(&c);
}

static void test_refusals(void)
{
    static const struct {
        const char *set, *says;
    } bad[] = {
        {"model.embed_dmi=64", "unknown key model.embed_dmi: did you mean model.embed_dim?"},
        {"training.learning.lr=1", "unknown key training.learning.lr: did you mean training.lr?"},
        {"lr=1", "unknown key lr: did you mean training.lr?"},
        {"modle=spt-small", "unknown key modle: did you mean model?"},
        {"xyzzy.plugh=1", "unknown key xyzzy.plugh (the groups are"},
        {"model.dekoder={query_patch: 2}", "unknown key model.dekoder: did you mean model.decoder?"},
        {"model=spt-smal", "model: unknown preset 'spt-smal': did you mean spt-small?"},
        {"model=resnet", "model: unknown preset 'resnet' (there are spt-fast, spt-base"},
        {"sampling=x", "sampling: is a group without presets"},
        {"model.decoder=x", "model.decoder: must be a map of keys"},
        {"model.embed_dim=64.5", "model.embed_dim: '64.5' is not a whole number"},
        {"model.embed_dim=-4", "model.embed_dim: '-4' is not a whole number"},
        {"model.embed_dim=8192", "model.embed_dim: 8192 is outside 4..4096"},
        {"model.embed_dim=[1,2]", "model.embed_dim: must be a single value"},
        {"model.embed_dim=", "model.embed_dim: has no value"},
        {"model.embed_dim=~", "model.embed_dim: has no value"},
        {"model.embed_dim", "'model.embed_dim' is not KEY=VALUE"},
        {"=3", "'=3' is not KEY=VALUE"},
        {"model.state_norm=maybe", "model.state_norm: 'maybe' is not true or false"},
        {"model.prefill=cubic", "model.prefill: 'cubic' is not one of none|linear"},
        {"model.resolution=[1,2,3]", "model.resolution: must be [H,W]"},
        {"model.resolution=[1,x]", "model.resolution: 'x' is not a whole number"},
        {"model.positional.kind=learned", "model.positional.kind: 'learned' is not one of sinusoidal"},
        {"training.lr=nan", "training.lr: 'nan' is not a number"},
        {"training.lr=1e400", "training.lr: 1e400 is outside"},
        {"training.loss=l3", "training.loss: 'l3' is not one of"},
        {"training.loss={l1: x}", "training.loss.l1: 'x' is not a number"},
        {"training.loss={l1: 0}", "training.loss: at least one weight must be above 0"},
        {"training.loss={l1: -1}", "training.loss.l1: -1 is outside"},
        {"training.loss=[l1]", "training.loss: must be a name, or a map"},
        {"training.samples=0.1", "training.samples: must be [a,b]"},
        {"training.optimizer.betas=[0.9, 1.5]", "training.optimizer.betas: 1.5 is outside"},
        {"training.loss={l1: 1", "training.loss:2:1: missing comma"},
        {"cleaning.cap=p81", "cleaning.cap: 'p81' is not one of p80|median|mean, nor a whole number"},
        {"cleaning.cap=0", "cleaning.cap: '0' is not one of"},
        {"server.variants=3", "server.variants: must be a map"},
        {"server.host=\"a\\nb\"", "server.host: has a control character"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct config c, before;
        struct err e = {0};
        config_init(&c);
        config_init(&before);
        int code = config_set(&c, bad[i].set, &e);
        char *x = config_json(&c), *y = config_json(&before);
        ok(code == ERR_CONFIG && !strncmp(e.text, bad[i].says, strlen(bad[i].says)) && !strcmp(x, y),
           "--set %s: %s", bad[i].set, e.text);
        free(x);
        free(y);
        config_release(&c);
        config_release(&before);
    }
}

static void test_file(void)
{
    struct config c;
    struct err e = {0};
    char want[128];
    int fd = mkstemp(path);
    close(fd);
    config_init(&c);
    ok(!file_of(&c,
                "# a comment\nmodel: spt-small\ntraining:\n  loss: {l1: 1, ssim: 0.15}\n  optimizer:\n    "
                "weight_decay: 0.1\n"
                "  lr: &rate 1e-3\n  min_lr: *rate\nserver:\n  variants: {a: [x.h5]}\ncleaning:\n",
                &e),
       "a file is read %s", e.text);
    ok(c.model.embed_dim == 128 && c.model.query_patch == 1 && c.training.weight_decay == 0.1 &&
           c.training.lr == 1e-3 && c.training.min_lr == 1e-3 && c.training.loss[LOSS_SSIM] == 0.15 &&
           c.training.beta1 == 0.9,
       "preset, nested keys, anchors");
    ok(!file_of(&c, "", &e) && !file_of(&c, "# nothing\n", &e), "an empty file changes nothing");
    ok(!file_of(&c, "{\"model\": {\"embed_dim\": 64}}", &e) && c.model.embed_dim == 64, "JSON is YAML");
    static const struct {
        const char *yaml, *says;
    } bad[] = {
        {"model:\n  embed_dim: 64\n  heads: 4\n", ":3: unknown key model.heads"},
        {"training:\n\n  lr: fast\n", ":3: training.lr: 'fast' is not a number"},
        {"model:\n  embed_dim: 64\n  embed_dim: 65\n", ":3:"},
        {"model: [\n", ":"},
        {"- model\n", ": the configuration: must be a map of keys"},
        {"model:\n  [1]: 2\n", ": model: a key here is not"},
        {"model: spt-smal\n", ":1: model: unknown preset"},
        {"a: *nothing\n", ":1: unknown key a"},
        {"training:\n  lr: *nothing\n", ":2: training.lr: has no value"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int code = file_of(&c, bad[i].yaml, &e);
        snprintf(want, sizeof want, "%s%s", path, bad[i].says);
        ok(code == ERR_CONFIG && !strncmp(e.text, want, strlen(want)), "file: %s", e.text);
    }
    unlink(path);
    ok(config_file(&c, path, &e) == ERR_NOINPUT, "a missing file: %s", e.text);
    config_release(&c);
}

/* A model group that has all that must be there, and more around it. */
#define SIZES                                                                                                \
    "\"embed_dim\": 32, \"num_heads\": 2, \"num_encoder_layers\": 2, \"num_decoder_layers\": 2, "            \
    "\"max_state_dim\": 12"
#define MODEL(more)                                                                                          \
    "{\"model\": {" SIZES ", \"architecture\": {\"feedforward_dim\": 64}" more "}, \"future\": {\"x\": 1}}"

static void test_checkpoint(void)
{
    struct model_config m;
    struct err e = {0};
    ok(!config_model_from_json(
           &m, MODEL(", \"resolution\": [16, 20], \"new_key\": 3, \"decoder\": {\"newer\": [1]}"), &e),
       "a checkpoint's model; unknown keys are ignored %s", e.text);
    ok(m.embed_dim == 32 && m.resolution[0] == 16 && m.prefill == PREFILL_NONE && m.query_patch == 1 &&
           m.head_width == 0 && !m.error_head && !m.state_norm && m.coordinates == COORDINATES_CENTRES &&
           m.max_freq == 10 && !m.skip && m.self_attention == SELF_ATTENTION_NONE && m.sentinel_value == -999,
       "missing keys take the checkpoint's defaults, not the preset's");
    ok(!config_model_from_json(&m, MODEL(", \"resolution\": [16, 20], \"error_head\": true"), &e) &&
           m.error_head,
       "a model with an error head");
    static const struct {
        const char *json, *says;
        int code;
    } bad[] = {
        {MODEL(""), "configuration: model.resolution is missing", ERR_DATA},
        {"{}", "configuration: the group model is missing", ERR_DATA},
        {"{\"model\": 3}", "configuration: the group model is missing", ERR_DATA},
        {"[]", "configuration: is not a JSON object", ERR_DATA},
        {"", "configuration:", ERR_DATA},
        {"{\"model\": {", "configuration:", ERR_DATA},
        {MODEL(", \"resolution\": [16, 20], \"prefill\": \"cubic\""), "model.prefill: 'cubic'", ERR_DATA},
        {MODEL(", \"resolution\": [16, 20], \"prefill\": \"linear\""), "model.prefill: linear needs",
         ERR_DATA},
        {MODEL(", \"resolution\": [16, 0]"), "model.resolution: 0 is outside", ERR_DATA},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int code = config_model_from_json(&m, bad[i].json, &e);
        ok(code == bad[i].code && !strncmp(e.text, bad[i].says, strlen(bad[i].says)), "checkpoint: %d %s",
           code, e.text);
    }
}

static void test_round_trip(void)
{
    struct config a, b;
    struct err e = {0};
    config_init(&a);
    config_init(&b);
    static const char *const sets[] = {
        "model=spt-seed",          "model.architecture.skip.enabled=true",
        "training.lr=0.1",         "training.seed=9007199254740993",
        "training.loss={l1: 0.3}", "training.patterns={grid: 1, adaptive: 0.1}",
        "cleaning.cap=17",         "server.variants={k: [a]}",
        "training.shuffle=false",  "model.name=it's \"quoted\""};
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        ok(!config_set(&a, sets[i], &e), "--set %s %s", sets[i], e.text);
    char *x = config_json(&a);
    ok(x && !strchr(x, '\n') && strstr(x, "\"lr\":0.1,") && strstr(x, "\"seed\":9007199254740993") &&
           strstr(x, "\"resolution\":[224,224]"),
       "JSON on one line");
    ok(!config_from_json(&b, x, &e), "and back %s", e.text);
    char *y = config_json(&b);
    ok(!strcmp(x, y), "the same configuration");
    ok(!config_model_difference(&a.model, &b.model), "no difference");
    b.model.skip_weight = 2;
    ok(!strcmp(config_model_difference(&a.model, &b.model), "model.architecture.skip.weight"),
       "the key that differs");
    config_release(&b);
    config_init(&b);
    ok(!config_set(&b, "training.lr=0.5", &e) && !config_from_json(&b, x, &e) && b.training.lr == 0.5 &&
           b.model.embed_dim == 256,
       "what was given stays over a checkpoint's");
    free(x);
    free(y);
    config_release(&a);
    config_release(&b);
    struct model_config m;
    ok(!config_preset_model(&m, "spt-tiny", &e) && m.embed_dim == 64 && m.prefill == PREFILL_NONE,
       "a preset's model");
    ok(config_preset_model(&m, "spt-tin", &e) == ERR_CONFIG, "an unknown one: %s", e.text);
}

static void test_check(void)
{
    static const struct {
        const char *set[2], *says;
        int code;
    } bad[] = {
        {{"model.embed_dim=130"}, "model.embed_dim: 130 is not a multiple of 4", ERR_CONFIG},
        {{"model.num_heads=3"}, "model.num_heads: 3 does not divide model.embed_dim 128", ERR_CONFIG},
        {{"model.decoder.query_patch=1"}, "model.prefill: linear needs", ERR_CONFIG},
        {{"training.samples=[0.5, 0.1]"}, "training.samples: [0.5,0.1]", ERR_CONFIG},
        {{"mask_update.adaptive.min_interval=11"}, "mask_update.adaptive: min_interval 11", ERR_CONFIG},
        {{"mask_update.quality_based.low_quality_threshold=.95"},
         "mask_update.quality_based: low",
         ERR_CONFIG},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct config c;
        struct err e = {0};
        config_init(&c);
        config_set(&c, bad[i].set[0], &e);
        ok(config_check(&c, &e) == bad[i].code && !strncmp(e.text, bad[i].says, strlen(bad[i].says)),
           "%s: %s", bad[i].set[0], e.text);
        config_release(&c);
    }
}

/* The manual's text with all white space one blank, so that lines may be wrapped. */
static char *read_manual(void)
{
    char name[4096];
    const char *root = getenv("SGAPS_ROOT");
    snprintf(name, sizeof name, "%s/man/sgaps-config.5", root ? root : ".");
    FILE *f = fopen(name, "r");
    char *text = calloc(1, 1 << 20);
    size_t n = f && text ? fread(text, 1, (1 << 20) - 1, f) : 0;
    if (f)
        fclose(f);
    for (size_t i = 0; i < n; i++)
        if (text[i] == '\n')
            text[i] = ' ';
    return text;
}

struct manual {
    const char *text;
    int keys, missing;
};

static void check_key(void *user, const char *key, const char *type, const char *value, const char *help)
{
    struct manual *m = user;
    char head[128], body[512], plain[256];
    size_t n = 0;
    for (; *value && n < sizeof plain - 1; value++) /* JSON's quotes mean nothing in YAML here */
        if (*value != '"')
            plain[n++] = *value;
    plain[n] = 0;
    snprintf(head, sizeof head, ".It Va %s ", key);
    snprintf(body, sizeof body, "%s. Values: %s. Default: .Ql %s ", help + 1, type,
             plain); /* its first letter is a capital */
    const char *item = strstr(m->text, head), *end = item ? strstr(item + 4, ".It ") : NULL,
               *found = item ? strstr(item, body) : NULL;
    m->keys++;
    if (found && (!end || found < end))
        return;
    m->missing++;
    tap_diag("sgaps-config(5) lacks: %s%s", head, body);
}

static void test_manual(void)
{
    struct config c;
    char *text = read_manual();
    struct manual m = {text ? text : "", 0, 0};
    config_init(&c);
    config_each_key(&c, check_key, &m);
    ok(m.keys == conf_key_count && !m.missing, "sgaps-config(5) has all %d keys with values and defaults",
       m.keys);
    int items = 0;
    for (const char *item = m.text; (item = strstr(item, ".It Va ")) != NULL; item++)
        items++;
    ok(items == conf_key_count, "and no other (%d)", items);
    int named = 0;
    for (int i = 0; i < conf_preset_count; i++) {
        char name[64];
        snprintf(name, sizeof name, ".Cm %s ", conf_presets[i].name);
        named += strstr(m.text, name) != NULL;
    }
    ok(named == conf_preset_count, "and all presets");
    config_release(&c);
    free(text);
}

/* Damaged configurations through every door: an error in one line or a valid configuration, nothing else. */
static void test_damaged(void)
{
    static const char *const whole[] = {"model: spt-small\ntraining:\n  loss: {l1: 1, ssim: 0.15}\n  lr: "
                                        "&rate 1e-3\n  min_lr: *rate\nserver: {variants: {a: [x]}}\n",
                                        MODEL(", \"resolution\": [16, 20]"),
                                        "training.loss={l1: 1, ssim: 0.15}", "model: &m\n  decoder: *m\n"};
    static const char *const pieces[] = {"{",
                                         "}",
                                         "[",
                                         ": ",
                                         "&a ",
                                         "*a",
                                         "\n",
                                         "  ",
                                         "- ",
                                         "? ",
                                         "|\n",
                                         "'",
                                         "\"",
                                         "<<: ",
                                         "\t",
                                         "\xff",
                                         "~",
                                         "---\n",
                                         "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["};
    struct philox p;
    int bad = 0, failures = 0, rounds = 1500;
    philox_init(&p, 1, 2);
    for (int i = 0; i < rounds; i++) {
        char text[1024];
        snprintf(text, sizeof text, "%s", whole[philox_below(&p, 4)]);
        for (uint32_t k = philox_below(&p, 5); k; k--) {
            const char *piece = pieces[philox_below(&p, sizeof pieces / sizeof *pieces)];
            size_t n = strlen(text), at = philox_below(&p, (uint32_t)n + 1),
                   gone = philox_below(&p, 2) * philox_below(&p, 9);
            char damaged[1024];
            snprintf(damaged, sizeof damaged, "%.*s%s%s", (int)at, text, piece,
                     text + (at + gone < n ? at + gone : n));
            memcpy(text, damaged, sizeof text);
        }
        struct config c;
        struct model_config m;
        struct err e[4] = {{0}, {0}, {0}, {0}};
        config_init(&c);
        int r[4] = {file_of(&c, text, &e[0]), config_set(&c, text, &e[1]),
                    config_model_from_json(&m, text, &e[2]), config_from_json(&c, text, &e[3])};
        for (int k = 0; k < 4; k++) {
            bad += r[k] && (!*e[k].text || r[k] != e[k].code);
            failures += r[k] != 0;
        }
        char *json = config_json(&c);
        bad += !json;
        free(json);
        config_release(&c);
    }
    unlink(path);
    ok(!bad && failures > rounds, "%d damaged texts: %d refused, each with its reason", rounds, failures);
}

int main(void)
{
    test_table();
    test_defaults();
    test_set();
    test_refusals();
    test_file();
    test_checkpoint();
    test_round_trip();
    test_check();
    test_manual();
    test_damaged();
    return tap_done();
}
