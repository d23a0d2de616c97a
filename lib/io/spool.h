/* HDF5 cannot seek a pipe: what comes from one is copied to a file under $TMPDIR, opened by name, then unlinked. A
 * signal that ends the process removes it. */
#ifndef SGAPS_IO_SPOOL_H
#define SGAPS_IO_SPOOL_H

#include "base/atomic_file.h"
#include "base/err.h"

struct spool {
    struct atomic_file file;
    const char *path; /* what to open; NULL: none */
};

/* 1 for "-" and for what cannot seek: a FIFO, a device. */
int spool_needed(const char *path);
/* Copies path ("-": standard input) to a new temporary file. Says so in a note. */
int spool_input(struct spool *s, const char *path, struct err *e);
struct peek_file;
/* The same for a stream whose beginning was looked at already. */
int spool_peeked(struct spool *s, struct peek_file *p, struct err *e);
/* In a message about the temporary file: the name people know. */
void spool_rename(const struct spool *s, const char *name, char *text);
/* A temporary file to write to, and its copy to path ("-": standard output), which is its end: a reader that goes away
 * kills this process, so the name must be gone before. */
int spool_output(struct spool *s, struct err *e);
int spool_send(struct spool *s, const char *path, struct err *e);
/* Removes the file; safe on a zeroed struct. */
void spool_release(struct spool *s);

#endif
