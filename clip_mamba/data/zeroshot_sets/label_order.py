"""From the labels of a source to SLIP's classes, checked by name.

SLIP's files, which CLIP's prompts go back to, number the classes of some tasks differently from
the mirrors. ``data/zeroshot_labels.tsv`` has the class of each label 0, 1, 2, ... of those tasks;
it was derived by pairing names that are equal after :func:`normalise`, from SLIP's labels.json
and the lists that the mirrors' labels come from (TFDS, torchvision, CLIP_benchmark). Whenever a
task is prepared, the names that its source ships are compared with the outcome.
"""

import csv
import difflib
import re
from collections.abc import Sequence

from clip_mamba.data.sources import TABLES

NUMERALS = {
    word: str(number)
    for number, word in enumerate([
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
    ])
}


def normalise(name: str) -> str:
    """Reduce a class name to what different spellings of it share.

    Args:
        name: For instance ``jail/indoor``, ``Jail indoor`` or ``ApplyLipstick``.

    Returns:
        Its letters and digits in lower case; a number as digits.
    """
    bare = re.sub(r"[^a-z0-9]", "", name.lower())
    return NUMERALS.get(bare, bare)


def recorded_order(task: str, classes: int) -> list[int]:
    """Return the class of each label of a task's source.

    Args:
        task: Its name.
        classes: Their number.

    Returns:
        As in ``data/zeroshot_labels.tsv``; 0, 1, 2, ... for a task that is not there.

    Raises:
        ValueError: If the row does not number the classes.
    """
    with open(TABLES / "zeroshot_labels.tsv", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["task"] == task:
                order = [int(number) for number in row["classes"].split()]
                if sorted(order) != list(range(classes)):
                    raise ValueError(f"data/zeroshot_labels.tsv: {task}: not 0 to {classes - 1}.")
                return order
    return list(range(classes))


def align(task: str, names: Sequence[str], classes: Sequence[Sequence[str]]) -> list[int]:
    """Return the class of each label, after comparing names with those that a source ships.

    A name that SLIP spells quite differently, and so has no equal, is passed over.

    Args:
        task: The task's name.
        names: The source's name of each label.
        classes: SLIP's names of each class.

    Returns:
        The class of each label.

    Raises:
        ValueError: If a name belongs to another class than the recorded order says, if fewer
            than half of the names have an equal, or if their number is another.
    """
    if len(names) != len(classes):
        raise ValueError(
            f"{task}: the source names {len(names)} classes, SLIP {len(classes)}. "
            "Its class names are missing or belong to another set."
        )
    order, known = recorded_order(task, len(classes)), _index(classes)
    equal = 0
    for label, name in enumerate(names):
        meant = known.get(normalise(name))
        if meant is not None and order[label] not in meant:
            raise ValueError(
                f"{task}: the source calls label {label} {name!r}, but it would become class "
                f"{order[label]}, {classes[order[label]][0]!r}. The source has changed its order: "
                "correct data/zeroshot_labels.tsv."
            )
        equal += meant is not None
    if 2 * equal < len(names):
        raise ValueError(
            f"{task}: only {equal} of the source's {len(names)} class names are SLIP's."
        )
    return order


def describe(task: str, names: Sequence[str], classes: Sequence[Sequence[str]]) -> str:
    """Say how labels became classes, for ``task.json``.

    Args:
        task: The task's name.
        names: The source's name of each label.
        classes: SLIP's names of each class.

    Returns:
        A sentence.
    """
    known = _index(classes)
    equal = sum(normalise(name) in known for name in names)
    moved = recorded_order(task, len(classes)) != list(range(len(classes)))
    how = "reordered by data/zeroshot_labels.tsv" if moved else "the source's order is SLIP's"
    return f"{how}; {equal} of {len(names)} names compared"


class ByName:
    """From a class name to SLIP's class."""

    def __init__(self, task: str, classes: Sequence[Sequence[str]]) -> None:
        """Index the names.

        Args:
            task: The task's name, for messages.
            classes: SLIP's names of each class.
        """
        self.task, self.known = task, _index(classes)

    def __call__(self, name: str) -> int:
        """Return the class of a name.

        Args:
            name: As the source spells it.

        Returns:
            SLIP's class.

        Raises:
            ValueError: If SLIP has no such class.
        """
        found = self.known.get(normalise(name))
        if found is None:
            near = difflib.get_close_matches(normalise(name), self.known, n=1)
            hint = f" The nearest is {near[0]!r}." if near else ""
            raise ValueError(f"{self.task}: SLIP has no class {name!r}.{hint}")
        return min(found)


def _index(classes: Sequence[Sequence[str]]) -> dict[str, set[int]]:
    """Return the classes of each name: ImageNet has two called missile, and two sunglasses."""
    known: dict[str, set[int]] = {}
    for number, synonyms in enumerate(classes):
        for name in synonyms:
            known.setdefault(normalise(name), set()).add(number)
    return known
