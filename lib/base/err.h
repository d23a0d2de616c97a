/* Errors: one convention for the whole library.
 *
 * A function that can fail returns int: 0, or one of the codes below, and then has written the reason into
 * the caller's struct err. The codes are the exit codes of the tools (sysexits.h), so cmd/ returns them as
 * they are. The text is one line without the tool's name and without a full stop:
 *     rec.h5: /sessions/a/samples/uv[812]: u=1.7 is outside [0,1]
 * err may be NULL where only the code matters. */
#ifndef SGAPS_BASE_ERR_H
#define SGAPS_BASE_ERR_H

enum {
    ERR_NO = 1,           /* ran well, the answer is no (--check, --min-psnr) */
    ERR_USAGE = 64,       /* command line */
    ERR_DATA = 65,        /* input is not what it should be */
    ERR_NOINPUT = 66,     /* input missing or unreadable */
    ERR_UNAVAILABLE = 69, /* feature or device is not there */
    ERR_INTERNAL = 70,    /* a fault of ours, or out of memory */
    ERR_CANTCREATE = 73,  /* output cannot be created */
    ERR_IO = 74,          /* a read or write failed midway: full disk, closed device */
    ERR_TEMPFAIL = 75,    /* try again: locked by another process */
    ERR_CONFIG = 78       /* configuration */
};

struct err {
    int code;
    char text[1024];
};

/* Fills e and returns code, so that a failure is one line: return err_set(e, ERR_DATA, "...", ...). */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts a place in front of the reason while the error travels up: "rec.h5: " and so on. Returns e->code. */
int err_prefix(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Out of memory while taking n * size bytes for `what`. Returns ERR_INTERNAL. */
int err_memory(struct err *e, const char *what, unsigned long long bytes);

#endif
