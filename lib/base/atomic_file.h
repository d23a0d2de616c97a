/* Outputs that are whole or not there: written as NAME.part.PID, flushed to the disk, renamed. A signal that ends
 * the process removes what is unfinished. */
#ifndef SGAPS_BASE_ATOMIC_FILE_H
#define SGAPS_BASE_ATOMIC_FILE_H

#include <stdio.h>

#include "base/err.h"

struct atomic_file {
    char *path; /* the final name */
    char *part; /* what to write to until then */
    int slot;   /* in the list that the signal handler clears */
};

/* Chooses the part's name and checks that it can be created (ERR_CANTCREATE). An existing path is replaced at
 * commit: the tools ask for --force before they come here, see atomic_file_refuse. */
int atomic_file_begin(struct atomic_file *a, const char *path, struct err *e);
/* fsync of the part and its directory, then rename. The caller has closed the part without an error. */
int atomic_file_commit(struct atomic_file *a, struct err *e);
/* Removes the part. Safe after a commit, and on a zeroed struct. */
void atomic_file_abort(struct atomic_file *a);

/* Makes every missing directory above path. */
int atomic_file_make_parents(const char *path, struct err *e);

/* Removes the unfinished files; async-signal-safe. atomic_file_on_signal() installs it for SIGINT, SIGTERM, SIGHUP
 * and SIGQUIT: remove, restore the default action, raise again. What else such a signal must put right (a terminal's state)
 * is done by one function more, async-signal-safe too. */
void atomic_file_remove_all(void);
void atomic_file_on_signal(void);
void atomic_file_also_on_signal(void (*put_right)(void));

/* A stream: "-" is stdout, any other path an atomic file. */
struct out_stream {
    FILE *f;
    struct atomic_file file; /* zero for stdout */
};
int out_stream_open(struct out_stream *o, const char *path, struct err *e);
/* Flushes and closes, reports any write that failed on the way (ERR_IO), commits. */
int out_stream_close(struct out_stream *o, struct err *e);
void out_stream_abort(struct out_stream *o);

#endif
