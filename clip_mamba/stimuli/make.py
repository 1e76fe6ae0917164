"""The out-of-distribution sets at demo scale, made from cut-out objects of the 16 categories.

``base.tar`` holds objects with an alpha channel. Each is put on a plain background, at a place
and size drawn from the seed; every condition and level distorts the *same* composites, so that
conditions are paired. Names are the benchmark's,
``NNNN_experiment_dnn_condition_category_count_imagename.png``.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from clip_mamba.corruptions import (
    NONPARAMETRIC,
    amplitude,
    check_condition,
    corrupt,
    greyscale,
    normalise_level,
)
from clip_mamba.corruptions.pixel import Array
from clip_mamba.corruptions.shape import object_texture
from clip_mamba.seeding import generator
from clip_mamba.stimuli.objects import Composite, choose, compose, read_bases
from clip_mamba.stimuli.store import Stimulus, write_stimuli

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
    return write_stimuli(out_path, _stimuli(prepared, condition, names, image_size, seed))


def _stimuli(
    prepared: _Set, condition: str, levels: Sequence[str], size: int, seed: int
) -> Iterator[tuple[Stimulus, dict[str, Any]]]:
    """Yield the stimuli of all levels, each with what else is known of it."""
    per_category = Counter(composite.base.category for composite in prepared.composites)
    trial = 0
    for level in levels:
        for i, image in enumerate(_distort(prepared, condition, level, size, seed)):
            trial += 1
            composite = prepared.composites[i]
            category = composite.base.category
            name = (
                f"{trial:04d}_{CODES[condition]}_dnn_{level}_{category}"
                f"_{per_category[category]:02d}_{_picture_name(prepared, i, condition, level)}.png"
            )
            texture = None if prepared.sources is None else prepared.sources[i].base.category
            stimulus = Stimulus(level, category, 1, name, texture, composite.base.key, _png(image))
            yield stimulus, {"view": composite.view, "kind": composite.base.kind}


def _picture_name(prepared: _Set, index: int, condition: str, level: str) -> str:
    """Return a name of a stimulus's picture that is unique within the set."""
    name = prepared.composites[index].name
    if prepared.sources is not None:
        source = prepared.sources[index].base
        # The benchmark reads the texture's category from behind the last dash.
        return f"{name}-{source.category}{source.number:04d}"
    return name if condition in NONPARAMETRIC else f"{name}-{level}"


def _png(image: Array) -> bytes:
    """Return an (h, w, 3) picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(np.uint8(np.rint(255 * image))).save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()
