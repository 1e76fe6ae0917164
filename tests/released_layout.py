"""The released layout, rebuilt: key lists, deterministic weights and inputs.

The rule for the weights is the one by which the reference outputs in fixtures/golden_*.json were
made: a hash of the position and of the tensor's released name, scaled by the tensor's role.
"""

import csv
import math
import zlib
from pathlib import Path

import numpy as np
import torch

FIXTURES = Path(__file__).parent / "fixtures"


def key_list(name):
    """Return {released name: shape} of one released model, e.g. ``VMamba_T220``."""
    with open(FIXTURES / "released" / f"released_keys_{name}.tsv", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    sides = {r["key"]: r["shape"].split("x") for r in rows}
    return {key: () if s == ["scalar"] else tuple(map(int, s)) for key, s in sides.items()}


def noise(name, count):
    """Return ``count`` numbers in [-1, 1), a function of the name and the position alone."""
    x = np.arange(count, dtype=np.uint32) + np.uint32(zlib.crc32(name.encode()))
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    x ^= x >> np.uint32(16)
    return x / 2.0**31 - 1.0


def filled(name, shape):
    """Return the tensor that the golden outputs assume under this released name."""
    leaf = name.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return torch.tensor(0)
    if name == "logit_scale":
        return torch.tensor(math.log(1 / 0.07))
    x = noise(name, math.prod(shape))
    if leaf in ("A_log", "A_logs"):
        x = np.tile(np.log(np.arange(1.0, shape[-1] + 1)), x.size // shape[-1]) + 0.3 * x
    elif leaf in ("D", "Ds"):
        x = 0.2 * x
    elif name.endswith(("dt_projs_bias", "dt_proj.bias")):
        x = x - 2.0
    elif name.endswith(("x_proj_weight", "x_proj.weight")):
        x = 3.0 * x / math.sqrt(shape[-1])
    elif name.endswith(("dt_projs_weight", "dt_proj.weight")):
        x = x / math.sqrt(shape[-1])
    elif leaf == "running_var":
        x = 1.0 + 0.5 * np.abs(x)
    elif leaf == "running_mean":
        x = 0.2 * x
    elif len(shape) > 1:
        x = x / math.sqrt(x.size // shape[0])
    elif leaf.endswith("weight"):
        x = 1.0 + 0.2 * x
    else:
        x = 0.1 * x
    return torch.from_numpy(x.reshape(shape).astype(np.float32))


def filled_state(keys):
    """Return a whole state dict in released names."""
    return {name: filled(name, shape) for name, shape in keys.items()}


def pictures(count=2, size=224):
    """Return the images of the golden outputs, (count, 3, size, size)."""
    b = np.arange(count).reshape(-1, 1, 1, 1)
    c = np.arange(3).reshape(1, -1, 1, 1)
    row = np.arange(size).reshape(1, 1, -1, 1)
    column = np.arange(size).reshape(1, 1, 1, -1)
    values = np.sin(0.05 * row * (c + 1) + 0.03 * column * (b + 1) + b)
    return torch.from_numpy(values.astype(np.float32))
