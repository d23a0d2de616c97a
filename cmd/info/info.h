/* sgaps-info: one file's contents for people and for programs. */
#ifndef SGAPS_CMD_INFO_H
#define SGAPS_CMD_INFO_H

#include "cli/output.h"
#include "io/checkpoint.h"
#include "io/recording.h"

/* What --check found; n 0: sound. */
struct faults {
    char **text;
    size_t n, capacity;
    int checked;
};

/* A file that was opened as the one or the other. */
struct content {
    const char *name;
    struct recording *recording;
    struct checkpoint *checkpoint;
};

/* Values of all tensors that are parameters, not running statistics or constants. */
size_t checkpoint_parameters(const struct checkpoint *c);

/* Text of a file to standard output: control characters, which could drive a terminal, become '?'. */
void print_plain(const char *text, size_t n);
void print_recording(struct recording *r, const char *name);
void print_checkpoint(const struct checkpoint *c, const char *name);

/* c may hold neither: then only the faults are written. history: with its lines. */
void json_content(struct json *j, const struct content *c, const struct faults *f, int history);

#endif
