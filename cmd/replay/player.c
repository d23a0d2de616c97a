/* The sessions. Open loop: frame k of a session is due at its start + k/fps, whatever came back, and latency counts from
 * when it was due. Lockstep: the next frame waits for the answer where one comes. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/message_binary.h"
#include "io/message_write.h"
#include "replay.h"
#include "sample/sample.h"

enum { SENT = 1024, PENDING = 64, AT_ONCE = 16 };
static const double ANSWER_S = 10;     /* an acknowledgement, or in lockstep a set, has to come within */
static const double LINGER_S = 1;      /* what still comes after the last frame */
static const double CONNECT_S = 0.002; /* between the first attempts */
static const double UP_S = 3, AGAIN_S = 0.1, START_S = 0.005;
static const size_t WAITING = (size_t)8
                              << 20; /* bytes that a server may leave unread before frames are left out */

enum player_state {
    PLAYER_IDLE,
    PLAYER_CONNECTING,
    PLAYER_STARTING,
    PLAYER_PLAYING,
    PLAYER_LAST,
    PLAYER_OVER
};

/* Coordinates, in force or on their way to be. */
struct set {
    float *uv;
    size_t n, capacity;
    int64_t id;
    size_t from; /* it serves from this frame on (lockstep) */
};

struct player {
    struct play *play;
    size_t i;
    const struct track *track;
    const char *key;
    enum player_state state;
    double start, since; /* of frame 0; of the state, or of the frame that is waited for */
    size_t sent, max_state;
    struct set sets[PENDING + 1]; /* sets[0] is in force */
    size_t set_count;
    struct {
        int64_t frame_id;
        double due;
    } ring[SENT]; /* frame k is at k % SENT */
    int begun, waits, bad;
};

static double frame_rate(const struct player *p)
{
    return p->play->o->fps > 0 ? p->play->o->fps : p->track->fps > 0 ? p->track->fps : 10;
}

/* Whether frame k is still to be played. */
static int wanted(const struct player *p, size_t k)
{
    const struct play_options *o = p->play->o;
    if (!o->count && !(o->duration > 0))
        return k < p->track->T;
    return (!o->count || k < o->count) && (!(o->duration > 0) || (double)k / frame_rate(p) < o->duration);
}

static void enter(struct player *p, enum player_state state)
{
    p->state = state;
    p->since = clock_seconds();
}

static void fail(struct player *p, const char *why)
{
    if (!p->bad++)
        log_warning("session %zu: %s", p->i, why);
}

static void part(struct player *p)
{
    enter(p, PLAYER_LAST);
    p->since = INFINITY; /* once */
    net_client_close(p->play->client, p->i, 1000);
}

/* --- a frame --- */

/* The recording goes round: numbers and times go on. */
static void take_columns(const struct player *p, size_t k, struct message *m)
{
    const struct track *t = p->track;
    size_t row = k % t->T, round = k / t->T;
    int64_t ids = t->frame_id[t->T - 1] - t->frame_id[0] + 1;
    double step =
        t->T > 1 ? (t->timestamp[t->T - 1] - t->timestamp[0]) / (double)(t->T - 1) : 1 / frame_rate(p);
    m->frame_id = t->frame_id[row] + (int64_t)round * ids;
    m->timestamp = t->timestamp[row] + (double)round * step * (double)t->T;
    m->state = t->state + row * t->S;
    m->state_n = t->S ? t->state_len[row] : 0;
    if (p->max_state && m->state_n > p->max_state)
        m->state_n = p->max_state;
}

/* The pixels of the full frame at the newest coordinates, or the samples that were recorded. */
static int take_samples(struct player *p, size_t k, struct message *m, struct err *e)
{
    struct play *play = p->play;
    const struct track *t = p->track;
    size_t row = k % t->T;
    m->set_id = -1;
    if (!t->has_frames) {
        m->n = t->offset[row + 1] - t->offset[row];
        m->uv = t->uv + 2 * t->offset[row];
        m->value = t->value + t->offset[row];
        return 0;
    }
    const struct set *set = &p->sets[0];
    if (mem_grow(&play->value, &play->value_capacity, set->n, 1, "samples", e))
        return e->code;
    const uint8_t *image = t->frames + row * t->W * t->H;
    sample_values(image, t->W, t->H, set->uv, set->n, play->value);
    m->n = set->n;
    m->uv = set->uv;
    m->value = play->value;
    m->set_id = set->id;
    if (play->o->debug) {
        m->image = (uint8_t *)image; /* only read */
        m->image_w = t->W;
        m->image_h = t->H;
    }
    return 0;
}

static int write_frame(struct player *p, size_t k, struct err *e)
{
    struct play *play = p->play;
    struct message *m = &play->frame;
    *m = (struct message){.width = p->track->screen_w, .height = p->track->screen_h};
    take_columns(p, k, m);
    int bad = take_samples(p, k, m, e);
    text_clear(&play->text);
    if (bad)
        return bad;
    if (!play->o->binary)
        return message_write_frame(&play->text, m, e);
    return message_write_frame_binary(&play->text, m, m->set_id >= 0 ? BINARY_OF_SET : BINARY_F32, e);
}

static void send_frame(struct player *p, double due)
{
    struct play *play = p->play;
    struct figures *f = &play->figures;
    struct err e = {0};
    size_t k = p->sent++;
    for (; p->set_count > 1 && p->sets[1].from <= k; p->set_count--) {
        struct set used = p->sets[0];
        memmove(p->sets, p->sets + 1, PENDING * sizeof *p->sets);
        p->sets[PENDING] = used;
    }
    p->ring[k % SENT].frame_id = -1;
    if (net_client_waiting(play->client, p->i) > WAITING) {
        f->unsent++;
        return;
    }
    if (write_frame(p, k, &e)) {
        fail(p, e.text);
        return;
    }
    p->ring[k % SENT].frame_id = play->frame.frame_id;
    p->ring[k % SENT].due = due;
    durations_add(&f->late, clock_seconds() - due);
    net_client_send(play->client, p->i, play->o->binary, play->text.at, play->text.n);
    f->frames++;
    f->bytes_up += play->text.n;
}

/* Sends what is due; when the next one is. */
static double play_on(struct player *p, double now)
{
    const struct play_options *o = p->play->o;
    while (p->state == PLAYER_PLAYING && !p->waits) {
        double due = p->start + (double)p->sent / frame_rate(p);
        if (!wanted(p, p->sent)) {
            enter(p, PLAYER_LAST);
            break;
        }
        if (o->lockstep)
            due = now = clock_seconds();
        if (due > now)
            return due;
        send_frame(p, due);
        if (o->lockstep && p->sent % o->lockstep == 0) {
            p->waits = 1;
            p->since = now;
        }
    }
    return now + 1;
}

/* --- what comes --- */

static void start_playing(struct player *p)
{
    struct play *play = p->play;
    /* Spread over one frame time, as clients that do not know of each other are. */
    double offset = (double)p->i / (double)play->o->sessions / frame_rate(p);
    enter(p, PLAYER_PLAYING);
    p->begun = 1;
    p->start = clock_seconds() + (play->o->lockstep ? 0 : offset);
    play_on(p, clock_seconds());
}

static void take_ack(struct player *p, const struct answer *a)
{
    struct figures *f = &p->play->figures;
    if (p->state != PLAYER_STARTING || p->max_state)
        return;
    f->acknowledged++;
    tally_add(&f->models, *a->model_version ? a->model_version : "?");
    p->max_state = a->max_state_dim ? (size_t)a->max_state_dim : SIZE_MAX;
    size_t keys = p->play->o->key_count ? p->play->o->key_count : 1;
    if (p->i < keys && !a->checkpoint_loaded && strcmp(a->checkpoint_key, "default"))
        log_warning("the server has no checkpoint of the key '%s': %s rebuilds instead", a->checkpoint_key,
                    a->model_version);
    log_note("session %zu: %s, key %s%s, model %s, %llu samples at %ux%u", p->i, a->session_id,
             a->checkpoint_key, a->checkpoint_loaded ? "" : " (not its own)", a->model_version,
             (unsigned long long)a->sample_count, a->width, a->height);
}

/* The frame that a set answers: its place in the order sent, and when it was due. */
static int answered(const struct player *p, int64_t frame_id, size_t *k, double *due)
{
    size_t oldest = p->sent > SENT ? p->sent - SENT : 0;
    for (size_t i = p->sent; i > oldest; i--)
        if (p->ring[(i - 1) % SENT].frame_id == frame_id) {
            *k = i - 1;
            *due = p->ring[(i - 1) % SENT].due;
            return 1;
        }
    return 0;
}

/* The place for a set that comes: in an open loop always the one in force. */
static struct set *next_set(struct player *p)
{
    if (!p->play->o->lockstep || !p->set_count)
        return &p->sets[0];
    return p->set_count <= PENDING ? &p->sets[p->set_count] : NULL;
}

static int read_set(struct set *s, int binary, const void *data, size_t n, int64_t *target, struct err *e)
{
    return binary ? message_parse_coordinates_binary(data, n, target, &s->id, &s->uv, &s->capacity, &s->n, e)
                  : message_parse_coordinates(data, n, target, &s->id, &s->uv, &s->capacity, &s->n, e);
}

static void take_set(struct player *p, int binary, const void *data, size_t n)
{
    struct play *play = p->play;
    struct figures *f = &play->figures;
    struct err e = {0};
    struct set *set = next_set(p);
    int64_t target;
    size_t k = 0;
    double due, now = clock_seconds();
    if (!set) {
        fail(p, "more sets than frames that could use them");
        return;
    }
    if (read_set(set, binary, data, n, &target, &e)) {
        fail(p, e.text);
        return;
    }
    f->bytes_down += n;
    if (!p->set_count) {
        p->set_count = 1;
        if (p->state == PLAYER_STARTING)
            start_playing(p);
        return;
    }
    f->coordinates++;
    if (answered(p, target - 1, &k, &due)) {
        durations_add(&f->latency, now - due);
        f->within += now - due <= 1 / frame_rate(p);
    }
    if (play->o->lockstep) {
        set->from = k + play->o->latency;
        p->set_count++;
        p->waits = 0;
        play_on(p, now);
    }
    if (p->state == PLAYER_LAST && k + 1 == p->sent)
        p->since -= LINGER_S; /* nothing more will come */
}

static void on_message(void *user, size_t i, int binary, const void *data, size_t n)
{
    struct play *play = user;
    struct player *p = &play->players[i];
    struct answer a;
    struct err e = {0};
    if (binary) {
        take_set(p, 1, data, n);
        return;
    }
    if (answer_parse(&a, data, n, &e)) {
        fail(p, e.text);
        return;
    }
    if (a.type == ANSWER_ACK)
        take_ack(p, &a);
    else if (a.type == ANSWER_COORDINATES)
        take_set(p, 0, data, n);
    else if (a.type == ANSWER_ERROR) {
        char why[sizeof a.code + sizeof a.text + 8];
        snprintf(why, sizeof why, "%s: %s", a.code, a.text);
        tally_add(&play->figures.errors, a.code);
        fail(p, why);
        if (p->state == PLAYER_STARTING)
            part(p);
    }
}

static void on_opened(void *user, size_t i)
{
    struct play *play = user;
    struct player *p = &play->players[i];
    struct message m = {.width = p->track->screen_w,
                        .height = p->track->screen_h,
                        .value_range = 255,
                        .debug = play->o->debug,
                        .coordinates_array = -1};
    snprintf(m.checkpoint_key, sizeof m.checkpoint_key, "%s", p->key);
    snprintf(m.client_name, sizeof m.client_name, "%s", play->o->client_name);
    text_clear(&play->text);
    message_write_session_start(&play->text, &m);
    enter(p, PLAYER_STARTING);
    net_client_send(play->client, i, 0, play->text.at, play->text.n);
}

/* A server that was started a moment ago, as in `sgaps-serve & sgaps-replay`. */
static int may_come_up(const struct player *p, int code, const char *reason)
{
    return p->state == PLAYER_CONNECTING && !code && reason && strstr(reason, "Unable to connect") &&
           clock_seconds() - p->play->figures.begun < UP_S;
}

static void on_closed(void *user, size_t i, int code, const char *reason)
{
    struct play *play = user;
    struct figures *f = &play->figures;
    struct player *p = &play->players[i];
    char text[160];
    if (may_come_up(p, code, reason)) {
        enter(p, PLAYER_IDLE);
        return;
    }
    snprintf(text, sizeof text, "%d", code);
    if (code)
        tally_add(&f->closes, text);
    f->refused += !p->begun;
    if (p->state < PLAYER_LAST) {
        if (code)
            snprintf(text, sizeof text, "was closed with %d", code);
        else
            snprintf(text, sizeof text, "cannot connect: %.100s", reason ? reason : "");
        fail(p, text);
    }
    f->failed += p->bad != 0;
    enter(p, PLAYER_OVER);
    if (++play->over == play->o->sessions)
        net_client_stop(play->client);
}

/* --- time --- */

static void check_patience(struct player *p, double now)
{
    int late = now - p->since > ANSWER_S;
    if (p->state == PLAYER_STARTING && late)
        fail(p, "was not acknowledged within 10 s");
    else if (p->state == PLAYER_PLAYING && p->waits && late)
        fail(p, "got no coordinates within 10 s (does --lockstep agree with mask_update.fixed_interval?)");
    else if (p->state != PLAYER_LAST || now - p->since < LINGER_S)
        return;
    part(p);
}

static double on_timer(void *user)
{
    struct play *play = user;
    double now = clock_seconds(), next = now + 0.25;
    for (size_t k = 0; k < AT_ONCE && play->connected < play->o->sessions; k++) {
        size_t i = play->connected++;
        enter(&play->players[i], PLAYER_CONNECTING);
        net_client_connect(play->client, i);
    }
    for (size_t i = 0; i < play->connected; i++) {
        struct player *p = &play->players[i];
        if (p->state < PLAYER_PLAYING && next > now + START_S)
            next = now + START_S; /* it may begin at any moment, and its first frames are due then */
        if (p->state == PLAYER_PLAYING && !p->waits) {
            double due = play_on(p, now);
            next = due < next ? due : next;
        }
        if (p->state == PLAYER_IDLE && now - p->since > AGAIN_S) {
            enter(p, PLAYER_CONNECTING);
            net_client_connect(play->client, i);
        } else if (p->state < PLAYER_OVER) {
            check_patience(p, now);
        }
    }
    progress_update(&play->progress, (double)play->figures.frames, NULL);
    if (play->connected < play->o->sessions && next > now + CONNECT_S)
        next = now + CONNECT_S;
    now = clock_seconds();
    return next > now ? next - now : 0;
}

/* --- all of them --- */

int play_open(struct play *p, const struct play_options *o, const struct film *film,
              const struct net_client_options *net, struct err *e)
{
    const struct net_client_handlers handlers = {p, on_opened, on_message, on_closed, on_timer};
    *p = (struct play){.o = o, .film = film};
    int bad = mem_alloc(&p->players, o->sessions, sizeof *p->players, "sessions", e);
    if (bad)
        return bad;
    for (size_t i = 0; i < o->sessions; i++) {
        const struct track *t = &film->tracks[i % film->n];
        p->players[i] = (struct player){.play = p,
                                        .i = i,
                                        .track = t,
                                        .key = o->key_count ? o->keys[i % o->key_count] : t->checkpoint_key};
    }
    p->figures.sessions = o->sessions;
    p->figures.fps = frame_rate(&p->players[0]);
    return net_client_open(&p->client, net, &handlers, e);
}

static double frames_of(const struct player *p)
{
    const struct play_options *o = p->play->o;
    double by_time = o->duration > 0 ? o->duration * frame_rate(p) : INFINITY;
    double by_count = o->count ? (double)o->count : o->duration > 0 ? INFINITY : (double)p->track->T;
    return fmin(by_time, by_count);
}

int play_run(struct play *p, struct err *e)
{
    double total = 0;
    for (size_t i = 0; i < p->o->sessions; i++)
        total += frames_of(&p->players[i]);
    progress_begin(&p->progress, "replay", "frames", total, p->o->quiet);
    p->figures.begun = clock_seconds();
    int bad = net_client_run(p->client, e);
    p->figures.ended = clock_seconds();
    progress_end(&p->progress);
    return bad;
}

void play_release(struct play *p)
{
    if (p->client)
        net_client_release(p->client);
    for (size_t i = 0; p->players && i < p->o->sessions; i++)
        for (size_t k = 0; k <= PENDING; k++)
            free(p->players[i].sets[k].uv);
    free(p->players);
    free(p->value);
    text_release(&p->text);
    figures_release(&p->figures);
}
