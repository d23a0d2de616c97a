/* The journal of sgaps-serve: what was received and sent, appended in order to segments DIR/journal/NAME-NNNNNN.sgj, so
 * that a crash at any instant loses nothing whose write returned. Records carry magic, type, length, a sequence number,
 * the session, both clocks and a CRC-32C. The layout is in sgaps-recording(5). Little-endian.
 *
 * Beside the segments of a journal NAME lie NAME.lock, which its writer keeps locked for as long as it lives, and
 * NAME.done, a line for each session that has become a recording. */
#ifndef SGAPS_IO_JOURNAL_H
#define SGAPS_IO_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { JOURNAL_NAME_SIZE = 64 };

enum journal_type {
    JOURNAL_OPEN = 1, /* a session begins */
    JOURNAL_FRAME,
    JOURNAL_SET,            /* coordinates sent */
    JOURNAL_RECONSTRUCTION, /* what the server saw, u8, with its importance map */
    JOURNAL_CLOSE,
    JOURNAL_GAP /* frames received and not recorded; session 0, count 0: a write failed and nothing was lost */
};

/* Where a record stands: which segment of those that the reader found, and the byte in it. */
struct journal_place {
    uint32_t segment;
    uint64_t offset;
};

struct journal_record {
    enum journal_type type;
    uint64_t sequence; /* filled in by the writer; without holes */
    uint64_t session;  /* number of the session within the journal, from 1 */
    /* FRAME: which of the frames received in this session it is, from 1. GAP: of the first one missing. CLOSE: how many
     * were received. So that received = recorded + missing can be told from what is left of a journal. */
    uint64_t ordinal;
    double monotonic, unix_time; /* FRAME: when it was received */
    /* OPEN */
    const char *id, *checkpoint_key, *client_name, *config; /* config: JSON or NULL */
    uint32_t W, H, screen_w, screen_h, state_dim;
    double fps, sentinel, value_range;
    /* FRAME; SET: frame_id is the target, set_id, uv, n; RECONSTRUCTION: frame_id, image, map */
    int64_t frame_id, set_id;
    double timestamp;
    size_t n, state_n;
    const float *uv;
    const uint8_t *value;
    const float *state;
    const uint8_t *image; /* (image_h, image_w) or NULL */
    uint32_t image_w, image_h;
    const float *map; /* (map_h, map_w) or NULL */
    uint32_t map_w, map_h;
    /* CLOSE: code; GAP: count frames, from frame_id on */
    int close_code;
    uint64_t count;
    const char *reason; /* CLOSE, GAP */
    /* filled in by the reader */
    const char *journal; /* NAME */
    struct journal_place place;
};

/* --- writing: one thread at a time --- */

struct journal_writer;
/* DIR/journal is made, and the lock taken. segment_bytes: 64 MiB by default (0). */
int journal_create(struct journal_writer **w, const char *dir, size_t segment_bytes, struct err *e);
/* Into the batch; nothing is written yet. */
int journal_append(struct journal_writer *w, const struct journal_record *r, struct err *e);
/* The batch, in one write for each segment that it touches. After a failure nothing is tried again on that descriptor:
 * the next call begins a new segment with what is not in a file yet. */
int journal_flush(struct journal_writer *w, struct err *e);
void journal_drop(struct journal_writer *w); /* gives up what is in the batch */
/* fdatasync. After a failure the next write begins a new segment. */
int journal_sync(struct journal_writer *w, struct err *e);
/* Writes nothing more. The lock is given back. */
void journal_close(struct journal_writer *w);

/* The same in two steps, for a queue: records are encoded where they come in, and written elsewhere. */
struct journal_bytes {
    uint8_t *at;
    size_t n, capacity;
};
size_t journal_size(const struct journal_record *r); /* bytes that it takes in a segment */
int journal_encode(struct journal_bytes *out, const struct journal_record *r, struct err *e);
/* Writes encoded records, as many as the segment takes, in one write; *done bytes of them are now in segment
 * journal_segment(w), after a failure too. Call again with the rest: after a failure that begins a new segment. What is
 * not written again is given up: its sequence numbers are not used for anything else. */
int journal_write(struct journal_writer *w, uint8_t *records, size_t n, size_t *done, struct err *e);
uint32_t journal_segment(const struct journal_writer *w);
const char *journal_name(const struct journal_writer *w);
int journal_lock_descriptor(const struct journal_writer *w); /* who inherits it holds the lock too */
/* What an encoded record says about itself; *length: bytes to the next one. */
struct journal_head {
    enum journal_type type;
    uint64_t session, ordinal;
    double monotonic;
    size_t length;
};
struct journal_head journal_head(const uint8_t *record);
/* The whole of an encoded record; its pointers lead into it. */
int journal_decode(const uint8_t *record, struct journal_record *out, struct err *e);

/* --- reading --- */

/* What could not be read. torn: the file ends within a record, as a crash in the middle of a write leaves it. */
struct journal_damage {
    const char *file, *reason;
    uint64_t offset, bytes; /* from offset on, so many were passed over */
    uint32_t segment;       /* as in struct journal_place */
    int torn;
};
typedef void (*journal_damage_fn)(void *user, const struct journal_damage *d);

struct journal_reader;
/* One segment, or a directory's segments in order: by name, then number. damage may be NULL. */
int journal_open(struct journal_reader **r, const char *path, journal_damage_fn damage, void *user,
                 struct err *e);
/* The segments of one journal of a directory. */
int journal_open_name(struct journal_reader **r, const char *directory, const char *name,
                      journal_damage_fn damage, void *user, struct err *e);
/* Only records for which wants() is not 0 are read and checked whole; of the others only the head. */
void journal_only(struct journal_reader *r, int (*wants)(void *user, const char *journal, uint64_t session),
                  void *user);
/* Of one journal, before the first record is read: begins at the segment in which this session was opened. */
void journal_skip_to(struct journal_reader *r, uint64_t session);
/* 1: *out is the next record (its pointers live until the next call); 0: the end; -1: e. */
int journal_next(struct journal_reader *r, struct journal_record *out, struct err *e);
/* The record at a place that journal_next gave; what comes next for journal_next is not changed. */
int journal_read_at(struct journal_reader *r, struct journal_place place, struct journal_record *out,
                    struct err *e);
size_t journal_segments(const struct journal_reader *r);
const char *journal_segment_path(const struct journal_reader *r, uint32_t segment);
void journal_reader_close(struct journal_reader *r);

/* --- a directory of journals --- */

/* The names of the journals in directory, sorted; free() each and the list. */
int journal_list(const char *directory, char ***names, size_t *n, struct err *e);
void journal_list_free(char **names, size_t n);
/* Takes the lock of a journal whose writer is gone; ERR_TEMPFAIL: it is in use. Close *fd to give it back. */
int journal_lock(const char *directory, const char *name, int *fd, struct err *e);
/* The numbers of the segments of a journal, in no order; free(). */
int journal_numbers(const char *directory, const char *name, uint32_t **numbers, size_t *n, struct err *e);
/* directory/NAME-NNNNNN.sgj into out. */
int journal_file_name(const char *directory, const char *name, uint32_t number, char *out, size_t size);
/* The numbers of the sessions that NAME.done lists, ascending; free(). No such file: none. */
int journal_done(const char *directory, const char *name, uint64_t **numbers, size_t *n, struct err *e);
int journal_done_has(const uint64_t *numbers, size_t n, uint64_t session);
/* One line more, on the disk when it returns. */
int journal_done_add(const char *directory, const char *name, uint64_t session, const char *path,
                     struct err *e);
/* The rest of a journal that has no segments any more. */
void journal_remove_marks(const char *directory, const char *name);

#endif
