/* Recordings, and messages that may still be arriving, as rows of sessions. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/message.h"
#include "reconstruct.h"

static const char *name_of(const struct input *in)
{
    return strcmp(in->path, "-") ? in->path : "standard input";
}

/* The first byte of what fd reads, left there: looked at in a file or a socket, duplicated from a pipe. What is typed at
 * a terminal is messages. 0: the end. */
static ssize_t first_byte(int fd, unsigned char *byte)
{
    int ends[2];
    if (isatty(fd)) {
        *byte = '{';
        return 1;
    }
    off_t at = lseek(fd, 0, SEEK_CUR);
    if (at >= 0)
        return pread(fd, byte, 1, at);
    ssize_t n = recv(fd, byte, 1, MSG_PEEK);
    if (n >= 0 || errno != ENOTSOCK || pipe(ends))
        return n;
    do {
        n = tee(fd, ends[1], 1, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0)
        n = read(ends[0], byte, 1);
    close(ends[0]);
    close(ends[1]);
    return n;
}

/* A named pipe can be opened only once, so it takes the place of standard input. */
static int adopt_pipe(struct input *in, int fd, struct err *e)
{
    static int adopted;
    if (adopted++ || dup2(fd, STDIN_FILENO) < 0)
        return err_set(e, ERR_USAGE, "%s: only one pipe can be read at a time", in->path);
    in->path = "-";
    return 0;
}

int input_probe(struct input *in, struct err *e)
{
    unsigned char byte = 0;
    struct stat st = {0};
    int named = strcmp(in->path, "-") != 0, fd = named ? open(in->path, O_RDONLY) : STDIN_FILENO, code = 0;
    if (fd < 0)
        return err_set(e, ERR_NOINPUT, "%s: cannot open: %s", in->path, strerror(errno));
    if (!fstat(fd, &st) && S_ISDIR(st.st_mode))
        code = err_set(e, ERR_NOINPUT, "%s: is a directory", in->path);
    if (!code) {
        ssize_t n = first_byte(fd, &byte);
        if (n < 0)
            code = err_set(e, ERR_NOINPUT, "%s: cannot be read: %s", name_of(in), strerror(errno));
        else if (!n)
            code = err_set(e, ERR_DATA, "%s: is empty", name_of(in));
    }
    if (!code && named && S_ISFIFO(st.st_mode))
        code = adopt_pipe(in, fd, e);
    if (named)
        close(fd);
    in->format = byte && strchr("{ \t\r\n", byte) ? STREAM_NDJSON : STREAM_HDF5;
    return code;
}

int input_open_recording(struct input *in, struct err *e)
{
    return in->recording ? 0 : recording_open(&in->recording, in->path, e);
}

void input_close(struct input *in)
{
    recording_close(in->recording);
    in->recording = NULL;
}

/* --- recordings --- */

static int fill_row(struct row *row, struct recording *r, size_t session, size_t t, struct err *e)
{
    const struct session_info *s = recording_session(r, session);
    uint16_t len = 0;
    int code =
        recording_columns(r, session, t, 1, &row->frame_id, &row->timestamp, &row->recv_time, &row->set, e);
    if (!code)
        code = recording_samples(r, session, t, 1, &row->samples, e);
    row->state_n = 0;
    if (!code && s->S) {
        code = mem_grow(&row->state, &row->state_capacity, s->S, sizeof *row->state, "a state", e);
        if (!code)
            code = recording_state(r, session, t, 1, row->state, &len, e);
        row->state_n = len;
    }
    return code;
}

static int run_session(struct recording *r, size_t session, struct batch *b, struct err *e)
{
    const struct session_info *s = recording_session(r, session);
    if (!s->has_samples && s->T)
        return err_set(e, ERR_DATA,
                       "%s: /sessions/%s: has no samples to reconstruct from (sgaps-sample takes them)",
                       recording_path(r), s->id);
    size_t typical = s->T ? s->M / s->T + s->M / s->T / 2 + 1 : 1;
    uint8_t *keep;
    int code = mem_alloc(&keep, s->T, 1, "a selection", e);
    b->source = recording_path(r);
    if (!code)
        code = selections_rows(&b->selections, r, session, keep, e);
    if (!code)
        code = batch_begin(b, s, typical, 0, e);
    for (size_t t = 0; t < s->T && !code; t++) {
        if (!keep[t])
            continue;
        code = fill_row(batch_row(b), r, session, t, e);
        if (!code)
            code = batch_push(b, e);
    }
    free(keep);
    return code ? code : batch_end(b, s->closed, e);
}

static int run_recording(struct input *in, struct batch *b, struct err *e)
{
    int code = input_open_recording(in, e);
    for (size_t i = 0; !code && i < recording_sessions(in->recording); i++)
        code = run_session(in->recording, i, b, e);
    input_close(in);
    return code;
}

/* --- messages --- */

enum { LINE_LIMIT = 64 << 20, SAMPLE_LIMIT = 1 << 20, STATE_LIMIT = 64 };

struct lines {
    FILE *f;
    char *text;
    size_t n, capacity, number;
};

/* 1: a line without its end is in text; 0: there are no more; -1: an error. */
static int next_line(struct lines *l, struct err *e)
{
    int c;
    l->n = 0;
    while ((c = getc_unlocked(l->f)) != EOF && c != '\n') {
        if (l->n == LINE_LIMIT)
            return err_set(e, ERR_DATA, "line %zu: is longer than %d bytes", l->number + 1, LINE_LIMIT), -1;
        if (l->n >= l->capacity && mem_grow(&l->text, &l->capacity, l->n + 1, 1, "a line", e))
            return -1;
        l->text[l->n++] = (char)c;
    }
    if (ferror(l->f))
        return err_set(e, ERR_IO, "line %zu: read failed: %s", l->number + 1, strerror(errno)), -1;
    l->number++;
    return c != EOF || l->n;
}

struct conversation {
    const struct input *in;
    struct message m;
    double value_range;
    char id[128];
    int open; /* a session has begun */
};

static void stem_of(const char *path, char *out, size_t size)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    snprintf(out, size, "%s", strcmp(path, "-") ? name : "stdin");
    char *dot = strrchr(out, '.');
    if (dot && dot != out)
        *dot = 0;
}

/* Messages name the client's screen, which is not the size to work at: that is the model's. */
static int begin_session(struct conversation *c, struct batch *b, struct err *e)
{
    const struct spt *model = recon_model(b->recon);
    const struct message *m = &c->m;
    int started = m->type == MESSAGE_SESSION_START;
    struct session_info info = {.id = c->id,
                                .checkpoint_key = started ? m->checkpoint_key : "default",
                                .client_name = started ? m->client_name : "",
                                .W = model ? spt_config(model)->resolution[1] : 224,
                                .H = model ? spt_config(model)->resolution[0] : 224,
                                .screen_w = m->width,
                                .screen_h = m->height,
                                .sentinel = -999,
                                .value_range = 255,
                                .S = model ? spt_config(model)->max_state_dim : STATE_LIMIT,
                                .has_set = 1};
    c->value_range = started ? m->value_range : 255;
    int code = c->open ? batch_end(b, 1, e) : 0;
    c->open = 0;
    if (!code)
        code = batch_begin(b, &info, m->n ? m->n : 500, 1, e);
    c->open = !code;
    return code;
}

static int take_frame(struct conversation *c, struct batch *b, struct err *e)
{
    const struct message *m = &c->m;
    int code = c->open ? 0 : begin_session(c, b, e);
    if (code)
        return code;
    struct row *row = batch_row(b);
    size_t points = row->samples.capacity, values = points;
    code = mem_grow(&row->samples.uv, &points, m->n, 2 * sizeof(float), "samples", e);
    if (!code)
        code = mem_grow(&row->samples.value, &values, points, 1, "samples", e);
    if (!code)
        code = mem_grow(&row->state, &row->state_capacity, m->state_n, sizeof(float), "a state", e);
    if (code)
        return code;
    row->samples.capacity = points;
    row->samples.n = m->n;
    memcpy(row->samples.uv, m->uv, m->n * 2 * sizeof(float));
    memcpy(row->samples.value, m->value, m->n);
    row->state_n = m->state_n;
    if (m->state_n)
        memcpy(row->state, m->state, m->state_n * sizeof(float));
    row->frame_id = m->frame_id;
    row->timestamp = m->timestamp;
    row->set = m->set_id;
    return batch_push(b, e);
}

static int take_line(struct conversation *c, const struct lines *l, struct batch *b, struct err *e)
{
    const struct spt *model = recon_model(b->recon);
    if (strspn(l->text, " \t\r") >= l->n)
        return 0;
    int code = message_parse(&c->m, l->text, l->n, c->value_range, SAMPLE_LIMIT,
                             model ? spt_config(model)->max_state_dim : STATE_LIMIT, e);
    if (code)
        return err_prefix(e, "%s: line %zu: ", name_of(c->in), l->number);
    if (c->m.type == MESSAGE_SESSION_START)
        code = begin_session(c, b, e);
    else if (c->m.type == MESSAGE_FRAME_DATA || c->m.type == MESSAGE_FRAME_DATA_DEBUG)
        code = take_frame(c, b, e);
    return code;
}

static int run_messages(const struct input *in, struct batch *b, struct err *e)
{
    struct lines l = {.f = strcmp(in->path, "-") ? fopen(in->path, "r") : stdin};
    struct conversation c = {.in = in, .value_range = 255};
    if (!l.f)
        return err_set(e, ERR_NOINPUT, "%s: cannot open: %s", in->path, strerror(errno));
    stem_of(in->path, c.id, sizeof c.id);
    b->source = name_of(in);
    int code = 0, more = 0;
    while (!code && (more = next_line(&l, e)) > 0)
        code = take_line(&c, &l, b, e);
    if (more < 0)
        code = err_prefix(e, "%s: ", name_of(in));
    if (!code && c.open)
        code = batch_end(b, 1, e);
    if (l.f != stdin)
        fclose(l.f);
    free(l.text);
    message_release(&c.m);
    return code;
}

int input_run(struct input *in, struct batch *b, struct err *e)
{
    if (in->is_selection)
        return 0;
    return in->format == STREAM_NDJSON ? run_messages(in, b, e) : run_recording(in, b, e);
}
