/* sgaps-serve: the live loop for games that stream samples. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "cli/option.h"
#include "live/server.h"
#include "op/op.h"
#include "serve.h"

static struct {
    int64_t port;
    const char *bind, *checkpoints, *record, *record_mode, *token_file, *cert, *key, *log_metrics;
    struct option_list files, settings, origins;
    int record_reconstruction, null_model;
} option = {.port = -1};

// clang-format off
static const struct option_row rows[] = {
    {OPTION_HEADING, 0, NULL, NULL, NULL, "Where", 0, 0},
    {OPTION_INTEGER, 'p', "port", &option.port, "PORT", "port to listen at; 0 takes a free one; default 8080 (server.port)", 0, 65535},
    {OPTION_TEXT, 0, "bind", &option.bind, "ADDR", "address to listen at; default 127.0.0.1 (server.host)", 0, 0},
    {OPTION_TEXT, 0, "cert", &option.cert, "FILE", "certificate chain (PEM): wss and https", 0, 0},
    {OPTION_TEXT, 0, "key", &option.key, "FILE", "its private key (PEM)", 0, 0},
    {OPTION_HEADING, 0, NULL, NULL, NULL, "For whom", 0, 0},
    {OPTION_TEXT, 0, "token-file", &option.token_file, "FILE", "only clients that know the token in this file", 0, 0},
    {OPTION_LIST, 0, "origin", &option.origins, "ORIGIN", "also pages of this origin, such as https://lab.example; * is any; repeatable", 0, 0},
    {OPTION_HEADING, 0, NULL, NULL, NULL, "What", 0, 0},
    {OPTION_TEXT, 0, "checkpoints", &option.checkpoints, "DIR", "DIR/KEY/best.h5 for sessions of KEY; default: linear interpolation for all", 0, 0},
    {OPTION_TEXT, 0, "record", &option.record, "DIR", "record every session to DIR/KEY/TIME-ID.h5", 0, 0},
    {OPTION_CHOICE, 0, "record-mode", &option.record_mode, "best-effort|strict", "when the disk is slow: note the gap (the default), or slow the client", 0, 0},
    {OPTION_FLAG, 0, "record-reconstruction", &option.record_reconstruction, NULL, "also what the server saw, with its importance", 0, 0},
    {OPTION_TEXT, 0, "log-metrics", &option.log_metrics, "FILE", "a JSON line for every rebuilt frame, pictures beside it", 0, 0},
    {OPTION_FLAG, 0, "null-model", &option.null_model, NULL, "rebuild nothing: how much the network and the recording carry", 0, 0},
    {OPTION_HEADING, 0, NULL, NULL, NULL, "How", 0, 0},
    {OPTION_LIST, 'c', "config", &option.files, "FILE", "read configuration keys from a YAML file; repeatable", 0, 0},
    {OPTION_LIST, 0, "set", &option.settings, "KEY=VALUE", "set one configuration key; repeatable", 0, 0},
    {OPTION_END, 0, NULL, NULL, NULL, NULL, 0, 0},
};
// clang-format on

static const struct tool tool = {
    .name = "sgaps-serve",
    .purpose = "rebuild, guide and record live sessions over WebSocket",
    .synopsis =
        "[-p PORT] [--bind ADDR] [--checkpoints DIR] [--record DIR] [-c FILE]... [--set KEY=VALUE]...",
    .options = rows,
    .common = COMMON_THREADS | COMMON_DEVICE | COMMON_PRECISION | COMMON_DRY_RUN | COMMON_JSON,
    .cuda = op_cuda_available,
    .epilogue =
        "Clients connect to ws://ADDR:PORT/ws/stream; http://ADDR:PORT/ is a live page. SIGTERM or Ctrl-C "
        "ends:\n"
        "what was received is in the files then; a second one ends at once. SIGHUP loads checkpoints again.\n"
        "  sgaps-serve --checkpoints runs --record data\n"};

static struct server *server;

/* The first SIGTERM or SIGINT asks for an orderly end; the second takes the default action. */
static void on_signal(int number)
{
    if (number != SIGHUP) {
        signal(SIGINT, SIG_DFL);
        signal(SIGTERM, SIG_DFL);
    }
    server_signal(server, number);
}

static void take_signals(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
        sigaction(numbers[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN); /* a client that is gone */
}

/* A connection is a descriptor, and 1024 is soon used up. */
static void raise_descriptor_limit(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files))
        return;
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

static int configure(struct config *c, const struct parsed *p, struct err *e)
{
    int r = p->file_count ? err_set(e, ERR_USAGE, "%s: no operand is expected (--help)", p->files[0]) : 0;
    for (size_t i = 0; i < option.files.n && !r; i++)
        r = config_file(c, option.files.items[i], e);
    for (size_t i = 0; i < option.settings.n && !r; i++)
        r = config_set(c, option.settings.items[i], e);
    if (option.port >= 0)
        c->server.port = option.port;
    if (!r && option.bind && strlen(option.bind) >= sizeof c->server.host)
        r = err_set(e, ERR_USAGE, "--bind: is no address");
    if (!r && option.bind)
        memcpy(c->server.host, option.bind, strlen(option.bind) + 1);
    return r ? r : config_check(c, e);
}

static int run(const struct server_options *o, int as_json, struct err *e)
{
    raise_descriptor_limit();
    int r = server_open(&server, o, e);
    if (r)
        return r;
    take_signals();
    serve_announce(o, server_port(server));
    if (as_json)
        serve_announce_json(o, server_port(server));
    r = server_run(server, e);
    signal(SIGHUP, SIG_IGN);
    log_note("all sessions are closed");
    server_close(server);
    return r;
}

int main(int argc, char **argv)
{
    struct parsed p;
    struct config config;
    struct err e = {0};
    char *token = NULL;
    const char **origins = NULL;
    tool_parse(&tool, &p, argc, argv, 0);
    config_init(&config);
    int r = configure(&config, &p, &e);
    r = r ? r : serve_token(option.token_file, &token, &e);
    if (!r && option.origins.n)
        r = mem_alloc(&origins, option.origins.n + 1, sizeof *origins, "origins", &e);
    for (size_t i = 0; origins && i < option.origins.n; i++)
        origins[i] = option.origins.items[i];
    struct server_options o = {.config = &config,
                               .checkpoints = option.checkpoints,
                               .record = option.record,
                               .record_strict = option.record_mode && !strcmp(option.record_mode, "strict"),
                               .record_reconstruction = option.record_reconstruction,
                               .cert = option.cert,
                               .key = option.key,
                               .origins = origins,
                               .token = token,
                               .log_metrics = option.log_metrics,
                               .device = p.common.device,
                               .threads = (int)p.common.threads,
                               .precision = (enum op_precision)op_precision_named(p.common.precision),
                               .version = SGAPS_VERSION,
                               .null_model = option.null_model};
    if (!r && p.common.json && p.common.dry_run)
        r = err_set(&e, ERR_USAGE, "--json tells where it listens, with --dry-run it does not: choose one");
    r = r ? r : serve_check(&o, &e);
    if (!r)
        r = p.common.dry_run ? serve_describe(&o, &e) : run(&o, p.common.json, &e);
    if (r)
        tool_fail(&e);
    config_release(&config);
    parsed_release(&p);
    free(origins);
    free(token);
    return tool_finish(r);
}
