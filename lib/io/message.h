/* NDJSON: one WebSocket message a line, exactly as the live protocol has it. */
#ifndef SGAPS_IO_MESSAGE_H
#define SGAPS_IO_MESSAGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum message_type {
    MESSAGE_SESSION_START,
    MESSAGE_FRAME_DATA,
    MESSAGE_FRAME_DATA_DEBUG,
    MESSAGE_HEARTBEAT,
    MESSAGE_OTHER
};

/* Which error of the live protocol a message that was refused is; message_fault_name gives its code. */
enum message_fault {
    MESSAGE_FAULT_NONE,
    MESSAGE_INVALID_JSON,
    MESSAGE_UNKNOWN_TYPE,
    MESSAGE_INVALID_FRAME_DATA,
    MESSAGE_INVALID_CHECKPOINT_KEY,
    MESSAGE_STATE_TOO_LONG,
    MESSAGE_UNKNOWN_SET
};
const char *message_fault_name(enum message_fault fault); /* "INVALID_JSON" ... */

struct message {
    enum message_type type;
    /* session_start */
    char checkpoint_key[65], client_name[128];
    uint32_t width, height; /* resolution of the message */
    double value_range;     /* 255 or 1 */
    int debug;
    int coordinates_array;       /* coordinate_format: 1 array, 0 objects, -1 not said */
    char resume[65], token[513]; /* "" when not there */
    /* frame_data */
    int64_t frame_id, set_id; /* set_id -1: none */
    double timestamp;         /* of a heartbeat too */
    size_t n, capacity;
    float *uv;      /* (n,2) */
    uint8_t *value; /* (n) scaled and rounded to 0..255 */
    size_t state_n, state_capacity;
    float *state;
    uint8_t *image; /* full_frame_base64 decoded, row 0 = top, or NULL */
    uint32_t image_w, image_h;
    size_t image_limit; /* the caller's, kept: pixels of a full frame; 0: 2^25 */
    enum message_fault
        fault; /* MESSAGE_FAULT_NONE when the message is a client's and sound, or memory is short */
};
/* Parses one line of len bytes (no line end). value_range of the session scales values. max_samples and max_state
 * bound what is taken. ERR_DATA names the field and the first offending index, and m->fault says which error of the
 * protocol it is; a text that is no JSON is MESSAGE_INVALID_JSON whatever else is wrong with it. A message of a type that
 * no client sends is no failure: type MESSAGE_OTHER, fault MESSAGE_UNKNOWN_TYPE. m is reused from line to line; what it
 * holds after a failure is of no use. */
int message_parse(struct message *m, const char *text, size_t len, double value_range, size_t max_samples,
                  size_t max_state, struct err *e);
void message_release(struct message *m);
/* 1 when text is one JSON value by RFC 8259 (as the config attribute of a file ought to be). */
int message_is_json(const char *text);

#endif
