"""Size and cost of a model, from its shapes alone: nothing is allocated and nothing is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import open_clip
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from clip_mamba.factory import get_config
from clip_mamba.models.layers import SelectiveScan


@dataclass(frozen=True)
class Summary:
    """One row of the models' table."""

    name: str
    family: str
    image_size: int
    image_parameters: int  # tower without the projection to the shared space
    projection_parameters: int
    text_parameters: int  # tower with its projection
    gflops: float  # 1e9 multiply-accumulates of the image tower for one image


def summarise(name: str) -> Summary:
    """Count a model's parameters and multiply-accumulates.

    Counted as VMamba's authors do: matrix products, convolutions and attention by their
    multiply-accumulates, a scan 9 per position, channel and state and 1 for the skip, LayerNorm 5
    per number. The rest is left out.

    Args:
        name: A name of :func:`clip_mamba.list_models`.

    Returns:
        The row.
    """
    with torch.device("meta"):
        model = open_clip.model.CLIP(**get_config(name)).eval().requires_grad_(False)
        size = model.visual.image_size[0]
        image = torch.empty(1, 3, size, size)
    trunk, projection = _count(model.visual.trunk), _count(model.visual.head)
    text = _count(model) - trunk - projection - model.logit_scale.numel()
    return Summary(
        name=name,
        family=name.split("-")[0],
        image_size=size,
        image_parameters=trunk,
        projection_parameters=projection,
        text_parameters=text,
        gflops=multiply_accumulates(model.visual.trunk, image) / 1e9,
    )


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
