"""Hessian figures: spectra of extreme eigenvalues, and densities."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clip_mamba import style
from clip_mamba.figures.save import message
from clip_mamba.hessian.quadrature import density_curve
from clip_mamba.results import Result
from clip_mamba.tables.select import detail


def _by_model(results: Sequence[Result], *way: str) -> dict[str, list[Any]]:
    """Return what the Hessian results of each model hold, one entry per seed."""
    found: dict[str, list[Any]] = {}
    for result in sorted(results, key=lambda r: r.seed):
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
        The most negative eigenvalues on the left, the largest on the right (Park and Kim's
        spectrum of maximal eigenvalues is the union by modulus), as strips over densities; what
        has not converged is hollow.
    """
    ends = {"smallest": "most negative eigenvalues", "largest": "largest eigenvalues"}
    data = {end: _by_model(results, "eigenvalues", end) for end in ends}
    flags = {end: _by_model(results, "eigenvalues", f"{end}_converged") for end in ends}
    models = list(data["largest"])
    if not models:
        return message("no Hessian result yet")
    with style.context():
        size = (style.TEXT_WIDTH, 0.42 * len(models) + 0.7)
        figure, row = plt.subplots(1, 2, figsize=size, sharey=True)
        for axes, (end, title) in zip(row, ends.items(), strict=True):
            table = pd.concat([
                pd.DataFrame({"model": model, "eigenvalue": _values(data[end].get(model, []))})
                for model in models
            ])
            _strips(axes, table, models, flags[end])
            axes.set(xlabel=title, ylabel="")
            axes.grid(axis="y", visible=False)
            axes.tick_params(axis="y", length=0)
        row[0].set_xlim(right=0)
        row[1].set_xlim(left=0)
    return figure


def _strips(
    axes: Axes, table: pd.DataFrame, models: list[str], flags: Mapping[str, Sequence[Any]]
) -> None:
    palette = {model: style.look(model).colour for model in models}
    shared = {"data": table, "x": "eigenvalue", "y": "model", "hue": "model", "order": models}
    shared |= {"palette": palette, "legend": False, "ax": axes}
    sns.violinplot(
        **shared, inner=None, linewidth=0, cut=0, density_norm="width", width=0.8, alpha=0.25
    )
    for place, model in enumerate(models):
        own = table[table["model"] == model]["eigenvalue"].to_numpy()
        # A fixed spread, not a random one: the figure must not differ between two runs.
        spread = 0.22 * np.sin(12.9898 * np.arange(len(own)))
        look = style.look(model)
        known = np.ravel(flags.get(model, [])).astype(bool)
        done = known if len(known) == len(own) else np.ones(len(own), bool)
        for chosen, face in ((done, look.colour), (~done, "white")):
            axes.scatter(
                own[chosen], (place + spread)[chosen], s=9, marker=look.marker, facecolors=face,
                edgecolors=look.colour, linewidths=0.5,
            )  # fmt: skip


def hessian_densities(results: Sequence[Result]) -> Figure:
    """Draw the eigenvalue density of each model on a logarithmic scale.

    Args:
        results: Results; those of kind ``hessian`` count.

    Returns:
        One panel per model, all with the same axes; the mean over mini-batches and seeds.
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
        panels[0, 0].set_yscale("log")
        panels[0, 0].set_ylim(1e-9 / sigma, 2 / sigma)
        figure.supxlabel("eigenvalue", fontsize=8)
        figure.supylabel("density", fontsize=8)
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
    axes.set_title(model)
