"""What the tests of pictures share: a sixel decoder of their own, and a terminal that answers what it is asked."""
import os
import pty
import re
import select
import signal
import struct
import fcntl
import termios
import time

import numpy as np


def sixels(data):
    """The sixel pictures in a stream, as arrays (H,W,3) of 0..255; what was never painted is -1."""
    return [sixel(m.group(2)) for m in re.finditer(rb"\x1bP([0-9;]*)q(.*?)\x1b\\", data, re.S)]


def sixel(body):
    palette, rows = {}, []
    colour = x = band = 0
    at = 0
    width = height = 0

    def numbers():
        nonlocal at
        m = re.compile(rb"[0-9;]*").match(body, at)
        at = m.end()
        return [int(n or 0) for n in m.group().split(b";")]

    def paint(bits, count):
        nonlocal x, width
        while len(rows) < (band + 1) * 6:
            rows.append({})
        for bit in range(6):
            if bits >> bit & 1:
                for i in range(count):
                    rows[band * 6 + bit][x + i] = palette[colour]
        x += count
        width = max(width, x)

    while at < len(body):
        c = body[at:at + 1]
        at += 1
        if c == b'"':
            n = numbers()
            width, height = (n + [0] * 4)[2:4]
        elif c == b"#":
            n = numbers()
            colour = n[0]
            if len(n) == 5:
                assert n[1] == 2, "RGB in hundredths"
                palette[colour] = [round(v * 255 / 100) for v in n[2:]]
        elif c == b"!":
            count = numbers()[0]
            paint(body[at] - 63, count)
            at += 1
        elif c == b"$":
            x = 0
        elif c == b"-":
            x, band = 0, band + 1
        elif 63 <= c[0] <= 126:
            paint(c[0] - 63, 1)
        else:
            assert c.isspace(), c
    out = np.full((height or len(rows), width, 3), -1, int)
    for y, row in enumerate(rows):
        for column, rgb in row.items():
            assert y < len(out), "paints below its own height"
            out[y, column] = rgb
    return out


class Terminal:
    """argv on a pseudo-terminal of columns x rows. replies: what follows each question in what the program writes."""

    def __init__(self, argv, replies=((b"\x1b[c", b"\x1b[?62;4;22c"),), size=(80, 24), pixels=(800, 480), env=None,
                 stdin=None):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], *pixels))
        self.before = termios.tcgetattr(slave)
        self.slave, self.replies, self.output, self.answered = slave, replies, b"", 0
        self.pid = os.fork()
        if not self.pid:
            os.setsid()
            fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
            os.dup2(stdin if stdin is not None else slave, 0)
            os.dup2(slave, 1)
            os.dup2(slave, 2)
            environment = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "COLORTERM", "LC_CTYPE")}
            environment.update({"TERM": "xterm", "LC_ALL": "C.UTF-8"})
            environment.update(env or {})
            os.execvpe(argv[0], argv, {k: v for k, v in environment.items() if v is not None})

    def read(self, seconds=0.1):
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return False
        try:
            got = os.read(self.master, 65536)
        except OSError:
            return None
        self.output += got
        for question, answer in self.replies:
            at = self.output.find(question, self.answered)
            if at >= 0:
                self.answered = at + len(question)
                os.write(self.master, answer)
        return True

    def until(self, condition, seconds=20):
        end = time.time() + seconds
        while not condition(self.output):
            if self.read() is None or time.time() > end:
                return condition(self.output)
        return True

    def wait(self, seconds=30):
        """The exit status as the shell has it."""
        end = time.time() + seconds
        while time.time() < end:
            self.read(0.02)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                while self.read(0.05):
                    pass
                return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        return None

    def as_found(self):
        return termios.tcgetattr(self.slave) == self.before


def grey_of(picture):
    """(H,W) of a grey picture, whose three channels must agree."""
    assert (picture[..., 0] == picture[..., 1]).all() and (picture[..., 0] == picture[..., 2]).all()
    return picture[..., 0]


def pgms(data):
    out = []
    while data:
        m = re.match(rb"P5\s(\d+) (\d+)\s255\s", data)
        w, h = int(m.group(1)), int(m.group(2))
        out.append(np.frombuffer(data, np.uint8, w * h, m.end()).reshape(h, w).astype(int))
        data = data[m.end() + w * h:]
    return out
