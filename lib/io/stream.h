/* Dense frames as streams: YUV4MPEG2, concatenated PGM (P5), PNG files. One frame in memory. 8-bit grey, row 0 = top.
 * Formats are recognised by their first bytes; colour input (Y4M C420/422/444: its Y plane; PNG: luma) becomes grey. */
#ifndef SGAPS_IO_STREAM_H
#define SGAPS_IO_STREAM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "base/text.h"

enum stream_format {
    STREAM_Y4M,
    STREAM_PGM,
    STREAM_PNG,
    STREAM_NDJSON,
    STREAM_HDF5,
    STREAM_JOURNAL,
    STREAM_UNKNOWN
};

/* Looks at the first bytes without consuming them (up to 16 are put back through the struct peeked file). */
struct peek_file {
    FILE *f;
    const char *name;
    unsigned char head[16];
    size_t head_n, head_at;
};
int peek_open(struct peek_file *p, const char *path, struct err *e); /* "-": stdin */
size_t peek_read(struct peek_file *p, void *out, size_t n);
void peek_close(struct peek_file *p);
enum stream_format peek_format(const struct peek_file *p);

struct frame_input;
/* Y4M, PGM or PNG, one frame after the other. Takes over p. Limits: sides 1..16384. */
int frame_input_open(struct frame_input **in, struct peek_file *p, struct err *e);
void frame_input_size(const struct frame_input *in, uint32_t *W, uint32_t *H,
                      double *fps); /* fps 0: not said */
/* 1: a frame is in out (W*H); 0: the end; -1: error in e (a truncated frame is ERR_DATA). */
int frame_input_read(struct frame_input *in, uint8_t *out, struct err *e);
void frame_input_close(struct frame_input *in);

struct frame_output;
/* Y4M or PGM to path or "-"; PNG: path is a printf pattern with one %d or, for a single frame, a plain name. */
int frame_output_open(struct frame_output **out, enum stream_format format, const char *path, uint32_t W,
                      uint32_t H, double fps, struct err *e);
/* PNG: frames are RGB (H,W,3) from now on. */
void frame_output_set_colour(struct frame_output *out);
int frame_output_write(struct frame_output *out, const uint8_t *frame, struct err *e);
int frame_output_close(struct frame_output *out, struct err *e);
void frame_output_abandon(struct frame_output *out);

/* One PNG: 8-bit grey (channels 1) or RGB (channels 3), written atomically. Reading gives grey, or RGB. */
int png_write(const char *path, const uint8_t *pixels, uint32_t W, uint32_t H, int channels, struct err *e);
/* Appended to out, packed for speed: (H,W) 8-bit grey, or numbers of colours in a palette. */
int png_encode(struct text *out, const uint8_t *pixels, uint32_t W, uint32_t H, const uint8_t palette[256][3],
               struct err *e);
int png_read(const char *path, uint8_t **pixels, uint32_t *W, uint32_t *H, struct err *e);
/* From where f stands; name is for messages. */
int png_read_rgb(FILE *f, const char *name, uint8_t **pixels, uint32_t *W, uint32_t *H, struct err *e);

#endif
