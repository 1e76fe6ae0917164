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


def find_device(device: str = "auto") -> torch.device:
    """Return a device that is there.

    Args:
        device: As in :func:`pick_device`.

    Returns:
        The device.

    Raises:
        ValueError: If this machine or this build of torch has none of that name.
    """
    try:
        found = pick_device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"device {device!r} cannot be used: {reason}") from error
    return found
