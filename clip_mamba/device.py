"""Where to compute."""

from __future__ import annotations

import torch


def pick_device(device: str = "auto") -> torch.device:
    """Return a device.

    Args:
        device: ``auto`` for the GPU if there is one, else the CPU; or torch's own name.

    Returns:
        The device.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)
