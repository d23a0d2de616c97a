/* HDF5 cannot seek a pipe: what comes from one is copied to a file under $TMPDIR, opened by name, then unlinked. */
#ifndef SGAPS_IO_SPOOL_H
#define SGAPS_IO_SPOOL_H

#include <stddef.h>

#include "base/err.h"

/* Copies standard input to a new temporary file whose name goes to path (to be unlinked once opened). Says so in a note. */
int spool_input(char *path, size_t size, struct err *e);
/* A temporary name to write to, and its copy to standard output. */
int spool_output_name(char *path, size_t size, struct err *e);
int spool_to_stdout(const char *path, struct err *e);

#endif
