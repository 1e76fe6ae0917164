"""The benchmark's headline numbers: what is averaged in which order.

Geirhos et al., "Partial success in closing the gap between human and machine vision", NeurIPS
2021: values are computed per level of a set and pair of subjects, averaged over levels, then
over the people compared with, then over sets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from clip_mamba.corruptions.levels import EXCLUDED_LEVELS
from clip_mamba.ood.metrics import accuracy, accuracy_difference, consistency
from clip_mamba.ood.trials import HUMAN

#: The metrics of a pair of subjects that the benchmark averages.
PAIRED = ("accuracy difference", "observed consistency", "error consistency")


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
    return ranks(table).rename_axis(index=None, columns=None)


def ranks(table: pd.DataFrame) -> pd.DataFrame:
    """Add how models compare with each other.

    Args:
        table: ``OOD accuracy`` and, if people were asked, the metrics of ``PAIRED``, by model;
            people's row (``humans`` or ``people``) has no rank.

    Returns:
        The table with ``accuracy rank`` and, if there are the metrics, ``mean rank``.
    """
    models = table.drop(index=["humans", "people"], errors="ignore")
    table = table.assign(**{"accuracy rank": models["OOD accuracy"].rank(ascending=False)})
    if all(name in table for name in PAIRED):
        parts = [models[PAIRED[0]].rank()] + [models[m].rank(ascending=False) for m in PAIRED[1:]]
        table["mean rank"] = sum(parts) / len(parts)
    return table
