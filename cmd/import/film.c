/* Films: Y4M and PGM streams, PNG files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "import.h"

static const float SENTINEL = -999;

/* Where the frames come from. */
struct film {
    struct frame_input *stream; /* or */
    const char *const *names;
    size_t n; /* of names; 1 may be a pattern */
    int pattern;
    size_t at; /* of the next file */
    char file[4096];
    uint32_t W, H; /* of the frame in pixels */
    double fps;
    uint8_t *pixels;
};

/* One %d with zeros and a width, as frame_output takes it. */
static int is_pattern(const char *name)
{
    const char *p = strchr(name, '%');
    if (!p || access(name, F_OK) == 0)
        return 0;
    p += 1 + strspn(p + 1, "0123456789");
    return *p == 'd' && !strchr(p, '%');
}

static void numbered(const char *pattern, size_t number, char *out, size_t size)
{
    const char *p = strchr(pattern, '%');
    int zero = p[1] == '0', width = atoi(p + 1 + zero);
    const char *rest = strchr(p, 'd') + 1;
    if (width > 20)
        width = 20;
    snprintf(out, size, zero ? "%.*s%0*zu%s" : "%.*s%*zu%s", (int)(p - pattern), pattern, width, number,
             rest);
}

/* A pattern's first file is number 0 or 1. */
static int first_of_pattern(struct film *f, struct err *e)
{
    for (f->at = 0; f->at < 2; f->at++) {
        numbered(f->names[0], f->at, f->file, sizeof f->file);
        if (!access(f->file, F_OK))
            return 0;
    }
    return err_set(e, ERR_NOINPUT, "%s: no file number 0 or 1 of this pattern", f->names[0]);
}

static int next_png(struct film *f, struct err *e)
{
    if (f->pattern)
        numbered(f->names[0], f->at, f->file, sizeof f->file);
    else if (f->at < f->n)
        snprintf(f->file, sizeof f->file, "%s", f->names[f->at]);
    else
        return 0;
    if (f->pattern && access(f->file, F_OK))
        return 0;
    f->at++;
    free(f->pixels);
    f->pixels = NULL;
    return png_read(f->file, &f->pixels, &f->W, &f->H, e) ? -1 : 1;
}

/* 1: a frame is in f->pixels; 0: the end; -1: an error. */
static int next_frame(struct film *f, struct err *e)
{
    return f->stream ? frame_input_read(f->stream, f->pixels, e) : next_png(f, e);
}

static int film_open(struct film *f, struct peek_file *stream, const char *const *names, size_t n,
                     struct err *e)
{
    *f = (struct film){.names = names, .n = n};
    if (!stream) {
        f->pattern = n == 1 && is_pattern(names[0]);
        return f->pattern ? first_of_pattern(f, e) : 0;
    }
    int bad = frame_input_open(&f->stream, stream, e);
    if (bad)
        return bad;
    frame_input_size(f->stream, &f->W, &f->H, &f->fps);
    return mem_alloc(&f->pixels, (size_t)f->W * f->H, 1, "a frame", e);
}

static void film_close(struct film *f)
{
    frame_input_close(f->stream);
    free(f->pixels);
}

static int append(struct job *job, const struct session_info *info, const struct state_table *table,
                  const struct film *film, size_t t, uint8_t *scaled, struct err *e)
{
    struct frame frame = {.frame_id = (int64_t)t, .timestamp = (double)t / film->fps};
    if (table->rows && t >= table->rows)
        return err_set(e, ERR_DATA, "%s: has %zu rows, the film more frames", table->path, table->rows);
    if (table->rows) {
        frame.state = table->value + t * table->columns;
        frame.state_n = table->columns;
    }
    if (table->frame_id)
        frame.frame_id = (int64_t)table->frame_id[t];
    if (table->timestamp)
        frame.timestamp = table->timestamp[t];
    if (!job->size[0] && (film->W != info->W || film->H != info->H))
        return err_set(e, ERR_DATA, "%s: is %ux%u, the first frame %ux%u (--size %ux%u makes them alike)",
                       film->file, film->W, film->H, info->W, info->H, info->W, info->H);
    frame.image = job_scale(info, film->pixels, film->W, film->H, scaled);
    return recording_append(job->w, &frame, e);
}

static int copy_film(struct job *job, struct film *film, struct session_info *info,
                     const struct state_table *table, const char *name, struct err *e)
{
    uint8_t *scaled = NULL;
    size_t t = 0;
    int more = next_frame(film, e);
    if (more == 0)
        return err_set(e, ERR_DATA, "%s: holds no frame", name);
    if (more < 0)
        return e->code;
    info->W = job->size[0] ? job->size[0] : film->W;
    info->H = job->size[1] ? job->size[1] : film->H;
    int bad = mem_alloc(&scaled, (size_t)info->W * info->H, 1, "a frame", e);
    bad = bad ? bad : job_begin(job, info, NULL, e);
    for (; !bad && more > 0; t++) {
        if (t % (size_t)job->stride == 0) {
            bad = append(job, info, table, film, t, scaled, e);
            job_count(job);
        }
        more = bad ? 0 : next_frame(film, e);
    }
    free(scaled);
    if (more < 0)
        bad = e->code;
    if (!bad && table->rows > t)
        bad = err_set(e, ERR_DATA, "%s: has %zu rows, the film %zu frames", table->path, table->rows, t);
    return bad ? bad : recording_end(job->w, 1, e);
}

int import_film(struct job *job, struct peek_file *stream, const char *const *names, size_t n, struct err *e)
{
    struct film film;
    struct state_table table = {0};
    char id[256];
    job_session_id(job, names[0], id, sizeof id);
    struct session_info info = {
        .id = id, .checkpoint_key = job->key, .sentinel = SENTINEL, .value_range = 255, .has_frames = 1};
    int bad = film_open(&film, stream, names, n, e);
    if (!bad && job->state_path)
        bad = state_table_read(&table, job->state_path, SENTINEL, e);
    if (!bad) {
        film.fps = job->fps > 0 ? job->fps : film.fps > 0 ? film.fps : RECORDING_USUAL_FPS;
        info.fps = film.fps / (double)job->stride;
        info.S = table.columns;
        info.state_names = (const char *const *)table.names;
        info.state_name_count = table.names ? table.columns : 0;
        bad = copy_film(job, &film, &info, &table, !strcmp(names[0], "-") ? "standard input" : names[0], e);
    }
    state_table_release(&table);
    film_close(&film);
    return bad;
}
