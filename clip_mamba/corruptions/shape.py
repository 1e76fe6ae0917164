"""Sets made from an object's outline: silhouette, edge, sketch, stylized, cue-conflict.

After Geirhos et al., "ImageNet-trained CNNs are biased towards texture", ICLR 2019 (silhouettes,
edges, texture-shape cue conflict, stylised pictures) and Wang et al. 2019 (sketches). Where the
originals used people or a style-transfer network, a plain construction with the same purpose
stands in; each function says which.

Symbols: an image is (height, width, 3), a mask (height, width), 1 on the object; float32 in
[0, 1]. All but :func:`edge` also take leading batch axes.
"""

from __future__ import annotations

import numpy as np
from scipy import fft, ndimage
from skimage import feature, filters, transform

from clip_mamba.corruptions.pixel import Array, greyscale, spread

#: Share of the picture's own light and dark that a stylised picture keeps.
SHAPE_SHARE = 0.8


def estimate_mask(image: Array) -> Array:
    """Guess an object's mask from how far each pixel is from the colour of the border.

    Args:
        image: (height, width, 3), the object on a background that reaches the border.

    Returns:
        (height, width): 1 on the object.
    """
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    distance = np.linalg.norm(image - np.median(border, axis=0), axis=-1)
    if np.ptp(distance) == 0:
        return np.zeros(distance.shape, dtype=np.float32)
    inside = ndimage.binary_fill_holes(distance > filters.threshold_otsu(distance))
    return np.asarray(inside, dtype=np.float32)


def silhouette(mask: Array) -> Array:
    """Return the object in black on white.

    Args:
        mask: (..., height, width).

    Returns:
        (..., height, width, 3).
    """
    return spread(1 - mask)


def edge(grey: Array, sigma: float = 1.0) -> Array:
    """Return the Canny edges in black on white.

    Thresholds are 10 % and 20 % of the strongest gradient, so that a picture of low contrast
    keeps its outline.

    Args:
        grey: (height, width).
        sigma: Blur before the gradient, in pixels.

    Returns:
        (height, width, 3) of 0 and 1.
    """
    smooth = ndimage.gaussian_filter(grey, sigma, mode="nearest")
    steps = [np.abs(np.diff(smooth, axis=axis)).max(initial=0) for axis in (0, 1)]
    # Canny's gradient is Sobel's, which gives a ramp of 1 per pixel the value 8.
    strongest = 8 * float(max(steps))
    if strongest < 8e-4:
        return np.ones((*grey.shape, 3), dtype=np.float32)
    lines = feature.canny(smooth, 0, low_threshold=0.1 * strongest, high_threshold=0.2 * strongest)
    return spread(1 - lines.astype(np.float32))


def sketch(grey: Array, sigma: float = 2.0) -> Array:
    """Return a pencil drawing: the grey-scale picture divided by its blur ("colour dodge").

    Uniform areas become paper white, and the darker side of each edge a line. The published
    sketches were drawn by people; where native line art is at hand, use that.

    Args:
        grey: (..., height, width).
        sigma: Blur in pixels; wider means broader lines.

    Returns:
        (..., height, width, 3).
    """
    sigmas = (0,) * (grey.ndim - 2) + (sigma, sigma)
    blurred = ndimage.gaussian_filter(grey, sigmas, mode="nearest")
    ratio = np.clip((grey + 0.02) / (blurred + 0.02), 0, 1)
    return spread(ratio**3)


def retexture(image: Array, texture: Array, share: float = SHAPE_SHARE) -> Array:
    """Paint a picture with a texture, keeping its light and dark.

    Stands in for style transfer: colour comes from the texture alone, luminance is a mixture,
    in which the texture's deviations from its own mean enter.

    Args:
        image: (..., height, width, 3).
        texture: The same shape.
        share: Share of the picture in the luminance.

    Returns:
        (..., height, width, 3).
    """
    own, other = greyscale(image), greyscale(texture)
    deviation = other - other.mean(axis=(-2, -1), keepdims=True)
    light = share * own + (1 - share) * (0.5 + 1.5 * deviation)
    chroma = texture - other[..., None]
    return np.clip(light[..., None] + chroma, 0, 1).astype(np.float32)


def cue_conflict(image: Array, mask: Array, texture: Array) -> Array:
    """Fill an object's outline with the texture of something else.

    The mask is kept: outside it the picture is untouched, inside nothing of it is left.

    Args:
        image: (..., height, width, 3), what surrounds the object.
        mask: (..., height, width).
        texture: (..., height, width, 3).

    Returns:
        (..., height, width, 3).
    """
    weight = mask[..., None]
    return np.clip(image + weight * (texture - image), 0, 1).astype(np.float32)


def object_texture(
    image: Array, mask: Array, size: int, rng: np.random.Generator, copies: float = 2.5
) -> Array:
    """Fill a plane with many small copies of an object, as densely as bricks.

    The original textures are close-ups of skin and the like, and, for things that have no skin,
    crowds of them; drawn objects have hardly any surface, so that here all are crowds.

    Args:
        image: (height, width, 3), the object.
        mask: (height, width).
        size: Side of the plane in pixels.
        rng: Decides where the pattern begins.
        copies: How many copies are side by side.

    Returns:
        (size, size, 3), gaps between the copies in the object's mean colour.
    """
    rows, columns = (np.flatnonzero(mask.max(axis=axis) > 0.5) for axis in (1, 0))
    if not len(rows):
        rows, columns = (np.arange(side) for side in mask.shape)
        mask = np.ones_like(mask)
    box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    weight = mask[box][..., None]
    mean = (image[box] * weight).sum(axis=(0, 1)) / weight.sum()
    cut = mean + weight * (image[box] - mean)
    factor = size / copies / max(cut.shape[:2])
    brick = transform.resize(cut, [max(2, round(n * factor)) for n in cut.shape[:2]])
    # Every second row of bricks is shifted by half a brick.
    course = np.tile(brick, (1, 2 + 2 * size // brick.shape[1], 1))
    wall = np.concatenate([course, np.roll(course, brick.shape[1] // 2, axis=1)])
    wall = np.tile(wall, (2 + size // brick.shape[0], 1, 1))
    down, across = (int(rng.integers(side)) for side in (2 * brick.shape[0], brick.shape[1]))
    return np.ascontiguousarray(wall[down:, across:][:size, :size], dtype=np.float32)


def generated_texture(
    shape: tuple[int, ...], rng: np.random.Generator, exponent: float = 1.2
) -> Array:
    """Draw a coloured texture without objects: noise whose amplitude falls with frequency.

    Args:
        shape: (..., height, width, 3).
        rng: The source of the noise.
        exponent: Amplitude falls as frequency to the power of minus this.

    Returns:
        The texture; each channel has mean about 0.5 and a standard deviation of 0.2.
    """
    *lead, height, width, channels = shape
    noise = rng.standard_normal((*lead, channels, height, width), dtype=np.float32)
    radius = np.hypot(fft.fftfreq(height)[:, None], fft.rfftfreq(width)[None, :])
    radius[0, 0] = np.inf
    spectrum = fft.rfft2(noise) * (radius**-exponent).astype(np.float32)
    field = fft.irfft2(spectrum, s=(height, width))
    field *= 0.2 / np.maximum(field.std(axis=(-2, -1), keepdims=True), 1e-6)
    return np.clip(np.moveaxis(field, -3, -1) + np.float32(0.5), 0, 1)
