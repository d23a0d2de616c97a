/* The live protocol's messages as JSON text, both directions (sgaps-protocol(7)), appended to t. */
#ifndef SGAPS_IO_MESSAGE_WRITE_H
#define SGAPS_IO_MESSAGE_WRITE_H

#include <stddef.h>
#include <stdint.h>

#include "base/text.h"
#include "io/message.h"

/* server to client */
struct session_ack {
    const char *checkpoint_key, *model_version, *session_id;
    int checkpoint_loaded, debug_mode;
    uint64_t sample_count, max_state_dim;
    double target_fps, sentinel;
    uint32_t width, height; /* of the reconstruction */
};
void message_write_ack(struct text *t, const struct session_ack *a);
/* array: [[u,v],...] instead of [{"u":..,"v":..},...] */
void message_write_coordinates(struct text *t, int64_t target_frame_id, int64_t set_id, const float *uv,
                               size_t n, int array);
void message_write_heartbeat_ack(struct text *t, double unix_time);
/* details: JSON or NULL */
void message_write_error(struct text *t, const char *code, const char *message, const char *details);

/* client to server */
void message_write_session_start(struct text *t, const struct message *m);
/* frame_data, or frame_data_debug when m->image is set (PNG, bottom row first). Floats read back as the same bits. */
int message_write_frame(struct text *t, const struct message *m, struct err *e);

#endif
