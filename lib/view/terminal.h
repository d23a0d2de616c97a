/* What the terminal at a descriptor can show, and how it is left as it was found, whatever ends the process. */
#ifndef SGAPS_VIEW_TERMINAL_H
#define SGAPS_VIEW_TERMINAL_H

enum terminal_pictures {
    TERMINAL_LETTERS,    /* plain ASCII */
    TERMINAL_BLOCKS_256, /* half blocks in 256 colours */
    TERMINAL_BLOCKS,     /* half blocks in 24-bit colour */
    TERMINAL_SIXEL
};

struct terminal {
    enum terminal_pictures pictures;
    int columns, rows;
    int cell_w, cell_h; /* pixels of a character; a usual size where the terminal does not tell */
    int moves;          /* the cursor can be placed */
};

/* fd must be a terminal. It is asked for its attributes (DA1, ESC [ c) and, where the kernel does not know it, the size of
 * a character; no answer within half a second is none. TERM=dumb is not asked. NO_COLOR and a locale without UTF-8 rule out
 * half blocks. A process in the background does not ask. One thread at a time. */
void terminal_ask(struct terminal *t, int fd);
/* Columns and rows again. 1: they have changed; 2: the process was stopped, and others may have written. */
int terminal_changed(struct terminal *t, int fd);
/* What is written to fd when a signal ends or stops the process, so that the terminal can be used again; it is copied, up
 * to 63 bytes. NULL: nothing any more. */
void terminal_leave_with(int fd, const char *text);

#endif
