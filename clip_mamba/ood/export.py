"""Trials in the files and folders of the benchmark's own toolbox."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from clip_mamba.ood.trials import COLUMNS, write_trials


def export_trials(
    trials: Sequence[str | Path], humans: Sequence[str | Path], folder: str | Path
) -> int:
    """Write ``<condition>/<condition>_<subject>_session-<n>.csv`` for every run.

    With ``MODELVSHUMANDIR`` set to the parent of a folder named ``raw-data``, the toolbox reads
    the files as its own. Underscores in a subject's name become dashes, as there.

    Args:
        trials: Our files ``.../<run>/<condition>.csv``.
        humans: Folders of people's files, named like their conditions; copied as they are.
        folder: Where the folders of the conditions go.

    Returns:
        The number of files written.
    """
    count = 0
    for path in map(Path, trials):
        # Everything as words: what is copied must not be spelt anew.
        table = pd.read_csv(path, dtype=str, keep_default_na=False)[list(COLUMNS)]
        for (subject, session), own in table.groupby(["subj", "session"], sort=False):
            name = f"{path.stem}_{str(subject).replace('_', '-')}_session-{session}.csv"
            write_trials(own, Path(folder) / path.stem / name)
            count += 1
    for source in map(Path, humans):
        target = Path(folder) / source.name
        target.mkdir(parents=True, exist_ok=True)
        for file in sorted(source.glob("*.csv")):
            shutil.copyfile(file, target / file.name)
            count += 1
    return count
