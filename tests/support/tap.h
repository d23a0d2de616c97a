/* A test program in C: prints TAP for prove. Failures name their line and go on. */
#ifndef SGAPS_TESTS_TAP_H
#define SGAPS_TESTS_TAP_H

#include <stdio.h>

extern int tap_count, tap_failed;

int tap_check(int good, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void tap_skip(const char *name, const char *reason);
void tap_diag(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int tap_done(void); /* prints the plan; the program's exit status */

/* ok(x == 3, "three samples are kept") */
#define ok(good, ...) tap_check(!!(good), __FILE__, __LINE__, __VA_ARGS__)

/* ||a-b|| / ||b||, or ||a|| where b is zero. */
double tap_distance(const float *a, const float *b, size_t n);

#endif
