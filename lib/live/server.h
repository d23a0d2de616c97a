/* The live loop as a whole: sgaps-protocol(7) over net, engine, recorder and telemetry. cmd/serve fills the
 * options and calls run; signals reach it through server_signal. */
#ifndef SGAPS_LIVE_SERVER_H
#define SGAPS_LIVE_SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "conf/conf.h"
#include "op/op.h"

struct server;

struct server_options {
    const struct config *config; /* model, sampling, mask_update, server */
    const char *checkpoints;     /* DIR, or NULL */
    const char *record;          /* DIR, or NULL: nothing is recorded */
    int record_strict, record_reconstruction;
    const char *cert, *key;
    const char *const *origins;       /* as net_options */
    const char *token;                /* or NULL */
    const char *log_metrics;          /* FILE or NULL */
    const char *device, *device_name; /* as op_open; what is told of it (op_describe) */
    int threads;
    enum op_precision precision;
    const char *version;
    int null_model; /* no inference at all (the I/O ceiling) */
};

/* What is wrong in the options whatever the machine holds; server_open begins with it. */
int server_check(const struct server_options *o, struct err *e);
int server_open(struct server **s, const struct server_options *o, struct err *e);
int server_port(const struct server *s);
/* Serves until SIGTERM or SIGINT was told to server_signal, then drains: 0. */
int server_run(struct server *s, struct err *e);
/* async-signal-safe: SIGTERM, SIGINT end; SIGHUP loads checkpoints again. */
void server_signal(struct server *s, int signal);
void server_close(struct server *s);

#endif
