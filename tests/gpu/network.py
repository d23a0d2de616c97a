"""The network of lib/spt on any of its devices, through the shared library that `make gpu-programs` builds of network.c.

    with Network("cuda", "bf16") as n:
        n.create(preset("spt-fast"))
        n.forward(Batch(pixels, state))
        picture = n.output()

Needs numpy only. Where the library lies: $SGAPS_NETWORK.
"""
import ctypes as c
import os
import sys

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
from tap import Tap  # noqa: E402, F401 (for those who import the network)

PRECISIONS = {"fp32": 0, "bf16": 1, "tf32": 2}
IMPORTANCE = {None: -1, "entropy": 0, "variance": 1}


class Config(c.Structure):
    """struct model_config of lib/conf/model_config.h."""
    _fields_ = [("name", c.c_char * 64), ("embed_dim", c.c_uint32), ("num_heads", c.c_uint32),
                ("num_encoder_layers", c.c_uint32), ("num_decoder_layers", c.c_uint32), ("max_state_dim", c.c_uint32),
                ("sentinel_value", c.c_double), ("resolution", c.c_uint32 * 2), ("coordinates", c.c_int),
                ("max_freq", c.c_double), ("prefill", c.c_int), ("error_head", c.c_int), ("state_norm", c.c_int),
                ("self_attention", c.c_int), ("query_patch", c.c_uint32), ("head_width", c.c_uint32),
                ("feedforward_dim", c.c_uint32), ("dropout", c.c_double), ("skip", c.c_int),
                ("skip_weight", c.c_double), ("skip_dropout", c.c_double)]


class CBatch(c.Structure):
    """struct spt_batch of lib/spt/spt.h."""
    _fields_ = [("B", c.c_size_t), ("N", c.c_size_t), ("H", c.c_uint32), ("W", c.c_uint32), ("counts", c.c_void_p),
                ("pixels", c.c_void_p), ("state", c.c_void_p), ("mask", c.c_void_p), ("prefill", c.c_void_p)]


STAGE = c.CFUNCTYPE(None, c.c_char_p, c.POINTER(c.c_float), c.c_size_t, c.c_size_t)

_P, _S, _I = c.c_void_p, c.c_size_t, c.c_int
SIGNATURES = {
    "config_size": (_S,), "batch_size": (_S,), "open": (_P, c.c_char_p, _I), "close": (None, _P),
    "error": (c.c_char_p, _P), "device": (c.c_char_p, _P), "memory": (None, _P, _P, _P), "ctx": (_P, _P),
    "check": (_I, _P), "create": (_I, _P, _P, c.c_uint64), "tensors": (_S, _P),
    "tensor": (c.c_char_p, _P, _S, _P, _P), "set": (None, _P, _S, _P), "get": (None, _P, _S, _P),
    "gradient": (None, _P, _S, _P), "flops": (c.c_double, _P, c.c_uint32, c.c_uint32, _S),
    "forward": (_I, _P, _P, _I, c.c_uint64, c.c_uint64, _I), "output": (_I, _P, _P), "map": (_I, _P, _P),
    "on_stage": (None, _P, STAGE), "target": (_I, _P, _P, _P, _P, _P, _P), "loss": (_I, _P, c.c_char_p, _I, _P),
    "zero_gradients": (None, _P), "backward": (_I, _P), "adamw": (_I, _P, c.c_double, c.c_double, c.c_int64),
    "product": (_I, _P, _S),
}


def _load():
    path = os.environ.get("SGAPS_NETWORK")
    if not path:
        raise SystemExit("network.py: SGAPS_NETWORK names no libsgaps-network.so (make gpu-programs builds it)")
    library = c.CDLL(path)
    for name, (result, *arguments) in SIGNATURES.items():
        function = getattr(library, "network_" + name)
        function.restype, function.argtypes = result, arguments
    for size, structure in ((library.network_config_size(), Config), (library.network_batch_size(), CBatch)):
        if size != c.sizeof(structure):
            raise SystemExit(f"network.py: {structure.__name__} has {c.sizeof(structure)} bytes here and {size} in C")
    return library


_PATCHES = dict(embed_dim=128, num_heads=4, num_encoder_layers=4, num_decoder_layers=3, feedforward_dim=256, max_freq=56.0,
                prefill=1, query_patch=8, head_width=64)
_BASE = dict(embed_dim=256, num_heads=8, num_encoder_layers=6, num_decoder_layers=4, feedforward_dim=1024)
PRESETS = {
    "spt-fast": _PATCHES,
    "spt-base": _BASE,
    "spt-seed": dict(_BASE, coordinates=1, self_attention=1),
    "spt-small": dict(_BASE, embed_dim=128, num_heads=4, num_encoder_layers=3, num_decoder_layers=2,
                      feedforward_dim=256, resolution=(112, 112)),
    "spt-tiny": dict(_BASE, embed_dim=64, num_heads=4, num_encoder_layers=2, num_decoder_layers=2,
                     feedforward_dim=128, resolution=(64, 64)),
}


def preset(name, **changes):
    """A preset of lib/conf/conf_keys.c, without its state statistics."""
    values = dict(max_state_dim=64, sentinel_value=-999.0, resolution=(224, 224), max_freq=10.0, query_patch=1,
                  dropout=0.1, skip_weight=1.0, skip_dropout=0.2)
    values.update(PRESETS[name], name=name.encode(), **changes)
    values["resolution"] = (c.c_uint32 * 2)(*values["resolution"])
    return Config(**values)


def config_of(model):
    """From the model group of a checkpoint's configuration."""
    decoder, architecture = model["decoder"], model["architecture"]
    skip = architecture.get("skip", {})
    return Config(name=model["name"].encode(), embed_dim=model["embed_dim"], num_heads=model["num_heads"],
                  num_encoder_layers=model["num_encoder_layers"], num_decoder_layers=model["num_decoder_layers"],
                  max_state_dim=model["max_state_dim"], sentinel_value=model["sentinel_value"],
                  resolution=(c.c_uint32 * 2)(*model["resolution"]), coordinates=model["coordinates"] == "seed",
                  max_freq=model["positional"]["max_freq"], prefill=model.get("prefill", "none") == "linear",
                  error_head=model.get("error_head", False),
                  self_attention=decoder["self_attention"] == "full", query_patch=decoder.get("query_patch", 1),
                  head_width=decoder.get("head_width", 0), feedforward_dim=architecture["feedforward_dim"],
                  dropout=architecture["dropout"], skip=bool(skip.get("enabled", False)),
                  skip_weight=skip.get("weight", 1.0), skip_dropout=skip.get("dropout", 0.2))


class Batch:
    """pixels (B,N,3), state and mask (B,S), counts (B) or None, prefill (B,2,H,W) or None; keeps what C points at."""

    def __init__(self, H, W, pixels, state, mask, counts=None, prefill=None):
        def pointer(a, kind):
            if a is None:
                return None
            a = np.ascontiguousarray(a, dtype=kind)
            self.kept.append(a)
            return a.ctypes.data
        self.kept = []
        self.B, self.N, self.H, self.W = pixels.shape[0], pixels.shape[1], H, W
        self.c = CBatch(self.B, self.N, H, W, pointer(counts, np.int32), pointer(pixels, np.float32),
                        pointer(state, np.float32), pointer(mask, np.float32), pointer(prefill, np.float32))


class Network:
    def __init__(self, device, precision="fp32"):
        self.l = _load()
        self.n = self.l.network_open(device.encode(), PRECISIONS[precision])
        self.stage = STAGE()
        error = self.l.network_error(self.n).decode()
        if error:
            raise RuntimeError(error)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.l.network_close(self.n)

    def _must(self, code):
        if code:
            raise RuntimeError(self.l.network_error(self.n).decode())

    @property
    def device(self):
        return self.l.network_device(self.n).decode()

    def memory(self):
        """Bytes free and in all."""
        free, total = c.c_size_t(), c.c_size_t()
        self.l.network_memory(self.n, c.byref(free), c.byref(total))
        return free.value, total.value

    def check(self):
        """Waits for the device and raises what went wrong there."""
        self._must(self.l.network_check(self.n))

    def create(self, config, seed=1):
        self._must(self.l.network_create(self.n, c.byref(config), seed))
        self.config, self.tensors = config, []
        for i in range(self.l.network_tensors(self.n)):
            count, trainable = c.c_size_t(), c.c_int()
            name = self.l.network_tensor(self.n, i, c.byref(count), c.byref(trainable)).decode()
            self.tensors.append((name, count.value, bool(trainable.value)))

    def flops(self, H, W, N):
        return self.l.network_flops(c.byref(self.config), H, W, N)

    def load(self, named):
        """named(name) -> array of tensor `name`."""
        for i, (name, count, _) in enumerate(self.tensors):
            a = np.ascontiguousarray(named(name), dtype=np.float32)
            if a.size != count:
                raise ValueError(f"{name}: {a.size} elements, the network has {count}")
            self.l.network_set(self.n, i, a.ctypes.data)

    def _tensors(self, get):
        values = {}
        for i, (name, count, _) in enumerate(self.tensors):
            values[name] = np.empty(count, np.float32)
            get(self.n, i, values[name].ctypes.data)
        return values

    def parameters(self):
        return self._tensors(self.l.network_get)

    def gradients(self):
        return self._tensors(self.l.network_gradient)

    def forward(self, batch, train=False, seed=1, step=0, importance=None):
        self.batch = batch
        self._must(self.l.network_forward(self.n, c.byref(batch.c), train, seed, step, IMPORTANCE[importance]))

    def output(self):
        a = np.empty((self.batch.B, self.batch.H, self.batch.W), np.float32)
        self._must(self.l.network_output(self.n, a.ctypes.data))
        return a

    def map(self):
        p = self.config.query_patch
        a = np.empty((self.batch.B, -(-self.batch.H // p), -(-self.batch.W // p)), np.float32)
        self._must(self.l.network_map(self.n, a.ctypes.data))
        return a

    def on_stage(self, f):
        """f(name, array (rows, columns)) in every forward; None: no more."""
        def call(name, values, rows, columns):
            f(name.decode(), np.ctypeslib.as_array(values, (rows, columns)).copy())
        self.stage = STAGE(call) if f else STAGE()
        self.l.network_on_stage(self.n, self.stage)

    def target(self, batch, target, index=None, value=None, select=None):
        """target (B,H,W); of sampled_l2 index, value, select (B,N)."""
        arrays = [None if a is None else np.ascontiguousarray(a, dtype=k) for a, k in
                  ((target, np.float32), (index, np.int32), (value, np.float32), (select, np.uint8))]
        self._must(self.l.network_target(self.n, c.byref(batch.c), *(a if a is None else a.ctypes.data for a in arrays)))

    def loss(self, kind, gradient=False):
        value = c.c_double()
        self._must(self.l.network_loss(self.n, kind.encode(), gradient, c.byref(value)))
        return value.value

    def train_pass(self, batch, kind="l1", seed=1, step=0):
        """Forward, loss and backward from zero gradients."""
        self.l.network_zero_gradients(self.n)
        self.forward(batch, True, seed, step)
        value = self.loss(kind, True)
        self._must(self.l.network_backward(self.n))
        return value

    def adamw(self, step, lr=1e-3, weight_decay=0.01):
        self._must(self.l.network_adamw(self.n, lr, weight_decay, step))

    def product(self, size=0):
        self._must(self.l.network_product(self.n, size))


def scale_map(m):
    """Each frame's map to 0..1, as the tools show it."""
    low, high = m.min((1, 2), keepdims=True), m.max((1, 2), keepdims=True)
    return (m - low) / (high - low + 1e-9)


def distance(have, want):
    """||have - want|| / ||want||; a NaN stays one, and no comparison holds for it."""
    have, want = np.asarray(have, np.float64).ravel(), np.asarray(want, np.float64).ravel()
    norm = np.linalg.norm(want)
    return np.linalg.norm(have - want) / (norm if norm > 0 else 1)
