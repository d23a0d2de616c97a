/* The parts of sgaps-reconstruct: inputs give rows, the batch turns them into frames, the sink writes them. */
#ifndef SGAPS_CMD_RECONSTRUCT_H
#define SGAPS_CMD_RECONSTRUCT_H

#include <stddef.h>
#include <stdint.h>

#include "base/atomic_file.h"
#include "base/err.h"
#include "cli/progress.h"
#include "io/recording.h"
#include "io/selection.h"
#include "io/stream.h"
#include "recon/recon.h"
#include "view/screen.h"
#include "view/sheet.h"

/* --- show.c --- */

/* Frames to look at, on a terminal as fast as the recording was made and no faster. */
struct show {
    struct screen screen;
    struct out_stream out;
    int open;
    double step, next; /* seconds between frames, 0: as they come; when the next one is due */
};
int show_open(struct show *s, const char *path, struct err *e);
void show_begin(struct show *s, double fps);
int show_frame(struct show *s, const struct image *p, struct err *e);
int show_close(struct show *s, struct err *e);
void show_abandon(struct show *s);

/* --- sink.c --- */

struct sink {
    enum stream_format format; /* HDF5, Y4M, PGM, PNG; with a map HDF5, PNG */
    int sixel;                 /* shown instead, whatever format says */
    const char *path;
    int f32; /* HDF5: the network's raw output */
    enum recon_importance importance;
    struct recording_meta meta;
    /* its own */
    struct recording_writer *writer;
    struct frame_output *film;
    struct show show;
    struct sheet sheet; /* of pictures with their maps */
    uint32_t W, H, map_w, map_h;
    uint8_t *bytes;
    size_t capacity;
};
int sink_open(struct sink *s, struct err *e);
/* info has the size of the frames to come and of the map. */
int sink_begin(struct sink *s, const struct session_info *info, struct err *e);
/* row: all but the picture and the map. flush: somebody may be watching. */
int sink_write(struct sink *s, const struct frame *row, const float *picture, const float *map, int flush,
               struct err *e);
int sink_end(struct sink *s, int closed, struct err *e);
int sink_close(struct sink *s, struct err *e);
void sink_abandon(struct sink *s);

/* --- batch.c --- */

struct row {
    int64_t frame_id, set;
    double timestamp, recv_time;
    struct samples samples;
    float *state;
    size_t state_n, state_capacity;
};

struct batch {
    struct recon *recon;
    struct sink *sink;
    struct progress progress;
    uint32_t size[2];   /* --size, or 0 */
    const char *source; /* the input's name, for messages */
    struct selections selections;
    /* of the session */
    struct session_info info;
    int live; /* every frame at once */
    /* its own */
    struct row *rows;
    struct recon_frame *frames;
    size_t limit, n, row_capacity, frame_capacity;
    float *pictures, *maps;
    size_t picture_capacity, map_capacity;
    size_t done, left_out;
};
/* A session of frames like info's with about n samples each. */
int batch_begin(struct batch *b, const struct session_info *info, size_t n, int live, struct err *e);
/* The row to fill next; batch_push takes it, and runs the network when there are enough. A row without samples is
 * left out and counted. */
struct row *batch_row(struct batch *b);
int batch_push(struct batch *b, struct err *e);
int batch_end(struct batch *b, int closed, struct err *e);
void batch_release(struct batch *b);

/* --- inputs.c --- */

struct input {
    const char *path;
    enum stream_format format;   /* HDF5 or NDJSON */
    int is_selection;            /* of sgaps-clean: says which rows of the others count */
    struct recording *recording; /* standard input, which opens once */
};
/* Tells the formats apart by the first byte, which stays in the stream. */
int input_probe(struct input *in, struct err *e);
int input_open_recording(struct input *in, struct err *e);
void input_close(struct input *in);
int input_run(struct input *in, struct batch *b, struct err *e);

#endif
