#include "film_pair.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "interp/interp.h"

int film_open(struct film *f, const char *path, struct err *e)
{
    struct peek_file peek;
    *f = (struct film){.name = path};
    int r = peek_open(&peek, path, e);
    if (r)
        return r;
    enum stream_format format = peek_format(&peek);
    f->name = strcmp(path, "-") ? path : "standard input";
    if (format == STREAM_Y4M || format == STREAM_PGM || format == STREAM_PNG) {
        double fps;
        r = frame_input_open(&f->in, &peek, e);
        if (!r)
            frame_input_size(f->in, &f->W, &f->H, &fps);
        return r;
    }
    return recording_open_peeked(&f->rec, &peek, e);
}

void film_close(struct film *f)
{
    if (f->rec)
        recording_close(f->rec);
    if (f->in)
        frame_input_close(f->in);
    free(f->scratch);
    *f = (struct film){0};
}

int film_has_frames(const struct film *f)
{
    int any = !f->rec;
    for (size_t i = 0; f->rec && i < recording_sessions(f->rec); i++) {
        const struct session_info *s = recording_session(f->rec, i);
        any |= s->K > 0 || s->has_reconstruction;
    }
    return any;
}

void film_size(const struct film *f, size_t session, uint32_t *W, uint32_t *H)
{
    *W = f->rec ? recording_session(f->rec, session)->W : f->W;
    *H = f->rec ? recording_session(f->rec, session)->H : f->H;
}

static int read_as_is(struct film *f, size_t session, size_t t, int reconstruction, uint8_t *out, int *got,
                      struct err *e)
{
    *got = 1;
    if (f->in) {
        int more = frame_input_read(f->in, out, e);
        *got = more > 0 ? 1 : -1;
        return more < 0 ? e->code : 0;
    }
    if (reconstruction && recording_session(f->rec, session)->has_reconstruction)
        return recording_reconstruction_u8(f->rec, session, t, out, e);
    return recording_frame(f->rec, session, t, out, got, e);
}

int film_read(struct film *f, size_t session, size_t t, int reconstruction, uint32_t W, uint32_t H,
              uint8_t *out, int *got, struct err *e)
{
    uint32_t own_w, own_h;
    film_size(f, session, &own_w, &own_h);
    if (own_w == W && own_h == H)
        return read_as_is(f, session, t, reconstruction, out, got, e);
    int r = mem_grow(&f->scratch, &f->scratch_size, (size_t)own_w * own_h, 1, "a frame", e);
    if (!r)
        r = read_as_is(f, session, t, reconstruction, f->scratch, got, e);
    if (!r && *got == 1)
        interp_resize(f->scratch, own_w, own_h, out, W, H);
    return r;
}

size_t pairing_count(const struct film *a, const struct film *b)
{
    const struct film *leader = a->rec || !b ? a : b;
    return leader->rec ? recording_sessions(leader->rec) : 1;
}

/* (frame_id, row) in the order of the ids; equal ids keep the order of their rows, so that the k-th of one side meets
 * the k-th of the other. */
struct numbered {
    int64_t id;
    size_t row;
};

static int by_id(const void *a, const void *b)
{
    const struct numbered *x = a, *y = b;
    return x->id != y->id ? (x->id < y->id ? -1 : 1) : (x->row > y->row) - (x->row < y->row);
}

static int by_row_of_a(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    return (x->a > y->a) - (x->a < y->a);
}

static int frame_ids(struct recording *rec, size_t session, size_t T, int64_t **out, struct err *e)
{
    int r = mem_alloc(out, T, sizeof **out, "frame numbers", e);
    return r ? r : recording_columns(rec, session, 0, T, *out, NULL, NULL, NULL, e);
}

static int numbered_rows(struct recording *rec, size_t session, size_t T, struct numbered **out,
                         struct err *e)
{
    int64_t *id = NULL;
    int r = frame_ids(rec, session, T, &id, e);
    if (!r)
        r = mem_alloc(out, T, sizeof **out, "frame numbers", e);
    for (size_t t = 0; t < T && !r; t++)
        (*out)[t] = (struct numbered){id[t], t};
    if (!r)
        qsort(*out, T, sizeof **out, by_id);
    free(id);
    return r;
}

/* Where one side has no numbers, frames meet in their order. */
static int match_order(struct pairing *p, const struct film *a, const struct film *b, struct err *e)
{
    const struct session_info *x = recording_session(a->rec, p->session_a),
                              *y = recording_session(b->rec, p->session_b);
    size_t n = x->T < y->T ? x->T : y->T;
    int64_t *id = NULL;
    int r = x->has_frame_id ? frame_ids(a->rec, p->session_a, n, &id, e)
                            : frame_ids(b->rec, p->session_b, n, &id, e);
    if (!r)
        r = mem_alloc(&p->pairs, n, sizeof *p->pairs, "pairs of frames", e);
    for (size_t i = 0; i < n && !r; i++)
        p->pairs[p->n++] = (struct pair){i, i, id[i]};
    p->unmatched = x->T - p->n;
    free(id);
    return r;
}

static int match_ids(struct pairing *p, const struct film *a, const struct film *b, struct err *e)
{
    size_t na = recording_session(a->rec, p->session_a)->T, nb = recording_session(b->rec, p->session_b)->T;
    struct numbered *x = NULL, *y = NULL;
    int r = numbered_rows(a->rec, p->session_a, na, &x, e);
    if (!r)
        r = numbered_rows(b->rec, p->session_b, nb, &y, e);
    if (!r)
        r = mem_alloc(&p->pairs, na < nb ? na : nb, sizeof *p->pairs, "pairs of frames", e);
    for (size_t i = 0, j = 0; !r && i < na && j < nb;) {
        if (x[i].id == y[j].id) {
            p->pairs[p->n++] = (struct pair){x[i].row, y[j].row, x[i].id};
            i++, j++;
        } else if (x[i].id < y[j].id) {
            i++;
        } else {
            j++;
        }
    }
    if (!r)
        qsort(p->pairs, p->n, sizeof *p->pairs, by_row_of_a);
    p->unmatched = na - p->n;
    free(x);
    free(y);
    return r;
}

int pairing_make(struct pairing *p, const struct film *a, const struct film *b, size_t i, int *found,
                 struct err *e)
{
    const struct film *leader = a->rec || !b ? a : b;
    *p = (struct pairing){.session_a = i, .session_b = i, .n = SIZE_MAX, .id = "stream"};
    *found = 1;
    if (!leader->rec)
        return 0;
    const struct session_info *s = recording_session(leader->rec, i);
    p->id = s->id;
    if (a->rec && b && b->rec) {
        long at = recording_find_session(b->rec, s->id);
        if (at < 0 && recording_sessions(a->rec) == 1 && recording_sessions(b->rec) == 1)
            at = 0;
        *found = at >= 0;
        p->n = 0;
        p->session_b = (size_t)at;
        if (!*found)
            p->unmatched = s->T;
        if (!*found)
            return 0;
        int ids = s->has_frame_id && recording_session(b->rec, p->session_b)->has_frame_id;
        return ids ? match_ids(p, a, b, e) : match_order(p, a, b, e);
    }
    p->n = s->T;
    return frame_ids(leader->rec, i, s->T, &p->frame_id, e);
}

struct pair pairing_at(const struct pairing *p, size_t i)
{
    if (p->pairs)
        return p->pairs[i];
    return (struct pair){i, i, p->frame_id ? p->frame_id[i] : (int64_t)i};
}

void pairing_release(struct pairing *p)
{
    free(p->pairs);
    free(p->frame_id);
    free(p->keep);
    *p = (struct pairing){0};
}
