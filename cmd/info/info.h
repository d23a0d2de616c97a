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

void add_fault(void *faults, const char *text);
void faults_release(struct faults *f);
/* What --check found, or that it found nothing. */
void print_faults(const struct faults *f, const char *name);
void json_faults(struct json *j, const struct faults *f);

/* A segment of a journal: told by its first bytes, else by .sgj. ERR_NO: with check, and it has faults. */
int journal_probe(const char *path);
int show_journal(const char *path, const char *name, int first, int check, struct json *j, struct err *e);

/* Values of all tensors that are parameters, not running statistics or constants. */
size_t checkpoint_parameters(const struct checkpoint *c);

/* Text of a file to standard output: control characters, which could drive a terminal, become '?'. */
void print_plain(const char *text, size_t n);
void print_recording(struct recording *r, const char *name);
void print_checkpoint(const struct checkpoint *c, const char *name);

/* c may hold neither: then only the faults are written. history: with its lines. */
void json_content(struct json *j, const struct content *c, const struct faults *f, int history);

#endif
