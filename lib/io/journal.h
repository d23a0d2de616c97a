/* The journal of sgaps-serve: what was received and sent, appended in order to segments DIR/journal/NAME-NNNNNN.sgj, so
 * that a crash at any instant loses nothing whose write returned. Records carry magic, type, length, a sequence number,
 * the session, both clocks and a CRC-32C. The layout is in sgaps-recording(5). Little-endian. */
#ifndef SGAPS_IO_JOURNAL_H
#define SGAPS_IO_JOURNAL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum journal_type {
    JOURNAL_OPEN = 1, /* a session begins */
    JOURNAL_FRAME,
    JOURNAL_SET,            /* coordinates sent */
    JOURNAL_RECONSTRUCTION, /* what the server saw, u8, with its importance map */
    JOURNAL_CLOSE,
    JOURNAL_GAP /* frames received and not recorded */
};

struct journal_record {
    enum journal_type type;
    uint64_t sequence; /* filled in by the writer; without holes */
    uint64_t session;  /* number of the session within the journal, from 1 */
    double monotonic, unix_time;
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
};

struct journal_writer;
/* DIR/journal is made. segment_bytes: 64 MiB by default (0). */
int journal_create(struct journal_writer **w, const char *dir, size_t segment_bytes, struct err *e);
/* Into the batch; nothing is written yet. */
int journal_append(struct journal_writer *w, const struct journal_record *r, struct err *e);
/* The batch in one writev. After a failure nothing is tried again on that descriptor: the next call begins a new segment. */
int journal_flush(struct journal_writer *w, struct err *e);
int journal_sync(struct journal_writer *w, struct err *e); /* fdatasync */
void journal_close(struct journal_writer *w);

struct journal_reader;
typedef void (*journal_damage_fn)(void *user,
                                  const char *text); /* file, offset, what, how many bytes were passed over */
/* One segment, or a directory's segments in order. */
int journal_open(struct journal_reader **r, const char *path, journal_damage_fn damage, void *user,
                 struct err *e);
/* 1: *out is the next record (its pointers live until the next call); 0: the end; -1: e. */
int journal_next(struct journal_reader *r, struct journal_record *out, struct err *e);
void journal_reader_close(struct journal_reader *r);

#endif
