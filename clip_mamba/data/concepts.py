"""The concepts of the demo corpus: Unicode emoji with label, keywords, subgroup and group."""

import csv
import json
import math
import tarfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from clip_mamba.data.sources import TABLES
from clip_mamba.seeding import generator

#: Flags are pictures of text and geometry; components (hair, skin) are no pictures at all.
LEFT_OUT_GROUPS = ("flags", "component")


@dataclass(frozen=True)
class Concept:
    """One emoji, whatever the style it is drawn in. ``code`` is its identity."""

    code: str
    label: str
    keywords: tuple[str, ...]
    subgroup: str
    group: str


def plain_code(hexcode: str) -> str:
    """Return the spelling of a code point sequence that all sets share.

    Sets disagree on letter case and on the variation selector U+FE0F.

    Args:
        hexcode: Code points in hexadecimal joined by hyphens, e.g. ``"2764-FE0F"``.

    Returns:
        The same in lower case without ``fe0f``.
    """
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


def read_members(archive: str | Path, names: Sequence[str]) -> dict[str, bytes]:
    """Read some files of a package in one pass, without unpacking it.

    Args:
        archive: A ``.tgz`` as served by the registry.
        names: Paths inside, without the leading ``package/``.

    Returns:
        The bytes of those that the package has, by name.
    """
    wanted = {f"package/{name}": name for name in names}
    found: dict[str, bytes] = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.name in wanted and (file := tar.extractfile(member)):
                found[wanted[member.name]] = file.read()
            if len(found) == len(wanted):
                break
    return found


def read_member(archive: str | Path, name: str) -> bytes:
    """Read one file of a package.

    Args:
        archive: A ``.tgz`` as served by the registry.
        name: The path inside, without the leading ``package/``.

    Returns:
        Its bytes.

    Raises:
        ValueError: If the package has no such file.
    """
    found = read_members(archive, [name])
    if name not in found:
        raise ValueError(f"{archive} holds no file {name}: is it the version of the table?")
    return found[name]


def read_concepts(archive: str | Path) -> list[Concept]:
    """Read every concept of emojibase but flags, components and skin-tone variants.

    Args:
        archive: The ``emojibase-data`` package.

    Returns:
        The concepts in Unicode's order.

    Raises:
        ValueError: If the archive is another package.
    """
    files = read_members(archive, ["meta/groups.json", "en/data.json"])
    if len(files) != 2:
        raise ValueError(f"{archive} is no emojibase-data package of the table's version.")
    names = json.loads(files["meta/groups.json"])
    concepts = []
    for entry in json.loads(files["en/data.json"]):
        group = names["groups"].get(str(entry.get("group")))
        if group is None or group in LEFT_OUT_GROUPS:
            continue
        concepts.append(
            Concept(
                code=plain_code(entry["hexcode"]),
                label=entry["label"],
                keywords=tuple(entry.get("tags", ())),
                subgroup=names["subgroups"][str(entry["subgroup"])],
                group=group,
            )
        )
    return concepts


def stratified(
    concepts: Iterable[Concept], count: int, seed: int, purpose: str, *, whole: bool = True
) -> set[str]:
    """Draw concepts so that every subgroup gives its share (largest-remainder rounding).

    Args:
        concepts: What to draw from.
        count: How many to draw.
        seed: The run's seed.
        purpose: A word that keeps this draw apart from others.
        whole: Whether a subgroup may be drawn completely.

    Returns:
        The codes drawn.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for concept in concepts:
        members[concept.subgroup].append(concept.code)
    total = sum(map(len, members.values()))
    exact = {name: count * len(codes) / max(total, 1) for name, codes in members.items()}
    share = {name: math.floor(value) for name, value in exact.items()}
    # Sorted is stable: ties keep Unicode's order, so the draw is the same everywhere.
    for name in sorted(exact, key=lambda name: share[name] - exact[name]):
        if sum(share.values()) < count and share[name] < len(members[name]) - (not whole):
            share[name] += 1
    drawn: set[str] = set()
    for name, codes in members.items():
        order = generator(seed, purpose, name).permutation(len(codes))
        drawn.update(codes[index] for index in order[: share[name]])
    return drawn


@cache
def category_names() -> dict[str, dict[str, tuple[str, ...]]]:
    """Read the English names of groups and subgroups.

    Returns:
        Level ("group" or "subgroup") to key to names; the first is the usual one.
    """
    table: dict[str, dict[str, tuple[str, ...]]] = {"group": {}, "subgroup": {}}
    with open(TABLES / "emoji_categories.tsv", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            table[row["level"]][row["key"]] = tuple(row["names"].split("|"))
    return table
