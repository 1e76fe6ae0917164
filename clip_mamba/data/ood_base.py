"""The held-out cut-out objects of the 16 categories, from which OOD stimuli are made."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import binary_fill_holes

from clip_mamba.data.categories import CATEGORIES
from clip_mamba.data.concepts import read_concepts
from clip_mamba.data.drawings import FLUENT_STYLES, TRAINING_STYLES, Drawing, Names, iconify_svgs
from clip_mamba.data.emoji import raw_path
from clip_mamba.data.render import SIDE, render, to_png
from clip_mamba.data.shards import Sample, to_json, write_tar
from clip_mamba.data.sources import TABLES, read_sources
from clip_mamba.files import atomic_write, sha256
from clip_mamba.seeding import generator

#: colour: as drawn; tint: one-colour glyph painted in two tones, its holes filled; glyph: the
#: same with its holes left open (spokes, chair legs); line: black line art.
TREATMENTS = ("colour", "tint", "glyph", "line")


@dataclass(frozen=True)
class Entry:
    """One row of ``data/ood_categories.tsv``."""

    category: str
    set: str
    treatment: str
    names: tuple[str, ...]

    @property
    def kind(self) -> str:
        """``line`` for what the sketch condition may use as native line art, else ``colour``."""
        return "line" if self.treatment == "line" else "colour"


def read_entries(path: str | Path = TABLES / "ood_categories.tsv") -> list[Entry]:
    """Read which drawings of which held-out sets belong to which category.

    Args:
        path: A tab-separated table: category, set, treatment, names joined by ``|``.

    Returns:
        The rows.

    Raises:
        ValueError: If a row names an unknown category or treatment, or a training set.
    """
    entries = []
    with open(path, newline="") as file:
        for line, row in enumerate(csv.DictReader(file, delimiter="\t"), start=2):
            entry = Entry(**{**row, "names": tuple(row["names"].split("|"))})  # type: ignore[arg-type]
            if entry.category not in CATEGORIES or entry.treatment not in TREATMENTS:
                raise ValueError(
                    f"{path}, line {line}: unknown category or treatment. Categories: "
                    f"{', '.join(CATEGORIES)}. Treatments: {', '.join(TREATMENTS)}."
                )
            if entry.set in {style.source for style in TRAINING_STYLES.values()}:
                raise ValueError(f"{path}, line {line}: models are trained on {entry.set!r}.")
            entries.append(entry)
    return entries


def needed_sources(entries: Sequence[Entry] | None = None) -> list[str]:
    """Return the downloads that the base set needs.

    Args:
        entries: Rows; by default the project's table.

    Returns:
        Names of sources.
    """
    rows = read_entries() if entries is None else entries
    return list(dict.fromkeys(["emojibase", *(entry.set for entry in rows)]))


def build_ood_base(
    raw_dir: str | Path,
    out_dir: str | Path,
    *,
    seed: int,
    entries: Sequence[Entry] | None = None,
) -> dict[str, Any]:
    """Write ``base.tar`` (RGBA, alpha is the object's mask) and ``base.json``.

    Args:
        raw_dir: The folder of downloads (see :func:`needed_sources`).
        out_dir: Where both files go.
        seed: The run's seed, for the tints of one-colour glyphs.
        entries: Rows; by default the project's table.

    Returns:
        What ``base.json`` says: counts per category and kind, sources, checksum.

    Raises:
        ValueError: If a name of the table is not in its set, or a category stays empty.
    """
    rows = read_entries() if entries is None else list(entries)
    library = _Library(Path(raw_dir), [entry.set for entry in rows])
    samples = []
    counts: dict[str, Counter[str]] = {category: Counter() for category in CATEGORIES}
    for entry in rows:
        for name in entry.names:
            image = render(library.find(entry.set, name))
            if image is None:
                raise ValueError(f"{entry.set}: {name!r} renders blank; take it out of the table.")
            samples.append(_sample(entry, name, image, seed))
            counts[entry.category][entry.kind] += 1
    tar = Path(out_dir) / "base.tar"
    write_tar(tar, samples)
    used = [read_sources()[name] for name in needed_sources(rows) if name != "emojibase"]
    facts = {
        "categories": list(CATEGORIES),
        "images": len(samples),
        "counts": {category: dict(counts[category]) for category in CATEGORIES},
        "side": SIDE,
        "licence": ", ".join(dict.fromkeys(source.licence for source in used)),
        "source": ", ".join(f"{source.package} {source.version}" for source in used),
        "seed": seed,
        "sha256": sha256(tar),
    }
    with atomic_write(Path(out_dir) / "base.json") as temporary:
        temporary.write_text(json.dumps(facts, indent=1) + "\n")
    return facts


class _Library:
    """The drawings of the sets in use, by set and exact name."""

    def __init__(self, raw_dir: Path, sets: Sequence[str]) -> None:
        archive = raw_path(raw_dir, "emojibase")
        concepts = read_concepts(archive)
        names = Names(archive, concepts)
        labels = {concept.code: concept.label for concept in concepts}
        self._drawings: dict[str, dict[str, Drawing]] = {}
        for name in dict.fromkeys(sets):
            path = raw_path(raw_dir, name)
            if name in FLUENT_STYLES:
                style = FLUENT_STYLES[name]
                drawings = style.reader(style, path, names)
                self._drawings[name] = {labels[drawing.code]: drawing for drawing in drawings}
            else:
                self._drawings[name] = {
                    icon: Drawing(name, icon, f"{name}:{icon}", svg=svg)
                    for icon, svg in iconify_svgs(path).items()
                }

    def find(self, set_name: str, name: str) -> Drawing:
        """Return a drawing, or say that the table names one that is not there.

        Args:
            set_name: The set.
            name: An emoji's label or an icon's name.

        Returns:
            The drawing.

        Raises:
            ValueError: If there is none of that name.
        """
        try:
            return self._drawings[set_name][name]
        except KeyError:
            raise ValueError(
                f"data/ood_categories.tsv: the set {set_name!r} has no drawing {name!r}."
            ) from None


def _sample(entry: Entry, name: str, image: Image.Image, seed: int) -> Sample:
    if entry.treatment in {"tint", "glyph"}:
        rng = generator(seed, "tint", entry.set, name)
        image = tint(image, rng, fill=entry.treatment == "tint")
    facts = {
        "category": entry.category,
        "source": f"{entry.set}:{name}",
        "style": entry.set,
        "concept": name,
        "kind": entry.kind,
    }
    slug = "".join(letter if letter.isalnum() else "-" for letter in name.lower())
    key = f"{entry.category}-{entry.set}-{entry.treatment}-{slug}"
    label = str(CATEGORIES.index(entry.category)).encode()
    return key, {"png": to_png(image), "cls": label, "json": to_json(facts)}


def tint(image: Image.Image, rng: np.random.Generator, *, fill: bool) -> Image.Image:
    """Paint a one-colour glyph, so that it is an object with a colour and a true silhouette.

    Args:
        image: RGBA; only alpha is used.
        rng: The generator of the two tones.
        fill: Whether enclosed holes belong to the object; they get the second tone.

    Returns:
        RGBA.
    """
    alpha = np.asarray(image.getchannel("A"), dtype=np.float32)[..., None] / 255
    hue = rng.uniform()
    ink = _tone(hue, rng.uniform(0.4, 0.8), rng.uniform(0.25, 0.5))
    paint = _tone((hue + rng.uniform(-0.12, 0.12)) % 1, rng.uniform(0.3, 0.7), 0.95)
    inside = binary_fill_holes(alpha[..., 0] > 0.5)[..., None] if fill else alpha > 1
    covered = np.maximum(alpha, inside)
    colour = (
        ink * alpha + paint * (1 - alpha) if fill else np.broadcast_to(ink, (*alpha.shape[:2], 3))
    )
    rgba = np.concatenate([colour, covered], axis=2)
    return Image.fromarray((rgba * 255 + 0.5).astype(np.uint8), "RGBA")


def _tone(hue: float, saturation: float, value: float) -> np.ndarray:
    import colorsys

    return np.array(colorsys.hsv_to_rgb(hue, saturation, value), dtype=np.float32)
