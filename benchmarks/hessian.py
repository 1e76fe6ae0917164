"""Hessian-vector products per second: ours against PyHessian and curvlinops.

Run ``OMP_NUM_THREADS=1 python benchmarks/hessian.py`` from the repository's root. All multiply
the same vector with the Hessian of the same CLIP loss of the same mini-batch, in turns; a product's
time is the CPU time of the process (one thread), the median over the rounds, because a wall clock
measures the neighbours on a busy machine. Printed is a Markdown table, with each tool's relative
distance to ours.

- PyHessian keeps the graph of the gradient, as we do; its own Mamba runs the step-by-step
  reference scan with the time axis unbound, with which it would be used without this project.
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
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyhessian
import torch
from pyhessian.utils import hessian_vector_product
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from clip_mamba import create_model  # noqa: E402
from clip_mamba.hessian import ClipLoss, HessianOperator  # noqa: E402
from clip_mamba.models.layers import SelectiveScan  # noqa: E402
from clip_mamba.ops.selective_scan import twice_differentiable  # noqa: E402

Product = Callable[[Tensor], Tensor]


@contextmanager
def second_derivatives() -> Generator[None]:
    """Give the peers kernels that can be differentiated twice, and nothing else of ours.

    Yields:
        Nothing.
    """
    with sdpa_kernel(SDPBackend.MATH), twice_differentiable():
        yield


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
    parser.add_argument("--pairs", type=int, default=64, help="pairs in the mini-batch")
    parser.add_argument("--rounds", type=int, default=5, help="timed products per tool")
    parser.add_argument("--side", type=int, help="side of the pictures; the model's own by default")
    parser.add_argument(
        "--longest", type=int, default=17,
        help="tokens of the longest caption (17: median over the demo's mini-batches of 64)",
    )  # fmt: skip
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore", category=UserWarning)
    torch.set_num_threads(1)
    print("| model | tool | products/s | ours is faster by | difference |\n|---|---|---|---|---|")
    for name in arguments.models:
        compare(name, arguments.pairs, arguments.rounds, arguments.side, arguments.longest)


def compare(name: str, pairs: int, rounds: int, side: int | None, longest: int) -> None:
    """Print the rows of one model.

    Args:
        name: Any model.
        pairs: Pairs in the mini-batch.
        rounds: Timed products per tool.
        side: Side of the pictures; ``None`` for the model's own.
        longest: Tokens of the longest caption.
    """
    torch.manual_seed(0)
    model = create_model(name, image_size=side)[0].eval().requires_grad_(True)
    size = model.visual.image_size
    side = size[0] if isinstance(size, (tuple, list)) else size
    texts = captions(pairs, longest, model)
    images = torch.randn(pairs, 3, side, side)
    vector = torch.randn(sum(p.numel() for p in model.parameters()))
    tools = products(model, images, texts)
    results = {tool: product(vector) for tool, product in tools.items()}  # also warms up
    times: dict[str, list[float]] = {tool: [] for tool in tools}
    for _ in range(rounds):
        for tool, product in tools.items():
            began = time.process_time()
            product(vector)
            times[tool].append(time.process_time() - began)
    median = {tool: statistics.median(t) for tool, t in times.items()}
    for tool, seconds in median.items():
        ratio = seconds / median["ours"]
        error = float((results[tool] - results["ours"]).norm() / results["ours"].norm())
        print(f"| {name} | {tool} | {1 / seconds:.2f} | {ratio:.2f} | {error:.0e} |", flush=True)


def captions(pairs: int, longest: int, model: Any) -> Tensor:
    """Return token ids of captions of half to full length, as a batch has them.

    Args:
        pairs: How many.
        longest: Tokens of the longest, with start and end.
        model: Has ``context_length`` and ``vocab_size``.

    Returns:
        (pairs, context) ids, padded with zeros.
    """
    longest = min(longest, model.context_length)
    ids = torch.randint(1, 4000, (pairs, model.context_length))
    lengths = torch.linspace(longest / 2, longest, pairs).round().long()
    positions = torch.arange(model.context_length)
    ids[positions >= lengths[:, None]] = 0
    ids[torch.arange(pairs), lengths - 1] = model.vocab_size - 1
    return ids


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
    tools["PyHessian" + " + unbound reference scan" * mamba] = _pyhessian(model, data, labels)
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
        with second_derivatives():
            return operator @ vector

    return tools | {"curvlinops": product}


def _pyhessian(model: nn.Module, data: dict[str, Tensor], labels: Tensor) -> Product:
    peer = copy.deepcopy(model)
    for module in peer.modules():
        if isinstance(module, SelectiveScan):
            module.backend = "reference"
    with second_derivatives():
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
