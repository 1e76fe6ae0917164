"""Tables of trials: reading, writing, spellings, and what a stimulus's name says.

A table of trials has the columns ``COLUMNS`` of the model-vs-human benchmark, so that its own
analysis code reads our files and ours reads its; a subject is a person if its name starts with
``subject-``, and a model otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from clip_mamba.corruptions.levels import normalise_level
from clip_mamba.files import atomic_write

#: Columns of a table of trials, in the benchmark's order.
COLUMNS = (
    "subj", "session", "trial", "rt", "object_response", "category", "condition", "imagename",
)  # fmt: skip

#: How the names of people start.
HUMAN = "subject-"

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


def mismatches(trials: pd.DataFrame, dataset: str) -> list[str]:
    """Say which subjects did not see the same pictures as the others.

    Args:
        trials: The trials of all subjects of one set.
        dataset: The set, for the message.

    Returns:
        A sentence per subject that lacks pictures which the first subject saw, saw others, or
        saw one repeatedly; none if all is well.
    """
    seen = {
        str(name): list(zip(own["condition"], own["imagename"].map(image_id), strict=True))
        for name, own in trials.groupby("subj", sort=False)
    }
    first, *others = seen
    found = []
    for name in [first, *others]:
        lacks, more = set(seen[first]) - set(seen[name]), set(seen[name]) - set(seen[first])
        repeated = len(seen[name]) - len(set(seen[name]))
        if lacks or more or repeated:
            example = "/".join(min(lacks | more, default=("", "")))
            found.append(
                f"{dataset}: {name} saw {len(seen[name])} pictures and {first} "
                f"{len(seen[first])}: {len(lacks)} missing, {len(more)} other, {repeated} repeated"
                + (f" ({example})" if example != "/" else "")
            )
    return found
