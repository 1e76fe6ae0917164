"""What one pair costs in training: arithmetic and memory, from shapes alone on the meta device."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from clip_mamba.factory import get_config
from clip_mamba.models.build import build_clip
from clip_mamba.models.layers import SelectiveScan
from clip_mamba.models.summary import multiply_accumulates

#: Attributes that hold the blocks which gradient checkpointing recomputes.
BLOCKS = ("blocks", "resblocks")
#: mamba_ssm's kernel keeps the state, twice, at the start of each chunk of so many positions.
CHUNK = 2048


@dataclass(frozen=True)
class Footprint:
    """The cost of one model.

    Attributes:
        parameters: Of both towers, all trained.
        macs: Multiply-accumulates of one forward pass of both towers for one pair.
        activations: Bytes that one pair keeps for the backward pass, with bfloat16 autocast.
        checkpointed: The same with gradient checkpointing.
        width: Numbers in a feature.
    """

    parameters: int
    macs: int
    activations: int
    checkpointed: int
    width: int


def footprint(name: str) -> Footprint:
    """Measure a model; nothing is allocated and nothing is run.

    Args:
        name: A name of :func:`clip_mamba.catalogue.config_files`.

    Returns:
        Its cost.
    """
    config = get_config(name)
    with torch.device("meta"):
        model = build_clip(config).train()
        size = model.visual.image_size
        size = size if isinstance(size, tuple) else (size, size)
        image = torch.empty(1, 3, *size)
        tokens = torch.empty(1, config["text_cfg"].get("context_length", 77), dtype=torch.long)
    towers = [(model.encode_image, image), (model.encode_text, tokens)]
    kept = [_kept(model, encode, x) for encode, x in towers]
    model.eval().requires_grad_(False)  # for the counter of the products
    return Footprint(
        parameters=sum(p.numel() for p in model.parameters()),
        macs=sum(multiply_accumulates(_Tower(model, encode), x) for encode, x in towers),
        activations=sum(saved.everything for saved in kept),
        checkpointed=sum(saved.checkpointed for saved in kept),
        width=config["embed_dim"],
    )


class _Tower(nn.Module):
    """One tower of a model as a module."""

    def __init__(self, model: nn.Module, encode: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.encode = model, encode

    def forward(self, x: Tensor) -> Tensor:
        return self.encode(x)


@dataclass
class _Saved:
    """Bytes that the backward pass needs, outside the blocks and in each."""

    outside: int = 0
    blocks: list[int] = field(default_factory=list)
    inputs: int = 0  # of the blocks
    inside: bool = False
    full: bool = False  # in a LayerNorm, which autocast leaves in float32
    attention: bool = False
    seen: dict[int, Any] = field(default_factory=dict)

    @property
    def everything(self) -> int:
        return self.outside + sum(self.blocks)

    @property
    def checkpointed(self) -> int:
        # The input of each block, and one block at a time anew.
        return self.outside + self.inputs + max(self.blocks, default=0)

    def add(self, size: int) -> None:
        if self.inside:
            self.blocks[-1] += size
        else:
            self.outside += size


def _kept(model: nn.Module, encode: Callable[[Tensor], Tensor], x: Tensor) -> _Saved:
    saved = _Saved()
    own = {p.untyped_storage()._cdata for p in model.parameters()}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        fused = saved.attention and tensor.ndim > 2 and tensor.shape[-1] == tensor.shape[-2]
        if storage._cdata not in own and storage._cdata not in saved.seen and not fused:
            saved.seen[storage._cdata] = storage  # kept alive, so that its number stays its own
            saved.add(storage.nbytes() if saved.full else storage.nbytes() // 2)
        return tensor

    with _watched(model, saved), saved_tensors_hooks(pack, lambda tensor: tensor):
        encode(x)
    return saved


@contextmanager
def _watched(model: nn.Module, saved: _Saved) -> Generator[None, None, None]:
    """Tell the record in which kind of module the forward pass is."""
    handles: list[Any] = []

    def flag(module: nn.Module, name: str) -> None:
        handles.append(module.register_forward_pre_hook(lambda *_: setattr(saved, name, True)))
        handles.append(module.register_forward_hook(lambda *_: setattr(saved, name, False)))

    def enter(_module: nn.Module, inputs: tuple[Any, ...]) -> None:
        saved.inputs += 4 * inputs[0].numel()  # the residual stream is in float32
        saved.blocks.append(0)

    for module in model.modules():
        if isinstance(module, nn.LayerNorm):
            flag(module, "full")
        elif isinstance(module, SelectiveScan):
            handles.append(module.register_forward_pre_hook(lambda _, x: saved.add(_scan(x))))
        elif "Attention" in type(module).__name__ and "Block" not in type(module).__name__:
            flag(module, "attention")
        for block in (b for name in BLOCKS for b in getattr(module, name, [])):
            handles.append(block.register_forward_pre_hook(enter))
            flag(block, "inside")
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _scan(inputs: tuple[Any, ...]) -> int:
    u, dt, A_log, B, C = inputs[:5]
    chunks = -(-u.shape[-1] // CHUNK)
    states = 2 * u.shape[0] * u.shape[1] * A_log.shape[1] * chunks
    return 4 * (u.numel() + dt.numel() + B.numel() + C.numel() + states)
