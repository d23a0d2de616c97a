#!/usr/bin/python3
"""A checkpoint of the Python server into one of SGAPS, and back:

    convert.py best.pth best.h5
    convert.py best.h5 best.pth

A best.pth is what torch.save made of {"model_state_dict": ..., "config": ...}, or a state dict alone. Sizes are taken from the
tensors' shapes; only the number of heads is not in them: from the configuration, or --heads. The configuration may be an
OmegaConf one: it is read without that package. Nothing else in the file is run: only tensors and plain values are taken.
A checkpoint of SGAPS comes back as it was; its statistics of the state travel as "state_norm"."""
import argparse
import collections
import json
import pickle
import sys
import types

import torch

from sgaps_torch import load, network, save


class _Stub:
    """What stands for a class of OmegaConf: its state and nothing else."""

    def __init__(self, *arguments, **state):
        self.__dict__.update(state)

    def __setstate__(self, state):
        self.__dict__.update(state)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        if module.split(".")[0] in ("omegaconf", "typing"):
            return _Stub
        if module == "collections" and name in ("OrderedDict", "defaultdict"):
            return getattr(collections, name)
        if module in ("builtins", "__builtin__") and name in ("dict", "list", "set", "tuple", "int", "float", "str", "bool", "long"):
            return int if name == "long" else getattr(__import__("builtins"), name)
        if module.split(".")[0] == "torch" and (name.startswith("_rebuild") or name.endswith(("Storage", "Size", "dtype", "Parameter"))):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name}: is neither a tensor nor a plain value")


def guarded_load(path):
    """torch.load with the unpickler above. torch 1.13 passes over the pickle_module that it is given, so its own is replaced
    meanwhile."""
    guarded = types.SimpleNamespace(**{**vars(pickle), "Unpickler": _Unpickler, "load": lambda f, **o: _Unpickler(f, **o).load()})
    usual, torch.serialization.pickle = torch.serialization.pickle, guarded
    try:
        return torch.load(path, map_location="cpu", pickle_module=guarded, weights_only=False)
    finally:
        torch.serialization.pickle = usual


def plain(x):
    """OmegaConf's nodes as dicts, lists and values."""
    x = getattr(x, "_content", getattr(x, "_val", x)) if isinstance(x, _Stub) else x
    if isinstance(x, dict):
        return {str(plain(k)): plain(v) for k, v in x.items()}
    return [plain(v) for v in x] if isinstance(x, (list, tuple)) else x


def sizes(tensors):
    """The configuration that the shapes tell, as far as they do."""
    layers = lambda part: 1 + max(int(n.split(".")[2]) for n in tensors if n.startswith(part + ".layers."))  # noqa: E731
    freqs = tensors["pos_encoder.freqs"]
    return {"name": "spt-seed", "embed_dim": len(tensors["pixel_embed.weight"]), "num_encoder_layers": layers("encoder"),
            "num_decoder_layers": layers("decoder"), "max_state_dim": tensors["state_encoder.linear.weight"].shape[1],
            "error_head": "error_head.weight" in tensors, "coordinates": "seed", "prefill": "none", "positional": {"kind": "sinusoidal", "max_freq": round(float(freqs[-1]), 4)},
            "decoder": {"self_attention": "full" if "decoder.layers.0.self_attn.in_proj_weight" in tensors else "none",
                        "query_patch": 1, "head_width": 0},
            "architecture": {"feedforward_dim": len(tensors["encoder.layers.0.linear1.weight"]), "dropout": 0.1,
                             "skip": {"enabled": "skip_proj.0.weight" in tensors, "weight": 1.0, "dropout": 0.2}}}


def from_pth(source, target, heads, resolution):
    try:
        saved = guarded_load(source)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as e:
        raise SystemExit(f"convert.py: {source}: {e}")
    if not isinstance(saved, dict):
        raise SystemExit(f"convert.py: {source}: holds no state dict")
    tensors = saved.get("model_state_dict", saved)
    tensors = {n.replace("_orig_mod.", "").replace("module.", ""): t for n, t in tensors.items() if not n.endswith("query_grid")}
    needed = {"pixel_embed.weight", "state_encoder.linear.weight", "pos_encoder.freqs", "encoder.layers.0.linear1.weight"}
    if not needed <= set(tensors):
        raise SystemExit(f"convert.py: {source}: is no Sparse Pixel Transformer: lacks {sorted(needed - set(tensors))[0]}")
    config = sizes(tensors)
    told = plain(saved["config"]) if "config" in saved and saved is not tensors else {}
    told = told.get("model", told)
    for name in ("embed_dim", "num_encoder_layers", "num_decoder_layers", "max_state_dim"):
        if told.get(name, config[name]) != config[name]:
            raise SystemExit(f"convert.py: {source}: its configuration says {name} {told[name]}, its tensors {config[name]}")
    architecture = told.get("architecture", {})
    config["architecture"].update({k: architecture[k] for k in ("dropout",) if k in architecture})
    config["architecture"]["skip"].update({k: v for k, v in architecture.get("skip", {}).items() if k in ("weight", "dropout")})
    if "prefill" in told:  # a key of SGAPS alone: its own checkpoint on the way back
        config.update({k: told[k] for k in ("name", "coordinates", "prefill", "positional", "decoder") if k in told})
    norm = saved.get("state_norm") if saved is not tensors else None
    config["num_heads"] = heads or told.get("num_heads")
    if not config["num_heads"]:
        raise SystemExit(f"convert.py: {source}: does not say how many heads it has: --heads N")
    config["sentinel_value"] = told.get("sentinel_value", -999.0)
    config["resolution"] = resolution or told.get("resolution") or [224, 224]
    model = network(config)
    wanted = {n for n in model.state_dict() if not n.endswith("num_batches_tracked")}
    wrong = wanted ^ {n for n in tensors if not n.endswith("num_batches_tracked")}
    if wrong:
        raise SystemExit(f"convert.py: {source}: differs from the network in {', '.join(sorted(wrong)[:4])}")
    model.load_state_dict(tensors, strict=False)
    number = {k: saved[k] for k in ("epoch", "step") if isinstance(saved.get(k), int)}
    save(target, model, config, norm and tuple(norm[k].numpy() for k in ("mean", "std")), history=f"convert.py {source} {target}", **number)
    print(f"{target}: {len(wanted)} tensors, {config['embed_dim']} wide, {config['num_heads']} heads, "
          f"{config['num_encoder_layers']} + {config['num_decoder_layers']} layers")


def to_pth(source, target):
    model, config, norm = load(source)
    saved = {"model_state_dict": model.state_dict(), "config": {"model": config}}
    if norm is not None:
        saved["state_norm"] = {"mean": torch.from_numpy(norm[0]), "std": torch.from_numpy(norm[1])}
        print(f"convert.py: {target}: the model wants its state standardised, (state - mean) / std of state_norm, which the Python "
              "server does not do", file=sys.stderr)
    torch.save(saved, target)
    print(f"{target}: {len(model.state_dict())} tensors")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="best.pth of the Python server to best.h5, and back.")
    parser.add_argument("source")
    parser.add_argument("target")
    parser.add_argument("--heads", type=int, help="attention heads, where the .pth has no configuration")
    parser.add_argument("--resolution", type=json.loads, help="[H,W] that it was trained at; default: its configuration's, or [224,224]")
    a = parser.parse_args()
    if a.source.endswith(".h5") == a.target.endswith(".h5"):
        raise SystemExit("convert.py: one of the two is a .h5, the other a .pth")
    to_pth(a.source, a.target) if a.source.endswith(".h5") else from_pth(a.source, a.target, a.heads, a.resolution)
