/* What recordings and checkpoints share of HDF5: a silent error stack turned into one line, files opened and created
 * in one way, attributes, datasets whose declared size the file can hold. Private to lib/io.
 *
 * Debian's HDF5 is the thread-safe build: any thread may call, calls wait for each other. */
#ifndef SGAPS_IO_HDF5_UTIL_H
#define SGAPS_IO_HDF5_UTIL_H

#include <hdf5.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Call first in every public function: silences the calling thread's error stack, and at the first call tells HDF5
 * not to touch unfinished files at exit. */
void h5_begin(void);

/* result < 0; then keeps HDF5's reason, which its next call would clear, for h5_error. For every call that is followed
 * by cleaning up. */
int h5_failed(long long result);

/* "text: reason", the reason from HDF5's error stack, which is cleared. A locked file becomes ERR_TEMPFAIL, a failed
 * system call ERR_IO, anything else `code`. Returns e->code. */
int h5_error(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Read-only, beside other readers and on read-only media. shown is the name for messages. Says whether the file is
 * missing, empty, no HDF5, truncated or locked. */
int h5_open(hid_t *file, const char *path, const char *shown, struct err *e);
/* A new file in HDF5's default format, its root group in creation order, without time stamps. */
int h5_create(hid_t *file, const char *path, const char *shown, struct err *e);
/* Flushes, closes and opens again to see that it is whole (H5Fclose may return 0 on a full disk). */
int h5_close_checked(hid_t file, const char *path, const char *shown, struct err *e);
/* Every object of the file that is still open is closed first, so that the file really is. */
void h5_close_all(hid_t file);

/* A group below parent, members in creation order, no time stamps. <0: failed. */
hid_t h5_group_create(hid_t parent, const char *name);
/* Dataset creation properties: no time stamps, as every dataset has them. */
hid_t h5_dataset_plist(void);

int h5_exists(hid_t group, const char *name); /* the link is there; name without a slash */

/* Attributes. Text may be of variable or fixed length; NULL when absent or no text. free() it. */
char *h5_text(hid_t object, const char *name);
/* Up to n numbers (integer, float or boolean in the file) as the type named; the count read, 0 when absent. */
size_t h5_doubles(hid_t object, const char *name, double *out, size_t n);
size_t h5_unsigned(hid_t object, const char *name, uint64_t *out, size_t n);
size_t h5_integers(hid_t object, const char *name, int64_t *out, size_t n);
/* A list of texts: at most limit names, in one block that free() frees; NULL when absent. */
char **h5_texts(hid_t object, const char *name, size_t limit, size_t *n);
/* 0, or negative */
int h5_put_texts(hid_t object, const char *name, const char *const *texts, size_t n);
int h5_put_text(hid_t object, const char *name, const char *text);
int h5_put_number(hid_t object, const char *name, hid_t file_type, hid_t memory_type, const void *values,
                  size_t n);
int h5_put_i64(hid_t object, const char *name, int64_t value);
int h5_put_f64(hid_t object, const char *name, double value);

/* format and format_version of the root group. Fails with ERR_DATA unless it is `want` at version 1; *format (free())
 * is what the file says, or NULL. */
int h5_check_format(hid_t file, const char *want, char **format, struct err *e);

enum h5_class { H5_INTEGER, H5_NUMBER };
enum { H5_DIMS = 4 };
struct h5_shape {
    int dims;
    size_t size[H5_DIMS], chunk[H5_DIMS];
    size_t chunk_bytes, element; /* chunk_bytes 0: not chunked */
    int is_float;
};
/* Opens group/name: *id < 0 and 0 when there is none. ERR_DATA where it is no dataset of that class, lies outside the
 * file, or declares more than a file of that size can hold (gzip's best ratio is 1032). A cache of two chunks. */
int h5_dataset(hid_t *id, struct h5_shape *shape, hid_t group, const char *name, enum h5_class cls,
               struct err *e);

#endif
