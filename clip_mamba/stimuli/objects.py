"""Cut-out objects on plain backgrounds: what the demo's stimuli are made from."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from clip_mamba.corruptions.pixel import Array
from clip_mamba.data.categories import CATEGORIES
from clip_mamba.data.compose import background, brightness
from clip_mamba.data.shards import read_tar
from clip_mamba.seeding import generator

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
    for key, files in read_tar(path):
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
