"""What a measurement ran on."""

from __future__ import annotations

import os
import platform
import re
import sys
from functools import cache
from pathlib import Path


@cache
def machine() -> str:
    """Return the processor with its number of cores, and the GPU if torch uses one.

    Returns:
        For example ``AMD EPYC 7B13, 2 cores``.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parts = [_processor(), f"{cores} core" + ("s" if cores != 1 else "")]
    torch = sys.modules.get("torch")  # whoever measures on a GPU has imported it
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        parts.append(torch.cuda.get_device_name())
    return ", ".join(parts)


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    named = re.search(r"^model name\s*:\s*(.+)$", path.read_text(), re.M) if path.exists() else None
    return " ".join(named[1].split()) if named else platform.processor() or platform.machine()
