"""What one model's Hessian analysis found, and the figures derived from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from clip_mamba.hessian.hutchinson import Trace
from clip_mamba.hessian.quadrature import Density, effective_rank, negative_mass
from clip_mamba.hessian.spectrum import Spectrum

METRIC = "lambda_max_mean"
INTERVAL_METHOD = "Student t over mini-batches"


def student_interval(values: np.ndarray) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean of a few independent values.

    Args:
        values: (n,) one value per mini-batch.

    Returns:
        Lower and upper bound; ``None`` for fewer than two values or a value not finite.
    """
    values = np.asarray(values, float)
    if len(values) < 2 or not np.isfinite(values).all():
        return None
    half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    return float(values.mean() - half), float(values.mean() + half)


@dataclass(frozen=True)
class HessianReport:
    """All measurements of one model, on the loss without its L2 term.

    Attributes:
        spectrum: Both ends, per mini-batch.
        trace: Hutchinson samples, per mini-batch.
        density: Quadratures, one per mini-batch.
        l2_shifts: (batches, 2k) what the L2 term adds to each eigenvalue, largest then smallest.
        l2_trace: What the L2 term adds to the trace, exactly.
        shares: Block of parameters to the (batches, 2k) parts of the eigenvectors' squared length
            that lie in it, largest then smallest.
        losses: (batches,) the loss itself.
        gradient_norms: (batches,) length of its gradient.
        probes: Errors of the second-derivative checks.
        settings: What was asked: seed, batch size, k, steps, tolerance, l2, ...
        parameters: Number of parameters differentiated.
        seconds: Wall time.
        device: Where it ran.
    """

    spectrum: Spectrum
    trace: Trace
    density: Density
    l2_shifts: np.ndarray
    l2_trace: float
    shares: dict[str, np.ndarray]
    losses: np.ndarray
    gradient_norms: np.ndarray
    probes: dict[str, Any]
    settings: dict[str, Any]
    parameters: int
    seconds: float
    device: str

    def per_batch(self) -> dict[str, np.ndarray]:
        """Return the figures that a table shows, one value per mini-batch.

        Returns:
            Name to (batches,) values.
        """
        ends, rules = self.spectrum, (self.density.nodes, self.density.weights)
        return {
            "lambda_max": ends.largest[:, 0],
            "lambda_min": ends.smallest[:, 0],
            "lambda_min_over_max": ends.smallest[:, 0] / ends.largest[:, 0],
            "negative_share_of_top": (ends.eigenvalues < 0).mean(axis=1),
            "trace": self.trace.per_batch,
            "negative_mass": negative_mass(*rules).mean(axis=1),
            "effective_rank": effective_rank(
                self.trace.frobenius_squared, np.abs(ends.eigenvalues[:, 0])
            ),
        }

    def figures(self) -> dict[str, dict[str, Any]]:
        """Return mean and interval over mini-batches of every derived figure.

        Returns:
            Name to ``{"mean", "interval", "per_batch"}``.
        """
        return {
            name: {
                "mean": float(np.mean(values)),
                "interval": _listed(student_interval(values)),
                "per_batch": np.asarray(values).tolist(),
            }
            for name, values in self.per_batch().items()
        }

    def details(self) -> dict[str, Any]:
        """Return everything raw, as plain JSON values.

        Returns:
            The ``details`` of a :class:`clip_mamba.results.Result`.
        """
        ends = self.spectrum
        return {
            "settings": self.settings,
            "parameters": self.parameters,
            "figures": self.figures(),
            "eigenvalues": {
                "top_by_modulus": ends.eigenvalues.tolist(),
                **self._ends(),
                "l2_shifts": self.l2_shifts.tolist(),
                "shares": {name: share.tolist() for name, share in self.shares.items()},
            },
            "trace": {
                "mean": self.trace.mean,
                "standard_error": _finite(self.trace.standard_error),
                "samples": self.trace.samples.tolist(),
                "square_samples": self.trace.squares.tolist(),
                "l2": self.l2_trace,
            },
            "density": {
                "nodes": self.density.nodes.tolist(),
                "weights": self.density.weights.tolist(),
                "raw_weights": self.density.raw_weights.tolist(),
            },
            "losses": self.losses.tolist(),
            "gradient_norms": self.gradient_norms.tolist(),
            "probes": self.probes,
            "products": ends.products.tolist(),
        }

    def _ends(self) -> dict[str, Any]:
        """Return both ends of each mini-batch's spectrum, with how far they converged."""
        ends = self.spectrum
        return {
            "largest": ends.largest.tolist(),
            "smallest": ends.smallest.tolist(),
            "largest_residuals": ends.largest_residuals.tolist(),
            "smallest_residuals": ends.smallest_residuals.tolist(),
            "largest_converged": ends.largest_converged.tolist(),
            "smallest_converged": ends.smallest_converged.tolist(),
        }

    def summary(self) -> dict[str, Any]:
        """Return what a side question (a block, another batch size) adds to a result.

        Returns:
            Figures, raw ends of the spectrum and trace samples as plain values.
        """
        ends, kept = self.spectrum, ("lambda_max", "lambda_min", "trace")
        figures = self.figures()
        return {
            "parameters": self.parameters,
            "batches": len(self.losses),
            "batch_size": self.settings["batch_size"],
            "figures": {name: figures[name] for name in kept},
            **self._ends(),
            "trace_samples": self.trace.samples.tolist(),
            "trace_standard_error": _finite(self.trace.standard_error),
            "losses": self.losses.tolist(),
            "products": ends.products.tolist(),
            "seconds": self.seconds,
        }

    def result_fields(self, extra: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the fields of a :class:`clip_mamba.results.Result` that this part knows.

        The caller adds scale, model, parameter counts, seed, split and checksums.

        Args:
            extra: Further details, with ``seconds`` that count with these.

        Returns:
            Keyword arguments.
        """
        largest, extra = self.spectrum.largest[:, 0], dict(extra or {})
        seconds = self.seconds + extra.pop("seconds", 0.0)
        return {
            "kind": "hessian",
            "task": "clip-loss",
            "examples": int(self.settings["batch_size"]) * len(largest),
            "metric": METRIC,
            "value": float(largest.mean()),
            "interval": student_interval(largest),
            "interval_method": f"{INTERVAL_METHOD} ({len(largest)})" if len(largest) > 1 else None,
            "details": self.details() | extra,
            "device": self.device,
            "seconds": seconds,
        }


def _listed(interval: tuple[float, float] | None) -> list[float] | None:
    return None if interval is None else list(interval)


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
