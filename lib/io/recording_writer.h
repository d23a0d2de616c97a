/* Inside of struct recording_writer. Private to lib/io. */
#ifndef SGAPS_IO_RECORDING_WRITER_H
#define SGAPS_IO_RECORDING_WRITER_H

#include <openssl/evp.h>

#include "base/atomic_file.h"
#include "io/recording_private.h"
#include "io/spool.h"

/* The session being written; id NULL: none. */
struct session_out {
    struct session_info info;
    char *id;
    hid_t group, samples;
    struct column_out column[COLUMNS];
    size_t T, K;
    uint64_t M;
    float *padded;       /* a state row */
    uint64_t *frame_row; /* K */
    size_t frame_rows;
    unsigned char *chunk; /* recording_append_from: a compressed frame */
    size_t chunk_capacity;
};

struct recording_writer {
    char *path, *shown;
    const char *target; /* what HDF5 writes to: the part or the spool file */
    struct atomic_file output;
    struct spool spool;
    hid_t file, sessions, clean;
    EVP_MD_CTX *content; /* no_history: SHA-256 of all that was appended */
    struct session_out session;
};

void recording_digest(struct recording_writer *w, const void *data, size_t n);
/* The row being written has a full frame. */
int recording_note_image(struct recording_writer *w, struct err *e);

#endif
