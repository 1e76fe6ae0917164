"""Trials of the runs of a study, as the tables take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from clip_mamba.data import humans
from clip_mamba.ood.trials import read_trials as read_table
from clip_mamba.results import Seed, parse_seed

#: (model, seed) to its trials by condition.
Trials = Mapping[tuple[str, Seed], Mapping[str, pd.DataFrame]]


def read_trials(paths: Sequence[str | Path]) -> dict[tuple[str, Seed], dict[str, pd.DataFrame]]:
    """Read trials from files ``.../{model}-{seed}/{condition}.csv``.

    Args:
        paths: The files.

    Returns:
        (model, seed) to its trials by condition.

    Raises:
        ValueError: If a folder's name does not end with a seed.
    """
    found: dict[tuple[str, Seed], dict[str, pd.DataFrame]] = {}
    for path in map(Path, paths):
        model, _, seed = path.parent.name.rpartition("-")
        try:
            run = (model, parse_seed(seed))
        except ValueError:
            run = ("", 0)
        if not run[0]:
            raise ValueError(f"{path}: trials must lie in a folder named <model>-<seed>")
        found.setdefault(run, {})[path.stem] = read_table(path, path.stem)
    return found


def read_humans(folders: Sequence[str | Path]) -> dict[str, pd.DataFrame]:
    """Read people's trials.

    Args:
        folders: One per set, named like it.

    Returns:
        The trials by condition.
    """
    return {Path(folder).name: humans.read_humans(folder, Path(folder).name) for folder in folders}
