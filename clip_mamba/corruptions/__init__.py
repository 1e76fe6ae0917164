"""The distortions of the model-vs-human benchmark, for pictures of any size.

Twelve parametric ones by their published definitions and five sets made from an object's
outline. :func:`corrupt` is the one entry point; the modules hold one family each.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from clip_mamba.corruptions import eidolon as _eidolon
from clip_mamba.corruptions import pixel, shape, spectral
from clip_mamba.corruptions.levels import (
    COHERENCE,
    CONDITIONS,
    EXCLUDED_LEVELS,
    LEVELS,
    NONPARAMETRIC,
    PARAMETRIC,
    check_condition,
    is_control,
    normalise_level,
    parse_eidolon,
    parse_number,
    parse_word,
)
from clip_mamba.corruptions.pixel import Array, greyscale
from clip_mamba.corruptions.spectral import amplitude

__all__ = [
    "CONDITIONS",
    "EXCLUDED_LEVELS",
    "LEVELS",
    "NONPARAMETRIC",
    "PARAMETRIC",
    "amplitude",
    "check_condition",
    "corrupt",
    "greyscale",
    "is_control",
    "normalise_level",
]


#: The bits of the number 1.
_ONE = np.float32(1).view(np.uint32)


def corrupt(
    image: NDArray,
    condition: str,
    level: str | float,
    rng: np.random.Generator,
    *,
    texture: NDArray | None = None,
    spectrum: NDArray | None = None,
) -> Array:
    """Distort a picture, or a batch of pictures of one size.

    All conditions but ``colour``, ``false-colour``, ``stylized`` and ``cue-conflict`` are
    grey-scale, as published. Lengths (blur, reach, grain) are in pixels of the picture given.
    A batch draws its noise in one go, so that a picture's noise depends on its place in it.

    Args:
        image: (..., height, width, 3) in [0, 1]; a fourth channel is the object's mask, for
            ``silhouette`` and ``cue-conflict`` (which otherwise guess it).
        condition: A name in ``CONDITIONS``.
        level: A level as in ``LEVELS``, or any number in its range; ignored by the
            non-parametric conditions.
        rng: The source of all noise: equal generators give equal pictures.
        texture: (..., height, width, 3), what ``cue-conflict`` fills the object with and
            ``stylized`` paints with (generated there if absent).
        spectrum: The amplitudes that ``power-equalisation`` gives the picture, see
            :func:`amplitude`; 1/f if absent.

    Returns:
        (..., height, width, 3) float32 in [0, 1].
    """
    check_condition(condition)
    colours, mask = _check_image(image)
    if condition in NONPARAMETRIC:
        return _outline(colours, mask, condition, rng, texture)
    if condition == "colour":
        coloured = parse_word(condition, level) == "cr"
        return colours.copy() if coloured else pixel.spread(greyscale(colours))
    if condition == "false-colour":
        true = parse_word(condition, level) == "True"
        return colours.copy() if true else pixel.opponent_colour(colours)
    return pixel.spread(_grey_distortion(greyscale(colours), condition, level, rng, spectrum))


def _check_image(image: NDArray) -> tuple[Array, Array | None]:
    """Return the colours and, if there is one, the mask of a picture that is in order.

    Raises:
        ValueError: If the shape, the type or the range is not that of a picture.
    """
    array = np.asarray(image)
    if array.ndim < 3 or array.shape[-1] not in {3, 4} or 0 in array.shape:
        raise ValueError(
            f"image of shape {array.shape}: it must be (height, width, 3) or, with the object's "
            "mask, (height, width, 4)"
        )
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(
            f"image of type {array.dtype}: convert it to float32 in [0, 1] (bytes: divide by 255)"
        )
    array = array.astype(np.float32, copy=False)
    # Read as integers, the floats from 0 to 1 are the range from 0 to that of 1.0: one pass
    # instead of two. What is outside (or is -0.0) is looked at again.
    low, high = 0.0, 1.0
    if array.view(np.uint32).max() > _ONE:
        low, high = float(array.min()), float(array.max())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"image with values from {low:g} to {high:g}: they must lie in [0, 1]")
    return array[..., :3], array[..., 3] if array.shape[-1] == 4 else None


def _grey_distortion(
    grey: Array,
    condition: str,
    level: str | float,
    rng: np.random.Generator,
    spectrum: NDArray | None,
) -> Array:
    """Return a grey plane under a parametric distortion that is defined on grey planes."""
    if condition in COHERENCE:
        return _eidolon.eidolon(grey, *parse_eidolon(condition, level), rng)
    if condition == "power-equalisation":
        if parse_word(condition, level) == "0":
            return grey
        return spectral.equalise_power(grey, spectrum)
    number = parse_number(condition, level)
    match condition:
        case "contrast":
            return pixel.contrast(grey, number)
        case "high-pass":
            return spectral.high_pass(grey, number)
        case "low-pass":
            return spectral.low_pass(grey, number)
        case "phase-scrambling":
            return spectral.phase_noise(grey, number, rng)
        case "rotation":
            return pixel.rotate(grey, number)
        case _:
            return pixel.uniform_noise(grey, number, rng)


def _outline(
    colours: Array,
    mask: Array | None,
    condition: str,
    rng: np.random.Generator,
    texture: NDArray | None,
) -> Array:
    """Return pictures of a set that has no level.

    Raises:
        ValueError: If the texture is missing or has another shape than the pictures.
    """
    if texture is not None and texture.shape != colours.shape:
        raise ValueError(f"texture of shape {texture.shape} for an image of {colours.shape}")
    if condition == "sketch":
        return shape.sketch(greyscale(colours))
    if condition == "edge":
        return _each(shape.edge, greyscale(colours), 2)
    if condition == "stylized":
        painted = shape.generated_texture(colours.shape, rng) if texture is None else texture
        return shape.retexture(colours, painted)
    inside = _each(shape.estimate_mask, colours, 3) if mask is None else mask
    if condition == "silhouette":
        return shape.silhouette(inside)
    if texture is None:
        raise ValueError("cue-conflict needs a texture: pass texture=, the picture to fill with")
    return shape.cue_conflict(colours, inside, texture)


def _each(function: Callable[[Array], Array], pictures: Array, axes: int) -> Array:
    """Return what a function of one picture, which has ``axes`` axes, makes of a batch."""
    lead = pictures.shape[:-axes]
    flat = pictures.reshape(-1, *pictures.shape[-axes:])
    done = np.stack([function(picture) for picture in flat])
    return done.reshape(*lead, *done.shape[1:])
