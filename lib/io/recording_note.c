/* What a session says about itself beside the columns of its frames. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/recording_writer.h"

static int noted(const struct recording_writer *w, const char *name, int bad, struct err *e)
{
    return bad ? h5_error(e, ERR_IO, "%s: /sessions/%s/%s: write failed", w->shown, w->session.id, name) : 0;
}

int recording_note_text(struct recording_writer *w, const char *name, const char *text, struct err *e)
{
    h5_begin();
    recording_digest(w, text, strlen(text) + 1);
    return noted(w, name, h5_put_text(w->session.group, name, text), e);
}

int recording_note_number(struct recording_writer *w, const char *name, uint64_t number, struct err *e)
{
    h5_begin();
    recording_digest(w, &number, sizeof number);
    return noted(w, name, h5_put_number(w->session.group, name, H5T_STD_U64LE, H5T_NATIVE_UINT64, &number, 1),
                 e);
}

int recording_note_column(struct recording_writer *w, const char *name, const int64_t *data, size_t n,
                          struct err *e)
{
    struct column_out c;
    h5_begin();
    recording_digest(w, data, n * sizeof *data);
    int bad = column_create(&c, w->session.group, name, COLUMN_I64, 1, NULL, 1024, 0, 0, e);
    if (!bad)
        bad = column_append(&c, data, n, e);
    bad = bad ? (column_drop(&c), bad) : column_end(&c, e);
    return bad ? err_prefix(e, "%s: /sessions/%s/", w->shown, w->session.id) : 0;
}

/* The session's group, < 0: none (an older recording). */
static hid_t group_of(struct recording *r, size_t session)
{
    char path[512];
    int n = snprintf(path, sizeof path, "sessions/%s", r->session[session].id);
    if (r->session[session].older || n < 0 || (size_t)n >= sizeof path)
        return -1;
    return H5Gopen2(r->file, path, H5P_DEFAULT);
}

char *recording_noted_text(struct recording *r, size_t session, const char *name)
{
    h5_begin();
    hid_t group = group_of(r, session);
    if (group < 0)
        return NULL;
    char *text = h5_text(group, name);
    H5Gclose(group);
    return text;
}

int recording_noted_column(struct recording *r, size_t session, const char *name, size_t t0, size_t n,
                           int64_t *out, struct err *e)
{
    struct column c = {.id = -1};
    h5_begin();
    hid_t group = group_of(r, session);
    int bad = group < 0 ? err_set(e, ERR_DATA, "cannot be opened") : 0;
    bad = bad ? bad : column_open(&c, group, name, COLUMN_I64, 1, e);
    if (!bad && (c.id <= 0 || t0 > c.rows || n > c.rows - t0))
        bad = err_set(e, ERR_DATA, "%s: has not the rows %zu to %zu", name, t0, t0 + n);
    else if (!bad)
        bad = column_read(&c, t0, n, out, e);
    column_close(&c);
    if (group >= 0)
        H5Gclose(group);
    return bad ? recording_place(r, &r->session[session], e) : 0;
}
