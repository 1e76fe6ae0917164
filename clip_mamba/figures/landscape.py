"""Hessian figures: against size and batch size, by block of parameters, and the loss surface."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from clip_mamba import style
from clip_mamba.figures.save import message
from clip_mamba.results import Result
from clip_mamba.tables.select import detail

Details = Mapping[str, Any]
NOTHING = "no Hessian result yet"


def _first_of_each(results: Sequence[Result], *way: str) -> dict[str, Result]:
    """Return the result of the lowest seed of each model that has what the figure shows."""
    found: dict[str, Result] = {}
    for result in sorted(results, key=lambda r: str(r.seed), reverse=True):
        if result.kind == "hessian" and detail(result.details, *way):
            found[result.model] = result
    return {model: found[model] for model in style.ordered(found)}


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
            for model in style.ordered(r.model for r in runs):
                for i, run in enumerate(r for r in runs if r.model == model):
                    _sized(axes, run, name, model if i == 0 else None)
            axes.set(xscale="log", xlabel="image parameters, millions", title=label)
            axes.set_ylim(bottom=0)
            axes.xaxis.set_major_locator(MaxNLocator(3))
            axes.xaxis.set_major_formatter(lambda x, _: f"{x / 1e6:.3g}")
            axes.minorticks_off()
        figure.legend(
            *row[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(runs)
        )
    return figure


def _sized(axes: Axes, run: Result, name: str, label: str | None) -> None:
    look = style.look(run.model)
    found = detail(run.details, "figures", name)
    sign = -1 if name == "lambda_min" else 1
    errors = _errors(found)[::sign]
    axes.errorbar(
        run.image_parameters, sign * found["mean"], errors[:, None], fmt=look.marker, ms=5,
        color=look.colour, elinewidth=0.8, capsize=2, label=label,
    )  # fmt: skip


def hessian_sweep(results: Sequence[Result]) -> Figure:
    """Draw how curvature depends on the number of pairs in the contrastive loss.

    Args:
        results: Results; those of kind ``hessian`` count.

    Returns:
        The largest eigenvalue and the trace against the batch size, the same pairs cut
        differently; the main measurement, on more pairs, is the larger mark.
    """
    found = _first_of_each(results, "sweep")
    if not found:
        return message(NOTHING)
    with style.context():
        figure, row = plt.subplots(1, 2, figsize=(style.TEXT_WIDTH, 2.3))
        for axes, name in zip(row, ("lambda_max", "trace"), strict=True):
            for number, (model, result) in enumerate(found.items()):
                _swept(axes, model, result.details, name, 1 + 0.03 * number)
            axes.set(xscale="log", xlabel="pairs in the batch", ylabel=name.replace("_", " "))
            axes.set_ylim(bottom=0)
            sizes = sorted({s["batch_size"] for r in found.values() for s in _all_sizes(r.details)})
            axes.set_xticks(sizes, [str(size) for size in sizes])
            axes.minorticks_off()
        row[0].set_ylabel(r"$\lambda_{\max}$")
        figure.legend(
            *row[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(found)
        )
    return figure


def _all_sizes(details: Details) -> list[dict[str, Any]]:
    main = {"batch_size": details["settings"]["batch_size"], "figures": details["figures"]}
    return sorted([*details["sweep"], main], key=lambda s: s["batch_size"])


def _swept(axes: Axes, model: str, details: Details, name: str, shift: float) -> None:
    look, sizes = style.look(model), _all_sizes(details)
    x = np.array([s["batch_size"] for s in sizes]) * shift
    y = np.array([s["figures"][name]["mean"] for s in sizes])
    errors = np.stack([_errors(s["figures"][name]) for s in sizes], axis=1)
    axes.errorbar(
        x, y, errors, marker=look.marker, ms=3.5, color=look.colour, ls=look.line, lw=0.9,
        elinewidth=0.6, capsize=1.5, label=model,
    )  # fmt: skip
    main = [i for i, s in enumerate(sizes) if "parameters" not in s]
    axes.plot(x[main], y[main], look.marker, ms=6.5, color=look.colour)


#: Blocks that every model may have, in the order of the axis.
PARTS = ("whole", "text", "image", "stem", "head", "scan")


def hessian_blocks(results: Sequence[Result]) -> Figure:
    """Draw where the sharpness is: the Hessian restricted to blocks of parameters.

    Args:
        results: Results; those of kind ``hessian`` count.

    Returns:
        The largest eigenvalue of towers, stem, head and scan, and of the stages (a ViT's layers)
        by their depth.
    """
    found = _first_of_each(results, "blocks")
    if not found:
        return message(NOTHING)
    with style.context():
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(style.TEXT_WIDTH, 2.5), sharey=True, width_ratios=(1.3, 1)
        )
        for number, (model, result) in enumerate(found.items()):
            spread = 0.12 * (number - (len(found) - 1) / 2)
            _blocks(left, right, model, result.details, spread)
        left.set_xticks(range(len(PARTS)), PARTS)
        left.set(yscale="log", ylabel=r"$\lambda_{\max}$ of the block")
        left.grid(axis="x", visible=False)
        right.set(xlabel="depth of the stage in the image tower", xlim=(0, 1))
        figure.legend(
            *left.get_legend_handles_labels(), loc="outside lower center", ncols=len(found)
        )
    return figure


def _blocks(left: Axes, right: Axes, model: str, details: Details, spread: float) -> None:
    look = style.look(model)
    tops = {n: s["figures"]["lambda_max"]["mean"] for n, s in details["blocks"].items()}
    measured = next(iter(details["blocks"].values()))["batches"]
    # The whole on the same mini-batches as the blocks.
    tops["whole"] = float(np.mean(details["figures"]["lambda_max"]["per_batch"][:measured]))
    shared: dict[str, Any] = {"marker": look.marker, "color": look.colour}
    known = [(i, tops[name]) for i, name in enumerate(PARTS) if tops.get(name, 0) > 0]
    x, y = np.array(known).T
    left.scatter(x + spread, y, s=18, linewidths=0, label=model, **shared)
    stages = {int(m[1]): tops[n] for n in tops if (m := re.fullmatch(r"stage-(\d+)", n))}
    depth = (np.array(sorted(stages)) + 0.5) / max(len(stages), 1)
    right.plot(depth, [stages[i] for i in sorted(stages)], ms=4, lw=0.9, ls=look.line, **shared)


def hessian_surfaces(results: Sequence[Result]) -> Figure:
    """Draw the loss along lines and planes through the weights, one row per model.

    Args:
        results: Results; those of kind ``hessian`` count.

    Returns:
        Curves and contours along two filter-normalised random directions (left) and along the
        eigenvectors of the largest and the most negative eigenvalue (right), with the quadratic
        model of the first dotted.
    """
    found = _first_of_each(results, "surfaces", "random")
    if not found:
        return message(NOTHING)
    rows = len(found)
    with style.context():
        figure, grid = plt.subplots(
            rows, 4, figsize=(style.TEXT_WIDTH, 1.35 * rows + 0.5), squeeze=False
        )
        for row, (model, result) in zip(grid, found.items(), strict=True):
            walks = detail(result.details, "surfaces")
            ends = [detail(result.details, "eigenvalues", e)[0][0] for e in ("largest", "smallest")]
            _lines(row[0], walks["random"], model)
            _plane(row[1], walks["random"], model)
            _lines(row[2], walks["eigenvectors"], model, ends)
            _plane(row[3], walks["eigenvectors"], model)
            row[0].set_ylabel(f"{model}\nloss")
        titles = ("random lines", "random plane", "eigenvectors", "plane of both")
        for axes, title in zip(grid[0], titles, strict=True):
            axes.set_title(title)
    return figure


def _lines(
    axes: Axes, walk: Details, model: str, eigenvalues: Sequence[float] | None = None
) -> None:
    look, steps = style.look(model), np.asarray(walk["steps"])
    styles = (("-", look.colour), ((0, (2, 1)), style.NEUTRAL))
    for losses, (line, colour) in zip(walk["lines"], styles, strict=True):
        axes.plot(steps, losses, ls=line, color=colour, lw=1)
    if eigenvalues:
        losses, centre = np.asarray(walk["lines"][0]), len(steps) // 2
        slope = (losses[centre + 1] - losses[centre - 1]) / (steps[centre + 1] - steps[centre - 1])
        model_of = losses[centre] + slope * steps + eigenvalues[0] * steps**2 / 2
        axes.plot(steps, model_of, ":", color=look.colour, lw=0.9)
    axes.locator_params(nbins=3)


def _plane(axes: Axes, walk: Details, model: str) -> None:
    steps = np.asarray(walk["plane_steps"])
    loss = np.asarray(walk["plane"]).T  # the first direction runs across
    axes.contourf(steps, steps, loss, levels=9, cmap="cividis")
    axes.contour(steps, steps, loss, levels=9, colors="white", linewidths=0.3)
    axes.plot(0, 0, "+", color="white", ms=5)
    axes.grid(visible=False)
    axes.text(
        0.97, 0.05, f"{loss.min():.1f} to {loss.max():.1f}", ha="right", transform=axes.transAxes,
        fontsize=5.5, color="white",
    )  # fmt: skip
    axes.locator_params(nbins=3)
