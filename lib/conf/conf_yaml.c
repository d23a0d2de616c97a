/* Text to a libfyaml document; a fault becomes one line with its place. */
#include <libfyaml.h>
#include <stdlib.h>
#include <string.h>

#include "conf/conf_keys.h"

/* Errors are collected in the document's diag, not printed. */
static void stay_quiet(struct fy_diag *diag, void *user, const char *text, size_t n)
{
    (void)diag;
    (void)user;
    (void)text;
    (void)n;
}

/* Text without content (a file of comments) gives no document, and no fault either. */
static int first_error(struct fy_diag *diag, const char *source, int code, struct err *e)
{
    void *at = NULL;
    struct fy_diag_error *fault = fy_diag_errors_iterate(diag, &at);
    if (!fault)
        return 0;
    return err_set(e, code, "%s:%d:%d: %s", source, fault->line, fault->column, fault->msg);
}

int conf_yaml_parse(struct yaml *y, const char *text, size_t n, int json, const char *source, int code,
                    struct err *e)
{
    struct fy_diag_cfg diag_cfg;
    fy_diag_cfg_default(&diag_cfg);
    diag_cfg.fp = NULL;
    diag_cfg.output_fn = stay_quiet;
    *y = (struct yaml){.diag = fy_diag_create(&diag_cfg)};
    if (!y->diag)
        return err_memory(e, "the configuration", n);
    fy_diag_set_collect_errors(y->diag, true);
    struct fy_parse_cfg cfg = {.flags = FYPCF_QUIET | (json ? FYPCF_JSON_FORCE : FYPCF_JSON_NONE),
                               .diag = y->diag};
    if (memchr(text, 0, n)) {
        conf_yaml_release(y);
        return err_set(e, code, "%s: is not text", source);
    }
    y->document = fy_document_build_from_string(&cfg, text, n);
    if (y->document) {
        y->root = fy_document_root(y->document);
        return 0;
    }
    int r = first_error(y->diag, source, code, e);
    if (r)
        conf_yaml_release(y);
    return r;
}

void conf_yaml_release(struct yaml *y)
{
    if (y->document)
        fy_document_destroy(y->document);
    if (y->diag)
        fy_diag_destroy(y->diag);
    *y = (struct yaml){0};
}
