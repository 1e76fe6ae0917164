"""What the report says of the Hessian."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from clip_mamba import claims, style, tables
from clip_mamba.claims.paired import per_batch
from clip_mamba.claims.verdicts import ALPHA
from clip_mamba.report.words import listed, share, span
from clip_mamba.results import Result
from clip_mamba.tables import cells
from clip_mamba.tables.differences import matched
from clip_mamba.tables.select import detail
from clip_mamba.tables.tex import Tex

#: Parts that a top eigenvector is looked for in, as prose calls them; they make up the model but
#: for the logit scale.
PARTS = {
    "stem": "the stem",
    "text": "the text tower",
    "stages": "the stages of the image tower",
    "head": "the head",
}
QUANTITIES = ("lambda_max", "lambda_min", "negative_mass", "negative_share_of_top")
#: Below this part of the whole's largest eigenvalue a block counts as flat.
FLAT = 0.01
#: Below this part of what the quadratic model predicts, the loss falls short of it.
SHORT = 0.9
#: Kinds of models that are set against each other, as prose calls several of them.
KINDS = {"mamba": "Mamba models", "vit": "ViTs"}


def hessian(frame: pd.DataFrame, results: Sequence[Result]) -> dict[str, Any] | None:
    """Return what the prose says of the Hessian.

    Args:
        frame: From :func:`clip_mamba.tables.hessian`.
        results: Results; those of kind ``hessian`` count.

    Returns:
        The context; ``None`` if nothing was measured. ``matched``, ``parts``, ``sweep`` and
        ``surfaces`` are ``None`` where their part was not.
    """
    own = frame[(frame["quantity"] == "lambda_max") & frame["value"].notna()]
    if own.empty:
        return None
    sharp = own.loc[own["value"].astype(float).idxmax()]
    flat = own.loc[own["value"].astype(float).idxmin()]
    measured = [result for result in results if result.kind == "hessian"]
    sizes = {r.model: r.image_parameters for r in measured}
    pairs = matched({model: sizes[model] for model in style.ordered(sizes)})
    return {
        **{name: cells.count(own[name].iloc[0]) for name in ("batches", "batch_size", "k")},
        "check": cells.significant(own["check"].astype(float).max(), 2),
        "sharpest": {"model": sharp["model"], "value": cells.significant(sharp["value"])},
        "flattest": {"model": flat["model"], "value": cells.significant(flat["value"])},
        "matched": _matched(measured, pairs),
        "parts": _parts(measured, pairs),
        "sweep": _sweep(measured, pairs),
        "surfaces": _surfaces(measured),
    }


def _range(values: Iterable[float], digits: int | None = None, factor: float = 1) -> Tex:
    """Return the range of one or more numbers; two significant digits, or so many decimals."""
    numbers = [float(value) * factor for value in values]
    low, high = (
        cells.significant(end, 2) if digits is None else cells.fixed(end, digits)
        for end in (min(numbers), max(numbers))
    )
    return span(low, high)


def _of(count: int, total: int, what: str) -> str:
    """Return how many of several things, which ``what`` names in the plural."""
    if count == total == 2:
        return f"both {what}"
    return f"{share(count, total)} {what if total > 1 else what.removesuffix('s')}"


def _of_kind(models: Iterable[str], kind: str) -> list[str]:
    chosen = style.is_mamba if kind == "mamba" else lambda model: style.family(model) == "ViT"
    return [model for model in models if chosen(model)]


def _matched(results: Sequence[Result], pairs: Mapping[str, str]) -> dict[str, Any] | None:
    """Return how Mamba models compare with the ViT nearest in size, on the same mini-batches."""
    found = claims.gather(results, [], {}, conditions=(), quantities=QUANTITIES).curvature
    tops, ends = found["lambda_max"], found["lambda_min"]
    total = len(pairs)
    if not total or not all(m in tops and v in tops for m, v in pairs.items()):
        return None
    ratios = {m: float(tops[m].mean() / tops[v].mean()) for m, v in pairs.items()}
    masses = found["negative_mass"]
    lower = [(m, v) for m, v in pairs.items() if ends[m].mean() < ends[v].mean()]
    smaller = sum(bool(masses[m].mean() < masses[v].mean()) for m, v in pairs.items())
    sharper = sum(ratio > 1 for ratio in ratios.values())
    return {
        "pairs": total,
        "sharper": sharper,
        "sharper_in": _of(sharper, total, "pairs"),
        "ratio": _range(ratios.values()),
        "ratios": [
            {"mamba": m, "vit": pairs[m], "ratio": cells.significant(ratio, 2)}
            for m, ratio in ratios.items()
        ],
        "mass_smaller": smaller,
        "mass_smaller_in": _of(smaller, total, "pairs"),
        "lower": len(lower),
        "lower_in": _of(len(lower), total, "pairs"),
        "lower_clear": sum(_clear(ends[m], ends[v]) for m, v in lower),
        "alpha": Tex(f"{ALPHA:g}"),
        "negative_of_top": _by_kind(found["negative_share_of_top"]),
    }


def _clear(one: np.ndarray, other: np.ndarray) -> bool:
    """Return whether a paired test tells two models apart, by itself."""
    if one.shape[1] < 2 or one.shape[1] != other.shape[1]:
        return False
    return bool(per_batch(one, other).p < ALPHA)


def _by_kind(values: Mapping[str, np.ndarray]) -> dict[str, Tex] | None:
    """Return the range of a share over the models of each kind, in per cent."""
    found = {
        kind: [float(values[model].mean()) for model in _of_kind(values, kind)] for kind in KINDS
    }
    if not all(found.values()):
        return None
    return {kind: _range(own, 0, 100) for kind, own in found.items()}


def _parts(results: Sequence[Result], pairs: Mapping[str, str]) -> dict[str, Any] | None:
    """Return where in the models the sharpness is."""
    frame = tables.hessian_blocks(results)
    frame = frame.assign(value=frame["value"].astype(float)).dropna(subset="value")
    tops = _wide(frame, "lambda_max")
    shares = _shares(_wide(frame, "top_share"))
    if tops.empty or shares.empty:
        return None
    homes = {kind: _homes(shares, kind) for kind in KINDS}
    image = tops["image"]
    known = {m: v for m, v in pairs.items() if m in image.index and v in image.index}
    found = {kind: [home["part"] for home in own] for kind, own in homes.items()}
    batches = int(frame["batches"].max())
    return {
        "batches": batches,
        "where": "the first mini-batch" if batches == 1 else f"the first {batches} mini-batches",
        "homes": homes,
        "stems_apart": found["mamba"] == ["stem"] and "stem" not in found["vit"],
        "image_ratio": _range(image[m] / image[v] for m, v in known.items()) if known else None,
        "text": _range(tops["text"], 0),
        "same_text": len({r.text_parameters for r in results}) == 1,
        "scan": _scan(tops, _wide(frame, "top_share")),
    }


def _wide(frame: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Return one quantity with models down and blocks across."""
    own = frame[frame["quantity"] == quantity]
    return own.pivot_table(index="model", columns="task", values="value", sort=False)


def _shares(blocks: pd.DataFrame) -> pd.DataFrame:
    """Return how much of each top eigenvector lies in each of ``PARTS``, which do not overlap."""
    if blocks.empty:
        return blocks
    stages = blocks.filter(regex=r"^stage-\d+$").sum(axis=1)
    return blocks.assign(stages=stages).reindex(columns=list(PARTS)).fillna(0.0)


def _homes(shares: pd.DataFrame, kind: str) -> list[dict[str, Any]]:
    """Return the parts that hold most of a top eigenvector, with how many models they do so in."""
    own = shares.loc[_of_kind(shares.index, kind)]
    homes = own.idxmax(axis=1)
    found = []
    for part in homes.value_counts().index:
        models = list(homes[homes == part].index)
        found.append({
            "part": part,
            "name": PARTS[part],
            "models": models,
            "count": len(models),
            "in": _of(len(models), len(own), KINDS[kind]),
            "share": _range(own.loc[models, part], 0, 100),
        })
    return found


def _scan(tops: pd.DataFrame, shares: pd.DataFrame) -> dict[str, Any] | None:
    """Return how sharp the loss is by the parameters of the selective scan alone."""
    if "scan" not in tops:
        return None
    most = float(shares["scan"].max()) if "scan" in shares else 0.0
    percent = Tex("less than 1") if most < 0.01 else Tex(f"at most {cells.percent(most, 0)}")
    return {
        "value": cells.significant(tops["scan"].max(), 2),
        "share": percent,
        "flat": bool((tops["scan"] / tops["whole"]).max() < FLAT),
    }


def _sweep(results: Sequence[Result], pairs: Mapping[str, str]) -> dict[str, Any] | None:
    """Return how sharpness depends on the number of pairs in a mini-batch."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for result in results:
        if entries := detail(result.details, "sweep"):
            found.setdefault(result.model, []).extend(entries)
    tops = {model: _mean_tops(entries) for model, entries in found.items()}
    shared = sorted(set.intersection(*(set(own) for own in tops.values()))) if tops else []
    if len(shared) < 2:
        return None
    first, last = shared[0], shared[-1]
    entry = next(e for e in next(iter(found.values())) if e["batch_size"] == last)
    known = {m: v for m, v in pairs.items() if m in tops and v in tops}
    size, batches = (detail(results[0].details, "settings", n) for n in ("batch_size", "batches"))
    return {
        "sizes": listed(shared),
        "first": str(first),
        "last": str(last),
        "pairs": cells.count(entry["batches"] * last),
        "single": entry["batches"] == 1,
        "main_size": cells.count(size),
        "main_pairs": cells.count(batches * size),
        "factors": _each_kind({model: own[last] / own[first] for model, own in tops.items()}),
        "ratio_first": _ratios(tops, known, first),
        "ratio_last": _ratios(tops, known, last),
    }


def _ratios(
    tops: Mapping[str, Mapping[int, float]], pairs: Mapping[str, str], size: int
) -> Tex | None:
    """Return how many times sharper Mamba models are than their ViTs at a batch size."""
    ratios = [tops[mamba][size] / tops[vit][size] for mamba, vit in pairs.items()]
    return _range(ratios) if ratios else None


def _each_kind(values: Mapping[str, float]) -> list[dict[str, Any]]:
    """Return the range of a number over the models of each kind that there is."""
    groups = {name: [values[m] for m in _of_kind(values, kind)] for kind, name in KINDS.items()}
    return [{"kind": name, "range": _range(own, 2)} for name, own in groups.items() if own]


def _mean_tops(entries: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """Return the largest eigenvalue by batch size, mean over seeds."""
    by_size: dict[int, list[float]] = {}
    for entry in entries:
        by_size.setdefault(entry["batch_size"], []).append(entry["figures"]["lambda_max"]["mean"])
    return {size: float(np.mean(values)) for size, values in by_size.items()}


def _surfaces(results: Sequence[Result]) -> dict[str, Any] | None:
    """Return by how much the loss rises along the top eigenvector, beside its quadratic model."""
    rises: dict[str, list[float]] = {}
    predicted: list[float] = []
    for result in results:
        walk = detail(result.details, "surfaces", "eigenvectors")
        if walk:
            line, reach = np.asarray(walk["lines"][0]), walk["steps"][-1]
            top = detail(result.details, "eigenvalues", "largest")[0][0]
            rise = (line[0] + line[-1]) / 2 - line[len(line) // 2]
            rises.setdefault(result.model, []).append(float(rise))
            predicted.append(top * reach**2 / 2)
    if not rises:
        return None
    means = {model: float(np.mean(values)) for model, values in rises.items()}
    return {
        "predicted": _range(predicted, 1),
        "rises": _each_kind(means),
        "short": max(means.values()) < SHORT * min(predicted),
    }
