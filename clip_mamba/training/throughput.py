"""How much arithmetic a pair costs, and what share of a device's rate a run reaches."""

from __future__ import annotations

import copy

import torch
from open_clip import CLIP
from torch.utils.flop_counter import FlopCounterMode

from clip_mamba.models.summary import multiply_accumulates

#: Dense half-precision FLOP/s by a part of the device's name (the makers' data sheets).
PEAK = {
    "H200": 989e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "A40": 150e12,
    "V100": 125e12,
    "RTX 4090": 165e12,
    "RTX 3090": 71e12,
}


def flops_per_pair(model: CLIP, image_size: int) -> float:
    """Count the FLOPs of a training step per pair: forward, and twice that backward.

    Recomputation (gradient checkpointing, accumulation) is not counted: it is no use to anybody.

    Args:
        model: The model.
        image_size: Side of its input in pixels.

    Returns:
        FLOPs; a multiply-accumulate is two.
    """
    towers = copy.deepcopy(model).eval().requires_grad_(False).to("meta")
    image = torch.empty(1, 3, image_size, image_size, device="meta")
    tokens = torch.zeros(1, model.context_length, dtype=torch.long, device="meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        towers.encode_text(tokens)
    forward = 2 * multiply_accumulates(towers.visual, image) + counter.get_total_flops()
    return 3.0 * forward


def peak_flops(device: torch.device, precision: str) -> float | None:
    """Return a device's rate of arithmetic, where it is known.

    Args:
        device: The device.
        precision: Lightning's name; the table is for half precision.

    Returns:
        FLOP/s, or ``None``.
    """
    if device.type != "cuda" or not precision.startswith(("16", "bf16")):
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAK.items() if part in name), None)
