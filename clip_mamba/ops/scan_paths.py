"""The four paths on which VMamba reads a map: by row, by column, and both backwards.

``unfold_paths`` brings maps into the order of the paths, ``fold_paths`` brings sequences back and
may add them. Each is the other's adjoint, and so the other's gradient: every derivative exists,
and none costs more than one pass over the sequences.
"""

import importlib.util
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

from clip_mamba.ops.threads import split_work

PATHS = 4
_FUSED = importlib.util.find_spec("numba") is not None


def unfold_paths(maps: Tensor, shared: bool) -> Tensor:
    """Read a map along the four paths.

    Args:
        maps: (b, h, w, d) if ``shared``, else (b, h, w, 4 d), the channels of one path after
            those of another.
        shared: All paths read the same channels.

    Returns:
        Sequences, (b, 4, d, h w), contiguous.
    """
    if _use_kernels(maps):
        return _Unfold.apply(maps, shared)
    row, column, row_back, column_back = [maps] * PATHS if shared else maps.chunk(PATHS, dim=-1)
    return torch.stack(
        (
            row.permute(0, 3, 1, 2).flatten(2),  # (b, d, l)
            column.permute(0, 3, 2, 1).flatten(2),
            row_back.permute(0, 3, 1, 2).flatten(2).flip(-1),
            column_back.permute(0, 3, 2, 1).flatten(2).flip(-1),
        ),
        dim=1,
    )


def fold_paths(y: Tensor, height: int, width: int, shared: bool) -> Tensor:
    """Bring four sequences back to their positions.

    Args:
        y: Sequences in the order of :func:`unfold_paths`, (b, 4, d, h w).
        height: Height of the map.
        width: Width of the map.
        shared: Add the four; else put them side by side.

    Returns:
        (b, h, w, d) if ``shared``, else (b, h, w, 4 d).
    """
    if _use_kernels(y):
        return _Fold.apply(y, height, width, shared)
    row, column, row_back, column_back = y.unbind(1)  # (b, d, l); unlike y[:, 0], cheap to derive
    rows, columns = (row, row_back.flip(-1)), (column, column_back.flip(-1))
    if shared:
        by_row = (rows[0] + rows[1]).unflatten(-1, (height, width)).permute(0, 2, 3, 1)
        by_column = (columns[0] + columns[1]).unflatten(-1, (width, height))
        return by_row + by_column.permute(0, 3, 2, 1)
    rows = tuple(x.unflatten(-1, (height, width)).permute(0, 2, 3, 1) for x in rows)
    columns = tuple(x.unflatten(-1, (width, height)).permute(0, 3, 2, 1) for x in columns)
    return torch.cat([rows[0], columns[0], rows[1], columns[1]], dim=-1)


def _use_kernels(x: Tensor) -> bool:
    """Return whether the compiled copies fit.

    torch.compile fuses the plain ones by itself, and torch.func cannot look into kernels.
    """
    return (
        _FUSED
        and x.device.type == "cpu"
        and x.dtype in {torch.float32, torch.float64}
        and not torch.compiler.is_compiling()
        and not torch._C._are_functorch_transforms_active()
    )


class _Unfold(Function):
    @staticmethod
    def forward(ctx: Any, maps: Tensor, shared: bool) -> Tensor:
        from clip_mamba.ops import path_kernels  # compiles or loads its kernels

        batch, height, width, channels = maps.shape
        ctx.size, ctx.shared = (height, width), shared
        depth = channels if shared else channels // PATHS
        y = maps.new_empty(batch, PATHS, depth, height * width)
        source, target = maps.detach().flatten(1, 2).contiguous().numpy(), y.numpy()

        def work(first: int, last: int) -> None:
            path_kernels.unfold(first, last, height, width, shared, source, target)

        if y.numel():
            split_work(work, batch)
        return y

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        height, width = ctx.size
        return fold_paths(grad[0], height, width, ctx.shared), None


class _Fold(Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, height: int, width: int, shared: bool) -> Tensor:
        from clip_mamba.ops import path_kernels  # compiles or loads its kernels

        batch, _, depth, length = y.shape
        ctx.shared = shared
        maps = y.new_empty(batch, length, depth if shared else depth * PATHS)
        source, target = y.detach().contiguous().numpy(), maps.numpy()

        def work(first: int, last: int) -> None:
            path_kernels.fold(first, last, height, width, shared, source, target)

        if y.numel():
            split_work(work, batch)
        return maps.unflatten(1, (height, width))

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None, None]:
        return unfold_paths(grad[0], ctx.shared), None, None, None
