/* Journals of sgaps-serve: what their sessions hold, found in one pass; then each session's frames, by their places. */
#ifndef SGAPS_CMD_JOURNAL_PLAN_H
#define SGAPS_CMD_JOURNAL_PLAN_H

#include "base/text.h"
#include "io/journal.h"
#include "io/recording.h"

/* One journal: a name in a directory, or (name NULL) a segment by itself. */
struct journal_source {
    const char *path, *name;
    uint8_t *damaged; /* segments in which something could not be read, other than a torn end */
    size_t segments;
    struct journal_place *told; /* a journal is read more than once, its damage told once */
    size_t told_count, told_capacity;
};
int journal_source_open(struct journal_source *s, struct journal_reader **r, struct err *e);
void journal_source_release(struct journal_source *s);
/* The numbers of its sessions, ascending; free(). */
int journal_source_sessions(struct journal_source *s, uint64_t **numbers, size_t *n, struct err *e);

struct journal_row {
    struct journal_place frame, seen; /* seen: its reconstruction, where has_seen */
    int64_t frame_id;
    uint64_t ordinal;
    int has_seen;
};

/* Frames that are not there: received, not recorded. */
struct journal_hole {
    uint64_t first, count; /* ordinals, from 1 */
    int64_t frame_id;      /* of the first; -1: not known */
    char *reason;
};

struct journal_plan {
    uint64_t number;
    char *id, *checkpoint_key, *client_name, *config;
    double opened; /* Unix seconds */
    struct session_info info;
    struct journal_row *row;
    size_t rows, row_capacity;
    struct journal_hole *gap; /* as the journal's GAP records say */
    size_t gaps, gap_capacity;
    uint64_t received, sets;
    int has_open, closed, close_code;
    char *close_reason;
    uint32_t image_w, image_h, seen_w, seen_h;
};

/* Up to n sessions of the journal, whose numbers are given: those that have records. With whole the pass ends when all of
 * them are closed. */
int journal_plans_make(struct journal_source *s, const uint64_t *numbers, size_t n, int whole,
                       struct journal_plan **plans, size_t *count, struct err *e);
void journal_plans_release(struct journal_plan *plans, size_t n);

/* The holes in the ordinals of the rows as JSON, and how many frames are missing. */
uint64_t journal_plan_holes(const struct journal_plan *p, struct text *json);

/* Row after row with its pictures, as it is written. */
struct journal_frames {
    struct journal_reader *r;
    const struct journal_plan *plan;
    uint32_t W, H; /* of the output; pictures are scaled */
    uint8_t *seen, *scaled;
    float *map;
    int64_t seen_of; /* whose reconstruction is in seen; -1: of no frame yet */
    uint64_t scaled_count;
};
int journal_frames_begin(struct journal_frames *f, struct journal_source *s, const struct journal_plan *p,
                         const struct session_info *info, struct err *e);
int journal_frames_read(struct journal_frames *f, size_t row, struct frame *out, struct err *e);
void journal_frames_end(struct journal_frames *f);

/* A session into w, which has been made: begin, rows, notes, end. stride: every so many rows. written: after each row. */
int journal_write_session(struct journal_source *s, const struct journal_plan *p,
                          const struct session_info *info, size_t stride, struct recording_writer *w,
                          void (*written)(void *user), void *user, struct err *e);

#endif
