/* sgaps-info: one file's contents for people and for programs. */
#ifndef SGAPS_CMD_INFO_H
#define SGAPS_CMD_INFO_H

#include "cli/output.h"
#include "io/checkpoint.h"
#include "io/recording.h"

/* What --check found; n 0: sound. A note is no fault. */
struct faults {
    char **text, **note;
    size_t n, capacity, notes, note_capacity;
    int checked;
};

/* A file that was opened as the one or the other. */
struct content {
    const char *name;
    uint64_t bytes; /* of the file */
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
/* What a frame costs at the size that the configuration names, from its usual number of samples; NAN: it does not say. */
double checkpoint_flops(const struct checkpoint *c, uint32_t *W, uint32_t *H, size_t *n);

/* Text of a file to standard output: control characters, which could drive a terminal, become '?'. */
void print_plain(const char *text, size_t n);
/* all: however many sessions and columns there are. What could not be read is left out, and e says why. */
int print_recording(const struct content *c, int all, struct err *e);
void print_checkpoint(const struct content *c);

/* Draws a row of the recording: its full frame, else its reconstruction, else its samples. which: "", "N", "SESSION/N". */
int show_check(struct recording *r, const char *which, struct err *e); /* is there such a row? */
int show_row(struct recording *r, const char *which, struct err *e);

/* c may hold neither: then only the faults are written. What could not be read is null, and e says why. */
int json_content(struct json *j, const struct content *c, const struct faults *f, struct err *e);

#endif
