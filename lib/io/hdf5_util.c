#include "io/hdf5_util.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

/* gzip's best ratio, rounded up, and room for what small files declare without storing it. */
enum { DEFLATE_RATIO = 1100 };
static const hsize_t FREE_BYTES = 1 << 20;
static const size_t CACHE_LIMIT = 16u << 20;
static const size_t TEXT_LIMIT = 16u << 20;

struct reason {
    char text[256];
    int number;
};

/* The first failure since the last h5_error of this thread: the next call into HDF5 clears its own stack. */
static _Thread_local struct reason kept;

static void once(void)
{
    /* After a failed write the file is left open on purpose: closing it at exit would try again and may crash. */
    H5dont_atexit();
}

void h5_begin(void)
{
    static pthread_once_t first = PTHREAD_ONCE_INIT;
    static _Thread_local int silent;
    pthread_once(&first, once);
    if (!silent)
        H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    silent = 1;
    kept.text[0] = 0;
    kept.number = 0;
}

static herr_t take_reason(unsigned n, const H5E_error2_t *entry, void *user)
{
    struct reason *r = user;
    const char *text = entry->desc ? entry->desc : "";
    if (n == 0)
        snprintf(r->text, sizeof r->text, "%s", text);
    const char *number = strstr(text, "errno = ");
    if (number && !r->number)
        r->number = atoi(number + strlen("errno = "));
    return 0;
}

int h5_failed(long long result)
{
    if (result >= 0)
        return 0;
    if (!kept.text[0])
        H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_reason, &kept);
    H5Eclear2(H5E_DEFAULT);
    return 1;
}

int h5_error(struct err *e, int code, const char *fmt, ...)
{
    h5_failed(-1);
    struct reason r = kept;
    kept = (struct reason){.number = 0};
    char text[768];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    for (char *p = r.text; *p; p++)
        if ((unsigned char)*p < 0x20)
            *p = ' ';
    if (r.number == EAGAIN || r.number == EWOULDBLOCK)
        return err_set(e, ERR_TEMPFAIL, "%s: locked by another process; try again when it is done", text);
    if (r.number)
        return err_set(e, code == ERR_NOINPUT ? code : ERR_IO, "%s: %s", text, strerror(r.number));
    return err_set(e, code, r.text[0] ? "%s: %s" : "%s", text, r.text);
}

static int fail_directory(const char *path, struct err *e)
{
    char *best;
    int r = err_set(e, ERR_NOINPUT, "%s: is a directory", path);
    if (asprintf(&best, "%s/best.h5", path) < 0)
        return r;
    if (!access(best, F_OK)) /* of a training run */
        r = err_set(e, ERR_NOINPUT, "%s: is a directory: its checkpoint is %s", path, best);
    free(best);
    return r;
}

static int look_at(const char *path, const char *shown, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, ERR_NOINPUT, "%s: cannot open: %s", shown, strerror(errno));
    struct stat st;
    int r = 0;
    if (fstat(fd, &st))
        r = err_set(e, ERR_NOINPUT, "%s: %s", shown, strerror(errno));
    else if (S_ISDIR(st.st_mode))
        r = fail_directory(shown, e);
    else if (st.st_size == 0)
        r = err_set(e, ERR_DATA, "%s: is empty", shown);
    close(fd);
    return r;
}

int h5_open(hid_t *file, const char *path, const char *shown, struct err *e)
{
    h5_begin();
    *file = -1;
    int r = look_at(path, shown, e);
    if (r)
        return r;
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    /* Locks where the file system has them; read-only media and file systems without locks are no reason to fail. */
    H5Pset_file_locking(access, 1, 1);
    int bad = h5_failed(*file = H5Fopen(path, H5F_ACC_RDONLY, access));
    H5Pclose(access);
    if (!bad)
        return 0;
    static const unsigned char signature[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    unsigned char head[8] = {0};
    FILE *f = fopen(path, "rb");
    size_t got = f ? fread(head, 1, sizeof head, f) : 0;
    if (f)
        fclose(f);
    r = h5_error(e, ERR_DATA, "%s: cannot open", shown);
    if (r == ERR_DATA && (got < sizeof head || memcmp(head, signature, sizeof head)))
        return err_set(e, ERR_DATA, "%s: is not an HDF5 file", shown);
    return r;
}

int h5_create(hid_t *file, const char *path, const char *shown, struct err *e)
{
    h5_begin();
    hid_t create = H5Pcreate(H5P_FILE_CREATE);
    H5Pset_obj_track_times(create, 0);
    H5Pset_link_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    hid_t access = H5Pcreate(H5P_FILE_ACCESS);
    H5Pset_libver_bounds(access, H5F_LIBVER_EARLIEST, H5F_LIBVER_LATEST);
    H5Pset_file_locking(access, 1, 1);
    int bad = h5_failed(*file = H5Fcreate(path, H5F_ACC_TRUNC, create, access));
    H5Pclose(create);
    H5Pclose(access);
    return bad ? h5_error(e, ERR_CANTCREATE, "%s: cannot create", shown) : 0;
}

void h5_close_all(hid_t file)
{
    hid_t open_ids[64];
    ssize_t n;
    while ((n = H5Fget_obj_ids(file, (H5F_OBJ_ALL & ~(unsigned)H5F_OBJ_FILE) | H5F_OBJ_LOCAL, 64, open_ids)) >
           0) {
        int closed = 0;
        for (ssize_t i = 0; i < n; i++)
            closed += H5Oclose(open_ids[i]) >= 0 || H5Aclose(open_ids[i]) >= 0;
        if (!closed)
            break;
    }
    H5Fclose(file);
    H5Eclear2(H5E_DEFAULT);
}

int h5_close_checked(hid_t file, const char *path, const char *shown, struct err *e)
{
    if (H5Fflush(file, H5F_SCOPE_GLOBAL) < 0)
        return h5_error(e, ERR_IO, "%s: write failed", shown);
    if (H5Fclose(file) < 0)
        return h5_error(e, ERR_IO, "%s: cannot be closed", shown);
    /* Opening compares the end that the superblock names with the size the file has. (The size before closing says
     * nothing: closing gives unused metadata blocks back.) */
    hid_t again;
    int r = h5_open(&again, path, shown, e);
    if (r)
        return err_set(e, ERR_IO, "%s: was not written whole", shown);
    H5Fclose(again);
    return 0;
}

hid_t h5_group_create(hid_t parent, const char *name)
{
    hid_t create = H5Pcreate(H5P_GROUP_CREATE);
    H5Pset_obj_track_times(create, 0);
    H5Pset_link_creation_order(create, H5P_CRT_ORDER_TRACKED | H5P_CRT_ORDER_INDEXED);
    hid_t group = H5Gcreate2(parent, name, H5P_DEFAULT, create, H5P_DEFAULT);
    h5_failed(group);
    H5Pclose(create);
    return group;
}

hid_t h5_dataset_plist(void)
{
    hid_t create = H5Pcreate(H5P_DATASET_CREATE);
    H5Pset_obj_track_times(create, 0);
    return create;
}

int h5_exists(hid_t group, const char *name)
{
    return H5Lexists(group, name, H5P_DEFAULT) > 0 && H5Oexists_by_name(group, name, H5P_DEFAULT) > 0;
}

/* --- attributes --- */

static char *take_text(hid_t attribute, hid_t type)
{
    char *text = NULL;
    hid_t memory = H5Tcopy(H5T_C_S1);
    H5Tset_cset(memory, H5Tget_cset(type));
    if (H5Tis_variable_str(type) > 0) {
        char *found = NULL;
        H5Tset_size(memory, H5T_VARIABLE);
        if (H5Aread(attribute, memory, &found) >= 0 && found) {
            text = strdup(found);
            H5free_memory(found);
        }
    } else {
        size_t n = H5Tget_size(type);
        if (n && n <= TEXT_LIMIT && (text = calloc(n + 1, 1))) {
            H5Tset_size(memory, n + 1);
            if (H5Aread(attribute, memory, text) < 0) {
                free(text);
                text = NULL;
            }
        }
    }
    H5Tclose(memory);
    return text;
}

char *h5_text(hid_t object, const char *name)
{
    char *text = NULL;
    if (H5Aexists(object, name) <= 0)
        return NULL;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (attribute < 0)
        return NULL;
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    if (H5Tget_class(type) == H5T_STRING && H5Sget_simple_extent_npoints(space) == 1)
        text = take_text(attribute, type);
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(attribute);
    H5Eclear2(H5E_DEFAULT);
    return text;
}

/* Copies n texts (fixed ones are `width` bytes apart) behind their pointers into one block. */
static char **pack_texts(char *const *variable, const char *fixed, size_t width, size_t n)
{
    size_t bytes = n * sizeof(char *);
    for (size_t i = 0; i < n; i++)
        bytes += (variable ? (variable[i] ? strlen(variable[i]) : 0) : strnlen(fixed + i * width, width)) + 1;
    char **out = malloc(bytes);
    char *at = out ? (char *)(out + n) : NULL;
    for (size_t i = 0; i < n && out; i++) {
        const char *text = variable ? (variable[i] ? variable[i] : "") : fixed + i * width;
        size_t length = variable ? strlen(text) : strnlen(text, width);
        memcpy(at, text, length);
        at[length] = 0;
        out[i] = at;
        at += length + 1;
    }
    return out;
}

static char **take_texts(hid_t attribute, hid_t type, hid_t space, size_t n)
{
    char **out = NULL;
    size_t width = H5Tget_size(type);
    hid_t memory = H5Tcopy(type);
    if (H5Tis_variable_str(type) > 0) {
        char **found = calloc(n, sizeof *found);
        if (found && H5Aread(attribute, memory, found) >= 0) {
            out = pack_texts(found, NULL, 0, n);
            H5Dvlen_reclaim(memory, space, H5P_DEFAULT, found);
        }
        free(found);
    } else if (width && width <= TEXT_LIMIT / n) {
        char *found = calloc(n, width);
        if (found && H5Aread(attribute, memory, found) >= 0)
            out = pack_texts(NULL, found, width, n);
        free(found);
    }
    H5Tclose(memory);
    return out;
}

char **h5_texts(hid_t object, const char *name, size_t limit, size_t *n)
{
    char **out = NULL;
    *n = 0;
    if (H5Aexists(object, name) <= 0)
        return NULL;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (attribute < 0)
        return NULL;
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    hssize_t count = H5Sget_simple_extent_npoints(space);
    if (H5Tget_class(type) == H5T_STRING && count > 0 && (size_t)count <= limit)
        out = take_texts(attribute, type, space, (size_t)count);
    *n = out ? (size_t)count : 0;
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(attribute);
    H5Eclear2(H5E_DEFAULT);
    return out;
}

int h5_put_texts(hid_t object, const char *name, const char *const *texts, size_t n)
{
    hsize_t dims = n;
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate_simple(1, &dims, NULL);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    int r = h5_failed(attribute) || h5_failed(H5Awrite(attribute, type, texts)) ? -1 : 0;
    if (attribute >= 0 && h5_failed(H5Aclose(attribute)))
        r = -1;
    H5Sclose(space);
    H5Tclose(type);
    return r;
}

static size_t numbers(hid_t object, const char *name, hid_t memory, size_t size, void *out, size_t n)
{
    if (H5Aexists(object, name) <= 0)
        return 0;
    hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
    if (attribute < 0)
        return 0;
    size_t got = 0;
    hid_t type = H5Aget_type(attribute), space = H5Aget_space(attribute);
    H5T_class_t cls = H5Tget_class(type);
    hssize_t count = H5Sget_simple_extent_npoints(space);
    if ((cls == H5T_INTEGER || cls == H5T_FLOAT || cls == H5T_ENUM) && count > 0 && count <= 4096) {
        void *all = calloc((size_t)count, size);
        if (all && H5Aread(attribute, memory, all) >= 0) {
            got = (size_t)count < n ? (size_t)count : n;
            memcpy(out, all, got * size);
        }
        free(all);
    }
    H5Sclose(space);
    H5Tclose(type);
    H5Aclose(attribute);
    H5Eclear2(H5E_DEFAULT);
    return got;
}

size_t h5_doubles(hid_t object, const char *name, double *out, size_t n)
{
    return numbers(object, name, H5T_NATIVE_DOUBLE, sizeof *out, out, n);
}

size_t h5_unsigned(hid_t object, const char *name, uint64_t *out, size_t n)
{
    return numbers(object, name, H5T_NATIVE_UINT64, sizeof *out, out, n);
}

size_t h5_integers(hid_t object, const char *name, int64_t *out, size_t n)
{
    return numbers(object, name, H5T_NATIVE_INT64, sizeof *out, out, n);
}

int h5_put_text(hid_t object, const char *name, const char *text)
{
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
    H5Tset_size(type, H5T_VARIABLE);
    H5Tset_cset(type, H5T_CSET_UTF8);
    hid_t attribute = H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT);
    int r = h5_failed(attribute) || h5_failed(H5Awrite(attribute, type, &text)) ? -1 : 0;
    if (attribute >= 0 && h5_failed(H5Aclose(attribute)))
        r = -1;
    H5Sclose(space);
    H5Tclose(type);
    return r;
}

int h5_put_number(hid_t object, const char *name, hid_t file_type, hid_t memory_type, const void *values,
                  size_t n)
{
    hsize_t dims = n;
    hid_t space = n == 1 ? H5Screate(H5S_SCALAR) : H5Screate_simple(1, &dims, NULL);
    hid_t attribute = H5Acreate2(object, name, file_type, space, H5P_DEFAULT, H5P_DEFAULT);
    int r = h5_failed(attribute) || h5_failed(H5Awrite(attribute, memory_type, values)) ? -1 : 0;
    if (attribute >= 0 && h5_failed(H5Aclose(attribute)))
        r = -1;
    H5Sclose(space);
    return r;
}

int h5_put_i64(hid_t object, const char *name, int64_t value)
{
    return h5_put_number(object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value, 1);
}

int h5_put_f64(hid_t object, const char *name, double value)
{
    return h5_put_number(object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value, 1);
}

int h5_check_format(hid_t file, const char *want, char **format, struct err *e)
{
    char *found = h5_text(file, "format");
    int64_t version = 0;
    int r = 0;
    if (!found || strcmp(found, want))
        r = err_set(e, ERR_DATA, "is no %s: its format is \"%.40s\"", want, found ? found : "");
    else if (!h5_integers(file, "format_version", &version, 1))
        r = err_set(e, ERR_DATA, "has no format_version");
    else if (version != 1)
        r = err_set(e, ERR_DATA, "has format_version %lld, this program reads 1: a newer SGAPS is needed",
                    (long long)version);
    if (format)
        *format = found;
    else
        free(found);
    return r;
}

/* --- datasets --- */

/* What can be told without reading: class, rank, sizes against the file's. */
static int examine(hid_t id, struct h5_shape *s, enum h5_class cls, const char *name, struct err *e)
{
    hid_t type = H5Dget_type(id), space = H5Dget_space(id), create = H5Dget_create_plist(id);
    hid_t file = H5Iget_file_id(id);
    hsize_t dims[H5S_MAX_RANK] = {0}, chunk[H5S_MAX_RANK] = {0}, bytes = 1, file_size = 0;
    H5T_class_t found = H5Tget_class(type);
    int rank = H5Sget_simple_extent_dims(space, dims, NULL), r = 0;
    H5Fget_filesize(file, &file_size);
    hsize_t limit = file_size * DEFLATE_RATIO + FREE_BYTES;
    s->element = H5Tget_size(type);
    s->is_float = found == H5T_FLOAT;
    if (found != H5T_INTEGER && found != H5T_ENUM && !(found == H5T_FLOAT && cls == H5_NUMBER))
        r = err_set(e, ERR_DATA, "%s: holds %s, expected %s", name,
                    found == H5T_FLOAT ? "fractional numbers" : "no numbers",
                    cls == H5_INTEGER ? "integers" : "numbers");
    else if (rank < 0 || rank > H5_DIMS || H5Sget_simple_extent_type(space) == H5S_NULL)
        r = err_set(e, ERR_DATA, "%s: has %d dimensions", name, rank);
    else if (H5Pget_external_count(create) > 0 || H5Pget_layout(create) == H5D_VIRTUAL)
        r = err_set(e, ERR_DATA, "%s: its numbers lie in another file", name);
    s->dims = rank;
    bytes = s->element;
    for (int i = 0; i < rank && !r; i++) {
        s->size[i] = (size_t)dims[i];
        if (__builtin_mul_overflow(bytes, dims[i], &bytes) || bytes > limit)
            r = err_set(e, ERR_DATA, "%s: declares more than a file of %llu bytes can hold", name,
                        (unsigned long long)file_size);
    }
    if (!r && H5Pget_layout(create) == H5D_CHUNKED) {
        H5Pget_chunk(create, rank, chunk);
        bytes = s->element;
        for (int i = 0; i < rank; i++) {
            s->chunk[i] = (size_t)chunk[i];
            bytes *= chunk[i]; /* the library holds chunks under 4 GiB */
        }
        if (bytes > limit)
            r = err_set(e, ERR_DATA, "%s: its chunks are larger than a file of %llu bytes can hold", name,
                        (unsigned long long)file_size);
        s->chunk_bytes = (size_t)bytes;
    }
    H5Fclose(file);
    H5Pclose(create);
    H5Sclose(space);
    H5Tclose(type);
    return r;
}

static hid_t open_with_cache(hid_t group, const char *name, size_t chunk_bytes)
{
    hid_t access = H5Pcreate(H5P_DATASET_ACCESS);
    size_t bytes = chunk_bytes <= CACHE_LIMIT / 2 ? 2 * chunk_bytes : CACHE_LIMIT;
    H5Pset_chunk_cache(access, 521, bytes, 1.0); /* chunks that were read whole go first */
    hid_t id = H5Dopen2(group, name, access);
    h5_failed(id);
    H5Pclose(access);
    return id;
}

int h5_dataset(hid_t *id, struct h5_shape *shape, hid_t group, const char *name, enum h5_class cls,
               struct err *e)
{
    *id = -1;
    *shape = (struct h5_shape){0};
    if (!h5_exists(group, name)) {
        H5Eclear2(H5E_DEFAULT);
        return 0;
    }
    hid_t first = H5Dopen2(group, name, H5P_DEFAULT);
    if (first < 0) {
        H5Eclear2(H5E_DEFAULT);
        return err_set(e, ERR_DATA, "%s: is not a dataset", name);
    }
    int r = examine(first, shape, cls, name, e);
    if (!r && shape->chunk_bytes) {
        /* The cache's size is settled while no other handle has the dataset open. */
        H5Dclose(first);
        first = open_with_cache(group, name, shape->chunk_bytes);
        if (first < 0)
            return h5_error(e, ERR_DATA, "%s: cannot be opened", name);
    }
    if (r)
        H5Dclose(first);
    else
        *id = first;
    return r;
}
