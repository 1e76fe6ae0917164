"""Checks of the selective scan's arguments; every message names the argument and the remedy."""

import difflib
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

FLOATS = (torch.float32, torch.float64, torch.bfloat16, torch.float16)


class ScanArguments(NamedTuple):
    """The tensors of one scan after checking: B and C always carry a group axis."""

    u: Tensor  # (batch, dim, length)
    delta: Tensor  # (batch, dim, length)
    A: Tensor  # (dim, state)
    B: Tensor  # (batch, groups, state, length)
    C: Tensor  # (batch, groups, state, length)
    D: Tensor | None  # (dim,)
    delta_bias: Tensor | None  # (dim,)
    delta_softplus: bool

    @property
    def compute_dtype(self) -> torch.dtype:
        """The type of the state: float64 if any input is float64, else float32."""
        tensors = self[:7]
        if any(t is not None and t.dtype == torch.float64 for t in tensors):
            return torch.float64
        return torch.float32

    def step_size(self) -> Tensor:
        """Return Delta after its bias and softplus, (batch, dim, length), in compute_dtype."""
        Delta = self.delta.to(self.compute_dtype)
        if self.delta_bias is not None:
            Delta = Delta + self.delta_bias.to(self.compute_dtype)[:, None]
        return softplus(Delta) if self.delta_softplus else Delta


def check_backend(backend: str, known: Sequence[str]) -> None:
    """Refuse an unknown backend name.

    Args:
        backend: The name that was asked for.
        known: The valid names.

    Raises:
        ValueError: If ``backend`` is not one of ``known``.
    """
    if backend not in known:
        near = difflib.get_close_matches(str(backend), known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"Unknown backend {backend!r}.{hint} Choose one of {', '.join(known)}.")


def check_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    delta_bias: Tensor | None,
    delta_softplus: bool,
) -> ScanArguments:
    """Check shapes, types and devices, and give B and C their group axis.

    Args:
        u: Input, (batch, dim, length).
        delta: Step sizes, as ``u``.
        A: Transition, (dim, state).
        B: Input projection, (batch, groups, state, length) or (batch, state, length).
        C: Output projection, shaped like ``B``.
        D: Skip weight, (dim,), or None.
        delta_bias: Added to ``delta``, (dim,), or None.
        delta_softplus: Whether softplus follows.

    Returns:
        The same tensors, B and C with four axes.

    Raises:
        ValueError: If an argument does not fit; the message says which and what would.
    """
    tensors = {"u": u, "delta": delta, "A": A, "B": B, "C": C, "D": D, "delta_bias": delta_bias}
    _check_types(tensors)
    if u.ndim != 3:
        raise ValueError(f"u must be (batch, dim, length), got shape {tuple(u.shape)}.")
    if A.ndim != 2:
        raise ValueError(f"A must be (dim, state), got shape {tuple(A.shape)}.")
    batch, dim, length = u.shape
    state = A.shape[1]
    _check_shape("delta", delta, (batch, dim, length), "(batch, dim, length) like u")
    _check_shape("A", A, (dim, state), "(dim, state)")
    B = _with_groups("B", B, batch, dim, state, length)
    C = _with_groups("C", C, batch, dim, state, length)
    if B.shape[1] != C.shape[1]:
        raise ValueError(f"C must have the groups of B ({B.shape[1]}), got {C.shape[1]}.")
    if D is not None:
        _check_shape("D", D, (dim,), "(dim,)")
    if delta_bias is not None:
        _check_shape("delta_bias", delta_bias, (dim,), "(dim,)")
    return ScanArguments(u, delta, A, B, C, D, delta_bias, bool(delta_softplus))


def _check_types(tensors: dict[str, Tensor | None]) -> None:
    device = None
    for name, value in tensors.items():
        if value is None and name in {"D", "delta_bias"}:
            continue
        if not isinstance(value, Tensor):
            raise ValueError(f"{name} must be a tensor, got {type(value).__name__}.")
        if value.dtype not in FLOATS:
            names = ", ".join(str(d).removeprefix("torch.") for d in FLOATS)
            raise ValueError(f"{name} must be one of {names} (real-valued), got {value.dtype}.")
        device = value.device if device is None else device
        if value.device != device:
            raise ValueError(f"{name} is on {value.device} but u is on {device}; move it there.")


def _check_shape(name: str, tensor: Tensor, shape: tuple[int, ...], words: str) -> None:
    if tensor.shape != shape:
        raise ValueError(f"{name} must be {words} = {shape}, got shape {tuple(tensor.shape)}.")


def _with_groups(name: str, x: Tensor, batch: int, dim: int, state: int, length: int) -> Tensor:
    if x.ndim == 3:
        x = x.unsqueeze(1)
    words = "(batch, groups, state, length) or (batch, state, length)"
    if x.ndim != 4 or (x.shape[0], x.shape[2], x.shape[3]) != (batch, state, length):
        expected = f"({batch}, groups, {state}, {length})"
        raise ValueError(f"{name} must be {words} = {expected}, got shape {tuple(x.shape)}.")
    groups = x.shape[1]
    if groups < 1 or dim % groups:
        raise ValueError(f"{name} has {groups} groups, which do not divide dim {dim} evenly.")
    return x
