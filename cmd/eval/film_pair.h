/* A film: what sgaps-eval reads on either side, a recording or a stream of frames (Y4M, PGM, PNG). A stream is one session
 * that can only be read forwards. */
#ifndef SGAPS_EVAL_FILM_PAIR_H
#define SGAPS_EVAL_FILM_PAIR_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/recording.h"
#include "io/stream.h"

struct film {
    const char *name;      /* for messages */
    struct recording *rec; /* or */
    struct frame_input *in;
    uint32_t W, H; /* of a stream */
    uint8_t *scratch;
    size_t scratch_size;
};

int film_open(struct film *f, const char *path, struct err *e);
void film_close(struct film *f);
/* Has it anything to look at? A recording of samples has not. */
int film_has_frames(const struct film *f);
void film_size(const struct film *f, size_t session, uint32_t *W, uint32_t *H);

/* Row t of a session at W x H (averaged where the film's size differs) into out. got: 1 there it is, 0 this row has none,
 * -1 the stream has ended. A stream gives its next frame, whatever t. reconstruction: a recording's reconstruction
 * where it has one, else its frames. */
int film_read(struct film *f, size_t session, size_t t, int reconstruction, uint32_t W, uint32_t H,
              uint8_t *out, int *got, struct err *e);

/* Which rows of two films belong together. */
struct pair {
    size_t a, b;
    int64_t frame_id;
};
struct pairing {
    size_t session_a, session_b;
    const char *id;
    size_t n;           /* SIZE_MAX: until a stream ends, row by row */
    struct pair *pairs; /* NULL: row by row, all of them */
    int64_t *frame_id;  /* (n) where pairs is NULL and a recording knows them */
    size_t unmatched;   /* rows of a that have none in b */
    uint8_t *keep;      /* rows of a that a selection leaves, or NULL */
};
/* How many pairings there are to walk: sessions of a recording, or 1 for streams. b may be NULL. */
size_t pairing_count(const struct film *a, const struct film *b);
/* The i-th; *found 0 where b has no such session. Sessions match by id, or whatever their ids when each side has one. */
int pairing_make(struct pairing *p, const struct film *a, const struct film *b, size_t i, int *found,
                 struct err *e);
void pairing_release(struct pairing *p);
struct pair pairing_at(const struct pairing *p, size_t i);

#endif
