/* Inside of struct recording. Private to lib/io. */
#ifndef SGAPS_IO_RECORDING_PRIVATE_H
#define SGAPS_IO_RECORDING_PRIVATE_H

#include "io/hdf5_column.h"
#include "io/recording.h"

enum {
    SIDE_LIMIT = 16384,
    STATE_LIMIT = 65535,
    SESSION_LIMIT = 65536,
    SESSIONS_OPEN = 16 /* so many sessions keep their datasets open, the least recently used is closed */
};

enum column_name {
    FRAME_ID,
    TIMESTAMP,
    RECV_TIME,
    STATE,
    STATE_LEN,
    SAMPLE_SET,
    OFFSET,
    UV,
    VALUE,
    FRAMES,
    FRAMES_T,
    RECONSTRUCTION,
    IMPORTANCE,
    COLUMNS
};

struct column_kind {
    const char *name; /* below /sessions/<id> */
    enum column_type type;
    int rank;
    int per_row; /* one entry for each row (offset: and one more) */
};
extern const struct column_kind column_kinds[COLUMNS];

struct older_session;

struct session {
    struct session_info info;
    char *id, *checkpoint_key, *client_name;
    char **state_names;
    int open;
    uint64_t used; /* when, on the recording's own clock */
    struct column column[COLUMNS];
    uint64_t *frame_row; /* K: row of each full frame; NULL: row k */
    struct older_session *older;
};

struct recording {
    char *path, *shown;
    hid_t file;
    struct session *session;
    size_t sessions, session_capacity;
    size_t open_sessions;
    uint64_t clock;
    struct {
        char *name, *text;
    } * attribute;
    size_t attributes, attribute_capacity;
    /* recording_open_any: faults met while opening, for recording_check */
    int any;
    char **fault;
    size_t faults, fault_capacity;
};

/* One fault while opening: e's text goes to the list and 0 is returned where faults are collected, else e->code. */
int recording_fault(struct recording *r, const struct err *e);
/* A new session at the end of the list, its texts copied. */
int recording_add(struct recording *r, const char *id, const char *key, const char *client,
                  struct session **s, struct err *e);
void recording_drop_last(struct recording *r);
/* The session with its datasets open. */
int recording_use(struct recording *r, size_t session, struct session **s, struct err *e);
/* Puts "file: /sessions/id/" in front. */
int recording_place(const struct recording *r, const struct session *s, struct err *e);
void recording_close_session(struct recording *r, struct session *s);
/* The members of a group in creation order where it is tracked, else by name; names are free()d by the caller. */
int recording_members(hid_t group, size_t limit, char ***names, size_t *n, struct err *e);
/* Rows of full frames: which image row holds row t, or -1. */
long long recording_image_row(const struct session *s, size_t t);

/* The worse of a fault so far and what x, which belongs into 0..most, shows. */
enum samples_fault samples_fault_of(enum samples_fault so_far, float x, float most);
/* x with as many digits as tell it from its neighbours, into text, which is returned. */
const char *recording_number(float x, char text[24]);
/* What a fault that ends the reading is followed by: nothing while all of them are listed. */
const char *recording_hint(const struct recording *r);

/* A path without its folders; "" for standard input. */
const char *recording_file_name(const char *path);

/* Older per-frame files: 1 when the root group looks like one. */
int older_probe(hid_t file);
int older_open(struct recording *r, struct err *e);
void older_release(struct older_session *o);
int older_columns(struct recording *r, struct session *s, size_t t0, size_t n, int64_t *frame_id,
                  double *timestamp, struct err *e);
int older_state(struct recording *r, struct session *s, size_t t, float *state, uint16_t *state_len,
                struct err *e);
size_t older_count(const struct session *s, size_t t);
int older_samples(struct recording *r, struct session *s, size_t t, int check, struct samples *out,
                  struct err *e);
int older_image_present(const struct session *s, size_t t);
int older_frame(struct recording *r, struct session *s, size_t t, uint8_t *out, struct err *e);

#endif
