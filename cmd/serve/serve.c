#include "serve.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli/output.h"
#include "op/op.h"
#include "recon/recon.h"

enum { TOKEN_LIMIT = 512 };

int serve_token(const char *path, char **token, struct err *e)
{
    char line[TOKEN_LIMIT + 2];
    *token = NULL;
    if (!path)
        return 0;
    FILE *f = fopen(path, "re");
    if (!f)
        return err_set(e, ERR_NOINPUT, "%s: %s", path, strerror(errno));
    char *got = fgets(line, sizeof line, f);
    int bad = ferror(f), why = errno;
    fclose(f);
    if (bad)
        return err_set(e, ERR_NOINPUT, "%s: %s", path, strerror(why));
    line[got ? strcspn(line, "\r\n") : 0] = 0;
    if (!*line)
        return err_set(e, ERR_DATA, "%s: its first line is empty: no token", path);
    if (strlen(line) > TOKEN_LIMIT)
        return err_set(e, ERR_DATA, "%s: a token has at most %d bytes", path, TOKEN_LIMIT);
    for (const char *c = line; *c; c++)
        if (*c <= ' ' || *c > '~')
            return err_set(e, ERR_DATA, "%s: byte %td of the token cannot stand in a header", path, c - line);
    return mem_string(token, line, e);
}

static int check_folder(const char *option, const char *path, struct err *e)
{
    struct stat s;
    if (stat(path, &s))
        return err_set(e, ERR_NOINPUT, "%s %s: %s", option, path, strerror(errno));
    if (!S_ISDIR(s.st_mode))
        return err_set(e, ERR_NOINPUT, "%s %s: is no folder", option, path);
    return 0;
}

static int check_file(const char *option, const char *path, struct err *e)
{
    return path && access(path, R_OK) ? err_set(e, ERR_NOINPUT, "%s %s: %s", option, path, strerror(errno))
                                      : 0;
}

/* The recording folder is made when it is missing. */
static int check_record(const char *path, struct err *e)
{
    struct stat s;
    if (stat(path, &s) && errno == ENOENT)
        return 0;
    int why = stat(path, &s) ? errno : !S_ISDIR(s.st_mode) ? ENOTDIR : access(path, W_OK | X_OK) ? errno : 0;
    return why ? err_set(e, ERR_CANTCREATE, "--record %s: %s", path, strerror(why)) : 0;
}

static int is_loopback(const char *host)
{
    return !strncmp(host, "127.", 4) || !strcmp(host, "::1") || !strcmp(host, "localhost");
}

/* Before the first checkpoint is loaded, which is when a session asks for it. What is told of the device stays. */
static int check_device(struct server_options *o, struct err *e)
{
    static char name[160];
    struct op_ctx ctx;
    int r = op_open(&ctx, o->device, o->threads, o->precision, e);
    if (r)
        return r;
    op_describe(&ctx, name, sizeof name);
    o->device_name = name;
    op_close(&ctx);
    return 0;
}

int serve_check(struct server_options *o, struct err *e)
{
    int r = server_check(o, e);
    if (!r && o->checkpoints)
        r = check_folder("--checkpoints", o->checkpoints, e);
    if (!r && o->record_strict && !o->record)
        r = err_set(e, ERR_USAGE, "--record-mode: needs --record DIR");
    r = r ? r : check_file("--cert", o->cert, e);
    r = r ? r : check_file("--key", o->key, e);
    r = r ? r : o->record ? check_record(o->record, e) : 0;
    return r ? r : check_device(o, e);
}

static void warn_of_open_door(const struct server_options *o)
{
    if (!is_loopback(o->config->server.host) && !o->token)
        log_warning("%s is open to other machines and asks for no token: --token-file FILE closes it",
                    o->config->server.host);
}

static void write_address(const struct server_options *o, int port, char *out, size_t size)
{
    const char *host = o->config->server.host;
    int six = strchr(host, ':') != NULL;
    snprintf(out, size, "%s://%s%s%s:%d", o->cert ? "wss" : "ws", six ? "[" : "", host, six ? "]" : "", port);
}

void serve_announce(const struct server_options *o, int port)
{
    char at[320];
    warn_of_open_door(o);
    write_address(o, port, at, sizeof at);
    log_print(LOG_WARNING,
              "%s/ws/stream, page http%s; %s, at most %lld MB for models; checkpoints: %s; recording: %s%s",
              at, at + 2, o->device_name, (long long)o->config->server.model_memory_mb,
              o->null_model    ? "null model"
              : o->checkpoints ? o->checkpoints
                               : "none (linear)",
              o->record ? o->record : "none", o->record && o->record_strict ? " (strict)" : "");
}

void serve_announce_json(const struct server_options *o, int port)
{
    char at[320];
    struct json j;
    write_address(o, port, at, sizeof at - strlen("/ws/stream"));
    json_begin(&j, stdout, 0);
    json_object(&j);
    json_key_integer(&j, "port", port);
    json_key(&j, "page");
    char page[sizeof at + 4];
    snprintf(page, sizeof page, "http%s", at + 2);
    json_text(&j, page);
    json_key_text(&j, "url", strcat(at, "/ws/stream"));
    json_key_text(&j, "device", o->device_name);
    json_end(&j);
    fflush(stdout);
}

/* --- --dry-run --- */

static void describe_model(const char *key, const struct model_config *c, const uint32_t size[2])
{
    int same = c->resolution[0] == size[0] && c->resolution[1] == size[1];
    printf("  %s: %s, trained at %ux%u%s\n", key, c->name, c->resolution[1], c->resolution[0],
           same ? "" : ", which is not server.resolution");
}

/* 1: there is a checkpoint of this key and it would be refused. */
static int describe_checkpoint(const struct server_options *o, const char *key)
{
    struct err e = {0};
    struct recon *recon;
    char *path;
    if (asprintf(&path, "%s/%s/best.h5", o->checkpoints, key) < 0)
        return 0;
    int refused = 0;
    if (!access(path, F_OK)) {
        refused = recon_open_model(&recon, path, o->device, o->threads, o->precision, &e) != 0;
        if (refused)
            printf("  %s: refused: %s\n", key, e.text);
        else
            describe_model(key, spt_config(recon_model(recon)), o->config->server.resolution);
        if (!refused)
            recon_close(recon);
    }
    free(path);
    return refused;
}

static int is_visible(const struct dirent *d)
{
    return d->d_name[0] != '.';
}

static int describe_checkpoints(const struct server_options *o, struct err *e)
{
    struct dirent **found;
    int refused = 0, n = scandir(o->checkpoints, &found, is_visible, alphasort);
    if (n < 0)
        return err_set(e, ERR_NOINPUT, "--checkpoints %s: %s", o->checkpoints, strerror(errno));
    printf("checkpoints  %s; keys without one get default's, else linear interpolation\n", o->checkpoints);
    for (int i = 0; i < n; i++) {
        refused += describe_checkpoint(o, found[i]->d_name);
        free(found[i]);
    }
    free(found);
    return refused
               ? err_set(e, ERR_DATA, "%s: %d of the checkpoints would be refused", o->checkpoints, refused)
               : 0;
}

static void describe_recording(const struct server_options *o)
{
    struct statvfs fs;
    printf("recording    %s", o->record ? o->record : "none");
    if (o->record)
        printf(", %s", o->record_strict ? "strict" : "best effort");
    if (o->record && !statvfs(o->record, &fs))
        printf(", %.1f GB free", (double)fs.f_bavail * (double)fs.f_frsize / 1e9);
    putchar('\n');
}

int serve_describe(const struct server_options *o, struct err *e)
{
    const struct config *c = o->config;
    char at[320];
    warn_of_open_door(o);
    write_address(o, (int)c->server.port, at, sizeof at);
    printf("address      %s/ws/stream%s\n", at, o->token ? ", with a token" : "");
    printf("sessions     at most %lld, %ux%u, %lld samples by %s, new ones %s\n",
           (long long)c->server.max_sessions, c->server.resolution[1], c->server.resolution[0],
           (long long)c->sampling.default_sample_count, c->sampling.strategy, c->mask_update.mode);
    printf("device       %s\n", o->device_name);
    describe_recording(o);
    if (o->null_model)
        printf("checkpoints  null model: nothing is rebuilt\n");
    else if (o->checkpoints)
        return describe_checkpoints(o, e);
    else
        printf("checkpoints  none: linear interpolation\n");
    return 0;
}
