"""A simple player: explores, opens doors, picks things up, fights what it meets.

It sees what a player sees (the depth buffer, the labels of visible things, which walls are doors) and
remembers where it has been. Its one rule of travel: go where the view is open and the floor is new.
"""
import math

import numpy as np

DEPTH_UNIT = 7.4     # map units per step of ViZDoom's 8-bit depth buffer (measured)
FOV = 90.0           # degrees across the whole screen
CELL = 96            # map units, the grain of the memory of visited places
BINS = 36            # compass directions remembered
REACH = 900.0        # map units: nothing farther counts as more open
TICS = 35.0          # game tics per second
BUTTONS = ("MOVE_FORWARD", "MOVE_BACKWARD", "MOVE_LEFT", "MOVE_RIGHT", "SPEED", "USE", "ATTACK",
           "SELECT_NEXT_WEAPON", "TURN_LEFT_RIGHT_DELTA", "LOOK_UP_DOWN_DELTA")
PICKUPS = {"Weapon", "Ammo", "Health", "Armor", "Key", "PowerUp"}


def wrap(degrees):
    return (degrees + 180.0) % 360.0 - 180.0


def _doors(sectors):
    """Midpoints of the lines around sectors that are shut: what a player recognises as a door."""
    found = []
    for sector in sectors:
        if sector.ceiling_height - sector.floor_height > 8:
            continue
        for line in sector.lines:
            length = math.dist((line.x1, line.y1), (line.x2, line.y2))
            if 48 <= length <= 260 and not line.is_blocking:
                found.append(((line.x1 + line.x2) / 2, (line.y1 + line.y2) / 2))
    return np.array(sorted(set(found))).reshape(-1, 2)


class Agent:
    def __init__(self, seed, sectors=()):
        self.rng = np.random.default_rng(seed)
        self.doors = _doors(sectors)          # (n, 2) midpoints
        self.door_tried = np.full(len(self.doors), -1e9)
        self.visits = {}
        self.free = np.full(BINS, np.nan)     # known free distance per compass direction
        self.free_from = (0.0, 0.0)
        self.goal = None                      # compass direction, degrees
        self.margin = 100
        self.goal_until = 0
        self.trail = []                       # (tic, x, y) of the last seconds
        self.recover_until = 0
        self.recover = {}
        self.wait_until = 0
        self.fight_until = self.peace_until = 0
        self.strafe, self.strafe_until = 0, 0
        self.look, self.look_until = 0.0, 0

    # ---- seeing
    def _scan(self, depth, pitch):
        """Free distance in map units for 45 columns of the view, with their angles (left positive)."""
        h, w = depth.shape
        horizon = h // 2 - int(math.tan(math.radians(pitch)) * w / 2)     # the renderer shears, it does not rotate
        horizon = min(max(horizon, 0), h - h // 30)
        band = depth[horizon: horizon + max(2, h // 30)].min(axis=0)
        edges = np.linspace(0, w, 46).astype(int)
        flat = np.minimum.reduceat(band, edges[:-1]).astype(float) * DEPTH_UNIT
        centre = (edges[:-1] + edges[1:]) / 2.0
        offset = np.degrees(np.arctan((w / 2 - centre) / (w / 2) * math.tan(math.radians(FOV / 2))))
        return np.minimum(flat / np.cos(np.radians(offset)), REACH), offset

    def _remember(self, x, y, angle, dist, offset, tic):
        cell = (int(x // CELL), int(y // CELL))
        self.visits[cell] = self.visits.get(cell, 0) + 1
        if math.dist((x, y), self.free_from) > 160:
            self.free[:] = np.nan
            self.free_from = (x, y)
        index = ((angle + offset) % 360 / (360 / BINS)).astype(int) % BINS
        for b in np.unique(index):
            self.free[b] = dist[index == b].min()
        self.trail = [p for p in self.trail if p[0] > tic - 2 * TICS] + [(tic, x, y)]

    def _score(self, x, y, heading, dist):
        """How good it is to walk this way: open and new."""
        if dist < 130:
            return 0.1 * dist / 130
        a = math.radians(heading)
        fresh = total = 0.0
        for d in np.arange(CELL, max(CELL + 1, dist - 32), CELL):
            cell = (int((x + d * math.cos(a)) // CELL), int((y + d * math.sin(a)) // CELL))
            weight = 1.0 / (1.0 + d / 400.0)
            fresh += weight / (1.0 + 0.25 * self.visits.get(cell, 0))
            total += weight
        return fresh / max(total, 1e-9) * math.sqrt(dist / REACH)

    # ---- deciding
    def _choose(self, x, y, angle, tic):
        width = 360.0 / BINS
        best, heading = -1.0, angle
        for b in range(BINS):
            direction = (b + 0.5) * width
            turn = abs(wrap(direction - angle))
            if np.isnan(self.free[b]):
                score = 0.30          # unseen: worth a look when nothing better is in sight
            else:
                near = [self.free[(b + k) % BINS] for k in (-1, 0, 1)]
                score = self._score(x, y, direction, np.nanmin(near))
            score *= 1.0 - 0.5 * turn / 180.0
            score *= self.rng.uniform(0.75, 1.25)
            if score > best:
                best, heading = score, direction
        self.goal = heading
        self.goal_until = tic + int(self.rng.uniform(0.7, 1.8) * TICS)
        self.margin = self.rng.choice([60, 110, 160])     # how near it lets a wall come

    def _target(self, labels, width):
        """The largest living monster in view."""
        seen = [l for l in labels if l.object_category == "Monster" and l.width >= width / 110
                and not l.object_name.startswith("Dead")]
        return max(seen, key=lambda l: l.width * l.height, default=None)

    def _pickup(self, labels, x, y):
        near = [l for l in labels if l.object_category in PICKUPS]
        near = [(math.dist((x, y), (l.object_position_x, l.object_position_y)), l) for l in near]
        return min((n for n in near if n[0] < 350), key=lambda n: n[0], default=(0, None))[1]

    def _door(self, x, y, angle, dist, offset, tic):
        """The nearest untried door in view: (index, bearing, distance), or None."""
        if not len(self.doors):
            return None
        dx, dy = self.doors[:, 0] - x, self.doors[:, 1] - y
        away = np.hypot(dx, dy)
        bearing = np.degrees(np.arctan2(dy, dx))
        side = wrap(bearing - angle)
        seen = dist[np.argmin(np.abs(offset[None, :] - side[:, None]), axis=1)]
        good = (away < 800) & (np.abs(side) < 42) & (seen > away - 50) & (self.door_tried < tic - 90 * TICS)
        if not good.any():
            return None
        index = int(np.argmin(np.where(good, away, np.inf)))
        return index, float(bearing[index]), float(away[index])

    def act(self, tic, tics, view, depth, labels):
        """One decision for the next `tics` tics; returns a value for each of BUTTONS.

        view: x, y in map units, angle and pitch (down positive) in degrees, weapon, ammo.
        """
        x, y, angle = view["x"], view["y"], view["angle"]
        dist, offset = self._scan(depth, view["pitch"])
        self._remember(x, y, angle, dist, offset, tic)
        out = dict.fromkeys(BUTTONS, 0.0)
        monster = self._opponent(tic, labels, depth.shape[1]) if view["ammo"] > 0 else self._peace()
        if tic < self.recover_until:
            out.update(self.recover)
            turn = wrap(self.goal - angle)
        elif monster is not None:
            turn = self._fight(out, tic, x, y, dist, offset, monster, depth.shape[1])
        else:
            turn = self._explore(out, tic, x, y, angle, dist, offset, labels)
            self._check_stuck(tic, x, y, angle)

        if tic < self.strafe_until:
            out["MOVE_LEFT"], out["MOVE_RIGHT"] = float(self.strafe < 0), float(self.strafe > 0)
        if tic >= self.look_until:                # now and then look up or down a little
            self.look = float(self.rng.choice([0, 0, 0, self.rng.uniform(-14, 14)]))
            self.look_until = tic + int(self.rng.uniform(1.0, 2.5) * TICS)
        if self.rng.random() < (0.1 if view["weapon"] <= 1 else 0.003):     # not the fist for long
            out["SELECT_NEXT_WEAPON"] = 1.0
        rate = np.clip(turn * 0.35 / tics, -4.5, 4.5)                       # degrees per tic
        out["TURN_LEFT_RIGHT_DELTA"] = -float(rate)                         # ViZDoom: positive is right
        out["LOOK_UP_DOWN_DELTA"] = float(np.clip((view["pitch"] - self.look) * 0.3 / tics, -1.5, 1.5))
        return [out[b] for b in BUTTONS]

    def _peace(self):
        self.fight_until = 0

    def _opponent(self, tic, labels, width):
        """The monster to fight now, or None: after some seconds the player moves on, lest one fills a session."""
        monster = self._target(labels, width) if tic >= self.peace_until else None
        if monster is None:
            return self._peace()
        if not self.fight_until:
            self.fight_until = tic + int(self.rng.uniform(2.5, 6.0) * TICS)
        if tic > self.fight_until:
            self.peace_until = tic + int(self.rng.uniform(1.5, 3.0) * TICS)
            return self._peace()
        return monster

    def _fight(self, out, tic, x, y, dist, offset, monster, width):
        """Aims, shoots, strafes, keeps a distance. Returns the turn wanted."""
        turn = math.degrees(math.atan((width / 2 - (monster.x + monster.width / 2)) / (width / 2)))
        out["ATTACK"] = float(abs(turn) < 5)
        far = math.dist((x, y), (monster.object_position_x, monster.object_position_y))
        ahead = dist[np.abs(offset) < 9].min()
        out["MOVE_FORWARD"], out["MOVE_BACKWARD"] = float(far > 350 and ahead > 120), float(far < 140)
        if tic >= self.strafe_until:
            self.strafe = int(self.rng.integers(-1, 2))
            self.strafe_until = tic + int(self.rng.uniform(0.4, 1.0) * TICS)
        return turn

    def _explore(self, out, tic, x, y, angle, dist, offset, labels):
        """Doors, things to pick up, open and new floor, in that order. Returns the turn wanted."""
        ahead = dist[np.abs(offset) < 9].min()
        door = self._door(x, y, angle, dist, offset, tic)
        lost = self.goal is None or tic >= self.goal_until
        blocked = self.goal is not None and ahead < self.margin and abs(wrap(self.goal - angle)) < 15
        if door and door[2] < 90 and abs(wrap(door[1] - angle)) < 30:
            self.door_tried[door[0]] = tic
            out["USE"] = 1.0
            self.wait_until = tic + int(0.9 * TICS)       # it needs time to open
            self.goal, self.goal_until = door[1], tic + int(2.2 * TICS)
        elif tic >= self.wait_until and (lost or blocked):
            self._choose(x, y, angle, tic)
            item = self._pickup(labels, x, y)
            if door and self.rng.random() < 0.7:
                self.goal, self.goal_until = door[1], tic + int(2.0 * TICS)
            elif item is not None and self.rng.random() < 0.7:
                self.goal = math.degrees(math.atan2(item.object_position_y - y, item.object_position_x - x))
        turn = 0.0 if self.goal is None else wrap(self.goal - angle)
        if tic >= self.wait_until:
            out["MOVE_FORWARD"] = float(abs(turn) < 50 and ahead > 40 or ahead > 250)
        out["SPEED"] = float(ahead > 260)
        left, right = dist[offset > 25], dist[offset < -25]
        if min(left.min(), right.min()) < 45:             # keep off the nearer wall
            self.strafe = -1 if left.mean() > right.mean() else 1
            self.strafe_until = tic + 6
        elif tic >= self.strafe_until:
            self.strafe = int(self.rng.choice([-1, 0, 0, 0, 0, 1]))
            self.strafe_until = tic + int(self.rng.uniform(0.3, 0.9) * TICS)
        return turn

    def _check_stuck(self, tic, x, y, angle):
        t0, x0, y0 = self.trail[0]
        if tic < self.wait_until or tic - t0 < 1.3 * TICS or math.dist((x, y), (x0, y0)) > 50:
            return
        self.recover_until = tic + int(self.rng.uniform(0.5, 1.0) * TICS)
        self.goal = (angle + self.rng.choice([-1, 1]) * self.rng.uniform(70, 170)) % 360
        self.goal_until = self.recover_until + int(0.5 * TICS)
        side = "MOVE_LEFT" if self.rng.random() < 0.5 else "MOVE_RIGHT"
        self.recover = {"USE": 1.0, "MOVE_BACKWARD" if self.rng.random() < 0.5 else "MOVE_FORWARD": 1.0, side: 1.0}
        self.trail = []
