/* sgaps-replay: plays a recording against a server as one or many clients. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cli/option.h"
#include "replay.h"

enum { SESSIONS = 4096, TOKEN = 512 };

static struct {
    struct option_list keys;
    const char *token_file;
    int64_t sessions, count, lockstep, latency;
    double fps, duration;
    int binary, debug, insecure;
} options = {.sessions = 1, .latency = 1};

static const struct option_row rows[] = {
    {OPTION_INTEGER, 0, "sessions", &options.sessions, "N", "clients at once; default 1", 1, SESSIONS},
    {OPTION_NUMBER, 0, "fps", &options.fps, "F", "frames a second of each; default the recording's", 0.01,
     1000},
    {OPTION_NUMBER, 0, "duration", &options.duration, "S", "seconds each one plays; the recording goes round",
     0.001, 1e6},
    {OPTION_INTEGER, 0, "count", &options.count, "N", "frames each one plays; default the recording once", 1,
     1e9},
    {OPTION_LIST, 0, "checkpoint-key", &options.keys, "KEY",
     "what the sessions ask for; repeated: they take turns. Default the recording's", 0, 0},
    {OPTION_HEADING, 0, NULL, NULL, NULL, "Protocol", 0, 0},
    {OPTION_FLAG, 0, "binary", &options.binary, NULL, "the subprotocol sgaps.v1.bin", 0, 0},
    {OPTION_FLAG, 0, "debug", &options.debug, NULL, "send the full frames too, as PNG", 0, 0},
    {OPTION_INTEGER, 0, "lockstep", &options.lockstep, "N",
     "wait for the answer to every Nth frame, which is the server's mask_update.fixed_interval", 1, 1e6},
    {OPTION_INTEGER, 0, "latency", &options.latency, "FRAMES",
     "with --lockstep: a set serves from this many frames after the one it was computed from; default 1", 1,
     64},
    {OPTION_TEXT, 0, "token-file", &options.token_file, "FILE", "its first line is the bearer token", 0, 0},
    {OPTION_FLAG, 0, "insecure", &options.insecure, NULL, "wss: take any certificate", 0, 0},
    {.kind = OPTION_END}};

static const struct tool tool = {
    .name = "sgaps-replay",
    .purpose = "play a recording against a server as one or many clients",
    .synopsis = "RECORDING URL [--sessions N] [--fps F] [--duration S] [--json]",
    .options = rows,
    .common = COMMON_JSON,
    .epilogue =
        "With full frames in the recording they are sampled where the server asks; else its own samples are "
        "sent.\n"
        "  sgaps-replay test.h5 ws://127.0.0.1:8080/ws/stream --sessions 8 --fps 30 --duration 20 --json"};

static volatile sig_atomic_t interrupted;
static struct net_client *running;

static void on_signal(int number)
{
    interrupted = number;
    net_client_stop(running);
}

/* The first line of a file, without its end. */
static int read_token(const char *path, char token[TOKEN + 2], struct err *e)
{
    FILE *f = fopen(path, "r");
    if (!f)
        return err_set(e, ERR_NOINPUT, "%s: cannot open: %s", path, strerror(errno));
    char *line = fgets(token, TOKEN + 2, f);
    fclose(f);
    if (line)
        line[strcspn(line, "\r\n")] = 0;
    if (!line || !*line)
        return err_set(e, ERR_DATA, "%s: its first line is empty, where a token ought to be", path);
    return strlen(line) <= TOKEN ? 0
                                 : err_set(e, ERR_DATA, "%s: the token is longer than %d bytes", path, TOKEN);
}

static int check(const struct parsed *p, const struct film *film, struct err *e)
{
    if (options.debug && !film->tracks[0].has_frames)
        return err_set(e, ERR_DATA, "%s: has no full frames for --debug", p->files[0]);
    if (options.latency > 1 && !options.lockstep)
        return err_set(e, ERR_USAGE,
                       "--latency is for --lockstep; in an open loop it is what the server makes it");
    if (options.lockstep && !film->tracks[0].has_frames)
        return err_set(e, ERR_DATA, "%s: has no full frames, and without them --lockstep has no use",
                       p->files[0]);
    return 0;
}

static int run(const struct parsed *p, const struct film *film, const char *token, struct err *e)
{
    const struct play_options o = {.sessions = (size_t)options.sessions,
                                   .fps = options.fps,
                                   .duration = options.duration,
                                   .count = (size_t)options.count,
                                   .lockstep = (size_t)options.lockstep,
                                   .latency = (size_t)options.latency,
                                   .binary = options.binary,
                                   .debug = options.debug,
                                   .quiet = p->common.quiet,
                                   .client_name = "sgaps-replay " SGAPS_VERSION,
                                   .keys = options.keys.items,
                                   .key_count = options.keys.n};
    const struct net_client_options net = {.url = p->files[1],
                                           .protocol = options.binary ? "sgaps.v1.bin" : NULL,
                                           .token = token,
                                           .insecure = options.insecure};
    struct play play;
    int r = play_open(&play, &o, film, &net, e);
    running = play.client;
    if (!r) {
        signal(SIGINT, on_signal);
        signal(SIGTERM, on_signal);
        r = play_run(&play, e);
    }
    if (!r) {
        (p->common.json ? figures_json : figures_text)(&play.figures, stdout);
        r = interrupted ? 128 + interrupted : play.figures.failed ? ERR_NO : 0;
    }
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    play_release(&play);
    return r;
}

int main(int argc, char **argv)
{
    struct parsed p;
    struct film film = {0};
    struct err e = {0};
    char token[TOKEN + 2];
    tool_parse(&tool, &p, argc, argv, 0);
    int r = p.file_count == 2 ? 0 : err_set(&e, ERR_USAGE, "a recording and a URL are needed (see --help)");
    if (!r && options.token_file)
        r = read_token(options.token_file, token, &e);
    if (!r)
        r = film_open(&film, p.files[0], &e);
    if (!r)
        r = check(&p, &film, &e);
    if (!r)
        r = run(&p, &film, options.token_file ? token : NULL, &e);
    film_release(&film);
    free(options.keys.items);
    parsed_release(&p);
    return tool_finish(r > ERR_NO && e.text[0] ? tool_fail(&e) : r);
}
