/* A message being read: what message.c (the envelope, session_start, heartbeat), message_frame.c (frames) and
 * message_binary.c share. Private to lib/io. */
#ifndef SGAPS_IO_MESSAGE_PRIVATE_H
#define SGAPS_IO_MESSAGE_PRIVATE_H

#include "base/text.h"
#include "io/json_scan.h"
#include "io/message.h"

/* The first error counts. */
struct message_reader {
    struct message *m;
    struct json_scan s;
    double value_range;
    size_t max_samples, max_state;
    enum message_fault usual; /* what a field that is wrong is, unless it has a code of its own */
    double num_pixels;        /* -1: not said */
    int has_frame_id, has_pixels, bad;
    struct err *e;
};

#define message_refuse(r, kind, ...)                                                                         \
    ((r)->bad ? (r)->bad : ((r)->m->fault = (kind), (r)->bad = err_set((r)->e, ERR_DATA, __VA_ARGS__)))

/* JSON's own errors, with where they are. */
int message_syntax(struct message_reader *r);

/* Where a number stands: name, name[index] or name[index].member. */
struct message_place {
    const char *name;
    size_t index; /* SIZE_MAX: none */
    const char *member;
};
int message_number(struct message_reader *r, struct message_place at, double low, double high, double *out);
int message_whole(struct message_reader *r, const char *name, double low, double high, double *out);
int message_read_resolution(struct message_reader *r, const char *name);

/* The payload's members, by their names; kind is how each one's value begins: [ array, " text, t true or false, 0 number;
 * read gets the name for its errors. */
struct message_fields {
    int count;
    const char *const *name;
    const char *kind;
    int (*const *read)(struct message_reader *r, const char *name);
};
extern const struct message_fields message_frame_fields;
/* What a frame must have, once its payload was read. */
int message_check_frame(struct message_reader *r);

extern const double message_frame_id_limit; /* 2^53: what a JSON number holds exactly */
int message_sample_room(struct message *m, size_t n, struct err *e);
int message_state_room(struct message *m, size_t n, struct err *e);
uint8_t message_scale(float value, double value_range);
/* A PNG whose bottom row comes first into m->image. */
int message_take_png(struct message_reader *r, const char *name, const void *png, size_t n);
/* The other way: m->image as such a PNG, appended to t. */
int message_put_png(struct text *t, const struct message *m, struct err *e);
void message_reset(struct message *m);

#endif
