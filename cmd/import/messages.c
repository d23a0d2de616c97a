/* NDJSON: read twice, first for what the sessions hold, then for their frames. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "import.h"
#include "io/message.h"
#include "io/message_answer.h"

enum { SAMPLES = 1 << 24, STATE = 65535 };
static const size_t LINE_LIMIT = (size_t)1 << 28;

/* What the first pass learns of one session. */
struct plan {
    struct session_info info;
    char *key, *client;
    uint32_t width, height; /* of the client's messages: its screen */
    uint32_t ack_w, ack_h;  /* what the server said it rebuilds, where the capture has its answers too */
    double ack_fps;
    uint32_t image_w, image_h;
};

struct replay {
    struct job *job;
    const char *shown;
    FILE *f;
    char *line;
    size_t room, number; /* of the line, from 1 */
    struct message message;
    struct plan *plan;
    size_t plans, plan_room;
    double value_range;
};

/* 1: a message; 0: the end; -1: an error. Empty lines are passed over. */
static int next_message(struct replay *r, struct err *e)
{
    for (;;) {
        ssize_t n = getline(&r->line, &r->room, r->f);
        r->number++;
        if (n < 0 && ferror(r->f)) {
            err_set(e, ERR_IO, "%s: read failed: %s", r->shown, strerror(errno));
            return -1;
        }
        if (n < 0)
            return 0;
        if ((size_t)n > LINE_LIMIT) {
            err_set(e, ERR_DATA, "%s: line %zu: is longer than %zu bytes", r->shown, r->number, LINE_LIMIT);
            return -1;
        }
        while (n > 0 && strchr(" \t\r\n", r->line[n - 1]) && r->line[n - 1])
            n--;
        if (!n)
            continue;
        if (message_parse(&r->message, r->line, (size_t)n, r->value_range, SAMPLES, STATE, e)) {
            err_prefix(e, "%s: line %zu: ", r->shown, r->number);
            return -1;
        }
        return 1;
    }
}

static int is_frame(const struct message *m)
{
    return m->type == MESSAGE_FRAME_DATA || m->type == MESSAGE_FRAME_DATA_DEBUG;
}

/* --- the first pass --- */

static int add_plan(struct replay *r, struct err *e)
{
    int bad = mem_grow(&r->plan, &r->plan_room, r->plans + 1, sizeof *r->plan, "sessions", e);
    if (bad)
        return bad;
    struct plan *p = &r->plan[r->plans++];
    *p = (struct plan){.info = {.sentinel = -999, .value_range = 255, .has_samples = 1}};
    return 0;
}

static int plan_start(struct replay *r, struct err *e)
{
    const struct message *m = &r->message;
    int bad = add_plan(r, e);
    if (bad)
        return bad;
    struct plan *p = &r->plan[r->plans - 1];
    p->width = m->width;
    p->height = m->height;
    p->info.value_range = r->value_range = m->value_range;
    bad = mem_string(&p->key, m->checkpoint_key, e);
    return bad ? bad : mem_string(&p->client, m->client_name, e);
}

static int plan_frame(struct replay *r, struct err *e)
{
    const struct message *m = &r->message;
    int bad = r->plans ? 0 : add_plan(r, e); /* a capture that began in the middle */
    if (bad)
        return bad;
    struct plan *p = &r->plan[r->plans - 1];
    p->info.T++;
    p->info.S = m->state_n > p->info.S ? m->state_n : p->info.S;
    p->info.has_set |= m->set_id >= 0;
    if (m->width) {
        p->width = m->width;
        p->height = m->height;
    }
    if (!m->image)
        return 0;
    p->info.has_frames = 1;
    if (!p->image_w) {
        p->image_w = m->image_w;
        p->image_h = m->image_h;
    }
    if (!r->job->size[0] && (p->image_w != m->image_w || p->image_h != m->image_h))
        return err_set(e, ERR_DATA, "%s: line %zu: full_frame_base64: is %ux%u, earlier ones %ux%u", r->shown,
                       r->number, m->image_w, m->image_h, p->image_w, p->image_h);
    return 0;
}

static void plan_answer(struct replay *r)
{
    struct answer a;
    if (!r->plans || answer_parse(&a, r->line, strlen(r->line), NULL) || a.type != ANSWER_ACK) {
        log_debug("%s: line %zu: no message of a client, passed over", r->shown, r->number);
        return;
    }
    struct plan *p = &r->plan[r->plans - 1];
    p->ack_w = a.width;
    p->ack_h = a.height;
    p->ack_fps = a.target_fps > 0 && a.target_fps < 1e6 ? a.target_fps : 0;
}

/* The frames' size: --size, else that of the pictures, else of what the server rebuilt, else the client's resolution. */
static int settle(const struct replay *r, struct plan *p, struct err *e)
{
    struct session_info *s = &p->info;
    const uint32_t *size = r->job->size;
    s->W = size[0] ? size[0] : p->image_w ? p->image_w : p->ack_w ? p->ack_w : p->width;
    s->H = size[1] ? size[1] : p->image_h ? p->image_h : p->ack_h ? p->ack_h : p->height;
    if (!s->W || !s->H)
        return err_set(e, ERR_DATA, "%s: no message names a resolution: give it with --size", r->shown);
    if (p->width != s->W || p->height != s->H) {
        s->screen_w = p->width;
        s->screen_h = p->height;
    }
    s->fps = (r->job->fps > 0 ? r->job->fps : p->ack_fps) / (double)r->job->stride;
    s->checkpoint_key = r->job->key ? r->job->key : p->key;
    s->client_name = p->client;
    return 0;
}

static int make_plans(struct replay *r, struct err *e)
{
    int more, bad = 0;
    size_t frames = 0;
    while (!bad && (more = next_message(r, e)) != 0) {
        if (more < 0)
            return e->code;
        if (r->message.type == MESSAGE_SESSION_START)
            bad = plan_start(r, e);
        else if (is_frame(&r->message))
            bad = plan_frame(r, e);
        else if (r->message.type == MESSAGE_OTHER)
            plan_answer(r);
    }
    for (size_t i = 0; i < r->plans && !bad; i++) {
        frames += r->plan[i].info.T;
        bad = r->plan[i].info.T ? settle(r, &r->plan[i], e) : 0;
    }
    return bad || frames ? bad : err_set(e, ERR_DATA, "%s: holds no frame_data message", r->shown);
}

/* --- the second pass --- */

static int append(struct replay *r, const struct plan *p, uint8_t *scaled, struct err *e)
{
    const struct message *m = &r->message;
    struct frame f = {.frame_id = m->frame_id,
                      .timestamp = m->timestamp,
                      .state = m->state,
                      .state_n = m->state_n,
                      .samples_n = m->n,
                      .uv = m->uv,
                      .value = m->value,
                      .set = m->set_id};
    if (m->image)
        f.image = job_scale(&p->info, m->image, m->image_w, m->image_h, scaled);
    job_count(r->job);
    return recording_append(r->job->w, &f, e);
}

/* The frames of one session, from where the file stands to the next session_start. */
static int write_session(struct replay *r, struct plan *p, struct err *e)
{
    uint8_t *scaled = NULL;
    size_t t = 0;
    int more = 1, bad = mem_alloc(&scaled, (size_t)p->info.W * p->info.H, 1, "a frame", e);
    r->value_range = p->info.value_range;
    bad = bad ? bad : job_begin(r->job, &p->info, NULL, e);
    while (!bad && t < p->info.T && (more = next_message(r, e)) > 0)
        if (is_frame(&r->message) && t++ % (size_t)r->job->stride == 0)
            bad = append(r, p, scaled, e);
    free(scaled);
    if (more < 0)
        return e->code;
    return bad ? bad : recording_end(r->job->w, 1, e);
}

int import_messages(struct job *job, const char *path, const char *shown, struct err *e)
{
    struct replay r = {.job = job, .shown = shown, .value_range = 255};
    char id[256];
    job_session_id(job, strcmp(shown, "standard input") ? shown : "-", id, sizeof id);
    if (job->state_path)
        return err_set(e, ERR_USAGE, "--state: is for films, messages carry their own state");
    r.f = fopen(path, "rb");
    if (!r.f)
        return err_set(e, ERR_NOINPUT, "%s: cannot open: %s", shown, strerror(errno));
    int bad = make_plans(&r, e);
    rewind(r.f);
    r.number = 0;
    for (size_t i = 0; i < r.plans && !bad; i++) {
        r.plan[i].info.id = id;
        if (r.plan[i].info.T)
            bad = write_session(&r, &r.plan[i], e);
    }
    for (size_t i = 0; i < r.plans; i++) {
        free(r.plan[i].key);
        free(r.plan[i].client);
    }
    free(r.plan);
    free(r.line);
    message_release(&r.message);
    fclose(r.f);
    return bad;
}
