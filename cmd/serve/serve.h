/* sgaps-serve: what is looked at before serving, and what is said about it. */
#ifndef SGAPS_CMD_SERVE_H
#define SGAPS_CMD_SERVE_H

#include "base/err.h"
#include "live/server.h"

/* The first line of a file: *token, free() it; NULL without a file. */
int serve_token(const char *path, char **token, struct err *e);
/* Files, folders and the device that are named must be there, and options go together. */
int serve_check(struct server_options *o, struct err *e);
/* A line on stderr, where clients connect to, what is served, where it is recorded; a warning before it when
 * anybody may. */
void serve_announce(const struct server_options *o, int port);
/* The same for programs: {"port","page","url","device"}, a line on standard output. */
void serve_announce_json(const struct server_options *o, int port);
/* --dry-run: what would be served, on stdout. ERR_DATA when a checkpoint would be refused. */
int serve_describe(const struct server_options *o, struct err *e);

#endif
