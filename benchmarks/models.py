"""Speed of the image towers, and the share of it that is the scan.

    python benchmarks/models.py                                  # all, three scans
    python benchmarks/models.py --only Nano --scans cpu torch    # before and after the kernels

It prints a Markdown table: images per second of the forward pass of VMamba-T220 at 224 px and of
forward and backward of the demo models, with each scan (same weights, same inputs, alternating):
``cpu``, the fused kernels; ``torch``, what there would be without them; ``reference``, the loop
over time. One-thread figures are CPU seconds of the process, others wall-clock; medians.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from clip_mamba import create_model  # noqa: E402
from clip_mamba.models.layers import SelectiveScan  # noqa: E402

SCANS = ["cpu", "torch", "reference"]
PATIENCE = 30.0  # seconds: what takes longer is run once
#: name, batch, backward too, precision of the autocast
CASES = [
    ("VMamba-T220", 8, False, None),
    ("VMamba-Nano", 256, True, None),
    ("VMamba-Micro", 256, True, None),
    ("SiMBA-Nano", 256, True, None),
    ("ViT-Nano", 256, True, None),
    ("ViT-Micro", 256, True, None),
    ("VMamba-Nano", 256, True, torch.bfloat16),
    ("VMamba-Micro", 256, True, torch.bfloat16),
    ("SiMBA-Nano", 256, True, torch.bfloat16),
    ("ViT-Nano", 256, True, torch.bfloat16),
    ("ViT-Micro", 256, True, torch.bfloat16),
]


def main() -> None:
    """Measure every case and print a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", default="", help="only models whose name contains this")
    parser.add_argument("--scans", nargs="+", default=SCANS, choices=SCANS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} thread(s), load {os.getloadavg()[0]:.1f}")
    scans = "".join(f" {scan} | ± | slower |" for scan in options.scans)
    print(f"| model | pass | type | batch |{scans} share of the scan |")
    print("|---|---|---|--:|" + "--:|--:|--:|" * len(options.scans) + "--:|")
    for case in CASES:
        if options.only in case[0]:
            print(row(*case, options.rounds, options.scans), flush=True)


def row(
    name: str,
    batch: int,
    backward: bool,
    autocast: torch.dtype | None,
    rounds: int,
    backends: list[str],
) -> str:
    """Measure one model.

    Args:
        name: The model.
        batch: Images at once.
        backward: Forward and backward, not forward alone.
        autocast: Type for autocast, or None for float32.
        rounds: Measurements with each scan.
        backends: The scans to measure; a model without a scan has ``cpu`` only.

    Returns:
        A row of the table.
    """
    model, _, _ = create_model(name)
    tower = model.visual.train(backward)
    scans = [module for module in tower.modules() if isinstance(module, SelectiveScan)]
    image = torch.randn(batch, 3, *tower.image_size)
    run = _pass(tower, image, backward, autocast)
    run()  # compiles kernels, fills caches
    times: dict[str, list[float]] = {b: [] for b in (backends if scans else ["cpu"])}
    for _ in range(rounds):  # interleaved, so that a busy moment hits all
        for backend, found in times.items():
            _use(scans, backend)
            if not found or found[0] < PATIENCE:
                found.append(_seconds(run))
    _use(scans, "cpu")
    share = f"{100 * _scan_share(run, scans, backward):.0f} %" if scans else "–"
    kind = "forward + backward" if backward else "forward"
    cells = [name, kind, "bf16 autocast" if autocast else "float32", str(batch)]
    for backend in backends:
        cells += _cells(times.get(backend), times.get("cpu"), batch)
    return "| " + " | ".join([*cells, share]) + " |"


def _cells(times: list[float] | None, fast: list[float] | None, batch: int) -> list[str]:
    """Return images per second, their spread (half the range) and the time over that of ``cpu``."""
    if not times:
        return ["–", "–", "–"]
    middle = statistics.median(times)
    spread = f"±{50 * (max(times) - min(times)) / middle:.0f}%" if times[1:] else "one run"
    ratio = f"{middle / statistics.median(fast):.1f}" if fast else "–"
    return [f"{batch / middle:.1f}", spread, ratio]


def _pass(
    tower: nn.Module, image: torch.Tensor, backward: bool, autocast: torch.dtype | None
) -> Callable[[], None]:
    def run() -> None:
        with (
            torch.set_grad_enabled(backward),
            torch.autocast("cpu", autocast or torch.bfloat16, enabled=autocast is not None),
        ):
            features = tower(image)
        if backward:
            tower.zero_grad()
            features.float().square().sum().backward()

    return run


def _use(scans: list[SelectiveScan], backend: str) -> None:
    for scan in scans:
        scan.backend = backend


def _seconds(run: Callable[[], None]) -> float:
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    run()
    return clock() - start


def _scan_share(run: Callable[[], None], scans: list[SelectiveScan], backward: bool) -> float:
    """Return the part of one pass that the scans take, measured with their own inputs."""
    inputs: list[tuple[SelectiveScan, tuple[torch.Tensor, ...]]] = []

    def keep(module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(module, SelectiveScan)
        fresh = tuple(x.detach().requires_grad_(backward) for x in arguments)
        inputs.append((module, fresh))

    hooks = [scan.register_forward_pre_hook(keep) for scan in scans]
    run()
    for hook in hooks:
        hook.remove()

    def scan_all() -> None:
        for module, arguments in inputs:
            with torch.set_grad_enabled(backward):
                y = module(*arguments)
            if backward:
                y.sum().backward()

    both = [(_seconds(scan_all), _seconds(run)) for _ in range(3)]
    return statistics.median(scan / whole for scan, whole in both)


if __name__ == "__main__":
    main()
