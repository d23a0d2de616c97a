"""What both sides of bench.py are given: the same frames, and how a question and its answer travel."""
import json
import os
import statistics
import sys
from collections import namedtuple

import numpy as np

# kind: infer, entropy (with the map of uncertainty), live (and the picture in the host's memory), train
Work = namedtuple("Work", "model H W N B kind")


def frames(H, W, N, B, S, prefill, seed=7):
    """pixels (B,N,3), state (B,S), mask (B,S), planes (B,2,H,W) or None, target (B,H,W): random, never zeros."""
    draw = np.random.default_rng(seed)
    pixels = draw.random((B, N, 3), dtype=np.float32)
    state = draw.standard_normal((B, S), dtype=np.float32)
    planes = draw.random((B, 2, H, W), dtype=np.float32) if prefill else None
    return pixels, state, np.ones((B, S), np.float32), planes, draw.random((B, H, W), dtype=np.float32)


def summary(times):
    return {"ms": statistics.median(times), "least": min(times), "most": max(times)}


def serve(answer):
    """A line of JSON in, a line out; a failure is an answer too. What a library prints goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        question = json.loads(line)
        try:
            reply = answer(question)
        except Exception as error:      # the driver goes on with the next row
            reply = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        print(json.dumps(reply), file=answers, flush=True)
