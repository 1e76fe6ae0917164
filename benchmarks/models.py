"""Speed of the image towers, and the share of it that is the scan.

Run ``python benchmarks/models.py`` from the repository's root. It prints a Markdown table:
the forward pass of VMamba-T220 at 224 px, and forward and backward of the demo models, each beside
the same network with the step-by-step reference scan (same weights, same inputs, alternating).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import nn

from clip_mamba import create_model
from clip_mamba.models.layers import SelectiveScan

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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--only", help="only models whose name contains this")
    parser.add_argument("--no-reference", action="store_true", help="leave the slow scan out")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    print("| model | pass | type | batch | images/s | scan | with reference scan | ratio |")
    print("|---|---|---|--:|--:|--:|--:|--:|")
    for case in CASES:
        if arguments.only is None or arguments.only in case[0]:
            print(row(*case, arguments.repeats, reference=not arguments.no_reference), flush=True)


def row(
    name: str,
    batch: int,
    backward: bool,
    autocast: torch.dtype | None,
    repeats: int,
    reference: bool = True,
) -> str:
    """Measure one model.

    Args:
        name: The model.
        batch: Images at once.
        backward: Forward and backward, not forward alone.
        autocast: Type for autocast, or None for float32.
        repeats: Measurements of each; the fastest counts.
        reference: Measure the reference scan too.

    Returns:
        A row of the table.
    """
    model, _, _ = create_model(name)
    tower = model.visual.train(backward)
    scans = [module for module in tower.modules() if isinstance(module, SelectiveScan)]
    image = torch.randn(batch, 3, *tower.image_size)
    run = _pass(tower, image, backward, autocast)
    backends = ["auto", "reference"] if scans and reference else ["auto"]
    best = dict.fromkeys(backends, float("inf"))
    run()  # compiles kernels, fills caches
    for _ in range(repeats):  # interleaved, so that a busy moment hits both
        for backend in backends:
            _use(scans, backend)
            best[backend] = min(best[backend], _seconds(run))
    _use(scans, "auto")
    share = _scan_share(run, scans, backward) if scans else 0.0
    kind = "forward + backward" if backward else "forward"
    precision = "bf16 autocast" if autocast else "float32"
    cells = [name, kind, precision, str(batch), f"{batch / best['auto']:.1f}"]
    cells.append(f"{100 * share:.0f} %" if scans else "–")
    if "reference" in best:
        ratio = best["reference"] / best["auto"]
        cells += [f"{batch / best['reference']:.1f}", f"{ratio:.1f} ×"]
    else:
        cells += ["–", "–"]
    return "| " + " | ".join(cells) + " |"


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
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


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

    return min(_seconds(scan_all) for _ in range(2)) / min(_seconds(run) for _ in range(2))


if __name__ == "__main__":
    main()
