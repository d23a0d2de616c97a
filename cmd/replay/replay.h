/* sgaps-replay's parts: the recording in memory (film.c), the sessions that play it (player.c), what came of it
 * (figures.c). */
#ifndef SGAPS_REPLAY_H
#define SGAPS_REPLAY_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/text.h"
#include "cli/progress.h"
#include "io/message.h"
#include "io/message_answer.h"
#include "io/recording.h"
#include "live/net_client.h"

/* --- film --- */

/* One recorded session, its rows in memory so that a hundred sessions can play it at once. */
struct track {
    char *checkpoint_key;
    uint32_t W, H, screen_w, screen_h;
    double fps;
    float sentinel;
    int has_frames; /* else each row has the samples that were recorded */
    size_t T, S;
    int64_t *frame_id;
    double *timestamp;
    float *state; /* (T,S) */
    uint16_t *state_len;
    uint8_t *frames; /* (T,H,W) */
    size_t *offset;  /* (T+1) into uv and value */
    float *uv;
    size_t uv_capacity, value_capacity;
    uint8_t *value;
};

struct film {
    struct track *tracks;
    size_t n;
};
/* Rows beyond a limit of memory are left out, which is said. */
int film_open(struct film *f, const char *path, struct err *e);
void film_release(struct film *f);

/* --- figures --- */

enum { TALLIES = 64 };

/* How often each name came: error codes, close codes, model versions. */
struct tally {
    struct {
        char name[128];
        size_t count;
    } row[TALLIES];
    size_t n;
};
void tally_add(struct tally *t, const char *name);

/* Durations in seconds, all of them. */
struct durations {
    float *at;
    size_t n, capacity;
};

struct figures {
    size_t sessions, acknowledged, failed, refused; /* refused: closed before they were acknowledged */
    size_t frames, unsent;                          /* unsent: too much was waiting for the server to read */
    size_t coordinates, within;                     /* sets after the first; those within a frame time */
    size_t bytes_up, bytes_down;                    /* of frames and of sets, without WebSocket's own */
    struct durations latency, late;                 /* due to set received; due to sent */
    struct tally errors, closes, models;
    double fps, begun, ended;
};
void durations_add(struct durations *d, double seconds);
void figures_text(struct figures *f, FILE *out);
void figures_json(struct figures *f, FILE *out);
void figures_release(struct figures *f);

/* --- player --- */

struct play_options {
    size_t sessions;
    double fps;      /* 0: the recording's */
    double duration; /* seconds a session; 0: no limit */
    size_t count;    /* frames a session; 0: no limit; neither: the recording once */
    size_t lockstep; /* every how many frames the server answers; 0: open loop */
    size_t latency;  /* lockstep: a set serves from this many frames after the one it was computed from */
    int binary, debug, quiet;
    const char *client_name;
    const char *const *keys;
    size_t key_count; /* 0: the recording's */
};

struct play {
    const struct play_options *o;
    const struct film *film;
    struct net_client *client;
    struct figures figures;
    struct progress progress;
    struct player *players;
    size_t connected, over; /* players begun, and done with */
    struct text text;       /* the message being written */
    struct message frame;
    uint8_t *value; /* room for the samples of a frame */
    size_t value_capacity;
};
/* The connections are made when the client runs; everything happens in its callbacks. */
int play_open(struct play *p, const struct play_options *o, const struct film *film,
              const struct net_client_options *net, struct err *e);
int play_run(struct play *p, struct err *e);
void play_release(struct play *p);

#endif
