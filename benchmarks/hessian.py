"""Hessian-vector products per second: ours against PyHessian and curvlinops.

Run ``OMP_NUM_THREADS=1 python benchmarks/hessian.py`` from the repository's root. All multiply
the same vector with the Hessian of the same CLIP loss of the same mini-batch, in turns; the
median of the rounds is printed as a Markdown table, with each tool's relative distance to ours.

- PyHessian keeps the graph of the gradient, as we do; its own model runs the step-by-step
  reference scan, with which it would be used on a Mamba without this project.
- curvlinops (``pip install curvlinops-for-pytorch``; left out when it is absent) differentiates
  forward over reverse anew for each product, which the fused scan does not support.

Goals: on a ViT not slower than the faster of them; on VMamba and SiMBA 3 x PyHessian.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyhessian
import torch
from pyhessian.utils import hessian_vector_product
from torch import Tensor, nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clip_mamba import create_model  # noqa: E402
from clip_mamba.hessian import ClipLoss, HessianOperator, exact_derivatives  # noqa: E402
from clip_mamba.models.layers import SelectiveScan  # noqa: E402

Product = Callable[[Tensor], Tensor]


class Logits(nn.Module):
    """Image and text logits stacked, so that plain cross entropy is CLIP's loss."""

    def __init__(self, model: Any) -> None:
        """Wrap a CLIP model."""
        super().__init__()
        self.model = model

    def forward(self, pairs: dict[str, Tensor]) -> Tensor:
        """Return (2b, b) logits."""
        u = F.normalize(self.model.encode_image(pairs["images"]), dim=-1)
        v = F.normalize(self.model.encode_text(pairs["texts"]), dim=-1)
        logits = self.model.logit_scale.exp() * u @ v.T
        return torch.cat([logits, logits.T])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=["ViT-Nano", "VMamba-Nano", "SiMBA-Nano"])
    parser.add_argument("--pairs", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    torch.set_num_threads(1)
    print("| model | tool | products/s | ours is faster by | difference |\n|---|---|---|---|---|")
    for name in arguments.models:
        compare(name, arguments.pairs, arguments.rounds)


def compare(name: str, pairs: int, rounds: int) -> None:
    """Print the rows of one model.

    Args:
        name: A demo model.
        pairs: Pairs in the mini-batch.
        rounds: Timed products per tool.
    """
    torch.manual_seed(0)
    model = create_model(name)[0].eval().requires_grad_(True)
    size = model.visual.image_size if hasattr(model.visual, "image_size") else 32
    side = size[0] if isinstance(size, (tuple, list)) else size
    texts = torch.randint(1, 4000, (pairs, model.context_length))
    texts[:, -1] = model.vocab_size - 1
    images = torch.randn(pairs, 3, side, side)
    vector = torch.randn(sum(p.numel() for p in model.parameters()))
    tools = products(model, images, texts)
    results = {tool: product(vector) for tool, product in tools.items()}  # also warms up
    times: dict[str, list[float]] = {tool: [] for tool in tools}
    for _ in range(rounds):
        for tool, product in tools.items():
            began = time.perf_counter()
            product(vector)
            times[tool].append(time.perf_counter() - began)
    median = {tool: statistics.median(t) for tool, t in times.items()}
    for tool, seconds in median.items():
        ratio = seconds / median["ours"]
        error = float((results[tool] - results["ours"]).norm() / results["ours"].norm())
        print(f"| {name} | {tool} | {1 / seconds:.2f} | {ratio:.2f} | {error:.0e} |", flush=True)


def products(model: nn.Module, images: Tensor, texts: Tensor) -> dict[str, Product]:
    """Return each tool's product with a flat vector.

    Args:
        model: A CLIP model in evaluation mode.
        images: (b, 3, side, side).
        texts: (b, context).

    Returns:
        Tool to product; curvlinops only where it is installed and can differentiate the model.
    """
    params = list(model.parameters())
    tools: dict[str, Product] = {
        "ours": HessianOperator(ClipLoss(model), params, (images, texts)).matvec
    }
    data = {"images": images, "texts": texts}
    labels = torch.arange(len(images)).repeat(2)
    mamba = any(isinstance(m, SelectiveScan) for m in model.modules())
    tools["PyHessian" + " + reference scan" * mamba] = _pyhessian(model, data, labels)
    if mamba:
        return tools
    try:
        from curvlinops import HessianLinearOperator
    except ImportError:
        return tools
    operator = HessianLinearOperator(
        Logits(model),
        nn.CrossEntropyLoss(),
        params,
        [(data, labels)],
        check_deterministic=False,
        num_data=len(labels),
        batch_size_fn=lambda pairs: 2 * len(pairs["images"]),
    )

    def product(vector: Tensor) -> Tensor:
        with exact_derivatives():
            return operator @ vector

    return tools | {"curvlinops": product}


def _pyhessian(model: nn.Module, data: dict[str, Tensor], labels: Tensor) -> Product:
    peer = copy.deepcopy(model)
    for module in peer.modules():
        if isinstance(module, SelectiveScan):
            module.backend = "reference"
    with exact_derivatives():
        hessian = pyhessian.hessian(
            Logits(peer), nn.CrossEntropyLoss(), data=(data, labels), cuda=False
        )

    def product(vector: Tensor) -> Tensor:
        sizes = [p.numel() for p in hessian.params]
        parts = zip(vector.split(sizes), hessian.params, strict=True)
        v = [part.view_as(p) for part, p in parts]
        return torch.cat([
            h.reshape(-1) for h in hessian_vector_product(hessian.gradsH, hessian.params, v)
        ])

    return product


if __name__ == "__main__":
    main()
