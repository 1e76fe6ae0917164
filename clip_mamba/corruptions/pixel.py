"""Distortions that act on each pixel, and turns: grey-scale, contrast, noise, rotation, colour.

Symbols: an image is (..., height, width, 3), a grey plane (..., height, width), both float32 in
[0, 1]; leading axes are a batch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

#: Luminance weights of red, green and blue (ITU-R BT.709; those of scikit-image, which the
#: published stimuli were made with).
LUMINANCE = (0.2125, 0.7154, 0.0721)

#: Contrast of the picture below the noise (Geirhos et al. 2018, uniform noise experiment):
#: low, so that noise of width 0.35 just reaches black and white without being clipped.
NOISE_CONTRAST = 0.3

#: Linear sRGB to CIE XYZ (IEC 61966-2-1).
_XYZ_FROM_RGB = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
     [0.0193339, 0.1191920, 0.9503041]]
)  # fmt: skip
#: CIE XYZ to cone excitations (Smith & Pokorny 1975), scaled such that L + M is luminance.
_LMS_FROM_XYZ = np.array([
    [0.15514, 0.54312, -0.03286],
    [-0.15514, 0.45684, 0.03286],
    [0.0, 0.0, 0.00801],
])


def greyscale(image: Array) -> Array:
    """Return the luminance 0.2125 R + 0.7154 G + 0.0721 B.

    Args:
        image: (..., height, width, 3).

    Returns:
        (..., height, width). A picture that is grey already keeps its values to the last bit.
    """
    weights = np.array(LUMINANCE, dtype=np.float32)
    first = image[..., 0, :, :]
    if not np.array_equal(first[..., 0], first[..., 1]):
        return _weighted(image, weights)
    # The weights add up to one; written as differences from green, equal channels are exact.
    green = image[..., 1]
    grey = green + weights[0] * (image[..., 0] - green)
    grey += weights[2] * (image[..., 2] - green)
    return grey


def _weighted(image: Array, weights: Array) -> Array:
    """Return the weighted sum of the channels."""
    from clip_mamba.corruptions import kernels

    pixels = np.ascontiguousarray(image, dtype=np.float32).reshape(-1, 3)
    grey = np.empty(len(pixels), dtype=np.float32)
    kernels.weighted_sum(pixels, weights, grey)
    return grey.reshape(image.shape[:-1])


def spread(grey: Array) -> Array:
    """Return a grey plane as an image of three equal channels.

    Args:
        grey: (..., height, width).

    Returns:
        (..., height, width, 3) in [0, 1]; what lies outside is clipped.
    """
    from clip_mamba.corruptions import kernels

    image = np.empty((*grey.shape, 3), dtype=np.float32)
    values = np.ascontiguousarray(grey, dtype=np.float32).reshape(-1)
    kernels.repeat_clipped(values, image.reshape(-1, 3))
    return image


def contrast(grey: Array, level: float) -> Array:
    """Scale the deviations from mid-grey (Geirhos et al. 2018).

    Args:
        grey: (..., height, width).
        level: 1 keeps the picture, 0 leaves uniform mid-grey.

    Returns:
        (..., height, width).
    """
    # In this form full contrast is exactly the identity.
    scaled = grey * np.float32(level)
    scaled += np.float32((1 - level) / 2)
    return scaled


def uniform_noise(grey: Array, width: float, rng: np.random.Generator) -> Array:
    """Add uniform noise to the picture at 30 % contrast (Geirhos et al. 2018).

    Args:
        grey: (..., height, width).
        width: The noise is uniform in [-width, width), one value per pixel for all channels.
        rng: The source of the noise.

    Returns:
        (..., height, width), clipped to [0, 1]; widths up to 0.35 are never clipped.
    """
    noise = rng.random(grey.shape, dtype=np.float32)
    noise -= np.float32(0.5)
    noise *= np.float32(2 * width)
    noise += contrast(grey, NOISE_CONTRAST)
    return np.clip(noise, 0, 1, out=noise)


def rotate(grey: Array, degrees: float) -> Array:
    """Rotate counter-clockwise by a multiple of 90 degrees, exactly.

    Args:
        grey: (..., height, width).
        degrees: A multiple of 90.

    Returns:
        The rotated plane; height and width change places for 90 and 270 degrees.
    """
    return np.rot90(grey, round(degrees / 90) % 4, axes=(-2, -1))


def _opponent_matrix() -> NDArray[np.float64]:
    """Return the linear map of linear RGB that negates both chromatic axes of DKL space.

    The axes follow Brainard (1996): luminance dL + dM; dL - (L0/M0) dM; and
    dS - (S0/(L0+M0)) (dL + dM), with (L0, M0, S0) the cones' excitation by the background.
    Since only ratios of the background enter, the map is the same for every grey background.
    """
    lms_from_rgb = _LMS_FROM_XYZ @ _XYZ_FROM_RGB
    long, medium, short = lms_from_rgb.sum(axis=1)
    dkl_from_lms = np.array(
        [[1, 1, 0], [1, -long / medium, 0], [-short / (long + medium)] * 2 + [1]],
    )
    dkl_from_rgb = dkl_from_lms @ lms_from_rgb
    return np.linalg.inv(dkl_from_rgb) @ np.diag([1.0, -1.0, -1.0]) @ dkl_from_rgb


_OPPONENT = _opponent_matrix().astype(np.float32)


def srgb_to_linear(image: Array) -> Array:
    """Undo the sRGB transfer function.

    Args:
        image: Values in [0, 1] as stored.

    Returns:
        Values proportional to light.
    """
    light = image + 0.055
    light /= 1.055
    light **= 2.4
    np.divide(image, 12.92, out=light, where=image <= 0.04045)
    return light


def linear_to_srgb(image: Array) -> Array:
    """Apply the sRGB transfer function.

    Args:
        image: Values in [0, 1] proportional to light.

    Returns:
        Values in [0, 1] as stored.
    """
    stored = image ** (1 / 2.4)
    stored *= 1.055
    stored -= 0.055
    np.multiply(image, 12.92, out=stored, where=image <= 0.0031308)
    return stored


def opponent_colour(image: Array) -> Array:
    """Give every colour its opponent, at the same luminance (Geirhos et al. 2018).

    The red-green and the blue-yellow axis of the DKL colour space are negated. The published
    stimuli were made for one calibrated monitor; here the display is sRGB and the cones are
    those of Smith & Pokorny. Colours that the display cannot show are clipped.

    Args:
        image: (..., height, width, 3).

    Returns:
        (..., height, width, 3).
    """
    light = srgb_to_linear(np.asarray(image, dtype=np.float32)) @ _OPPONENT.T
    return linear_to_srgb(np.clip(light, 0, 1, out=light))
