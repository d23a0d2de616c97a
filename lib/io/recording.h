/* Recordings: one reader for version 1 files and the older per-frame files, one writer (version 1).
 *
 * The file format is sgaps-recording(5)'s. Reading is lazy and bounded: opening reads attributes and sizes only; a chunk
 * cache of 16 MB a file. HDF5 holds one global lock: any thread may call, one at a time for one struct recording.
 * Every error names the file, the path inside it and the index. */
#ifndef SGAPS_IO_RECORDING_H
#define SGAPS_IO_RECORDING_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct recording;

/* Frames a second where nothing says: the default of server.target_fps. */
#define RECORDING_USUAL_FPS 10.0

struct session_info {
    const char *id, *checkpoint_key, *client_name; /* never NULL, may be "" */
    uint32_t W, H;                                 /* resolution of frames and reconstructions */
    uint32_t screen_w, screen_h;                   /* 0: not recorded */
    double fps;                                    /* 0: not recorded */
    float sentinel;
    double value_range;
    int closed; /* 1 ended cleanly, 0 not, -1 not said */
    size_t T;   /* frames (rows); the shortest column counts */
    size_t S;   /* state columns, 0: no state */
    size_t K;   /* full frames */
    size_t M;   /* samples of all rows, 0: none */
    int has_samples, has_frames, has_recv_time, has_set, has_reconstruction, has_importance;
    int has_frame_id;               /* else frame_id counts from 0; a writer has it always */
    int reconstruction_f32;         /* else u8 */
    uint32_t map_w, map_h;          /* of importance */
    int older;                      /* came from a per-frame file */
    const char *const *state_names; /* what the first state columns are called, or NULL */
    size_t state_name_count;
};

/* path "-" is standard input, spooled to a temporary file. Errors: ERR_NOINPUT missing or unreadable, ERR_DATA not a
 * recording, truncated or of a higher version, ERR_TEMPFAIL locked. */
int recording_open(struct recording **r, const char *path, struct err *e);
/* The same for recording_check: goes on where a session is faulty, so that all faults can be listed. */
int recording_open_any(struct recording **r, const char *path, struct err *e);
/* The same for a file that has been peeked at to tell its format; p is closed in any case. */
struct peek_file;
int recording_open_peeked(struct recording **r, struct peek_file *p, struct err *e);
void recording_close(struct recording *r);
const char *recording_path(const struct recording *r); /* for messages: "standard input" for "-" */
const char *recording_attribute(const struct recording *r,
                                const char *name); /* root text attribute or NULL: uuid,
                                                                                 history, config, creator, created_at */
size_t recording_sessions(const struct recording *r);
const struct session_info *recording_session(const struct recording *r, size_t session);
/* -1 when there is none of that id. */
long recording_find_session(const struct recording *r, const char *id);

/* Columns of rows t0 .. t0+n-1 of a session; any out pointer may be NULL. What a recording lacks: frame_id counts from
 * 0, timestamp is t/fps (t when fps is 0), recv_time NAN, set -1, state_len 0. */
int recording_columns(struct recording *r, size_t session, size_t t0, size_t n, int64_t *frame_id,
                      double *timestamp, double *recv_time, int64_t *set, struct err *e);
/* state (n,S), padding as stored (sentinel). */
int recording_state(struct recording *r, size_t session, size_t t0, size_t n, float *state,
                    uint16_t *state_len, struct err *e);
/* Number of samples of rows t0..: counts (n). All 0 without samples. */
int recording_counts(struct recording *r, size_t session, size_t t0, size_t n, size_t *counts, struct err *e);

/* Samples of one row. The buffers grow as needed and are the caller's (samples_release). Values and coordinates are
 * checked: finite, inside [0,1], else ERR_DATA naming the place; check = 0 returns them as they are, and `fault`. The
 * older recordings' values are float: outside 0..255 they are clipped, where not finite 0. */
enum samples_fault { SAMPLES_SOUND, SAMPLES_OUT_OF_RANGE, SAMPLES_NOT_FINITE };
struct samples {
    size_t n, capacity;
    enum samples_fault fault; /* the worst of all */
    float *uv;                /* (n,2) */
    uint8_t *value;           /* (n) */
};
int recording_samples(struct recording *r, size_t session, size_t t, int check, struct samples *s,
                      struct err *e);
void samples_release(struct samples *s);

/* The full frame of row t into out (H*W); *present = 0 where the row has none. */
int recording_frame(struct recording *r, size_t session, size_t t, uint8_t *out, int *present, struct err *e);
/* present (T): which rows have a full frame. */
int recording_frames_present(struct recording *r, size_t session, uint8_t *present, struct err *e);
/* Reconstruction as float, white = 1 (u8 is divided by 255), or as u8 (f32 clipped and rounded); importance (map_h,map_w). */
int recording_reconstruction(struct recording *r, size_t session, size_t t, float *out, struct err *e);
int recording_reconstruction_u8(struct recording *r, size_t session, size_t t, uint8_t *out, struct err *e);
int recording_importance(struct recording *r, size_t session, size_t t, float *out, struct err *e);

/* What else a session says about itself (recording_note_*): a text attribute, free(), NULL where there is none; n rows of
 * a dataset of whole numbers. */
char *recording_noted_text(struct recording *r, size_t session, const char *name);
int recording_noted_column(struct recording *r, size_t session, const char *name, size_t t0, size_t n,
                           int64_t *out, struct err *e);

/* Everything wrong with a file, one call each; returns the number of faults, or -1 when it cannot be read at all. note
 * gets what is odd and no fault: a client's time that runs backwards. */
typedef void (*recording_fault_fn)(void *user, const char *text);
long recording_check(struct recording *r, recording_fault_fn fn, recording_fault_fn note, void *user,
                     struct err *e);

/* --- the selection that sgaps-clean leaves: /clean/<id>/keep --- */
/* keep (T) of the session from the file's own /clean group or a --selection-only file; *present 0 where there is none. */
int recording_keep(struct recording *r, const char *session_id, size_t T, uint8_t *keep, int *present,
                   struct err *e);
/* A text attribute of /clean ("counts", "parameters", "notes" ...), to be free()d; NULL where there is none. */
char *recording_clean_text(struct recording *r, const char *name);
/* keep (T) of a session of another recording, from a --selection-only file: what was made from this session of a file of
 * this uuid or this name (recording_clean_source), else what has the session's id, as for a file derived from the source. */
int recording_keep_of(struct recording *selection, const struct recording *source, size_t session,
                      uint8_t *keep, int *present, struct err *e);

/* --- writing --- */

struct recording_writer;

struct recording_meta {
    const char *creator; /* "sgaps-import 0.1.0" */
    const char *history; /* newest first; NULL with no_history */
    const char *config;  /* JSON, NULL: "{}" */
    int no_history;      /* no created_at, uuid from the content: bit-identical files */
    const char *uuid;    /* with history: one that follows from what the file is made of; NULL: random */
};

/* A uuid that follows from a text. */
int recording_uuid_of(const char *source, char out[37]);

struct frame {
    int64_t frame_id;
    double timestamp, recv_time; /* recv_time is written when the session's info has it */
    const float *state;          /* (state_n) or NULL */
    size_t state_n;
    size_t samples_n;
    const float *uv;
    const uint8_t *value;
    int64_t set;
    const uint8_t *image;          /* full frame or NULL */
    const uint8_t *reconstruction; /* u8, or */
    const float *reconstruction_f32;
    const float *importance;
};

/* "-" writes to standard output at close (spooled). */
int recording_create(struct recording_writer **w, const char *path, const struct recording_meta *meta,
                     struct err *e);
/* The has_* fields, W, H, S, map sizes and texts of info decide what is made; T, K, M are ignored. An id that is taken
 * gets -2, -3, ... */
int recording_begin(struct recording_writer *w, const struct session_info *info, struct err *e);
int recording_append(struct recording_writer *w, const struct frame *f, struct err *e);
/* The same, and the frame's image is copied from another recording's chunk as it is, without decompression, where the
 * chunk shapes and filters agree (else read and written). */
int recording_append_from(struct recording_writer *w, const struct frame *f, struct recording *source,
                          size_t session, size_t t, struct err *e);
/* Row t of a session of another recording with all it has and the output takes; samples is room that is reused. */
int recording_copy_row(struct recording_writer *w, struct recording *source, size_t session, size_t t,
                       struct samples *samples, struct err *e);
int recording_end(struct recording_writer *w, int closed, struct err *e);
/* What else is said about the session being written: attributes of its group, a dataset of n whole numbers below it. */
int recording_note_text(struct recording_writer *w, const char *name, const char *text, struct err *e);
int recording_note_number(struct recording_writer *w, const char *name, uint64_t number, struct err *e);
int recording_note_column(struct recording_writer *w, const char *name, const int64_t *data, size_t n,
                          struct err *e);
/* Free-form dataset below /clean/<id> and attributes of /clean. type: "u1" "i4" "f4". */
int recording_write_clean(struct recording_writer *w, const char *id, const char *name, const char *type,
                          const void *data, size_t n, struct err *e);
/* Says whose rows /clean/<id> speaks of: the session's id in its file, the file's uuid and path; NULL: not said. */
int recording_clean_source(struct recording_writer *w, const char *id, const char *session, const char *uuid,
                           const char *path, struct err *e);
int recording_clean_attribute(struct recording_writer *w, const char *name, const char *text, struct err *e);
/* Flushes, verifies that the file can be reopened, renames. After any error: recording_abandon. */
int recording_finish(struct recording_writer *w, struct err *e);
void recording_abandon(struct recording_writer *w);

#endif
