"""Hessian figures: spectra of extreme eigenvalues, and densities."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clip_mamba import style
from clip_mamba.figures.save import message
from clip_mamba.hessian.quadrature import density_curve
from clip_mamba.results import Result
from clip_mamba.tables.select import detail

#: The ends of the spectrum.
ENDS = ("smallest", "largest")


def _by_model(results: Sequence[Result], *way: str) -> dict[str, list[Any]]:
    """Return what the Hessian results of each model hold, one entry per seed."""
    found: dict[str, list[Any]] = {}
    for result in sorted(results, key=lambda r: str(r.seed)):
        value = detail(result.details, *way) if result.kind == "hessian" else None
        if value is not None:
            found.setdefault(result.model, []).append(value)
    return {model: found[model] for model in style.ordered(found)}


def _values(nested: Any) -> np.ndarray:
    """Return all numbers of nested lists; what is null is left out."""
    flat = np.asarray(nested, dtype=float).ravel()
    return flat[np.isfinite(flat)]


def hessian_spectra(results: Sequence[Result]) -> Figure:
    """Draw the extreme eigenvalues of all mini-batches, one row per model.

    Args:
        results: Results; those of kind ``hessian`` count.

    Returns:
        Both ends of each mini-batch's spectrum on one line of marks, on one axis that is
        logarithmic both ways (Park and Kim's spectrum of maximal eigenvalues is their union by
        modulus); the outermost are larger, and what has not converged is hollow.
    """
    data = {end: _by_model(results, "eigenvalues", end) for end in ENDS}
    flags = {end: _by_model(results, "eigenvalues", f"{end}_converged") for end in ENDS}
    models = list(data["largest"])
    if not models:
        return message("no Hessian result yet")
    shown = np.concatenate([_values(v) for end in ENDS for m in models for v in data[end][m]])
    lines = max(sum(map(len, data["largest"][model])) for model in models)
    with style.context():
        height = min(max(0.34, 0.09 * lines), 0.9)
        size = (style.TEXT_WIDTH, height * len(models) + 0.55)
        figure, axes = plt.subplots(figsize=size)
        axes.set_xscale("symlog", linthresh=_middle(shown), linscale=0.25, subs=tuple(range(2, 10)))
        axes.xaxis.set_major_formatter("{x:g}")
        for place, model in enumerate(models):
            for end in ENDS:
                _strip(axes, place, model, _rows(data[end][model]), _rows(flags[end][model]))
        axes.axvline(0, color=style.NEUTRAL, lw=0.6)
        axes.set_yticks(range(len(models)), [style.label(model) for model in models])
        axes.set(xlabel="eigenvalue", ylim=(len(models) - 0.5, -0.5))
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
    return figure


def _rows(nested: Sequence[Any]) -> list[np.ndarray]:
    """Return the rows of all mini-batches of all seeds."""
    return [np.asarray(row, float) for run in nested for row in run]


def _middle(values: np.ndarray) -> float:
    """Return up to where a logarithmic axis for values of both signs is linear.

    It is a power of ten below all values, unless these span more than three decades.
    """
    sizes = np.abs(values[values != 0])
    if not len(sizes):
        return 1.0
    return float(10 ** np.floor(np.log10(max(sizes.min(), sizes.max() / 1000))))


def _strip(
    axes: Axes, place: int, model: str, rows: list[np.ndarray], flags: list[np.ndarray]
) -> None:
    """Draw one end of a model's spectrum: mini-batches beneath each other."""
    look = style.look(model)
    for own, done, up in zip(
        rows, flags, np.linspace(-0.32, 0.32, len(rows) + 2)[1:], strict=False
    ):
        sizes = np.where(np.arange(len(own)) == 0, 24, 10)
        colours = [look.colour if known else "white" for known in done]
        # Filled marks have a white edge, so that they do not run together.
        edges = ["white" if known else look.colour for known in done]
        axes.plot(own, np.full(len(own), place + up), color=look.colour, lw=0.4, alpha=0.5)
        axes.scatter(
            own, np.full(len(own), place + up), s=sizes, marker=look.marker, c=colours,
            edgecolors=edges, linewidths=0.3, zorder=3,
        )  # fmt: skip


def hessian_densities(results: Sequence[Result]) -> Figure:
    """Draw the eigenvalue density of each model on a logarithmic scale.

    Args:
        results: Results; those of kind ``hessian`` count.

    Returns:
        One panel per model, all with the same axes; the mean over mini-batches and seeds,
        smoothed by a Gaussian whose width the axis names.
    """
    rules = _by_model(results, "density")
    if not rules:
        return message("no Hessian result yet")
    nodes = np.concatenate([_values(rule["nodes"]) for found in rules.values() for rule in found])
    sigma = 0.01 * float(np.ptp(nodes)) or 1.0
    grid = np.linspace(nodes.min() - 4 * sigma, nodes.max() + 4 * sigma, 1200)
    columns = min(3, len(rules))
    rows = math.ceil(len(rules) / columns)
    with style.context():
        figure, panels = plt.subplots(
            rows, columns, figsize=(style.TEXT_WIDTH, 1.55 * rows + 0.3), sharex=True, sharey=True,
            squeeze=False,
        )  # fmt: skip
        for axes, (model, found) in zip(panels.flat, rules.items(), strict=False):
            _density(axes, model, found, grid, sigma)
        for axes in panels.flat[len(rules) :]:
            axes.set_axis_off()
        for axes in panels.flat[max(0, len(rules) - columns) : len(rules)]:
            # Also where there is an empty place beneath.
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(rf"eigenvalue ($\sigma$ = {sigma:.2g})")
        for axes in panels[:, 0]:
            axes.set_ylabel("density")
        panels[0, 0].set_yscale("log")
        panels[0, 0].set_ylim(1e-9 / sigma, 2 / sigma)
    return figure


def _density(axes: Axes, model: str, found: Sequence[Any], grid: np.ndarray, sigma: float) -> None:
    curves = [
        density_curve(np.asarray(rule["nodes"]), np.asarray(rule["weights"]), grid, sigma)
        for rule in found
    ]
    curve, colour = np.mean(curves, axis=0), style.look(model).colour
    axes.fill_between(grid, curve, 1e-12, color=colour, alpha=0.25, lw=0)
    axes.plot(grid, curve, color=colour, lw=0.9)
    axes.axvline(0, color=style.NEUTRAL, lw=0.6)
    axes.set_title(style.label(model))
