"""Is the second derivative right? A check that runs before any measurement.

A kernel whose backward is not made of differentiable operations gives a Hessian that lacks
curvature without any error (mamba_ssm's CUDA scan does). Even ``once_differentiable`` does not
help: ``torch.autograd.grad`` prunes the node that would have raised. Two tests find it: a
Hessian-vector product must equal the central difference of gradients, and the operator must be
symmetric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from clip_mamba.hessian.draws import Draws
from clip_mamba.hessian.operator import HessianOperator, LossFunction, check_params

#: Relative steps of the central difference, tried in turn: a step that crosses the kink of a
#: ReLU spoils the difference, not the product, so the best of them counts.
STEPS = {torch.float64: (1e-5, 1e-6, 1e-7), torch.float32: (3e-3, 1e-3, 3e-4)}
TOLERANCE = {torch.float64: 1e-5, torch.float32: 2e-2}
SYMMETRY_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-3}


class SecondDerivativeError(RuntimeError):
    """The Hessian-vector product is wrong; nothing was measured."""


@dataclass(frozen=True)
class ProbeErrors:
    """What the probe found.

    Attributes:
        difference: ||Hv - central difference|| / ||central difference||.
        worst_difference: The same for the worst single tensor (against at least 1e-3 of the
            whole norm, so that a tensor without curvature is no false alarm).
        worst_parameter: That tensor's name.
        symmetry: |v'Hw - w'Hv| / (||v|| ||Hw||).
        tolerance: Bound on both differences.
        symmetry_tolerance: Bound on the symmetry error.
        dtype: The floating type probed.
    """

    difference: float
    worst_difference: float
    worst_parameter: str
    symmetry: float
    tolerance: float
    symmetry_tolerance: float
    dtype: str

    @property
    def passed(self) -> bool:
        """Whether both errors are within their tolerances."""
        return (
            max(self.difference, self.worst_difference) <= self.tolerance
            and self.symmetry <= self.symmetry_tolerance
        )

    def details(self) -> dict[str, Any]:
        """Return the numbers for a result file.

        Returns:
            Plain values by name.
        """
        return asdict(self)


def probe(
    loss_fn: LossFunction,
    params: Sequence[Tensor],
    batch: Any,
    *,
    names: Sequence[str] | None = None,
    seed: int = 0,
    tolerance: float | None = None,
    symmetry_tolerance: float | None = None,
) -> ProbeErrors:
    """Compare a Hessian-vector product with gradients, and test the operator's symmetry.

    Use float64 copies of the model where there are any: in float32 a central difference is good
    to about one per cent only.

    Args:
        loss_fn: Takes the batch, returns a scalar.
        params: Leaf tensors; moved during the probe and put back exactly.
        batch: A small batch.
        names: Names of the parameters for the message.
        seed: Seed of the two directions.
        tolerance: Bound on the differences; ``None`` chooses by type.
        symmetry_tolerance: Bound on the symmetry error; ``None`` chooses by type.

    Returns:
        The errors, all within tolerance.

    Raises:
        SecondDerivativeError: If an error exceeds its tolerance, or a kernel refuses.
    """
    check_params(params)
    dtype = params[0].dtype
    v, w = _direction(params, seed, "v"), _direction(params, seed, "w")
    with HessianOperator(loss_fn, params, batch) as operator:
        try:
            hv, hw = operator.matvec(v), operator.matvec(w)
        except RuntimeError as error:  # a backward without a formula of its own
            raise SecondDerivativeError(f"no second derivative exists: {error}") from error
    scale = max(float(v.norm() * hw.norm()), torch.finfo(dtype).tiny)
    tolerance = TOLERANCE[dtype] if tolerance is None else tolerance
    found: list[tuple[float, float, int]] = []
    for step in STEPS[dtype]:
        found.append(
            relative_errors(hv, _central_difference(loss_fn, params, batch, v, step), params)
        )
        if max(found[-1][:2]) <= tolerance:
            break
    whole, worst, index = min(found, key=lambda f: max(f[:2]))
    errors = ProbeErrors(
        difference=whole,
        worst_difference=worst,
        worst_parameter=names[index] if names else f"params[{index}]",
        symmetry=abs(float(v @ hw - w @ hv)) / scale,
        tolerance=tolerance,
        symmetry_tolerance=(
            SYMMETRY_TOLERANCE[dtype] if symmetry_tolerance is None else symmetry_tolerance
        ),
        dtype=str(dtype).removeprefix("torch."),
    )
    if not errors.passed:
        raise SecondDerivativeError(_message(errors))
    return errors


def relative_errors(
    got: Tensor, expected: Tensor, params: Sequence[Tensor]
) -> tuple[float, float, int]:
    """Compare two flat vectors as a whole and tensor by tensor.

    Args:
        got: (size,) to be judged.
        expected: (size,) to be judged by.
        params: The tensors the vectors are laid out for.

    Returns:
        Relative error of the whole, of the worst tensor (against at least 1e-3 of the whole
        norm), and that tensor's index. Not-a-number counts as infinite.
    """
    sizes = [p.numel() for p in params]
    whole = max(float(expected.norm()), torch.finfo(expected.dtype).tiny)
    per_tensor = [
        float((a - b).norm()) / max(float(b.norm()), 1e-3 * whole)
        for a, b in zip(got.split(sizes), expected.split(sizes), strict=True)
    ]
    per_tensor = [e if e == e else float("inf") for e in per_tensor]
    total = float((got - expected).norm()) / whole
    worst = max(range(len(per_tensor)), key=per_tensor.__getitem__)
    return total if total == total else float("inf"), per_tensor[worst], worst


def _direction(params: Sequence[Tensor], seed: int, name: str) -> Tensor:
    """Return normal numbers, scaled in each tensor to its own size."""
    draws = Draws(params[0], sum(p.numel() for p in params), seed, "probe", name).normal()
    parts = draws.split([p.numel() for p in params])
    sizes = [p.detach().square().mean().sqrt().clamp_min(1e-2) for p in params]
    return torch.cat([part * size for part, size in zip(parts, sizes, strict=True)])


def _central_difference(
    loss_fn: LossFunction, params: Sequence[Tensor], batch: Any, v: Tensor, step: float
) -> Tensor:
    parts = [
        part.view_as(p)
        for part, p in zip(v.split([p.numel() for p in params]), params, strict=True)
    ]
    saved = [p.detach().clone() for p in params]
    gradients = []
    try:
        for sign in (1, -1):
            with torch.no_grad():
                for p, at, part in zip(params, saved, parts, strict=True):
                    p.copy_(at + sign * step * part)
            found = torch.autograd.grad(loss_fn(batch), params, allow_unused=True)
            gradients.append(
                torch.cat([
                    torch.zeros_like(p).view(-1) if g is None else g.reshape(-1)
                    for g, p in zip(found, params, strict=True)
                ])
            )
    finally:
        with torch.no_grad():
            for p, at in zip(params, saved, strict=True):
                p.copy_(at)
    return (gradients[0] - gradients[1]) / (2 * step)


def _message(errors: ProbeErrors) -> str:
    return (
        f"the second derivative is wrong, so nothing was measured: a Hessian-vector product in "
        f"{errors.dtype} differs from the central difference of gradients by "
        f"{errors.difference:.1e} (worst tensor {errors.worst_parameter}: "
        f"{errors.worst_difference:.1e}; allowed {errors.tolerance:.0e}) and v'Hw from w'Hv by "
        f"{errors.symmetry:.1e} (allowed {errors.symmetry_tolerance:.0e}). Some operation's "
        "backward cannot be differentiated: use scan backend 'cpu' or 'torch', math attention, "
        "and no gradient checkpointing."
    )
