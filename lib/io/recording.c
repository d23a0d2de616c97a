/* Opening a recording: what is in it and how large, nothing more. */
#include "io/recording.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/recording_private.h"
#include "io/spool.h"
#include "io/stream.h"

enum { FAULT_LIMIT = 1000 };

const struct column_kind column_kinds[COLUMNS] = {
    [FRAME_ID] = {"frame_id", COLUMN_I64, 1, 1},     [TIMESTAMP] = {"timestamp", COLUMN_F64, 1, 1},
    [RECV_TIME] = {"recv_time", COLUMN_F64, 1, 1},   [STATE] = {"state", COLUMN_F32, 2, 1},
    [STATE_LEN] = {"state_len", COLUMN_U16, 1, 1},   [SAMPLE_SET] = {"samples/set", COLUMN_I64, 1, 1},
    [OFFSET] = {"samples/offset", COLUMN_U64, 1, 1}, [UV] = {"samples/uv", COLUMN_F32, 2, 0},
    [VALUE] = {"samples/value", COLUMN_U8, 1, 0},    [FRAMES] = {"frames", COLUMN_U8, 3, 0},
    [FRAMES_T] = {"frames_t", COLUMN_U64, 1, 0},     [RECONSTRUCTION] = {"reconstruction", COLUMN_F32, 3, 1},
    [IMPORTANCE] = {"importance", COLUMN_F32, 3, 1},
};

int recording_fault(struct recording *r, const struct err *e)
{
    if (!r->any)
        return e->code;
    if (r->faults < FAULT_LIMIT &&
        !mem_grow(&r->fault, &r->fault_capacity, r->faults + 1, sizeof *r->fault, "the list of faults",
                  NULL) &&
        (r->fault[r->faults] = strdup(e->text)))
        r->faults++;
    return 0;
}

int recording_place(const struct recording *r, const struct session *s, struct err *e)
{
    return err_prefix(e, "%s: /sessions/%s/", r->shown, s->id);
}

int recording_add(struct recording *r, const char *id, const char *key, const char *client,
                  struct session **out, struct err *e)
{
    if (r->sessions >= SESSION_LIMIT)
        return err_set(e, ERR_DATA, "%s: has more than %d sessions", r->shown, SESSION_LIMIT);
    int bad = mem_grow(&r->session, &r->session_capacity, r->sessions + 1, sizeof *r->session, "sessions", e);
    if (bad)
        return bad;
    struct session *s = &r->session[r->sessions];
    *s = (struct session){.info = {.sentinel = -999, .value_range = 255, .closed = -1}};
    bad = mem_string(&s->id, id, e);
    bad = bad ? bad : mem_string(&s->checkpoint_key, key ? key : "", e);
    bad = bad ? bad : mem_string(&s->client_name, client ? client : "", e);
    if (bad) {
        free(s->id);
        free(s->checkpoint_key);
        return bad;
    }
    s->info.id = s->id;
    s->info.checkpoint_key = s->checkpoint_key;
    s->info.client_name = s->client_name;
    r->sessions++;
    *out = s;
    return 0;
}

static void session_release(struct recording *r, struct session *s)
{
    recording_close_session(r, s);
    older_release(s->older);
    free(s->id);
    free(s->checkpoint_key);
    free(s->client_name);
    free(s->frame_row);
    free(s->state_names);
}

void recording_drop_last(struct recording *r)
{
    session_release(r, &r->session[--r->sessions]);
}

/* --- members of a group --- */

struct members {
    char **names;
    size_t n, capacity, limit;
    struct err *e;
    int code;
};

static herr_t add_member(hid_t group, const char *name, const H5L_info_t *info, void *user)
{
    struct members *m = user;
    (void)group;
    if (info->type == H5L_TYPE_EXTERNAL) /* another file is no part of this one */
        return 0;
    if (m->n >= m->limit)
        m->code = err_set(m->e, ERR_DATA, "has more than %zu members", m->limit);
    else
        m->code = mem_grow(&m->names, &m->capacity, m->n + 1, sizeof *m->names, "a group's names", m->e);
    if (!m->code)
        m->code = mem_string(&m->names[m->n], name, m->e);
    m->n += !m->code;
    return m->code ? -1 : 0;
}

int recording_members(hid_t group, size_t limit, char ***names, size_t *n, struct err *e)
{
    struct members m = {.limit = limit, .e = e};
    unsigned order = 0;
    hid_t create = H5Gget_create_plist(group);
    if (create >= 0)
        H5Pget_link_creation_order(create, &order);
    H5Pclose(create);
    H5_index_t by = order & H5P_CRT_ORDER_TRACKED ? H5_INDEX_CRT_ORDER : H5_INDEX_NAME;
    herr_t bad = H5Literate(group, by, H5_ITER_INC, NULL, add_member, &m);
    if (bad < 0 && !m.code)
        m.code = h5_error(e, ERR_DATA, "cannot be listed");
    if (m.code) {
        for (size_t i = 0; i < m.n; i++)
            free(m.names[i]);
        free(m.names);
        return m.code;
    }
    *names = m.names;
    *n = m.n;
    return 0;
}

/* --- one session of version 1 --- */

static int open_columns(struct recording *r, struct session *s, struct err *e)
{
    hid_t sessions = H5Gopen2(r->file, "sessions", H5P_DEFAULT);
    hid_t group = sessions < 0 ? -1 : H5Gopen2(sessions, s->id, H5P_DEFAULT);
    if (sessions >= 0)
        H5Gclose(sessions);
    if (group < 0)
        return h5_error(e, ERR_DATA, "%s: /sessions/%s: is not a group", r->shown, s->id);
    int bad = 0;
    for (int i = 0; i < COLUMNS && !bad; i++) {
        const struct column_kind *k = &column_kinds[i];
        bad = column_open(&s->column[i], group, k->name, k->type, k->rank, e);
        if (bad) {
            recording_place(r, s, e);
            bad = recording_fault(r, e);
        }
    }
    H5Gclose(group);
    s->open = 1;
    r->open_sessions++;
    if (bad)
        recording_close_session(r, s);
    return bad;
}

void recording_close_session(struct recording *r, struct session *s)
{
    if (!s->open)
        return;
    for (int i = 0; i < COLUMNS; i++)
        column_close(&s->column[i]);
    s->open = 0;
    r->open_sessions--;
}

int recording_use(struct recording *r, size_t session, struct session **out, struct err *e)
{
    h5_begin();
    struct session *s = &r->session[session];
    *out = s;
    s->used = ++r->clock;
    if (s->open || s->older)
        return 0;
    if (r->open_sessions >= SESSIONS_OPEN) {
        struct session *oldest = NULL;
        for (size_t i = 0; i < r->sessions; i++)
            if (r->session[i].open && (!oldest || r->session[i].used < oldest->used))
                oldest = &r->session[i];
        if (oldest)
            recording_close_session(r, oldest);
    }
    return open_columns(r, s, e);
}

static int have(const struct session *s, enum column_name name)
{
    return s->column[name].id > 0;
}

/* [W,H] from the attribute; 0 when it is not there or not sensible. */
static void read_size(hid_t group, const char *name, uint32_t *w, uint32_t *h)
{
    int64_t size[2];
    *w = *h = 0;
    if (h5_integers(group, name, size, 2) == 2 && size[0] > 0 && size[1] > 0 && size[0] <= UINT32_MAX &&
        size[1] <= UINT32_MAX) {
        *w = (uint32_t)size[0];
        *h = (uint32_t)size[1];
    }
}

static void read_attributes(hid_t group, struct session_info *info)
{
    double x;
    int64_t closed;
    read_size(group, "resolution", &info->W, &info->H);
    read_size(group, "screen", &info->screen_w, &info->screen_h);
    if (h5_doubles(group, "target_fps", &x, 1) && x > 0 && x < 1e6)
        info->fps = x;
    if (h5_doubles(group, "sentinel", &x, 1))
        info->sentinel = (float)x;
    if (h5_doubles(group, "value_range", &x, 1) && x > 0)
        info->value_range = x;
    if (h5_integers(group, "closed", &closed, 1))
        info->closed = closed != 0;
}

/* A picture column's size against the session's resolution, which it gives where the attribute lacks. */
static int check_picture(const struct session *s, enum column_name name, uint32_t *W, uint32_t *H,
                         struct err *e)
{
    const struct column *c = &s->column[name];
    size_t h = c->shape.size[1], w = c->shape.size[2];
    if (!w || !h || w > SIDE_LIMIT || h > SIDE_LIMIT)
        return err_set(e, ERR_DATA, "%s: is %zux%zu, sides are 1 to %d", c->name, w, h, SIDE_LIMIT);
    if (!*W || !*H) {
        *W = (uint32_t)w;
        *H = (uint32_t)h;
    }
    if (*W != w || *H != h)
        return err_set(e, ERR_DATA, "%s: is %zux%zu, the session's resolution says %ux%u", c->name, w, h, *W,
                       *H);
    return 0;
}

static int check_columns(const struct session *s, struct session_info *info, int part, struct err *e)
{
    const struct column *c = s->column;
    int samples = have(s, OFFSET) + have(s, UV) + have(s, VALUE);
    switch (part) {
    case 0:
        return have(s, FRAMES) ? check_picture(s, FRAMES, &info->W, &info->H, e) : 0;
    case 1:
        return have(s, RECONSTRUCTION) ? check_picture(s, RECONSTRUCTION, &info->W, &info->H, e) : 0;
    case 2:
        info->map_w = info->map_h = 0;
        return have(s, IMPORTANCE) ? check_picture(s, IMPORTANCE, &info->map_w, &info->map_h, e) : 0;
    case 3:
        if (samples && samples < 3)
            return err_set(e, ERR_DATA, "samples: lacks %s",
                           !have(s, OFFSET) ? "offset"
                           : !have(s, UV)   ? "uv"
                                            : "value");
        break;
    case 4:
        if (have(s, UV) && c[UV].width != 2)
            return err_set(e, ERR_DATA, "samples/uv: has %zu columns, expected 2", c[UV].width);
        break;
    case 5:
        if (have(s, STATE) && (c[STATE].width < 1 || c[STATE].width > STATE_LIMIT))
            return err_set(e, ERR_DATA, "state: has %zu columns, 1 to %d are read", c[STATE].width,
                           STATE_LIMIT);
        break;
    case 6:
        if (!samples && !have(s, FRAMES) && !have(s, RECONSTRUCTION))
            return err_set(e, ERR_DATA, "samples, frames: neither is there");
        break;
    case 7:
        if (!info->W || !info->H || info->W > SIDE_LIMIT || info->H > SIDE_LIMIT)
            return err_set(e, ERR_DATA, "resolution: is %ux%u, sides are 1 to %d", info->W, info->H,
                           SIDE_LIMIT);
        break;
    default:
        return -1;
    }
    return 0;
}

/* The last row whose samples are all there: offsets grow, so the first that reaches too far is found by halving. */
static int trim_to_samples(struct session *s, struct err *e)
{
    struct column *offset = &s->column[OFFSET];
    size_t rows = s->column[UV].rows < s->column[VALUE].rows ? s->column[UV].rows : s->column[VALUE].rows;
    size_t low = 0, high = s->info.T;
    uint64_t o = 0;
    int r = column_read(offset, high, 1, &o, e);
    if (!r && o <= rows)
        low = high;
    while (!r && low < high) {
        size_t middle = low + (high - low + 1) / 2;
        r = column_read(offset, middle, 1, &o, e);
        if (o <= rows)
            low = middle;
        else
            high = middle - 1;
    }
    uint64_t first = 0, last = 0;
    s->info.T = low;
    r = r ? r : column_read(offset, 0, 1, &first, e);
    r = r ? r : column_read(offset, low, 1, &last, e);
    s->info.M = last > first ? (size_t)(last - first) : 0;
    return r;
}

static int read_frames_t(struct session *s, struct err *e)
{
    struct column *c = &s->column[FRAMES_T];
    size_t K = c->rows < s->column[FRAMES].rows ? c->rows : s->column[FRAMES].rows;
    int r = mem_alloc(&s->frame_row, K, sizeof *s->frame_row, "frames_t", e);
    r = r ? r : column_read(c, 0, K, s->frame_row, e);
    size_t k = 0;
    for (; k < K && !r && s->frame_row[k] < s->info.T; k++)
        if (k && s->frame_row[k] <= s->frame_row[k - 1])
            r = err_set(e, ERR_DATA, "frames_t[%zu]: is %llu after %llu, rows must grow", k,
                        (unsigned long long)s->frame_row[k], (unsigned long long)s->frame_row[k - 1]);
    s->info.K = k; /* frames of rows that another column lacks are left out */
    return r;
}

/* Counts rows: the shortest column counts. */
static int count_rows(struct session *s, struct err *e)
{
    struct session_info *info = &s->info;
    const struct column *c = s->column;
    size_t T = SIZE_MAX;
    for (int i = 0; i < COLUMNS; i++) {
        if (!have(s, i) || !(column_kinds[i].per_row || (i == FRAMES && !have(s, FRAMES_T))))
            continue;
        size_t rows = i == OFFSET && c[i].rows ? c[i].rows - 1 : c[i].rows;
        if (rows < T)
            T = rows;
    }
    info->T = T == SIZE_MAX ? 0 : T;
    info->K = have(s, FRAMES) ? info->T : 0;
    info->has_samples = have(s, OFFSET) && have(s, UV) && have(s, VALUE);
    int r = info->has_samples && c[OFFSET].rows ? trim_to_samples(s, e) : 0;
    if (!r && have(s, FRAMES))
        r = have(s, FRAMES_T) ? read_frames_t(s, e) : (info->K = info->T, 0);
    info->S = have(s, STATE) ? c[STATE].width : 0;
    if (have(s, STATE)) {
        s->state_names = h5_texts(c[STATE].id, "state_names", info->S, &info->state_name_count);
        info->state_names = (const char *const *)s->state_names;
    }
    info->has_frames = info->K > 0;
    info->has_frame_id = have(s, FRAME_ID);
    info->has_recv_time = have(s, RECV_TIME);
    info->has_set = have(s, SAMPLE_SET);
    info->has_reconstruction = have(s, RECONSTRUCTION);
    info->reconstruction_f32 = info->has_reconstruction && c[RECONSTRUCTION].shape.is_float;
    info->has_importance = have(s, IMPORTANCE);
    return r;
}

/* Where faults are collected, a part that is not as the readers rely on is as if it were not there. */
static void leave_out(struct session *s, int part)
{
    static const enum column_name column[] = {FRAMES, RECONSTRUCTION, IMPORTANCE, UV, UV, STATE};
    if (part < (int)(sizeof column / sizeof *column))
        column_close(&s->column[column[part]]);
    else if (part == 7)
        s->info.W = s->info.H = 0;
}

static int add_session(struct recording *r, hid_t sessions, const char *name, struct err *e)
{
    hid_t group = H5Gopen2(sessions, name, H5P_DEFAULT);
    if (group < 0) {
        h5_error(e, ERR_DATA, "%s: /sessions/%s: is not a group", r->shown, name);
        return recording_fault(r, e);
    }
    char *key = h5_text(group, "checkpoint_key"), *client = h5_text(group, "client_name");
    struct session *s = NULL;
    int bad = recording_add(r, name, key, client, &s, e);
    free(key);
    free(client);
    if (!bad)
        read_attributes(group, &s->info);
    H5Gclose(group);
    bad = bad ? bad : recording_use(r, r->sessions - 1, &s, e);
    for (int part = 0, found; !bad && (found = check_columns(s, &s->info, part, e)) >= 0; part++)
        if (found) {
            recording_place(r, s, e);
            bad = recording_fault(r, e);
            leave_out(s, part);
        }
    if (!bad && (bad = count_rows(s, e))) {
        recording_place(r, s, e);
        bad = recording_fault(r, e);
    }
    return bad;
}

static int open_sessions(struct recording *r, struct err *e)
{
    char *format = NULL, **names = NULL;
    size_t n = 0;
    int bad = h5_check_format(r->file, "sgaps-recording", &format, e);
    if (bad && format && !strcmp(format, "sgaps-checkpoint"))
        bad = err_set(e, ERR_DATA, "%s: is a checkpoint, a recording is expected", r->shown);
    else if (bad && !format && older_probe(r->file)) {
        free(format);
        return older_open(r, e);
    } else if (bad && !format)
        bad = err_set(e, ERR_DATA, "%s: is an HDF5 file, but no recording", r->shown);
    else if (bad)
        err_prefix(e, "%s: ", r->shown);
    free(format);
    if (bad)
        return bad;
    if (!h5_exists(r->file, "sessions")) /* a selection */
        return h5_exists(r->file, "clean") ? 0 : err_set(e, ERR_DATA, "%s: has no /sessions", r->shown);
    hid_t sessions = H5Gopen2(r->file, "sessions", H5P_DEFAULT);
    if (sessions < 0)
        return h5_error(e, ERR_DATA, "%s: /sessions: is not a group", r->shown);
    bad = recording_members(sessions, SESSION_LIMIT, &names, &n, e);
    if (bad)
        err_prefix(e, "%s: /sessions: ", r->shown);
    for (size_t i = 0; i < n; i++) {
        bad = bad ? bad : add_session(r, sessions, names[i], e);
        free(names[i]);
    }
    free(names);
    H5Gclose(sessions);
    return bad;
}

/* --- opening and closing --- */

static herr_t take_attribute(hid_t root, const char *name, const H5A_info_t *info, void *user)
{
    struct recording *r = user;
    (void)info;
    char *text = h5_text(root, name);
    if (!text)
        return 0;
    if (mem_grow(&r->attribute, &r->attribute_capacity, r->attributes + 1, sizeof *r->attribute, "attributes",
                 NULL)) {
        free(text);
        return -1;
    }
    r->attribute[r->attributes].text = text;
    r->attribute[r->attributes].name = strdup(name);
    return r->attribute[r->attributes++].name ? 0 : -1;
}

/* peek: what has been opened and looked at already, or NULL. */
static int open_path(struct recording *r, const char *path, struct peek_file *peek, struct err *e)
{
    int bad = mem_string(&r->shown, !strcmp(path, "-") ? "standard input" : path, e);
    bad = bad ? bad : mem_string(&r->path, path, e);
    if (bad)
        return bad;
    struct spool spool = {.file = {.slot = -1}};
    if (spool_needed(path))
        bad = peek ? spool_peeked(&spool, peek, e) : spool_input(&spool, path, e);
    if (!bad)
        bad = h5_open(&r->file, spool.path ? spool.path : path, r->shown, e);
    spool_release(&spool); /* open files outlive their names */
    return bad;
}

static int open_recording(struct recording **out, const char *path, struct peek_file *peek, int any,
                          struct err *e)
{
    struct err own;
    struct recording *r;
    e = e ? e : &own;
    *out = NULL;
    int bad = mem_alloc(&r, 1, sizeof *r, "a recording", e);
    if (bad)
        return bad;
    r->file = -1;
    r->any = any;
    bad = open_path(r, path, peek, e);
    if (!bad && H5Aiterate2(r->file, H5_INDEX_NAME, H5_ITER_INC, NULL, take_attribute, r) < 0)
        bad = h5_error(e, ERR_DATA, "%s: its attributes cannot be read", r->shown);
    bad = bad ? bad : open_sessions(r, e);
    if (bad) {
        recording_close(r);
        return bad;
    }
    H5Eclear2(H5E_DEFAULT);
    *out = r;
    return 0;
}

int recording_open(struct recording **r, const char *path, struct err *e)
{
    return open_recording(r, path, NULL, 0, e);
}

int recording_open_peeked(struct recording **r, struct peek_file *p, struct err *e)
{
    int bad = open_recording(r, p->f == stdin ? "-" : p->name, p, 0, e);
    peek_close(p);
    return bad;
}

int recording_open_any(struct recording **r, const char *path, struct err *e)
{
    return open_recording(r, path, NULL, 1, e);
}

void recording_close(struct recording *r)
{
    if (!r)
        return;
    h5_begin();
    while (r->sessions)
        recording_drop_last(r);
    for (size_t i = 0; i < r->attributes; i++) {
        free(r->attribute[i].name);
        free(r->attribute[i].text);
    }
    for (size_t i = 0; i < r->faults; i++)
        free(r->fault[i]);
    if (r->file >= 0)
        H5Fclose(r->file);
    free(r->session);
    free(r->attribute);
    free(r->fault);
    free(r->path);
    free(r->shown);
    free(r);
    H5garbage_collect();
}

const char *recording_file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return !strcmp(path, "-") ? "" : slash ? slash + 1 : path;
}

const char *recording_path(const struct recording *r)
{
    return r->shown;
}

const char *recording_attribute(const struct recording *r, const char *name)
{
    for (size_t i = 0; i < r->attributes; i++)
        if (!strcmp(r->attribute[i].name, name))
            return r->attribute[i].text;
    return NULL;
}

size_t recording_sessions(const struct recording *r)
{
    return r->sessions;
}

const struct session_info *recording_session(const struct recording *r, size_t session)
{
    return &r->session[session].info;
}

long recording_find_session(const struct recording *r, const char *id)
{
    for (size_t i = 0; i < r->sessions; i++)
        if (!strcmp(r->session[i].id, id))
            return (long)i;
    return -1;
}
