"""What people answered: the trials that model-vs-human publishes, fetched and read.

They are CSV files in its repository, at a fixed commit, and their checksums are in
``data/checksums.tsv``. None of them is part of this project.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from tqdm import tqdm

from clip_mamba.corruptions.levels import check_condition
from clip_mamba.data.download import download
from clip_mamba.data.ood_releases import read_releases
from clip_mamba.data.sources import TABLES
from clip_mamba.ood.trials import HUMAN, read_trials

#: The state of the repository that the numbers belong to.
COMMIT = "79ed7cd1d9ac3a114e71b6638f0a98bdd627316c"

#: Where its trials are.
URL = f"https://raw.githubusercontent.com/bethgelab/model-vs-human/{COMMIT}/raw-data"


def trial_files(condition: str, *, table: str | Path = TABLES / "ood.tsv") -> list[str]:
    """Return the names of the files with people's trials on a set, one per person.

    Args:
        condition: The set.
        table: The table of sets, with the number of people.

    Returns:
        File names.
    """
    people = read_releases(table)[check_condition(condition)].people
    return [f"{condition}_{HUMAN}{number:02d}_session_1.csv" for number in range(1, people + 1)]


def fetch_humans(
    condition: str, folder: str | Path, *, table: str | Path = TABLES / "ood.tsv"
) -> list[Path]:
    """Download people's trials on a set.

    Args:
        condition: The set.
        folder: Where the files go.
        table: The table of sets.

    Returns:
        The files.
    """
    names = trial_files(condition, table=table)
    bar = tqdm(names, desc=f"people on {condition}", unit="files", delay=5)
    return [download(f"{URL}/{condition}/{name}", Path(folder) / name) for name in bar]


def read_humans(folder: str | Path, condition: str) -> pd.DataFrame:
    """Read people's trials on a set, with the stimuli's spelling of conditions.

    Args:
        folder: A folder of CSV files.
        condition: The set.

    Returns:
        The trials of all people.

    Raises:
        ValueError: If there is no file, or a subject is not a person.
    """
    files = sorted(Path(folder).glob("*.csv"))
    if not files:
        raise ValueError(f"{folder} holds no table of trials. Delete it and run again.")
    trials = read_trials(files, condition)
    strangers = sorted({name for name in trials["subj"] if not name.startswith(HUMAN)})
    if strangers:
        raise ValueError(f"{folder}: {', '.join(strangers)}: people are named {HUMAN}01 and so on")
    return trials
