#include "io/hdf5_column.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* One read of this size costs little more than one of a row. */
enum { BLOCK_BYTES = 64 << 10, BUFFER_BYTES = 256 << 10 };
static const size_t WIDTH_LIMIT = (size_t)1 << 31;

hid_t column_memory_type(enum column_type type)
{
    switch (type) {
    case COLUMN_U8:
        return H5T_NATIVE_UINT8;
    case COLUMN_U16:
        return H5T_NATIVE_UINT16;
    case COLUMN_U64:
        return H5T_NATIVE_UINT64;
    case COLUMN_I32:
        return H5T_NATIVE_INT32;
    case COLUMN_I64:
        return H5T_NATIVE_INT64;
    case COLUMN_F32:
        return H5T_NATIVE_FLOAT;
    case COLUMN_F64:
        break;
    }
    return H5T_NATIVE_DOUBLE;
}

static hid_t file_type(enum column_type type)
{
    switch (type) {
    case COLUMN_U8:
        return H5T_STD_U8LE;
    case COLUMN_U16:
        return H5T_STD_U16LE;
    case COLUMN_U64:
        return H5T_STD_U64LE;
    case COLUMN_I32:
        return H5T_STD_I32LE;
    case COLUMN_I64:
        return H5T_STD_I64LE;
    case COLUMN_F32:
        return H5T_IEEE_F32LE;
    case COLUMN_F64:
        break;
    }
    return H5T_IEEE_F64LE;
}

size_t column_type_size(enum column_type type)
{
    static const size_t size[] = {1, 2, 8, 4, 8, 4, 8};
    return size[type];
}

/* --- reading --- */

int column_open(struct column *c, hid_t group, const char *name, enum column_type type, int rank,
                struct err *e)
{
    *c = (struct column){.type = type, .name = name};
    enum h5_class cls = type == COLUMN_F32 || type == COLUMN_F64 ? H5_NUMBER : H5_INTEGER;
    int r = h5_dataset(&c->id, &c->shape, group, name, cls, e);
    if (r || c->id < 0)
        return r;
    if (c->shape.dims != rank)
        r = err_set(e, ERR_DATA, "%s: has %d dimensions, expected %d", name, c->shape.dims, rank);
    c->width = 1;
    for (int i = 1; i < rank && !r; i++)
        if (mem_multiply(c->width, c->shape.size[i], &c->width) || c->width > WIDTH_LIMIT)
            r = err_set(e, ERR_DATA, "%s: its rows are too wide", name);
    c->rows = c->shape.size[0];
    c->row_bytes = c->width * column_type_size(type);
    if (r)
        column_close(c);
    return r;
}

/* Selects rows start.. of a dataset's space and makes the memory space beside it. */
static int select_rows(hid_t space, int rank, const hsize_t *dims, size_t start, size_t n, hid_t *memory)
{
    hsize_t from[H5_DIMS] = {start}, count[H5_DIMS] = {n};
    for (int i = 1; i < rank; i++)
        count[i] = dims[i];
    *memory = H5Screate_simple(rank, count, NULL);
    return H5Sselect_hyperslab(space, H5S_SELECT_SET, from, NULL, count, NULL) < 0 || *memory < 0;
}

static int read_rows(struct column *c, size_t start, size_t n, void *out, struct err *e)
{
    hsize_t dims[H5_DIMS] = {0};
    for (int i = 0; i < c->shape.dims; i++)
        dims[i] = c->shape.size[i];
    hid_t memory = -1, space = H5Dget_space(c->id);
    int bad = select_rows(space, c->shape.dims, dims, start, n, &memory) ||
              h5_failed(H5Dread(c->id, column_memory_type(c->type), memory, space, H5P_DEFAULT, out));
    H5Sclose(memory);
    H5Sclose(space);
    if (!bad)
        return 0;
    return n == 1 ? h5_error(e, ERR_DATA, "%s[%zu]: cannot be read", c->name, start)
                  : h5_error(e, ERR_DATA, "%s[%zu..%zu]: cannot be read", c->name, start, start + n - 1);
}

static size_t block_rows(const struct column *c)
{
    size_t n = c->row_bytes ? BLOCK_BYTES / c->row_bytes : BLOCK_BYTES;
    return n ? n : 1;
}

int column_read(struct column *c, size_t start, size_t n, void *out, struct err *e)
{
    if (!n || !c->width)
        return 0;
    if (start > c->rows || n > c->rows - start)
        return err_set(e, ERR_DATA, "%s: has %zu rows, %zu are asked for", c->name, c->rows, start + n);
    int in_order = start == c->next || (start < c->next && start + n >= c->next);
    c->next = start + n;
    int inside = start >= c->block_start && start + n <= c->block_start + c->block_rows;
    if (!inside) {
        size_t ahead = block_rows(c);
        if (n >= ahead || !in_order)
            return read_rows(c, start, n, out, e);
        int r = c->block ? 0 : mem_alloc(&c->block, ahead, c->row_bytes, "a block of rows", e);
        if (r)
            return r;
        if (ahead > c->rows - start)
            ahead = c->rows - start;
        c->block_rows = 0;
        if (read_rows(c, start, ahead, c->block, NULL)) /* the fault may lie behind what is asked for */
            return read_rows(c, start, n, out, e);
        c->block_start = start;
        c->block_rows = ahead;
    }
    memcpy(out, c->block + (start - c->block_start) * c->row_bytes, n * c->row_bytes);
    return 0;
}

void column_close(struct column *c)
{
    if (c->id > 0)
        H5Dclose(c->id);
    free(c->block);
    *c = (struct column){.id = -1};
}

/* --- writing --- */

int column_create(struct column_out *c, hid_t group, const char *name, enum column_type type, int rank,
                  const size_t *shape, size_t chunk_rows, int gzip, int shuffle, struct err *e)
{
    *c = (struct column_out){.id = -1, .type = type, .name = name, .rank = rank, .width = 1};
    hsize_t dims[3] = {0}, most[3] = {H5S_UNLIMITED}, chunk[3] = {chunk_rows};
    for (int i = 1; i < rank; i++) {
        c->shape[i - 1] = shape[i - 1];
        dims[i] = most[i] = chunk[i] = shape[i - 1];
        c->width *= shape[i - 1];
    }
    c->row_bytes = c->width * column_type_size(type);
    c->capacity = BUFFER_BYTES / c->row_bytes;
    if (c->capacity > chunk_rows)
        c->capacity -= c->capacity % chunk_rows;
    hid_t space = H5Screate_simple(rank, dims, most), create = h5_dataset_plist();
    H5Pset_chunk(create, rank, chunk);
    if (shuffle)
        H5Pset_shuffle(create);
    if (gzip)
        H5Pset_deflate(create, 1);
    h5_failed(c->id = H5Dcreate2(group, name, file_type(type), space, H5P_DEFAULT, create, H5P_DEFAULT));
    H5Pclose(create);
    H5Sclose(space);
    if (c->id < 0)
        return h5_error(e, ERR_IO, "%s: cannot be made", name);
    return c->capacity > 1 ? mem_alloc(&c->buffer, c->capacity, c->row_bytes, "a column's buffer", e) : 0;
}

static int grow_to(struct column_out *c, size_t rows)
{
    hsize_t dims[3] = {rows};
    for (int i = 1; i < c->rank; i++)
        dims[i] = c->shape[i - 1];
    return h5_failed(H5Dset_extent(c->id, dims));
}

static int write_rows(struct column_out *c, const void *rows, size_t n, struct err *e)
{
    hsize_t dims[3] = {0};
    for (int i = 1; i < c->rank; i++)
        dims[i] = c->shape[i - 1];
    int bad = grow_to(c, c->rows + n);
    hid_t memory = -1, space = bad ? -1 : H5Dget_space(c->id);
    bad = bad || select_rows(space, c->rank, dims, c->rows, n, &memory) ||
          h5_failed(H5Dwrite(c->id, column_memory_type(c->type), memory, space, H5P_DEFAULT, rows));
    if (memory >= 0)
        H5Sclose(memory);
    if (space >= 0)
        H5Sclose(space);
    c->rows += n;
    return bad ? h5_error(e, ERR_IO, "%s: write failed", c->name) : 0;
}

int column_flush(struct column_out *c, struct err *e)
{
    size_t n = c->buffered;
    c->buffered = 0;
    return n ? write_rows(c, c->buffer, n, e) : 0;
}

int column_append(struct column_out *c, const void *rows, size_t n, struct err *e)
{
    if (!c->buffer)
        return n ? write_rows(c, rows, n, e) : 0;
    const unsigned char *from = rows;
    while (n) {
        size_t part = c->capacity - c->buffered < n ? c->capacity - c->buffered : n;
        memcpy(c->buffer + c->buffered * c->row_bytes, from, part * c->row_bytes);
        c->buffered += part;
        from += part * c->row_bytes;
        n -= part;
        int r = c->buffered == c->capacity ? column_flush(c, e) : 0;
        if (r)
            return r;
    }
    return 0;
}

int column_extend(struct column_out *c, struct err *e)
{
    int r = column_flush(c, e);
    if (!r && grow_to(c, c->rows + 1))
        r = h5_error(e, ERR_IO, "%s: cannot grow", c->name);
    c->rows++;
    return r;
}

int column_end(struct column_out *c, struct err *e)
{
    if (c->id <= 0)
        return 0;
    int r = column_flush(c, e);
    if (h5_failed(H5Dclose(c->id)) && !r)
        r = h5_error(e, ERR_IO, "%s: write failed", c->name);
    c->id = -1;
    column_drop(c);
    return r;
}

void column_drop(struct column_out *c)
{
    if (c->id > 0)
        H5Dclose(c->id);
    free(c->buffer);
    *c = (struct column_out){.id = -1};
}
