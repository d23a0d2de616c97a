#!/usr/bin/python3
"""The WebSocket standard, as the public Autobahn case list divides it: sections 1-7, 9 and 10 re-created, against the echo
server. Each case is a line, with the list's number. SGAPS_LIVE=full: the list's own sizes in section 9 (else smaller)."""
import os
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.insert(0, os.path.join(os.environ["SGAPS_ROOT"], "tests", "support"))
from raw_websocket import *  # noqa: E402,F403

FULL = os.environ.get("SGAPS_LIVE") == "full"
tap = Tap()

# What libwebsockets 4.1.6 does not do, and no callback of its lets the server do for it.
PINGS = "pings that come while a pong waits to be sent are dropped (the standard lets a server answer the last one only)"
KNOWN = {"2.10": PINGS, "2.11": PINGS,
         "5.1 of the standard:": "the mask bit of a client's frame is not looked at; masking guards proxies, not the server"}
waiting = ThreadPoolExecutor(16)
running = []


def case(*what, **how):
    running.append(waiting.submit(run_case, *what, **how))


def run_case(server, number, what, sent, expected, end=1000, chop=0, pause=0):
    """sent: byte strings, one send each. expected: messages that have to come, in this order; a tuple of such lists: any of
    them. end: 1000: all is well, and the client closes; else the codes (None: no close frame) that the server may end
    with."""
    lists = expected if isinstance(expected, tuple) else (expected,)
    try:
        c = Client(server, timeout=2 if number in KNOWN else None)
        got, code, failure = [], None, ""
        try:
            for data in sent:
                c.send(data, chop)
                if pause:
                    time.sleep(pause)
        except ConnectionError:
            if end == 1000:
                raise
        if end == 1000:
            while len(got) < len(lists[0]):
                got.append(c.message())
                if got[-1][0] == CLOSE:
                    break
            c.send(frame(CLOSE, close_body(1000)))
        rest, code = c.farewell()
        got += rest
        if got not in lists:
            failure = "came: %s" % short(got)
        codes = (1000,) if end == 1000 else end
        if not failure and code not in codes:
            failure = "closed with %s, not %s" % (code, " or ".join(map(str, codes)))
        c.close()
    except Ended:
        failure = "the connection ended"
    except (socket.timeout, TimeoutError):
        failure = "nothing came"
    except (AssertionError, ConnectionError) as e:
        failure = str(e) or repr(e)
    return number, "%s %s" % (number, what), failure


def tell(server):
    for future in running:
        number, name, failure = future.result()
        tap(not failure, name, failure if server.alive() else "the server died", KNOWN.get(number))
    del running[:]


def short(messages):
    return ["%s %s%s" % (o, d[:40], "... %d" % len(d) if len(d) > 40 else "") for o, d in messages]


def section_1(server):
    for group, opcode, name in ((1, TEXT, "text"), (2, BINARY, "binary")):
        for i, n in enumerate((0, 125, 126, 127, 128, 65535, 65536, 65536)):
            data = (b"*" if opcode == TEXT else b"\xfe") * n
            chop = 997 if i == 7 else 0
            case(server, "1.%d.%d" % (group, i + 1), "%s of %d bytes%s" % (name, n, " in pieces of 997" if chop else ""),
                 [frame(opcode, data)], [(opcode, data)], chop=chop)


def section_2(server):
    for i, (payload, what) in enumerate(((b"", "empty"), (b"Hello, world!", "text"),
                                         (b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff", "binary"), (b"\xfe" * 125, "125 bytes"))):
        case(server, "2.%d" % (i + 1), "ping, %s" % what, [frame(PING, payload)], [(PONG, payload)])
    case(server, "2.5", "ping of 126 bytes", [frame(PING, b"\xfe" * 126)], [], end=(1002, None))
    case(server, "2.6", "ping of 125 bytes, byte by byte", [frame(PING, b"\xfe" * 125)], [(PONG, b"\xfe" * 125)], chop=1)
    case(server, "2.7", "unasked pong, empty", [frame(PONG)], [])
    case(server, "2.8", "unasked pong with payload", [frame(PONG, b"unasked")], [])
    case(server, "2.9", "unasked pong, then ping", [frame(PONG, b"unasked"), frame(PING, b"ping")], [(PONG, b"ping")])
    pings = [b"payload-%d" % i for i in range(10)]
    case(server, "2.10", "ten pings at once", [b"".join(frame(PING, p) for p in pings)], [(PONG, p) for p in pings])
    case(server, "2.11", "ten pings, byte by byte", [b"".join(frame(PING, p) for p in pings)], [(PONG, p) for p in pings],
         chop=1)


def section_3(server):
    text, wrong = frame(TEXT, b"small"), (1002,)
    maybe = ([(TEXT, b"small")], [])
    case(server, "3.1", "text with RSV 1", [frame(TEXT, b"x", rsv=1)], [], end=wrong)
    case(server, "3.2", "text, text with RSV 2, ping", [text + frame(TEXT, b"x", rsv=2) + frame(PING)], maybe, end=wrong)
    case(server, "3.3", "the same, frame by frame", [text, frame(TEXT, b"x", rsv=3), frame(PING)], maybe, end=wrong)
    case(server, "3.4", "the same with RSV 4, byte by byte", [text + frame(TEXT, b"x", rsv=4) + frame(PING)], maybe,
         end=wrong, chop=1)
    case(server, "3.5", "binary with RSV 5", [frame(BINARY, b"\x00" * 8, rsv=5)], [], end=wrong)
    case(server, "3.6", "ping with RSV 6", [frame(PING, b"x", rsv=6)], [], end=wrong)
    case(server, "3.7", "close with RSV 7", [frame(CLOSE, close_body(1000), rsv=7)], [], end=wrong)


def section_4(server):
    for group, first in ((1, 3), (2, 11)):
        for i in range(5):
            opcode = first + i
            bad = frame(opcode, b"x" if i % 2 else b"")
            if i < 2:
                case(server, "4.%d.%d" % (group, i + 1), "opcode %d" % opcode, [bad], [], end=(1002,))
            else:
                case(server, "4.%d.%d" % (group, i + 1), "text, opcode %d, ping" % opcode,
                     [frame(TEXT, b"small") + bad + frame(PING)], ([(TEXT, b"small")], []), end=(1002,),
                     chop=1 if i == 4 else 0)


def section_5(server):
    one, two = frame(TEXT, b"fragment1", fin=0), frame(CONTINUATION, b"fragment2")
    both = [(TEXT, b"fragment1fragment2")]
    wrong = (1002,)
    case(server, "5.1", "ping in two fragments", [frame(PING, b"fragment1", fin=0) + two], [], end=wrong)
    case(server, "5.2", "pong in two fragments", [frame(PONG, b"fragment1", fin=0) + two], [], end=wrong)
    case(server, "5.3", "text in two fragments, at once", [one + two], both)
    case(server, "5.4", "text in two fragments, frame by frame", [one, two], both)
    case(server, "5.5", "text in two fragments, byte by byte", [one + two], both, chop=1)
    ping = frame(PING, b"ping payload")
    answer = [(PONG, b"ping payload")] + both
    case(server, "5.6", "a ping between fragments, at once", [one + ping + two], (answer, both + answer[:1]))
    case(server, "5.7", "a ping between fragments, frame by frame", [one, ping, two], (answer, both + answer[:1]), pause=.02)
    case(server, "5.8", "a ping between fragments, byte by byte", [one + ping + two], (answer, both + answer[:1]), chop=1)
    for i in range(6):
        stray = frame(CONTINUATION, b"non-continuation payload", fin=1 if i < 3 else 0)
        hello = frame(TEXT, b"Hello, world!")
        case(server, "5.%d" % (9 + i), "a continuation (FIN %d) of nothing, %s" %
             (i < 3, ("at once", "frame by frame", "byte by byte")[i % 3]),
             [stray, hello] if i % 3 == 1 else [stray + hello], [], end=wrong, chop=1 if i % 3 == 2 else 0)
    case(server, "5.15", "text in two fragments, then a continuation of nothing",
         [one + two + frame(CONTINUATION, b"fragment3", fin=0) + frame(TEXT, b"fragment4")], (both, []), end=wrong)
    for number, fin in (("5.16", 0), ("5.17", 1)):
        again = frame(CONTINUATION, b"fragment1", fin=fin) + frame(TEXT, b"fragment2", fin=0) + \
            frame(CONTINUATION, b"fragment3")
        case(server, number, "twice: a continuation (FIN %d) of nothing, a text in two" % fin, [again + again], [], end=wrong)
    case(server, "5.18", "text in two fragments, both text", [one + frame(TEXT, b"fragment2")], [], end=wrong)
    parts = [frame(TEXT, b"fragment1", fin=0)] + [frame(CONTINUATION, b"fragment%d" % i, fin=i == 5) for i in range(2, 6)]
    whole = b"".join(b"fragment%d" % i for i in range(1, 6))
    pongs = [(PONG, b"pongme 1!"), (PONG, b"pongme 2!")]
    mixed = parts[:2] + [frame(PING, b"pongme 1!")] + parts[2:4] + [frame(PING, b"pongme 2!")] + parts[4:]
    case(server, "5.19", "five fragments and two pings, with pauses", mixed, pongs + [(TEXT, whole)], pause=.1)
    case(server, "5.20", "five fragments and two pings, frame by frame", mixed, pongs + [(TEXT, whole)], pause=.01)


KOSME = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"


def text_case(server, number, data, valid, what=None):
    case(server, number, what or ("valid" if valid else "not valid") + ": " + data[:24].hex(" "), [frame(TEXT, data)],
         [(TEXT, data)] if valid else [], end=1000 if valid else (1007,))


def fragments(data, size=1):
    """A text in fragments of `size` bytes."""
    parts = [data[i:i + size] for i in range(0, len(data), size)]
    return [frame(CONTINUATION if i else TEXT, p, fin=i == len(parts) - 1) for i, p in enumerate(parts)]


def section_6(server):
    case(server, "6.1.1", "text of no bytes", [frame(TEXT)], [(TEXT, b"")])
    case(server, "6.1.2", "three fragments of no bytes",
         [frame(TEXT, fin=0), frame(CONTINUATION, fin=0), frame(CONTINUATION)], [(TEXT, b"")])
    case(server, "6.1.3", "three fragments, only the middle one has bytes",
         [frame(TEXT, fin=0), frame(CONTINUATION, b"middle frame payload", fin=0), frame(CONTINUATION)],
         [(TEXT, b"middle frame payload")])
    hello = "Hello-µ@ßöäüàá-UTF-8!!".encode()
    case(server, "6.2.1", "valid, one frame", [frame(TEXT, hello)], [(TEXT, hello)])
    case(server, "6.2.2", "valid, cut between characters",
         [frame(TEXT, hello[:12], fin=0), frame(CONTINUATION, hello[12:])], [(TEXT, hello)])
    case(server, "6.2.3", "valid, fragments of a byte", fragments(hello), [(TEXT, hello)])
    case(server, "6.2.4", "valid, fragments of a byte", fragments(KOSME), [(TEXT, KOSME)])
    bad = KOSME + b"\xed\xa0\x80" + b"edited"
    case(server, "6.3.1", "a surrogate, one frame", [frame(TEXT, bad)], [], end=(1007,))
    case(server, "6.3.2", "a surrogate, fragments of a byte", [b"".join(fragments(bad))], [], end=(1007,))
    over = b"\xf4\x90\x80\x80"
    case(server, "6.4.1", "above U+10FFFF, the end withheld: told at once",
         [frame(TEXT, KOSME, fin=0), frame(CONTINUATION, over, fin=0)], [], end=(1007,))
    case(server, "6.4.2", "above U+10FFFF, half the character is enough",
         [frame(TEXT, KOSME + b"\xf4", fin=0), frame(CONTINUATION, b"\x90", fin=0)], [], end=(1007,))
    whole = frame(TEXT, KOSME + over + b"edited")
    case(server, "6.4.3", "above U+10FFFF, in one frame that does not end", [whole[:6 + 15]], [], end=(1007,))
    case(server, "6.4.4", "above U+10FFFF, in one frame, half the character", [whole[:6 + 13]], [], end=(1007,))
    numbered(server, "6.5", True, b"hello$world", b"hello\xc2\xa2world", b"hello\xe2\x82\xacworld",
             b"hello\xf0\xa4\xad\xa2world", KOSME)
    for i in range(1, len(KOSME) + 1):
        text_case(server, "6.6.%d" % i, KOSME[:i], i in (2, 5, 7, 9, 11))
    numbered(server, "6.7", True, b"\x00", b"\xc2\x80", b"\xe0\xa0\x80", b"\xf0\x90\x80\x80")
    numbered(server, "6.8", False, b"\xf8\x88\x80\x80\x80", b"\xfc\x84\x80\x80\x80\x80")
    numbered(server, "6.9", True, b"\x7f", b"\xdf\xbf", b"\xef\xbf\xbf", b"\xf4\x8f\xbf\xbf")
    numbered(server, "6.10", False, b"\xf7\xbf\xbf\xbf", b"\xfb\xbf\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf\xbf")
    numbered(server, "6.11", True, b"\xed\x9f\xbf", b"\xee\x80\x80", b"\xef\xbf\xbd", b"\xf4\x8f\xbf\xbf")
    text_case(server, "6.11.5", b"\xf4\x90\x80\x80", False)
    numbered(server, "6.12", False, b"\x80", b"\xbf", b"\x80\xbf", b"\x80\xbf\x80", b"\x80\xbf\x80\xbf",
             b"\x80\xbf\x80\xbf\x80", b"\x80\xbf\x80\xbf\x80\xbf", bytes(range(0x80, 0xc0)))
    numbered(server, "6.13", False, *(b"".join(bytes([b]) + b" " for b in group) for group in (
        range(0xc0, 0xe0), range(0xe0, 0xf0), range(0xf0, 0xf8), range(0xf8, 0xfc), (0xfc, 0xfd))))
    cut = [b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xf8\x80\x80\x80", b"\xfc\x80\x80\x80\x80", b"\xdf", b"\xef\xbf",
           b"\xf7\xbf\xbf", b"\xfb\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf"]
    numbered(server, "6.14", False, *cut)
    numbered(server, "6.15", False, b"".join(cut))
    numbered(server, "6.16", False, b"\xfe", b"\xff", b"\xfe\xfe\xff\xff")
    numbered(server, "6.17", False, b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf",
             b"\xfc\x80\x80\x80\x80\xaf")
    numbered(server, "6.18", False, b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf8\x87\xbf\xbf\xbf",
             b"\xfc\x83\xbf\xbf\xbf\xbf")
    numbered(server, "6.19", False, b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xf8\x80\x80\x80\x80",
             b"\xfc\x80\x80\x80\x80\x80")
    single = [b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf", b"\xed\xb0\x80", b"\xed\xbe\x80",
              b"\xed\xbf\xbf"]
    numbered(server, "6.20", False, *single)
    numbered(server, "6.21", False, *(a + b for a in single[:4] for b in (single[4], single[6])))
    planes = [("%c" % (plane << 16 | low)).encode() for plane in range(17) for low in (0xfffe, 0xffff)]
    numbered(server, "6.22", True, *planes)
    numbered(server, "6.23", True, *(b"\xef\xbf" + bytes([b]) for b in range(0xb9, 0xc0)))


def numbered(server, group, valid, *texts):
    for i, data in enumerate(texts):
        text_case(server, "%s.%d" % (group, i + 1), data, valid)


def section_7(server):
    hello, bye = frame(TEXT, b"Hello World!"), frame(CLOSE, close_body(1000))
    case(server, "7.1.1", "text, close", [hello], [(TEXT, b"Hello World!")])
    case(server, "7.1.2", "two close frames", [bye + bye], [], end=(1000,))
    case(server, "7.1.3", "a ping after close", [bye + frame(PING)], [], end=(1000,))
    case(server, "7.1.4", "a text after close", [bye + hello], [], end=(1000,))
    case(server, "7.1.5", "a fragment, close, the other fragment",
         [frame(TEXT, b"fragment1", fin=0) + bye + frame(CONTINUATION, b"fragment2")], [], end=(1000,))
    large = b"BAsd7&jh23" * 26214
    case(server, "7.1.6", "256 kB, close, ping", [frame(TEXT, large), bye + frame(PING)], ([(TEXT, large)], []),
         end=(1000, None))
    case(server, "7.3.1", "close without a body", [frame(CLOSE)], [], end=(1005, 1000))
    case(server, "7.3.2", "close with half a code", [frame(CLOSE, b"a")], [], end=(1002,))
    case(server, "7.3.3", "close with a code", [frame(CLOSE, close_body(1000))], [], end=(1000,))
    case(server, "7.3.4", "close with a reason", [frame(CLOSE, close_body(1000, b"Hello World!"))], [], end=(1000,))
    case(server, "7.3.5", "close with the longest reason", [frame(CLOSE, close_body(1000, b"*" * 123))], [], end=(1000,))
    case(server, "7.3.6", "close with a reason too long", [frame(CLOSE, close_body(1000, b"*" * 124))], [],
         end=(1002, None))
    case(server, "7.5.1", "close with a reason that is not UTF-8",
         [frame(CLOSE, close_body(1000, KOSME + b"\xed\xa0\x80edited"))], [], end=(1007,))
    for i, code in enumerate((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999)):
        case(server, "7.7.%d" % (i + 1), "close with %d" % code, [frame(CLOSE, close_body(code))], [], end=(code,))
    for i, code in enumerate((0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999)):
        case(server, "7.9.%d" % (i + 1), "close with %d, which is no code" % code, [frame(CLOSE, close_body(code))], [],
             end=(1002,))
    for i, code in enumerate((5000, 65535)):
        case(server, "7.13.%d" % (i + 1), "close with %d, which the standard leaves open" % code,
             [frame(CLOSE, close_body(code))], [], end=(code, 1002, 1000))


def section_9(server):
    unit = 1 << 20 if FULL else 1 << 16
    kinds = ((1, TEXT, "text", b"BAsd7&jh23"), (2, BINARY, "binary", b"\x00\xfe\x80BAsd7&j"))
    for group, opcode, name, pattern in kinds:
        for i, n in enumerate((unit // 16, unit // 4, unit, 4 * unit, 8 * unit, 16 * unit)):
            data = (pattern * (n // 10 + 1))[:n]
            case(server, "9.%d.%d" % (group, i + 1), "%s of %d bytes" % (name, n), [frame(opcode, data)], [(opcode, data)])
    for group, opcode, name, pattern in kinds:
        data = (pattern * (4 * unit // 10 + 1))[:4 * unit]
        for i, size in enumerate(64 * 4 ** k if FULL or k > 2 else 1024 for k in range(9)):
            parts = [data[k:k + size] for k in range(0, len(data), size)]
            sent = b"".join(frame(opcode if k == 0 else 0, p, fin=k == len(parts) - 1) for k, p in enumerate(parts))
            case(server, "9.%d.%d" % (group + 2, i + 1), "%s of %d bytes in fragments of %d" % (name, len(data), size),
                 [sent], [(opcode, data)])
    for group, opcode, name, pattern in kinds:
        data = (pattern * (unit // 10 + 1))[:unit]
        for i in range(6):
            case(server, "9.%d.%d" % (group + 4, i + 1), "%s of %d bytes in pieces of %d" % (name, unit, 64 << i),
                 [frame(opcode, data)], [(opcode, data)], chop=64 << i)
    for group, opcode, name, pattern in kinds:
        for i, n in enumerate((0, 16, 64, 256, 1024, 4096)):
            data, count = (pattern * (n // 10 + 1))[:n], 1000 if FULL else 200
            one = frame(opcode, data)
            case(server, "9.%d.%d" % (group + 6, i + 1), "%d %s messages of %d bytes" % (count, name, n), [one] * count,
                 [(opcode, data)] * count)


def section_10(server):
    data = (b"BAsd7&jh23" * 6554)[:65536]
    case(server, "10.1.1", "65536 bytes in fragments of 1300", [b"".join(fragments(data, 1300))], [(TEXT, data)])


def masking(server):
    case(server, "5.1 of the standard:", "an unmasked frame", [frame(TEXT, b"bare", masked=False)], [], end=(1002,))


server = Echo()
for section in (section_1, section_2, section_3, section_4, section_5, section_6, section_7, section_9, section_10, masking):
    section(server)
    tell(server)
found = server.end()
tap(found["status"] == 0 and found["open"] == 0 and found["opened"] == found["closed"],
    "the server has told every end, and ends itself", found)
tap.done()
