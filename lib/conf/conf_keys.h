/* The table of keys; private to lib/conf. */
#ifndef SGAPS_CONF_KEYS_H
#define SGAPS_CONF_KEYS_H

#include <stddef.h>

#include "conf/conf.h"

enum key_kind {
    KEY_BOOL,       /* int */
    KEY_U32,        /* uint32_t */
    KEY_I64,        /* int64_t */
    KEY_U64,        /* uint64_t */
    KEY_F64,        /* double */
    KEY_CHOICE,     /* an enum or int: the number of the choice */
    KEY_NAME,       /* char[size]: one of the choices */
    KEY_TEXT,       /* char[size] */
    KEY_FIXED,      /* nothing is stored: there is one choice */
    KEY_RESOLUTION, /* uint32_t[2]: [H,W], or one number for both */
    KEY_PAIR,       /* double[2] */
    KEY_WEIGHTS,    /* double[]: a map from the choices to weights, or one choice */
    KEY_LOSS,       /* struct training_config: "auto", or as KEY_WEIGHTS */
    KEY_CAP,        /* char[size]: one of the choices, or a whole number */
    KEY_JSON        /* char *: a map, kept as JSON */
};

struct key {
    const char *name; /* "model.decoder.query_patch" */
    enum key_kind kind;
    size_t offset, size; /* in struct config */
    double low, high;
    const char *choices;  /* "a|b|c" */
    const char *standard; /* the default, as YAML */
    const char *
        checkpoint; /* what a checkpoint that lacks the key means; NULL: the default; CONF_MUST: it must be there */
    const char *help;
};
extern const struct key conf_keys[]; /* in the order of the tree, so that groups stay together */
extern const int conf_key_count;
#define CONF_MUST "!"

/* A named set of values for a group, on top of another one. */
struct preset {
    const char *group, *name, *base, *yaml;
};
extern const struct preset conf_presets[];
extern const int conf_preset_count;

struct fy_node;
struct cJSON;

/* The value of a key from a YAML node, from text that is YAML. Errors have the given code and start with the key's name. */
int conf_value_from_node(const struct key *k, struct config *c, struct fy_node *node, int code,
                         struct err *e);
int conf_value_from_text(const struct key *k, struct config *c, const char *text, int code, struct err *e);
/* NULL: out of memory. */
struct cJSON *conf_value_json(const struct key *k, const struct config *c);
int conf_value_equal(const struct key *k, const struct config *a, const struct config *b);

/* Number of the choice in "a|b|c", or -1. */
int conf_choice(const char *choices, const char *text);
/* Choice number i, into out. */
const char *conf_choice_name(const char *choices, int i, char out[32]);

/* A parsed document and its errors. */
struct yaml {
    struct fy_document *document;
    struct fy_node *root; /* NULL when the text has no content */
    struct fy_diag *diag;
};
/* source names the text in errors. json: strict JSON. */
int conf_yaml_parse(struct yaml *y, const char *text, size_t n, int json, const char *source, int code,
                    struct err *e);
void conf_yaml_release(struct yaml *y);

#endif
