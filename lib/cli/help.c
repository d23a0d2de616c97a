/* What a tool says about itself: --help, --version, --list-options. */
#include <dlfcn.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

#include "cli/common_rows.h"

enum { HELP_COLUMN = 30, HELP_WIDTH = 80 };

/* Prints text from column `at` on, wrapped at words, continued at column `indent`. A line end in it is kept.
 */
static void print_wrapped(const char *text, int at, int indent)
{
    int column = at;
    while (*text) {
        int n = (int)strcspn(text, " \n");
        if (column > indent && column + 1 + n > HELP_WIDTH) {
            printf("\n%*s", indent, "");
            column = indent;
        } else if (column > indent) {
            putchar(' ');
            column++;
        }
        printf("%.*s", n, text);
        column += n;
        text += n;
        if (*text == '\n') {
            printf("\n%*s", indent, "");
            column = indent;
        }
        text += *text != 0;
    }
    putchar('\n');
}

static int print_usage_of(const struct option_row *r)
{
    int n = r->letter ? printf("  -%c", r->letter) : printf("    ");
    if (r->name)
        n += printf("%s--%s", r->letter ? ", " : "  ", r->name);
    if (!row_takes_argument(r))
        return n;
    if (r->kind == OPTION_OPTIONAL_TEXT)
        return n + printf("[=%s]", r->argument);
    return n + printf(" %s", r->argument);
}

void print_help(const struct tool *tool, const struct option_row *rows)
{
    printf("%s: %s\n\nUsage: %s ", tool->name, tool->purpose, tool->name);
    print_wrapped(tool->synopsis, (int)strlen(tool->name) + 8, (int)strlen(tool->name) + 8);
    int headed = rows->kind == OPTION_HEADING;
    if (!headed)
        printf("\nOptions:\n");
    for (const struct option_row *r = rows; r->kind != OPTION_END; r++) {
        if (!r->help)
            continue;
        if (r->kind == OPTION_HEADING) {
            printf("\n%s:\n", r->help);
            continue;
        }
        int column = print_usage_of(r);
        if (column >= HELP_COLUMN - 1) {
            putchar('\n');
            column = 0;
        }
        printf("%*s", HELP_COLUMN - column, "");
        print_wrapped(r->help, HELP_COLUMN, HELP_COLUMN);
    }
    if (tool->epilogue)
        printf("\n%s%s", tool->epilogue, tool->epilogue[strlen(tool->epilogue) - 1] == '\n' ? "" : "\n");
}

void print_options(const struct option_row *rows)
{
    for (const struct option_row *r = rows; r->kind != OPTION_END; r++) {
        if (r->kind == OPTION_HEADING || !r->help)
            continue;
        const char *argument = row_takes_argument(r) ? r->argument : "-";
        int optional = r->kind == OPTION_OPTIONAL_TEXT;
        printf("%c\t%s\t%s%s%s\t%s\n", r->letter ? r->letter : '-', r->name ? r->name : "-",
               optional ? "[=" : "", argument, optional ? "]" : "", r->help);
    }
}

/* The libraries this very process runs with, asked through the dynamic linker: no room's header is needed
 * here, and a library that a build leaves out is left out of the list. */
static void (*find(const char *symbol))(void)
{
    void *p = dlsym(RTLD_DEFAULT, symbol);
    void (*f)(void);
    memcpy(&f, &p, sizeof f);
    return f;
}

static void print_text_version(const char *library, const char *symbol)
{
    const char *(*version)(void) = (const char *(*)(void))find(symbol);
    if (version)
        printf("  %-10s %s\n", library, version());
}

static void print_library_versions(void)
{
    int (*hdf5)(unsigned *, unsigned *, unsigned *) =
        (int (*)(unsigned *, unsigned *, unsigned *))find("H5get_libversion");
    unsigned a, b, c;
    if (hdf5 && hdf5(&a, &b, &c) >= 0)
        printf("  %-10s %u.%u.%u\n", "HDF5", a, b, c);
    const struct dnnl_numbers { /* the head of dnnl_version_t, the same in 2.x and 3.x */
        int major, minor, patch;
    } * (*dnnl)(void) = (const struct dnnl_numbers *(*)(void))find("dnnl_version");
    if (dnnl)
        printf("  %-10s %d.%d.%d\n", "oneDNN", dnnl()->major, dnnl()->minor, dnnl()->patch);
    print_text_version("libfyaml", "fy_library_version");
    print_text_version("cJSON", "cJSON_Version");
    print_text_version("zlib", "zlibVersion");
    const char *(*png)(void *) = (const char *(*)(void *))find("png_get_libpng_ver");
    if (png)
        printf("  %-10s %s\n", "libpng", png(NULL));
    const char *(*crypto)(int) = (const char *(*)(int))find("OpenSSL_version");
    if (crypto)
        printf("  %-10s %s\n", "libcrypto", crypto(0));
}

static void print_cuda(const struct tool *tool)
{
    struct err e = {0};
    if (tool->cuda)
        printf("  %-10s %s\n", "cuda", tool->cuda(&e) ? e.text : "available");
}

void print_version(const struct tool *tool)
{
    printf("%s %s\nfeatures:\n", tool->name, SGAPS_VERSION);
    printf("  %-10s %s, OpenMP %d, up to %d threads\n", "compiler", __VERSION__, _OPENMP,
           omp_get_max_threads());
    print_cuda(tool);
    print_library_versions();
}
