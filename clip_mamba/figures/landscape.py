"""Hessian figures: against size and batch size, by block of parameters, and the loss surface."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from clip_mamba import style, tables
from clip_mamba.figures.legend import below
from clip_mamba.figures.save import message
from clip_mamba.results import Result
from clip_mamba.tables.select import detail

Details = Mapping[str, Any]
NOTHING = "no Hessian result yet"


def _first_of_each(results: Sequence[Result], *way: str) -> dict[str, Result]:
    """Return the result of the lowest seed of each model that has what the figure shows."""
    found: dict[str, Result] = {}
    for result in sorted(results, key=lambda r: (len(str(r.seed)), str(r.seed)), reverse=True):
        if result.kind == "hessian" and detail(result.details, *way):
            found[result.model] = result
    return {model: found[model] for model in style.ordered(found)}


def _face(look: style.Look, converged: bool) -> str:
    """Return the colour in which a mark is filled; what has not converged is hollow."""
    return look.colour if converged else "white"


def _errors(figure: Details) -> np.ndarray:
    """Return how far the interval reaches below and above the mean; zeros without one."""
    interval = figure.get("interval")
    if not interval:
        return np.zeros(2)
    return np.array([figure["mean"] - interval[0], interval[1] - figure["mean"]])


def hessian_size(results: Sequence[Result]) -> Figure:
    """Draw sharpness and non-convexity against the size of the image tower.

    Args:
        results: Results; those of kind ``hessian`` count.

    Returns:
        The largest and the most negative eigenvalue and the trace, a mark for each run.
    """
    runs = [r for r in results if r.kind == "hessian" and detail(r.details, "figures")]
    if not runs:
        return message(NOTHING)
    shown = {"lambda_max": r"$\lambda_{\max}$", "lambda_min": r"$-\lambda_{\min}$"}
    shown["trace"] = "trace"
    with style.context():
        figure, row = plt.subplots(1, 3, figsize=(style.TEXT_WIDTH, 2.1))
        for axes, (name, label) in zip(row, shown.items(), strict=True):
            for run in runs:
                _sized(axes, run, name)
            axes.set(xscale="log", xlabel="image tower, parameters", title=label)
            axes.set_ylim(bottom=0)
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 3, 5)))
            axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1e6:.3g} M")
            axes.minorticks_off()
            sizes = [run.image_parameters for run in runs]
            axes.set_xlim(min(sizes) / 1.3, max(sizes) * 1.3)
        below(figure, style.ordered(run.model for run in runs))
    return figure


def _sized(axes: Axes, run: Result, name: str) -> None:
    look = style.look(run.model)
    found = detail(run.details, "figures", name)
    sign = -1 if name == "lambda_min" else 1
    errors = _errors(found)[::sign]
    axes.errorbar(
        run.image_parameters, sign * found["mean"], errors[:, None], fmt=look.marker, ms=5,
        color=look.colour, elinewidth=0.8, capsize=2,
    )  # fmt: skip


def hessian_sweep(results: Sequence[Result]) -> Figure:
    """Draw how curvature depends on the number of pairs in the contrastive loss.

    Args:
        results: Results; those of kind ``hessian`` count.

    Returns:
        The largest eigenvalue and the trace against the batch size, the same pairs cut
        differently; the main measurement, on more pairs, is the larger mark and not joined.
    """
    found = _first_of_each(results, "sweep")
    if not found:
        return message(NOTHING)
    sizes = sorted({s["batch_size"] for r in found.values() for s in _all_sizes(r.details)})
    with style.context():
        figure, row = plt.subplots(1, 2, figsize=(style.TEXT_WIDTH, 2.6))
        for axes, name in zip(row, ("lambda_max", "trace"), strict=True):
            for number, (model, result) in enumerate(found.items()):
                shift = 0.6 * ((number + 0.5) / len(found) - 0.5)
                _swept(axes, model, result.details, name, sizes, shift)
            axes.set(yscale="log", xlabel="pairs in the mini-batch")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.yaxis.set_major_formatter("{x:g}")
            axes.yaxis.set_minor_formatter(NullFormatter())
            axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
            axes.grid(axis="x", visible=False)
        row[0].set_title(r"$\lambda_{\max}$")
        row[1].set_title("trace")
        below(figure, list(found))
    return figure


def _all_sizes(details: Details) -> list[dict[str, Any]]:
    """Return the summaries of all batch sizes, the main measurement's with ``main``."""
    main = {"batch_size": details["settings"]["batch_size"], "figures": details["figures"]}
    main["largest_converged"] = [row[:1] for row in details["eigenvalues"]["largest_converged"]]
    return [*details["sweep"], {"main": True, **main}]


def _swept(
    axes: Axes, model: str, details: Details, name: str, sizes: Sequence[int], shift: float
) -> None:
    look = style.look(model)
    for entry in _all_sizes(details):
        figure, place = entry["figures"][name], sizes.index(entry["batch_size"]) + shift
        # Samples of the trace do not converge.
        done = name != "lambda_max" or bool(np.all(entry["largest_converged"]))
        axes.errorbar(
            place, figure["mean"], _errors(figure)[:, None], marker=look.marker,
            ms=7 if "main" in entry else 4.5, color=look.colour, mfc=_face(look, done),
            mew=0.8, elinewidth=0.7, capsize=1.5,
        )  # fmt: skip
    swept = sorted(details["sweep"], key=lambda s: s["batch_size"])
    places = [sizes.index(s["batch_size"]) + shift for s in swept]
    values = [s["figures"][name]["mean"] for s in swept]
    axes.plot(places, values, color=look.colour, ls=look.line, lw=0.9, marker="", zorder=1)


#: Blocks that every model may have, in the order of the axis.
PARTS = ("whole", "text", "image", "stem", "head", "scan")


def hessian_blocks(results: Sequence[Result]) -> Figure:
    """Draw where the sharpness is: the Hessian restricted to blocks of parameters.

    Args:
        results: Results; those of kind ``hessian`` count.

    Returns:
        The largest eigenvalue of towers, stem, head and scan, and of the stages (a ViT's layers)
        by their depth; what has not converged is hollow.
    """
    frame = tables.hessian_blocks(results)
    frame = frame[(frame["quantity"] == "lambda_max") & (frame["value"].astype(float) > 0)]
    models = style.ordered(frame["model"])
    if not models:
        return message(NOTHING)
    with style.context():
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(style.TEXT_WIDTH, 2.7), sharey=True, width_ratios=(1.5, 1)
        )
        for number, model in enumerate(models):
            own = frame[frame["model"] == model].set_index("task")
            spread = 0.7 * ((number + 0.5) / len(models) - 0.5)
            _parts(left, model, own, spread)
            _stages(right, model, own)
        left.set_xticks(range(len(PARTS)), PARTS)
        left.set_xticks(np.arange(1, len(PARTS)) - 0.5, minor=True)
        left.tick_params(axis="x", which="both", length=0)
        left.grid(axis="x", visible=False)
        left.grid(axis="x", which="minor")
        left.set(yscale="log", ylabel=r"$\lambda_{\max}$ of the block", xlim=(-0.5, 5.5))
        right.set(xlabel="depth of the stage in the image tower", xlim=(0, 1))
        below(figure, models)
    return figure


def _parts(axes: Axes, model: str, own: pd.DataFrame, spread: float) -> None:
    look = style.look(model)
    for place, name in enumerate(PARTS):
        if name in own.index:
            face = _face(look, own.loc[name, "converged"] == 1)
            axes.plot(
                place + spread, own.loc[name, "value"], look.marker, ms=4.5, mec=look.colour,
                mew=0.8, mfc=face,
            )  # fmt: skip


def _stages(axes: Axes, model: str, own: pd.DataFrame) -> None:
    look = style.look(model)
    numbers = sorted(int(m[1]) for name in own.index if (m := re.fullmatch(r"stage-(\d+)", name)))
    stages = own.loc[[f"stage-{number}" for number in numbers]]
    depth = (np.array(numbers) + 0.5) / max(len(numbers), 1)
    axes.plot(depth, stages["value"], lw=0.9, ls=look.line, color=look.colour)
    for x, (value, done) in zip(depth, stages[["value", "converged"]].to_numpy(), strict=True):
        axes.plot(
            x, value, look.marker, ms=4.5, mec=look.colour, mew=0.8, mfc=_face(look, done == 1)
        )


def hessian_surfaces(results: Sequence[Result]) -> Figure:
    """Draw the loss along lines and planes through the weights, one row per model.

    Args:
        results: Results; those of kind ``hessian`` count.

    Returns:
        Lines and planes along two filter-normalised random directions (left) and along the
        eigenvectors of the largest and the most negative eigenvalue (right), with the quadratic
        model of the first dotted. Each column has the same limits and colours for all models.
    """
    found = _first_of_each(results, "surfaces", "random")
    if not found:
        return message(NOTHING)
    rows = len(found)
    with style.context():
        figure, grid = plt.subplots(
            rows, 4, figsize=(style.TEXT_WIDTH, 1.1 * rows + 0.9), squeeze=False,
            sharex="col", sharey="col",
        )  # fmt: skip
        for column, name in ((0, "random"), (2, "eigenvectors")):
            walks = {model: detail(r.details, "surfaces", name) for model, r in found.items()}
            for axes, (model, walk) in zip(grid[:, column], walks.items(), strict=True):
                tops = detail(found[model].details, "eigenvalues", "largest")
                _lines(axes, walk, model, tops[0][0] if name == "eigenvectors" else None)
            _planes(figure, grid[:, column + 1], list(walks.values()))
        _labelled(grid, list(found))
    return figure


def _labelled(grid: np.ndarray, models: Sequence[str]) -> None:
    titles = ("random directions", "their plane", "eigenvectors", "their plane")
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title)
    for axes, label in zip(
        grid[-1], ("step / filter norm",) * 2 + ("step / $r$",) * 2, strict=True
    ):
        axes.set_xlabel(label)
    for axes, model in zip(grid[:, 0], models, strict=True):
        axes.set_ylabel(f"{style.label(model)}\nloss")
    for axes in grid.flat:
        axes.set_xticks((-1, 0, 1))
    for axes in grid[:, (0, 2)].flat:
        axes.yaxis.set_major_locator(MaxNLocator(4))
    for axes in grid[:, (1, 3)].flat:
        axes.set_yticks((-1, 0, 1))


def _lines(axes: Axes, walk: Details, model: str, top: float | None = None) -> None:
    """Draw the loss along two directions, in units of the reach of the walk."""
    look, steps = style.look(model), np.asarray(walk["steps"])
    reach = steps[-1]
    for losses, line, colour in zip(
        walk["lines"], ("-", (0, (2, 1))), (look.colour, style.NEUTRAL), strict=True
    ):
        axes.plot(steps / reach, losses, ls=line, color=colour, lw=1)
    if top is not None:
        axes.plot(steps / reach, _quadratic(walk, top), ":", color="black", lw=0.8)
        axes.text(
            0.5, 0.97, f"$r$ = {reach:.2g}", ha="center", va="top", fontsize=6.5,
            transform=axes.transAxes,
        )  # fmt: skip


def _quadratic(walk: Details, top: float) -> np.ndarray:
    """Return the quadratic model of the loss along the first direction."""
    steps, losses = np.asarray(walk["steps"]), np.asarray(walk["lines"][0])
    centre = len(steps) // 2
    slope = (losses[centre + 1] - losses[centre - 1]) / (steps[centre + 1] - steps[centre - 1])
    return losses[centre] + slope * steps + top * steps**2 / 2


def _planes(figure: Figure, column: np.ndarray, walks: Sequence[Details]) -> None:
    """Draw the measured points of planes as cells, all on one scale of colours."""
    losses = [np.asarray(walk["plane"]) for walk in walks]
    low, high = min(loss.min() for loss in losses), max(loss.max() for loss in losses)
    for axes, walk, loss in zip(column, walks, losses, strict=True):
        steps = np.asarray(walk["plane_steps"]) / walk["plane_steps"][-1]
        # Transposed: the first direction runs across. With edges, or readers of PDF show seams.
        mesh = axes.pcolormesh(
            steps, steps, loss.T, shading="nearest", cmap="cividis", vmin=low, vmax=high,
            edgecolors="face", linewidth=0.3,
        )  # fmt: skip
        axes.plot(0, 0, "+", color="white", ms=5, mew=0.8)
        axes.grid(visible=False)
    figure.colorbar(mesh, ax=list(column), location="bottom", label="loss", aspect=12, pad=0.01)
