"""The out-of-distribution sets at demo scale, made from cut-out objects of the 16 categories.

``base.tar`` holds objects with an alpha channel. Each is put on a plain background, at a place
and size drawn from the seed; every condition and level distorts the *same* composites, so that
conditions are paired. A set is one tar: ``<stem>.png`` and ``<stem>.json`` per stimulus, with
the benchmark's file naming ``NNNN_experiment_dnn_condition_category_count_imagename.png``.
"""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from clip_mamba.corruptions import (
    CONDITIONS,
    NONPARAMETRIC,
    amplitude,
    check_condition,
    corrupt,
    greyscale,
    normalise_level,
)
from clip_mamba.corruptions.pixel import Array
from clip_mamba.corruptions.shape import object_texture
from clip_mamba.data.compose import background, brightness
from clip_mamba.data.ood_base import CATEGORIES
from clip_mamba.files import atomic_write
from clip_mamba.seeding import generator

#: The benchmark's abbreviation of each experiment, second in its file names.
CODES = {
    "colour": "cl",
    "contrast": "cop",
    "high-pass": "hp",
    "low-pass": "lp",
    "phase-scrambling": "ps",
    "power-equalisation": "pow",
    "false-colour": "fc",
    "rotation": "rot",
    "eidolonI": "eid",
    "eidolonII": "eid",
    "eidolonIII": "eid",
    "uniform-noise": "nse",
    "sketch": "ske",
    "stylized": "sty",
    "edge": "edg",
    "silhouette": "sif",
    "cue-conflict": "s5n",
}

#: Stimuli per category and level.
PER_CATEGORY = 20

#: Outlines are drawn at this multiple of the size asked for and reduced, as lines are thin.
_FINE = 2

#: An object's longer side, as a share of the picture's.
_EXTENT = (0.7, 0.95)


@dataclass(frozen=True)
class Base:
    """One cut-out object."""

    key: str
    category: str
    number: int
    kind: str
    picture: Image.Image


@dataclass(frozen=True)
class Composite:
    """One object on a background, twice as large as the stimulus will be."""

    base: Base
    view: int
    image: Array
    mask: Array

    @property
    def name(self) -> str:
        """Category and number of the object, and which of its composites this is."""
        return f"{self.base.category}{self.base.number:04d}v{self.view:02d}"


def members(path: str | Path) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Read a tar of samples whose keys, unlike webdataset's, may hold dots.

    Args:
        path: The tar; the files of a sample follow each other.

    Yields:
        Key and contents by extension.
    """
    with tarfile.open(path) as archive:
        current: tuple[str, dict[str, bytes]] | None = None
        for member in archive:
            file = archive.extractfile(member)
            if file is None:
                continue
            key, _, extension = member.name.rpartition(".")
            if current is None or current[0] != key:
                if current is not None:
                    yield current
                current = (key, {})
            current[1][extension] = file.read()
        if current is not None:
            yield current


def read_bases(path: str | Path) -> list[Base]:
    """Read the cut-out objects.

    Args:
        path: ``base.tar``: ``<key>.png`` (RGBA), ``<key>.cls`` (index into ``CATEGORIES``) and
            ``<key>.json`` (with ``kind``: ``colour`` or ``line``).

    Returns:
        The objects in the order of the tar, numbered within their category.

    Raises:
        ValueError: If the tar holds no object.
    """
    counts = dict.fromkeys(CATEGORIES, 0)
    bases = []
    for key, files in members(path):
        category = CATEGORIES[int(files["cls"])]
        counts[category] += 1
        picture = Image.open(io.BytesIO(files["png"])).convert("RGBA")
        kind = json.loads(files["json"]).get("kind", "colour")
        bases.append(Base(key, category, counts[category], kind, picture))
    if not bases:
        raise ValueError(f"{path} holds no object: make it again")
    return bases


def compose(base: Base, view: int, size: int, seed: int, *, paper: bool = False) -> Composite:
    """Put an object on a background.

    Args:
        base: The object.
        view: Which of several composites of the object.
        size: Side of the picture in pixels.
        seed: With the object's key and ``view`` it decides place, size and background.
        paper: Whether the background is white, as it always is for line art.

    Returns:
        The composite.
    """
    rng = generator(seed, "ood", "composite", base.key, view)
    cut = base.picture.crop(base.picture.getchannel("A").getbbox())
    extent = rng.uniform(*_EXTENT) * size
    factor = extent / max(cut.size)
    shape = [max(1, round(side * factor)) for side in cut.size]
    # Resampling with premultiplied colours keeps what is invisible from bleeding in.
    scaled = cut.convert("RGBa").resize(shape, Image.Resampling.LANCZOS).convert("RGBA")
    place = [int(rng.integers(size - side + 1)) for side in shape]
    pixels = np.asarray(scaled, dtype=np.float32) / 255
    colours = np.zeros((size, size, 3), dtype=np.float32)
    mask = np.zeros((size, size), dtype=np.float32)
    window = np.s_[place[1] : place[1] + shape[1], place[0] : place[0] + shape[0]]
    colours[window], mask[window] = pixels[..., :3], pixels[..., 3]
    if paper or base.kind == "line":
        ground = np.ones((size, size, 3), dtype=np.float32)
    else:
        # The training pictures' backgrounds, so that an undistorted stimulus looks like them.
        ground = background(rng, size, brightness(pixels))
    image = np.clip(ground + mask[..., None] * (colours - ground), 0, 1)
    return Composite(base, view, image.astype(np.float32), mask)


def choose(
    bases: Sequence[Base], kind: str, per_category: int, seed: int
) -> list[tuple[Base, int]]:
    """Choose objects for a set: all that are there, or as many as wanted, repeated if too few.

    Args:
        bases: The objects.
        kind: ``colour`` or ``line``: objects of this kind, where the category has any.
        per_category: How many stimuli each category gets.
        seed: Decides the choice, the same one for every condition of a kind.

    Returns:
        Objects with the number of the composite (0 the first time an object is used).
    """
    chosen = []
    for category in CATEGORIES:
        of_category = [base for base in bases if base.category == category]
        candidates = [base for base in of_category if base.kind == kind] or of_category
        if not candidates:
            continue
        order = generator(seed, "ood", "choice", category, kind).permutation(len(candidates))
        for i in range(per_category):
            chosen.append((candidates[order[i % len(order)]], i // len(order)))
    return chosen


def _reduce(images: Array, size: int) -> Array:
    """Return a batch of (n, h, w, 3) pictures at (size, size)."""
    if images.shape[1] == size:
        return images
    small = [
        np.asarray(
            Image.fromarray(np.uint8(np.rint(255 * image))).resize(
                (size, size), Image.Resampling.BOX
            )
        )
        for image in images
    ]
    return np.stack(small).astype(np.float32) / np.float32(255)


def _textures(
    composites: Sequence[Composite], seed: int, size: int
) -> tuple[Array, list[Composite]]:
    """Return for each composite a texture of another category, and where it is from.

    The textures' categories take turns, so that each meets each shape about equally often.
    """
    rng = generator(seed, "ood", "cue-conflict")
    by_category: dict[str, list[Composite]] = {}
    for composite in composites:
        by_category.setdefault(composite.base.category, []).append(composite)
    textures, sources = [], []
    for category, own in by_category.items():
        others = [name for name in by_category if name != category] or [category]
        turns = [others[i] for i in rng.permutation(len(others))]
        for i, _ in enumerate(own):
            candidates = by_category[turns[i % len(turns)]]
            source = candidates[rng.integers(len(candidates))]
            textures.append(object_texture(source.image, source.mask, size, rng))
            sources.append(source)
    return np.stack(textures), sources


@dataclass(frozen=True)
class _Set:
    """The composites of a condition and what their distortion needs."""

    composites: list[Composite]
    images: Array
    textures: Array | None
    sources: list[Composite] | None


def _prepare(base_tar: str | Path, condition: str, size: int, seed: int, count: int) -> _Set:
    """Return the composites of a condition, fine where it draws outlines."""
    kind = "line" if condition == "sketch" else "colour"
    fine = _FINE * size
    chosen = choose(read_bases(base_tar), kind, count, seed)
    paper = condition == "sketch"
    composites = [compose(base, view, fine, seed, paper=paper) for base, view in chosen]
    images = np.stack([composite.image for composite in composites])
    if condition not in NONPARAMETRIC:
        return _Set(composites, _reduce(images, size), None, None)
    masks = np.stack([composite.mask for composite in composites])
    images = np.concatenate([images, masks[..., None]], axis=-1)
    if condition != "cue-conflict":
        return _Set(composites, images, None, None)
    return _Set(composites, images, *_textures(composites, seed, fine))


def _distort(prepared: _Set, condition: str, level: str, size: int, seed: int) -> Array:
    """Return (n, size, size, 3): the stimuli of one level."""
    # Each level starts from an equal generator: levels share their noise, and differ in strength.
    rng = generator(seed, "ood", "noise", condition)
    if condition == "sketch":
        return _reduce(_draw(prepared), size)
    spectrum = None
    if condition == "power-equalisation":
        spectrum = amplitude(greyscale(prepared.images)).mean(axis=0)
    images = corrupt(
        prepared.images, condition, level, rng, texture=prepared.textures, spectrum=spectrum
    )
    return _reduce(images, size)


def _draw(prepared: _Set) -> Array:
    """Return sketches: native line art as it is, a pencil filter on everything else."""
    filtered = corrupt(prepared.images, "sketch", "0", generator(0))
    native = np.array([composite.base.kind == "line" for composite in prepared.composites])
    return np.where(native[:, None, None, None], prepared.images[..., :3], filtered)


def make_stimuli(
    base_tar: str | Path,
    condition: str,
    levels: Sequence[str],
    *,
    image_size: int,
    seed: int,
    out_path: str | Path,
    per_category: int = PER_CATEGORY,
) -> int:
    """Write the stimuli of a condition as a tar.

    Args:
        base_tar: The cut-out objects, see :func:`read_bases`.
        condition: A name in ``CONDITIONS``.
        levels: The levels; ``["0"]`` for a condition without levels.
        image_size: Side of the pictures in pixels.
        seed: Decides choice and placement (the same for all conditions), and noise.
        out_path: The tar to write: equal arguments give equal bytes.
        per_category: Stimuli per category and level.

    Returns:
        The number of stimuli written.
    """
    check_condition(condition)
    names = [normalise_level(condition, level) for level in levels]
    prepared = _prepare(base_tar, condition, image_size, seed, per_category)
    trial = 0
    with atomic_write(out_path) as temporary, tarfile.open(temporary, "w") as archive:
        for level in names:
            images = _distort(prepared, condition, level, image_size, seed)
            for i, image in enumerate(images):
                trial += 1
                record = _record(prepared, i, condition, level)
                stem = (
                    f"{trial:04d}_{CODES[condition]}_dnn_{level}_{record['category']}"
                    f"_{per_category:02d}_{record['imagename'].removesuffix('.png')}"
                )
                record["imagename"] = f"{stem}.png"
                _add(archive, f"{stem}.png", _png(image))
                _add(archive, f"{stem}.json", json.dumps(record).encode())
    return trial


def _record(prepared: _Set, index: int, condition: str, level: str) -> dict[str, Any]:
    """Return what is known of a stimulus; its picture's name is unique within the set."""
    composite = prepared.composites[index]
    source = None if prepared.sources is None else prepared.sources[index]
    suffix = ""
    if source is not None:
        # The benchmark reads the texture's category from behind the last dash.
        suffix = f"-{source.base.category}{source.base.number:04d}"
    elif condition not in NONPARAMETRIC:
        suffix = f"-{level}"
    return {
        "condition": condition,
        "level": level,
        "category": composite.base.category,
        "session": 1,
        "texture": None if source is None else source.base.category,
        "base": composite.base.key,
        "view": composite.view,
        "kind": composite.base.kind,
        "imagename": f"{composite.name}{suffix}.png",
    }


def _png(image: Array) -> bytes:
    """Return an (h, w, 3) picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(np.uint8(np.rint(255 * image))).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    """Append a file without anything that differs from run to run."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


@dataclass(frozen=True)
class Stimulus:
    """One stimulus as read from a set."""

    level: str
    category: str
    session: int
    imagename: str
    texture: str | None
    base: str
    png: bytes

    @property
    def image(self) -> Image.Image:
        """The picture."""
        return Image.open(io.BytesIO(self.png)).convert("RGB")


def read_stimuli(path: str | Path) -> list[Stimulus]:
    """Read a set written by :func:`make_stimuli`.

    Args:
        path: The tar.

    Returns:
        The stimuli in the order of the tar.

    Raises:
        ValueError: If the tar holds no stimulus.
    """
    stimuli = []
    for _, files in members(path):
        record = json.loads(files["json"])
        fields = ("level", "category", "session", "imagename", "texture", "base")
        stimuli.append(Stimulus(**{name: record[name] for name in fields}, png=files["png"]))
    if not stimuli:
        raise ValueError(f"{path} holds no stimulus: make it again")
    return stimuli


def contact_sheet(
    stimuli_tars: Mapping[str, str | Path],
    out_png: str | Path | None = None,
    *,
    category: str = "bird",
    cell: int = 72,
) -> Image.Image:
    """Show one object in all conditions and levels.

    Args:
        stimuli_tars: Condition to set.
        out_png: Where to write the picture, if anywhere.
        category: The object's category, if the sets have it.
        cell: Side of each stimulus in the picture, in pixels.

    Returns:
        The picture: two columns of conditions, a row each, its levels from left to right.
    """
    order = [condition for condition in CONDITIONS if condition in stimuli_tars]
    rows = [(name, _one_object(stimuli_tars[name], category)) for name in order]
    wide = max(len(stimuli) for _, stimuli in rows)
    half = -(-len(rows) // 2)
    label, gap = round(2.6 * cell), 18
    block = label + wide * (cell + 4)
    sheet = Image.new("RGB", (2 * block, half * (cell + gap + 6)), "white")
    draw = ImageDraw.Draw(sheet)
    for index, (condition, stimuli) in enumerate(rows):
        left, top = (index // half) * block, (index % half) * (cell + gap + 6)
        draw.text(
            (left + 4, top + gap + cell / 2), condition, fill="black", anchor="lm", font_size=20
        )
        for i, stimulus in enumerate(stimuli):
            x = left + label + i * (cell + 4)
            picture = stimulus.image.resize((cell, cell), Image.Resampling.BICUBIC)
            sheet.paste(picture, (x, top + gap))
            if condition not in NONPARAMETRIC:
                text = stimulus.level
            else:
                text = "" if stimulus.texture is None else stimulus.texture
            draw.text((x + cell / 2, top + gap - 2), text, fill="black", anchor="mb", font_size=15)
    if out_png is not None:
        with atomic_write(out_png) as temporary:
            sheet.save(temporary, "PNG")
    return sheet


def _one_object(path: str | Path, category: str) -> list[Stimulus]:
    """Return the stimuli of a set, one per level, that show its first object of a category."""
    stimuli = read_stimuli(path)
    wanted = [stimulus for stimulus in stimuli if stimulus.category == category] or stimuli
    shown: dict[str, Stimulus] = {}
    for stimulus in wanted:
        shown.setdefault(stimulus.level, stimulus)
    return list(shown.values())
