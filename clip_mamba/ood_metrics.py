"""Metrics of the model-vs-human benchmark, computed from trials.

Definitions: error consistency, Geirhos, Meding & Wichmann, "Beyond accuracy: quantifying
trial-by-trial behaviour of CNNs and humans by measuring error consistency", NeurIPS 2020; shape
bias, Geirhos et al., ICLR 2019; what is averaged in which order, Geirhos et al., NeurIPS 2021.

A table of trials has the columns ``COLUMNS``; a subject is a person if its name starts with
``subject-``, and a model otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from clip_mamba.corruptions.levels import EXCLUDED_LEVELS, normalise_level
from clip_mamba.files import atomic_write
from clip_mamba.statistics import bootstrap_interval, mean_interval

#: Columns of a table of trials, in the benchmark's order.
COLUMNS = (
    "subj", "session", "trial", "rt", "object_response", "category", "condition", "imagename",
)  # fmt: skip

#: How the names of people start.
HUMAN = "subject-"

#: The metrics of a pair of subjects that the benchmark averages.
PAIRED = ("accuracy difference", "observed consistency", "error consistency")

_OUR_NAME = re.compile(r"^([a-z]+\d+)v\d+")


def write_trials(trials: pd.DataFrame, path: str | Path) -> None:
    """Write trials as the benchmark does.

    Args:
        trials: With the columns ``COLUMNS``.
        path: The CSV file.
    """
    with atomic_write(path) as temporary:
        trials.to_csv(temporary, columns=list(COLUMNS), index=False, na_rep="NaN")


def read_trials(paths: str | Path | Sequence[str | Path], dataset: str) -> pd.DataFrame:
    """Read trials of people or models, all with the stimuli's spelling of conditions.

    Args:
        paths: CSV files of one set.
        dataset: The set.

    Returns:
        The trials of all files, with an additional column ``image_id``.

    Raises:
        ValueError: If a column is missing.
    """
    files = [paths] if isinstance(paths, str | Path) else list(paths)
    tables = []
    for file in files:
        # "na" is an answer (none was given in time), so only numbers may be missing.
        table = pd.read_csv(file, dtype={"condition": str}, keep_default_na=False)
        table.columns = [column.lower() for column in table.columns]
        missing = [column for column in COLUMNS if column not in table.columns]
        if missing:
            raise ValueError(f"{file} has no column {', '.join(missing)}: not a table of trials")
        tables.append(table)
    return normalise(pd.concat(tables, ignore_index=True), dataset)


def normalise(trials: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Bring conditions to the stimuli's spelling and add the column ``image_id``.

    Args:
        trials: The trials of one set.
        dataset: The set.

    Returns:
        A changed copy.
    """
    spelling = {value: normalise_level(dataset, value) for value in trials["condition"].unique()}
    return trials.assign(
        condition=trials["condition"].map(spelling),
        image_id=trials["imagename"].map(image_id),
        rt=pd.to_numeric(trials["rt"], errors="coerce"),
    )


def image_id(imagename: str) -> str:
    """Return the part of a stimulus's file name that says which picture it was made from.

    Args:
        imagename: For example ``0001_cop_s01_c30_knife_10_n03041632_7380.png``.

    Returns:
        ``n03041632_7380.png``; the part behind the last underscore for other pictures.
    """
    parts = imagename.split("_")
    keep = 2 if len(parts) > 1 and parts[-2].startswith("n0") else 1
    return "_".join(parts[-keep:])


def base_image(imagename: str) -> str:
    """Return what a bootstrap should draw: the object that a stimulus was made from.

    Args:
        imagename: A stimulus's file name.

    Returns:
        The object for our stimuli (``dog0004`` for ``…_dog0004v01-c05.png``), which may have
        several composites and levels; the picture for the benchmark's.
    """
    name = image_id(imagename)
    ours = _OUR_NAME.match(name)
    return ours.group(1) if ours else name


def texture_category(imagename: str) -> str:
    """Return the category of the texture of a cue-conflict stimulus.

    Args:
        imagename: For example ``…_dog10-bird2.png``.

    Returns:
        For example ``bird``.
    """
    texture = imagename.split("_")[-1].split(".")[0].split("-")[-1]
    return re.sub(r"\d", "", texture)


def correct(trials: pd.DataFrame) -> np.ndarray:
    """Return whether each answer was right.

    Args:
        trials: The trials.

    Returns:
        (n,) booleans.
    """
    return (trials["object_response"] == trials["category"]).to_numpy()


def accuracy(trials: pd.DataFrame) -> float:
    """Return the share of right answers.

    Args:
        trials: The trials.

    Returns:
        A number in [0, 1].

    Raises:
        ValueError: If there is no trial.
    """
    if trials.empty:
        raise ValueError("no trial: accuracy is not defined")
    return float(correct(trials).mean())


def accuracy_difference(first: pd.DataFrame, second: pd.DataFrame) -> float:
    """Return the squared difference of two accuracies.

    Args:
        first: The trials of one subject.
        second: The trials of another.

    Returns:
        A number in [0, 1].
    """
    return (accuracy(first) - accuracy(second)) ** 2


def expected_consistency(first: float, second: float) -> float:
    """Return how often two independent observers are both right or both wrong.

    Args:
        first: Accuracy of one.
        second: Accuracy of the other.

    Returns:
        A number in [0, 1].
    """
    return first * second + (1 - first) * (1 - second)


def kappa(observed: float, expected: float) -> float:
    """Return Cohen's kappa: consistency beyond what accuracy alone explains.

    Args:
        observed: Share of trials on which both are right or both wrong.
        expected: The same for independent observers.

    Returns:
        1 for identical errors, 0 for independent ones, negative for opposed ones.
    """
    return 1.0 if observed == 1.0 else (observed - expected) / (1.0 - expected)


def align(first: pd.DataFrame, second: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return which answers of two subjects were right, trial by trial.

    Args:
        first: The trials of one subject, each picture once per condition.
        second: The trials of another.

    Returns:
        Two arrays of booleans in a common order.

    Raises:
        ValueError: If the two saw different pictures; the message counts and names them.
    """
    results, keys = [], []
    for trials in (first, second):
        key = list(zip(trials["condition"], trials["imagename"].map(image_id), strict=True))
        order = sorted(range(len(key)), key=key.__getitem__)
        results.append(correct(trials)[order])
        keys.append([key[i] for i in order])
    if keys[0] != keys[1]:
        only = [sorted(set(keys[i]) - set(keys[1 - i])) for i in range(2)]
        shown = ", ".join("/".join(key) for key in (only[0] + only[1])[:3]) or "repeated trials"
        raise ValueError(
            f"two subjects saw different pictures ({len(keys[0])} and {len(keys[1])} trials, "
            f"{len(only[0])} pictures only in the first, {len(only[1])} only in the second: "
            f"{shown}): compare subjects on the same stimuli"
        )
    return results[0], results[1]


def consistency(first: pd.DataFrame, second: pd.DataFrame) -> dict[str, float]:
    """Return how consistently two subjects err.

    Args:
        first: The trials of one subject.
        second: The trials of another, on the same pictures.

    Returns:
        ``expected consistency``, ``observed consistency`` and ``error consistency``.
    """
    right = align(first, second)
    observed = float((right[0] == right[1]).sum() / len(right[0]))
    expected = expected_consistency(*(float(r.sum() / len(r)) for r in right))
    return {
        "expected consistency": expected,
        "observed consistency": observed,
        "error consistency": kappa(observed, expected),
    }


def shape_bias(trials: pd.DataFrame) -> dict[str, float]:
    """Return how often decisions follow shape rather than texture on cue-conflict stimuli.

    Args:
        trials: The trials; those whose texture is of the shape's category hold no conflict and
            count only in the denominators of the shares, as in the benchmark.

    Returns:
        ``shape`` and ``texture``, the shares of decisions for either cue, and ``shape bias`` =
        shape / (shape + texture), NaN if no decision followed a cue.
    """
    texture = trials["imagename"].map(texture_category)
    conflict = (texture != trials["category"]).to_numpy()
    shape = (conflict & correct(trials)).sum() / len(trials)
    other = (conflict & (trials["object_response"] == texture).to_numpy()).sum() / len(trials)
    bias = shape / (shape + other) if shape + other > 0 else float("nan")
    return {"shape": float(shape), "texture": float(other), "shape bias": float(bias)}


def shape_bias_interval(trials: pd.DataFrame, seed: int = 0) -> tuple[float, float] | None:
    """Return a 95 % bootstrap interval of the shape bias, drawing whole objects.

    Args:
        trials: The trials of one subject.
        seed: Seed of the bootstrap.

    Returns:
        Lower and upper bound; ``None`` if too few decisions followed a cue to tell.
    """
    texture = trials["imagename"].map(texture_category)
    conflict = (texture != trials["category"]).to_numpy()
    shape = conflict & correct(trials)
    other = conflict & (trials["object_response"] == texture).to_numpy()
    cued = np.flatnonzero(shape | other)
    if len(cued) < 2:
        return None
    objects = trials["imagename"].map(base_image).to_numpy()[cued]
    return mean_interval(shape[cued], objects, seed=seed)


def accuracy_interval(trials: pd.DataFrame, seed: int = 0) -> tuple[float, float]:
    """Return a 95 % bootstrap interval of the accuracy, drawing whole objects.

    Args:
        trials: The trials of one subject.
        seed: Seed of the bootstrap.

    Returns:
        Lower and upper bound.
    """
    return mean_interval(correct(trials), trials["imagename"].map(base_image), seed=seed)


def difference_interval(
    first: pd.DataFrame,
    second: pd.DataFrame,
    statistic: Callable[[np.ndarray, np.ndarray], float] | None = None,
    seed: int = 0,
) -> tuple[float, float]:
    """Return a 95 % bootstrap interval of a statistic of two subjects on the same pictures.

    Args:
        first: The trials of one subject.
        second: The trials of another.
        statistic: Of two arrays of right answers; the difference of accuracies, first minus
            second, if left out.
        seed: Seed of the bootstrap.

    Returns:
        Lower and upper bound.
    """
    one, two = align(first, second)
    key = zip(first["condition"], first["imagename"].map(image_id), strict=True)
    names = [name for _, name in sorted(key)]
    compute = statistic or (lambda a, b: float(a.mean() - b.mean()))
    return bootstrap_interval(
        lambda chosen: compute(one[chosen], two[chosen]),
        [base_image(name) for name in names],
        seed=seed,
    )


def consistency_matrix(trials: pd.DataFrame, metric: str = "error consistency") -> pd.DataFrame:
    """Return the consistency of every pair of subjects of a set.

    Args:
        trials: The trials of all subjects of one set.
        metric: A key of what :func:`consistency` returns.

    Returns:
        A symmetric table, subjects in the order of the trials, 1 on the diagonal.
    """
    subjects = list(dict.fromkeys(trials["subj"]))
    groups = {name: trials[trials["subj"] == name] for name in subjects}
    matrix = np.ones((len(subjects), len(subjects)))
    for i, first in enumerate(subjects):
        for j in range(i + 1, len(subjects)):
            value = consistency(groups[first], groups[subjects[j]])[metric]
            matrix[i, j] = matrix[j, i] = value
    return pd.DataFrame(matrix, index=subjects, columns=subjects)


def included(
    trials: pd.DataFrame, dataset: str, excluded: Mapping[str, Sequence[str]] = EXCLUDED_LEVELS
) -> pd.DataFrame:
    """Leave out the levels that do not enter the headline numbers.

    Args:
        trials: The trials of one set.
        dataset: The set.
        excluded: Left-out levels by set.

    Returns:
        The other trials.
    """
    return trials[~trials["condition"].isin(excluded.get(dataset, ()))]


def ood_accuracy(
    trials: Mapping[str, pd.DataFrame],
    subjects: Sequence[str],
    excluded: Mapping[str, Sequence[str]] = EXCLUDED_LEVELS,
) -> float:
    """Return the mean over sets of the accuracy over all trials at included levels.

    Args:
        trials: The trials of all subjects, by set.
        subjects: Whose trials count; several subjects are pooled.
        excluded: Left-out levels by set.

    Returns:
        A number in [0, 1].
    """
    values = []
    for dataset, table in trials.items():
        own = table[table["subj"].isin(subjects)]
        values.append(accuracy(included(own, dataset, excluded)))
    return float(np.mean(values))


def paired_metrics(
    trials: pd.DataFrame, dataset: str, excluded: Mapping[str, Sequence[str]] = EXCLUDED_LEVELS
) -> pd.DataFrame:
    """Compare each model with each person, and each person with each other, level by level.

    Args:
        trials: The trials of all subjects of one set.
        dataset: The set.
        excluded: Left-out levels by set.

    Returns:
        A row per pair, level and metric of ``PAIRED``: model, human, dataset, metric,
        condition, value. The people in the column ``model`` precede their partners.
    """
    kept = included(trials, dataset, excluded)
    subjects = list(dict.fromkeys(kept["subj"]))
    people = [name for name in subjects if name.startswith(HUMAN)]
    models = [name for name in subjects if not name.startswith(HUMAN)]
    pairs = [(model, human) for model in models for human in people]
    pairs += [(one, two) for i, one in enumerate(people) for two in people[i + 1 :]]
    cells = dict(iter(kept.groupby(["condition", "subj"])))
    rows = []
    for level in dict.fromkeys(kept["condition"]):
        for one, two in pairs:
            first, second = cells[level, one], cells[level, two]
            values: dict[str, float] = dict(consistency(first, second))
            values["accuracy difference"] = accuracy_difference(first, second)
            rows += [(one, two, dataset, name, level, values[name]) for name in PAIRED]
    columns = ["model", "human", "dataset", "metric", "condition", "value"]
    return pd.DataFrame(rows, columns=columns)


def benchmark(
    trials: Mapping[str, pd.DataFrame],
    excluded: Mapping[str, Sequence[str]] = EXCLUDED_LEVELS,
) -> pd.DataFrame:
    """Return the benchmark's table: each model, and people, against people.

    Values are averaged over levels, then over the people compared with, then over sets.

    Args:
        trials: The trials of all subjects, by set.
        excluded: Left-out levels by set.

    Returns:
        Indexed by model (people: ``humans``): ``OOD accuracy``, the metrics of ``PAIRED``, and
        among the models ``accuracy rank`` and ``mean rank`` (of the three of ``PAIRED``).
    """
    pairs = pd.concat([paired_metrics(t, name, excluded) for name, t in trials.items()])
    human = pairs["model"].str.startswith(HUMAN)
    keys = ["model", "human", "dataset", "metric"]
    per_pair = pairs.assign(model=pairs["model"].where(~human, "humans"), first=pairs["model"])
    per_pair = per_pair.groupby([*keys, "first"], as_index=False)["value"].mean()
    per_set = per_pair.groupby(["model", "dataset", "metric"], as_index=False)["value"].mean()
    table = per_set.groupby(["model", "metric"])["value"].mean().unstack("metric")[list(PAIRED)]
    subjects = list(dict.fromkeys(name for t in trials.values() for name in t["subj"]))
    people = [name for name in subjects if name.startswith(HUMAN)]
    members = {name: people if name == "humans" else [name] for name in table.index}
    scores = [ood_accuracy(trials, members[name], excluded) for name in table.index]
    table.insert(0, "OOD accuracy", scores)
    models = table.drop(index="humans", errors="ignore")
    table["accuracy rank"] = models["OOD accuracy"].rank(ascending=False)
    ranks = [models[PAIRED[0]].rank()] + [models[m].rank(ascending=False) for m in PAIRED[1:]]
    table["mean rank"] = sum(ranks) / len(ranks)
    return table.rename_axis(index=None, columns=None)
