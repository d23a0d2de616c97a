"""Writes SGAPS recordings (format "sgaps-recording", version 1) with h5py.

Nothing here knows about a game: copy this file to record another one.

    with Recording("out.h5", creator="my-game", history="my-game ...", config={}) as rec:
        session = rec.session("level1-a", width=224, height=224, fps=10, state_names=["x", "y"])
        session.append(frame_id, seconds, [1.0, 2.0], image)     # image: u8 (height, width), row 0 = top
        session.close()

The file is written as NAME.part.PID and renamed when the `with` block ends without an error;
after an error the part file is removed and nothing is left under the final name.
"""
import datetime
import json
import os
import uuid

import h5py
import numpy as np

SENTINEL = -999.0
MAX_STATE = 64
BLOCK = 32  # frames buffered before they are written


def _fixed_string(obj, name, text):
    """A null-terminated fixed-length attribute, as the HDF5 Image specification asks for."""
    data = text.encode("ascii")
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(data) + 1)
    attr = h5py.h5a.create(obj.id, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR))
    attr.write(np.array(data, dtype="S%d" % (len(data) + 1)))


def _image_attributes(dataset):
    _fixed_string(dataset, "CLASS", "IMAGE")
    _fixed_string(dataset, "IMAGE_VERSION", "1.2")
    _fixed_string(dataset, "IMAGE_SUBCLASS", "IMAGE_GRAYSCALE")
    _fixed_string(dataset, "DISPLAY_ORIGIN", "UL")
    dataset.attrs["IMAGE_WHITE_IS_ZERO"] = np.uint8(0)
    dataset.attrs["IMAGE_MINMAXRANGE"] = np.array([0, 255], np.uint8)


class Session:
    def __init__(self, group, width, height, fps, state_names, key, client, extra):
        if len(state_names) > MAX_STATE:
            raise ValueError("more than %d state names" % MAX_STATE)
        self.names = list(state_names)
        self.count = 0
        self._pending = []
        attrs = dict(
            session_id=group.name.rsplit("/", 1)[1], checkpoint_key=key, client_name=client,
            resolution=np.array([width, height], np.uint32), target_fps=np.float32(fps),
            sentinel=np.float32(SENTINEL), value_range=np.float32(255), closed=np.uint8(0),
            NX_class="NXdata", signal="frames", **extra)
        for name, value in attrs.items():
            group.attrs[name] = value
        group.attrs["axes"] = np.array(["timestamp", ".", "."], dtype=h5py.string_dtype())
        self._group = group

        def column(name, dtype, shape=(), chunk=256, **filters):
            return group.create_dataset(name, (0,) + shape, dtype, maxshape=(None,) + shape,
                                        chunks=(chunk,) + shape, **filters)

        self._id = column("frame_id", "<i8")
        self._time = column("timestamp", "<f8")
        self._state = column("state", "<f4", (MAX_STATE,), 1024, shuffle=True, compression="gzip", compression_opts=1)
        self._state.attrs["state_names"] = np.array(self.names, dtype=h5py.string_dtype())
        self._len = column("state_len", "<u2")
        self._frames = column("frames", "u1", (height, width), chunk=1, compression="gzip", compression_opts=1)
        _image_attributes(self._frames)
        self._time.attrs["units"] = "s"

    def append(self, frame_id, seconds, state, image):
        row = np.full(MAX_STATE, SENTINEL, np.float32)
        row[:len(self.names)] = state
        self._pending.append((frame_id, seconds, row, image))
        if len(self._pending) >= BLOCK:
            self._write()

    def _write(self):
        if not self._pending:
            return
        ids, seconds, states, images = zip(*self._pending)
        first, last = self.count, self.count + len(ids)
        for dataset, values in ((self._id, ids), (self._time, seconds), (self._state, states),
                                (self._len, [len(self.names)] * len(ids)), (self._frames, images)):
            dataset.resize(last, axis=0)
            dataset[first:last] = np.asarray(values)
        self.count = last
        self._pending = []
        self._group.file.flush()

    def close(self):
        self._write()
        self._group.attrs["closed"] = np.uint8(1)


class Recording:
    def __init__(self, path, creator, history, config):
        self.path = path
        self.part = "%s.part.%d" % (path, os.getpid())
        open(self.part, "wb").close()         # a plain OSError where h5py's would be a paragraph
        self._file = h5py.File(self.part, "w", libver="earliest")
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        for name, value in dict(
                format="sgaps-recording", format_version=np.int32(1), format_minor=np.int32(0),
                creator=creator, created_at=now, uuid=str(uuid.uuid4()), history="%s: %s" % (now, history),
                config=json.dumps(config), NX_class="NXroot").items():
            self._file.attrs[name] = value
        self._sessions = self._file.create_group("sessions")

    def session(self, name, width, height, fps, state_names, key="default", client="", **extra):
        group = self._sessions.create_group(name)
        if "default" not in self._file.attrs:
            self._file.attrs["default"] = "sessions/" + name
        return Session(group, width, height, fps, state_names, key, client, extra)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        try:
            self._file.close()
            if kind is None:
                fd = os.open(self.part, os.O_RDONLY)
                os.fsync(fd)
                os.close(fd)
                os.rename(self.part, self.path)
        finally:
            if os.path.exists(self.part):
                os.unlink(self.part)
