"""Distortions of the spectrum: low-pass, high-pass, phase noise, power equalisation.

Definitions: Geirhos et al., "Generalisation in humans and deep neural networks", NeurIPS 2018.
Symbols: a grey plane is (..., height, width), float32 in [0, 1]; leading axes are a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from clip_mamba.corruptions.pixel import Array

#: Mean grey of the published stimuli; beyond its border a picture is taken to have this value.
BACKGROUND = 0.4423

#: Kernels end at this many standard deviations.
TRUNCATE = 4.0

#: Up to this side a blur is two products with banded matrices, beyond it a convolution.
_MATRIX_SIDE = 1024

#: Rows or columns of the blurred picture that are computed at once.
_BLOCK = 32


@lru_cache(maxsize=64)
def _blur_matrix(size: int, sigma: float) -> Array:
    """Return the (size, size) matrix of a truncated Gaussian with zeros beyond the border."""
    radius = int(TRUNCATE * sigma + 0.5)
    offset = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offset / sigma) ** 2)
    kernel /= kernel.sum()
    distance = np.arange(size)[:, None] - np.arange(size)[None, :] + radius
    inside = (distance >= 0) & (distance <= 2 * radius)
    return np.where(inside, kernel[np.clip(distance, 0, 2 * radius)], 0).astype(np.float32)


def _blocks(size: int, sigma: float) -> Iterator[tuple[slice, slice]]:
    """Yield parts of an axis with the larger parts that their blur depends on."""
    radius = int(TRUNCATE * sigma + 0.5)
    step = max(_BLOCK, radius)
    for start in range(0, size, step):
        stop = min(start + step, size)
        yield slice(start, stop), slice(max(0, start - radius), min(size, stop + radius))


def _blur_columns(grey: Array, sigma: float) -> Array:
    """Return (..., height, width) blurred along its width, with zeros beyond the border."""
    # Multiplying with a banded matrix, block by block, is the sum that a convolution computes,
    # at the speed of matrix products.
    matrix = _blur_matrix(grey.shape[-1], float(sigma))
    result = np.empty_like(grey)
    for part, source in _blocks(grey.shape[-1], sigma):
        np.matmul(grey[..., source], matrix[source, part], out=result[..., part])
    return result


def _blur_rows(grey: Array, sigma: float) -> Array:
    """Return (..., height, width) blurred along its height, with zeros beyond the border."""
    matrix = _blur_matrix(grey.shape[-2], float(sigma))
    result = np.empty_like(grey)
    for part, source in _blocks(grey.shape[-2], sigma):
        np.matmul(matrix[part, source], grey[..., source, :], out=result[..., part, :])
    return result


def gaussian_blur(grey: Array, sigma: float, background: float = BACKGROUND) -> Array:
    """Blur with a Gaussian, the picture being surrounded by a uniform background.

    Args:
        grey: (..., height, width).
        sigma: Standard deviation in pixels; 0 keeps the picture, infinity leaves background.
        background: Value beyond the border.

    Returns:
        (..., height, width).
    """
    if sigma == 0:
        return grey.copy()
    if np.isinf(sigma):
        return np.full_like(grey, background)
    height, width = grey.shape[-2:]
    centred = grey - np.float32(background)
    if max(height, width) > _MATRIX_SIDE:
        sigmas = (0,) * (grey.ndim - 2) + (sigma, sigma)
        blurred = ndimage.gaussian_filter(centred, sigmas, mode="constant", truncate=TRUNCATE)
    else:
        blurred = _blur_rows(_blur_columns(centred, sigma), sigma)
    blurred += np.float32(background)
    return blurred


def low_pass(grey: Array, sigma: float) -> Array:
    """Blur with a Gaussian of the given standard deviation.

    Args:
        grey: (..., height, width).
        sigma: Standard deviation in pixels; 0 keeps the picture.

    Returns:
        (..., height, width).
    """
    return gaussian_blur(grey, sigma)


def high_pass(grey: Array, sigma: float) -> Array:
    """Subtract the blurred picture and bring the mean to the background grey.

    Args:
        grey: (..., height, width).
        sigma: Standard deviation of the blur in pixels; infinity is the undistorted control.

    Returns:
        (..., height, width), not clipped: adding the low-pass of the same cut gives the
        picture back up to one constant.
    """
    if np.isinf(sigma):
        return grey.copy()
    detail = gaussian_blur(grey, sigma)
    np.subtract(grey, detail, out=detail)
    detail += np.float32(BACKGROUND) - detail.mean(axis=(-2, -1), keepdims=True)
    return detail


def _antisymmetric(noise: Array, width: int) -> Array:
    """Make phase shifts of a half-plane odd, as those of a real picture must be.

    Args:
        noise: (..., height, width // 2 + 1) shifts in the layout of ``rfft2``.
        width: Width of the picture.

    Returns:
        The shifts; 0 for the mean and the other frequencies that must stay real.
    """
    height = noise.shape[-2]
    columns = [0] if width % 2 else [0, width // 2]
    for column in columns:
        first = noise[..., 1 : (height + 1) // 2, column]
        noise[..., height - (height - 1) // 2 :, column] = -first[..., ::-1]
        noise[..., 0, column] = 0
        if height % 2 == 0:
            noise[..., height // 2, column] = 0
    return noise


def phase_noise(grey: Array, width: float, rng: np.random.Generator) -> Array:
    """Shift the phase of every frequency by a random angle, keeping its amplitude.

    Args:
        grey: (..., height, width).
        width: The shifts are uniform in [-width, width), in degrees.
        rng: The source of the shifts.

    Returns:
        (..., height, width), not clipped.
    """
    shape = grey.shape[:-1] + (grey.shape[-1] // 2 + 1,)
    # Drawn even for width 0, so that levels made from equal generators share their noise.
    shift = rng.random(shape, dtype=np.float32)
    if width == 0:
        return grey.copy()
    shift -= np.float32(0.5)
    shift *= np.float32(2 * np.deg2rad(width))
    shift = _antisymmetric(shift, grey.shape[-1])
    spectrum = fft.rfft2(grey)
    turn = np.empty_like(spectrum)
    np.cos(shift, out=turn.real)
    np.sin(shift, out=turn.imag)
    spectrum *= turn
    return fft.irfft2(spectrum, s=grey.shape[-2:], overwrite_x=True)


def amplitude(grey: Array) -> Array:
    """Return the amplitude of every frequency.

    Args:
        grey: (..., height, width).

    Returns:
        (..., height, width // 2 + 1), in the layout of ``rfft2``.
    """
    return np.abs(fft.rfft2(grey))


@lru_cache(maxsize=8)
def natural_amplitude(height: int, width: int) -> Array:
    """Return a stand-in for the mean amplitude spectrum of photographs: 1/f.

    Args:
        height: Rows of the picture.
        width: Columns of the picture.

    Returns:
        (height, width // 2 + 1): mean ``BACKGROUND``, standard deviation 0.2.
    """
    down = fft.fftfreq(height)[:, None]
    across = fft.rfftfreq(width)[None, :]
    radius = np.hypot(down, across)
    radius[0, 0] = 1
    spectrum = 1 / radius
    spectrum[0, 0] = 0
    # Columns other than the first (and, for even widths, the last) stand for two frequencies.
    weight = np.full(spectrum.shape, 2.0)
    weight[:, 0] = 1
    if width % 2 == 0:
        weight[:, -1] = 1
    deviation = np.sqrt((weight * spectrum**2).sum()) / (height * width)
    spectrum *= 0.2 / max(deviation, np.finfo(float).tiny)
    spectrum[0, 0] = BACKGROUND * height * width
    return spectrum.astype(np.float32)


def equalise_power(grey: Array, spectrum: NDArray | None = None) -> Array:
    """Replace the amplitude of every frequency by a common one, keeping its phase.

    Args:
        grey: (..., height, width).
        spectrum: (height, width // 2 + 1), the mean of :func:`amplitude` over the set of
            pictures; ``None`` for :func:`natural_amplitude`.

    Returns:
        (..., height, width), not clipped.

    Raises:
        ValueError: If the spectrum belongs to pictures of another size.
    """
    height, width = grey.shape[-2:]
    target = natural_amplitude(height, width) if spectrum is None else np.asarray(spectrum)
    if target.shape != (height, width // 2 + 1):
        raise ValueError(
            f"spectrum of shape {target.shape} for pictures of {height} x {width}: "
            f"it must be {(height, width // 2 + 1)}, as clip_mamba.corruptions.amplitude gives it"
        )
    frequencies = fft.rfft2(grey)
    own = np.abs(frequencies)
    # A frequency that is absent has no phase: 0 is as good as any.
    frequencies[own == 0] = 1
    own[own == 0] = 1
    frequencies *= target.astype(np.float32) / own
    return fft.irfft2(frequencies, s=(height, width), overwrite_x=True)
