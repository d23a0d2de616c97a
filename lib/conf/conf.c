/* Defaults, presets, files, --set and a checkpoint's JSON: all walk a tree of YAML nodes along the table of keys. */
#include "conf/conf.h"

#include <errno.h>
#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/parse.h"
#include "conf/conf_keys.h"

enum { LONGEST_KEY = 128, LARGEST_FILE = 1 << 20 };
enum { FROM_DEFAULT, FROM_PRESET, FROM_USER };

/* One source of values on its way into a configuration. */
struct walk {
    struct config *c;
    const char *source; /* a file's name for messages, NULL for --set and presets */
    int level;          /* FROM_...: a value never replaces one of a higher level */
    int lenient;        /* unknown keys are ignored: a newer program's checkpoint */
    int code;
    struct err *e;
};

static int find_key(const char *path)
{
    for (int i = 0; i < conf_key_count; i++)
        if (!strcmp(conf_keys[i].name, path))
            return i;
    return -1;
}

/* Is path a group, "model.decoder"? The root is one. */
static int is_group(const char *path)
{
    size_t n = strlen(path);
    for (int i = 0; i < conf_key_count; i++)
        if (!n || (!strncmp(conf_keys[i].name, path, n) && conf_keys[i].name[n] == '.'))
            return 1;
    return 0;
}

static const struct preset *find_preset(const char *group, const char *name)
{
    for (int i = 0; i < conf_preset_count; i++)
        if (!strcmp(conf_presets[i].group, group) && !strcmp(conf_presets[i].name, name))
            return &conf_presets[i];
    return NULL;
}

/* "conf.yaml:12: " in front of a reason. */
static int at_node(const struct walk *w, struct fy_node *node)
{
    if (!w->e)
        return w->code;
    if (!w->source)
        return w->e->code;
    struct fy_token *token = node ? fy_node_get_scalar_token(node) : NULL;
    const struct fy_mark *mark = token ? fy_token_start_mark(token) : NULL;
    if (mark)
        return err_prefix(w->e, "%s:%d: ", w->source, mark->line + 1);
    return err_prefix(w->e, "%s: ", w->source);
}

static int same_last_part(const char *a, const char *b)
{
    const char *x = strrchr(a, '.'), *y = strrchr(b, '.');
    return !strcmp(x ? x + 1 : a, y ? y + 1 : b);
}

static int unknown_key(const struct walk *w, const char *path)
{
    const char *names[512];
    int n = 0;
    for (int i = 0; i < conf_key_count; i++)
        names[n++] = conf_keys[i].name;
    static const char *const groups[] = {"model",         "training",           "sampling",
                                         "mask_update",   "cleaning",           "server",
                                         "model.decoder", "model.architecture", "model.positional"};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++)
        names[n++] = groups[i];
    const char *near = parse_nearest(path, names, n);
    for (int i = 0; i < conf_key_count && !near; i++) /* the right name in the wrong group */
        if (same_last_part(path, conf_keys[i].name))
            near = conf_keys[i].name;
    if (near)
        return err_set(w->e, w->code, "unknown key %.100s: did you mean %s?", path, near);
    return err_set(
        w->e, w->code,
        "unknown key %.100s (the groups are model, training, sampling, mask_update, cleaning, server)", path);
}

static int walk_node(const struct walk *w, const char *path, struct fy_node *node);

static int walk_text(const struct walk *w, const char *path, const char *yaml)
{
    struct yaml y;
    int r = conf_yaml_parse(&y, yaml, strlen(yaml), 0, path, w->code, w->e);
    if (r)
        return r;
    r = walk_node(w, path, y.root);
    conf_yaml_release(&y);
    return r;
}

static int apply_chain(const struct walk *w, const struct preset *p)
{
    const struct preset *base = p->base ? find_preset(p->group, p->base) : NULL;
    int r = base ? apply_chain(w, base) : 0;
    return r ? r : walk_text(w, p->group, p->yaml);
}

/* A preset starts from the defaults, whatever preset was there before; what the user gave stays. */
static int apply_preset(const struct walk *w, const struct preset *p)
{
    size_t n = strlen(p->group);
    for (int i = 0; i < conf_key_count; i++) {
        if (strncmp(conf_keys[i].name, p->group, n) || conf_keys[i].name[n] != '.' ||
            w->c->given[i] == FROM_USER)
            continue;
        int r = conf_value_from_text(&conf_keys[i], w->c, conf_keys[i].standard, w->code, w->e);
        if (r)
            return r;
        w->c->given[i] = FROM_DEFAULT;
    }
    struct walk inner = {.c = w->c, .level = FROM_PRESET, .code = w->code, .e = w->e};
    return apply_chain(&inner, p);
}

static int named_preset(const struct walk *w, const char *group, const char *name)
{
    const struct preset *p = find_preset(group, name);
    if (p)
        return apply_preset(w, p);
    char known[256] = "";
    const char *names[32];
    int n = 0;
    for (int i = 0; i < conf_preset_count; i++) {
        if (strcmp(conf_presets[i].group, group))
            continue;
        names[n++] = conf_presets[i].name;
        size_t used = strlen(known);
        snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", conf_presets[i].name);
    }
    if (!n)
        return err_set(w->e, w->code, "%s: is a group without presets: give it a map, or set %s.KEY", group,
                       group);
    const char *near = parse_nearest(name, names, n);
    if (near)
        return err_set(w->e, w->code, "%s: unknown preset '%.80s': did you mean %s?", group, name, near);
    return err_set(w->e, w->code, "%s: unknown preset '%.80s' (there are %s)", group, name, known);
}

static int set_key(const struct walk *w, int i, struct fy_node *node)
{
    const struct key *k = &conf_keys[i];
    if (w->c->given[i] > w->level)
        return 0;
    int r = conf_value_from_node(k, w->c, node, w->code, w->e);
    if (r)
        return at_node(w, node);
    w->c->given[i] = (uint8_t)w->level;
    if (w->level != FROM_USER || strcmp(k->name, "model.name"))
        return 0;
    const struct preset *p = find_preset("model", w->c->model.name);
    return p ? apply_preset(w, p) : 0;
}

static int walk_pairs(const struct walk *w, const char *path, struct fy_node *map)
{
    void *at = NULL;
    for (struct fy_node_pair *p; (p = fy_node_mapping_iterate(map, &at));) {
        struct fy_node *key = fy_node_pair_key(p);
        size_t n;
        const char *name = key && fy_node_is_scalar(key) ? fy_node_get_scalar(key, &n) : NULL;
        char inner[LONGEST_KEY];
        if (!name || strlen(path) + n + 2 > sizeof inner) {
            if (w->lenient)
                continue;
            err_set(w->e, w->code, "%s%sa key here is not one of the configuration's", path,
                    *path ? ": " : "");
            return at_node(w, key);
        }
        snprintf(inner, sizeof inner, "%s%s%.*s", path, *path ? "." : "", (int)n, name);
        if (find_key(inner) < 0 && !is_group(inner)) {
            if (w->lenient)
                continue;
            unknown_key(w, inner);
            return at_node(w, key);
        }
        int r = walk_node(w, inner, fy_node_pair_value(p));
        if (r)
            return r;
    }
    return 0;
}

static int walk_node(const struct walk *w, const char *path, struct fy_node *node)
{
    int key = find_key(path);
    if (key >= 0)
        return set_key(w, key, node);
    if (!is_group(path))
        return unknown_key(w, path);
    if (node && fy_node_is_alias(node))
        node = fy_node_resolve_alias(node);
    if (!node || fy_node_is_null(node)) /* an empty file, or a group whose keys are all commented out */
        return 0;
    if (fy_node_is_mapping(node))
        return walk_pairs(w, path, node);
    int r = 0;
    if (fy_node_is_scalar(node) && *path && !strchr(path, '.') && !w->lenient)
        r = named_preset(w, path, fy_node_get_scalar0(node));
    else
        r = err_set(w->e, w->code, "%s: must be a map of keys", *path ? path : "the configuration");
    return r ? at_node(w, node) : 0;
}

void config_init(struct config *c)
{
    *c = (struct config){0};
    for (int i = 0; i < conf_key_count;
         i++) /* the table's own values: the unit test holds that they are valid */
        conf_value_from_text(&conf_keys[i], c, conf_keys[i].standard, ERR_INTERNAL, NULL);
}

void config_release(struct config *c)
{
    free(c->server.variants);
    c->server.variants = NULL;
}

static int read_file(const char *path, char **text, size_t *n, struct err *e)
{
    FILE *f = fopen(path, "r");
    if (!f)
        return err_set(e, ERR_NOINPUT, "%s: %s", path, strerror(errno));
    int r = mem_alloc(text, LARGEST_FILE + 1, 1, "a configuration file", e);
    if (!r) {
        *n = fread(*text, 1, LARGEST_FILE + 1, f);
        if (ferror(f))
            r = err_set(e, ERR_NOINPUT, "%s: %s", path, strerror(errno));
        else if (*n > LARGEST_FILE)
            r = err_set(e, ERR_CONFIG, "%s: larger than %d bytes: not a configuration", path, LARGEST_FILE);
    }
    fclose(f);
    return r;
}

int config_file(struct config *c, const char *path, struct err *e)
{
    char *text = NULL;
    size_t n = 0;
    struct yaml y = {0};
    int r = read_file(path, &text, &n, e);
    if (!r)
        r = conf_yaml_parse(&y, text, n, 0, path, ERR_CONFIG, e);
    if (!r) {
        struct walk w = {.c = c, .source = path, .level = FROM_USER, .code = ERR_CONFIG, .e = e};
        r = walk_node(&w, "", y.root);
    }
    conf_yaml_release(&y);
    free(text);
    return r;
}

int config_set(struct config *c, const char *assignment, struct err *e)
{
    const char *equals = strchr(assignment, '=');
    char path[LONGEST_KEY];
    if (!equals || equals == assignment)
        return err_set(e, ERR_CONFIG, "'%.100s' is not KEY=VALUE", assignment);
    if ((size_t)(equals - assignment) >= sizeof path)
        return err_set(e, ERR_CONFIG, "unknown key %.40s...", assignment);
    snprintf(path, sizeof path, "%.*s", (int)(equals - assignment), assignment);
    struct walk w = {.c = c, .level = FROM_USER, .code = ERR_CONFIG, .e = e};
    if (find_key(path) < 0 && !is_group(path))
        return unknown_key(&w, path);
    if (!equals[1])
        return err_set(e, ERR_CONFIG, "%s: has no value", path);
    return walk_text(&w, path, equals + 1);
}

int config_given(const struct config *c, const char *key)
{
    int i = find_key(key);
    return i >= 0 && c->given[i] == FROM_USER;
}

static int load_json(struct yaml *y, const char *json, struct err *e)
{
    int r = conf_yaml_parse(y, json, strlen(json), 1, "configuration", ERR_DATA, e);
    if (!r && (!y->root || !fy_node_is_mapping(y->root))) {
        conf_yaml_release(y);
        r = err_set(e, ERR_DATA, "configuration: is not a JSON object");
    }
    return r;
}

/* The keys of the model group: what a checkpoint means that does not name them. */
static int checkpoint_defaults(struct config *c, struct err *e)
{
    for (int i = 0; i < conf_key_count; i++) {
        const struct key *k = &conf_keys[i];
        if (strncmp(k->name, "model.", 6) || c->given[i] == FROM_USER)
            continue;
        c->given[i] = FROM_DEFAULT;
        if (!k->checkpoint || !strcmp(k->checkpoint, CONF_MUST))
            continue;
        int r = conf_value_from_text(k, c, k->checkpoint, ERR_INTERNAL, e);
        if (r)
            return r;
    }
    return 0;
}

/* The model group of a parsed checkpoint's configuration into c. */
static int take_model(struct config *c, struct fy_node *root, struct err *e)
{
    struct fy_node *model = fy_node_mapping_lookup_by_string(root, "model", FY_NT);
    if (!model || !fy_node_is_mapping(model))
        return err_set(e, ERR_DATA, "configuration: the group model is missing");
    int r = checkpoint_defaults(c, e);
    struct walk w = {.c = c, .level = FROM_PRESET, .lenient = 1, .code = ERR_DATA, .e = e};
    if (!r)
        r = walk_node(&w, "model", model);
    for (int i = 0; i < conf_key_count && !r; i++)
        if (conf_keys[i].checkpoint && !strcmp(conf_keys[i].checkpoint, CONF_MUST) && !c->given[i])
            r = err_set(e, ERR_DATA, "configuration: %s is missing", conf_keys[i].name);
    return r ? r : config_model_check(&c->model, ERR_DATA, e);
}

int config_model_from_json(struct model_config *m, const char *json, struct err *e)
{
    struct yaml y;
    int r = load_json(&y, json, e);
    if (r)
        return r;
    struct config c;
    config_init(&c);
    r = take_model(&c, y.root, e);
    if (!r)
        *m = c.model;
    config_release(&c);
    conf_yaml_release(&y);
    return r;
}

int config_from_json(struct config *c, const char *json, struct err *e)
{
    struct yaml y;
    int r = load_json(&y, json, e);
    if (r)
        return r;
    struct fy_node *root = y.root;
    r = take_model(c, root, e);
    struct walk w = {.c = c, .level = FROM_PRESET, .lenient = 1, .code = ERR_DATA, .e = e};
    if (!r)
        r = walk_node(&w, "", root);
    conf_yaml_release(&y);
    return r;
}

int config_preset_model(struct model_config *m, const char *name, struct err *e)
{
    struct config c;
    config_init(&c);
    struct walk w = {.c = &c, .level = FROM_USER, .code = ERR_CONFIG, .e = e};
    int r = named_preset(&w, "model", name);
    if (!r)
        *m = c.model;
    config_release(&c);
    return r;
}
