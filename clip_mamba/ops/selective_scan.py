"""The selective scan of Mamba and the choice of its implementation.

``selective_scan`` has the shapes and meaning of mamba_ssm's ``selective_scan_fn`` for real
numbers. Backends: ``reference`` (a readable loop), ``torch`` (any device, any derivative),
``cpu`` (fused numba kernels, any derivative), ``cuda`` (mamba_ssm, first derivative only).
"""

import importlib.util
import threading
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache

import torch
from torch import Tensor

from clip_mamba.ops.arguments import ScanArguments, check_backend, check_scan
from clip_mamba.ops.scan_reference import scan_reference
from clip_mamba.ops.scan_torch import scan_torch

_FUSED = importlib.util.find_spec("numba") is not None
BACKENDS = ("auto", "reference", "torch", "cpu", "cuda")

# Depth of `with twice_differentiable()`. One number for the process and not one per thread,
# because autograd recomputes checkpointed blocks in threads of its own.
_twice_depth = 0
_twice_lock = threading.Lock()


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Run h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t, y_t = C_t h_t + D u_t.

    The state h is kept in float32, or in float64 if any input is float64.

    Args:
        u: Input, (batch, dim, length).
        delta: Step sizes, (batch, dim, length).
        A: Transition, (dim, state), real-valued.
        B: Input projection, (batch, groups, state, length), or (batch, state, length) for one
            group. Channel i uses group i // (dim / groups).
        C: Output projection, shaped like ``B``.
        D: Skip weight, (dim,).
        delta_bias: Added to ``delta``, (dim,).
        delta_softplus: Apply softplus to ``delta`` after the bias.
        backend: One of ``BACKENDS``; ``auto`` chooses by device (see :func:`choose_backend`).

    Returns:
        y, (batch, dim, length), in the type of ``u``.
    """
    check_backend(backend, BACKENDS)
    args = check_scan(u, delta, A, B, C, D, delta_bias, delta_softplus)
    if not torch.compiler.is_compiling():
        return _run(args, backend)
    if backend in {"auto", "cpu"} and u.device.type == "cpu" and _FUSED:
        from clip_mamba.ops.scan_cpu import scan_cpu

        return scan_cpu(args)
    return _run_uncompiled(args, backend)


def _run(args: ScanArguments, backend: str) -> Tensor:
    device_type = args.u.device.type
    name = choose_backend(device_type) if backend == "auto" else backend
    return _implementation(name, device_type)(args)


_run_uncompiled = torch.compiler.disable(_run)


@contextmanager
def twice_differentiable() -> Generator[None, None, None]:
    """Keep ``auto`` from choosing ``cuda``, whose gradient cannot be differentiated again.

    Yields:
        Nothing. The choice holds in every thread of the process until the block ends.
    """
    global _twice_depth
    with _twice_lock:
        _twice_depth += 1
    try:
        yield
    finally:
        with _twice_lock:
            _twice_depth -= 1


def must_be_twice_differentiable() -> bool:
    """Return whether a ``twice_differentiable()`` block is open."""
    return _twice_depth > 0


def choose_backend(device_type: str) -> str:
    """Return the backend that ``auto`` means.

    Args:
        device_type: ``u.device.type``.

    Returns:
        ``cpu`` for CPU tensors (``torch`` without numba); ``cuda`` for CUDA tensors if mamba_ssm
        is installed and no ``twice_differentiable()`` block is open; else ``torch``.
    """
    if device_type == "cpu" and _importable("numba", "pip install numba"):
        return "cpu"
    if (
        device_type == "cuda"
        and not must_be_twice_differentiable()
        and _importable("mamba_ssm", "pip install 'clip-mamba[cuda]' --no-build-isolation")
    ):
        return "cuda"
    return "torch"


@cache  # so that the warning comes once
def _importable(module: str, install: str) -> bool:
    if importlib.util.find_spec(module) is not None:
        return True
    warnings.warn(
        f"{module} is not installed: the selective scan uses plain torch, which is slower and "
        f"takes more memory. To install it: {install}",
        stacklevel=4,
    )
    return False


def _implementation(name: str, device_type: str) -> Callable[[ScanArguments], Tensor]:
    if name == "reference":
        return scan_reference
    if name == "torch":
        return scan_torch
    if name != device_type:
        raise ValueError(
            f"backend={name!r} needs {name} tensors but u is on {device_type!r}; "
            "move the inputs, or use backend='torch', which runs on any device."
        )
    if name == "cpu":
        from clip_mamba.ops.scan_cpu import scan_cpu  # compiles or loads its kernels

        return scan_cpu
    from clip_mamba.ops.scan_cuda import scan_cuda  # mamba_ssm exists on GPU machines only

    return scan_cuda
