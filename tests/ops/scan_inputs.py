"""Random inputs of the scan, shared by the tests of this folder."""

import torch
from torch import Tensor

NAMES = ("u", "delta", "A", "B", "C", "D", "delta_bias")


def scan_inputs(
    batch: int,
    dim: int,
    length: int,
    groups: int,
    state: int,
    *,
    with_D: bool = True,
    with_bias: bool = True,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> list[Tensor | None]:
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    tensors = [
        normal(batch, dim, length),
        normal(batch, dim, length).abs() * 0.3 + 0.01,  # positive, so that h stays bounded
        -torch.rand(dim, state, generator=rng, dtype=torch.float64) - 0.1,
        normal(batch, groups, state, length),
        normal(batch, groups, state, length),
        normal(dim) if with_D else None,
        normal(dim) * 0.1 if with_bias else None,
    ]
    return [None if t is None else t.to(dtype).requires_grad_() for t in tensors]


def direction_like(tensors: list[Tensor], seed: int = 1) -> list[Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(t.shape, generator=rng, dtype=torch.float64).to(t.dtype) for t in tensors]
