/* A dataset as a column of rows: read in blocks ahead where rows are asked for in order, written in blocks. The first
 * dimension counts rows, the others make a row's width. Private to lib/io. */
#ifndef SGAPS_IO_HDF5_COLUMN_H
#define SGAPS_IO_HDF5_COLUMN_H

#include "io/hdf5_util.h"

enum column_type { COLUMN_U8, COLUMN_U16, COLUMN_U64, COLUMN_I32, COLUMN_I64, COLUMN_F32, COLUMN_F64 };

hid_t column_memory_type(enum column_type type);
size_t column_type_size(enum column_type type);

struct column {
    hid_t id; /* <= 0: not there */
    enum column_type type;
    const char *name; /* for messages, kept by pointer */
    struct h5_shape shape;
    size_t rows, width, row_bytes;
    /* rows block_start .. block_start + block_rows - 1 lie in block */
    size_t block_start, block_rows, next;
    unsigned char *block;
};

/* Opens group/name if it is there (else c->id <= 0). rank: how many dimensions it must have. Integer types refuse
 * fractional data. Widths are bounded by 2^31 elements. */
int column_open(struct column *c, hid_t group, const char *name, enum column_type type, int rank,
                struct err *e);
/* Rows start .. start+n-1 to out, converted to the type. */
int column_read(struct column *c, size_t start, size_t n, void *out, struct err *e);
void column_close(struct column *c);

struct column_out {
    hid_t id; /* <= 0: not made */
    enum column_type type;
    const char *name;
    int rank;
    size_t shape[2]; /* of a row */
    size_t width, row_bytes;
    size_t rows;               /* in the file */
    size_t buffered, capacity; /* rows in the buffer, and room */
    unsigned char *buffer;
};

/* A dataset with unlimited rows and chunks of chunk_rows; gzip 1 when level1, after shuffle when asked. shape: the
 * row's dimensions (rank - 1 of them). */
int column_create(struct column_out *c, hid_t group, const char *name, enum column_type type, int rank,
                  const size_t *shape, size_t chunk_rows, int gzip, int shuffle, struct err *e);
int column_append(struct column_out *c, const void *rows, size_t n, struct err *e);
int column_flush(struct column_out *c, struct err *e);
/* The dataset is made one row longer without writing it; for a chunk that is copied as it is. */
int column_extend(struct column_out *c, struct err *e);
int column_end(struct column_out *c, struct err *e); /* flushes and closes */
void column_drop(struct column_out *c);              /* closes, what is buffered is lost */

#endif
