#include "view/terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "base/atomic_file.h"
#include "base/clock.h"

enum { PATIENCE_MS = 500 };

/* --- what a signal puts right: only write and tcsetattr, which it may call --- */

static struct termios found;
static volatile sig_atomic_t asking = -1, leaving = -1; /* descriptors, -1: nothing to put right */
static volatile sig_atomic_t stopped;
static char farewell[64];

static void put_right(void)
{
    if (asking >= 0)
        tcsetattr(asking, TCSANOW, &found);
    if (leaving >= 0) {
        ssize_t n = write(leaving, farewell, strlen(farewell));
        (void)n;
    }
}

/* Ctrl-Z: the shell gets its terminal as it was; the next picture sets up its own. */
static void on_stop(int number)
{
    sigset_t only;
    put_right();
    stopped = 1;
    signal(number, SIG_DFL);
    raise(number);
    sigemptyset(&only);
    sigaddset(&only, number);
    sigprocmask(SIG_UNBLOCK, &only, NULL); /* stops here, goes on with SIGCONT */
    signal(number, on_stop);
}

static void guard(void)
{
    struct sigaction old;
    atomic_file_also_on_signal(put_right);
    sigaction(SIGTSTP, NULL, &old);
    if (old.sa_handler == SIG_DFL) /* a shell without job control ignores it */
        signal(SIGTSTP, on_stop);
}

void terminal_leave_with(int fd, const char *text)
{
    leaving = -1;
    if (!text)
        return;
    snprintf(farewell, sizeof farewell, "%s", text);
    guard();
    leaving = fd;
}

/* --- questions --- */

struct answers {
    int attributes, sixel, cell_w, cell_h;
};

/* "ESC [ ? 6 2 ; 4 ; 2 2 c" to DA1: the first number is the class, a 4 among the others says sixel;
 * "ESC [ 6 ; h ; w t": the size of a character. What else stands there was typed. */
static void read_answer(const char *text, struct answers *a)
{
    for (const char *p = strstr(text, "\033["); p; p = strstr(p + 2, "\033[")) {
        int h, w;
        if (p[2] == '?') {
            const char *q = p + 3;
            size_t n = strspn(q, "0123456789;");
            if (q[n] != 'c')
                continue;
            a->attributes = 1;
            for (q = strchr(q, ';'); q && q < p + 3 + n; q = strchr(q + 1, ';'))
                a->sixel |= strtol(q + 1, NULL, 10) == 4;
        } else if (sscanf(p + 2, "6;%d;%dt", &h, &w) == 2 && h > 0 && w > 0 && h < 256 && w < 256) {
            a->cell_h = h;
            a->cell_w = w;
        }
    }
}

static void converse(int tty, int cell, struct answers *a)
{
    char text[512];
    size_t n = 0;
    const char *question = cell ? "\033[16t\033[c" : "\033[c";
    double end = clock_seconds() + PATIENCE_MS / 1e3;
    if (write(tty, question, strlen(question)) < 0)
        return;
    while (!a->attributes && n < sizeof text - 1) {
        struct pollfd p = {.fd = tty, .events = POLLIN};
        double left = end - clock_seconds();
        if (left <= 0 || poll(&p, 1, (int)(left * 1e3) + 1) <= 0)
            return;
        ssize_t got = read(tty, text + n, sizeof text - 1 - n);
        if (got <= 0)
            return;
        for (ssize_t i = 0; i < got; i++, n++)
            text[n] = text[n] ? text[n] : ' ';
        text[n] = 0;
        read_answer(text, a);
    }
}

static void question(int fd, int cell, struct answers *a)
{
    char name[64];
    int tty = -1;
    if (!ttyname_r(fd, name, sizeof name))
        tty = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (tty < 0) /* a container may not see its name */
        tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (tty < 0)
        return;
    struct termios quiet;
    if (tcgetpgrp(tty) == getpgrp() && !tcgetattr(tty, &found)) {
        quiet = found;
        quiet.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        quiet.c_cc[VMIN] = 0;
        quiet.c_cc[VTIME] = 0;
        guard();
        asking = tty;
        if (!tcsetattr(tty, TCSANOW, &quiet))
            converse(tty, cell, a);
        tcsetattr(tty, TCSANOW, &found);
        asking = -1;
    }
    close(tty);
}

/* --- what the environment says --- */

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "";
}

static int is_utf8(void)
{
    const char *names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (int i = 0; i < 3; i++)
        if (*variable(names[i])) /* the first that is set counts */
            return strcasestr(variable(names[i]), "utf-8") || strcasestr(variable(names[i]), "utf8");
    return 0;
}

static enum terminal_pictures by_environment(const char *term)
{
    static const char *const many[] = {"xterm", "screen", "tmux", "rxvt", "foot", "alacritty", "kitty"};
    const char *colour = variable("COLORTERM");
    if (*variable("NO_COLOR") || !is_utf8())
        return TERMINAL_LETTERS;
    if (!strcmp(colour, "truecolor") || !strcmp(colour, "24bit") || strstr(term, "-direct"))
        return TERMINAL_BLOCKS;
    int enough = *colour || strstr(term, "256color");
    for (size_t i = 0; i < sizeof many / sizeof *many; i++)
        enough |= !strncmp(term, many[i], strlen(many[i]));
    return enough ? TERMINAL_BLOCKS_256 : TERMINAL_LETTERS;
}

int terminal_changed(struct terminal *t, int fd)
{
    struct winsize w = {0};
    int columns = t->columns, rows = t->rows;
    ioctl(fd, TIOCGWINSZ, &w);
    t->columns = w.ws_col ? w.ws_col : 80;
    t->rows = w.ws_row ? w.ws_row : 24;
    if (w.ws_col && w.ws_row && w.ws_xpixel && w.ws_ypixel) {
        t->cell_w = w.ws_xpixel / w.ws_col;
        t->cell_h = w.ws_ypixel / w.ws_row;
    }
    int change = stopped ? 2 : columns != t->columns || rows != t->rows;
    stopped = 0;
    return change;
}

void terminal_ask(struct terminal *t, int fd)
{
    const char *term = variable("TERM");
    struct answers a = {0};
    *t = (struct terminal){.pictures = TERMINAL_LETTERS};
    terminal_changed(t, fd);
    t->moves = *term && strcmp(term, "dumb") != 0;
    if (t->moves) {
        t->pictures = by_environment(term);
        question(fd, !t->cell_h, &a);
        if (a.sixel)
            t->pictures = TERMINAL_SIXEL;
    }
    if (t->cell_w < 1 || t->cell_h < 1) {
        t->cell_w = a.cell_w ? a.cell_w : 10;
        t->cell_h = a.cell_h ? a.cell_h : 20;
    }
}
