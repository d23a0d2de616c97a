#!/usr/bin/env python3
"""Plays Freedoom in ViZDoom with a simple agent and records the game as an SGAPS recording."""
import argparse
import math
import os
import re
import shlex
import signal
import sys
import tempfile

NAME = "doom-record"
TICRATE = 35
RENDER = ((320, 240), (640, 480), (800, 600), (1024, 768), (1280, 960), (1600, 1200))

# State column -> ViZDoom's variable. Angles are given as sine and cosine: degrees jump at 0/360.
VARIABLES = (
    ("position_x", "POSITION_X"), ("position_y", "POSITION_Y"), ("position_z", "POSITION_Z"),
    ("angle", "ANGLE"), ("pitch", "PITCH"),
    ("velocity_x", "VELOCITY_X"), ("velocity_y", "VELOCITY_Y"), ("velocity_z", "VELOCITY_Z"),
    ("view_height", "VIEW_HEIGHT"), ("on_ground", "ON_GROUND"),
    ("health", "HEALTH"), ("armor", "ARMOR"),
    ("weapon", "SELECTED_WEAPON"), ("weapon_ammo", "SELECTED_WEAPON_AMMO"), ("attack_ready", "ATTACK_READY"),
    ("bullets", "AMMO2"), ("shells", "AMMO3"), ("rockets", "AMMO5"), ("cells", "AMMO6"),
    ("kills", "KILLCOUNT"), ("items", "ITEMCOUNT"), ("secrets", "SECRETCOUNT"),
    ("hits", "HITCOUNT"), ("hits_taken", "HITS_TAKEN"),
    ("damage", "DAMAGECOUNT"), ("damage_taken", "DAMAGE_TAKEN"),
)


USAGE, BAD_DATA, NO_INPUT, UNAVAILABLE, CANNOT_CREATE, IO_ERROR = 64, 65, 66, 69, 73, 74     # as the tools have them


def fail(code, message):
    sys.stderr.write("%s: %s\n" % (NAME, message))
    sys.exit(code)


try:
    import h5py  # noqa: F401
    import numpy as np
except ImportError as error:
    fail(UNAVAILABLE, "%s is not installed: apt install python3-h5py, or pip install h5py" % error.name)

from agent import BUTTONS, Agent, wrap  # noqa: E402
from recording import Recording  # noqa: E402


def number(kind, low, high):
    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError("'%s' is not a number from %g to %g" % (text, low, high))
        return value
    return parse


def level_list(text):
    """"1-3,1" -> [1, 2, 3, 1]"""
    levels = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        try:
            levels += range(int(first), int(last if dash else first) + 1)
        except ValueError:
            levels = []
            break
    if not levels or min(levels) < 1 or max(levels) > 32 or max(map(levels.count, levels)) > 26:
        raise argparse.ArgumentTypeError("'%s' is not a list of levels from 1 to 32, such as 1-6,1,3" % text)
    return levels


class Parser(argparse.ArgumentParser):
    def error(self, message):
        fail(USAGE, "%s (try --help)" % message)


def options():
    p = Parser(prog=NAME, description=__doc__)
    p.add_argument("-o", "--output", required=True, metavar="FILE", help="recording to write")
    p.add_argument("--levels", type=level_list, default="1-6", metavar="LIST",
                   help="levels to play, e.g. 1-6,1,3; a level named again gets another session with "
                        "another seed (default %(default)s)")
    p.add_argument("--size", type=number(int, 16, 1200), default=224, metavar="N",
                   help="frames are N x N pixels (default %(default)s)")
    p.add_argument("--fps", type=number(float, 0.1, TICRATE), default=10, metavar="F",
                   help="frames per second of game time, at most 35 (default %(default)s)")
    p.add_argument("--seconds", type=number(float, 0.1, 36000), default=15, metavar="S",
                   help="length of a session (default %(default)s)")
    p.add_argument("--warmup", type=number(float, 0, 3600), default=0, metavar="S",
                   help="second, third ... sessions of a level begin S, 2S ... seconds into the game, so that "
                        "they show other rooms (default %(default)s)")
    p.add_argument("--no-hud", action="store_true", help="the view alone, without the status bar")
    p.add_argument("--gamma", type=number(float, 0.2, 5), default=1.4, metavar="G",
                   help="brightness, as a player would set it (default %(default)s; 1 is the game's own)")
    p.add_argument("--skill", type=number(int, 1, 5), default=1, metavar="N", help="1 easy .. 5 (default %(default)s)")
    p.add_argument("--seed", type=number(int, 0, 2**31 - 1), default=1, metavar="N", help="(default %(default)s)")
    p.add_argument("--wad", metavar="FILE",
                   help="another game file with levels MAPnn (default: ViZDoom's freedoom2.wad)")
    p.add_argument("-q", "--quiet", action="store_true", help="no line per session")
    return p.parse_args()


def average_rows(image, target):
    """Exact area averaging of the rows of an image to `target` rows."""
    source = image.shape[0]
    sums = np.zeros((source + 1,) + image.shape[1:])
    np.cumsum(image, axis=0, out=sums[1:])
    edge = np.arange(target + 1) * (source / target)
    whole = np.minimum(edge.astype(int), source - 1)
    at = sums[whole] + (edge - whole)[:, None] * (sums[whole + 1] - sums[whole])
    return np.diff(at, axis=0) * (target / source)


class Doom:
    """ViZDoom, one level at a time, seen as a square greyscale picture, a state and what the agent needs."""

    def __init__(self, vzd, args):
        self.gamma = args.gamma
        self.size = args.size
        want = min(4 * args.size, 960)            # draw about four times finer and average
        width, height = next(r for r in RENDER if r[1] >= max(want, args.size))
        self.crop = slice((width - height) // 2, (width - height) // 2 + height)
        game = self.game = vzd.DoomGame()
        game.set_doom_game_path(args.wad)
        game.set_screen_resolution(getattr(vzd.ScreenResolution, "RES_%dX%d" % (width, height)))
        game.set_screen_format(vzd.ScreenFormat.GRAY8)
        game.set_depth_buffer_enabled(True)
        game.set_labels_buffer_enabled(True)
        game.set_sectors_info_enabled(True)
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        game.set_render_hud(not args.no_hud)
        game.set_render_crosshair(False)
        game.set_render_messages(False)
        game.set_render_corpses(True)
        game.set_mode(vzd.Mode.PLAYER)
        game.set_doom_skill(args.skill)
        game.set_episode_timeout(0)
        game.set_episode_start_time(10)           # the weapon is up by then
        game.set_available_buttons([getattr(vzd.Button, b) for b in BUTTONS])
        game.set_available_game_variables([getattr(vzd.GameVariable, v) for _, v in VARIABLES])
        game.set_console_enabled(False)
        game.add_game_args("+con_midtime 0.01")      # no "you need a key" in the middle of the picture
        game.init()

    def start(self, level, seed):
        self.game.set_seed(seed)
        self.game.set_doom_map("map%02d" % level)
        self.game.new_episode()

    def alive(self):
        return not self.game.is_episode_finished() and not self.game.is_player_dead()

    def observe(self):
        raw = self.game.get_state()
        values = dict(zip((n for n, _ in VARIABLES), raw.game_variables))
        values["pitch"] = wrap(values["pitch"])
        return raw, values

    def picture(self, raw):
        square = raw.screen_buffer[:, self.crop]
        mean = np.clip(average_rows(average_rows(square, self.size).T, self.size).T, 0, 255)
        return np.rint(255 * (mean / 255) ** (1 / self.gamma)).astype(np.uint8)


def state_names():
    names = [n for n, _ in VARIABLES]
    at = names.index("angle")
    return names[:at] + ["angle_sin", "angle_cos"] + names[at + 1:]


def state_row(values):
    row = []
    for name, _ in VARIABLES:
        if name == "angle":
            row += [math.sin(math.radians(values[name])), math.cos(math.radians(values[name]))]
        else:
            row.append(values[name])
    return row


def play(doom, agent, tics, due=None):
    """Plays until `tics` tics have passed or the game ends; due(tic, raw, values) sees every decision's state."""
    first = None
    while doom.alive():
        raw, values = doom.observe()
        first = raw.tic if first is None else first
        passed = raw.tic - first
        until = due(passed, raw, values) if due else passed + 4
        if passed >= tics or until is None:
            return True
        view = dict(x=values["position_x"], y=values["position_y"], angle=values["angle"], pitch=values["pitch"],
                    weapon=values["weapon"], ammo=values["weapon_ammo"])
        step = max(1, min(4, until - passed))
        doom.game.make_action(agent.act(raw.tic, step, view, raw.depth_buffer, raw.labels), step)
    return False


def record(doom, recording, name, level, args, take, client):
    warmup = take * args.warmup * TICRATE
    for attempt in range(5):
        doom.start(level, (args.seed * 1000003 + level * 1009 + take * 101 + attempt) % 2**31)
        agent = Agent([args.seed, level, take, attempt], doom.game.get_state().sectors)
        if play(doom, agent, warmup):
            break
    else:
        fail(UNAVAILABLE, "%s: the player does not survive %g seconds of warm-up" % (name, warmup / TICRATE))
    session = recording.session(name, args.size, args.size, args.fps, state_names(), key="doom", client=client,
                                level="MAP%02d" % level, seed=np.int64(args.seed))
    wanted = max(1, round(args.seconds * args.fps))
    count = 0

    def due(passed, raw, values):
        nonlocal count
        if passed >= round(count * TICRATE / args.fps):
            session.append(count, raw.tic / TICRATE, state_row(values), doom.picture(raw))
            count += 1
        return round(count * TICRATE / args.fps) if count < wanted else None

    play(doom, agent, math.inf, due)
    session.close()
    if not args.quiet:
        report(name, count, wanted, doom)
    return count


def report(name, count, wanted, doom):
    note = "" if count == wanted else ", %s" % (
        "the player died" if doom.game.is_player_dead() else "the level ended")
    sys.stderr.write("%s: %s: %d frames%s\n" % (NAME, name, count, note))


def vizdoom_errors(vzd):
    return tuple(e for e in vars(vzd).values() if isinstance(e, type) and issubclass(e, Exception))


def play_levels(vzd, args, recording):
    client = "ViZDoom %s, %s" % (vzd.__version__, os.path.basename(args.wad))
    doom = Doom(vzd, args)
    takes = {}
    frames = 0
    try:
        for level in args.levels:
            take = takes.get(level, 0)
            takes[level] = take + 1
            name = "map%02d-%c" % (level, "abcdefghijklmnopqrstuvwxyz"[take])
            frames += record(doom, recording, name, level, args, take, client)
    finally:
        doom.game.close()
    return frames


def main():
    args = options()
    try:
        import vizdoom as vzd
    except ImportError:
        fail(UNAVAILABLE, "vizdoom is not installed: pip install vizdoom")
    args.wad = os.path.abspath(args.wad or os.path.join(os.path.dirname(vzd.__file__), "freedoom2.wad"))
    if not os.path.isfile(args.wad):
        fail(NO_INPUT, "%s: no such game file" % args.wad)
    with open(args.wad, "rb") as wad:
        if wad.read(4) != b"IWAD":                # ViZDoom would crash
            fail(BAD_DATA, "%s: not a game file (IWAD)" % args.wad)
    if os.path.exists(args.output) and not os.path.isfile(args.output):
        fail(CANNOT_CREATE, "%s: not a regular file" % args.output)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    config = {k: v for k, v in vars(args).items() if k not in ("output", "wad", "quiet")}
    try:
        recording = Recording(os.path.abspath(args.output), NAME, shlex.join([NAME] + sys.argv[1:]), config)
    except OSError as error:
        fail(CANNOT_CREATE, "%s: %s" % (args.output, error.strerror))
    try:
        with recording, tempfile.TemporaryDirectory() as scratch:
            os.chdir(scratch)                     # ViZDoom leaves its settings in the current directory
            frames = play_levels(vzd, args, recording)
            os.chdir("/")
    except KeyboardInterrupt:
        sys.stderr.write("%s: interrupted, nothing written\n" % NAME)
        sys.exit(130)
    except vizdoom_errors(vzd) as error:
        fail(UNAVAILABLE, "ViZDoom: %s" % str(error).splitlines()[0])
    except (OSError, RuntimeError) as error:      # h5py raises either when a write fails
        told = re.search("error message = '([^']*)'", str(error))
        sys.stderr.write("%s: %s: %s\n" % (NAME, args.output, told.group(1) if told else str(error).splitlines()[0]))
        sys.stderr.flush()
        os._exit(IO_ERROR)                        # HDF5 crashes in its own tidying up after a failed write
    if not args.quiet:
        sys.stderr.write("%s: %s: %d frames, %.1f MB\n" % (NAME, args.output, frames,
                                                           os.path.getsize(recording.path) / 1e6))


if __name__ == "__main__":
    main()
