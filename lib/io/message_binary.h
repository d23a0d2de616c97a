/* The binary subprotocol sgaps.v1.bin: frames and coordinates, little-endian, 8-aligned, behind a 40-byte header; the
 * control messages stay JSON text. Byte by byte in sgaps-protocol(7). */
#ifndef SGAPS_IO_MESSAGE_BINARY_H
#define SGAPS_IO_MESSAGE_BINARY_H

#include "base/text.h"
#include "io/message.h"

/* The coordinates (n,2) of set `set_id` of the session, or NULL when it is not known (any more). */
typedef const float *(*message_set_fn)(void *user, int64_t set_id, size_t *n);

/* A frame from a client. The same frame in JSON and in f32 binary gives the same bits in m. On failure m->fault says which
 * error of the protocol it is (MESSAGE_UNKNOWN_SET too). */
int message_parse_binary(struct message *m, const void *data, size_t n, double value_range,
                         size_t max_samples, size_t max_state, message_set_fn sets, void *user,
                         struct err *e);

enum binary_coordinates { BINARY_OF_SET, BINARY_U16, BINARY_F32 };
/* With m->image as PNG behind it. ERR_DATA for more than 65535 samples or state values. */
int message_write_frame_binary(struct text *t, const struct message *m, enum binary_coordinates kind,
                               struct err *e);
/* Coordinates go as u16: rounded to 1/65535, which is 0.03 pixels on a screen of 4096. */
void message_write_coordinates_binary(struct text *t, int64_t target_frame_id, int64_t set_id,
                                      const float *uv, size_t n);

/* What a client reads: coordinates from either form. uv (2n) grows, *capacity in floats. */
int message_parse_coordinates(const char *text, size_t len, int64_t *target_frame_id, int64_t *set_id,
                              float **uv, size_t *capacity, size_t *n, struct err *e);
int message_parse_coordinates_binary(const void *data, size_t size, int64_t *target_frame_id, int64_t *set_id,
                                     float **uv, size_t *capacity, size_t *n, struct err *e);

#endif
