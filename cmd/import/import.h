/* sgaps-import: one job, and a reader for each kind of input. */
#ifndef SGAPS_CMD_IMPORT_H
#define SGAPS_CMD_IMPORT_H

#include "cli/option.h"
#include "cli/progress.h"
#include "io/recording.h"
#include "io/selection.h"
#include "io/stream.h"

/* A table of numbers beside a film: --state FILE.csv. */
struct state_table {
    size_t rows, columns;         /* columns of the state, without frame_id and timestamp */
    float *value;                 /* (rows, columns) */
    double *frame_id, *timestamp; /* (rows) or NULL */
    char **names;                 /* (columns) or NULL */
    const char *path;
};
int state_table_read(struct state_table *t, const char *path, float sentinel, struct err *e);
void state_table_release(struct state_table *t);

struct job {
    const struct tool *tool;
    const struct parsed *parsed;
    const char *output, *session, *key, *state_path;
    const char *select, *exclude; /* sessions of a recording, by id, with commas; NULL: not given */
    double fps;                   /* 0: not given */
    uint32_t size[2];
    int64_t stride;
    struct selections selections; /* named among the inputs: the rows of recordings to leave out */
    struct recording_writer *w;   /* made with the first session */
    struct progress progress;
    size_t frames; /* written so far */
    uint64_t met;  /* which of the ids of select or exclude there were */
};

/* The output, made when it is first asked for. history: of the input, or NULL. */
int job_output(struct job *job, const char *history, struct err *e);
/* Starts a session; the output is created with the first one. history: of the input, or NULL. */
int job_begin(struct job *job, const struct session_info *info, const char *history, struct err *e);
/* After each frame written. */
void job_count(struct job *job);

/* The session's id for an input: --session, else its name without folder and ending. */
void job_session_id(const struct job *job, const char *path, char *out, size_t size);
/* image to the output's size (room for it in *scaled, grown as needed), or as it is. */
const uint8_t *job_scale(const struct session_info *info, const uint8_t *image, uint32_t W, uint32_t H,
                         uint8_t *scaled);

/* A film: a Y4M or PGM stream (taken over), or PNG files, n names or one printf pattern. */
int import_film(struct job *job, struct peek_file *stream, const char *const *names, size_t n, struct err *e);
int import_messages(struct job *job, const char *path, const char *shown, struct err *e);
/* Is a session wanted under --select and --exclude? Remembers the ids met. */
int job_wants(struct job *job, const char *id);
/* ERR_USAGE naming the first id of --select or --exclude that no input has. */
int job_check_ids(const struct job *job, struct err *e);
int import_recording(struct job *job, const char *path, struct err *e);
/* A segment of a journal of sgaps-serve, or a directory of them. */
int import_journal(struct job *job, const char *path, struct err *e);
int is_journal_directory(const char *path);
/* --convert: the sessions of the journals below dir/journal become dir/<key>/<UTC time>-<id>.h5, then the journals go.
 * name: only this journal; numbers (with name): only these sessions, and the journal stays, its writer lets it go. */
int convert_journals(struct job *job, const char *dir, const char *name, const char *numbers, struct err *e);
/* Takes the selections of sgaps-clean out of the files before anything is read. */
int import_selections(struct job *job, const struct parsed *p, struct err *e);

#endif
