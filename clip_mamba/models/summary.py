"""Size and cost of a model, from its shapes alone: nothing is allocated and nothing is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from clip_mamba.factory import get_config
from clip_mamba.models.build import build_clip
from clip_mamba.models.layers import SelectiveScan


@dataclass(frozen=True)
class Summary:
    """One row of the models' table."""

    name: str
    family: str
    image_size: int
    image_parameters: int  # tower without the projection to the shared space
    projection_parameters: int | None  # None where the tower is not apart from it
    text_parameters: int  # tower with its projection
    gflops: float  # 1e9 multiply-accumulates of the image tower for one image
    depths: tuple[int, ...]  # blocks of each stage of the image tower
    widths: tuple[int, ...]  # channels of each stage
    state: int | None  # of the selective scan, if there is one


def summarise(name: str) -> Summary:
    """Count a model's parameters and multiply-accumulates.

    Counted as VMamba's authors do: matrix products, convolutions and attention by their
    multiply-accumulates, a scan 9 per position, channel and state and 1 for the skip, LayerNorm 5
    per number. The rest is left out.

    Args:
        name: A name of :func:`clip_mamba.catalogue.config_files`.

    Returns:
        The row.
    """
    with torch.device("meta"):
        model = build_clip(get_config(name)).eval().requires_grad_(False)
        size = model.visual.image_size
        size = size[0] if isinstance(size, tuple) else size
        image = torch.empty(1, 3, size, size)
    # open_clip's own towers have no trunk: their projection is within.
    apart = hasattr(model.visual, "trunk")
    trunk = model.visual.trunk if apart else model.visual
    tower, projection = _count(trunk), _count(model.visual.head) if apart else None
    text = _count(model) - tower - (projection or 0) - model.logit_scale.numel()
    return Summary(
        name=name,
        family=name.split("-")[0],
        image_size=size,
        image_parameters=tower,
        projection_parameters=projection,
        text_parameters=text,
        gflops=multiply_accumulates(trunk, image) / 1e9,
        **_structure(trunk),
    )


def _structure(trunk: nn.Module) -> dict[str, Any]:
    # Depths and widths of timm's staged towers, and of those with one row of blocks; else none.
    states = [m.d_state for m in trunk.modules() if isinstance(getattr(m, "d_state", None), int)]
    parts = getattr(trunk, "stages", [trunk])
    blocks = [getattr(part, "blocks", ()) for part in parts]
    staged = [info["num_chs"] for info in getattr(trunk, "feature_info", ())]
    widths = staged if hasattr(trunk, "stages") else [getattr(trunk, "embed_dim", 0)]
    return {
        "depths": tuple(len(row) for row in blocks if len(row)),
        "widths": tuple(width for width in widths if width),
        "state": states[0] if states else None,
    }


@torch.no_grad()
def multiply_accumulates(module: nn.Module, image: Tensor) -> int:
    """Count the multiply-accumulates of one forward pass.

    Args:
        module: An image tower on the meta device.
        image: Its input, on the meta device.

    Returns:
        The count, by the rules of :func:`summarise`.
    """
    extra: list[int] = []  # what the counter below does not see

    def count(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if isinstance(module, SelectiveScan):
            u, A_log = inputs[0], inputs[2]
            extra.append(u.numel() * (9 * A_log.shape[1] + 1))
        elif isinstance(module, nn.LayerNorm):
            extra.append(5 * inputs[0].numel())

    hooks = [m.register_forward_pre_hook(count) for m in module.modules()]
    try:
        with FlopCounterMode(display=False) as counter:
            module(image)
    finally:
        for hook in hooks:
            hook.remove()
    return counter.get_total_flops() // 2 + sum(extra)


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
